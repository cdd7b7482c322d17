import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { nullLogger } from '../../base/log.ts';
import { Database } from '../engine/database.ts';
import { isJsonObject, type Json, type JsonObject } from '../json.ts';
import type { RpcChannel, RpcHandler, RpcMessage } from '../rpc/channel.ts';
import { parseSchema } from '../schema/schema.ts';
import { ManualClock, settled } from '../testing/clock.ts';
import { Server, type ServerOptions } from './server.ts';

const SCHEMA = {
  name: 'notes',
  version: '1.0.0',
  tables: { note: { columns: { text: { type: 'string' }, n: { type: 'integer' } }, isRoot: true } },
};

/** The client's end of a connection, with a network that can be made slow. */
class FakeChannel implements RpcChannel {
  backlog = 0;
  closed = false;
  readonly got: RpcMessage[] = [];
  #handler: RpcHandler | undefined;
  #id = 0;

  send(message: RpcMessage): void {
    this.got.push(message);
  }
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.#handler?.onClose('connection closed');
  }
  receive(handler: RpcHandler): void {
    this.#handler = handler;
  }
  drain(): void {
    this.backlog = 0;
    this.#handler?.onDrain();
  }
  /** Asks; the id of the request comes back. */
  ask(method: string, ...params: Json[]): number {
    const id = ++this.#id;
    this.#handler?.onMessage({ method, params, id });
    return id;
  }
  notify(method: string, ...params: Json[]): void {
    this.#handler?.onMessage({ method, params, id: null });
  }
  say(message: RpcMessage): void {
    this.#handler?.onMessage(message);
  }
  reply(id: number): { result: Json; error: Json } | undefined {
    return this.got.find((m): m is Extract<RpcMessage, { result: Json }> => 'result' in m && m.id === id);
  }
  notices(): string[] {
    return this.got.flatMap((m) => ('method' in m ? [m.method] : []));
  }
}

function setUp(options: Partial<ServerOptions> = {}) {
  const clock = new ManualClock();
  const server = new Server({ clock, log: nullLogger, newUuid: randomUUID, ...options });
  const db = new Database(parseSchema(SCHEMA), { newUuid: randomUUID });
  server.addDatabase(db);
  const connect = (more: { readOnly?: boolean; probeInterval?: number } = {}) => {
    const channel = new FakeChannel();
    server.accept(channel, { name: 'test', ...more });
    return channel;
  };
  return { server, db, clock, connect };
}

const insert = (n: number): Json => ({ op: 'insert', table: 'note', row: { text: 'x', n } });
const waitFor = (n: number, timeout?: number): JsonObject => ({
  op: 'wait',
  table: 'note',
  where: [['n', '==', n]],
  columns: ['n'],
  until: '==',
  rows: [{ n }],
  ...(timeout === undefined ? {} : { timeout }),
});
const errorOf = (json: Json | undefined): Json | undefined => (isJsonObject(json) ? json.error : undefined);

test('a client that does not read gets all that happened in one update', () => {
  const { connect } = setUp();
  const writer = connect();
  const slow = connect();
  const quick = connect();
  for (const c of [slow, quick]) c.ask('monitor', 'notes', 'm', { note: { columns: ['n'] } });
  slow.backlog = 1;
  for (let i = 0; i < 10; i++) writer.ask('transact', 'notes', insert(i));
  writer.ask('transact', 'notes', { op: 'delete', table: 'note', where: [['n', '<', 8]] });
  assert.equal(quick.notices().length, 11);
  assert.equal(slow.notices().length, 0);
  slow.drain();
  assert.equal(slow.notices().length, 1);
  const update = slow.got.at(-1) as { params: readonly Json[] };
  assert.equal(Object.keys((update.params[1] as { note: object }).note).length, 2);
});

test('a reply comes after the updates that it caused', () => {
  const { connect } = setUp();
  const client = connect();
  client.ask('monitor', 'notes', 'm', { note: {} });
  client.got.length = 0;
  client.ask('transact', 'notes', insert(1));
  assert.deepEqual(
    client.got.map((m) => ('method' in m ? m.method : 'reply')),
    ['update', 'reply'],
  );
});

test('transactions wait until their conditions hold, time out, or are canceled', async () => {
  const { connect, clock } = setUp();
  const [client, other] = [connect(), connect()];
  const first = client.ask('transact', 'notes', waitFor(1), insert(2));
  const second = client.ask('transact', 'notes', waitFor(2));
  const late = client.ask('transact', 'notes', waitFor(9, 50));
  const never = client.ask('transact', 'notes', waitFor(9));
  assert.equal(
    errorOf(client.reply(client.ask('transact', 'notes', waitFor(9, 0)))?.result as Json),
    undefined,
  );
  const immediate = client.got.at(-1) as { result: readonly Json[] };
  assert.equal(errorOf(immediate.result[0]), 'timed out');
  other.ask('transact', 'notes', insert(1));
  await settled();
  assert.ok(client.reply(first));
  assert.ok(client.reply(second), 'a transaction that waited lets others go on');
  assert.equal(client.reply(late), undefined);
  clock.advance(49);
  assert.equal(client.reply(late), undefined);
  clock.advance(1);
  const [timedOut] = client.reply(late)!.result as readonly JsonObject[];
  assert.deepEqual(timedOut, { error: 'timed out', details: '"wait" timed out after 50 ms' });
  client.notify('cancel', never);
  assert.equal(client.reply(never)!.error, 'canceled');
  assert.equal(errorOf(client.reply(client.ask('transact', 'notes', waitFor(9)))?.error), undefined);
});

