/**
 * `npm run bench -- l2 [--json] [--rounds=N]`: one host's layer 2 between two guests (network namespaces
 * on veth pairs, offloads as they come), through our userspace datapath, the Linux bridge, and stock Open
 * vSwitch's userspace datapath (`datapath_type=netdev`, a daemon of its own in a namespace of its own).
 *
 * Two figures each: 64-byte UDP frames a second, sent as fast as one process can and counted at the
 * receiver's device; and one TCP stream (iperf3, cubic). TCP through stock passes nothing at the default
 * offloads, so its guests switch transmit offload off. The three take turns in every round, so that a
 * busy machine hits all alike; the median counts.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Clock } from '../src/base/clock.ts';
import { nullLogger } from '../src/base/log.ts';
import { maskOf } from '../src/datapath/conformance/frames.ts';
import { createWorkerDatapath } from '../src/datapath/userspace/worker-datapath.ts';
import { newFlow, W_ETH, W_IN_PORT } from '../src/flow/layout.ts';
import { Network, networkMissing, saysOnStdout } from '../test/network.ts';

const SENDER = fileURLToPath(new URL('./l2-sender.ts', import.meta.url));
const SCHEMA = '/usr/share/openvswitch/vswitch.ovsschema';
const PPS_SECONDS = 2;
const TCP_SECONDS = 3;

/** One way to connect guest a's eth0 with guest b's. */
interface Contender {
  readonly name: string;
  readonly a: string;
  readonly b: string;
  readonly stop: () => Promise<void>;
}

interface Figures {
  readonly pps: number;
  readonly mbps: number;
}

const clock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after: (ms, fn) => {
    const timer = setTimeout(fn, ms);
    return { cancel: () => clearTimeout(timer) };
  },
};

/** Three namespaces, the guests' ports "pa" and "pb" in the middle one. */
function guests(network: Network, name: string): { a: string; b: string; host: string } {
  const [a, b, host] = ['a', 'b', 'host'].map((part) => network.namespace(`${name}-${part}`));
  network.veth(a, 'eth0', host, 'pa', '02:00:00:00:00:01', '10.99.0.1/24');
  network.veth(b, 'eth0', host, 'pb', '02:00:00:00:00:02', '10.99.0.2/24');
  return { a, b, host };
}

function ours(network: Network): Contender {
  const { a, b, host } = guests(network, 'weft');
  const datapath = createWorkerDatapath({ clock, random: Math.random, log: nullLogger });
  const netns = network.path(host);
  const ports = ['pa', 'pb'].map((name) => datapath.portAdd({ name, type: 'system', netns }));
  // What the slow path answers misses with in earnest: one megaflow a port and pair of addresses.
  const mask = maskOf(W_IN_PORT, W_ETH, W_ETH + 1, W_ETH + 2);
  const broadcast = maskOf(W_IN_PORT, W_ETH);
  const put = (from: number, words: readonly number[], use: typeof mask): void => {
    const key = newFlow();
    key[W_IN_PORT] = ports[from];
    words.forEach((value, i) => {
      key[W_ETH + i] = value;
    });
    datapath.flowPut({ key, mask: use, actions: [{ type: 'output', port: ports[1 - from] }] });
  };
  put(0, [0x02000000, 0x00020200, 0x00000001], mask);
  put(1, [0x02000000, 0x00010200, 0x00000002], mask);
  put(0, [0xffffffff], broadcast);
  put(1, [0xffffffff], broadcast);
  return { name: 'weft', a, b, stop: () => datapath.close() };
}

function bridge(network: Network): Contender {
  const { a, b, host } = guests(network, 'br');
  network.ip(host, 'link', 'add', 'br0', 'type', 'bridge');
  network.ip(host, 'link', 'set', 'br0', 'addrgenmode', 'none');
  for (const port of ['pa', 'pb']) network.ip(host, 'link', 'set', port, 'master', 'br0');
  network.ip(host, 'link', 'set', 'br0', 'up');
  try {
    // Where br_netfilter is loaded it would run each frame through the firewall.
    const off = ['net.bridge.bridge-nf-call-iptables=0', 'net.bridge.bridge-nf-call-ip6tables=0'];
    execFileSync('ip', ['netns', 'exec', host, 'sysctl', '-qw', ...off], { stdio: 'ignore' });
  } catch {
    // It is not loaded.
  }
  return { name: 'bridge', a, b, stop: () => Promise.resolve() };
}

