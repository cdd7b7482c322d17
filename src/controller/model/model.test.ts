import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KindName } from '../../api-schema/kinds.ts';
import { WeftError } from '../../base/errors.ts';
import type { ChangeEvent, Companion } from '../network/change.ts';
import type { Model } from './model.ts';
import type { ModelOperation } from './operation.ts';
import { OPERATOR, type Principal } from './principal.ts';
import { ModelError } from './problem.ts';
import { makeModel } from './testing/fixture.ts';

const NOWHERE = '99999999-0000-4000-8000-000000000000';
const tenantOf = (tenant: string): Principal => ({ role: 'tenant', tenant });

async function refused(promise: Promise<unknown>, code: string, text: RegExp): Promise<ModelError> {
  let thrown: unknown;
  await promise.catch((error) => {
    thrown = error;
  });
  assert.ok(thrown instanceof ModelError, `expected ${code}, not ${String(thrown)}`);
  assert.equal(thrown.code, code, thrown.message);
  assert.match(thrown.message, text);
  for (const problem of thrown.problems) assert.notEqual(problem.remedy, '');
  return thrown;
}

function write(model: Model, principal: Principal, ...operations: ModelOperation[]) {
  return model.write(operations, principal);
}

/** A tenant with a switch of two ports, and a router. */
async function network() {
  const made = await makeModel();
  const { create } = made;
  const tenant = await create('tenant', { name: 'red' });
  const web = await create('logical-switch', { name: 'web', tenant });
  const db = await create('logical-switch', { name: 'db', tenant });
  const router = await create('logical-router', { name: 'r', tenant });
  const p1 = await create('logical-port', {
    name: 'p1',
    switch: web,
    vif: 'vif1',
    addresses: [{ mac: '02:00:00:00:00:01', ips: ['10.0.0.5'] }],
  });
  return { ...made, tenant, web, db, router, p1 };
}

test('a write fills in defaults and stores canonical texts', async () => {
  const { model, web, create, router } = await network();
  const id = await create('logical-port', {
    name: 'p2',
    switch: web.toUpperCase(),
    addresses: [{ mac: '02:AB:00:00:00:0F', ips: ['FD00:0:0::0001', '10.0.0.6'] }],
  });
  const { spec, tenant, created, revision } = model.get('logical-port', id, OPERATOR);
  assert.deepEqual(spec, {
    name: 'p2',
    switch: web,
    addresses: [{ mac: '02:ab:00:00:00:0f', ips: ['fd00::1', '10.0.0.6'] }],
    portSecurity: true,
    enabled: true,
  });
  assert.equal(tenant, model.get('logical-switch', web, OPERATOR).tenant);
  assert.deepEqual([created, revision], [6, 6]);
  const acl = await create('acl', {
    switch: web,
    direction: 'to-port',
    priority: 1,
    match: {
      source: ['FD00::/64', '10.0.0.1/32'],
      protocol: 'tcp',
      destinationPorts: ['80', '90-90', '1-2'],
    },
    action: 'allow',
  });
  assert.deepEqual(model.get('acl', acl, OPERATOR).spec.match, {
    source: ['fd00::/64', '10.0.0.1'],
    protocol: 'tcp',
    destinationPorts: [80, 90, '1-2'],
  });
  await create('router-port', {
    name: 'a',
    router,
    switch: web,
    mac: '02:00:00:00:00:FE',
    networks: ['FD00:0::FE/64'],
  });
});

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

