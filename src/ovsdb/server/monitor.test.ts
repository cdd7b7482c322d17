/** What monitors say while random transactions run must add up to the database. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Database } from '../engine/database.ts';
import { execute } from '../engine/execute.ts';
import type { Json, JsonObject } from '../json.ts';
import {
  canonical,
  contents,
  DEFAULTS,
  newDatabase,
  operation,
  type Row,
  refsOf,
  run,
  type State,
  setOf,
  transactions,
  uuids,
} from '../testing/model.ts';
import { Monitor, type MonitorVersion } from './monitor.ts';

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
