import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { nullLogger } from '../../base/log.ts';
import { Database } from '../engine/database.ts';
import type { Json } from '../json.ts';
import { directConnector, directPair } from '../rpc/direct.ts';
import { openVSwitchSchema } from '../schema/open_vswitch.ts';
import { parseSchema } from '../schema/schema.ts';
import { Server } from '../server/server.ts';
import { ManualClock, settled } from '../testing/clock.ts';
import { OvsdbClient } from './client.ts';

function setUp(history = false) {
  const clock = new ManualClock();
  const server = new Server({ clock, log: nullLogger, newUuid: randomUUID, history });
  server.addDatabase(new Database(parseSchema(openVSwitchSchema), { newUuid: randomUUID }));
  const connect = () =>
    new OvsdbClient({
      schema: openVSwitchSchema,
      connector: directConnector((channel) => server.accept(channel, { name: 'test' })),
      clock,
      log: nullLogger,
    });
  return { server, connect, clock };
}

test('a transaction reaches the replica of its client before its outcome, and that of another', async () => {
  const { connect } = setUp();
  const client = connect();
  const watcher = connect();
  const seen: string[] = [];
  watcher.onChange((changes) => {
    for (const change of changes.all()) {
      seen.push(`${change.kind} ${change.table} ${[...change.columns].sort()}`);
    }
  });
  client.start();
  watcher.start();
  await Promise.all([client.synced(), watcher.synced()]);

  const txn = client.transaction();
  const iface = txn.insert('Interface', { name: 'p0', type: 'internal', options: new Map([['a', 'b']]) });
  const port = txn.insert('Port', { name: 'p0', interfaces: [iface], trunks: [7, 3], tag: 5 });
  const bridge = txn.insert('Bridge', { name: 'br0', ports: [port], fail_mode: 'secure' });
  txn.insert('Open_vSwitch', { bridges: [bridge], next_cfg: 1 });
  const outcome = await txn.commit();
  assert.equal(outcome.status, 'success');
  const uuid = outcome.status === 'success' ? outcome.uuids.get(bridge) : undefined;
  assert.deepEqual(client.replica.table('Open_vSwitch').only()?.bridges, [uuid]);
  const row = client.replica.table('Port').find((p) => p.name === 'p0');
  assert.deepEqual(row?.trunks, [3, 7]);
  assert.equal(row?.tag, 5);
  assert.equal(row?.bond_mode, null);
  assert.equal(client.replica.table('Interface').only()?.options.get('a'), 'b');
  await settled();
  assert.deepEqual(seen.sort(), [
    'insert Bridge fail_mode,name,ports',
    'insert Interface name,options,type',
    'insert Open_vSwitch bridges,next_cfg',
    'insert Port interfaces,name,tag,trunks',
  ]);
});

test('update, mutate, delete and verify', async () => {
  const { connect } = setUp();
  const client = connect();
  client.start();
  await client.synced();
  const txn = client.transaction();
  txn.insert('Open_vSwitch', {});
  await txn.commit();
  const root = client.replica.table('Open_vSwitch').only()!;

  const second = client.transaction();
  second.update('Open_vSwitch', root._uuid, { external_ids: new Map([['k', 'v']]), ovs_version: '1' });
  second.mutate('Open_vSwitch', root._uuid, 'external_ids', 'insert', new Map([['x', 'y']]));
  second.mutate('Open_vSwitch', root._uuid, 'next_cfg', '+=', 3);
  const outcome = await second.commit();
  assert.deepEqual(outcome, { status: 'success', uuids: new Map(), counts: [1, 1, 1] });
  const row = client.replica.table('Open_vSwitch').only()!;
  assert.deepEqual(
    [...row.external_ids],
    [
      ['k', 'v'],
      ['x', 'y'],
    ],
  );
  assert.equal(row.next_cfg, 3);
  assert.notEqual(row, root);

  const stale = client.transaction();
  stale.verify('Open_vSwitch', root, 'next_cfg');
  stale.update('Open_vSwitch', root._uuid, { cur_cfg: 9 });
  assert.deepEqual(await stale.commit(), { status: 'try-again' });

  const wrong = client.transaction();
  wrong.insert('Bridge', { name: 'b', ports: [randomUUID()] });
  const failed = await wrong.commit();
  assert.equal(failed.status === 'error' && failed.error, 'referential integrity violation');

  const last = client.transaction();
  last.mutate('Open_vSwitch', root._uuid, 'external_ids', 'delete', ['k']);
  last.update('Open_vSwitch', root._uuid, { ovs_version: null });
  await last.commit();
  assert.deepEqual([...client.replica.table('Open_vSwitch').only()!.external_ids], [['x', 'y']]);
  assert.deepEqual(await client.transaction().commit(), { status: 'unchanged' });
});