test('a transaction is all or nothing, and its operations may rest on one another in any order', async () => {
  const { model, tenant } = await network();
  const [s, p] = ['11111111-0000-4000-8000-000000000001', '11111111-0000-4000-8000-000000000002'];
  const port: ModelOperation = { op: 'create', kind: 'logical-port', id: p, spec: { name: 'p', switch: s } };
  const before = model.revision;
  await refused(write(model, OPERATOR, port), 'bad-reference', /no logical switch/);
  const error = await refused(
    write(model, OPERATOR, port, {
      op: 'create',
      kind: 'logical-switch',
      id: s,
      spec: { name: 'web', tenant },
    }),
    'object-conflict',
    /name "web"/,
  );
  assert.equal(error.operation, undefined);
  assert.equal(model.revision, before);
  assert.equal(model.find(p, OPERATOR), undefined);
  const seen: ChangeEvent[] = [];
  model.subscribe((change) => seen.push(change));
  const { revision, objects } = await write(
    model,
    OPERATOR,
    port,
    { op: 'patch', kind: 'logical-port', id: p, patch: { enabled: false } },
    { op: 'replace', kind: 'logical-switch', id: s, spec: { name: 'new', tenant } },
  );
  assert.equal(revision, before + 1);
  assert.deepEqual(
    objects.map((o) => o?.id),
    [p, p, s],
  );
  assert.equal(model.get('logical-port', p, OPERATOR).spec.enabled, false);
  assert.equal(seen.length, 1);
  assert.deepEqual(
    seen[0].changes.map((c) => [c.before, c.after?.id]),
    [
      [undefined, p],
      [undefined, s],
    ],
  );
  const swap = await write(
    model,
    OPERATOR,
    { op: 'delete', kind: 'logical-port', id: p },
    { op: 'delete', kind: 'logical-switch', id: s },
    { op: 'create', kind: 'logical-switch', spec: { name: 'new', tenant } },
  );
  assert.deepEqual(
    swap.objects.map((o) => o === undefined),
    [true, true, false],
  );
});

test('what changes nothing makes no revision', async () => {
  const { model, p1 } = await network();
  const before = model.revision;
  const { revision } = await write(model, OPERATOR, {
    op: 'patch',
    kind: 'logical-port',
    id: p1,
    patch: { addresses: [{ mac: '02:00:00:00:00:01', ips: ['10.0.0.5'] }], description: null },
  });
  assert.equal(revision, before);
  assert.equal(model.revision, before);
});

test('a check says what a write would do, and does not do it', async () => {
  const { model, p1, file } = await network();
  const bytes = file.bytes;
  const operations: ModelOperation[] = [{ op: 'patch', kind: 'logical-port', id: p1, patch: { name: 'q' } }];
  const { changes } = await model.write(operations, OPERATOR, { check: true });
  assert.equal((changes[0].after!.spec as { name: string }).name, 'q');
  assert.equal(model.get('logical-port', p1, OPERATOR).spec.name, 'p1');
  assert.deepEqual(file.bytes, bytes);
});

test('a delete is refused while others refer to the object, and cascades on request', async () => {
  const { model, web, router, tenant, p1, create } = await network();
  await create('acl', { port: p1, direction: 'to-port', priority: 1, match: {}, action: 'drop' });
  const rp = await create('router-port', {
    name: 'a',
    router,
    switch: web,
    mac: '02:00:00:00:00:fe',
    networks: ['10.0.0.1/24'],
  });
  const route = await create('static-route', { router, prefix: '0.0.0.0/0', nextHop: '10.0.0.9' });
  const del = (kind: KindName, id: string, cascade = false): ModelOperation => ({
    op: 'delete',
    kind,
    id,
    cascade,
  });
  await refused(
    write(model, OPERATOR, del('logical-port', p1)),
    'object-in-use',
    /logical port "p1" is in use by ACL/,
  );
  await refused(write(model, OPERATOR, del('logical-switch', web, true)), 'object-in-use', /router port "a"/);
  await refused(write(model, OPERATOR, del('router-port', rp)), 'object-conflict', /next hop/);
  await write(model, OPERATOR, del('router-port', rp), del('static-route', route));
  const { changes } = await write(model, OPERATOR, del('logical-switch', web, true));
  assert.equal(changes.length, 3);
  assert.ok(changes.every((change) => change.after === undefined));
  await write(model, OPERATOR, del('tenant', tenant, true));
  assert.equal(model.size, 0);
});

