import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { PROTOCOL_VERSION } from '../../logical/protocol.ts';
import type { Json } from '../../ovsdb/json.ts';
import { directPair } from '../../ovsdb/rpc/direct.ts';
import { StreamChannel } from '../../ovsdb/rpc/stream.ts';
import { settled } from '../../ovsdb/testing/clock.ts';
import { FakeAgent } from './testing/fake-agent.ts';
import { makeWorld } from './testing/world.ts';

test('who has no token, or that of another node, or is no node, is refused with the same words', async () => {
  const world = makeWorld();
  world.host('host-a', '192.0.2.1');
  for (const [node, token] of [
    ['host-a', ''],
    ['host-a', 'token of host-b'],
    ['host-z', 'token of host-z'],
  ]) {
    const agent = new FakeAgent(node, token);
    agent.connect(world.network);
    await settled();
    assert.equal(agent.refused?.code, 'unknown-node');
    assert.equal(agent.refused?.message, `"${node}" is no transport node with this token`);
    assert.equal(agent.closed, true);
    assert.deepEqual(agent.updates, []);
  }
});

test('a second agent of a node takes over from the first, which is told', async () => {
  const world = makeWorld();
  const first = world.host('host-a', '192.0.2.1');
  first.connect(world.network);
  await settled();
  const second = new FakeAgent('host-a');
  second.connect(world.network);
  await settled();
  assert.equal(first.refused?.code, 'taken-over');
  assert.equal(first.closed, true);
  assert.equal(second.closed, false);
  assert.equal(second.updates.length, 1);
  // What the first had under way ends nothing of the second.
  assert.ok(world.network.delivery('host-a')!.session !== undefined);
});

test('who does not say who it is within ten seconds is let go', async () => {
  const world = makeWorld();
  const [ours, theirs] = directPair();
  let closed = false;
  ours.receive({
    onMessage() {},
    onDrain() {},
    onActivity() {},
    onClose: () => {
      closed = true;
    },
  });
  world.network.accept(theirs, { name: 'stranger' });
  world.clock.advance(9_999);
  await settled();
  assert.equal(closed, false);
  world.clock.advance(1);
  await settled();
  assert.equal(closed, true);
});

test('a silent agent is probed, then let go; one that answers stays', async () => {
  const world = makeWorld();
  const agent = world.host('host-a', '192.0.2.1');
  const [ours, theirs] = directPair();
  const asked: string[] = [];
  let closed = false;
  ours.receive({
    onMessage: (m) => {
      if ('method' in m) asked.push(m.method);
    },
    onDrain() {},
    onActivity() {},
    onClose: () => {
      closed = true;
    },
  });
  world.network.accept(theirs, { name: 'silent', probes: true });
  ours.send({
    method: 'hello',
    params: [{ version: 1, systemId: 'host-a', token: agent.token }],
    id: null,
  });
  await settled();
  world.clock.advance(5000);
  await settled();
  assert.ok(asked.includes('echo'));
  ours.send({ result: [], error: null, id: 'echo' });
  await settled();
  world.clock.advance(5000);
  await settled();
  assert.equal(closed, false);
  world.clock.advance(10_000);
  await settled();
  assert.equal(closed, true);
  assert.equal(world.network.delivery('host-a')!.session, undefined);
});

test('an agent that is slow gets what it missed as one update', async () => {
  const world = makeWorld();
  const agent = world.host('host-a', '192.0.2.1');
  const { model } = world;
  const tenant = model.create('tenant', { name: 'acme' });
  const blue = model.create('logical-switch', { name: 'blue', tenant });
  model.create('logical-port', {
    name: 'p',
    switch: blue,
    vif: 'vm1',
    addresses: [{ mac: '02:00:00:00:00:01' }],
  });
  agent.connect(world.network);
  await settled();
  agent.locate('vm1');
  await settled();
  agent.answer = () => 'nothing';
  const before = agent.updates.length;
  for (let priority = 1; priority <= 100; priority++)
    model.create('acl', { switch: blue, direction: 'to-port', priority, match: {}, action: 'drop' });
  await settled();
  const sent = agent.updates.length - before;
  assert.ok(sent < 100, `${sent} updates went to an agent that confirms none`);
  agent.answer = () => 'applied';
  agent.say('applied', { revision: agent.updates.at(-1)!.revision, elapsed: 1 });
  await settled();
  assert.equal(agent.updates.length, before + sent + 1);
  assert.equal(agent.tables.get('flow')!.size, 101);
  assert.equal(agent.updates.at(-1)!.reset, false);
  assert.deepEqual(agent.complaints, []);
});