for (const history of [false, true]) {
  test(`after a reconnection only differences are reported (server keeps history: ${history})`, async () => {
    const { server, connect, clock } = setUp(history);
    const client = connect();
    const other = connect();
    client.start();
    other.start();
    await Promise.all([client.synced(), other.synced()]);
    const txn = other.transaction();
    txn.insert('QoS', { type: 'a' });
    txn.insert('QoS', { type: 'b' });
    await txn.commit();
    await settled();
    assert.equal(client.replica.table('QoS').size, 2);

    const changes: string[] = [];
    client.onChange((set) => {
      for (const c of set.of('QoS')) changes.push(`${c.kind} ${c.row?.type ?? c.old?.type}`);
    });
    const [cut] = server.sessions;
    cut.close();
    const again = other.transaction();
    again.insert('QoS', { type: 'c' });
    again.delete('QoS', other.replica.table('QoS').find((q) => q.type === 'a')!._uuid);
    await again.commit();
    assert.equal(client.state, 'backoff');
    assert.equal(client.replica.table('QoS').size, 2);
    clock.advance(1000);
    await client.synced();
    assert.deepEqual(changes.sort(), ['delete a', 'insert c']);
  });
}

test('an update on the heels of the initial content is not lost', async () => {
  const { connect } = setUp();
  const writer = connect();
  writer.start();
  await writer.synced();
  const reader = connect();
  reader.start();
  const commits: Promise<unknown>[] = [];
  for (let i = 0; i < 50; i++) {
    const txn = writer.transaction();
    txn.insert('QoS', { type: `${i}` });
    commits.push(txn.commit());
    await Promise.resolve();
  }
  await Promise.all(commits);
  await reader.synced();
  await settled();
  assert.equal(reader.replica.table('QoS').size, 50);
});

test('locks pass from one client to the next', async () => {
  const { connect } = setUp();
  const [first, second] = [connect(), connect()];
  first.lock('ovs_vswitchd');
  first.start();
  await first.synced();
  second.lock('ovs_vswitchd');
  second.start();
  await second.synced();
  assert.equal(first.locked(), true);
  assert.equal(second.locked(), false);
  first.close();
  await settled();
  assert.equal(second.locked(), true);
  const txn = second.transaction();
  txn.assertLock('other');
  txn.insert('QoS', {});
  assert.deepEqual(await txn.commit(), { status: 'not-locked' });
});

test('whatever a server says, the client neither throws nor believes nonsense', async () => {
  const word = fc.constantFrom(
    'QoS',
    'Bridge',
    'type',
    'new',
    'old',
    'insert',
    'modify',
    'delete',
    'initial',
    'replica',
    'set',
    'map',
    '__proto__',
  );
  const { json } = fc.letrec((tie) => ({
    json: fc.oneof(
      { maxDepth: 5 },
      word,
      fc.constantFrom(null, true, 0, 1.5),
      fc.array(tie('json'), { maxLength: 3 }),
      fc.dictionary(word, tie('json'), { maxKeys: 3 }),
    ),
  }));
  const row = fc.dictionary(fc.constantFrom('type', 'queues', 'other_config', 'x'), json, { maxKeys: 2 });
  const updates = fc.oneof(
    json,
    fc.dictionary(
      fc.constantFrom('QoS', 'Bridge'),
      fc.dictionary(fc.uuid(), fc.dictionary(word, fc.oneof(row, json), { maxKeys: 2 })),
    ),
  );
  const message = fc.oneof(
    fc.tuple(fc.constantFrom('update', 'update2'), fc.tuple(fc.constant('replica'), updates)),
    fc.tuple(fc.constant('update3'), fc.tuple(fc.constant('replica'), json, updates)),
    fc.tuple(
      fc.constantFrom('locked', 'stolen', 'monitor_canceled', 'nonsense'),
      fc.array(json, { maxLength: 3 }),
    ),
  );
  let synced = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof(json, updates), { maxLength: 4 }),
      fc.array(message, { maxLength: 6 }),
      async (replies, messages) => {
        const [ours, theirs] = directPair();
        let n = 0;
        theirs.receive({
          onMessage: (m) => {
            if (!('method' in m)) return;
            const mad = replies[n % (replies.length || 1)] as Json | undefined;
            const plain =
              m.method === 'get_schema' && mad !== null
                ? (openVSwitchSchema as unknown as Json)
                : m.method === 'monitor_cond_since' && n % 3 > 0
                  ? [mad === true, '00000000-0000-0000-0000-000000000000', mad ?? {}]
                  : mad;
            n++;
            theirs.send({ result: plain ?? null, error: null, id: m.id });
          },
          onDrain() {},
          onClose() {},
          onActivity() {},
        });
        const client = new OvsdbClient({
          schema: openVSwitchSchema,
          connector: { name: 'hostile', needsProbes: false, connect: async () => ours },
          clock: new ManualClock(),
          log: nullLogger,
        });
        client.onChange((changes) => {
          for (const change of changes.all())
            assert.ok(change.columns.size >= 0 && (change.row ?? change.old) !== undefined);
        });
        client.lock('l');
        client.start();
        await settled();
        if (client.state === 'synced') synced++;
        for (const [method, params] of messages) theirs.send({ method, params: params as Json[], id: null });
        const txn = client.transaction();
        txn.insert('QoS', {});
        const outcome = txn.commit();
        await settled();
        client.close();
        assert.ok(typeof (await outcome).status === 'string');
        assert.equal(({} as { type?: string }).type, undefined);
      },
    ),
    { numRuns: 200 },
  );
  assert.ok(synced > 20, `only ${synced} clients came as far as to be told nonsense`);
});