test('an object cannot go to another tenant, nor refer to one of another', async () => {
  const { model, web, p1, router, create } = await network();
  const blue = await create('tenant', { name: 'blue' });
  const other = await create('logical-switch', { name: 'web', tenant: blue });
  await refused(
    write(model, OPERATOR, { op: 'patch', kind: 'logical-switch', id: web, patch: { tenant: blue } }),
    'object-immutable',
    /another tenant/,
  );
  await refused(
    write(model, OPERATOR, { op: 'patch', kind: 'logical-port', id: p1, patch: { switch: other } }),
    'object-immutable',
    /another tenant/,
  );
  await refused(
    write(model, OPERATOR, {
      op: 'create',
      kind: 'router-port',
      spec: { name: 'x', router, switch: other, mac: '02:00:00:00:00:fe', networks: ['10.0.0.1/24'] },
    }),
    'bad-reference',
    /another tenant/,
  );
});

test('to a tenant, objects of others are as objects that are not there', async () => {
  const { model, web, p1, tenant, create } = await network();
  const blue = await create('tenant', { name: 'blue' });
  const own = await create('logical-switch', { name: 'own', tenant: blue });
  const me = tenantOf(blue);
  // What is said of others' objects is, but for the id, what is said of none.
  const same = async (on: (id: string) => ModelOperation): Promise<void> => {
    const say = async (id: string): Promise<unknown> => {
      const operation = on(id);
      const code = operation.op === 'create' ? 'bad-reference' : 'object-not-found';
      const error = await refused(write(model, me, operation), code, /there is no/);
      return JSON.parse(JSON.stringify({ ...error, message: error.message }).replaceAll(id, 'ID'));
    };
    assert.deepEqual(await say(web), await say(NOWHERE));
  };
  await same((id) => ({ op: 'patch', kind: 'logical-switch', id, patch: {} }));
  await same((id) => ({ op: 'delete', kind: 'logical-switch', id }));
  await same((id) => ({ op: 'delete', kind: 'logical-switch', id, cascade: true }));
  await same((id) => ({ op: 'delete', kind: 'logical-port', id }));
  await same((id) => ({ op: 'create', kind: 'logical-port', spec: { name: 'x', switch: id } }));
  await same((id) => ({
    op: 'create',
    kind: 'acl',
    spec: { port: id, direction: 'to-port', priority: 1, match: {}, action: 'drop' },
  }));
  await same((id) => ({ op: 'create', kind: 'logical-switch', spec: { name: 'x', tenant: id } }));
  assert.equal(model.find(web, me), undefined);
  assert.throws(() => model.get('logical-port', p1, me), { code: 'object-not-found' });
  assert.deepEqual(model.ids('logical-switch', me), [own]);
  assert.deepEqual(model.ids('tenant', me), [blue]);
  assert.equal(model.find(tenant, me), undefined);
  assert.deepEqual(model.referrers(web, me), []);
  const error = await refused(
    write(model, me, { op: 'create', kind: 'logical-port', spec: { name: 'x', switch: own, vif: 'vif1' } }),
    'object-conflict',
    /VIF "vif1" is not free/,
  );
  assert.doesNotMatch(JSON.stringify(error), /p1|web|red/);
  await refused(
    write(model, me, { op: 'create', kind: 'tenant', spec: { name: 'x' } }),
    'not-allowed',
    /tenant token/,
  );
  await refused(
    write(model, { role: 'node', node: 'h1' }, { op: 'delete', kind: 'logical-switch', id: own }),
    'not-allowed',
    /node token/,
  );
});

test("a tenant's own tenant is filled in", async () => {
  const { model, tenant, create } = await network();
  const id = await create('logical-switch', { name: 'x' }, tenantOf(tenant));
  assert.equal(model.get('logical-switch', id, OPERATOR).spec.tenant, tenant);
});

test('a change made for another revision is refused', async () => {
  const { model, web, tenant } = await network();
  const { revision } = model.get('logical-switch', web, OPERATOR);
  const patch = (name: string): Promise<unknown> =>
    write(model, OPERATOR, {
      op: 'patch',
      kind: 'logical-switch',
      id: web,
      patch: { name },
      ifRevision: revision,
    });
  const results = await Promise.allSettled([patch('a'), patch('b')]);
  assert.deepEqual(
    results.map((r) => r.status),
    ['fulfilled', 'rejected'],
  );
  assert.equal(model.get('logical-switch', web, OPERATOR).spec.name, 'a');
  const only = (id: string): Promise<unknown> =>
    write(model, OPERATOR, {
      op: 'replace',
      kind: 'logical-switch',
      id,
      spec: { name: 'n', tenant },
      ifRevision: 0,
    });
  await refused(only(web), 'object-changed', /revision/);
  await only(NOWHERE);
});

