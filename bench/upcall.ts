/**
 * `npm run bench -- upcall [--json] [--rates=N,...] [--only=NAME,...]`: how many new flows a second a switch sets up. The
 * drop-in daemons with the kernel datapath, and stock Open vSwitch with its userspace datapath, each with three tables
 * (port, source address, destination address), so that every source address wants a megaflow of its own.
 *
 * One guest sends frames of which each is from another source, at growing rates for a second; meanwhile another guest, a
 * bystander, does so at 1,000 a second. What did not arrive is lost. `cpu`: microseconds of processor that the switch's
 * process took for a flow. `delay`: what 99 of 100 of the bystander's frames took at the most, from device to device. Compared
 * is how many flows each makes in a second at the most.
 */
import { parseArgs } from 'node:util';
import { Network, networkMissing } from '../test/network.ts';
import { SwitchHost, until } from '../test/system/host.ts';
import { median, printTable, processSeconds, round2, Sink, sendLoad } from './measure.ts';

const SECONDS = 1;
const BYSTANDER_RATE = 1000;
/** Losses that still count as none: one frame of a thousand. */
const TOLERATED = 0.001;

const { values: options } = parseArgs({
  args: process.argv.slice(3),
  options: {
    json: { type: 'boolean' },
    rates: { type: 'string', default: '5000,10000,20000,30000,40000,50000,60000' },
    rounds: { type: 'string', default: '3' },
    only: { type: 'string' },
  },
});
const rates = options.rates.split(',').map(Number);
const rounds = Number(options.rounds);
const missing = networkMissing('ethtool', 'ovs-vswitchd', 'ovsdb-server', 'ovs-appctl');
if (missing !== false) {
  console.error(`bench upcall: ${missing}`);
  process.exit(2);
}

const GUESTS = ['flooder', 'receiver', 'bystander', 'friend'] as const;

interface Sample {
  /** Flows a second that were wanted, and set up. */
  readonly rate: number;
  readonly made: number;
  /** Of all frames. */
  readonly lost: number;
  readonly cpu: number;
  readonly bystanderLost: number;
  readonly delay: number;
}

class Contender {
  readonly name: string;
  readonly title: string;
  readonly samples: Sample[] = [];
  readonly #network: Network;
  readonly #host: SwitchHost;
  readonly #guests: Record<(typeof GUESTS)[number], string>;
  #sinks: readonly Sink[] = [];
  /** Sources that were used, so that none is used again. */
  #used = 0;
  #bystanderUsed = 0;

