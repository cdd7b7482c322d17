import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Match } from '../../flow/match.ts';
import {
  OFPFMF_ADD,
  OFPFMF_INITIAL,
  OFPFMF_INSTRUCTIONS,
  OFPFMF_MODIFY,
  OFPFMF_REMOVED,
  OFPG_ANY,
  OFPP_ANY,
  OFPTT_ALL,
} from '../../openflow/constants.ts';
import type { FlowMonitor, FlowUpdate } from '../../openflow/messages/monitor.ts';
import type { OfVersion } from '../../openflow/version.ts';
import { OpenFlowWorld, type TestController } from './testing/openflow-world.ts';

const ALL = OFPFMF_INITIAL | OFPFMF_ADD | OFPFMF_REMOVED | OFPFMF_MODIFY | OFPFMF_INSTRUCTIONS;

function watch(client: TestController, change: Partial<FlowMonitor> = {}): void {
  const monitor: FlowMonitor = {
    id: 1,
    command: 'add',
    flags: ALL,
    outPort: OFPP_ANY,
    outGroup: OFPG_ANY,
    table: OFPTT_ALL,
    match: new Match(),
    ...change,
  };
  client.send<'flow_monitor_request'>({ kind: 'flow_monitor_request', more: false, monitors: [monitor] });
}

function updates(client: TestController): FlowUpdate[] {
  return client.take().flatMap((message) => (message.kind === 'flow_monitor_reply' ? message.updates : []));
}

const events = (client: TestController): string[] => updates(client).map((update) => update.event);

for (const version of [1, 4, 5] as OfVersion[]) {
  test(`OpenFlow version ${version}: a monitor tells of what is there and what changes`, () => {
    const world = new OpenFlowWorld();
    const client = world.client(version);
    const other = world.client(5);
    other.addFlow('in_port=1,actions=output:2');
    watch(client);
    assert.deepEqual(events(client), [version >= 5 ? 'initial' : 'added']);
    other.addFlow('in_port=2,actions=output:3');
    other.addFlow('modify in_port=2,actions=output:4');
    other.addFlow('delete in_port=1');
    assert.deepEqual(events(client), ['added', 'modified', 'removed']);
    client.addFlow('in_port=5,actions=drop');
    const [own] = updates(client);
    assert.equal(own.event, 'abbrev');
    world.close();
  });
}

test('a monitor of a port or a table tells of nothing else', () => {
  const world = new OpenFlowWorld();
  const client = world.client(5);
  const other = world.client(5);
  watch(client, { outPort: 7, table: 3 });
  client.take();
  other.addFlow('table=3,in_port=1,actions=output:6');
  other.addFlow('table=2,in_port=1,actions=output:7');
  assert.deepEqual(events(client), []);
  other.addFlow('table=3,in_port=2,actions=output:7');
  // It went elsewhere: the watcher of its old port hears of that.
  other.addFlow('modify table=3,in_port=2,actions=output:8');
  assert.deepEqual(events(client), ['added', 'modified']);
  world.close();
});

test('requests are carried out whole or not at all', () => {
  const world = new OpenFlowWorld();
  const client = world.client(5);
  watch(client);
  client.take();
  watch(client);
  assert.deepEqual(client.errors(), ['OFPMOFC_MONITOR_EXISTS']);
  watch(client, { command: 'delete', id: 2 });
  assert.deepEqual(client.errors(), ['OFPMOFC_UNKNOWN_MONITOR']);
  watch(client, { command: 'delete' });
  client.take();
  world.client(5).addFlow('actions=drop');
  assert.deepEqual(events(client), []);
  world.close();
});

test('who reads too slowly is told of a pause, and afterwards of how things are', () => {
  const world = new OpenFlowWorld();
  const client = world.client(5);
  const other = world.client(5);
  watch(client);
  other.addFlow('in_port=1,actions=output:2');
  other.addFlow('in_port=2,actions=output:2');
  client.stream.reading = false;
  for (let i = 0; i < 3000; i++) other.addFlow(`table=1,in_port=${i},actions=output:2`);
  // Of flows that come and go unseen, not a word.
  for (let i = 0; i < 3000; i++) other.addFlow(`table=2,in_port=${i},actions=output:2`);
  other.addFlow('delete table=2');
  other.addFlow('delete in_port=1,table=0');
  other.addFlow('modify table=0,in_port=2,actions=output:9');
  assert.ok(client.stream.pending < 1_000_000);
  client.stream.reading = true;
  const told = updates(client);
  const pause = told.findIndex((update) => update.event === 'paused');
  assert.ok(pause > 0);
  assert.equal(told.at(-1)?.event, 'resumed');
  const seen = new Set<string>();
  for (const update of told) {
    if (!('match' in update)) continue;
    const key = `${update.table}/${update.match.flow.join()}`;
    if (update.event === 'removed') assert.ok(seen.delete(key), 'only flows that are known end');
    else if (update.event === 'added') seen.add(key);
    else assert.ok(seen.has(key));
  }
  // All but the two that came before; one of which went.
  assert.equal(seen.size, 3000 + 1);
  world.close();
});
