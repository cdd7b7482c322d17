import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { ModuleLog } from '../../base/log.ts';
import { nullLogger } from '../../base/log.ts';
import { datumToJson } from '../data/datum.ts';
import type { Database } from '../engine/database.ts';
import { execute } from '../engine/execute.ts';
import { OvsdbError } from '../error.ts';
import { type Json, type JsonObject, stringifySorted } from '../json.ts';
import { parseSchema, schemaToJson } from '../schema/schema.ts';
import { composeRecord, type FileAccess, Log } from './log.ts';
import { openDatabase } from './open.ts';
import { recordOf } from './record.ts';
import { DatabaseFile } from './storage.ts';

/** A file in memory that can be made to fail. */
class MemoryFile implements FileAccess {
  readonly name = 'db';
  bytes: Uint8Array;
  failWrites = false;
  syncs = 0;

  constructor(bytes: Uint8Array = new Uint8Array(0)) {
    this.bytes = bytes;
  }
  read(offset: number, length: number): Uint8Array {
    return this.bytes.slice(offset, offset + length);
  }
  write(offset: number, bytes: Uint8Array): void {
    const taken = this.failWrites ? bytes.subarray(0, bytes.length >> 1) : bytes;
    const grown = new Uint8Array(Math.max(this.bytes.length, offset + taken.length));
    grown.set(this.bytes);
    grown.set(taken, offset);
    this.bytes = grown;
    if (this.failWrites) throw new Error('No space left on device');
  }
  truncate(length: number): void {
    this.bytes = this.bytes.slice(0, length);
  }
  async sync(): Promise<void> {
    this.syncs++;
  }
  replace(bytes: Uint8Array): void {
    this.bytes = bytes;
  }
  close(): void {}
}

const SCHEMA = {
  name: 'notes',
  tables: {
    note: {
      columns: {
        text: { type: 'string' },
        tags: { type: { key: 'string', min: 0, max: 3 } },
        n: { type: 'integer' },
      },
    },
  },
};

let uuids = 0;
const newUuid = (): string => `00000000-0000-4000-8000-${String(uuids++).padStart(12, '0')}`;

function collectingLog(): { log: ModuleLog; lines: string[] } {
  const lines: string[] = [];
  const log = { ...nullLogger.module('x'), err: (m: string | (() => string)) => lines.push(String(m)) };
  return { log, lines };
}

function open(access: FileAccess) {
  const { log, lines } = collectingLog();
  return { ...DatabaseFile.open(access, { newUuid, log, now: 0 }), lines };
}

function transact(db: Database, ...operations: Json[]): Json[] {
  const outcome = execute(db, ['notes', ...operations], {
    readOnly: false,
    ownsLock: () => false,
    elapsed: 0,
  });
  if (outcome.kind !== 'done') throw new Error(JSON.stringify(outcome));
  outcome.transaction.commit({
    record: (changes, comment) => recordOf(changes, { comment, date: 0, diffs: true }),
  });
  return outcome.results;
}

function texts(db: Database): string[] {
  return [...db.table('note').rows.values()].map((r) => String(r.fields[2].keys[0])).sort();
}

function freshFile(): MemoryFile {
  const access = new MemoryFile();
  DatabaseFile.create(access, SCHEMA);
  return access;
}

const insert = (text: string): Json => ({ op: 'insert', table: 'note', row: { text } });

test('a file cut off at any byte gives all whole records, and goes on from there', () => {
  const access = freshFile();
  const schemaEnd = access.bytes.length;
  const { db } = open(access);
  const ends = [schemaEnd];
  for (const text of ['a', 'b\u{1f600}', 'c']) {
    transact(db, insert(text));
    ends.push(access.bytes.length);
  }
  for (let cut = schemaEnd; cut <= access.bytes.length; cut++) {
    const torn = new MemoryFile(access.bytes.slice(0, cut));
    const again = open(torn);
    const whole = ends.filter((e) => e <= cut).length - 1;
    assert.deepEqual(texts(again.db), ['a', 'b\u{1f600}', 'c'].slice(0, whole));
    assert.equal(again.lines.length, ends.includes(cut) ? 0 : 1);
    transact(again.db, insert('z'));
    const third = open(torn);
    assert.deepEqual(texts(third.db), [...['a', 'b\u{1f600}', 'c'].slice(0, whole), 'z']);
    assert.deepEqual(third.lines, []);
  }
  for (let cut = 0; cut < schemaEnd; cut += 7) {
    assert.throws(() => open(new MemoryFile(access.bytes.slice(0, cut))), OvsdbError);
  }
});

