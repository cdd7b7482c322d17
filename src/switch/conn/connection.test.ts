import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { encodeMessage } from '../../openflow/codec.ts';
import type { OfVersion } from '../../openflow/version.ts';
import { OpenFlowWorld, primary, TestController } from './testing/openflow-world.ts';

const VERSIONS: readonly OfVersion[] = [1, 2, 3, 4, 5, 6];

test('both speak the newest version that both know, or none', () => {
  const world = new OpenFlowWorld({ versions: (1 << 1) | (1 << 4) });
  const client = world.client(4);
  client.send<'echo_request'>({ kind: 'echo_request', data: Uint8Array.of(1, 2, 3) });
  assert.deepEqual(client.one('echo_reply').data, Uint8Array.of(1, 2, 3));
  const stranger = world.client(6);
  assert.deepEqual(stranger.errors(), ['OFPHFC_INCOMPATIBLE']);
  assert.ok(stranger.closed);
  world.close();
});

test('one primary demotes another, who may look from then on but not touch', () => {
  const world = new OpenFlowWorld();
  const [a, b] = [world.client(5), world.client(5)];
  const claim = (client: TestController, generationId: bigint): void => {
    client.send<'role_request'>({ kind: 'role_request', role: 'primary', generationId });
  };
  claim(a, 10n);
  assert.equal(a.one('role_reply').role, 'primary');
  claim(b, 11n);
  assert.equal(b.one('role_reply').role, 'primary');
  assert.equal(a.one('role_status').role, 'secondary');
  a.addFlow('actions=drop');
  claim(a, 10n);
  assert.deepEqual(a.errors(), ['OFPBRC_IS_SECONDARY', 'OFPRRFC_STALE']);
  a.send<'flow_stats_request'>({ ...a.flow('actions=drop'), kind: 'flow_stats_request' });
  assert.equal(a.one('flow_stats_reply').flows.length, 0);
  world.close();
});

test('a service hears nothing unasked until it says how much of packets it wants', () => {
  const world = new OpenFlowWorld();
  const client = world.client(5);
  world.addPort(1);
  assert.deepEqual(client.take(), []);
  client.send<'set_config'>({
    kind: 'set_config',
    config: { frag: 'normal', invalidTtlToController: null, missSendLen: 128 },
  });
  world.addPort(2);
  assert.deepEqual(
    client.take().map((message) => message.kind === 'port_status' && message.reason),
    [0, 2],
  );
  world.close();
});

test('the tables are empty for who takes control, and after he is gone', async () => {
  const world = new OpenFlowWorld({ failMode: 'standalone' });
  const client = world.client(5);
  client.addFlow('in_port=1,actions=drop');
  const met: TestController[] = [];
  world.streams.controllers.set('tcp:c', (stream) => met.push(new TestController(stream, 5)));
  world.configure({ controllers: [primary('tcp:c')], failMode: 'standalone' });
  assert.equal(world.side.flows.count, 0);
  await Promise.resolve();
  assert.equal(met.length, 1);
  met[0].addFlow('in_port=1,actions=drop');
  assert.equal(world.side.flows.count, 1);
  world.configure({ failMode: 'standalone' });
  assert.ok(met[0].closed);
  // The flow that makes it a learning switch.
  assert.equal(world.side.flows.count, 1);
  world.close();
});

test('a standalone bridge helps itself while its controllers are away', async () => {
  const world = new OpenFlowWorld();
  world.configure({ controllers: [primary('tcp:c')], failMode: 'standalone' });
  for (let i = 0; i < 20; i++) {
    world.clock.advance(1000);
    world.side.expire();
    await Promise.resolve();
  }
  assert.equal(world.side.flows.count, 1);
  const client = world.client(5);
  client.send<'flow_stats_request'>({ ...client.flow('actions=drop'), kind: 'flow_stats_request' });
  assert.equal(client.one('flow_stats_reply').flows.length, 0, 'its flow is hidden');
  world.close();
});

