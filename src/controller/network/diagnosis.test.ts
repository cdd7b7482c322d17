import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { stageTable } from '../../logical/layout.ts';
import type { AgentRequests } from '../../logical/protocol.ts';
import type { Json } from '../../ovsdb/json.ts';
import { settled } from '../../ovsdb/testing/clock.ts';
import { OPERATOR } from '../model/principal.ts';
import { NetworkDiagnosis } from './diagnosis.ts';
import { completePacket, packetAfter } from './packet-text.ts';
import type { FakeAgent } from './testing/fake-agent.ts';
import { idOf } from './testing/fake-model.ts';
import { makeWorld } from './testing/world.ts';

type Trace = AgentRequests['trace']['result'];

/** Two ports of one switch on two hosts, with an ACL, and what the agents were asked. */
async function scene() {
  const world = makeWorld();
  const { model, network, labels } = world;
  const agents = [world.host('host-a', '192.0.2.1'), world.host('host-b', '192.0.2.2')];
  const tenant = model.create('tenant', { name: 'acme' });
  const blue = model.create('logical-switch', { name: 'blue', tenant });
  const ports = [1, 2].map((n) =>
    model.create('logical-port', {
      name: `web-${n}`,
      switch: blue,
      vif: `vm${n}`,
      addresses: [{ mac: `02:00:00:00:00:0${n}`, ips: [`10.0.0.${n}`, `fd00::${n}`] }],
    }),
  );
  const acl = model.create('acl', {
    name: 'no-ssh',
    switch: blue,
    direction: 'to-port',
    priority: 7,
    match: {},
    action: 'reject',
  });
  const asked: (readonly [node: string, params: Json])[] = [];
  const answers = new Map<string, Trace>();
  for (const agent of agents) {
    agent.connect(network);
    agent.onRequest = (method, params) => {
      assert.equal(method, 'trace');
      asked.push([agent.node, params]);
      return { result: answers.get(agent.node) as unknown as Json };
    };
  }
  await settled();
  agents.forEach((agent: FakeAgent, i) => void agent.locate(`vm${i + 1}`));
  await settled();
  const step = (stage: string, origin: string, actions = 'next') => ({
    table: 10,
    stage,
    priority: 7,
    match: '',
    actions,
    origin,
  });
  return {
    world,
    agents,
    ports,
    acl,
    blue,
    asked,
    answers,
    step,
    labels,
    diagnosis: new NetworkDiagnosis(network),
  };
}

test('a packet is followed from host to host, changed as it leaves, and every step names its object', async () => {
  const { ports, acl, asked, answers, step, labels, diagnosis } = await scene();
  const [, second] = ports.map((p) => labels.of(p));
  answers.set('host-a', {
    text: 'Flow: x\n\nFinal flow: icmp,reg14=0x2,tun_id=0x3,metadata=0x1,in_port=1,vlan_tci=0x0000,dl_dst=02:00:00:00:00:02,nw_ttl=63\n',
    steps: [step('ls-in-acl', acl)],
    outputs: [{ node: 'host-b', tunnelKey: second }],
  });
  answers.set('host-b', { text: '', steps: [step('ls-out-acl', acl)], outputs: [{ port: second }] });
  const result = await diagnosis.trace({ from: ports[0], to: ports[1] }, OPERATOR);
  assert.deepEqual(asked, [
    [
      'host-a',
      {
        port: labels.of(ports[0]),
        flow: 'icmp,icmp_type=8,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_ttl=64',
      },
    ],
    ['host-b', { tunnelKey: second, from: 'host-a', flow: 'icmp,dl_dst=02:00:00:00:00:02,nw_ttl=63' }],
  ]);
  assert.equal(result.verdict, 'delivered to logical port web-2');
  assert.deepEqual(
    result.hops.map((h) => [h.node, h.steps[0].origin]),
    [
      ['host-a', { kind: 'acl', id: acl, name: 'no-ssh' }],
      ['host-b', { kind: 'acl', id: acl, name: 'no-ssh' }],
    ],
  );
});

test('who drops or rejects a packet is named', async () => {
  const { ports, acl, answers, step, diagnosis, blue } = await scene();
  const verdict = async (): Promise<string> =>
    (await diagnosis.trace({ from: ports[0], flow: 'tcp,tcp_dst=22' }, OPERATOR)).verdict;
  answers.set('host-a', { text: '', steps: [step('ls-in-acl', acl, 'answer(reject)')], outputs: [] });
  assert.equal(await verdict(), 'rejected by ACL no-ssh (ls-in-acl) on host-a');
  answers.set('host-a', {
    text: '',
    steps: [step('ls-in-acl', acl, 'set_field:2->reg9,next'), step('ls-in-commit', 'common', '')],
    outputs: [],
  });
  assert.equal(
    await verdict(),
    'rejected by ACL no-ssh (ls-in-acl) on host-a',
    'as the stage behind it does',
  );
  answers.set('host-a', { text: '', steps: [step('ls-in-security', blue, '')], outputs: [] });
  assert.equal(await verdict(), 'dropped in ls-in-security on host-a, by a flow of logical switch blue');
});

test("hosts that send a packet in a circle don't keep the trace from ending", async () => {
  const { ports, answers, step, labels, diagnosis, acl } = await scene();
  const [first, second] = ports.map((p) => labels.of(p));
  answers.set('host-a', {
    text: '',
    steps: [step('ls-in-acl', acl)],
    outputs: [{ node: 'host-b', tunnelKey: second }],
  });
  answers.set('host-b', {
    text: '',
    steps: [step('ls-in-acl', acl)],
    outputs: [{ node: 'host-a', tunnelKey: first }],
  });
  assert.equal((await diagnosis.trace({ from: ports[0] }, OPERATOR)).hops.length, 3);
});

