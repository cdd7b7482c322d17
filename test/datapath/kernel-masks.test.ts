/** Programs of the kernel datapath that take each other's place under traffic. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Clock } from '../../src/base/clock.ts';
import { nullLogger } from '../../src/base/log.ts';
import { maskOf } from '../../src/datapath/conformance/frames.ts';
import { createKernelDatapath } from '../../src/datapath/kernel/kernel-datapath.ts';
import { needsRoot } from '../../src/ebpf/testing/programs.ts';
import * as F from '../../src/flow/layout.ts';
import { Network, networkMissing, saysOnStdout } from '../network.ts';

const SENDER = fileURLToPath(new URL('testing/steady-sender.ts', import.meta.url));
/** Flows of the traffic, each with a mask of its own. */
const FLOWS = 4;
const CHANGES = 100;
/** A hundred a second. */
const PAUSE_MS = 10;

const clock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after: (ms, fn) => {
    const timer = setTimeout(fn, ms);
    return { cancel: () => clearTimeout(timer) };
  },
};

/** A mask of UDP packets, with `bits` bits of the source address. */
function maskWith(bits: number): F.Flow {
  const mask = maskOf(F.W_IN_PORT, F.W_RECIRC_ID, F.W_PACKET_TYPE, F.W_ETH_TYPE, F.W_NW, F.W_TP);
  mask[F.W_NW] = 0xff;
  mask[F.W_NW_SRC] = (0xffffffff << (32 - bits)) >>> 0;
  return mask;
}

test('no packet is lost while the set of masks changes a hundred times a second', {
  skip: needsRoot || networkMissing(),
}, async () => {
  const network = new Network();
  let datapath: ReturnType<typeof createKernelDatapath> | undefined;
  try {
    const [host, a, b] = ['host', 'a', 'b'].map((name) => network.namespace(name)) as [
      string,
      string,
      string,
    ];
    network.veth(a, 'eth0', host, 'pa', '02:00:00:00:00:01');
    network.veth(b, 'eth0', host, 'pb', '02:00:00:00:00:02');
    const netns = network.path(host);
    const kernel = createKernelDatapath({ clock, random: Math.random, log: nullLogger, netns });
    datapath = kernel;
    const [pa, pb] = ['pa', 'pb'].map((name) => kernel.portAdd({ name, type: 'system', netns })) as [
      number,
      number,
    ];
    const put = (bits: number, source: number, tpSrc: number): number => {
      const mask = maskWith(bits);
      const key = F.newFlow();
      key[F.W_IN_PORT] = pa;
      key[F.W_ETH_TYPE] = 0x0800 << 16;
      key[F.W_NW] = 17;
      key[F.W_NW_SRC] = source & mask[F.W_NW_SRC]!;
      key[F.W_TP] = (tpSrc << 16) | 2000;
      for (let w = 0; w < key.length; w++) key[w]! &= mask[w]!;
      return kernel.flowPut({ key, mask, actions: [{ type: 'output', port: pb }] });
    };
    // What the sender sends: 10.0.0.1, port 2000, source ports from 1 up.
    for (let flow = 0; flow < FLOWS; flow++) put(8 + flow, 0x0a000001, flow + 1);
    await kernel.flush();

    const child = network.start(a, process.execPath, [SENDER, 'eth0', String(FLOWS)]);
    let said = '';
    child.stdout?.on('data', (data: Buffer) => {
      said += data.toString();
    });
    const exited = new Promise((resolve) => child.once('close', resolve));
    await saysOnStdout(child, 'sending');
    const { programs } = kernel.statistics();
    let last: number | null = null;
    for (let change = 0; change < CHANGES; change++) {
      // Nobody's packets: what matters is that there is another mask, and the one before is gone.
      const id = put(16 + (change % 16), 0xc0000000, 9);
      if (last !== null) kernel.flowDelete(last);
      last = id;
      await kernel.flush();
      await sleep(PAUSE_MS);
    }
    child.stdin?.end();
    await exited;
    const sent = Number(/sent (\d+)/.exec(said)?.[1]);

    assert.ok(kernel.statistics().programs - programs >= CHANGES, 'each change made a program');
    assert.ok(sent > 0);
    const [into, out] = [kernel.portStats(pa), kernel.portStats(pb)];
    assert.equal(into.rxPackets, sent);
    assert.equal(out.txPackets, sent);
    assert.equal(kernel.statistics().missed, 0);
    const [link] = JSON.parse(network.ip(b, '-s', '-j', 'link', 'show', 'eth0')) as [
      { stats64: { rx: { packets: number } } },
    ];
    assert.equal(link.stats64.rx.packets, sent);
  } finally {
    await datapath?.close();
    network.close();
  }
});