test('one client cannot pile up transactions, monitors or locks without end', () => {
  const { connect } = setUp();
  const client = connect();
  for (let i = 0; i < 1000; i++) {
    client.ask('transact', 'notes', waitFor(9));
    client.ask('monitor', 'notes', i, { note: {} });
    client.ask('lock', `l${i}`);
  }
  const [refused] = client.reply(client.ask('transact', 'notes', waitFor(9)))!.result as readonly Json[];
  assert.equal(errorOf(refused), 'resources exhausted');
  assert.equal(errorOf(client.reply(client.ask('monitor', 'notes', 'm', {}))!.error), 'resources exhausted');
  assert.equal(errorOf(client.reply(client.ask('lock', 'l'))!.error), 'resources exhausted');
});

test('too many clients are turned away', () => {
  const { connect } = setUp({ maxSessions: 2 });
  connect();
  connect().close();
  connect();
  assert.equal(connect().closed, true);
});

test('clients that watch for it survive databases coming and going; others are cut off', () => {
  const { server, db, connect } = setUp();
  const [aware, unaware] = [connect(), connect()];
  aware.ask('set_db_change_aware', true);
  aware.ask('monitor', '_Server', 's', { Database: { columns: ['name'] } });
  for (const c of [aware, unaware]) c.ask('monitor', 'notes', 'm', { note: {} });
  const waiting = aware.ask('transact', 'notes', waitFor(9));
  server.removeDatabase('notes', 'test');
  assert.equal(unaware.closed, true);
  assert.equal(aware.closed, false);
  assert.deepEqual(aware.notices(), ['monitor_canceled', 'update']);
  assert.equal(aware.reply(waiting)!.error, 'canceled');
  assert.equal(errorOf(aware.reply(aware.ask('get_schema', 'notes'))!.error), 'unknown database');
  server.addDatabase(db);
  assert.equal(aware.notices().length, 3);
  assert.deepEqual(aware.reply(aware.ask('list_dbs'))!.result, ['_Server', 'notes']);
});

test('conversion keeps what fits, and tells who asked first', () => {
  const { server, connect } = setUp();
  const client = connect();
  const watcher = connect();
  watcher.ask('set_db_change_aware', true);
  watcher.ask('monitor', 'notes', 'm', { note: {} });
  client.ask('transact', 'notes', insert(7));
  const wrong = client.ask('convert', 'notes', { ...SCHEMA, name: 'other' });
  assert.equal(errorOf(client.reply(wrong)!.error), 'invalid parameters');
  const narrow = client.ask('convert', 'notes', {
    ...SCHEMA,
    tables: { note: { columns: { n: { type: { key: { type: 'integer', maxInteger: 3 } } } } } },
  });
  assert.equal(errorOf(client.reply(narrow)!.error), 'constraint violation');
  const good = client.ask('convert', 'notes', {
    ...SCHEMA,
    tables: { note: { columns: { n: { type: 'integer' } } } },
  });
  assert.deepEqual(client.reply(good), { result: {}, error: null, id: good });
  assert.equal(client.closed, true);
  assert.deepEqual(watcher.notices(), ['update', 'monitor_canceled']);
  const selected = watcher.ask('transact', 'notes', {
    op: 'select',
    table: 'note',
    where: [],
    columns: ['n'],
  });
  assert.deepEqual(watcher.reply(selected)!.result, [{ rows: [{ n: 7 }] }]);
  assert.equal(server.databases.get('notes')!.table('note').schema.columns.has('text'), false);
});

test('a stolen lock comes back to who had it before, but not to a thief', () => {
  const { connect } = setUp();
  const [a, b, c] = [connect(), connect(), connect()];
  assert.deepEqual(a.reply(a.ask('lock', 'l'))!.result, { locked: true });
  assert.deepEqual(b.reply(b.ask('steal', 'l'))!.result, { locked: true });
  assert.deepEqual(c.reply(c.ask('steal', 'l'))!.result, { locked: true });
  assert.deepEqual(b.notices(), ['stolen']);
  c.ask('unlock', 'l');
  assert.deepEqual(a.notices(), ['stolen', 'locked']);
  assert.deepEqual(b.notices(), ['stolen']);
  assert.equal(errorOf(a.reply(a.ask('lock', 'l'))!.error), 'syntax error');
  const denied = b.reply(b.ask('transact', 'notes', { op: 'assert', lock: 'l' }))!.result as readonly Json[];
  assert.equal(errorOf(denied[0]), 'not owner');
});

