/** Random transactions against the naive model, and through records and snapshots. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { applyRecord, snapshotOf } from '../file/record.ts';
import type { Json } from '../json.ts';
import {
  canonical,
  checkBooks,
  contents,
  newDatabase,
  Refused,
  run,
  runModel,
  type State,
  tableName,
  transactions,
  uuid,
} from '../testing/model.ts';
import { execute } from './execute.ts';

test('random transactions end as in the naive model', () => {
  let good = 0;
  let refused = 0;
  fc.assert(
    fc.property(transactions, (list) => {
      const db = newDatabase();
      let state: State = new Map([
        ['root', new Map()],
        ['leaf', new Map()],
      ]);
      for (const operations of list) {
        let expected: string | undefined;
        try {
          state = runModel(state, operations);
          good++;
        } catch (error) {
          if (!(error instanceof Refused)) throw error;
          expected = error.message;
          refused++;
        }
        assert.equal(
          run(db, operations, () => {}, true),
          expected,
        );
        assert.equal(canonical(contents(db)), canonical(state));
        checkBooks(db);
      }
    }),
    { numRuns: 400 },
  );
  assert.ok(
    good > 100 && refused > 100,
    `a test that only sees one side is none: ${good} good, ${refused} refused`,
  );
});

for (const diffs of [true, false]) {
  test(`records and snapshots bring the same rows back (differences: ${diffs})`, () => {
    fc.assert(
      fc.property(transactions, (list) => {
        const db = newDatabase();
        const replayed = newDatabase();
        for (const operations of list) run(db, operations, (record) => applyRecord(replayed, record), diffs);
        assert.equal(canonical(contents(replayed, false)), canonical(contents(db, false)));
        checkBooks(replayed);
        const restored = newDatabase();
        applyRecord(restored, snapshotOf(db, { comment: null, date: 0, diffs }));
        assert.equal(canonical(contents(restored, false)), canonical(contents(db, false)));
      }),
      { numRuns: 150 },
    );
  });
}

test('execute takes any JSON without throwing or leaving traces', () => {
  const member = fc.constantFrom(
    'op',
    'table',
    'where',
    'row',
    'rows',
    'columns',
    'mutations',
    'until',
    'uuid',
    'uuid-name',
    'timeout',
    'sort',
    'comment',
    'lock',
    'durable',
  );
  const word = fc.constantFrom(
    'insert',
    'select',
    'update',
    'mutate',
    'delete',
    'wait',
    'abort',
    'comment',
    'assert',
    'commit',
    'root',
    'leaf',
    'n',
    'weak',
    'strong',
    '_uuid',
    '==',
    '!=',
    '+=',
    'set',
    'map',
    'uuid',
    'named-uuid',
    '__proto__',
    'constructor',
  );
  const { json } = fc.letrec((tie) => ({
    json: fc.oneof(
      { maxDepth: 5 },
      word,
      fc.integer(),
      fc.constant(null),
      fc.boolean(),
      uuid,
      fc.array(tie('json'), { maxLength: 4 }),
      fc.dictionary(fc.oneof(member, word), tie('json'), { maxKeys: 5 }),
    ),
  }));
  const half = fc
    .tuple(
      fc.constantFrom('insert', 'select', 'update', 'mutate', 'delete', 'wait'),
      tableName,
      fc.dictionary(member, json, { maxKeys: 6 }),
    )
    .map(([op, table, rest]) => ({
      where: [],
      row: {},
      mutations: [],
      columns: [],
      until: '==',
      rows: [],
      timeout: 0,
      ...rest,
      op,
      table,
    }));
  fc.assert(
    fc.property(fc.array(fc.oneof(json, half), { maxLength: 4 }), (operations) => {
      const db = newDatabase();
      const outcome = execute(db, ['model', ...(operations as Json[])], {
        readOnly: false,
        ownsLock: () => false,
        elapsed: 0,
      });
      if (outcome.kind === 'done') outcome.transaction.abort();
      for (const table of db.tables.values()) {
        assert.equal(table.rows.size, 0);
        assert.equal(table.changed.size, 0);
      }
    }),
    { numRuns: 1000 },
  );
});
