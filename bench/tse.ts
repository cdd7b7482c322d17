/**
 * `npm run bench -- tse [--json] [--rounds=N] [--only=NAME]`: tuple space explosion (CVE-2019-25076). An access list allows a
 * source address, a source port, a destination port; the attacker sends the 8,192 frames that differ from each in one bit,
 * so that each wants a megaflow with a mask of its own. Attacker and victim come in by one port, as by an uplink.
 *
 * The victim's frames a second (64 bytes, 1,000 flows, as fast as one process can send) before, during and after; `cpu` as
 * in `bench l2`: microseconds of all that work on a frame of the victim's, what the attack costs among it. The drop-in daemons
 * with the kernel datapath, and stock Open vSwitch with its userspace datapath.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Network, networkMissing } from '../test/network.ts';
import { SwitchHost } from '../test/system/host.ts';
import { ALLOWED } from './frame-load.ts';
import { frameRate, median, printTable, round2, Sink, sendLoad } from './measure.ts';

const WINDOW = 1.5;
/** Enough for all frames to have come up before the window. */
const ATTACK_SECONDS = 6;
const ATTACK_RATE = 10_000;
const MAX_IDLE_MS = 2000;
const PHASES = ['before', 'during', 'after'] as const;

const { values: options } = parseArgs({
  args: process.argv.slice(3),
  options: {
    json: { type: 'boolean' },
    rounds: { type: 'string', default: '3' },
    only: { type: 'string' },
  },
});
const rounds = Number(options.rounds);
const missing = networkMissing('ethtool', 'ovs-vswitchd', 'ovsdb-server', 'ovs-appctl');
if (missing !== false) {
  console.error(`bench tse: ${missing}`);
  process.exit(2);
}

const address = (n: number): string => [24, 16, 8, 0].map((shift) => (n >>> shift) & 255).join('.');

class Contender {
  readonly title: string;
  readonly name: string;
  readonly samples = Object.fromEntries(
    PHASES.map((phase) => [phase, { pps: [] as number[], cpu: [] as number[] }]),
  ) as Record<(typeof PHASES)[number], { pps: number[]; cpu: number[] }>;
  /** While the attack went on. */
  readonly megaflows: number[] = [];
  readonly #network: Network;
  readonly #host: SwitchHost;
  readonly #sender: string;
  readonly #receiver: string;
  #sink: Sink | null = null;

  constructor(network: Network, name: string, title: string, stock: boolean, type: 'netdev' | 'system') {
    this.#network = network;
    this.name = name;
    this.title = title;
    this.#host = new SwitchHost(network, [], { name: `${name}-host`, stock, datapathType: type });
    [this.#sender, this.#receiver] = ['sender', 'receiver'].map((guest) =>
      network.namespace(`${name}-${guest}`),
    ) as [string, string];
  }

  async start(): Promise<void> {
    const host = this.#host;
    this.#network.veth(this.#sender, 'eth0', host.ns, 'p1', '02:00:00:00:00:01');
    this.#network.veth(this.#receiver, 'eth0', host.ns, 'p2', '02:00:00:00:00:02');
    await host.must('ethtool', '-K', 'p1', 'gro', 'on');
    await host.start();
    await host.vsctl('set', 'Open_vSwitch', '.', `other_config:max-idle=${MAX_IDLE_MS}`);
    await host.vsctl('add-br', 'br0', '--', 'set', 'bridge', 'br0', `datapath_type=${host.datapathType}`);
    for (const i of [1, 2])
      await host.vsctl('add-port', 'br0', `p${i}`, '--', 'set', 'interface', `p${i}`, `ofport_request=${i}`);
    await host.ofctl('del-flows', 'br0');
    for (const flow of [
      'priority=40,udp,nw_src=10.99.0.1,actions=output:2',
      `priority=30,udp,tp_dst=${ALLOWED.tpDst},actions=output:2`,
      `priority=20,udp,tp_src=${ALLOWED.tpSrc},actions=output:2`,
      `priority=10,udp,nw_src=${address(ALLOWED.nwSrc)},actions=output:2`,
      'priority=0,actions=drop',
    ])
      await host.ofctl('add-flow', 'br0', flow);
    this.#sink = new Sink(this.#network, this.#receiver);
  }

  async #look(phase: (typeof PHASES)[number]): Promise<void> {
    const pids = [this.#host.pid('ovs-vswitchd')];
    const load = { vary: 'flow', flows: 1000 } as const;
    const rate = await frameRate(this.#network, this.#sender, this.#sink!, load, WINDOW, pids);
    this.samples[phase].pps.push(rate.pps);
    this.samples[phase].cpu.push(rate.cpu);
  }

  async measure(): Promise<void> {
    await this.#look('before');
    const load = { vary: 'explode', flows: 0, rate: ATTACK_RATE, seconds: ATTACK_SECONDS } as const;
    const attack = sendLoad(this.#network, this.#sender, load);
    await sleep((ATTACK_SECONDS - WINDOW - 2) * 1000);
    const shown = /\(current (\d+)\)/.exec(await this.#host.appctl('upcall/show'))?.[1];
    this.megaflows.push(Number(shown));
    await this.#look('during');
    await attack;
    await sleep(2 * MAX_IDLE_MS);
    await this.#look('after');
  }

  async close(): Promise<void> {
    this.#sink?.close();
    // Else the links of our ports would go on.
    await this.#host.run('ovs-appctl', '--timeout=20', 'exit', '--cleanup');
    this.#host.close();
  }
}

const network = new Network();
const contenders: Contender[] = [];
try {
  for (const [name, title, stock, type] of [
    ['kernel', 'weft, kernel', false, 'system'],
    ['stock', 'Open vSwitch netdev', true, 'netdev'],
  ] as const) {
    if (options.only !== undefined && options.only !== name) continue;
    const contender = new Contender(network, name, title, stock, type);
    contenders.push(contender);
    await contender.start();
  }
  for (let round = 0; round < rounds; round++) for (const contender of contenders) await contender.measure();
} finally {
  for (const contender of contenders) await contender.close();
  network.close();
}

const figures = Object.fromEntries(
  contenders.map(({ name, samples, megaflows }) => {
    const of = (phase: (typeof PHASES)[number], kind: 'pps' | 'cpu'): number =>
      round2(median(samples[phase][kind]));
    const phases = PHASES.map((phase) => [phase, { pps: of(phase, 'pps'), cpu: of(phase, 'cpu') }]);
    const kept = round2(of('during', 'pps') / of('before', 'pps'));
    return [name, { ...Object.fromEntries(phases), megaflows: median(megaflows), kept }];
  }),
) as Record<
  string,
  Record<(typeof PHASES)[number], { pps: number; cpu: number }> & { megaflows: number; kept: number }
>;
console.log(
  `A victim's frames (k/s; us of processor each), with ${ATTACK_RATE} frames a second of an attacker; medians of ${rounds} rounds.\n`,
);
printTable(
  ['', ...PHASES.flatMap((phase) => [phase, 'cpu']), 'kept', 'megaflows'],
  contenders.map(({ name, title }) => {
    const f = figures[name]!;
    const numbers = PHASES.flatMap((phase) => [(f[phase].pps / 1000).toFixed(0), f[phase].cpu.toFixed(2)]);
    return [title, ...numbers, `${(f.kept * 100).toFixed(0)} %`, String(f.megaflows)];
  }),
);
if (options.json === true) {
  const { kernel: ours, stock: theirs } = figures;
  const ratio = ours && theirs ? round2(ours.during.pps / theirs.during.pps) : null;
  console.log(JSON.stringify({ bench: 'tse', ours, theirs, ratio, rounds }));
}
