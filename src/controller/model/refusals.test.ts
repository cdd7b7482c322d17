/** What the model does not take, and what it says about it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KindName } from '../../api-schema/kinds.ts';
import { OPERATOR } from './principal.ts';
import { network, refused, write } from './testing/fixture.ts';

test('bad values are told with member, value and remedy', async () => {
  const { model, web, router, db, tenant } = await network();
  const cases: [KindName, object, string, RegExp][] = [
    ['tenant', {}, '/name', /is missing/],
    ['tenant', { name: 'x', colour: 'red' }, '/colour', /is not a member/],
    ['tenant', { name: ' x' }, '/name', /" x"/],
    ['tenant', { name: 'x', tags: { ['__proto__x'.slice(0, 9)]: 'y' } }, '/tags/__proto__', /not a member/],
    ['logical-switch', { name: 'x', tenant, unknown: 'perhaps' }, '/unknown', /none of "drop", "flood"/],
    ['logical-switch', { name: 'x', tenant: 'red' }, '/tenant', /is no UUID/],
    [
      'logical-port',
      { name: 'x', switch: web, addresses: [{ mac: '01:00:00:00:00:01' }] },
      '/addresses/0/mac',
      /multicast/,
    ],
    [
      'logical-port',
      { name: 'x', switch: web, addresses: [{ mac: 'FF:FF:FF:FF:FF:FF' }] },
      '/addresses/0/mac',
      /broadcast/,
    ],
    [
      'logical-port',
      { name: 'x', switch: web, addresses: [{ mac: '00:00:00:00:00:00' }] },
      '/addresses/0/mac',
      /zero/,
    ],
    [
      'logical-port',
      { name: 'x', switch: web, addresses: [{ mac: '02:00:00:00:00:09', ips: ['10.0.0.1', '224.0.0.1'] }] },
      '/addresses/0/ips/1',
      /"224.0.0.1" is a multicast/,
    ],
    [
      'logical-port',
      { name: 'x', switch: web, addresses: [{ mac: '02:00:00:00:00:09', ips: ['fd00::1', 'FD00::0:1'] }] },
      '/addresses/0/ips/1',
      /already/,
    ],
    [
      'logical-port',
      { name: 'x', switch: web, addresses: [{ mac: '02:00:00:00:00:09', ips: ['10.0.0.256'] }] },
      '/addresses/0/ips/0',
      /no IP address/,
    ],
    ['logical-port', { name: 'x', switch: web, qos: { burst: 3 } }, '/qos/burst', /without a rate/],
    ['logical-port', { name: 'x', switch: web, qos: { rate: 1.5 } }, '/qos/rate', /1\.5/],
    [
      'router-port',
      { name: 'x', router, switch: db, mac: '02:00:00:00:00:fe', networks: ['10.1.0.0/24'] },
      '/networks/0',
      /network itself/,
    ],
    [
      'router-port',
      { name: 'x', router, switch: db, mac: '02:00:00:00:00:fe', networks: ['10.1.0.255/24'] },
      '/networks/0',
      /broadcast/,
    ],
    [
      'router-port',
      { name: 'x', router, switch: db, mac: '02:00:00:00:00:fe', networks: ['10.1.0.1'] },
      '/networks/0',
      /prefix length/,
    ],
    [
      'router-port',
      { name: 'x', router, switch: db, mac: '02:00:00:00:00:fe', networks: ['fd00::/64'] },
      '/networks/0',
      /anycast/,
    ],
    [
      'static-route',
      { router, prefix: '10.9.0.1/16', nextHop: '10.0.0.9' },
      '/prefix',
      /bits set beyond its first 16/,
    ],
    ['static-route', { router, prefix: '10.9.0.0/33', nextHop: '10.0.0.9' }, '/prefix', /no network/],
    ['static-route', { router, prefix: '10.9.0.0/16' }, '/nextHop', /no next hop/],
    [
      'static-route',
      { router, prefix: '10.9.0.0/16', nextHop: '10.0.0.9', discard: true },
      '/nextHop',
      /discards/,
    ],
    ['static-route', { router, prefix: '10.9.0.0/16', nextHop: 'fd00::1' }, '/nextHop', /IPv6.*IPv4/],
    ['acl', { direction: 'to-port', priority: 1, match: {}, action: 'drop' }, '/port', /no switch either/],
    [
      'acl',
      { switch: web, direction: 'to-port', priority: 1001, match: {}, action: 'drop' },
      '/priority',
      /1001/,
    ],
    [
      'acl',
      {
        switch: web,
        direction: 'to-port',
        priority: 1,
        match: { destinationPorts: '90-80' },
        action: 'drop',
      },
      '/match/destinationPorts',
      /ends before/,
    ],
    [
      'acl',
      {
        switch: web,
        direction: 'to-port',
        priority: 1,
        match: { destinationPorts: '1-99999' },
        action: 'drop',
      },
      '/match/destinationPorts',
      /65535/,
    ],
    [
      'transport-node',
      { name: 'h', systemId: 'h', tunnels: [{ encapsulation: 'stt', address: '10.0.0.1' }] },
      '/tunnels/0/encapsulation',
      /none of "geneve"/,
    ],
    [
      'transport-node',
      { name: 'h', systemId: 'h', tunnels: [{ encapsulation: 'gre', address: '::' }] },
      '/tunnels/0/address',
      /unspecified/,
    ],
  ];
  const revision = model.revision;
  for (const [kind, sent, member, text] of cases) {
    // JSON as it comes: "__proto__" is a member like any other.
    const spec: unknown = JSON.parse(JSON.stringify(sent));
    const error = await refused(write(model, OPERATOR, { op: 'create', kind, spec }), 'bad-object', text);
    assert.deepEqual(
      error.problems.map((p) => p.member),
      [member],
      `${kind} ${JSON.stringify(sent)}`,
    );
    assert.equal(error.operation, 0);
  }
  assert.equal(model.revision, revision);
});

test('what two objects must not share is refused, naming the other', async () => {
  const { model, web, db, tenant, router, p1, create } = await network();
  await create('router-port', {
    name: 'a',
    router,
    switch: web,
    mac: '02:00:00:00:00:fe',
    networks: ['10.0.0.1/24'],
  });
  await create('transport-node', {
    name: 'h1',
    systemId: 'h1',
    tunnels: [{ encapsulation: 'geneve', address: '192.0.2.1' }],
  });
  const cases: [KindName, object, RegExp][] = [
    ['tenant', { name: 'red' }, /the name "red" belongs to tenant "red" already/],
    ['logical-switch', { name: 'web', tenant }, /the name "web" .* in tenant "red"/],
    ['logical-port', { name: 'p1', switch: web }, /in logical switch "web"/],
    ['logical-port', { name: 'x', switch: db, vif: 'vif1' }, /VIF "vif1" belongs to logical port "p1"/],
    ['logical-port', { name: 'x', switch: web, addresses: [{ mac: '02:00:00:00:00:01' }] }, /MAC address/],
    [
      'logical-port',
      { name: 'x', switch: web, addresses: [{ mac: '02:00:00:00:00:02', ips: ['10.0.0.5'] }] },
      /IP address "10.0.0.5" belongs/,
    ],
    [
      'logical-port',
      { name: 'x', switch: web, addresses: [{ mac: '02:00:00:00:00:02', ips: ['10.0.0.1'] }] },
      /router port "a"/,
    ],
    [
      'logical-port',
      { name: 'x', switch: web, addresses: [{ mac: '02:00:00:00:00:02' }, { mac: '02:00:00:00:00:02' }] },
      /in it twice/,
    ],
    [
      'router-port',
      { name: 'b', router, switch: db, mac: '02:00:00:00:00:fe', networks: ['10.0.0.129/25'] },
      /overlaps with 10.0.0.1\/24/,
    ],
    [
      'router-port',
      { name: 'b', router, switch: db, mac: '02:00:00:00:00:fe', networks: ['10.1.0.1/24', '10.1.0.2/24'] },
      /overlaps/,
    ],
    [
      'static-route',
      { router, prefix: '10.9.0.0/16', nextHop: '10.5.0.1' },
      /on no network of its router \(10.0.0.0\/24\)/,
    ],
    ['static-route', { router, prefix: '10.9.0.0/16', nextHop: '10.0.0.1' }, /the router itself/],
    ['address-binding', { switch: db, port: p1, mac: '02:00:00:00:00:07' }, /on another switch/],
    ['address-binding', { switch: web, port: p1, mac: '02:00:00:00:00:01' }, /MAC address/],
    [
      'transport-node',
      { name: 'h2', systemId: 'h1', tunnels: [{ encapsulation: 'gre', address: '192.0.2.2' }] },
      /system id/,
    ],
    [
      'transport-node',
      { name: 'h2', systemId: 'h2', tunnels: [{ encapsulation: 'geneve', address: '192.0.2.1' }] },
      /tunnel endpoint/,
    ],
  ];
  for (const [kind, spec, text] of cases)
    await refused(write(model, OPERATOR, { op: 'create', kind, spec }), 'object-conflict', text);
  await create('static-route', { router, prefix: '10.9.0.0/16', nextHop: '10.0.0.9' });
  await refused(
    write(model, OPERATOR, {
      op: 'create',
      kind: 'static-route',
      spec: { router, prefix: '10.9.0.0/16', discard: true },
    }),
    'object-conflict',
    /prefix/,
  );
  await create('logical-port', {
    name: 'p1',
    switch: db,
    addresses: [{ mac: '02:00:00:00:00:01', ips: ['10.0.0.5'] }],
  });
  await create('address-binding', { switch: web, port: p1, mac: '02:00:00:00:00:07', ips: ['10.0.0.7'] });
  await refused(
    write(model, OPERATOR, {
      op: 'patch',
      kind: 'logical-port',
      id: p1,
      patch: { switch: db, name: 'p9', addresses: [] },
    }),
    'object-conflict',
    /address binding .* on another switch/,
  );
});
