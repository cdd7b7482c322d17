/** Relays and replication: servers that follow others, all within this process. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { nullLogger } from '../../base/log.ts';
import { OvsdbClient } from '../client/client.ts';
import { Database } from '../engine/database.ts';
import type { Json } from '../json.ts';
import { directConnector } from '../rpc/direct.ts';
import { openVSwitchSchema } from '../schema/open_vswitch.ts';
import { parseSchema } from '../schema/schema.ts';
import { ManualClock, settled } from '../testing/clock.ts';
import { Relay } from './relay.ts';
import { parseExcluded, Replication } from './replication.ts';
import { Server } from './server.ts';

const clock = new ManualClock();
const newServer = (history = false) => new Server({ clock, log: nullLogger, newUuid: randomUUID, history });
const connectorOf = (server: Server) =>
  directConnector((channel) => server.accept(channel, { name: 'peer' }));

function newDatabase(schema: Json = openVSwitchSchema as unknown as Json): Database {
  return new Database(parseSchema(schema), { newUuid: randomUUID });
}

async function connect(server: Server) {
  const client = new OvsdbClient({
    schema: openVSwitchSchema,
    connector: connectorOf(server),
    clock,
    log: nullLogger,
  });
  client.start();
  await client.synced();
  return client;
}

test('a chain of relays reads here and writes there', async () => {
  const source = newServer(true);
  source.addDatabase(newDatabase());
  const [first, second] = [newServer(), newServer()];
  const options = { name: 'Open_vSwitch', clock, log: nullLogger, newUuid: randomUUID };
  const relays = [
    new Relay(first, { ...options, sources: [connectorOf(source)] }),
    new Relay(second, { ...options, sources: [connectorOf(first)] }),
  ];
  first.addRelay(relays[0]);
  second.addRelay(relays[1]);
  assert.equal(second.databases.get('Open_vSwitch'), undefined);
  relays[0].start();
  await settled();
  relays[1].start();
  await settled();
  assert.equal(relays[1].connected, true);

  const client = await connect(second);
  const txn = client.transaction();
  const qos = txn.insert('QoS', { type: 'linux-htb', other_config: new Map([['max-rate', '7']]) });
  const outcome = await txn.commit();
  assert.equal(outcome.status, 'success');
  const uuid = outcome.status === 'success' ? outcome.uuids.get(qos)! : '';
  assert.equal(client.replica.table('QoS').get(uuid)?.type, 'linux-htb');
  for (const server of [source, first, second]) {
    assert.ok(server.databases.get('Open_vSwitch')!.table('QoS').rows.has(uuid));
  }
  assert.equal(relays[1].lastId, source.lastTransaction(source.databases.get('Open_vSwitch')!));

  const bad = client.transaction();
  bad.insert('Bridge', { name: 'x', ports: [randomUUID()] });
  const refused = await bad.commit();
  assert.equal(refused.status === 'error' && refused.error, 'referential integrity violation');

  // The source forgets everything: so do the relays, after a pause.
  for (const session of [...source.sessions]) session.close();
  const other = await connect(source);
  const wipe = other.transaction();
  wipe.delete('QoS', uuid);
  await wipe.commit();
  assert.equal(client.replica.table('QoS').size, 1);
  clock.advance(8000);
  await settled();
  assert.equal(client.replica.table('QoS').size, 0);
});

test('a backup follows the active server but for excluded tables, and takes over', async () => {
  const active = newServer();
  active.addDatabase(newDatabase());
  const backup = newServer();
  backup.addDatabase(newDatabase());
  const writer = await connect(active);
  const txn = writer.transaction();
  txn.insert('QoS', { type: 'before' });
  await txn.commit();
  backup.readOnly = true;
  const replication = new Replication({
    server: backup,
    connector: connectorOf(active),
    clock,
    log: nullLogger,
    excluded: parseExcluded('Open_vSwitch:Queue'),
    probeInterval: 0,
    onFailure: () => assert.fail('replication failed'),
  });
  replication.start();
  await replication.settled();
  const second = writer.transaction();
  second.insert('QoS', { type: 'after' });
  second.insert('Queue', { dscp: 3 });
  await second.commit();
  await settled();
  const reader = await connect(backup);
  assert.deepEqual([...reader.replica.table('QoS').rows()].map((q) => q.type).sort(), ['after', 'before']);
  assert.equal(reader.replica.table('Queue').size, 0);
  assert.match(
    replication.status,
    /^replicating: in-process\ndatabase: Open_vSwitch\nexclude: Open_vSwitch:Queue$/,
  );
  const refused = reader.transaction();
  refused.insert('QoS', { type: 'mine' });
  const outcome = await refused.commit();
  assert.equal(outcome.status === 'error' && outcome.error, 'not allowed');
  replication.close();
  backup.readOnly = false;
  const mine = reader.transaction();
  mine.insert('QoS', { type: 'mine' });
  assert.equal((await mine.commit()).status, 'success');
  assert.equal(reader.replica.table('QoS').size, 3);
});

test('a server does not replicate itself, nor what does not fit', async () => {
  const server = newServer();
  server.addDatabase(newDatabase());
  const failures: string[] = [];
  const follow = async (source: Server): Promise<void> => {
    const replication = new Replication({
      server,
      connector: connectorOf(source),
      clock,
      log: nullLogger,
      excluded: new Map(),
      probeInterval: 0,
      onFailure: () => failures.push('failed'),
    });
    replication.start();
    await replication.settled();
    replication.close();
  };
  await follow(server);
  assert.equal(failures.length, 1);
  const other = newServer();
  other.addDatabase(
    newDatabase({ name: 'Open_vSwitch', tables: { Bridge: { columns: { alien: { type: 'real' } } } } }),
  );
  await follow(other);
  assert.equal(failures.length, 2);
  assert.equal(server.databases.get('Open_vSwitch')!.tables.size, 19);
});