test("another tenant's port is not there, and its objects have no name", async () => {
  const { ports, diagnosis } = await scene();
  const stranger = { role: 'tenant', tenant: idOf(999) } as const;
  await assert.rejects(diagnosis.trace({ from: ports[0] }, stranger), { code: 'object-not-found' });
  await assert.rejects(diagnosis.why({ object: ports[0] }, stranger, 10), { code: 'object-not-found' });
  await assert.rejects(diagnosis.why({ node: 'host-a', flow: '' }, stranger, 10), {
    code: 'object-not-found',
  });
});

test('a port that is nowhere, an agent that is away and one that talks nonsense are errors that say so', async () => {
  const { ports, agents, answers, diagnosis } = await scene();
  const step = { table: 0, stage: 'output', priority: 1, match: '', actions: 'drop' };
  for (const nonsense of [
    7,
    { text: '', steps: [null], outputs: [] },
    { text: '', steps: [{ ...step, priority: 2n ** 60n }], outputs: [] },
    { text: '', steps: [{ ...step, actions: {} }], outputs: [] },
    { text: '', steps: [step], outputs: [null] },
    { text: '', steps: [step], outputs: [{ node: 'host-b' }] },
  ]) {
    answers.set('host-a', nonsense as unknown as Trace);
    await assert.rejects(diagnosis.trace({ from: ports[0] }, OPERATOR), { code: 'agent-error' });
  }
  agents[0].disconnect();
  await settled();
  await assert.rejects(diagnosis.trace({ from: ports[0] }, OPERATOR), { code: 'agent-gone' });
  agents[1].locate();
  await settled();
  await assert.rejects(diagnosis.trace({ from: ports[1] }, OPERATOR), {
    code: 'port-nowhere',
    message: 'the VIF vm2 of port web-2 is on no host',
  });
});

test('why: from an object, and from a flow of a host, to the rules and the rows of the API', async () => {
  const { acl, agents, diagnosis, ports } = await scene();
  const [answer, ...others] = await diagnosis.why({ object: acl }, OPERATOR, 10);
  assert.deepEqual(others, []);
  assert.equal(answer.flow, 'ls-in-acl: priority=7,{} actions=reject');
  assert.match(answer.derivation[0], /^flow\(.*\[rule test\.nlog:\d+:\d+\]$/);
  assert.ok(answer.derivation.some((l) => l.startsWith(`  acl("${acl}"`) || l.includes('  acl(')));
  const table = stageTable('ls-in-destination');
  agents[0].onRequest = (method) => {
    assert.equal(method, 'flows');
    return {
      result: [
        {
          text: `table=${table}, priority=50,metadata=0x1,dl_dst=02:00:00:00:00:02 actions=x`,
          origin: ports[1],
        },
        { text: 'table=64, priority=50,metadata=0x1 actions=x', origin: null },
      ],
    };
  };
  const [flow, ...more] = await diagnosis.why({ node: 'host-a', flow: `table=${table}` }, OPERATOR, 10);
  assert.deepEqual(more, []);
  assert.equal(flow.origin?.name, 'web-2');
  assert.ok(flow.derivation.some((l) => l.includes('port_address(')));
});

const spec = (ips: string[], mac = '02:00:00:00:00:01') => ({
  name: 'p',
  switch: idOf(1),
  addresses: [{ mac, ips }],
});
const stock = spawnSync('ovs-ofctl', ['--version']).status === 0;

const packets: [string, Parameters<typeof completePacket>, string][] = [
  [
    'nothing said: an echo request',
    ['', { from: spec(['10.0.0.1', 'fd00::1']), to: spec(['fd00::2']) }],
    'icmp6,icmp_type=128,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:01,ipv6_src=fd00::1,ipv6_dst=fd00::2,nw_ttl=64',
  ],
  [
    'to another switch: the router',
    ['udp,udp_dst=53', { from: spec(['10.0.0.1']), to: spec(['10.1.0.1']), gateway: '02:00:00:00:00:99' }],
    'udp,udp_dst=53,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:99,nw_src=10.0.0.1,nw_dst=10.1.0.1,nw_ttl=64',
  ],
  [
    'what is given stays',
    ['tcp,eth_src=02:00:00:00:00:77,ip_dst=10.9.9.9,nw_ttl=1', { from: spec(['10.0.0.1']) }],
    'tcp,eth_src=02:00:00:00:00:77,ip_dst=10.9.9.9,nw_ttl=1,nw_src=10.0.0.1',
  ],
  ['no IP', ['arp,arp_op=1', { from: spec(['10.0.0.1']) }], 'arp,arp_op=1,dl_src=02:00:00:00:00:01'],
];
for (const [name, args, want] of packets)
  test(`a packet's text, ${name}`, () => {
    assert.equal(completePacket(...args), want);
    if (!stock) return;
    const parsed = spawnSync('ovs-ofctl', ['parse-flow', `${want},actions=drop`], { encoding: 'utf8' });
    assert.equal(parsed.status, 0, parsed.stderr);
  });

test('a packet that left unchanged is the same packet on the next host', () => {
  assert.equal(packetAfter('Final flow: unchanged\n', 'icmp'), 'icmp');
  assert.equal(packetAfter('nothing', 'icmp'), 'icmp');
  assert.equal(packetAfter('Final flow: ip,nw_ttl=3\nFinal flow: unchanged\n', 'icmp'), 'ip,nw_ttl=3');
  assert.equal(
    packetAfter('Final flow: ip,reg1=1\nFinal flow: tcp,xxreg0=0x1,ct_state=new,tcp_dst=1\n', 'icmp'),
    'tcp,tcp_dst=1',
  );
});
