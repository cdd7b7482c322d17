import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Changes } from '../../src/nlog/changes.ts';
import {
  check,
  type Derivation,
  Engine,
  explain,
  loadSnapshot,
  type Program,
  type Row,
  saveSnapshot,
  type Transaction,
  whyNot,
} from '../../src/nlog/index.ts';
import { type Drawn, drawn, functions, render, rowOf } from './arbitrary.ts';
import { type Database, evaluate, keyOf, namedTables, sorted } from './oracle.ts';

/*
 * Random programs under random transactions, held after every transaction against the naive evaluator, and
 * at the end against an engine that gets the same rows at once, in another order.
 *
 *     WEFT_NLOG_TRANSACTIONS=1000000   as many transactions in all (default 100,000)
 *     WEFT_NLOG_SEED=1                 the seed that a failure named
 */

const TOTAL = Number(process.env.WEFT_NLOG_TRANSACTIONS ?? 100_000);
const SEED = process.env.WEFT_NLOG_SEED;
const PER_PROGRAM = 120;

class Rollback extends Error {}

function assertSame(engine: Engine, program: Program, expected: Database): void {
  for (const t of namedTables(program)) {
    const want = sorted(expected.get(t.name)!.values());
    assert.equal(engine.size(t.name), want.length, `number of rows of ${t.name}`);
    assert.deepEqual(engine.rows(t.name).map(keyOf), want.map(keyOf), `rows of ${t.name}`);
  }
}

function assertChanges(changes: Changes, program: Program, before: Database, after: Database): void {
  for (const t of program.tables) {
    const change = changes.of(t.name);
    if (t.kind !== 'output') {
      assert.deepEqual(change, { table: t.name, inserted: [], deleted: [] });
      continue;
    }
    const less = (a: Map<string, Row>, b: Map<string, Row>): string[] =>
      sorted([...a].flatMap(([k, r]) => (b.has(k) ? [] : [r]))).map(keyOf);
    const [was, is] = [before.get(t.name)!, after.get(t.name)!];
    assert.deepEqual(change.inserted.map(keyOf), less(is, was), `inserted into ${t.name}`);
    assert.deepEqual(change.deleted.map(keyOf), less(was, is), `deleted from ${t.name}`);
  }
}

/** Every premise is a row of its table, and no row stands on itself. */
function assertStands(engine: Engine, d: Derivation, below: readonly string[]): void {
  assert.ok(d.table.includes('/') || engine.has(d.table, d.row), d.text);
  assert.ok(!below.includes(d.text), `${d.text} stands on itself`);
  assert.ok(d.kind === 'input' || d.kind === 'repeated' || d.because.length > 0 || d.rule !== undefined);
  for (const r of d.because) if (r.kind === 'row') assertStands(engine, r.derivation, [...below, d.text]);
}

function assertExplained(engine: Engine, program: Program): void {
  for (const t of namedTables(program)) {
    for (const row of engine.rows(t.name).slice(0, 3)) {
      assertStands(engine, explain(engine, t.name, row), []);
      assert.ok(whyNot(engine, t.name, row).present);
    }
    if (engine.size(t.name) === 0) {
      const why = whyNot(
        engine,
        t.name,
        t.columns.map(() => undefined),
      );
      assert.equal(why.present, false);
      assert.ok(why.rules.every((r) => r.reason !== 'head'));
    }
  }
}

let transactions = 0;

function runProgram(d: Drawn): void {
  const { text, inputs } = render(d);
  const program = check({ name: 'random.nlog', text });
  const engine = new Engine(program, { functions });
  const given: Database = new Map(inputs.map((t) => [t.name, new Map()]));
  let expected = evaluate(program, given, functions);
  const empty: Database = new Map(program.tables.map((t) => [t.name, new Map()]));
  assertChanges(engine.initialChanges, program, empty, expected);
  for (const { ops, mode } of d.transactions) {
    transactions++;
    const next: Database = new Map([...given].map(([n, rows]) => [n, new Map(rows)]));
    const apply = (tx: Transaction): void => {
      for (const op of ops) {
        const { name, types } = inputs[op.table % inputs.length];
        const row = rowOf(types, op);
        if (op.insert) {
          tx.insert(name, row);
          next.get(name)!.set(keyOf(row), row);
        } else {
          tx.delete(name, row);
          next.get(name)!.delete(keyOf(row));
        }
      }
    };
    if (mode === 10) {
      assert.throws(
        () =>
          engine.transaction((tx) => {
            apply(tx);
            throw new Rollback();
          }),
        Rollback,
      );
    } else if (mode === 12) {
      const sliced = engine.begin(apply);
      if (sliced.step(1) === undefined) sliced.cancel();
      else {
        for (const [n, rows] of next) given.set(n, rows);
        expected = evaluate(program, given, functions);
      }
    } else {
      let changes: Changes | undefined;
      if (mode === 11) {
        const sliced = engine.begin(apply);
        while (changes === undefined) changes = sliced.step(3);
      } else changes = engine.transaction(apply);
      for (const [n, rows] of next) given.set(n, rows);
      const after = evaluate(program, given, functions);
      if (mode === 13) engine.sweep();
      assertChanges(changes, program, expected, after);
      expected = after;
    }
    assertSame(engine, program, expected);
  }
  assertExplained(engine, program);
  const restored = new Engine(program, { functions });
  const saved = saveSnapshot(engine);
  loadSnapshot(restored, saved);
  assertSame(restored, program, expected);
  const scratch = new Engine(program, { functions });
  scratch.transaction((tx) => {
    for (const [name, rows] of [...given].reverse())
      for (const row of [...rows.values()].reverse()) tx.insert(name, row);
  });
  assertSame(scratch, program, expected);
  assert.deepEqual(saveSnapshot(scratch), saved, 'a snapshot depends on the rows alone');
}

test(`random programs agree with the naive evaluator, over ${TOTAL} transactions`, () => {
  const seed = SEED === undefined ? undefined : Number(SEED);
  // A run that finds nothing draws programs until it has made enough transactions.
  for (let round = 0; transactions < TOTAL; round++)
    fc.assert(fc.property(drawn(PER_PROGRAM), runProgram), {
      numRuns: 50,
      ...(seed === undefined ? {} : { seed: seed + round }),
    });
  assert.ok(transactions >= TOTAL);
});