test('limits hold for each tenant and each transaction', async () => {
  const { model, create } = await makeModel({ limits: { objects: 3, operations: 5 } });
  const tenant = await create('tenant', { name: 'red' });
  await create('logical-switch', { name: 'a', tenant });
  await create('logical-switch', { name: 'b', tenant });
  await refused(create('logical-switch', { name: 'c', tenant }), 'too-many-objects', /at most 3 objects/);
  await create('tenant', { name: 'blue' });
  const many = Array.from({ length: 6 }, (): ModelOperation => ({ op: 'create', kind: 'tenant', spec: {} }));
  await refused(write(model, OPERATOR, ...many), 'too-many-operations', /at most 5 operations/);
});

test('a full disk refuses the write, and the model is as it was', async () => {
  const { model, file, create, tenant } = await network();
  const revision = model.revision;
  file.room = 10;
  await assert.rejects(create('logical-switch', { name: 'x', tenant }), { code: 'store-full' });
  assert.equal(model.revision, revision);
  assert.equal(model.ids('logical-switch', OPERATOR).length, 2);
  file.room = 100_000;
  await create('logical-switch', { name: 'x', tenant });
  assert.equal(model.revision, revision + 1);
});

test('records of a companion are written with the objects, or not at all', async () => {
  const settled: boolean[] = [];
  const loaded: string[] = [];
  const companion: Companion = {
    load: (records) => void loaded.push(...records.map((r) => r.key)),
    prepare(changes) {
      const ids = changes.map(({ after }) => after?.id ?? '');
      if (settled.length === 2) throw new WeftError('no-label-left', 'none left');
      return {
        operations: ids.map((id) => ({ op: 'put', key: `label/${id}`, value: '7' })),
        settle: (written) => void settled.push(written),
      };
    },
  };
  const { create, file, model } = await makeModel({ companion });
  const id = await create('tenant', { name: 'red' });
  file.room = 0;
  await assert.rejects(create('tenant', { name: 'blue' }), { code: 'store-full' });
  file.room = 10_000;
  await assert.rejects(create('tenant', { name: 'blue' }), { code: 'no-label-left' });
  assert.deepEqual(settled, [true, false]);
  assert.equal(model.size, 1);
  await makeModel({ companion }, file);
  assert.deepEqual(loaded, [`label/${id}`]);
});

test('what was written is there after loading again', async () => {
  const { model, file } = await network();
  const again = await makeModel({}, file);
  const sorted = (m: Model): unknown[] => [...m.objects()].sort((a, b) => (a.id < b.id ? -1 : 1));
  assert.deepEqual(sorted(again.model), sorted(model));
  assert.equal(again.model.revision, model.revision);
});

test('a listener that throws harms neither the write nor other listeners', async () => {
  const { model, create } = await makeModel();
  let heard = 0;
  model.subscribe(() => {
    throw new Error('no');
  });
  const stop = model.subscribe(() => heard++);
  await create('tenant', { name: 'red' });
  stop();
  await create('tenant', { name: 'blue' });
  assert.equal(heard, 1);
});

test('a spec that cannot be realized is refused where it says why', async () => {
  const { model, create } = await makeModel({
    refuse: (kind) =>
      kind === 'acl' ? [{ member: '/match', value: {}, message: 'never matches', remedy: 'change it' }] : [],
  });
  const tenant = await create('tenant', { name: 'red' });
  const on = await create('logical-switch', { name: 'a', tenant });
  const spec = { switch: on, direction: 'to-port', priority: 1, match: {}, action: 'drop' };
  await refused(
    write(model, OPERATOR, { op: 'create', kind: 'acl', spec }),
    'bad-object',
    /\/match: never matches/,
  );
});
