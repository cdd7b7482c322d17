/** The rules of `rules/*.nlog` over small networks: what they give is well-formed, and says what it should. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { compileFlow } from '../logical/compile.ts';
import type { Stage } from '../logical/layout.ts';
import { parseFlow } from '../openflow/index.ts';
import { settled } from '../ovsdb/testing/clock.ts';
import { compileAclMatch } from './acl-match.ts';
import { networkRules } from './functions.ts';
import { FakeAgent } from './network/testing/fake-agent.ts';
import { makeWorld, type World } from './network/testing/world.ts';

const tenant = 'a0000000-0000-4000-8000-000000000000';

function world(): World {
  const w = makeWorld({ rules: networkRules(), aclMatches: compileAclMatch });
  w.model.write([{ id: tenant, kind: 'tenant', spec: { name: 't' } }]);
  return w;
}

interface Flow {
  readonly datapath: number;
  readonly stage: Stage;
  readonly priority: number;
  readonly match: string;
  readonly actions: string;
  readonly origin: string;
}

/** All flows, having seen that each can be compiled and read, and none contradicts another. */
function flows({ network }: World): Flow[] {
  const seen = new Map<string, string>();
  return network.rules.engine.rows('flow').map((row) => {
    const [datapath, stage, priority, match, actions, origin] = row as [
      number,
      Stage,
      number,
      string,
      string,
      string,
    ];
    const flow = { datapath, stage, priority, match, actions, origin };
    const key = `${datapath} ${stage} ${priority} ${match}`;
    assert.equal(seen.get(key), undefined, `${key}: two flows`);
    seen.set(key, actions);
    const compiled = compileFlow(flow);
    const { table, priority: p } = compiled;
    const parsed = parseFlow(`table=${table},priority=${p},${compiled.match},actions=${compiled.actions}`);
    assert.equal(parsed.table, table);
    assert.ok(network.objects.get(origin) !== undefined, `${key}: origin ${origin}`);
    return flow;
  });
}

function port(w: World, name: string, on: string, mac: string, ...ips: string[]): string {
  return w.model.create('logical-port', {
    name,
    switch: on,
    vif: `vif-${name}`,
    addresses: [{ mac, ips }],
  });
}

test('every kind of flow can be compiled and read, and names an object', async () => {
  const w = world();
  const { model } = w;
  const h1 = w.host('h1', '192.0.2.1');
  h1.connect(w.network);
  await settled();
  const s1 = model.create('logical-switch', { name: 's1', tenant, unknown: 'flood' });
  const s2 = model.create('logical-switch', { name: 's2', tenant });
  const router = model.create('logical-router', { name: 'r', tenant });
  for (const [on, mac, networks] of [
    [s1, '02:00:00:00:01:fe', ['10.0.0.254/24', 'fd00:1::fe/64', 'fe80::1/64']],
    [s2, '02:00:00:00:02:fe', ['10.0.1.254/24']],
  ] as const) {
    model.create('router-port', { name: mac, router, switch: on, mac, networks: [...networks] });
  }
  model.create('static-route', { router, prefix: '10.9.0.0/16', nextHop: '10.0.1.7' });
  model.create('static-route', { router, prefix: '10.9.9.0/24', discard: true });
  model.create('static-route', { router, prefix: '::/0', nextHop: 'fd00:1::7' });
  const p1 = port(w, 'p1', s1, '02:00:00:00:01:01', '10.0.0.1', 'fd00:1::1');
  port(w, 'p2', s2, '02:00:00:00:02:01', '10.0.1.1');
  port(w, 'p3', s2, '02:00:00:00:02:03');
  model.create('logical-port', { name: 'any', switch: s1, qos: { dscp: 46, rate: 1000 } });
  model.create('address-binding', { switch: s1, port: p1, mac: '02:00:00:00:01:99', ips: ['10.0.0.99'] });
  model.create('address-binding', { switch: s2, mac: '02:00:00:00:02:98', ips: ['10.0.1.98'] });
  for (const action of ['allow', 'allow-stateful', 'drop', 'reject'] as const) {
    for (const on of [{ port: p1 }, { switch: s2 }]) {
      for (const direction of ['from-port', 'to-port'] as const) {
        model.create('acl', { ...on, direction, priority: 1000, match: { protocol: 'tcp' }, action });
      }
    }
  }
  h1.locate('vif-p1', 'vif-p2');
  await settled();
  const stages = new Set(flows(w).map((f) => f.stage));
  assert.deepEqual([...stages].sort(), [
    'lr-in-admit',
    'lr-in-local',
    'lr-in-neighbor',
    'lr-in-out',
    'lr-in-route',
    'ls-in-acl',
    'ls-in-answer',
    'ls-in-conntrack',
    'ls-in-destination',
    'ls-in-discovery',
    'ls-in-qos',
    'ls-in-security',
    'ls-out-acl',
    'ls-out-conntrack',
    'ls-out-security',
    'ls-out-unknown',
  ]);
  assert.deepEqual(h1.complaints, []);
});

test('a port, its addresses and its rules come to few flows, and leave none behind', () => {
  const w = world();
  const s = w.model.create('logical-switch', { name: 's', tenant });
  const before = flows(w);
  const p = port(w, 'p', s, '02:00:00:00:00:01', '10.0.0.1');
  assert.equal(flows(w).length - before.length, 8);
  const acl = w.model.create('acl', {
    port: p,
    direction: 'from-port',
    priority: 1,
    match: { protocol: 'tcp', source: '10.0.0.1' },
    action: 'drop',
  });
  assert.equal(flows(w).length - before.length, 9);
  w.model.delete('acl', acl);
  w.model.delete('logical-port', p);
  assert.deepEqual(flows(w), before);
});