test('a flipped bit anywhere behind the schema loses no earlier record', () => {
  const access = freshFile();
  const schemaEnd = access.bytes.length;
  const { db } = open(access);
  transact(db, insert('a'));
  const firstEnd = access.bytes.length;
  transact(db, insert('b'));
  for (let at = schemaEnd; at < access.bytes.length; at++) {
    const bytes = access.bytes.slice();
    bytes[at] ^= 0x10;
    const again = open(new MemoryFile(bytes));
    const good = texts(again.db);
    assert.deepEqual(good, at < firstEnd ? [] : ['a'], `byte ${at}`);
    assert.equal(again.lines.length, 1);
  }
});

test('messages about damage are those of the stock server', () => {
  const access = freshFile();
  access.write(access.bytes.length, new TextEncoder().encode('xxx\n'));
  assert.match(open(access).lines[0], /^syntax error: db: parse error at offset \d+ in header line "xxx"$/);
  const unknown = freshFile();
  unknown.write(unknown.bytes.length, composeRecord({ invalid: {} }));
  assert.equal(open(unknown).lines[0], 'syntax "{"invalid":{}}": unknown table: No table named invalid.');
});

test('a write that fails leaves database and file as they were', () => {
  const access = freshFile();
  const { db } = open(access);
  transact(db, insert('a'));
  access.failWrites = true;
  assert.throws(() => transact(db, insert('b')), /I\/O error: db: write failed \(No space left on device\)/);
  assert.deepEqual(texts(db), ['a']);
  access.failWrites = false;
  transact(db, insert('c'));
  const again = open(access);
  assert.deepEqual(texts(again.db), ['a', 'c']);
  assert.deepEqual(again.lines, []);
});

test('compaction keeps the rows and drops the past', () => {
  const access = freshFile();
  const { db, file } = open(access);
  for (let i = 0; i < 50; i++) transact(db, insert(`${i}`));
  transact(db, { op: 'delete', table: 'note', where: [['text', '!=', '7']] });
  const before = access.bytes.length;
  file.compact(db, 0, 0);
  assert.ok(access.bytes.length < before / 4);
  transact(db, insert('8'));
  assert.deepEqual(texts(open(access).db), ['7', '8']);
});

test('a column that may not hold its own difference is written whole', () => {
  const access = freshFile();
  const { db } = open(access);
  transact(db, { op: 'insert', table: 'note', row: { tags: ['set', ['a', 'b', 'c']] } });
  transact(db, { op: 'update', table: 'note', where: [], row: { tags: ['set', ['d', 'e', 'f']] } });
  const log = new Log(access);
  const records = [log.read(), log.read(), log.read()];
  assert.equal(records[1]?._is_diff, true);
  assert.equal(records[2]?._is_diff, undefined);
  const again = open(access);
  assert.deepEqual(again.lines, []);
  const column = again.db.table('note').schema.columns.get('tags')!;
  const [row] = again.db.table('note').rows.values();
  assert.deepEqual(datumToJson(row.fields[column.index], column.type), ['set', ['d', 'e', 'f']]);
});

test('callers that ask for safety at one time share calls to the disk', async () => {
  const access = freshFile();
  const { db, file } = open(access);
  const calls: Promise<void>[] = [];
  for (let i = 0; i < 20; i++) {
    transact(db, insert(`${i}`));
    calls.push(file.sync());
  }
  await Promise.all(calls);
  assert.equal(access.syncs, 2);
});

