import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { frame } from '../../src/datapath/conformance/frames.ts';
import { mountBpfFs, unmountBpfFs } from '../../src/sys/bpf-fs.ts';
import { NO_OFFLOAD } from '../../src/sys/frame.ts';
import { Links } from '../../src/sys/netlink/link.ts';
import { NetlinkSocket } from '../../src/sys/netlink/socket.ts';
import { inNetns } from '../../src/sys/netns.ts';
import { PacketPort } from '../../src/sys/packet-port.ts';
import { Network } from '../network.ts';
import { SwitchHost, systemMissing, until } from './host.ts';

/** Frames sent in one go; then the receiver has its turn. */
const BURST = 32;

/** A stream of frames from one guest to the other that nobody waits for. */
class Stream {
  readonly #port: PacketPort;
  readonly #frame = frame({ src: 1, dst: 2, nwDst: 0x0a630063, payload: 18 });
  #running = true;
  sent = 0;
  readonly #done: Promise<void>;

  constructor(netns: string) {
    this.#port = inNetns(netns, () => {
      const netlink = new NetlinkSocket();
      const ifindex = new Links(netlink).get('eth0')?.ifindex ?? assert.fail('the guest has no eth0');
      netlink.close();
      return new PacketPort({ name: 'eth0', ifindex, rxSlots: 32, txSlots: 1024 });
    });
    this.#done = this.#run();
  }

  async #run(): Promise<void> {
    while (this.#running) {
      for (let n = 0; n < BURST; n++)
        if (this.#port.send(this.#frame, 0, this.#frame.length, NO_OFFLOAD)) this.sent++;
      this.#port.flush();
      await sleep(1);
    }
  }

  async stop(): Promise<number> {
    if (this.#running) {
      this.#running = false;
      await this.#done;
      this.#port.close();
    }
    return this.sent;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

/** Frames that the guest's device has received. */
function received(netns: string): number {
  return inNetns(netns, () => {
    const netlink = new NetlinkSocket();
    try {
      return Number(new Links(netlink).get('eth0')?.statistics?.rxPackets);
    } finally {
      netlink.close();
    }
  });
}

interface World {
  readonly host: SwitchHost;
  readonly a: string;
  readonly b: string;
  /** The bpf file system of this host. */
  readonly pins: string;
}

/** Two guests on a bridge of the kernel datapath, of a host with a bpf file system of its own. */
function onPinnedHost(title: string, body: (world: World) => Promise<void>): void {
  test(title, { skip: systemMissing('ping') }, async () => {
    const network = new Network();
    const pins = mkdtempSync(join(tmpdir(), 'weft-bpf-'));
    mountBpfFs(pins);
    let host: SwitchHost | undefined;
    try {
      host = new SwitchHost(network, [], { datapathType: 'system' });
      host.env.WEFT_BPFFS = pins;
      await host.start();
      const [a, b] = ['a', 'b'].map((name) => network.namespace(name));
      network.veth(a, 'eth0', host.ns, 'pa', '02:00:00:00:00:01', '10.99.0.1/24');
      network.veth(b, 'eth0', host.ns, 'pb', '02:00:00:00:00:02', '10.99.0.2/24');
      await host.vsctl('add-br', 'br0', '--', 'set', 'bridge', 'br0', 'datapath_type=system');
      await host.vsctl('add-port', 'br0', 'pa', '--', 'add-port', 'br0', 'pb');
      const pinged = await network.run(a, 'ping', ['-c', '3', '-i', '0.2', '-W', '5', '10.99.0.2']);
      assert.equal(pinged.status, 0, pinged.stdout);
      await body({ host, a: network.path(a), b: network.path(b), pins });
    } catch (error) {
      if (host !== undefined && error instanceof Error) error.message += `\n--- ${host.lastWords()}`;
      throw error;
    } finally {
      host?.close();
      network.close();
      unmountBpfFs(pins);
      rmdirSync(pins);
    }
  });
}

/** What is pinned; the kernel has two files of its own in every bpf file system. */
const pinned = (directory: string): string[] =>
  readdirSync(directory).filter((name) => !name.endsWith('.debug'));

/** Packets that the bridge's flows have counted. */
async function counted(host: SwitchHost): Promise<number> {
  const dump = await host.ofctl('dump-flows', 'br0');
  return [...dump.matchAll(/n_packets=(\d+)/g)].reduce((sum, [, n]) => sum + Number(n), 0);
}

onPinnedHost('a switch that is killed and started again loses no packet, and no count', async (world) => {
  const { host, a, b } = world;
  const before = received(b);
  await using stream = new Stream(a);
  await until('the flow is at work', () => stream.sent > 500);
  for (let round = 0; round < 2; round++) {
    const sent = stream.sent;
    await host.kill('ovs-vswitchd');
    await until('frames pass without the switch', () => stream.sent > sent + 2000);
    await host.startSwitch();
    await until('frames pass with it', () => stream.sent > sent + 4000);
  }
  const sent = await stream.stop();
  await until('all frames have arrived', () => received(b) - before >= sent).catch(() => {});
  // The guests' own kernels send a frame now and then.
  assert.ok(received(b) - before >= sent, `${sent} frames sent, ${received(b) - before} received`);
  await until('they are counted', async () => (await counted(host)) >= sent).catch(() => {});
  assert.ok((await counted(host)) >= sent, `${sent} frames sent, the flows counted ${await counted(host)}`);
  const port = Number(/rx pkts=(\d+)/.exec(await host.ofctl('dump-ports', 'br0', 'pa'))?.[1]);
  assert.ok(port >= sent, `${sent} frames sent, port pa counted ${port}`);
});

onPinnedHost('what the switch leaves behind goes on until it is told to clean up', async (world) => {
  const { host, a, b, pins } = world;
  await host.appctl('exit');
  await until('the switch is gone', () => !host.runs('ovs-vswitchd'));
  const before = received(b);
  await using stream = new Stream(a);
  await until('frames pass', () => received(b) - before > 1000);
  await host.startSwitch();
  await host.vsctl('del-port', 'br0', 'pb');
  const sent = await stream.stop();
  await sleep(50);
  const after = received(b);
  assert.ok(after - before <= sent);
  await using silent = new Stream(a);
  await until('more frames are sent', () => silent.sent > 1000);
  await silent.stop();
  assert.ok(received(b) - after < 500, 'a port that is gone gets frames');
  assert.notDeepEqual(pinned(pins), []);
  await host.appctl('exit', '--cleanup');
  await until('the switch is gone', () => !host.runs('ovs-vswitchd'));
  assert.deepEqual(pinned(pins), []);
  assert.doesNotMatch(host.network.ip(host.ns, '-br', 'link'), /^(br0|weft-)/m);
});

onPinnedHost('flow-restore-wait: flows that are restored decide, not empty tables', async (world) => {
  const { host, a, b } = world;
  await host.vsctl('set-fail-mode', 'br0', 'secure');
  await host.kill('ovs-vswitchd');
  await host.vsctl('--no-wait', 'set', 'Open_vSwitch', '.', 'other_config:flow-restore-wait=true');
  const before = received(b);
  await using stream = new Stream(a);
  await host.startSwitch();
  await until('frames pass meanwhile', () => received(b) - before > 1000);
  await host.ofctl('add-flow', 'br0', 'actions=NORMAL');
  await host.vsctl('remove', 'Open_vSwitch', '.', 'other_config', 'flow-restore-wait');
  const sent = stream.sent;
  await until('frames pass with the flows', () => stream.sent > sent + 1000);
  const all = await stream.stop();
  await until('all frames have arrived', () => received(b) - before >= all).catch(() => {});
  assert.ok(received(b) - before >= all, `${all} frames sent, ${received(b) - before} received`);
});