test('whatever an agent says, the controller lives, and ends that connection alone if it makes no sense', async () => {
  const method = fc.constantFrom('hello', 'applied', 'failed', 'locations', 'statistics', 'echo', 'x');
  const field = fc.constantFrom(
    'version',
    'systemId',
    'token',
    'holds',
    'revision',
    'vifs',
    'vif',
    'active',
    'name',
    'ports',
    'flows',
    'port',
    '__proto__',
  );
  const value = fc.letrec<{ any: Json }>((tie) => ({
    any: fc.oneof(
      { depthSize: 'small', maxDepth: 4 },
      fc.constantFrom<Json>(1, 'host-a', 'token of host-a', true, null, -1, 1e99, 2n ** 70n, 'x'.repeat(300)),
      fc.array(tie('any'), { maxLength: 3 }),
      fc.dictionary(field, tie('any'), { maxKeys: 5 }),
    ),
  })).any;
  const message = fc.record({
    method,
    params: fc.array(value, { maxLength: 2 }),
    id: fc.constantFrom<Json>(null, 1, 'a'),
  });
  await fc.assert(
    fc.asyncProperty(fc.boolean(), fc.array(message, { maxLength: 10 }), async (hello, messages) => {
      const world = makeWorld();
      const good = world.host('host-b', '192.0.2.2');
      world.host('host-a', '192.0.2.1');
      good.connect(world.network);
      const [ours, theirs] = directPair();
      ours.receive({ onMessage() {}, onDrain() {}, onActivity() {}, onClose() {} });
      world.network.accept(theirs, { name: 'fuzz' });
      if (hello)
        ours.send({
          method: 'hello',
          params: [{ version: 1, systemId: 'host-a', token: 'token of host-a' }],
          id: null,
        });
      for (const m of messages) ours.send(m);
      await settled();
      assert.equal(good.closed, false);
      assert.equal(good.updates.length, 1);
    }),
  );
});

test('an agent whose token is taken away is let go', async () => {
  let good = true;
  const world = makeWorld({ authority: { verify: () => good } });
  const agent = world.host('host-a', '192.0.2.1');
  agent.connect(world.network);
  await settled();
  world.network.recheckTokens();
  await settled();
  assert.equal(agent.closed, false);
  good = false;
  world.network.recheckTokens();
  await settled();
  assert.equal(agent.refused?.code, 'unknown-node');
  assert.equal(agent.closed, true);
});

test('an answer that JSON.stringify does not take, or that is long, is an error like others', async () => {
  const world = makeWorld();
  const agent = world.host('host-a', '192.0.2.1');
  agent.connect(world.network);
  await settled();
  const session = world.network.delivery('host-a')!.session!;
  const errors: [Json, RegExp][] = [
    [{ code: 2n ** 60n }, /^the agent of host-a says: \{"code":1152921504606846976\}$/],
    ['x'.repeat(100_000), /^the agent of host-a says: x{4096}$/],
  ];
  for (const [error, message] of errors) {
    agent.onRequest = () => ({ error });
    await assert.rejects(session.request('flows', {}, 1000), { code: 'agent-error', message });
  }
});

test('a stranger may say no more than a hello takes; the agent of a node may', () => {
  const world = makeWorld();
  world.host('host-a', '192.0.2.1');
  const open = (): { say(text: string): void; closed: boolean } => {
    let feed: (bytes: Uint8Array) => void = () => {};
    const peer = { say: (text: string): void => feed(new TextEncoder().encode(text)), closed: false };
    const channel = new StreamChannel({
      write() {},
      backlog: 0,
      receive: ({ onBytes }) => {
        feed = onBytes;
      },
      close: () => {
        peer.closed = true;
      },
    });
    world.network.accept(channel, { name: 'peer' });
    return peer;
  };
  const long = `{"method":"x","id":null,"params":["${'x'.repeat(20_000)}`;
  const stranger = open();
  stranger.say(long.slice(0, 16_000));
  assert.equal(stranger.closed, false);
  stranger.say(long.slice(16_000));
  assert.equal(stranger.closed, true);
  const agent = open();
  const hello = { version: PROTOCOL_VERSION, systemId: 'host-a', token: 'token of host-a' };
  agent.say(JSON.stringify({ method: 'hello', params: [hello], id: null }) + long);
  agent.say('"]}');
  assert.equal(agent.closed, false);
  assert.ok(world.network.delivery('host-a')!.session !== undefined);
});