test('a silent client is probed and then given up', () => {
  const { connect, clock } = setUp();
  const client = connect({ probeInterval: 5000 });
  clock.advance(5000);
  assert.deepEqual(client.notices(), ['echo']);
  client.say({ result: [], error: null, id: 'echo' });
  assert.equal(client.closed, false);
  clock.advance(20000);
  assert.equal(client.closed, true);
});

test('who may only read may neither write nor lock', () => {
  const { server, connect } = setUp();
  const reader = connect({ readOnly: true });
  const [refused] = reader.reply(reader.ask('transact', 'notes', insert(1)))!.result as readonly Json[];
  assert.equal(errorOf(refused), 'not allowed');
  assert.match(String(reader.reply(reader.ask('lock', 'l'))!.error), /read only/);
  const writer = connect();
  server.readOnly = true;
  assert.equal(
    errorOf((writer.reply(writer.ask('transact', 'notes', insert(1)))!.result as readonly Json[])[0]),
    'not allowed',
  );
  server.readOnly = false;
  assert.equal(
    errorOf((writer.reply(writer.ask('transact', 'notes', insert(1)))!.result as readonly Json[])[0]),
    undefined,
  );
  const own = writer.ask('transact', '_Server', { op: 'delete', table: 'Database', where: [] });
  assert.equal(errorOf((writer.reply(own)!.result as readonly Json[])[0]), 'not allowed');
});

test('requests that make no sense get an error and harm nobody', () => {
  const { connect } = setUp();
  const client = connect();
  const asked: [string, ...Json[]][] = [
    ['nonsense'],
    ['transact'],
    ['transact', 5],
    ['monitor', 'notes'],
    ['monitor', 'notes', null, []],
    ['monitor', 'notes', null, { toString: {} }],
    ['monitor', 'notes', null, { note: { columns: ['n', 'n'] } }],
    ['monitor_cond_since', 'notes', 1, {}, 'no uuid'],
    ['monitor_cond_change', 1, 2],
    ['monitor_cond_change', 1, 2, {}],
    ['monitor_cancel', 'none'],
    ['lock', 'not an id'],
    ['unlock', 'free'],
    ['convert', 'notes', 7],
    ['convert', '_Server', {}],
    ['set_db_change_aware', 1],
  ];
  for (const [method, ...params] of asked) {
    const reply = client.reply(client.ask(method, ...params));
    assert.notEqual(reply?.error ?? null, null, method);
  }
  client.notify('cancel');
  client.notify('nonsense', 1);
  assert.equal(client.closed, false);
  assert.deepEqual(client.reply(client.ask('echo', 1, 'x'))!.result, [1, 'x']);
});

test('no request whatever makes the server throw or forget its manners', () => {
  const method = fc.constantFrom(
    'transact',
    'monitor',
    'monitor_cond',
    'monitor_cond_since',
    'monitor_cond_change',
    'monitor_cancel',
    'get_schema',
    'lock',
    'steal',
    'unlock',
    'convert',
    'set_db_change_aware',
    'echo',
    'cancel',
    'toString',
  );
  const word = fc.constantFrom(
    'notes',
    '_Server',
    'note',
    'n',
    'text',
    'columns',
    'where',
    'select',
    'initial',
    'op',
    'insert',
    'table',
    'row',
    '==',
    'm',
    '__proto__',
    '00000000-0000-0000-0000-000000000000',
  );
  const { json } = fc.letrec((tie) => ({
    json: fc.oneof(
      { maxDepth: 5 },
      word,
      fc.constantFrom(null, true, false, 0, -1, 1.5, 2 ** 60),
      fc.array(tie('json'), { maxLength: 4 }),
      fc.dictionary(word, tie('json'), { maxKeys: 4 }),
    ),
  }));
  const likely = fc
    .tuple(word, json, fc.dictionary(word, json, { maxKeys: 3 }), json)
    .map((p) => p as unknown[]);
  const params = fc.oneof(
    fc.array(json, { maxLength: 5 }),
    likely,
    fc.tuple(fc.constant('notes'), json, fc.constant({ note: [{}] })),
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(method, params, fc.boolean()), { maxLength: 12 }), (requests) => {
      const { connect } = setUp();
      const client = connect();
      const bystander = connect();
      bystander.ask('set_db_change_aware', true);
      for (const [name, list, silent] of requests) {
        if (client.closed) break;
        if (silent) {
          client.notify(name, ...(list as Json[]));
          continue;
        }
        const id = client.ask(name, ...(list as Json[]));
        const waits = name === 'transact';
        assert.ok(waits || client.reply(id) !== undefined || client.closed, `${name} got no reply`);
      }
      assert.equal(bystander.closed, false);
      assert.deepEqual(bystander.reply(bystander.ask('echo', 'still here'))!.result, ['still here']);
    }),
    { numRuns: 1000 },
  );
});
