/** Ways to connect guests a, b and c of a host, for `bench/l2.ts`: c sends frames to b, a talks TCP with b. */
import { execFileSync } from 'node:child_process';
import { nullLogger } from '../src/base/log.ts';
import { maskOf } from '../src/datapath/conformance/frames.ts';
import { createKernelDatapath } from '../src/datapath/kernel/kernel-datapath.ts';
import type { Datapath } from '../src/datapath/types.ts';
import { createWorkerDatapath } from '../src/datapath/userspace/worker-datapath.ts';
import { call, exit, mov, R1, R2, R6 } from '../src/ebpf/asm.ts';
import { helper } from '../src/ebpf/helpers.ts';
import { attachClassifier } from '../src/ebpf/link.ts';
import { Program } from '../src/ebpf/program.ts';
import * as F from '../src/flow/layout.ts';
import { inNetns } from '../src/sys/netns.ts';
import type { Network } from '../test/network.ts';
import { SwitchHost } from '../test/system/host.ts';
import { clock, ifindexOf } from './measure.ts';

export interface Contender {
  readonly name: string;
  readonly title: string;
  /** Guests' namespaces. */
  readonly a: string;
  readonly b: string;
  readonly c: string;
  /** What else works on packets than the kernel. */
  readonly pids: readonly (number | 'self')[];
  /** How the guests' offloads are set. */
  readonly offload: 'default' | 'tx off';
  readonly stop: () => Promise<void>;
}

interface Guests {
  readonly a: string;
  readonly b: string;
  readonly c: string;
  readonly host: string;
}

const GUESTS = ['a', 'b', 'c'] as const;

/** Flows that the load has at the most. */
export const FLOWS = 1000;

/** The guests' namespaces, and their ports "pa", "pb", "pc" in the host's, which is made if there is none. */
function guests(network: Network, name: string, host = network.namespace(`${name}-host`)): Guests {
  const [a, b, c] = GUESTS.map((guest) => network.namespace(`${name}-${guest}`)) as [string, string, string];
  const made = { a, b, c, host };
  GUESTS.forEach((guest, i) => {
    network.veth(
      made[guest],
      'eth0',
      made.host,
      `p${guest}`,
      `02:00:00:00:00:0${i + 1}`,
      `10.99.0.${i + 1}/24`,
    );
  });
  // XDP frames go to a device that polls for them; the others stay as they come.
  execFileSync('ip', ['netns', 'exec', made.host, 'ethtool', '-K', 'pc', 'gro', 'on']);
  return made;
}

/** Puts megaflows between the three, as a bridge has them that has learned where everybody is. */
function connect(datapath: Datapath, ports: readonly number[], masks: number): void {
  const pair = [F.W_IN_PORT, F.W_RECIRC_ID, F.W_PACKET_TYPE, F.W_ETH, F.W_ETH + 1, F.W_ETH + 2];
  const put = (words: ReadonlyMap<number, number>, mask: F.Flow, to: readonly number[]): void => {
    const key = F.newFlow();
    for (const [word, value] of words) key[word] = value & mask[word]!;
    datapath.flowPut({ key, mask, actions: to.map((port) => ({ type: 'output', port }) as const) });
  };
  const between = (from: number, src: readonly number[], to: number): [number, number][] => [
    [F.W_IN_PORT, ports[from]!],
    [F.W_ETH, 0x02000000],
    [F.W_ETH + 1, 0x00000200 | ((to + 1) << 16) | src[0]!],
    [F.W_ETH + 2, src[1]!],
  ];
  const others = maskOf(F.W_IN_PORT, F.W_RECIRC_ID, F.W_PACKET_TYPE, F.W_ETH, F.W_VLAN);
  ports.forEach((port, _from) => {
    const rest = ports.filter((other) => other !== port);
    put(
      new Map([
        [F.W_IN_PORT, port],
        [F.W_ETH, 0xffffffff],
      ]),
      others,
      rest,
    );
  });
  const pairs = maskOf(...pair, F.W_ETH_TYPE);
  for (const type of [0x0800, 0x0806]) {
    for (const [from, to] of [
      [0, 1],
      [1, 0],
    ] as const) {
      put(new Map([...between(from, [0, from + 1], to), [F.W_ETH_TYPE, type << 16]]), pairs, [ports[to]!]);
    }
  }
  for (let flow = 0; flow < FLOWS; flow++) {
    // As frame-load.ts makes them.
    const src = [0, 0x01000000 | flow];
    const mask = pairs.slice();
    const words = new Map([...between(2, src, 1), [F.W_ETH_TYPE, 0x0800 << 16]]);
    const which = flow % masks;
    if (masks > 1) {
      // One more bit of the source address in each mask.
      mask[F.W_NW_SRC] = (0xffffffff << (32 - 8 - (masks - which))) >>> 0;
      words.set(F.W_NW_SRC, 0x0a630001);
    }
    put(words, mask, [ports[1]!]);
  }
}

const portNames = GUESTS.map((guest) => `p${guest}`);