test('rules that say the same are one flow, and ties go by place, then by action', () => {
  const w = world();
  const s = w.model.create('logical-switch', { name: 's', tenant });
  const p = port(w, 'p', s, '02:00:00:00:00:01', '10.0.0.1');
  const acl = (on: object, action: 'allow' | 'allow-stateful' | 'drop' | 'reject'): string =>
    w.model.create('acl', { ...on, direction: 'to-port', priority: 7, match: {}, action });
  const ids = (['allow-stateful', 'allow', 'reject', 'drop'] as const).flatMap((action) => [
    acl({ switch: s }, action),
    acl({ switch: s }, action),
  ]);
  const onPort = acl({ port: p }, 'allow-stateful');
  const rules = flows(w)
    .filter((f) => f.stage === 'ls-out-acl')
    .sort((a, b) => a.priority - b.priority);
  assert.deepEqual(
    rules.map((f) => f.origin),
    [ids[0], ids[2], ids[4], ids[6], onPort],
  );
});

test('hosts need what their machines can reach by routers, and tunnels to who is there', async () => {
  const w = world();
  const { model, network } = w;
  const hosts = ['h1', 'h2', 'h3'].map((name, i) => w.host(name, `192.0.2.${i + 1}`));
  for (const host of hosts) host.connect(network);
  await settled();
  const [s1, s2, s3] = ['s1', 's2', 's3'].map((name) => model.create('logical-switch', { name, tenant }));
  const router = model.create('logical-router', { name: 'r', tenant });
  [s1, s2, s3].forEach((on, i) => {
    port(w, `p${i}`, on, `02:00:00:00:00:0${i}`);
    hosts[i].locate(`vif-p${i}`);
  });
  await settled();
  const table = (name: string): string[] => network.rules.engine.rows(name).map((row) => row.join(' '));
  assert.deepEqual(table('tunnel'), []);
  const join = (on: string, i: number): string =>
    model.create('router-port', {
      name: `rp${i}`,
      router,
      switch: on,
      mac: `02:00:00:00:01:0${i}`,
      networks: [`10.0.${i}.254/24`],
    });
  join(s1, 1);
  const second = join(s2, 2);
  assert.deepEqual(table('tunnel'), ['h1 h2 geneve 192.0.2.2', 'h2 h1 geneve 192.0.2.1']);
  const needs = (): string[] => table('needs').filter((row) => row.startsWith('h1'));
  assert.equal(needs().length, 3);
  model.update('router-port', second, {
    name: 'rp2',
    router,
    switch: s2,
    mac: '02:00:00:00:01:02',
    networks: ['10.0.2.254/24'],
    enabled: false,
  });
  assert.deepEqual(table('tunnel'), []);
  assert.equal(needs().length, 2);
});

test('both ends of a tunnel come to the same kind and family, the one that both would rather have', async () => {
  const w = world();
  const { model, network } = w;
  const s = model.create('logical-switch', { name: 's', tenant });
  const nodes = {
    a: ['geneve 192.0.2.1', 'vxlan 192.0.2.1'],
    b: ['vxlan 192.0.2.2', 'gre 192.0.2.2', 'geneve 2001:db8::2'],
    c: ['gre 192.0.2.3', 'geneve 2001:db8::3'],
    d: ['geneve 192.0.2.4', 'geneve 192.0.2.44', 'vxlan 192.0.2.4'],
  };
  for (const [node, tunnels] of Object.entries(nodes)) {
    model.create('transport-node', {
      name: node,
      systemId: node,
      tunnels: tunnels.map((text) => {
        const [encapsulation, address] = text.split(' ');
        return { encapsulation: encapsulation as 'geneve' | 'vxlan' | 'gre', address };
      }),
    });
    const agent = new FakeAgent(node);
    agent.connect(network);
    await settled();
    port(w, node, s, `02:00:00:00:00:0${node}`);
    agent.locate(`vif-${node}`);
    await settled();
  }
  assert.deepEqual(
    network.rules.engine.rows('tunnel').map((row) => row.join(' ')),
    [
      'a b vxlan 192.0.2.2',
      // Nothing that both have: a has no IPv6 and no GRE.
      'a d geneve 192.0.2.4',
      'b a vxlan 192.0.2.1',
      'b c gre 192.0.2.3',
      'b d vxlan 192.0.2.4',
      'c b gre 192.0.2.2',
      'd a geneve 192.0.2.1',
      'd b vxlan 192.0.2.2',
    ],
  );
});

test('a VIF that is seen in two places is where it was seen last', async () => {
  const w = world();
  const hosts = ['h1', 'h2'].map((name, i) => w.host(name, `192.0.2.${i + 1}`));
  for (const host of hosts) host.connect(w.network);
  await settled();
  const s = w.model.create('logical-switch', { name: 's', tenant });
  port(w, 'p', s, '02:00:00:00:00:01');
  const place = (): string[] => w.network.rules.engine.rows('placement').map((row) => String(row[3]));
  for (const host of hosts) {
    host.locate('vif-p');
    await settled();
    assert.deepEqual(place(), [host.node]);
  }
  hosts[0].locate();
  await settled();
  assert.deepEqual(place(), ['h2']);
  hosts[1].locate();
  await settled();
  assert.deepEqual(place(), []);
});
