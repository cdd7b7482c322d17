import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WeftError } from '../../base/errors.ts';
import { nullLogger } from '../../base/log.ts';
import { settled } from '../../ovsdb/testing/clock.ts';
import { Auditor } from './auditor.ts';
import { NetworkRealization } from './realize.ts';
import type { FakeAgent } from './testing/fake-agent.ts';
import { makeWorld, type World } from './testing/world.ts';

async function located(world: World): Promise<{ agent: FakeAgent; blue: string; port: string }> {
  const { model, network } = world;
  const agent = world.host('host-a', '192.0.2.1');
  const tenant = model.create('tenant', { name: 'acme' });
  const blue = model.create('logical-switch', { name: 'blue', tenant });
  const port = model.create('logical-port', {
    name: 'p',
    switch: blue,
    vif: 'vm1',
    addresses: [{ mac: '02:00:00:00:00:01' }],
  });
  agent.connect(network);
  await settled();
  agent.locate('vm1');
  await settled();
  return { agent, blue, port };
}

const acl = (blue: string, priority: number, icmpType = 0) =>
  ({ switch: blue, direction: 'to-port', priority, match: { icmpType }, action: 'drop' }) as const;

test('rows that have drifted are found, mended and told to the agents', async () => {
  const world = makeWorld();
  const { agent } = await located(world);
  const good = agent.texts();
  // Behind the network's back, as an error of the engine would.
  const [row] = world.network.rules.engine.rows('port_address');
  const wrong = world.network.rules.apply({ inserted: [], deleted: [{ table: 'port_address', row }] });
  assert.equal(wrong.size, 1);
  world.network.publication.apply(wrong);
  assert.equal(world.network.audit(), 1);
  assert.equal(world.network.audit(), 0);
  agent.forget();
  agent.connect(world.network);
  await settled();
  assert.deepEqual(agent.texts(), good);
});

test('the audit runs by itself, gives way to changes, and counts what it did', async () => {
  const world = makeWorld();
  const { blue } = await located(world);
  const auditor = new Auditor(world.network, world.clock, nullLogger.module('audit'), 1000);
  auditor.start();
  world.clock.advance(1100);
  assert.deepEqual(auditor.counts, { completed: 1, disturbed: 0, rowsMended: 0 });
  // A change in the midst of each attempt: nothing can be compared.
  world.clock.advance(900);
  for (let n = 1; n <= 3; n++) {
    world.model.create('acl', acl(blue, n));
    world.clock.advance(1);
  }
  world.clock.advance(1100);
  const { completed, rowsMended } = auditor.counts;
  assert.ok(completed >= 1);
  assert.equal(rowsMended, 0);
  auditor.stop();
  world.clock.advance(10_000);
  assert.equal(auditor.counts.completed, completed);
});

test('a change that the rules cannot take is told, and the next one brings everything up to date', async () => {
  let broken = false;
  const world = makeWorld({
    aclMatches: (match) => {
      if (broken && match.icmpType === 99) throw new WeftError('bad-thing', 'no rule for 99');
      return [JSON.stringify(match)];
    },
  });
  const { agent, blue } = await located(world);
  const realization = new NetworkRealization(world.network, world.clock);
  broken = true;
  const bad = world.model.create('acl', acl(blue, 1, 99));
  await settled();
  const { revision } = world.model;
  assert.equal(realization.revision(revision).realized, false);
  assert.equal(
    realization.of(world.model.get(bad)!).reason,
    `the rules could not take revision ${revision} over (bad-thing)`,
  );
  assert.equal(agent.tables.get('flow')!.size, 1);
  world.model.create('acl', acl(blue, 2));
  await settled();
  assert.equal(agent.tables.get('flow')!.size, 1, 'still not');
  broken = false;
  world.model.create('acl', acl(blue, 3));
  await settled();
  assert.equal(agent.tables.get('flow')!.size, 4);
  assert.deepEqual(agent.complaints, []);
  assert.equal(realization.of(world.model.get(bad)!).realized, true);

  broken = true;
  world.model.update('acl', bad, { ...acl(blue, 5, 99) } as never);
  assert.ok(world.network.fault !== undefined);
  world.model.delete('acl', bad);
  await settled();
  assert.equal(world.network.fault, undefined, 'what could not be computed is gone');
  assert.equal(agent.tables.get('flow')!.size, 3);
  assert.equal(world.network.audit(), 0);
});
