import assert from 'node:assert/strict';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '../../src/base/clock.ts';
import { nullLogger } from '../../src/base/log.ts';
import { maskOf } from '../../src/datapath/conformance/frames.ts';
import type { Datapath, DpAction } from '../../src/datapath/types.ts';
import { createWorkerDatapath } from '../../src/datapath/userspace/worker-datapath.ts';
import { newFlow, W_ETH_TYPE, W_IN_PORT, W_NW, W_NW_DST, W_NW_SRC } from '../../src/flow/layout.ts';
import { NO_OFFLOAD, RxFrame } from '../../src/sys/frame.ts';
import { Links } from '../../src/sys/netlink/link.ts';
import { NetlinkSocket } from '../../src/sys/netlink/socket.ts';
import { inNetns } from '../../src/sys/netns.ts';
import { PacketPort } from '../../src/sys/packet-port.ts';
import { Network, networkMissing, saysOnStdout } from '../network.ts';

const clock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after: (ms, fn) => {
    const timer = setTimeout(fn, ms);
    return { cancel: () => clearTimeout(timer) };
  },
};
const skip = networkMissing('ping', 'iperf3');
const output = (port: number): DpAction => ({ type: 'output', port });

/** Two guests on two veth ports of a datapath in a third namespace. */
interface Lab {
  readonly network: Network;
  readonly datapath: Datapath;
  readonly a: string;
  readonly b: string;
  readonly host: string;
  readonly pa: number;
  readonly pb: number;
}

function onLab(title: string, run: (lab: Lab) => Promise<void>): void {
  test(title, { skip }, async () => {
    const network = new Network();
    let datapath: Datapath | undefined;
    try {
      const [host, a, b] = ['host', 'a', 'b'].map((name) => network.namespace(name));
      network.veth(a, 'eth0', host, 'pa', '02:00:00:00:00:01', '10.99.0.1/24');
      network.veth(b, 'eth0', host, 'pb', '02:00:00:00:00:02', '10.99.0.2/24');
      datapath = createWorkerDatapath({ clock, random: Math.random, log: nullLogger });
      const netns = network.path(host);
      const pa = datapath.portAdd({ name: 'pa', type: 'system', netns });
      const pb = datapath.portAdd({ name: 'pb', type: 'system', netns });
      await run({ network, datapath, a, b, host, pa, pb });
    } finally {
      await datapath?.close();
      network.close();
    }
  });
}

/** Handles all packets of a port alike. */
function forward(datapath: Datapath, from: number, actions: readonly DpAction[]): number {
  const key = newFlow();
  key[W_IN_PORT] = from;
  return datapath.flowPut({ key, mask: maskOf(W_IN_PORT), actions });
}

async function ping(network: Network, from: string, to: string): Promise<void> {
  const done = await network.run(from, 'ping', ['-c', '3', '-i', '0.1', '-W', '2', to]);
  assert.match(done.stdout, / 0% packet loss/, done.stdout + done.stderr);
}

/** A second of TCP; returns what iperf3 says was received. */
async function stream(network: Network, from: string, to: string, address: string): Promise<number> {
  const server = network.start(to, 'iperf3', ['-s', '-1', '--forceflush']);
  await saysOnStdout(server, 'Server listening');
  const args = ['-c', address, '-t', '1', '-C', 'cubic', '-J', '--connect-timeout', '3000'];
  const done = await network.run(from, 'iperf3', args);
  const report = JSON.parse(done.stdout) as { end: { sum_received?: { bytes: number } }; error?: string };
  assert.equal(report.error, undefined);
  return report.end.sum_received?.bytes ?? 0;
}

onLab('guests reach each other through megaflows, which count', async ({ network, datapath, a, pa, pb }) => {
  const there = forward(datapath, pa, [output(pb)]);
  const back = forward(datapath, pb, [output(pa)]);
  await ping(network, a, '10.99.0.2');
  await datapath.flush();
  for (const [id, port] of [
    [there, pa],
    [back, pb],
  ]) {
    const { packets, bytes } = datapath.flowStats(id);
    const { rxPackets, rxBytes } = datapath.portStats(port);
    assert.ok(packets >= 4, `${packets} packets: ARP and three echoes`);
    assert.deepEqual({ packets, bytes }, { packets: rxPackets, bytes: rxBytes });
  }
  const { hits, missed } = datapath.stats();
  assert.equal(hits, datapath.portStats(pa).rxPackets + datapath.portStats(pb).rxPackets);
  assert.equal(missed, 0);
});

