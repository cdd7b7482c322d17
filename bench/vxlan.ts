/**
 * `npm run bench -- vxlan [--json] [--rounds=N] [--only=NAME,...]`: two hosts (network namespaces on a veth pair, MTU 1600)
 * that a tunnel joins: bridge and vxlan device of Linux on both, and the drop-in daemons with the kernel datapath on both,
 * by VXLAN, Geneve and GRE.
 *
 * Frames and TCP as in `bench l2`: 64 bytes of UDP (one flow) from a guest of the first host, counted at a guest of the
 * second; one stream of iperf3, cubic, default offloads, from another guest. All take turns; medians count.
 */
import { execFileSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { Network, networkMissing } from '../test/network.ts';
import { SwitchHost } from '../test/system/host.ts';
import { frameRate, median, printTable, round2, Sink, tcp } from './measure.ts';

const FRAME_SECONDS = 1.5;
const TCP_SECONDS = 2;
const VNI = '77';
const UNDERLAY = ['172.31.0.1', '172.31.0.2'] as const;

const { values: options } = parseArgs({
  args: process.argv.slice(3),
  options: { json: { type: 'boolean' }, rounds: { type: 'string', default: '5' }, only: { type: 'string' } },
});
const rounds = Number(options.rounds);
const missing = networkMissing('iperf3', 'ethtool', 'ovs-vsctl', 'ovs-appctl', 'ovsdb-tool');
if (missing !== false) {
  console.error(`bench vxlan: ${missing}`);
  process.exit(2);
}

/** The guests: a and c on the first host, b on the second. */
interface Contender {
  readonly name: string;
  readonly title: string;
  readonly a: string;
  readonly b: string;
  readonly c: string;
  readonly stop: () => Promise<void>;
}

type Guests = Pick<Contender, 'a' | 'b' | 'c'>;

/** Guests, their ports "pa", "pb", "pc" and the underlay "under0" of two hosts. */
function wire(network: Network, name: string, hosts: readonly [string, string]): Guests {
  const guest = (which: string, host: string, i: number): string => {
    const ns = network.namespace(`${name}-${which}`);
    network.veth(ns, 'eth0', host, `p${which}`, `02:00:00:00:00:0${i}`, `10.99.0.${i}/24`);
    return ns;
  };
  const made = { a: guest('a', hosts[0], 1), b: guest('b', hosts[1], 2), c: guest('c', hosts[0], 3) };
  execFileSync('ip', ['netns', 'exec', hosts[0], 'ethtool', '-K', 'pc', 'gro', 'on']);
  network.veth(hosts[1], 'under0', hosts[0], 'under0', '02:00:00:00:01:02', `${UNDERLAY[1]}/24`);
  network.ip(hosts[0], 'addr', 'add', `${UNDERLAY[0]}/24`, 'dev', 'under0');
  for (const host of hosts) network.ip(host, 'link', 'set', 'under0', 'mtu', '1600');
  return made;
}

function device(network: Network): Contender {
  const hosts = ['1', '2'].map((n) => network.namespace(`linux-host${n}`)) as [string, string];
  const guests = wire(network, 'linux', hosts);
  hosts.forEach((host, i) => {
    const tunnel = `link add vx0 type vxlan id ${VNI} dstport 4789 local ${UNDERLAY[i]} remote ${UNDERLAY[1 - i]}`;
    network.ip(host, ...tunnel.split(' '));
    network.ip(host, 'link', 'add', 'br0', 'type', 'bridge');
    for (const port of ['vx0', ...(i === 0 ? ['pa', 'pc'] : ['pb'])]) {
      network.ip(host, 'link', 'set', port, 'master', 'br0');
      network.ip(host, 'link', 'set', port, 'up');
    }
    network.ip(host, 'link', 'set', 'br0', 'up');
  });
  return { name: 'linux', title: 'Linux bridge, vxlan', ...guests, stop: () => Promise.resolve() };
}

async function ours(network: Network, type: string): Promise<Contender> {
  const hosts = [1, 2].map(
    (n) => new SwitchHost(network, [], { name: `${type}-host${n}`, datapathType: 'system' }),
  ) as [SwitchHost, SwitchHost];
  const stop = async (): Promise<void> => {
    for (const host of hosts) {
      await host.run('ovs-appctl', '--timeout=20', 'exit', '--cleanup');
      host.close();
    }
  };
  try {
    const guests = wire(network, type, [hosts[0].ns, hosts[1].ns]);
    for (const [i, host] of hosts.entries()) {
      await host.start();
      await host.vsctl('add-br', 'br0', '--', 'set', 'bridge', 'br0', 'datapath_type=system');
      for (const port of i === 0 ? ['pa', 'pc'] : ['pb']) await host.vsctl('add-port', 'br0', port);
      const tunnel = `add-port br0 t0 -- set interface t0 type=${type} options:remote_ip=${UNDERLAY[1 - i]} options:key=${VNI}`;
      await host.vsctl(...tunnel.split(' '));
      const error = await host.get('interface', 't0', 'error');
      if (error !== '[]') throw new Error(error);
    }
    return { name: type, title: `weft, kernel, ${type}`, ...guests, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

interface Entry {
  readonly contender: Contender;
  readonly sink: Sink;
  readonly pps: number[];
  readonly cpu: number[];
  readonly mbps: number[];
}

const network = new Network();
const entries: Entry[] = [];
try {
  for (const name of ['linux', 'vxlan', 'geneve', 'gre']) {
    if (options.only !== undefined && !options.only.split(',').includes(name)) continue;
    const contender = name === 'linux' ? device(network) : await ours(network, name);
    entries.push({ contender, sink: new Sink(network, contender.b), pps: [], cpu: [], mbps: [] });
    await network.run(contender.a, 'ping', ['-c', '2', '-i', '0.2', '-W', '1', '10.99.0.2']);
    const ping = await network.run(contender.a, 'ping', ['-c', '3', '-i', '0.2', '-W', '2', '10.99.0.2']);
    if (!ping.stdout.includes(' 0% packet loss'))
      console.log(`${contender.title} does not forward:\n${ping.stdout}`);
  }
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < entries.length; i++) {
      const { contender, sink, pps, cpu, mbps } = entries[(i + round) % entries.length]!;
      const load = { vary: 'flow', flows: 1, src: 3 } as const;
      const rate = await frameRate(network, contender.c, sink, load, FRAME_SECONDS, []);
      pps.push(rate.pps);
      cpu.push(rate.cpu);
      mbps.push(await tcp(network, contender.a, contender.b, '10.99.0.2', TCP_SECONDS));
    }
  }
} finally {
  for (const { contender, sink } of entries) {
    sink.close();
    await contender.stop();
  }
  network.close();
}

const figures = Object.fromEntries(
  entries.map(({ contender, pps, cpu, mbps }) => [
    contender.name,
    { pps: Math.round(median(pps)), cpu: round2(median(cpu)), mbps: Math.round(median(mbps)) },
  ]),
);
const base = figures.linux;
const ratioOf = (name: string): { pps: number; cpu: number; mbps: number } | null => {
  const f = figures[name];
  if (f === undefined || base === undefined) return null;
  return { pps: round2(f.pps / base.pps), cpu: round2(base.cpu / f.cpu), mbps: round2(f.mbps / base.mbps) };
};
console.log(
  `Two hosts, 64-byte frames one way and one TCP stream; medians of ${rounds} rounds; cpu: us a frame.\n`,
);
printTable(
  ['', 'kframes/s', 'cpu', 'TCP Mbit/s', 'x frames', 'x cpu', 'x TCP'],
  entries.map(({ contender: { name, title } }) => {
    const f = figures[name]!;
    const ratio = ratioOf(name);
    const numbers = [(f.pps / 1000).toFixed(0), f.cpu.toFixed(2), String(f.mbps)];
    const ratios = [ratio?.pps, ratio?.cpu, ratio?.mbps].map((r) => r?.toFixed(2) ?? '');
    return [title, ...numbers, ...ratios];
  }),
);
if (options.json === true) {
  console.log(
    JSON.stringify({
      bench: 'vxlan',
      ours: figures.vxlan,
      theirs: base,
      ratio: ratioOf('vxlan'),
      all: figures,
      rounds,
    }),
  );
}