test('a file of another kind is refused with a reason', () => {
  const bytes = (text: string): MemoryFile => new MemoryFile(new TextEncoder().encode(text));
  assert.throws(() => open(bytes('')), /cannot identify file type/);
  assert.throws(() => open(bytes('hello\n')), /unexpected file format/);
  assert.throws(() => open(bytes(`OVSDB CLUSTER 5 ${'0'.repeat(40)}\n{}\n`)), /clustered/);
  assert.throws(() => open(bytes(`OVSDB OTHER 5 ${'0'.repeat(40)}\n{}\n`)), /cannot identify file type/);
});

test('schemas survive JSON', () => {
  const json = schemaToJson(parseSchema(SCHEMA));
  assert.equal(stringifySorted(schemaToJson(parseSchema(json))), stringifySorted(json));
});

test('a cluster of one is served, and its history outlives a restart', () => {
  const header = {
    server_id: '11111111-0000-4000-8000-000000000000',
    cluster_id: '22222222-0000-4000-8000-000000000000',
    local_address: 'unix:s1.raft',
    name: 'notes',
    prev_servers: { '11111111-0000-4000-8000-000000000000': 'unix:s1.raft' },
    prev_index: 1,
    prev_term: 1,
    prev_data: [SCHEMA, {}],
    prev_eid: '33333333-0000-4000-8000-000000000000',
  };
  const { log, lines } = collectingLog();
  const openAny = (access: FileAccess) => openDatabase(access, { newUuid, log, now: 0 });
  const access = new MemoryFile(composeRecord(header, 'CLUSTER'));
  const first = openAny(access);
  transact(first.db, insert('a'));
  const middle = first.file.history!.lastId;
  transact(first.db, insert('b'));
  const second = openAny(access);
  assert.deepEqual(texts(second.db), ['a', 'b']);
  assert.equal(second.file.history!.lastId, first.file.history!.lastId);
  assert.equal(second.file.history!.since(middle)?.length, 1);
  assert.ok(second.file.position!.index > first.file.position!.index);
  second.file.compact(second.db, 0, 0);
  transact(second.db, insert('c'));
  const third = openAny(access);
  assert.deepEqual(texts(third.db), ['a', 'b', 'c']);
  assert.match(third.file.status!, /Role: leader/);
  assert.deepEqual(lines, []);
  const crowd = {
    ...header,
    prev_servers: { ...header.prev_servers, '44444444-0000-4000-8000-000000000000': 'tcp:1.2.3.4:1' },
  };
  assert.throws(() => openAny(new MemoryFile(composeRecord(crowd, 'CLUSTER'))), /has 2 members/);
});

test('records that are whole but mad are refused, and end the reading where they stand', () => {
  const word = fc.constantFrom(
    'note',
    'text',
    'tags',
    'n',
    '_is_diff',
    '_date',
    '_comment',
    '__proto__',
    'toString',
  );
  const uuid = fc.constantFrom('00000000-0000-4000-8000-aaaaaaaaaaaa', 'x');
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      fc.constantFrom('set', 'map', 'a', '', null, true, 1, -1.5),
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(fc.oneof(word, uuid), tie('value'), { maxKeys: 4 }),
    ),
  }));
  const row = fc.dictionary(word, value, { maxKeys: 3 });
  const record = fc.oneof(
    fc.dictionary(word, value, { maxKeys: 4 }),
    fc.dictionary(uuid, row).map((note) => ({ note, _is_diff: true })),
  );
  fc.assert(
    fc.property(fc.array(record, { maxLength: 4 }), (records) => {
      const access = freshFile();
      for (const json of records) access.write(access.bytes.length, composeRecord(json as JsonObject));
      const { db, lines } = open(access);
      assert.ok(lines.length <= 1);
      transact(db, insert('z'));
      const again = open(access);
      assert.deepEqual(again.lines, []);
      assert.deepEqual(texts(again.db), texts(db));
    }),
    { numRuns: 500 },
  );
});
