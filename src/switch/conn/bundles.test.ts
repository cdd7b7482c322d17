import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OFPG_BUCKET_ALL } from '../../openflow/constants.ts';
import { DEFAULT_SELECTION } from '../../openflow/messages/group.ts';
import type { OfVersion } from '../../openflow/version.ts';
import { bucket, OpenFlowWorld, type TestController } from './testing/openflow-world.ts';

const ATOMIC = 1;
const ORDERED = 2;

function control(
  client: TestController,
  type: 'open' | 'close' | 'commit' | 'discard',
  flags = ATOMIC,
): void {
  client.send<'bundle_control'>({ kind: 'bundle_control', bundle: 7, type: `${type}_request`, flags });
}

function addFlow(client: TestController, line: string, flags = ATOMIC): void {
  const xid = 9000;
  const message = client.encode<'flow_mod'>(client.flow(line), xid);
  client.send<'bundle_add'>({ kind: 'bundle_add', bundle: 7, flags, message }, xid);
}

function flows(world: OpenFlowWorld): number {
  return world.side.flows.count;
}

for (const version of [4, 5, 6] as OfVersion[]) {
  test(`OpenFlow version ${version}: a bundle shows its flows when it is committed, not before`, () => {
    const world = new OpenFlowWorld();
    const client = world.client(version);
    control(client, 'open');
    assert.equal(client.one('bundle_control').type, 'open_reply');
    addFlow(client, 'table=1,in_port=1,actions=drop');
    addFlow(client, 'table=2,in_port=1,actions=drop');
    assert.equal(flows(world), 0);
    control(client, 'close');
    assert.equal(client.one('bundle_control').type, 'close_reply');
    control(client, 'commit');
    assert.equal(client.one('bundle_control').type, 'commit_reply');
    assert.equal(flows(world), 2);
    world.close();
  });
}

test('a bundle with a message that fails changes nothing, and says which it was', () => {
  const world = new OpenFlowWorld();
  const client = world.client(5);
  client.addFlow('table=1,in_port=1,actions=drop');
  control(client, 'open');
  client.take();
  addFlow(client, 'delete table=1');
  addFlow(client, 'table=3,in_port=3,actions=drop');
  addFlow(client, 'table=1,in_port=1,actions=group:5');
  addFlow(client, 'table=4,in_port=3,actions=drop');
  control(client, 'commit');
  assert.deepEqual(client.errors(), ['OFPBAC_BAD_OUT_GROUP', 'OFPBFC_MSG_FAILED']);
  assert.deepEqual(
    world.side.flows.tables().map((table) => [table.id, table.count]),
    [
      [1, 1],
      [3, 0],
      [4, 0],
    ].slice(0, world.side.flows.tables().length),
  );
  assert.equal(flows(world), 1);
  control(client, 'commit');
  assert.deepEqual(client.errors(), ['OFPBFC_BAD_ID'], 'the bundle is gone');
  world.close();
});

test('a group that a bundle makes can be used by flows after it, and goes again if the bundle fails', () => {
  const world = new OpenFlowWorld();
  const client = world.client(5);
  const group = {
    kind: 'group_mod',
    command: 'add',
    type: 'all',
    group: 5,
    commandBucket: OFPG_BUCKET_ALL,
    buckets: [bucket(0, 'output:1')],
    selection: DEFAULT_SELECTION,
  } as const;
  for (const fails of [true, false]) {
    control(client, 'open');
    const message = client.encode<'group_mod'>(group, 9);
    client.send<'bundle_add'>({ kind: 'bundle_add', bundle: 7, flags: ATOMIC, message }, 9);
    addFlow(client, 'in_port=1,actions=group:5');
    if (fails) addFlow(client, 'in_port=2,actions=group:6');
    client.take();
    control(client, 'commit');
    const answers = client.errors();
    assert.equal(answers.at(-1), fails ? 'OFPBFC_MSG_FAILED' : 'bundle_control');
    assert.equal(world.side.groups.has(5), !fails);
    assert.equal(world.side.flows.usersOfGroup(5).size, fails ? 0 : 1);
  }
  world.close();
});

test('mistakes about a bundle have the errors of the specification, and end it', () => {
  const world = new OpenFlowWorld();
  const client = world.client(5);
  const expect = (...names: string[]): void => assert.deepEqual(client.errors(), names);
  control(client, 'close');
  expect('OFPBFC_BAD_ID');
  control(client, 'discard');
  expect('OFPBFC_BAD_ID');
  control(client, 'open');
  control(client, 'open');
  expect('bundle_control', 'OFPBFC_BAD_ID');
  control(client, 'open');
  control(client, 'close', ORDERED);
  expect('bundle_control', 'OFPBFC_BAD_FLAGS');
  control(client, 'open');
  control(client, 'close');
  addFlow(client, 'actions=drop');
  expect('bundle_control', 'bundle_control', 'OFPBFC_BUNDLE_CLOSED');
  control(client, 'open');
  addFlow(client, 'actions=drop', ORDERED);
  expect('bundle_control', 'OFPBFC_BAD_FLAGS');
  control(client, 'commit');
  expect('OFPBFC_BAD_ID');
  world.close();
});

test('a bundle that nobody speaks of ends by itself', () => {
  const world = new OpenFlowWorld({ bundleIdleTimeoutMs: 3000 });
  const client = world.client(5);
  control(client, 'open');
  client.take();
  world.clock.advance(2000);
  world.side.expire();
  assert.deepEqual(client.errors(), []);
  world.clock.advance(1500);
  world.side.expire();
  assert.deepEqual(client.errors(), ['OFPBFC_TIMEOUT']);
  world.close();
});

test('a packet-out in a bundle sees the flows before it, and is not sent if the bundle fails', () => {
  const world = new OpenFlowWorld();
  const port = world.addPort(1);
  const sent = world.sniff(port);
  const client = world.client(5);
  const packet = Uint8Array.from({ length: 60 }, (_, i) => i + 2);
  const packetOut = (): void => {
    const out = { kind: 'packet_out', ...packetOutBody(client, packet) } as const;
    const message = client.encode<'packet_out'>(out, 9);
    client.send<'bundle_add'>({ kind: 'bundle_add', bundle: 7, flags: ATOMIC, message }, 9);
  };
  for (const fails of [true, false]) {
    client.take();
    control(client, 'open');
    addFlow(client, 'actions=output:1');
    packetOut();
    if (fails) addFlow(client, 'actions=group:9');
    control(client, 'commit');
    assert.equal(client.errors().includes('OFPBFC_MSG_FAILED'), fails);
    assert.equal(sent.length, fails ? 0 : 1);
  }
  assert.deepEqual(sent[0], packet);
  world.close();
});

function packetOutBody(client: TestController, packet: Uint8Array) {
  const { match, actions } = client.flow('in_port=ANY,actions=table');
  return { packet, bufferId: 0xffffffff, metadata: match, actions };
}
