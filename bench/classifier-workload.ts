/**
 * The workload of `ovstest test-classifier benchmark`: thirteen fields of two values each, rules on
 * them with random values and priorities, packets that have random values in all but the metadata.
 *
 * That program draws as many masks as it is told but then makes every rule exact on all fields, so that
 * its tables have one mask whatever the argument says. `masks: 1` does the same here; other numbers
 * mean what they say: each rule has one of that many random subsets of the fields.
 */
import { Classifier } from '../src/flow/classifier.ts';
import type { Field } from '../src/flow/field.ts';
import { F } from '../src/flow/fields.ts';
import type { Flow } from '../src/flow/layout.ts';
import { Match } from '../src/flow/match.ts';
import { Rule } from '../src/flow/rule.ts';

const FIELDS: readonly { readonly field: Field; readonly values: readonly [bigint, bigint] }[] = [
  { field: F.ipSrc, values: [0xc0a80001n, 0xc0a04455n] },
  { field: F.ipDst, values: [0xc0a80002n, 0xc0a04455n] },
  { field: F.tunId, values: [0n, 0xfedcba9876543210n] },
  { field: F.inPortOxm, values: [1n, 0xfffffffen] },
  { field: F.vlanTci, values: [101n, 0n] },
  { field: F.ethType, values: [0x0800n, 0x0806n] },
  { field: F.tcpSrc, values: [49362n, 80n] },
  { field: F.tcpDst, values: [6667n, 22n] },
  { field: F.ethSrc, values: [0x0002e30f80a4n, 0x5e337f5f1e99n] },
  { field: F.ethDst, values: [0x4a2771ae64c1n, 0xffffffffffffn] },
  { field: F.nwProto, values: [6n, 1n] },
  { field: F.nwTos, values: [48n, 0n] },
  { field: F.metadata, values: [0n, 0xfedcba9876543210n] },
];

const N_PACKETS = 8192;
/** Packets have the metadata's first value. */
const PACKET_BITS = FIELDS.length - 1;

/** Random numbers below a bound, the same in every run. */
export class Random {
  #x = 0x2545f491;

  below(n: number): number {
    this.#x ^= this.#x << 13;
    this.#x ^= this.#x >>> 17;
    this.#x ^= this.#x << 5;
    return (this.#x >>> 0) % n;
  }
}

export interface Workload {
  readonly rules: number;
  readonly priorities: number;
  readonly masks: number;
}

function matchOf(values: number, fields: number): Match {
  const match = new Match();
  for (const [i, { field, values: pair }] of FIELDS.entries()) {
    if ((fields >>> i) & 1) match.set(field, pair[(values >>> i) & 1]);
  }
  return match;
}

/** A classifier full of rules, and packets to look up. */
export function build(workload: Workload): { classifier: Classifier<Rule>; packets: Flow[] } {
  const random = new Random();
  const all = 2 ** FIELDS.length;
  const masks = new Set<number>();
  if (workload.masks === 1) masks.add(all - 1);
  while (masks.size < workload.masks) masks.add(1 + random.below(all - 1));
  const maskList = [...masks];
  const classifier = new Classifier<Rule>();
  for (let i = 0; i < workload.rules; i++) {
    const priority = random.below(workload.priorities) * 129;
    const match = matchOf(random.below(all), maskList[random.below(maskList.length)]);
    if (classifier.find(match, priority, 0) === null) classifier.insert(new Rule(priority), match);
  }
  return { classifier, packets: randomPackets(random) };
}

/** Packets with random values in all fields but the metadata. */
export function randomPackets(random = new Random()): Flow[] {
  return Array.from(
    { length: N_PACKETS },
    () => matchOf(random.below(2 ** PACKET_BITS), 2 ** FIELDS.length - 1).flow,
  );
}

/** A mask of all bits of the thirteen fields. */
export function exactMask(): Flow {
  return matchOf(0, 2 ** FIELDS.length - 1).mask;
}
