/**
 * Random transactions against a naive model that keeps plain maps and looks at everything at every
 * commit, and the same transactions through the journal, the monitors and a restart.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { datumToJson } from '../data/datum.ts';
import { OvsdbError } from '../error.ts';
import { applyRecord, recordOf, snapshotOf } from '../file/record.ts';
import { isJsonArray, isJsonObject, type Json, type JsonObject, stringifySorted } from '../json.ts';
import { parseSchema } from '../schema/schema.ts';
import { Monitor, type MonitorVersion } from '../server/monitor.ts';
import { Database } from './database.ts';
import { execute } from './execute.ts';

const strong = (refTable: string) => ({
  type: { key: { type: 'uuid', refTable }, min: 0, max: 'unlimited' },
});
const weak = (refTable: string, min = 0) => ({
  type: { key: { type: 'uuid', refTable, refType: 'weak' }, min, max: 'unlimited' },
});

const SCHEMA = parseSchema({
  name: 'model',
  tables: {
    root: {
      isRoot: true,
      columns: { strong: strong('leaf'), weak: weak('leaf'), n: { type: 'integer' } },
      maxRows: 4,
    },
    leaf: {
      columns: {
        strong: strong('leaf'),
        weak: weak('root'),
        need: weak('leaf', 1),
        name: { type: 'string' },
        n: { type: { key: { type: 'integer', minInteger: -3, maxInteger: 9 } } },
        m: { type: { key: 'string', value: 'integer', min: 0, max: 3 } },
        e: { type: 'integer', ephemeral: true },
      },
      indexes: [['name', 'n']],
    },
  },
});

const UUIDS = Array.from({ length: 8 }, (_, i) => `00000000-0000-4000-8000-00000000000${i}`);

type Row = { [column: string]: Json };
type State = Map<string, Map<string, Row>>;

const refsOf = (value: Json): string[] => {
  const set = isJsonArray(value) && value[0] === 'set' ? (value[1] as readonly Json[]) : [value];
  return set.map((u) => (u as readonly string[])[1]);
};
const setOf = (uuids: readonly string[]): Json => {
  const sorted = [...new Set(uuids)].sort();
  return sorted.length === 1 ? ['uuid', sorted[0]] : ['set', sorted.map((u) => ['uuid', u])];
};

// Operations.

type Operation =
  | { op: 'insert'; table: string; uuid: string; row: Row }
  | { op: 'update'; table: string; target: string; row: Row }
  | { op: 'delete'; table: string; target: string | null }
  | {
      op: 'link';
      table: string;
      target: string;
      column: string;
      mutator: 'insert' | 'delete';
      uuids: string[];
    }
  | { op: 'add'; table: string; target: string; by: number };

const uuid = fc.constantFrom(...UUIDS);
const uuids = fc.uniqueArray(uuid, { maxLength: 3 });
const tableName = fc.constantFrom('root', 'leaf');

const rootRow = fc.record(
  { strong: uuids.map(setOf), weak: uuids.map(setOf), n: fc.integer({ min: 0, max: 3 }) },
  { requiredKeys: [] },
);
const leafRow = fc.record(
  {
    strong: uuids.map(setOf),
    weak: uuids.map(setOf),
    need: fc.uniqueArray(uuid, { minLength: 1, maxLength: 3 }).map(setOf),
    name: fc.constantFrom('x', 'y', 'z'),
    n: fc.integer({ min: 0, max: 4 }),
    m: fc
      .uniqueArray(fc.tuple(fc.constantFrom('a', 'b', 'c', 'd'), fc.nat(2)), {
        selector: ([k]) => k,
        maxLength: 3,
      })
      .map((pairs): Json => ['map', pairs.sort(([a], [b]) => (a < b ? -1 : 1))]),
    e: fc.nat(3),
  },
  { requiredKeys: ['need'] },
);
const rowOf = (table: string) => (table === 'root' ? rootRow : leafRow) as fc.Arbitrary<Row>;

const operation: fc.Arbitrary<Operation> = tableName.chain((table) =>
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        op: fc.constant('insert' as const),
        table: fc.constant(table),
        uuid,
        row: rowOf(table),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        op: fc.constant('update' as const),
        table: fc.constant(table),
        target: uuid,
        row: rowOf(table),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        op: fc.constant('delete' as const),
        table: fc.constant(table),
        target: fc.option(uuid, { freq: 8 }),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        op: fc.constant('link' as const),
        table: fc.constant(table),
        target: uuid,
        column: fc.constantFrom('strong', 'weak'),
        mutator: fc.constantFrom('insert' as const, 'delete' as const),
        uuids,
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        op: fc.constant('add' as const),
        table: fc.constant(table),
        target: uuid,
        by: fc.integer({ min: -3, max: 3 }),
      }),
    },
  ),
);
const transactions = fc.array(fc.array(operation, { minLength: 1, maxLength: 6 }), { maxLength: 12 });

function toJson(o: Operation): Json {
  const { op, table } = o;
  if (op === 'insert') return { op, table, uuid: o.uuid, row: o.row };
  const where: Json = o.target === null ? [] : [['_uuid', '==', ['uuid', o.target]]];
  if (op === 'update') return { op, table, where, row: o.row };
  if (op === 'delete') return { op, table, where };
  const mutation: Json = op === 'add' ? ['n', '+=', o.by] : [o.column, o.mutator, setOf(o.uuids)];
  return { op: 'mutate', table, where, mutations: [mutation] };
}

// The model.

class Refused extends Error {}

const DEFAULTS: { [table: string]: Row } = {
  root: { strong: ['set', []], weak: ['set', []], n: 0 },
  leaf: {
    strong: ['set', []],
    weak: ['set', []],
    need: ['uuid', '00000000-0000-0000-0000-000000000000'],
    name: '',
    n: 0,
    m: ['map', []],
    e: 0,
  },
};

function runModel(before: State, operations: readonly Operation[]): State {
  const state: State = new Map(
    [...before].map(([t, rows]) => [t, new Map([...rows].map(([u, r]) => [u, { ...r }]))]),
  );
  for (const o of operations) {
    const rows = state.get(o.table)!;
    if (o.op === 'insert') {
      // A uuid may come back only in a later transaction than the one that deleted it.
      if (rows.has(o.uuid) || before.get(o.table)!.has(o.uuid)) throw new Refused('duplicate uuid');
      rows.set(o.uuid, { ...DEFAULTS[o.table], ...o.row });
      continue;
    }
    const targets = o.target === null ? [...rows.keys()] : rows.has(o.target) ? [o.target] : [];
    for (const target of targets) {
      const row = rows.get(target)!;
      if (o.op === 'delete') rows.delete(target);
      else if (o.op === 'update') Object.assign(row, o.row);
      else if (o.op === 'add') {
        const n = (row.n as number) + o.by;
        if (o.table === 'leaf' && (n < -3 || n > 9)) throw new Refused('constraint violation');
        row.n = n;
      } else {
        const old = refsOf(row[o.column]);
        row[o.column] = setOf(
          o.mutator === 'insert' ? [...old, ...o.uuids] : old.filter((u) => !o.uuids.includes(u)),
        );
      }
    }
  }
  finish(state);
  return state;
}

/** What a commit does, from scratch. */
function finish(state: State): void {
  const leaf = state.get('leaf')!;
  const root = state.get('root')!;
  for (const rows of state.values()) {
    for (const row of rows.values()) {
      if (!refsOf(row.strong).every((u) => leaf.has(u))) throw new Refused('referential integrity violation');
    }
  }
  for (let changed = true; changed; ) {
    const used = new Set<string>();
    for (const [table, rows] of state) {
      for (const [u, row] of rows)
        for (const r of refsOf(row.strong)) if (table !== 'leaf' || r !== u) used.add(r);
    }
    changed = false;
    for (const u of [...leaf.keys()]) if (!used.has(u)) changed = leaf.delete(u);
  }
  if (root.size > 4) throw new Refused('constraint violation');
  for (const row of root.values()) row.weak = setOf(refsOf(row.weak).filter((u) => leaf.has(u)));
  for (const row of leaf.values()) {
    row.weak = setOf(refsOf(row.weak).filter((u) => root.has(u)));
    const need = refsOf(row.need).filter((u) => leaf.has(u));
    if (need.length === 0) throw new Refused('constraint violation');
    row.need = setOf(need);
  }
  const index = [...leaf.values()].map((row) => stringifySorted([row.name, row.n]));
  if (new Set(index).size < index.length) throw new Refused('constraint violation');
}

