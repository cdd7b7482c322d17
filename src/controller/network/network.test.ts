import assert from 'node:assert/strict';
import { test } from 'node:test';
import { settled } from '../../ovsdb/testing/clock.ts';
import { makeWorld, type World } from './testing/world.ts';

/** A tenant's switch with machine ports named by their VIFs. */
function makeSwitch({ model }: World, name: string, ...vifs: string[]): { id: string; ports: string[] } {
  const tenant = model.create('tenant', { name: `tenant of ${name}` });
  const id = model.create('logical-switch', { name, tenant });
  const ports = vifs.map((vif, i) =>
    model.create('logical-port', {
      name: vif,
      switch: id,
      vif,
      addresses: [{ mac: `02:00:00:00:00:0${i}`, ips: [] }],
    }),
  );
  return { id, ports };
}

test('each agent gets the flows of the datapaths that it needs, where all their ports are, and its tunnels', async () => {
  const world = makeWorld();
  const { labels } = world;
  const [a, b] = [world.host('host-a', '192.0.2.1'), world.host('host-b', '192.0.2.2')];
  const blue = makeSwitch(world, 'blue', 'vm1', 'vm2');
  const red = makeSwitch(world, 'red', 'vm3');
  a.connect(world.network);
  b.connect(world.network);
  await settled();
  a.locate('vm1');
  b.locate('vm2', 'vm3');
  await settled();
  const port = (id: string, of: string, vif: string, node: string): string =>
    JSON.stringify({ port: labels.of(id), datapath: labels.of(of), vif, node });
  assert.deepEqual(a.texts().placement, [
    port(blue.ports[0], blue.id, 'vm1', 'host-a'),
    port(blue.ports[1], blue.id, 'vm2', 'host-b'),
  ]);
  assert.deepEqual(b.texts().placement, [
    port(blue.ports[0], blue.id, 'vm1', 'host-a'),
    port(blue.ports[1], blue.id, 'vm2', 'host-b'),
    port(red.ports[0], red.id, 'vm3', 'host-b'),
  ]);
  assert.equal(a.tables.get('flow')!.size, 2);
  assert.equal(b.tables.get('flow')!.size, 3);
  assert.deepEqual(a.texts().tunnel, [
    JSON.stringify({ node: 'host-b', encapsulation: 'geneve', address: '192.0.2.2' }),
  ]);
});

test('a revision is one update for those whom it concerns, and none for the others', async () => {
  const world = makeWorld();
  const [a, b] = [world.host('host-a', '192.0.2.1'), world.host('host-b', '192.0.2.2')];
  const blue = makeSwitch(world, 'blue', 'vm1');
  makeSwitch(world, 'red', 'vm2');
  for (const agent of [a, b]) agent.connect(world.network);
  await settled();
  a.locate('vm1');
  b.locate('vm2');
  await settled();
  const [beforeA, beforeB] = [a.updates.length, b.updates.length];
  const revision = world.model.revision + 1;
  world.model.write(
    [1, 2, 3].map((n) => ({
      id: world.model.newId(),
      kind: 'acl' as const,
      spec: { switch: blue.id, direction: 'to-port', priority: n, match: {}, action: 'drop' },
    })),
  );
  await settled();
  assert.equal(a.updates.length, beforeA + 1);
  assert.equal(a.updates.at(-1)!.insert.flow!.length, 3);
  assert.equal(b.updates.length, beforeB);
  assert.deepEqual([...world.network.revisions.get(revision)!.nodes], ['host-a']);
  assert.equal(world.network.revisions.get(revision)!.missing.size, 0);
});

test('a datapath that is no longer needed goes away with all its rows', async () => {
  const world = makeWorld();
  const a = world.host('host-a', '192.0.2.1');
  const blue = makeSwitch(world, 'blue', 'vm1', 'vm2');
  a.connect(world.network);
  await settled();
  a.locate('vm1');
  await settled();
  assert.equal(a.tables.get('flow')!.size, 2);
  // In one transaction the port changes, which is the reason for the need, and the rows that go.
  world.model.write([
    { id: blue.ports[0], kind: 'logical-port', spec: undefined },
    {
      id: blue.ports[1],
      kind: 'logical-port',
      spec: { name: 'vm2', switch: blue.id, addresses: [{ mac: '02:00:00:00:00:09' }] },
    },
  ]);
  await settled();
  assert.deepEqual(
    [...a.tables.values()].map((set) => set.size),
    [0, 0, 0, 0],
  );
});

test('an object that is switched off takes along what lives in it', async () => {
  const world = makeWorld();
  const a = world.host('host-a', '192.0.2.1');
  const blue = makeSwitch(world, 'blue', 'vm1');
  world.model.create('acl', {
    port: blue.ports[0],
    direction: 'to-port',
    priority: 1,
    match: {},
    action: 'drop',
  });
  a.connect(world.network);
  await settled();
  a.locate('vm1');
  await settled();
  const before = a.texts();
  assert.equal(before.flow.length, 2);
  const spec = world.model.get(blue.id)!.spec;
  world.model.update('logical-switch', blue.id, { ...spec, enabled: false } as never);
  await settled();
  assert.equal(a.tables.get('flow')!.size, 0);
  world.model.update('logical-switch', blue.id, spec as never);
  await settled();
  assert.deepEqual(a.texts(), before);
});