test('sockets outside of the run directory are left alone', () => {
  const world = new OpenFlowWorld();
  const asked: string[] = [];
  for (const target of ['unix:/etc/x', 'unix:/run/../x', 'unix:/run/ok', 'unix:name'])
    world.streams.controllers.set(target, () => asked.push(target));
  world.configure({
    controllers: [...world.streams.controllers.keys(), 'punix:/run/br1.x', 'punix:/run/br0.x'].map(
      (target) => ({
        ...primary(target),
        type: target.startsWith('punix') ? 'service' : 'primary',
      }),
    ),
  });
  assert.deepEqual(asked, ['unix:/run/ok', 'unix:name']);
  world.streams.dial('punix:/run/br0.x');
  assert.throws(() => world.streams.dial('punix:/run/br1.x'));
  world.close();
});

// --- Hostile bytes --------------------------------------------------------------------------------------

/** Messages as a switch knows them, to be damaged. */
function samples(version: OfVersion): Uint8Array[] {
  const world = new OpenFlowWorld();
  const client = world.client(version);
  const found: Uint8Array[] = [];
  const keep = (make: () => Uint8Array): void => {
    try {
      found.push(make());
    } catch {
      // Not every version has every message.
    }
  };
  keep(() =>
    client.encode<'flow_mod'>(client.flow('table=1,in_port=1,ip,nw_src=10.0.0.0/8,actions=output:2'), 1),
  );
  keep(() => client.encode<'features_request'>({ kind: 'features_request' }, 2));
  keep(() =>
    client.encode<'table_features_request'>({ kind: 'table_features_request', more: false, tables: [] }, 3),
  );
  keep(() => client.encode<'role_request'>({ kind: 'role_request', role: 'equal', generationId: 1n }, 4));
  keep(() =>
    client.encode<'bundle_control'>({ kind: 'bundle_control', bundle: 1, type: 'open_request', flags: 0 }, 5),
  );
  keep(() => {
    const message = client.encode<'flow_mod'>(client.flow('actions=drop'), 6);
    return client.encode<'bundle_add'>({ kind: 'bundle_add', bundle: 1, flags: 0, message }, 6);
  });
  keep(() =>
    client.encode<'meter_mod'>({ kind: 'meter_mod', command: 'add', meter: 1, flags: 1, bands: [] }, 7),
  );
  keep(() => client.encode<'barrier_request'>({ kind: 'barrier_request' }, 8));
  keep(() => client.encode<'group_desc_request'>({ kind: 'group_desc_request', group: 0xfffffffc }, 9));
  world.close();
  return found;
}

const SAMPLES = new Map(VERSIONS.map((version) => [version, samples(version)]));

/** A message with some bytes changed, cut or drawn out; its length field is right, mostly. */
const damaged = (version: OfVersion): fc.Arbitrary<Uint8Array> =>
  fc
    .record({
      base: fc.constantFrom(...(SAMPLES.get(version) ?? [])),
      changes: fc.array(fc.tuple(fc.nat(200), fc.nat(255)), { maxLength: 6 }),
      length: fc.option(fc.integer({ min: 8, max: 300 })),
      lie: fc.boolean(),
    })
    .map(({ base, changes, length, lie }) => {
      const bytes = new Uint8Array(length ?? base.length);
      bytes.set(base.subarray(0, bytes.length));
      for (const [at, value] of changes) if (at < bytes.length && (at < 2 || at > 3)) bytes[at] = value;
      if (!lie) new DataView(bytes.buffer).setUint16(2, bytes.length);
      return bytes;
    });

for (const version of VERSIONS) {
  test(`OpenFlow version ${version}: no bytes whatsoever break the switch`, () => {
    const hostile = fc.array(fc.oneof(damaged(version), fc.uint8Array({ maxLength: 100 })), {
      maxLength: 20,
    });
    fc.assert(
      fc.property(hostile, fc.boolean(), (messages, greet) => {
        const world = new OpenFlowWorld();
        const stream = world.streams.dial('punix:/run/br0.mgmt');
        stream.receive({ onData() {}, onDrain() {}, onClose() {} });
        if (greet) {
          for (const bytes of encodeMessage({ kind: 'hello', version, xid: 1, versions: 1 << version }))
            stream.send(bytes);
        }
        for (const bytes of messages) stream.send(bytes);
        // Another connection is served all the same.
        const client = world.client(5);
        client.send<'barrier_request'>({ kind: 'barrier_request' });
        client.one('barrier_reply');
        world.close();
      }),
      { numRuns: 50 },
    );
  });
}