// The engine, and what listens to it.

function newDatabase(): Database {
  let n = 0;
  return new Database(SCHEMA, { newUuid: () => `ffffffff-0000-4000-8000-${String(n++).padStart(12, '0')}` });
}

function contents(db: Database, withEphemeral = true): State {
  return new Map(
    [...db.tables.values()].map((table) => [
      table.name,
      new Map(
        [...table.rows.values()].map((row) => [
          row.uuid,
          Object.fromEntries(
            table.schema.list
              .slice(2)
              .filter((c) => withEphemeral || c.persistent)
              .map((c) => [c.name, datumToJson(row.fields[c.index], c.type)]),
          ),
        ]),
      ),
    ]),
  );
}

const canonical = (state: State): string =>
  stringifySorted(Object.fromEntries([...state].map(([t, rows]) => [t, Object.fromEntries(rows)])));

/** Runs a transaction; gives back the tag of the error, or undefined. */
function run(
  db: Database,
  operations: readonly Operation[],
  write: (record: JsonObject) => void,
  diffs: boolean,
): string | undefined {
  const outcome = execute(db, [db.name, ...operations.map(toJson)], {
    readOnly: false,
    ownsLock: () => false,
    elapsed: 0,
  });
  assert.notEqual(outcome.kind, 'refused');
  assert.notEqual(outcome.kind, 'waiting');
  if (outcome.kind === 'failed') {
    const error = outcome.results.find((r) => isJsonObject(r) && Object.hasOwn(r, 'error')) as JsonObject;
    return error.error as string;
  }
  if (outcome.kind !== 'done') throw new Error('unreachable');
  try {
    outcome.transaction.commit({
      record: (changes, comment) => {
        const record = recordOf(changes, { comment, date: 0, diffs });
        if (record !== null) write(JSON.parse(JSON.stringify(record)) as JsonObject);
        return null;
      },
    });
    return undefined;
  } catch (error) {
    if (!(error instanceof OvsdbError)) throw error;
    return error.tag;
  }
}