onLab('what has no megaflow goes up and is executed from there', async ({ network, datapath, a, pa, pb }) => {
  let upcalls = 0;
  datapath.setUpcallHandler(({ packet, flow, offload }) => {
    upcalls++;
    const to = flow[W_IN_PORT] === pa ? pb : pa;
    datapath.execute({ packet, flow, offload, actions: [output(to)] });
  });
  await ping(network, a, '10.99.0.2');
  assert.ok(upcalls >= 8);
  assert.equal(datapath.stats().lost, 0);
});

onLab(
  'TCP passes at the default offloads, its segments whole',
  async ({ network, datapath, a, b, pa, pb }) => {
    forward(datapath, pa, [output(pb)]);
    forward(datapath, pb, [output(pa)]);
    const bytes = await stream(network, a, b, '10.99.0.2');
    assert.ok(bytes > 1e6, `${bytes} bytes in a second`);
    const { rxPackets, rxBytes } = datapath.portStats(pa);
    assert.ok(rxBytes / rxPackets > 1514, `frames of ${(rxBytes / rxPackets).toFixed(0)} bytes on average`);
  },
);

onLab('TCP passes through the slow path, segments whole', async ({ network, datapath, a, b, pa, pb }) => {
  let longest = 0;
  datapath.setUpcallHandler(({ packet, flow, offload }) => {
    longest = Math.max(longest, packet.length);
    const to = flow[W_IN_PORT] === pa ? pb : pa;
    datapath.execute({ packet, flow, offload, actions: [output(to)] });
  });
  assert.ok((await stream(network, a, b, '10.99.0.2')) > 1e6);
  assert.ok(longest > 1514, `the longest packet that came up has ${longest} bytes`);
});

onLab(
  'TCP survives rewritten addresses, TTL and tags on the way',
  async ({ network, datapath, a, b, pa, pb }) => {
    // Guest a knows b as 10.99.0.9; whatever it sends there is rewritten, and back.
    const virtual = 0x0a630009;
    const real = 0x0a630002;
    const rewrite = (word: number, value: number): DpAction[] => [
      { type: 'push_vlan', tpid: 0x8100, tci: 0x1005 },
      {
        type: 'set',
        group: 'ipv4',
        words: [
          { word, value, mask: 0xffffffff },
          { word: W_NW, value: 0x2000, mask: 0xff00 },
        ],
      },
      { type: 'pop_vlan' },
    ];
    const ipv4 = maskOf(W_IN_PORT, W_ETH_TYPE);
    const put = (from: number, actions: DpAction[]): void => {
      const key = newFlow();
      key[W_IN_PORT] = from;
      key[W_ETH_TYPE] = 0x08000000;
      datapath.flowPut({ key, mask: ipv4, actions });
    };
    put(pa, [...rewrite(W_NW_DST, real), output(pb)]);
    put(pb, [...rewrite(W_NW_SRC, virtual), output(pa)]);
    network.ip(a, 'neigh', 'add', '10.99.0.9', 'lladdr', '02:00:00:00:00:02', 'dev', 'eth0');
    network.ip(b, 'neigh', 'add', '10.99.0.1', 'lladdr', '02:00:00:00:00:01', 'dev', 'eth0');
    await ping(network, a, '10.99.0.9');
    assert.ok((await stream(network, a, b, '10.99.0.9')) > 1e6);
  },
);

