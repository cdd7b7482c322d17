import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  FF_SEND_FLOW_REM,
  OFPG_ALL,
  OFPG_BUCKET_ALL,
  OFPG_BUCKET_FIRST,
  OFPG_BUCKET_LAST,
  OFPRR_GROUP_DELETE,
  OFPRR_METER_DELETE,
} from '../../../openflow/constants.ts';
import { type Bucket, DEFAULT_SELECTION, type GroupCommand } from '../../../openflow/messages/group.ts';
import { bucket, OpenFlowWorld, type TestController } from '../testing/openflow-world.ts';

function groupMod(
  client: TestController,
  command: GroupCommand,
  group: number,
  buckets: readonly Bucket[] = [],
  commandBucket = OFPG_BUCKET_ALL,
): void {
  client.send<'group_mod'>({
    kind: 'group_mod',
    command,
    type: 'all',
    group,
    commandBucket,
    buckets,
    selection: DEFAULT_SELECTION,
  });
}

function bucketIds(client: TestController, group: number): number[] {
  client.send<'group_desc_request'>({ kind: 'group_desc_request', group });
  return client.one('group_desc_reply').groups.flatMap((desc) => desc.buckets.map(({ id }) => id));
}

test('buckets are inserted at either end or after one that is named, and removed', () => {
  const world = new OpenFlowWorld();
  const client = world.client(6);
  const of = (...ids: number[]): Bucket[] => ids.map((id) => bucket(id, `output:${id}`));
  groupMod(client, 'add', 1, of(10, 11));
  groupMod(client, 'insert_bucket', 1, of(0, 1), OFPG_BUCKET_FIRST);
  groupMod(client, 'insert_bucket', 1, of(20), OFPG_BUCKET_LAST);
  groupMod(client, 'insert_bucket', 1, of(15, 16), 10);
  assert.deepEqual(bucketIds(client, 1), [0, 1, 10, 15, 16, 11, 20]);
  groupMod(client, 'insert_bucket', 1, of(15), OFPG_BUCKET_LAST);
  groupMod(client, 'insert_bucket', 1, of(30), 29);
  groupMod(client, 'remove_bucket', 1, [], 29);
  assert.deepEqual(client.errors(), [
    'OFPGMFC_BUCKET_EXISTS',
    'OFPGMFC_UNKNOWN_BUCKET',
    'OFPGMFC_UNKNOWN_BUCKET',
  ]);
  groupMod(client, 'remove_bucket', 1, [], OFPG_BUCKET_FIRST);
  groupMod(client, 'remove_bucket', 1, [], OFPG_BUCKET_LAST);
  groupMod(client, 'remove_bucket', 1, [], 15);
  assert.deepEqual(bucketIds(client, 1), [1, 10, 16, 11]);
  groupMod(client, 'remove_bucket', 1, [], OFPG_BUCKET_ALL);
  assert.deepEqual(bucketIds(client, 1), []);
  world.close();
});

test('groups are added once, modified where they are, and both by add_or_mod', () => {
  const world = new OpenFlowWorld();
  const client = world.client(5);
  groupMod(client, 'modify', 1, [bucket(0, 'output:1')]);
  groupMod(client, 'add', 1, [bucket(0, 'output:1')]);
  groupMod(client, 'add', 1, [bucket(0, 'output:1')]);
  assert.deepEqual(client.errors(), ['OFPGMFC_UNKNOWN_GROUP', 'OFPGMFC_GROUP_EXISTS']);
  groupMod(client, 'add_or_mod', 1, [bucket(0, 'output:1'), bucket(1, 'output:2')]);
  groupMod(client, 'add_or_mod', 2, [bucket(0, 'output:1')]);
  assert.deepEqual(bucketIds(client, OFPG_ALL), [0, 1, 0]);
  world.close();
});