/** Derived state must be what one gets by counting afresh. */
function checkBooks(db: Database): void {
  let atoms = 0;
  const refs = new Map<string, number>();
  for (const table of db.tables.values()) {
    assert.equal(table.changed.size, 0);
    for (const row of table.rows.values()) {
      assert.equal(row.pending, null);
      for (const d of row.fields) atoms += d.n * (d.values === null ? 1 : 2);
      for (const c of table.strongColumns) {
        for (const u of row.fields[c.index].keys as readonly string[]) {
          if (table.name !== 'leaf' || u !== row.uuid) refs.set(u, (refs.get(u) ?? 0) + 1);
        }
      }
    }
    table.schema.indexes.forEach((_, i) => {
      assert.equal(table.indexes[i].size, table.rows.size);
    });
  }
  assert.equal(db.atoms, atoms);
  for (const row of db.table('leaf').rows.values()) assert.equal(row.refs, refs.get(row.uuid) ?? 0);
  const holders = (name: string) =>
    [...db.table(name).weakHolders].map(([u, t]) => [
      u,
      [...t.values()].reduce((n, m) => n + [...m.values()].reduce((x, y) => x + y), 0),
    ]);
  for (const name of ['root', 'leaf']) {
    const counted = new Map<string, number>();
    for (const table of db.tables.values()) {
      for (const row of table.rows.values()) {
        for (const c of table.weakColumns) {
          if (c.type.key.refTable !== name) continue;
          for (const u of row.fields[c.index].keys as readonly string[])
            counted.set(u, (counted.get(u) ?? 0) + 1);
        }
      }
    }
    assert.deepEqual(new Map(holders(name) as [string, number][]), counted);
  }
}

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

/** Applies updates as a client would, naively. */
function applyUpdates(
  client: State,
  updates: JsonObject | undefined,
  version: MonitorVersion,
  db: Database,
): void {
  for (const [name, rows] of Object.entries(updates ?? {})) {
    const schema = db.table(name).schema;
    const table = client.get(name)!;
    for (const [u, update] of Object.entries(rows as JsonObject)) {
      const change = update as JsonObject;
      if (version === 1) {
        if (Object.hasOwn(change, 'new')) table.set(u, change.new as Row);
        else assert.ok(table.delete(u));
        continue;
      }
      const whole = change.initial ?? change.insert;
      if (whole !== undefined) {
        assert.ok(!table.has(u), 'insert of a row that is there');
        table.set(u, { ...DEFAULTS[name], ...(whole as Row) });
      } else if (change.modify !== undefined) {
        const row = table.get(u)!;
        for (const [c, diff] of Object.entries(change.modify as Row))
          row[c] = patch(row[c], diff, schema.columns.get(c)!.type.max > 1);
      } else assert.ok(table.delete(u), 'delete of a row that is not there');
    }
  }
}