async function stock(network: Network): Promise<Contender> {
  const { a, b, host } = guests(network, 'ovs');
  const dir = mkdtempSync(join(tmpdir(), 'weft-bench-'));
  const dirs = Object.fromEntries(['RUNDIR', 'LOGDIR', 'DBDIR', 'SYSCONFDIR'].map((n) => [`OVS_${n}`, dir]));
  const run = async (command: string, ...args: string[]): Promise<void> => {
    const { status, stderr } = await network.run(host, command, args, dirs);
    if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${stderr}`);
  };
  await run('ovsdb-tool', 'create', join(dir, 'conf.db'), SCHEMA);
  const daemons = [
    network.start(host, 'ovsdb-server', [join(dir, 'conf.db'), `--remote=punix:${dir}/db.sock`], dirs),
  ];
  await sleep(300);
  daemons.push(network.start(host, 'ovs-vswitchd', [`unix:${dir}/db.sock`, '--pidfile'], dirs));
  await run(
    'ovs-vsctl',
    '--timeout=20',
    'add-br',
    'br0',
    '--',
    'set',
    'bridge',
    'br0',
    'datapath_type=netdev',
  );
  await run('ovs-vsctl', '--timeout=20', 'add-port', 'br0', 'pa', '--', 'add-port', 'br0', 'pb');
  await run('ovs-ofctl', 'del-flows', 'br0');
  await run('ovs-ofctl', 'add-flow', 'br0', 'in_port=pa,actions=output:pb');
  await run('ovs-ofctl', 'add-flow', 'br0', 'in_port=pb,actions=output:pa');
  for (const guest of [a, b]) await network.run(guest, 'ethtool', ['-K', 'eth0', 'tx', 'off']);
  return {
    name: 'stock',
    a,
    b,
    stop: async () => {
      for (const daemon of daemons.reverse()) {
        const ended = new Promise((resolve) => daemon.once('exit', resolve));
        daemon.kill('SIGTERM');
        await ended;
      }
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** Frames that the guest's device has received. */
function received(network: Network, guest: string): number {
  const [link] = JSON.parse(network.ip(guest, '-s', '-j', 'link', 'show', 'eth0')) as [
    { stats64: { rx: { packets: number } } },
  ];
  return link.stats64.rx.packets;
}

async function framesPerSecond(network: Network, { a, b }: Contender): Promise<number> {
  const sending = network.run(a, process.execPath, [SENDER, 'eth0', String(PPS_SECONDS + 1.2)]);
  await sleep(700);
  const before = received(network, b);
  const start = performance.now();
  await sleep(PPS_SECONDS * 1000);
  const rate = (received(network, b) - before) / ((performance.now() - start) / 1000);
  const { status, stderr } = await sending;
  if (status !== 0) throw new Error(`the sender failed: ${stderr}`);
  return rate;
}

async function tcp(network: Network, { name, a, b }: Contender): Promise<number> {
  const server = network.start(b, 'iperf3', ['-s', '-1', '--forceflush']);
  await saysOnStdout(server, 'Server listening');
  const args = [
    '-c',
    '10.99.0.2',
    '-t',
    String(TCP_SECONDS),
    '-J',
    '-C',
    'cubic',
    '--connect-timeout',
    '3000',
  ];
  const { stdout } = await network.run(a, 'iperf3', args);
  const report = JSON.parse(stdout) as {
    error?: string;
    end: { sum_received?: { bits_per_second: number } };
  };
  if (report.error !== undefined) throw new Error(`TCP through ${name}: ${report.error}`);
  return (report.end.sum_received?.bits_per_second ?? 0) / 1e6;
}

function median(list: readonly number[]): number {
  return [...list].sort((x, y) => x - y)[list.length >> 1] ?? 0;
}

const json = process.argv.includes('--json');
const rounds = Number(process.argv.find((arg) => arg.startsWith('--rounds='))?.slice(9) ?? 5);
const missing = networkMissing('iperf3', 'ethtool', 'ovs-vswitchd', 'ovsdb-server');
if (missing !== false) {
  console.error(`bench l2: ${missing}`);
  process.exit(2);
}

const network = new Network();
const contenders: Contender[] = [];
const samples = new Map<string, { pps: number[]; mbps: number[] }>();
try {
  contenders.push(ours(network), bridge(network), await stock(network));
  for (const { name, a } of contenders) {
    const { stdout } = await network.run(a, 'ping', ['-c', '3', '-i', '0.2', '-W', '2', '10.99.0.2']);
    if (!stdout.includes(' 0% packet loss')) throw new Error(`${name} does not forward:\n${stdout}`);
    samples.set(name, { pps: [], mbps: [] });
  }
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < contenders.length; i++) {
      const contender = contenders[(i + round) % contenders.length];
      const sample = samples.get(contender.name);
      sample?.pps.push(await framesPerSecond(network, contender));
      sample?.mbps.push(await tcp(network, contender));
    }
  }
} finally {
  for (const contender of contenders) await contender.stop();
  network.close();
}

const figures = (name: string): Figures => {
  const sample = samples.get(name);
  return { pps: Math.round(median(sample?.pps ?? [])), mbps: Math.round(median(sample?.mbps ?? [])) };
};
const [weft, linux, openvswitch] = ['weft', 'bridge', 'stock'].map(figures);
const ratio = { pps: weft.pps / openvswitch.pps, mbps: weft.mbps / openvswitch.mbps };

console.log(
  `Two guests on one host, median of ${rounds} rounds. One TCP stream; 64-byte UDP frames one way.\n`,
);
console.log(
  ['', 'kframes/s', 'TCP Mbit/s', 'guests'].map((h, i) => (i === 0 ? h.padEnd(28) : h.padStart(12))).join(''),
);
const line = (title: string, f: Figures, offload: string): void =>
  console.log(
    title.padEnd(28) +
      (f.pps / 1000).toFixed(0).padStart(12) +
      f.mbps.toFixed(0).padStart(12) +
      offload.padStart(12),
  );
line('weft, userspace datapath', weft, 'default');
line('Linux bridge', linux, 'default');
line('Open vSwitch netdev', openvswitch, 'tx off');
console.log(`\nweft / Open vSwitch: ${ratio.pps.toFixed(2)} x frames, ${ratio.mbps.toFixed(1)} x TCP`);
if (json) {
  const round2 = (x: number): number => Math.round(x * 100) / 100;
  console.log(
    JSON.stringify({
      bench: 'l2',
      ours: weft,
      theirs: openvswitch,
      ratio: { pps: round2(ratio.pps), mbps: round2(ratio.mbps) },
      bridge: linux,
      rounds,
      samples: Object.fromEntries(samples),
    }),
  );
}