test('flows that use a group go with it, and their controller hears why', () => {
  const world = new OpenFlowWorld();
  const client = world.client(5);
  client.send<'set_config'>({
    kind: 'set_config',
    config: { frag: 'normal', invalidTtlToController: null, missSendLen: 128 },
  });
  groupMod(client, 'add', 1, [bucket(0, 'output:1')]);
  groupMod(client, 'add', 2, [bucket(0, 'output:1')]);
  client.send<'flow_mod'>({ ...client.flow('in_port=1,actions=group:1'), flags: FF_SEND_FLOW_REM });
  client.addFlow('in_port=2,actions=write_actions(group:1)');
  client.addFlow('in_port=3,actions=group:2');
  client.send<'group_stats_request'>({ kind: 'group_stats_request', group: OFPG_ALL });
  assert.deepEqual(
    client.one('group_stats_reply').groups.map((stats) => [stats.group, stats.refCount]),
    [
      [1, 2],
      [2, 1],
    ],
  );
  groupMod(client, 'delete', 1);
  assert.equal(client.one('flow_removed').reason, OFPRR_GROUP_DELETE);
  assert.equal(world.side.flows.count, 1);
  groupMod(client, 'delete', OFPG_ALL);
  assert.equal(world.side.flows.count, 0);
  world.close();
});

test('meters are kept, told of, and take their flows with them', () => {
  const world = new OpenFlowWorld();
  const client = world.client(5);
  client.send<'set_config'>({
    kind: 'set_config',
    config: { frag: 'normal', invalidTtlToController: null, missSendLen: 128 },
  });
  client.addFlow('in_port=1,actions=meter:3,output:1');
  assert.deepEqual(client.errors(), ['OFPMMFC_INVALID_METER']);
  const bands = [{ type: 'drop', rate: 10, burstSize: 20, precLevel: 0 }] as const;
  const mod = { kind: 'meter_mod', meter: 3, flags: 2, bands } as const;
  client.send<'meter_mod'>({ ...mod, command: 'modify' });
  client.send<'meter_mod'>({ ...mod, command: 'add' });
  client.send<'meter_mod'>({ ...mod, command: 'add' });
  client.send<'meter_mod'>({ ...mod, command: 'add', meter: 0 });
  assert.deepEqual(client.errors(), [
    'OFPMMFC_UNKNOWN_METER',
    'OFPMMFC_METER_EXISTS',
    'OFPMMFC_INVALID_METER',
  ]);
  client.send<'flow_mod'>({ ...client.flow('in_port=1,actions=meter:3,output:1'), flags: FF_SEND_FLOW_REM });
  client.send<'meter_config_request'>({ kind: 'meter_config_request', meter: 0xffffffff });
  assert.deepEqual(client.one('meter_config_reply').meters, [{ meter: 3, flags: 2, bands }]);
  client.send<'meter_stats_request'>({ kind: 'meter_stats_request', meter: 3 });
  assert.equal(client.one('meter_stats_reply').meters[0].flowCount, 1);
  client.send<'meter_mod'>({ ...mod, command: 'delete', bands: [], flags: 0 });
  assert.equal(client.one('flow_removed').reason, OFPRR_METER_DELETE);
  world.close();
});

test('other controllers that asked for it are shown group mods in words that they know', () => {
  const world = new OpenFlowWorld();
  const client = world.client(6);
  const old = world.client(5);
  old.send<'set_config'>({
    kind: 'set_config',
    config: { frag: 'normal', invalidTtlToController: null, missSendLen: 128 },
  });
  old.send<'set_async_config'>({
    kind: 'set_async_config',
    config: { requestforward: { primary: 3, secondary: 0 } },
  });
  groupMod(client, 'add', 1, [bucket(1, 'output:1')]);
  assert.equal(old.one('requestforward').request.kind, 'group_mod');
  groupMod(client, 'insert_bucket', 1, [bucket(2, 'output:2')], OFPG_BUCKET_LAST);
  const { request } = old.one('requestforward');
  assert.ok(request.kind === 'group_mod');
  assert.equal(request.command, 'add_or_mod');
  assert.equal(request.buckets.length, 2);
  assert.deepEqual(client.errors(), []);
  world.close();
});
