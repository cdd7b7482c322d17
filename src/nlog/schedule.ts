import { AggregateRunner } from './aggregate.ts';
import type { Functions } from './functions.ts';
import { IndexCatalogue, type Plan, planRule } from './plan.ts';
import type { Atom, Program, Rule, Stratum, Table } from './program.ts';
import { Relation } from './relation.ts';
import { compileRule, type Hidden, type RuleFunction } from './rule-code.ts';
import { layoutOf, type Memory, Scratch } from './store.ts';
import type { Values } from './values.ts';

/*
 * Who runs when a table changes.
 *
 * Tables get their turn in the order of the strata. At its turn, the rows of a table that came or went
 * are joined with the other tables of each rule that reads it. Tables that had their turn are seen
 * as they are after the transaction, the others as they were before: so the changes of one rule add up
 * to exactly the difference, and counts of derivations are exact at every moment.
 *
 * Where a rule reads one table several times, the same holds for each of its places in the order of the
 * text: while the changed rows stand in one place, earlier places see the table with them, later
 * places without them. The first place can run before the changed rows are shown (or hidden), the last
 * place after; a place in between needs both views at once, and gets them by hiding the rows of
 * the batch from some atoms (`Hidden`), in one variant for rows that come and one for rows that go.
 */

/** One place of a table in the body of a rule, compiled. */
export interface Occurrence {
  readonly rule: Rule;
  readonly plan: Plan;
  readonly run: RuleFunction;
  /** What its other atoms join with: while one of these is empty, there is nothing to find. */
  readonly partners: readonly Relation[];
  readonly stats: RuleStats;
}

/** What a rule has done since the engine was made. */
export interface RuleStats {
  rowsIn: number;
  derivations: number;
  /** Milliseconds; 0 without a clock. */
  time: number;
}

/** The occurrences of one table, by when they run. */
export interface Consumers {
  /** Before the rows of the batch change their visibility. */
  readonly before: Occurrence[];
  /** After. */
  readonly after: Occurrence[];
  /** Between: rows that come run after, rows that go before. */
  readonly comingBetween: Occurrence[];
  readonly goingBetween: Occurrence[];
  /** Recursive tables: rules outside the stratum, run once with the net change. */
  readonly deferred: Occurrence[];
  readonly aggregates: AggregateRunner[];
}

export interface Schedule {
  readonly relations: ReadonlyMap<Table, Relation>;
  readonly consumers: ReadonlyMap<Table, Consumers>;
  readonly strata: readonly Stratum[];
  /** Rules without a positive atom: run once, on empty tables. */
  readonly initial: readonly Occurrence[];
  readonly aggregates: readonly AggregateRunner[];
  readonly functions: Functions;
  readonly scratch: Scratch;
  readonly stats: ReadonlyMap<Rule, RuleStats>;
}

interface Place {
  readonly rule: Rule;
  readonly at: number;
  readonly plan: Plan;
}

export function schedule(program: Program, values: Values, functions: Functions, memory: Memory): Schedule {
  const stratumOf = new Map<Table, number>();
  program.strata.forEach((s, i) => {
    for (const t of s.tables) stratumOf.set(t, i);
  });
  const recursive = (t: Table): boolean => program.strata[stratumOf.get(t)!].recursive;

  const places = program.rules.flatMap((rule) =>
    rule.body.flatMap((l, at): Place[] =>
      l.kind === 'atom' ? [{ rule, at, plan: planRule(rule, at) }] : [],
    ),
  );
  const starts = program.rules
    .filter((r) => !r.body.some((l) => l.kind === 'atom' && !l.negated))
    .map((r) => planRule(r, -1));
  const indexes = new IndexCatalogue();
  for (const p of places) indexes.addPlan(p.plan);
  for (const a of program.aggregates)
    if (AggregateRunner.needsGroups(a.op) && a.groups > 0)
      indexes.add(
        a.source,
        Array.from({ length: a.groups }, (_, i) => i),
      );
  for (const t of program.tables) if (hasRealKey(t)) indexes.add(t, t.key);

  const scratch = new Scratch();
  const relations = new Map<Table, Relation>();
  for (const t of program.tables)
    relations.set(
      t,
      new Relation(
        t,
        layoutOf(t.columns.length, recursive(t), indexes.of(t), hasRealKey(t) ? t.key : []),
        stratumOf.get(t)!,
        values,
        memory,
        scratch,
      ),
    );
  const aggregates = program.aggregates.map(
    (a) => new AggregateRunner(a, relations.get(a.source)!, relations.get(a.head)!, values, memory),
  );

  const stats = new Map<Rule, RuleStats>(
    program.rules.map((r) => [r, { rowsIn: 0, derivations: 0, time: 0 }]),
  );
  const occurrence = (plan: Plan, hidden: Hidden = new Set()): Occurrence => ({
    rule: plan.rule,
    plan,
    run: compileRule(plan, hidden, (t) => relations.get(t)!, values, functions),
    partners: plan.steps.flatMap((s) =>
      s.kind === 'atom' && !s.atom.negated ? [relations.get(s.atom.table)!] : [],
    ),
    stats: stats.get(plan.rule)!,
  });

  const consumers = new Map<Table, Consumers>();
  for (const t of program.tables)
    consumers.set(t, {
      before: [],
      after: [],
      comingBetween: [],
      goingBetween: [],
      deferred: [],
      aggregates: aggregates.filter((a) => a.aggregate.source === t),
    });
  for (const { rule, at, plan } of places) {
    const table = (rule.body[at] as Atom).table;
    const to = consumers.get(table)!;
    const same = rule.body.flatMap((l, i) => (l.kind === 'atom' && l.table === table ? [i] : []));
    const home = stratumOf.get(table)!;
    const inside = rule.body.filter((l) => l.kind === 'atom' && stratumOf.get(l.table) === home).length;
    if (recursive(table) && stratumOf.get(rule.head) !== home && inside === 1)
      to.deferred.push(occurrence(plan));
    else if (at === same[0]) to.before.push(occurrence(plan));
    else if (at === same[same.length - 1]) to.after.push(occurrence(plan));
    else {
      // Coming rows are visible by then: later places must not see them. Going rows still are: earlier ones must not.
      to.comingBetween.push(occurrence(plan, new Set(same.filter((i) => i > at))));
      to.goingBetween.push(occurrence(plan, new Set(same.filter((i) => i < at))));
    }
  }
  return {
    relations,
    consumers,
    strata: program.strata,
    initial: starts.map((p) => occurrence(p)),
    aggregates,
    functions,
    scratch,
    stats,
  };
}

/** A key that says more than that rows are distinct. */
export function hasRealKey(table: Table): boolean {
  return table.key.length > 0 && table.key.length < table.columns.length;
}
