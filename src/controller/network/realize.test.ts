import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Stored } from '../../api-schema/kinds.ts';
import { settled } from '../../ovsdb/testing/clock.ts';
import { NetworkRealization } from './realize.ts';
import type { FakeAgent } from './testing/fake-agent.ts';
import { makeWorld, type World } from './testing/world.ts';

interface Scene {
  readonly world: World;
  readonly realization: NetworkRealization;
  readonly a: FakeAgent;
  readonly b: FakeAgent;
  readonly blue: string;
  readonly port: string;
  object(id: string): Stored;
}

function scene(): Scene {
  const world = makeWorld();
  const { model, network, clock } = world;
  const [a, b] = [world.host('host-a', '192.0.2.1'), world.host('host-b', '192.0.2.2')];
  const tenant = model.create('tenant', { name: 'acme' });
  const blue = model.create('logical-switch', { name: 'blue', tenant });
  const port = model.create('logical-port', {
    name: 'web-1',
    switch: blue,
    vif: 'vm1',
    addresses: [{ mac: '02:00:00:00:00:01' }],
  });
  const realization = new NetworkRealization(network, clock);
  return { world, realization, a, b, blue, port, object: (id) => model.get(id)! };
}

test('a port tells, step by step, what it is waiting for', async () => {
  const { world, realization, a, port, object } = scene();
  const of = (): string => realization.of(object(port)).reason ?? 'realized';
  assert.equal(of(), 'the VIF vm1 of web-1 is on no host');
  a.answer = () => 'nothing';
  a.connect(world.network);
  await settled();
  a.locate('vm1');
  await settled();
  assert.match(of(), /^host-a has not confirmed revision \d+ yet$/);
  a.say('applied', { revision: a.updates.at(-1)!.revision, elapsed: 1 });
  await settled();
  assert.equal(of(), 'realized');
  assert.deepEqual(realization.of(object(port)).hosts, [{ node: 'host-a', state: 'applied' }]);
  assert.equal(realization.port(port)!.node, 'host-a');

  a.answer = () => ({ code: 'flow-table-full', message: 'no room for 3 flows' });
  const { spec } = object(port);
  world.model.update('logical-port', port, { ...spec, addresses: [{ mac: '02:00:00:00:00:02' }] } as never);
  await settled();
  // What the switch said may be about another tenant's flows: the operator is told, and nobody else.
  assert.equal(of(), 'the switch of host-a refused it (flow-table-full)');
  const refused = realization.revision(world.model.revision).hosts;
  assert.deepEqual(
    refused.map(({ reason }) => reason),
    ['the switch of host-a refused it: no room for 3 flows (flow-table-full)'],
  );

  a.disconnect();
  await settled();
  assert.equal(of(), 'the agent of host-a is not connected');
  a.answer = () => 'applied';
  a.connect(world.network);
  await settled();
  assert.equal(of(), 'realized');

  const { vif: _, ...without } = object(port).spec as { vif: string };
  world.model.update('logical-port', port, without as never);
  await settled();
  assert.equal(of(), 'no VIF is attached to web-1');
});

test('a revision is settled when every host that it concerns has confirmed it, and tells how long that took', async () => {
  const { world, realization, a, b, blue } = scene();
  const { model, network, clock } = world;
  model.create('logical-port', {
    name: 'web-2',
    switch: blue,
    vif: 'vm2',
    addresses: [{ mac: '02:00:00:00:00:02' }],
  });
  for (const agent of [a, b]) agent.connect(network);
  await settled();
  a.locate('vm1');
  b.locate('vm2');
  await settled();
  a.answer = () => 'nothing';
  b.answer = () => 'nothing';
  model.create('acl', { switch: blue, direction: 'to-port', priority: 1, match: {}, action: 'drop' });
  const { revision } = model;
  const done = realization.settled(revision, 10_000);
  await settled();
  const confirm = (agent: FakeAgent): void =>
    agent.say('applied', { revision: agent.updates.at(-1)!.revision, elapsed: 1 });
  clock.advance(100);
  confirm(a);
  await settled();
  assert.deepEqual(realization.revision(revision), {
    revision,
    realized: false,
    hosts: [
      { node: 'host-a', state: 'applied' },
      { node: 'host-b', state: 'pending', reason: `host-b has not confirmed revision ${revision} yet` },
    ],
  });
  clock.advance(150);
  confirm(b);
  assert.deepEqual(await done, {
    revision,
    realized: true,
    elapsed: 250,
    hosts: [
      { node: 'host-a', state: 'applied' },
      { node: 'host-b', state: 'applied' },
    ],
  });
  assert.equal((await realization.settled(revision, 10_000)).realized, true);
});

test('waiting for a host that says nothing ends after the time given, with what is missing', async () => {
  const { world, realization, a, blue } = scene();
  a.connect(world.network);
  await settled();
  a.locate('vm1');
  await settled();
  a.disconnect();
  await settled();
  world.model.create('acl', { switch: blue, direction: 'to-port', priority: 1, match: {}, action: 'drop' });
  const waiting = realization.settled(world.model.revision, 500);
  world.clock.advance(500);
  const result = await waiting;
  assert.equal(result.realized, false);
  assert.deepEqual(result.hosts, [
    { node: 'host-a', state: 'disconnected', reason: 'the agent of host-a is not connected' },
  ]);
});

test('a change that no host notices is realized at once', () => {
  const { world, realization, blue, object } = scene();
  world.model.update('logical-switch', blue, { ...object(blue).spec, description: 'sky' } as never);
  assert.deepEqual(realization.revision(world.model.revision), {
    revision: world.model.revision,
    realized: true,
    elapsed: 0,
    hosts: [],
  });
  assert.equal(realization.revision(world.model.revision + 1).realized, false);
});

test('a node shows its VIFs, those too that nothing is attached to', async () => {
  const { world, realization, a, port } = scene();
  assert.equal(realization.node('host-z'), undefined);
  assert.equal(realization.node('host-a')!.connected, false);
  a.connect(world.network);
  await settled();
  a.locate('vm1', 'stray');
  await settled();
  assert.deepEqual(realization.node('host-a'), {
    node: 'host-a',
    connected: true,
    applied: world.model.revision,
    vifs: [
      { vif: 'vm1', name: 'tap-vm1', port },
      { vif: 'stray', name: 'tap-stray', port: undefined },
    ],
    flows: 1,
  });
  const id = world.network.nodeObject('host-a')!;
  assert.equal(realization.of(world.model.get(id)!).realized, true);
  world.model.delete('transport-node', id);
  await settled();
  assert.equal(a.refused?.code, 'unknown-node');
  assert.equal(realization.node('host-a'), undefined);
  assert.equal(realization.of(world.model.get(port)!).reason, 'the VIF vm1 of web-1 is on no host');
});
