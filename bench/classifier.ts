/**
 * `npm run bench -- classifier [--json]`: lookups per second of the classifier, with and without a record
 * of the bits that decided. With OVS_SRC set to a built Open vSwitch tree, the same workload runs in its
 * `ovstest test-classifier benchmark`, turn about with ours.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Classifier } from '../src/flow/classifier.ts';
import { F } from '../src/flow/fields.ts';
import { newFlow, W_NW_DST } from '../src/flow/layout.ts';
import { Match } from '../src/flow/match.ts';
import { Rule } from '../src/flow/rule.ts';
import { build, Random, type Workload } from './classifier-workload.ts';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const LOOKUPS = 1_000_000;
const ROUNDS = 5;

/** Million lookups a second. */
interface Rates {
  readonly plain: number;
  readonly tracked: number;
}

const WORKLOADS: readonly Workload[] = [
  { rules: 1_000, priorities: 10, masks: 1 },
  { rules: 10_000, priorities: 10, masks: 1 },
  { rules: 100_000, priorities: 10, masks: 1 },
  { rules: 100_000, priorities: 1, masks: 1 },
  { rules: 1_000, priorities: 10, masks: 10 },
  { rules: 10_000, priorities: 10, masks: 10 },
  { rules: 100_000, priorities: 10, masks: 10 },
  { rules: 100_000, priorities: 1, masks: 50 },
];

/** One round of our own on a table that is built once. */
function ourRound(workload: Workload): () => Rates & { readonly hits: number } {
  const { classifier, packets } = build(workload);
  const wc = newFlow();
  let hits = 0;
  const run = (tracked: boolean): number => {
    const random = new Random();
    hits = 0;
    const start = performance.now();
    for (let i = 0; i < LOOKUPS; i++) {
      const packet = packets[random.below(packets.length)];
      if (tracked) wc.fill(0);
      if (classifier.lookup(0, packet, tracked ? wc : null) !== null) hits++;
    }
    return LOOKUPS / (performance.now() - start) / 1000;
  };
  run(false);
  run(true);
  return () => ({ plain: run(false), tracked: run(true), hits: hits / LOOKUPS });
}

/** One round of stock's program; null if it doesn't answer as expected. */
function theirRound(ovstest: string, { rules, priorities }: Workload): Rates | null {
  const args = ['test-classifier', 'benchmark', rules, priorities, 1, 1, LOOKUPS].map(String);
  const run = spawnSync(ovstest, args, { encoding: 'utf8' });
  const rates = [...(run.stdout ?? '').matchAll(/(\d+) lookups\/sec/g)].map((m) => Number(m[1]) / 1e6);
  return rates.length === 2 ? { plain: rates[0], tracked: rates[1] } : null;
}

function median(list: readonly number[]): number {
  return [...list].sort((a, b) => a - b)[list.length >> 1];
}

/** Rounds turn about, so that a busy machine hits both alike; medians. */
function compare(workload: Workload, ovstest: string | null) {
  const round = ourRound(workload);
  const ours: ReturnType<typeof round>[] = [];
  const theirs: Rates[] = [];
  for (let i = 0; i < ROUNDS; i++) {
    ours.push(round());
    const their = ovstest !== null && workload.masks === 1 ? theirRound(ovstest, workload) : null;
    if (their !== null) theirs.push(their);
  }
  const middle = (rates: readonly Rates[]): Rates => ({
    plain: median(rates.map((r) => r.plain)),
    tracked: median(rates.map((r) => r.tracked)),
  });
  return { ours: { ...middle(ours), hits: ours[0].hits }, theirs: theirs.length > 0 ? middle(theirs) : null };
}

const source = process.env.OVS_SRC ?? '';
const ovstest = join(source, 'tests', 'ovstest');
const hasPeer = source !== '' && existsSync(ovstest);
if (!hasPeer) {
  const why = source === '' ? 'OVS_SRC is not set' : `${ovstest} does not exist`;
  console.log(`Without stock's figures: ${why}. Set OVS_SRC to a built Open vSwitch tree to have them.`);
}

console.log(`Million lookups a second, median of ${ROUNDS} rounds of ${LOOKUPS}.`);
console.log('"tracked" also records which bits decided. Stock\'s program makes tables of one mask only.\n');
const head = ['rules', 'prios', 'masks', 'hits', 'plain', 'stock', 'ratio', 'tracked', 'stock', 'ratio'];
console.log(head.map((h) => h.padStart(10)).join(''));

const rows = WORKLOADS.map((workload) => {
  const { ours, theirs } = compare(workload, hasPeer ? ovstest : null);
  const cell = (n: number | undefined) => (n === undefined ? '-' : n.toFixed(2)).padStart(10);
  console.log(
    [
      String(workload.rules).padStart(10),
      String(workload.priorities).padStart(10),
      String(workload.masks).padStart(10),
      `${Math.round(ours.hits * 100)} %`.padStart(10),
      cell(ours.plain),
      cell(theirs?.plain),
      cell(theirs === null ? undefined : ours.plain / theirs.plain),
      cell(ours.tracked),
      cell(theirs?.tracked),
      cell(theirs === null ? undefined : ours.tracked / theirs.tracked),
    ].join(''),
  );
  return { ...workload, ours, theirs };
});

/** What it costs to fill a table with distinct flows to single addresses, and to empty it. */
function measureChanges(count: number): { insert: number; remove: number; bytes: number; objects: number } {
  const classifier = new Classifier<Rule>();
  const match = new Match().setNumber(F.ethType, 0x0800).setNumber(F.ipDst, 1).setNumber(F.nwProto, 6);
  collectGarbage();
  const heap = process.memoryUsage().heapUsed;
  const rules: Rule[] = [];
  let start = performance.now();
  for (let i = 0; i < count; i++) {
    match.flow[W_NW_DST] = i;
    const rule = new Rule(i & 0xffff);
    classifier.insert(rule, match);
    rules.push(rule);
  }
  const insert = count / (performance.now() - start) / 1000;
  collectGarbage();
  const objects = (process.memoryUsage().heapUsed - heap) / count;
  const bytes = classifier.bytes / count;
  start = performance.now();
  for (const rule of rules) classifier.remove(rule);
  return { insert, remove: count / (performance.now() - start) / 1000, bytes, objects };
}

const changes = measureChanges(100_000);
console.log(
  `\n100000 flows to single addresses: ${changes.insert.toFixed(2)} million insertions a second, ` +
    `${changes.remove.toFixed(2)} million removals; ${changes.bytes.toFixed(0)} bytes a rule in tables, ` +
    `about ${changes.objects.toFixed(0)} in objects.`,
);

if (process.argv.includes('--json')) {
  const compared = rows.filter((row) => row.theirs !== null);
  const ratios = compared.flatMap(({ ours, theirs }) =>
    theirs === null ? [] : [ours.plain / theirs.plain, ours.tracked / theirs.tracked],
  );
  const biggest = compared.at(-1) ?? rows.find((row) => row.rules === 100_000);
  console.log(
    JSON.stringify({
      bench: 'classifier',
      unit: 'million lookups/s, plain, 100,000 rules of one mask and priority',
      ours: biggest?.ours.plain ?? null,
      theirs: biggest?.theirs?.plain ?? null,
      /** The least of all comparisons, plain and tracked. */
      ratio: ratios.length > 0 ? Math.min(...ratios) : null,
      rows,
      changes,
    }),
  );
}