  constructor(network: Network, name: string, title: string, stock: boolean, type: 'netdev' | 'system') {
    this.#network = network;
    this.name = name;
    this.title = title;
    this.#host = new SwitchHost(network, [], { name: `${name}-host`, stock, datapathType: type });
    this.#guests = Object.fromEntries(
      GUESTS.map((guest) => [guest, network.namespace(`${name}-${guest}`)]),
    ) as Record<(typeof GUESTS)[number], string>;
  }

  async start(): Promise<void> {
    const host = this.#host;
    GUESTS.forEach((guest, i) => {
      this.#network.veth(this.#guests[guest], 'eth0', host.ns, `p${i + 1}`, `02:00:00:00:00:0${i + 1}`);
    });
    for (const port of ['p1', 'p3']) await host.must('ethtool', '-K', port, 'gro', 'on');
    await host.start();
    await host.vsctl('set', 'Open_vSwitch', '.', 'other_config:flow-limit=500000');
    await host.vsctl('add-br', 'br0', '--', 'set', 'bridge', 'br0', `datapath_type=${host.datapathType}`);
    for (let i = 1; i <= GUESTS.length; i++)
      await host.vsctl('add-port', 'br0', `p${i}`, '--', 'set', 'interface', `p${i}`, `ofport_request=${i}`);
    await host.ofctl('del-flows', 'br0');
    for (const flow of [
      'table=0,in_port=1,actions=resubmit(,1)',
      'table=0,in_port=3,actions=resubmit(,1)',
      'table=1,priority=9,dl_src=02:ff:ff:ff:ff:ff,actions=drop',
      'table=1,priority=1,actions=resubmit(,2)',
      'table=2,dl_dst=02:00:00:00:00:02,actions=output:2',
      'table=2,dl_dst=02:00:00:00:00:04,actions=output:4',
    ])
      await host.ofctl('add-flow', 'br0', flow);
    this.#sinks = [
      new Sink(this.#network, this.#guests.receiver),
      new Sink(this.#network, this.#guests.friend, true),
    ];
  }

  async #megaflows(): Promise<number> {
    return Number(/\(current (\d+)\)/.exec(await this.#host.appctl('upcall/show'))?.[1]);
  }

  async measure(rate: number): Promise<Sample> {
    const host = this.#host;
    await host.appctl('revalidator/purge');
    await until('the megaflows are gone', async () => (await this.#megaflows()) < 100);
    const [receiver, friend] = this.#sinks as [Sink, Sink];
    friend.forgetDelays();
    const pid = host.pid('ovs-vswitchd');
    const [before, beforeFriend, used] = [receiver.frames, friend.frames, processSeconds(pid)];
    const common = { vary: 'flow', flows: 0, seconds: SECONDS } as const;
    const [sent, bystanderSent] = await Promise.all([
      sendLoad(this.#network, this.#guests.flooder, { ...common, rate, first: this.#used }),
      sendLoad(this.#network, this.#guests.bystander, {
        ...common,
        rate: BYSTANDER_RATE,
        first: this.#bystanderUsed,
        group: 2,
        dst: 4,
        stamp: true,
      }),
    ]);
    this.#used += sent;
    this.#bystanderUsed += bystanderSent;
    // Until nothing arrives any more.
    for (let last = -1; receiver.frames !== last; ) {
      last = receiver.frames;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    const made = (await this.#megaflows()) - (friend.frames - beforeFriend);
    const arrived = receiver.frames - before;
    return {
      rate,
      made,
      lost: (sent - arrived) / sent,
      cpu: ((processSeconds(pid) - used) * 1e6) / (arrived + friend.frames - beforeFriend),
      bystanderLost: (bystanderSent - (friend.frames - beforeFriend)) / bystanderSent,
      delay: friend.delay(0.99),
    };
  }

  async close(): Promise<void> {
    for (const sink of this.#sinks) sink.close();
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
    if (options.only !== undefined && !options.only.split(',').includes(name)) continue;
    const contender = new Contender(network, name, title, stock, type);
    contenders.push(contender);
    await contender.start();
    await contender.measure(1000);
  }
  for (let round = 0; round < rounds; round++)
    for (const rate of rates)
      for (const contender of contenders) contender.samples.push(await contender.measure(rate));
} finally {
  for (const contender of contenders) await contender.close();
  network.close();
}

/** The median of each figure at one rate. */
function at({ samples }: Contender, rate: number): Sample {
  const of = (kind: keyof Sample): number =>
    median(samples.filter((sample) => sample.rate === rate).map((sample) => sample[kind]));
  return {
    rate,
    made: of('made'),
    lost: of('lost'),
    cpu: of('cpu'),
    bystanderLost: of('bystanderLost'),
    delay: of('delay'),
  };
}

const percent = (share: number): string => `${(share * 100).toFixed(2)} %`;
console.log(
  `New flows a second, beside a bystander with ${BYSTANDER_RATE}; medians of ${rounds} rounds; cpu: us a flow.\n`,
);
printTable(
  ['', 'rate', 'made', 'lost', 'cpu', 'bystander lost', 'delay p99, ms'],
  contenders.flatMap((contender) =>
    rates.map((rate) => {
      const s = at(contender, rate);
      const numbers = [String(rate), String(s.made), percent(s.lost), s.cpu.toFixed(1)];
      return [contender.title, ...numbers, percent(s.bystanderLost), s.delay.toFixed(2)];
    }),
  ),
);
const figures = Object.fromEntries(
  contenders.map((contender) => {
    const good = rates.filter((rate) => at(contender, rate).lost <= TOLERATED);
    const best = at(contender, good.at(-1) ?? rates[0]!);
    const worst = at(contender, rates.at(-1)!);
    return [
      contender.name,
      {
        withoutLoss: good.at(-1) ?? 0,
        most: Math.max(...rates.map((rate) => at(contender, rate).made)),
        cpu: round2(best.cpu),
        bystanderLost: worst.bystanderLost,
        delayP99: round2(worst.delay),
      },
    ];
  }),
);
for (const { name, title } of contenders) {
  const f = figures[name]!;
  console.log(
    `${title}: ${f.most} in a second at the most, ${f.withoutLoss} without loss, ${f.cpu} us each; at the highest rate a bystander loses ${percent(f.bystanderLost)}, p99 ${f.delayP99} ms`,
  );
}
if (options.json === true) {
  const [ours, theirs] = [figures.kernel, figures.stock];
  console.log(
    JSON.stringify({
      bench: 'upcall',
      ours,
      theirs,
      ratio: ours && theirs ? round2(ours.most / theirs.most) : null,
      samples: Object.fromEntries(contenders.map(({ name, samples }) => [name, samples])),
    }),
  );
}