onLab(
  'tagged frames pass as they are, whatever their tag protocol',
  async ({ network, datapath, a, b, pa, pb }) => {
    forward(datapath, pa, [output(pb)]);
    await datapath.flush();
    const open = (namespace: string): PacketPort =>
      inNetns(namespace, () => {
        const netlink = new NetlinkSocket();
        const ifindex = new Links(netlink).get('eth0')?.ifindex ?? 0;
        netlink.close();
        return new PacketPort({ ifindex, name: 'eth0', rxSlots: 16, txSlots: 16 });
      });
    const from = open(network.path(a));
    const to = open(network.path(b));
    try {
      for (const tags of [
        [0x81, 0, 0x60, 5],
        [0x88, 0xa8, 0x20, 100, 0x81, 0, 0, 7],
      ]) {
        const sent = Uint8Array.from([
          2,
          0,
          0,
          0,
          0,
          2,
          2,
          0,
          0,
          0,
          0,
          1,
          ...tags,
          0x90,
          0,
          ...new Uint8Array(46),
        ]);
        assert.ok(from.send(sent, 0, sent.length, NO_OFFLOAD));
        from.flush();
        const frame = new RxFrame();
        let got: Uint8Array | undefined;
        for (let tries = 0; tries < 200 && got === undefined; tries++) {
          await sleep(5);
          if (to.receive(frame)) {
            got = frame.bytes.slice(frame.start, frame.end);
            to.release();
          }
        }
        assert.deepEqual(got, sent);
      }
    } finally {
      from.close();
      to.close();
    }
  },
);

onLab('an internal port is a device of the host, with the MAC and MTU asked for', async (lab) => {
  const { network, datapath, host, b, pb } = lab;
  const local = datapath.portAdd({
    name: 'br0',
    type: 'internal',
    netns: network.path(host),
    options: new Map([
      ['mac', '02:00:00:00:00:aa'],
      ['mtu', '1400'],
    ]),
  });
  forward(datapath, local, [output(pb)]);
  forward(datapath, pb, [output(local)]);
  assert.match(network.ip(host, 'link', 'show', 'br0'), /mtu 1400[\s\S]*02:00:00:00:00:aa/);
  network.ip(host, 'addr', 'add', '10.99.0.3/24', 'dev', 'br0');
  network.ip(host, 'link', 'set', 'br0', 'up');
  await ping(network, host, '10.99.0.2');
  assert.ok((await stream(network, host, b, '10.99.0.2')) > 1e6);
  datapath.portDelete(local);
  assert.doesNotMatch(network.ip(host, 'link', 'show'), /br0/);
});

onLab('a device that disappears takes nothing with it', async ({ network, datapath, a, host, pa, pb }) => {
  forward(datapath, pa, [output(pb)]);
  forward(datapath, pb, [output(pa)]);
  const c = network.namespace('c');
  network.veth(c, 'eth0', host, 'pc', '02:00:00:00:00:03');
  const netns = network.path(host);
  const pc = datapath.portAdd({ name: 'pc', type: 'system', netns });
  datapath.portAdd({ name: 'tap9', type: 'tap', netns });
  network.ip(host, 'link', 'del', 'pc');
  network.ip(host, 'link', 'del', 'tap9');
  await ping(network, a, '10.99.0.2');
  datapath.portDelete(pc);
  assert.throws(() => datapath.portAdd({ name: 'pc', type: 'system', netns }), {
    code: 'no-such-device',
    message: /pc.*No such device/,
  });
  network.veth(c, 'eth1', host, 'pc', '02:00:00:00:00:03');
  assert.equal(datapath.portAdd({ name: 'pc', type: 'system', netns }, pc), pc);
});

onLab('an idle datapath sleeps', async ({ datapath, pa, pb }) => {
  forward(datapath, pa, [output(pb)]);
  await datapath.flush();
  await sleep(300);
  const before = process.cpuUsage();
  await sleep(1000);
  const { user, system } = process.cpuUsage(before);
  // The whole process, this thread and its timers too; a thread that spins would take a million.
  assert.ok(user + system < 200_000, `${user + system} us of processor time in an idle second`);
});

test('a forwarding thread that dies is reported, and later calls say so', { skip }, async () => {
  const failure = Promise.withResolvers<Error>();
  const datapath = createWorkerDatapath({
    clock,
    random: Math.random,
    log: nullLogger,
    onFailure: failure.resolve,
    entry: new URL('data:text/javascript,throw new Error("out of luck")'),
  });
  assert.match((await failure.promise).message, /out of luck/);
  assert.throws(() => datapath.portAdd({ name: 'x', type: 'system' }), { code: 'datapath-dead' });
  await datapath.close();
});
