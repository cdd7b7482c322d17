import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OpenFlowWorld } from './testing/openflow-world.ts';

test('a request in parts is carried out when the last has come, and given up where that stays away', () => {
  const world = new OpenFlowWorld();
  const client = world.client(6);
  client.send<'table_features_request'>({ kind: 'table_features_request', more: false, tables: [] });
  const tables = client
    .take()
    .flatMap((message) => (message.kind === 'table_features_reply' ? message.tables : []));
  assert.equal(tables.length, 254);
  const named = tables.map((table) => ({ ...table, name: `t${table.table}` }));
  const half = (part: typeof tables, more: boolean): void => {
    client.send<'table_features_request'>({ kind: 'table_features_request', more, tables: part }, 77);
  };
  half(named.slice(0, 100), true);
  assert.deepEqual(client.take(), []);
  assert.equal(world.side.flows.existing(5), undefined);
  half(named.slice(100), false);
  assert.equal(world.side.flows.existing(5)?.name, 't5');
  client.take();
  half(tables.slice(0, 100), true);
  world.clock.advance(1500);
  world.side.expire();
  assert.deepEqual(client.errors(), ['OFPBRC_MULTIPART_REQUEST_TIMEOUT']);
  // Without the rest of the tables: they can't be taken away.
  half(tables.slice(100), false);
  assert.deepEqual(client.errors(), ['OFPTFFC_EPERM']);
  assert.equal(world.side.flows.existing(5)?.name, 't5');
  world.close();
});