function userspace(network: Network): Contender {
  const { host, ...rest } = guests(network, 'user');
  const datapath = createWorkerDatapath({ clock, random: Math.random, log: nullLogger });
  const netns = network.path(host);
  connect(
    datapath,
    portNames.map((name) => datapath.portAdd({ name, type: 'system', netns })),
    1,
  );
  const stop = (): Promise<void> => datapath.close();
  return { name: 'user', title: 'weft, user space', ...rest, pids: ['self'], offload: 'default', stop };
}

function kernel(network: Network, masks: number): Contender {
  const name = `kernel${masks}`;
  const { host, ...rest } = guests(network, name);
  const netns = network.path(host);
  const datapath = createKernelDatapath({ clock, random: Math.random, log: nullLogger, netns });
  connect(
    datapath,
    portNames.map((port) => datapath.portAdd({ name: port, type: 'system', netns })),
    masks,
  );
  const title = `weft, kernel, ${masks} mask${masks === 1 ? '' : 's'} of frames`;
  return { name, title, ...rest, pids: [], offload: 'default', stop: () => datapath.close() };
}

function bridge(network: Network): Contender {
  const { host, ...rest } = guests(network, 'br');
  network.ip(host, 'link', 'add', 'br0', 'type', 'bridge');
  network.ip(host, 'link', 'set', 'br0', 'addrgenmode', 'none');
  for (const port of portNames) network.ip(host, 'link', 'set', port, 'master', 'br0');
  network.ip(host, 'link', 'set', 'br0', 'up');
  try {
    // Where br_netfilter is loaded it would run each frame through the firewall.
    const off = ['net.bridge.bridge-nf-call-iptables=0', 'net.bridge.bridge-nf-call-ip6tables=0'];
    execFileSync('ip', ['netns', 'exec', host, 'sysctl', '-qw', ...off], { stdio: 'ignore' });
  } catch {
    // It is not loaded.
  }
  const stop = (): Promise<void> => Promise.resolve();
  return { name: 'bridge', title: 'Linux bridge', ...rest, pids: [], offload: 'default', stop };
}

/** a and b reach each other, c reaches b, and nothing is looked at: what tcx programs can't pass. */
function bare(network: Network, peer: boolean): Contender {
  const name = peer ? 'barepeer' : 'bare';
  const { host, ...rest } = guests(network, name);
  const closing: (() => void)[] = [];
  for (const [from, to] of [
    ['pa', 'pb'],
    ['pb', 'pa'],
    ['pc', 'pb'],
  ] as const) {
    const code = [
      mov(R1, ifindexOf(network, host, to)),
      mov(R2, 0),
      call(peer ? helper.redirectPeer : helper.redirect),
      exit(),
    ];
    // Packets that arrive at the host's end are another host's, and would stay so at the peer.
    const typed = [mov(R6, R1), mov(R2, 0), call(helper.skbChangeType), code];
    using program = Program.load({ kind: 'classifier', name: 'weft_bare', code: peer ? typed : code });
    const ifindex = ifindexOf(network, host, from);
    const attachment = inNetns(network.path(host), () => attachClassifier(program, ifindex, 'ingress'));
    closing.push(() => attachment.close());
  }
  const stop = async (): Promise<void> => {
    for (const close of closing) close();
  };
  const title = peer ? 'bare redirect to the peer' : 'bare redirect';
  return { name, title, ...rest, pids: [], offload: 'default', stop };
}

async function stock(network: Network, type: 'system' | 'afxdp'): Promise<Contender> {
  const name = type === 'system' ? 'stock' : 'stockxdp';
  const daemons = new SwitchHost(network, [], { name: `${name}-host`, stock: true });
  try {
    const { host, ...rest } = guests(network, name, daemons.ns);
    await daemons.start();
    await daemons.vsctl('add-br', 'br0', '--', 'set', 'bridge', 'br0', 'datapath_type=netdev');
    for (const port of portNames)
      await daemons.vsctl('add-port', 'br0', port, '--', 'set', 'interface', port, `type=${type}`);
    const error = await daemons.get('interface', 'pb', 'error');
    if (error !== '[]') throw new Error(error);
    // Nothing with an unfinished checksum passes.
    for (const guest of [rest.a, rest.b, rest.c])
      await network.run(guest, 'ethtool', ['-K', 'eth0', 'tx', 'off']);
    const title = type === 'system' ? 'Open vSwitch netdev' : 'Open vSwitch netdev, afxdp';
    const pids = [daemons.pid('ovs-vswitchd')];
    return { name, title, ...rest, pids, offload: 'tx off', stop: async () => daemons.close() };
  } catch (error) {
    daemons.close();
    throw error;
  }
}

export type Make = (network: Network) => Contender | Promise<Contender>;

/** How to make each, in the order of the table. */
export const CONTENDERS: ReadonlyMap<string, Make> = new Map<string, Make>([
  ['bridge', bridge],
  ['stock', (network) => stock(network, 'system')],
  ['stockxdp', (network) => stock(network, 'afxdp')],
  ['bare', (network) => bare(network, false)],
  ['barepeer', (network) => bare(network, true)],
  ['user', userspace],
  ['kernel1', (network) => kernel(network, 1)],
  ['kernel8', (network) => kernel(network, 8)],
]);
