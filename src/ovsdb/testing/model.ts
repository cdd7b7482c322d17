/**
 * A naive model of the engine for tests: it keeps plain maps and looks at everything at every commit.
 * With it come a schema that has every sort of reference, and random transactions over it.
 */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { datumToJson } from '../data/datum.ts';
import { Database } from '../engine/database.ts';
import { execute } from '../engine/execute.ts';
import { OvsdbError } from '../error.ts';
import { recordOf } from '../file/record.ts';
import { isJsonArray, isJsonObject, type Json, type JsonObject, stringifySorted } from '../json.ts';
import { parseSchema } from '../schema/schema.ts';

const strong = (refTable: string) => ({
  type: { key: { type: 'uuid', refTable }, min: 0, max: 'unlimited' },
});
const weak = (refTable: string, min = 0) => ({
  type: { key: { type: 'uuid', refTable, refType: 'weak' }, min, max: 'unlimited' },
});

export const SCHEMA = parseSchema({
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

export const UUIDS = Array.from({ length: 8 }, (_, i) => `00000000-0000-4000-8000-00000000000${i}`);

export type Row = { [column: string]: Json };
export type State = Map<string, Map<string, Row>>;

export const refsOf = (value: Json): string[] => {
  const set = isJsonArray(value) && value[0] === 'set' ? (value[1] as readonly Json[]) : [value];
  return set.map((u) => (u as readonly string[])[1]);
};
export const setOf = (uuids: readonly string[]): Json => {
  const sorted = [...new Set(uuids)].sort();
  return sorted.length === 1 ? ['uuid', sorted[0]] : ['set', sorted.map((u) => ['uuid', u])];
};

// Operations.

export type Operation =
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

export const uuid = fc.constantFrom(...UUIDS);
export const uuids = fc.uniqueArray(uuid, { maxLength: 3 });
export const tableName = fc.constantFrom('root', 'leaf');

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

export const operation: fc.Arbitrary<Operation> = tableName.chain((table) =>
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
export const transactions = fc.array(fc.array(operation, { minLength: 1, maxLength: 6 }), { maxLength: 12 });

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

export class Refused extends Error {}

export const DEFAULTS: { [table: string]: Row } = {
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

export function runModel(before: State, operations: readonly Operation[]): State {
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

export function newDatabase(): Database {
  let n = 0;
  return new Database(SCHEMA, { newUuid: () => `ffffffff-0000-4000-8000-${String(n++).padStart(12, '0')}` });
}

export function contents(db: Database, withEphemeral = true): State {
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

export const canonical = (state: State): string =>
  stringifySorted(Object.fromEntries([...state].map(([t, rows]) => [t, Object.fromEntries(rows)])));

/** Runs a transaction; gives back the tag of the error, or undefined. */
export function run(
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
export function checkBooks(db: Database): void {
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