function patch(old: Json, diff: Json, composite: boolean): Json {
  if (!composite) return diff;
  if ((diff as readonly Json[])[0] === 'map') {
    const pairs = new Map((old as [string, [string, number][]])[1]);
    for (const [k, v] of (diff as [string, [string, number][]])[1])
      if (pairs.get(k) === v) pairs.delete(k);
      else pairs.set(k, v);
    return ['map', [...pairs].sort(([a], [b]) => (a < b ? -1 : 1))];
  }
  const set = new Set(refsOf(old));
  for (const u of refsOf(diff)) if (!set.delete(u)) set.add(u);
  return setOf([...set]);
}

for (const version of [1, 2] as const) {
  test(`what a monitor (version ${version}) says adds up to the database, updates melted or not`, () => {
    fc.assert(
      fc.property(
        transactions,
        fc.array(fc.boolean(), { minLength: 12, maxLength: 12 }),
        fc.nat(11),
        (list, flush, start) => {
          const db = newDatabase();
          const client: State = new Map([
            ['root', new Map()],
            ['leaf', new Map()],
          ]);
          const columns = (name: string) =>
            db
              .table(name)
              .schema.list.slice(2)
              .map((c) => c.name);
          let monitor: Monitor | undefined;
          for (const [i, operations] of list.entries()) {
            if (i === start || (i === 0 && start >= list.length)) {
              monitor = new Monitor(
                db,
                'm',
                { root: [{ columns: columns('root') }], leaf: [{ columns: columns('leaf') }] },
                version,
              );
              applyUpdates(client, monitor.initial(), version, db);
              const m = monitor;
              db.listeners.add({ onCommit: (changes) => m.track(changes) });
            }
            run(db, operations, () => {}, true);
            if (monitor === undefined || (!flush[i] && i < list.length - 1)) continue;
            applyUpdates(client, monitor.flush(), version, db);
            assert.equal(canonical(client), canonical(contents(db)));
          }
        },
      ),
      { numRuns: 150 },
    );
  });
}

test('a conditional monitor shows just the rows that its conditions select, also when these change', () => {
  const condition = fc.array(
    fc.oneof(
      fc.tuple(fc.constant('n'), fc.constantFrom('==', '!=', '<', '>='), fc.nat(3)),
      fc.tuple(fc.constant('weak'), fc.constantFrom('includes', 'excludes', '=='), uuids.map(setOf)),
      fc.boolean(),
    ),
    { maxLength: 2 },
  );
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.array(operation, { maxLength: 4 }), fc.option(condition)), { maxLength: 10 }),
      condition,
      (steps, first) => {
        const db = newDatabase();
        const client: State = new Map([['root', new Map()]]);
        let where = first as Json[];
        const monitor = new Monitor(db, 'm', { root: [{ columns: ['strong', 'weak', 'n'], where }] }, 2);
        db.listeners.add({ onCommit: (changes) => monitor.track(changes) });
        applyUpdates(client, monitor.initial(), 2, db);
        for (const [operations, change] of steps) {
          run(db, operations, () => {}, true);
          applyUpdates(client, monitor.flush(), 2, db);
          if (change !== null) {
            where = change as Json[];
            applyUpdates(client, monitor.changeConditions({ root: [{ where }] }), 2, db);
          }
          // The oracle: a select for each clause, merged.
          const visible = new Map<string, Row>();
          for (const clause of where.length === 0 ? [true] : where) {
            const selected = execute(db, ['model', { op: 'select', table: 'root', where: [clause] }], {
              readOnly: true,
              ownsLock: () => false,
              elapsed: 0,
            });
            assert.equal(selected.kind, 'done');
            const { rows } = (selected as { results: Json[] }).results[0] as { rows: Row[] };
            for (const { _uuid, _version, ...row } of rows) visible.set((_uuid as readonly string[])[1], row);
          }
          assert.equal(canonical(client), canonical(new Map([['root', visible]])));
        }
      },
    ),
    { numRuns: 300 },
  );
});

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
