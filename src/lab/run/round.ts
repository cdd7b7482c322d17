/** One round of probes: every machine tries everything on every other at once, and what came of it. */
import { isIpv6 } from '../file/address.ts';
import { type LabPlan, type MachinePlan, type PairPlan, type Probe, probeText } from '../file/plan.ts';
import { markBytes } from '../guest/marks.ts';
import type { ProbeTarget } from '../guest/protocol.ts';
import { forgedFrames } from './forge.ts';
import type { Site } from './site.ts';

/** How long an answer that must not come is waited for. */
const SILENCE_MS = 1200;
/** How long one that must come is. */
const ANSWER_MS = 12_000;
/** How long after the last forged frame it may still turn up. */
const SETTLE_MS = 300;

/** One probe of a pair, over one family of addresses. */
export interface Finding {
  readonly pair: PairPlan;
  readonly probe: string;
  readonly address: string;
  readonly expected: boolean;
  /** Whether the machine that was meant answered. */
  readonly reached: boolean;
  /** Of the answer. */
  readonly ms: number | undefined;
  /** Who answered instead. */
  readonly other: string | undefined;
}

/** A machine's packet that was seen at a machine of another tenant. */
export interface Stray {
  readonly from: MachinePlan;
  readonly at: MachinePlan;
  readonly frames: number;
  /** One of them, in hex. */
  readonly first: string;
}

export interface RoundResult {
  readonly findings: readonly Finding[];
  readonly strays: readonly Stray[];
  /** Marked frames that were seen at machines. */
  readonly frames: number;
  /** Frames that machines sent which they have no business to send. */
  readonly forged: number;
  readonly seconds: number;
}

const asExpected = ({ expected, reached }: Finding): boolean => expected === reached;
export const heldRound = ({ findings, strays }: RoundResult): boolean =>
  findings.every(asExpected) && strays.length === 0;
export const wrongOf = ({ findings }: RoundResult): Finding[] => findings.filter((f) => !asExpected(f));

interface Task {
  readonly target: ProbeTarget;
  /** The pairs that this one probe is about: machines of several tenants may have the address. */
  readonly pairs: readonly PairPlan[];
}

/** What one machine tries; nothing twice, and nothing of its own addresses. */
function tasksOf(plan: LabPlan, from: MachinePlan): Task[] {
  const tasks = new Map<string, Task>();
  const own = new Set(from.addresses.map(({ address }) => address));
  const speaks = (address: string): boolean =>
    from.addresses.some((mine) => isIpv6(mine.address) === isIpv6(address));
  for (const pair of plan.pairs.filter((p) => p.from === from)) {
    for (const { address } of pair.to.addresses) {
      if (own.has(address) || !speaks(address)) continue;
      for (const probe of plan.probes) {
        const text = probeText(probe);
        const key = `${text} ${address}`;
        const known = tasks.get(key);
        tasks.set(key, {
          target: { probe, address, expected: (known?.target.expected ?? false) || pair.can.has(text) },
          pairs: [...(known?.pairs ?? []), pair],
        });
      }
    }
  }
  return [...tasks.values()];
}

/** Ports that machines answer at. */
export function servedPorts(plan: LabPlan): { tcp: number[]; udp: number[] } {
  const of = (kind: 'tcp' | 'udp'): number[] =>
    plan.probes.flatMap((probe: Probe) => (probe.kind === kind ? [probe.port] : []));
  const tcp = new Set([...of('tcp'), ...plan.moves.map((move) => move.tcp)]);
  return { tcp: [...tcp], udp: of('udp') };
}

/** Has every machine answer at the ports that the lab tries. */
export async function serveAll(site: Site): Promise<void> {
  const ports = servedPorts(site.plan);
  await Promise.all(site.plan.machines.map(({ name }) => site.guest(name).ask('serve', { name, ...ports })));
}

export class Round {
  readonly #site: Site;
  readonly #nonce: number;

  /** `nonce`: 16 random bits, which tell the packets of this round from those of others. */
  constructor(site: Site, nonce: number) {
    this.#site = site;
    this.#nonce = nonce;
  }

  /** `forging`: have machines also send what they have no business to send. */
  async run(forging = true): Promise<RoundResult> {
    const started = performance.now();
    const { plan } = this.#site;
    const machines = plan.machines;
    await Promise.all(
      machines.map(({ name }) => this.#site.guest(name).ask('watchMarks', { nonce: this.#nonce })),
    );
    const found = await Promise.all(machines.map((from, sender) => this.#probeFrom(from, sender)));
    const sent = forging
      ? await Promise.all(machines.map((from, sender) => this.#forgeFrom(from, sender)))
      : [];
    const forged = sent.reduce((sum, n) => sum + n, 0);
    // What is right must get through behind what is forged: then the switches have dealt with all of it.
    if (forged > 0) await Promise.all(machines.map((from, sender) => this.#flush(from, sender)));
    const seen = await Promise.all(machines.map(({ name }) => this.#site.guest(name).ask('marks', null)));
    const strays = machines.flatMap((at, i) =>
      machines.flatMap((from, sender) => {
        const marked = seen[i][sender];
        return marked === undefined || from.tenant === at.tenant ? [] : [{ from, at, ...marked }];
      }),
    );
    const all = seen.flatMap((bySender) => Object.values(bySender));
    const frames = all.reduce((sum, marked) => sum + marked.frames, 0);
    return { findings: found.flat(), strays, frames, forged, seconds: (performance.now() - started) / 1000 };
  }

  #forgeFrom(from: MachinePlan, sender: number): Promise<number> {
    const mark = markBytes({ nonce: this.#nonce, sender });
    const frames = forgedFrames(this.#site.plan, from, mark).map((frame) =>
      Buffer.from(frame).toString('hex'),
    );
    return this.#site.guest(from.name).ask('sendRaw', { frames });
  }

  async #flush(from: MachinePlan, sender: number): Promise<void> {
    const targets = tasksOf(this.#site.plan, from).flatMap(({ target }) => (target.expected ? [target] : []));
    const mark = { nonce: this.#nonce, sender };
    const times = { minimumMs: SETTLE_MS, limitMs: ANSWER_MS };
    await this.#site.guest(from.name).ask('probe', { targets, mark, ...times });
  }

  async #probeFrom(from: MachinePlan, sender: number): Promise<Finding[]> {
    const tasks = tasksOf(this.#site.plan, from);
    if (tasks.length === 0) return [];
    const outcomes = await this.#site.guest(from.name).ask('probe', {
      targets: tasks.map(({ target }) => target),
      mark: { nonce: this.#nonce, sender },
      minimumMs: SILENCE_MS,
      limitMs: ANSWER_MS,
    });
    return tasks.flatMap(({ target, pairs }, i) => {
      const { by, ms } = outcomes[i];
      const probe = probeText(target.probe);
      return pairs.map((pair): Finding => {
        // A ping's answer has no name. Whose address is the same but who may not be reached is told by marks.
        const meant = by ?? pairs.find((p) => p.from.tenant === p.to.tenant)?.to.name ?? pair.to.name;
        return {
          pair,
          probe,
          address: target.address,
          expected: pair.can.has(probe),
          reached: ms !== undefined && meant === pair.to.name,
          ms,
          other: by !== undefined && by !== pair.to.name ? by : undefined,
        };
      });
    });
  }
}
