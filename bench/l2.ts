/**
 * `npm run bench -- l2 [--json] [--rounds=N] [--only=NAME,...]`: one host's layer 2 between guests (network namespaces on
 * veth pairs): the Linux bridge, stock Open vSwitch's userspace datapath over packet and over XDP sockets, our two
 * datapaths, and bare redirects as the limit of what a tcx program can do.
 *
 * Frames: 64 bytes of UDP, made on the sender's side by XDP (frame-load.ts) as fast as one process can, with one flow
 * and with a thousand (source MAC and port); a program at the receiver's device counts and ends them. `cpu`: what all who
 * work on a frame use, generator and receiver too, in microseconds of one processor; where others use the machine it is
 * steadier than the rate. TCP: one stream of iperf3, cubic, from another guest at default offloads; stock passes nothing
 * at these, so its guests switch transmit offload off. All take turns in every round; medians count.
 */
import { parseArgs } from 'node:util';
import { Network, networkMissing } from '../test/network.ts';
import { CONTENDERS, type Contender, FLOWS, type Make } from './l2-contenders.ts';
import { frameRate, median, printTable, round2, Sink, tcp } from './measure.ts';

const FRAME_SECONDS = 1.5;
const TCP_SECONDS = 2;

interface Figures {
  /** Frames a second, and microseconds of processor a frame, of one flow. */
  pps: number;
  cpu: number;
  /** Of a thousand. */
  pps1000: number;
  cpu1000: number;
  mbps: number;
}

const KINDS = ['pps', 'cpu', 'pps1000', 'cpu1000', 'mbps'] as const;
type Samples = Record<(typeof KINDS)[number], number[]>;

const { values: options } = parseArgs({
  args: process.argv.slice(3),
  options: { json: { type: 'boolean' }, rounds: { type: 'string', default: '5' }, only: { type: 'string' } },
});
const rounds = Number(options.rounds);
const missing = networkMissing('iperf3', 'ethtool', 'ovs-vswitchd', 'ovsdb-server');
if (missing !== false) {
  console.error(`bench l2: ${missing}`);
  process.exit(2);
}

interface Entry {
  readonly contender: Contender;
  readonly sink: Sink;
  readonly samples: Samples;
}

async function open(network: Network, name: string, make: Make, entries: Entry[]): Promise<void> {
  let contender: Contender;
  try {
    contender = await make(network);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    console.log(`${name} is left out, as it does not start: ${why.trim().split('\n').at(-1)}`);
    return;
  }
  const { a, b, title } = contender;
  const samples: Samples = { pps: [], cpu: [], pps1000: [], cpu1000: [], mbps: [] };
  entries.push({ contender, sink: new Sink(network, b), samples });
  // The first ones may get lost while addresses are looked for.
  await network.run(a, 'ping', ['-c', '2', '-i', '0.2', '-W', '1', '10.99.0.2']);
  const { stdout } = await network.run(a, 'ping', ['-c', '3', '-i', '0.2', '-W', '2', '10.99.0.2']);
  if (!stdout.includes(' 0% packet loss')) console.log(`${title} does not forward:\n${stdout}`);
}

async function measure(network: Network, { contender, sink, samples }: Entry): Promise<void> {
  const { a, b, c, pids } = contender;
  for (const [flows, pps, cpu] of [
    [1, samples.pps, samples.cpu],
    [FLOWS, samples.pps1000, samples.cpu1000],
  ] as const) {
    const rate = await frameRate(network, c, sink, { vary: 'flow', flows, src: 3 }, FRAME_SECONDS, pids);
    pps.push(rate.pps);
    cpu.push(rate.cpu);
  }
  samples.mbps.push(await tcp(network, a, b, '10.99.0.2', TCP_SECONDS));
}

const network = new Network();
const entries: Entry[] = [];
try {
  const only = options.only?.split(',');
  for (const [name, make] of CONTENDERS)
    if (only?.includes(name) ?? true) await open(network, name, make, entries);
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < entries.length; i++) await measure(network, entries[(i + round) % entries.length]!);
  }
} finally {
  for (const { contender, sink } of entries) {
    sink.close();
    await contender.stop();
  }
  network.close();
}

const figures = new Map<string, Figures>();
for (const { contender, samples } of entries) {
  const of = (kind: keyof Samples): number => round2(median(samples[kind]));
  figures.set(
    contender.name,
    Object.fromEntries(KINDS.map((kind) => [kind, of(kind)])) as unknown as Figures,
  );
}
console.log(
  `One host, 64-byte frames one way and one TCP stream; median of ${rounds} rounds; cpu: us a frame.\n`,
);
printTable(
  ['', 'kframes/s', 'cpu', '1,000 flows', 'cpu', 'TCP Mbit/s', 'offload'],
  entries.map(({ contender: { name, title, offload } }) => {
    const { pps, cpu, pps1000, cpu1000, mbps } = figures.get(name)!;
    const k = (n: number): string => (n / 1000).toFixed(0);
    return [title, k(pps), cpu.toFixed(2), k(pps1000), cpu1000.toFixed(2), mbps.toFixed(0), offload];
  }),
);

/** By how much one is above another: of rates, and of what a frame costs. */
function ratio(name: string, other: string): Figures | undefined {
  const [x, y] = [figures.get(name), figures.get(other)];
  if (x === undefined || y === undefined) return undefined;
  return {
    pps: round2(x.pps / y.pps),
    cpu: round2(y.cpu / x.cpu),
    pps1000: round2(x.pps1000 / y.pps1000),
    cpu1000: round2(y.cpu1000 / x.cpu1000),
    mbps: round2(x.mbps / y.mbps),
  };
}
const pairs = [
  ['kernel1', 'bridge'],
  ['kernel8', 'bridge'],
  ['kernel1', 'barepeer'],
  ['kernel8', 'barepeer'],
  ['kernel1', 'stock'],
  ['kernel1', 'stockxdp'],
  ['user', 'stock'],
] as const;
const ratios = Object.fromEntries(
  pairs.flatMap(([name, other]) => {
    const r = ratio(name, other);
    return r === undefined ? [] : [[`${name}/${other}`, r]];
  }),
);
console.log('');
printTable(
  ['ratios', 'kframes/s', 'cpu', '1,000 flows', 'cpu', 'TCP'],
  Object.entries(ratios).map(([name, r]) => [name, ...KINDS.map((kind) => r[kind].toFixed(2))]),
);
if (options.json === true) {
  console.log(
    JSON.stringify({
      bench: 'l2',
      ours: figures.get('kernel1'),
      theirs: figures.get('bridge'),
      ratio: ratio('kernel1', 'bridge'),
      ratios,
      all: Object.fromEntries(figures),
      rounds,
      samples: Object.fromEntries(entries.map(({ contender, samples }) => [contender.name, samples])),
    }),
  );
}
