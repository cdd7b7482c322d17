/*
 * Our database server against the stock one: the same random transactions, the same monitors; every reply and every
 * update must be the same. WEFT_CONFORMANCE_ROUNDS makes it longer, WEFT_CONFORMANCE_SEED other.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  isJsonArray,
  isJsonObject,
  type Json,
  type JsonObject,
  stringify,
  stringifySorted,
} from '../../src/ovsdb/json.ts';
import { stockMissing } from './daemons.ts';
import { OvsdbPeer, startOvsdbServer } from './ovsdb-peer.ts';
import { SCHEMA, Transactions } from './ovsdb-transactions.ts';
import { Random } from './random.ts';

const seed = Number(process.env.WEFT_CONFORMANCE_SEED ?? 20230216);
const rounds = Number(process.env.WEFT_CONFORMANCE_ROUNDS ?? 2);
const TRANSACTIONS = 300;

/** A name of a row that is never inserted stands for a uuid that each server makes up. */
const MADE_UP = /(?!00000000-0000-4000-8000-)\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/g;

/** Where a value has several faults, which is told depends on the order in which the stock server hashes columns. */
const FAULTS = ['syntax error', 'constraint violation', 'ovsdb error', 'unknown column'];

/**
 * Which of two rows with one index value is "First" depends on that order as well, and a row of which only a dangling
 * reference was taken back counts as modified or not.
 */
const FIRST_AND_SECOND = /First row, with UUID ([^,]*), .*\. {2}Second row, with UUID ([^,]*), /;

const byText = (a: Json, b: Json): number => (stringifySorted(a) < stringifySorted(b) ? -1 : 1);

/** What is left of an error that both must give. */
function fault(json: JsonObject): JsonObject {
  const { error, details } = json;
  if (typeof details !== 'string') return json;
  const rows = FIRST_AND_SECOND.exec(details);
  if (rows !== null) return { error, rows: rows.slice(1).sort() };
  if (error === 'referential integrity violation') return { error };
  return FAULTS.includes(String(error)) ? { error: 'some fault' } : json;
}

/** The stock server writes fifteen digits of a number, we write all that it has. */
const DIGITS = 14;

function canonical(json: Json): Json {
  if (typeof json === 'number') return Number(json.toPrecision(DIGITS));
  if (isJsonArray(json)) return json.map(canonical);
  if (!isJsonObject(json)) return json;
  if (typeof json.error === 'string' && json.result === undefined) return fault(json);
  const inner = Object.entries(json).map(([name, value]) => [name, canonical(value)] as const);
  // Servers keep rows in any order.
  return Object.fromEntries(
    inner.map(([name, value]) => [
      name,
      name === 'rows' && isJsonArray(value) ? [...value].sort(byText) : value,
    ]),
  );
}

const text = (json: Json): string => stringifySorted(canonical(json)).replace(MADE_UP, 'a uuid');

/** Without those rows of which an update says nothing: stock sends them where only a column of a condition changed. */
function pruned(updates: Json): Json {
  if (!isJsonObject(updates)) return updates;
  const tables = Object.entries(updates).map(([table, rows]) => {
    const told = isJsonObject(rows)
      ? Object.entries(rows).filter(([, row]) => stringify(row) !== '{"modify":{}}')
      : [];
    return [table, Object.fromEntries(told)] as const;
  });
  return Object.fromEntries(tables.filter(([, rows]) => Object.keys(rows).length > 0));
}

/** What a monitor was told since the last look. */
async function toldTo(watcher: OvsdbPeer): Promise<Json[]> {
  return (await watcher.updates()).flatMap(({ method, params }) => {
    const [id, updates] = isJsonArray(params) ? params : [];
    const rest = pruned(updates ?? null);
    return stringify(rest) === '{}' ? [] : [{ method, id, updates: rest }];
  });
}

interface Side {
  readonly writer: OvsdbPeer;
  readonly watchers: readonly OvsdbPeer[];
}

async function openSide(socket: string): Promise<Side> {
  const writer = await OvsdbPeer.connect(socket);
  const watchers = await Promise.all([0, 1, 2].map(() => OvsdbPeer.connect(socket)));
  return { writer, watchers };
}

/** The same question to both; what they answer. */
function both(sides: readonly Side[], ask: (side: Side) => Promise<JsonObject>): Promise<string[]> {
  return Promise.all(sides.map(async (side) => text(await ask(side))));
}

async function round(sides: readonly Side[], roundSeed: number): Promise<void> {
  const random = new Random(roundSeed);
  const transactions = new Transactions(random);
  const said = (what: string): string => `seed ${roundSeed}: ${what}`;
  const ids = [0, 1, 2];
  for (const i of ids) {
    const method = i === 0 ? 'monitor' : 'monitor_cond';
    const params: Json[] = ['duel', `m${roundSeed}-${i}`, transactions.monitor(i > 0)];
    const [ours, theirs] = await both(sides, ({ watchers }) => watchers[i].ask(method, params));
    assert.equal(ours, theirs, said(`${method} ${stringify(params)}`));
  }
  for (let n = 0; n < TRANSACTIONS; n++) {
    const operations = transactions.next();
    const [ours, theirs] = await both(sides, ({ writer }) => writer.ask('transact', ['duel', ...operations]));
    assert.equal(ours, theirs, said(`transaction ${n}: ${stringify(operations)}`));
    for (const i of ids) {
      const updates = await both(sides, async ({ watchers }) => ({ updates: await toldTo(watchers[i]) }));
      assert.equal(
        updates[0],
        updates[1],
        said(`update of monitor ${i} after transaction ${n}: ${stringify(operations)}`),
      );
    }
    if (random.oneIn(30)) {
      const i = 1 + random.int(2);
      const table = random.pick(['root', 'leaf']);
      const id = `m${roundSeed}-${i}`;
      const params: Json[] = [id, id, { [table]: [{ where: transactions.condition(table) }] }];
      const changed = await both(sides, async ({ watchers }) => ({
        reply: await watchers[i].ask('monitor_cond_change', params),
        updates: await toldTo(watchers[i]),
      }));
      assert.equal(changed[0], changed[1], said(`monitor_cond_change ${stringify(params)}`));
    }
  }
  for (const i of ids) {
    await both(sides, ({ watchers }) => watchers[i].ask('monitor_cancel', [`m${roundSeed}-${i}`]));
  }
}

test('random transactions and monitors get the answers of the stock server', {
  skip: stockMissing(),
}, async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'weft-ovsdb-duel-'));
  const ends: (() => void)[] = [];
  try {
    writeFileSync(join(dir, 'schema'), stringify(SCHEMA));
    const sides: Side[] = [];
    for (const which of ['ours', 'stock'] as const) {
      const file = join(dir, `${which}.db`);
      assert.equal(spawnSync('ovsdb-tool', ['create', file, join(dir, 'schema')]).status, 0);
      const { socket, end } = await startOvsdbServer(which, file, dir);
      ends.push(end);
      sides.push(await openSide(socket));
    }
    for (let n = 0; n < rounds; n++) await round(sides, seed + n);
    t.diagnostic(`seed ${seed}, ${rounds} rounds of ${TRANSACTIONS} transactions`);
    for (const { writer, watchers } of sides) for (const peer of [writer, ...watchers]) peer.close();
    // What ours has written, the stock tool reads; a new stock server finds the same rows as the old one has.
    for (const which of ['ours', 'stock'])
      assert.equal(spawnSync('ovsdb-tool', ['show-log', join(dir, `${which}.db`)]).status, 0);
  } finally {
    for (const end of ends) end();
    rmSync(dir, { recursive: true, force: true });
  }
});
