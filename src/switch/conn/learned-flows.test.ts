import assert from 'node:assert/strict';
import test from 'node:test';
import { formatActions } from '../../openflow/actions/index.ts';
import { OpenFlowWorld, type TestController } from './testing/openflow-world.ts';

const LEARN = (table: number, cookie: number): string =>
  `learn(table=${table},delete_learned,cookie=${cookie})`;

/** "TABLE/COOKIE" of all flows. */
function flows(world: OpenFlowWorld): string[] {
  return world.side.flows
    .tables()
    .flatMap((table) => [...table.rules(world.ofproto.version)])
    .map((rule) => `${rule.table}/${rule.cookie}`)
    .sort();
}

function setUp(lines: readonly string[]): { world: OpenFlowWorld; client: TestController } {
  const world = new OpenFlowWorld();
  const client = world.client(4);
  for (const line of lines) client.addFlow(line);
  return { world, client };
}

function remove(client: TestController, line: string): void {
  client.send<'flow_mod'>({ ...client.flow(`${line},actions=drop`), command: 'delete', actions: [] });
}

test('learned flows go with the last action that would learn them, and only those of its table', () => {
  const { world, client } = setUp([
    `reg0=1,actions=${LEARN(1, 5)}`,
    `reg0=2,actions=clone(${LEARN(1, 5)})`,
    'table=1,cookie=5,reg0=3,actions=drop',
    'table=1,cookie=6,reg0=4,actions=drop',
    'table=2,cookie=5,reg0=5,actions=drop',
  ]);
  remove(client, 'reg0=1');
  assert.deepEqual(flows(world), ['0/0', '1/5', '1/6', '2/5']);
  remove(client, 'reg0=2');
  assert.deepEqual(client.take(), []);
  assert.deepEqual(flows(world), ['1/6', '2/5']);
  world.close();
});

test('learned flows stay where a flow is replaced that still would learn them, and go where it would not', () => {
  const { world, client } = setUp([
    `reg0=1,actions=${LEARN(1, 5)}`,
    'table=1,cookie=5,reg0=3,actions=drop',
    `reg0=1,actions=${LEARN(1, 5)},output:1`,
  ]);
  assert.deepEqual(flows(world), ['0/0', '1/5']);
  client.addFlow('reg0=1,actions=output:1');
  assert.deepEqual(flows(world), ['0/0']);
  assert.equal(
    formatActions([...world.side.flows.table(0).rules(world.ofproto.version)][0].actions),
    'output:1',
  );
  world.close();
});

test('what learned flows would learn goes with them', () => {
  const { world, client } = setUp([
    `reg0=1,actions=${LEARN(1, 5)}`,
    `table=1,cookie=5,reg0=1,actions=${LEARN(2, 6)}`,
    `table=2,cookie=6,reg0=1,actions=${LEARN(1, 5)}`,
    'table=2,cookie=6,reg0=2,actions=drop',
  ]);
  // The circle keeps itself alive.
  remove(client, 'table=0,reg0=1');
  assert.deepEqual(flows(world), ['1/5', '2/6', '2/6']);
  remove(client, 'table=1');
  assert.deepEqual(flows(world), []);
  world.close();
});

test('a change that fails takes no learned flows along', () => {
  const { world, client } = setUp([`reg0=1,actions=${LEARN(1, 5)}`, 'table=1,cookie=5,reg0=3,actions=drop']);
  const transaction = world.side.flows.begin(null);
  for (const rule of [...world.side.flows.table(0).rules(world.ofproto.version)]) transaction.remove(rule, 2);
  transaction.revert();
  client.addFlow('table=7,actions=drop');
  assert.deepEqual(flows(world), ['0/0', '1/5', '7/0']);
  world.close();
});

test('a flow that no reply has room for is left out of it, and the others are told', () => {
  const { world, client } = setUp(['reg0=1,actions=drop']);
  const actions = Array.from(
    { length: 4094 },
    () => ({ type: 'resubmit', table: 39, inPort: 0xfffffff8, withCt: false }) as const,
  );
  const mod = client.flow('reg0=2,actions=drop');
  world.side.flows.apply({ ...mod, actions }, null);
  client.send<'flow_stats_request'>({
    kind: 'flow_stats_request',
    match: client.flow('actions=drop').match,
    table: 255,
    outPort: 0xffffffff,
    outGroup: 0xffffffff,
    cookie: 0n,
    cookieMask: 0n,
  });
  assert.equal(client.one('flow_stats_reply').flows.length, 1);
  world.close();
});
