import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KindName } from '../../api-schema/kinds.ts';
import { WeftError } from '../../base/errors.ts';
import type { ChangeEvent, Companion } from '../network/change.ts';
import type { Model } from './model.ts';
import type { ModelOperation } from './operation.ts';
import { OPERATOR, type Principal } from './principal.ts';
import { makeModel, network, refused, write } from './testing/fixture.ts';

const NOWHERE = '99999999-0000-4000-8000-000000000000';
const tenantOf = (tenant: string): Principal => ({ role: 'tenant', tenant });

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

test('ACLs count by what they come to, for a tenant and for a transaction', async () => {
  const { model, create } = await makeModel({ limits: { objects: 5, operations: 3 } });
  const tenant = await create('tenant', { name: 'red' });
  const on = await create('logical-switch', { name: 'a', tenant });
  const acl = (sources: number, more: object = {}): object => ({
    switch: on,
    direction: 'to-port',
    priority: 1,
    action: 'drop',
    match: { protocol: 'tcp', source: Array.from({ length: sources }, (_, i) => `10.0.0.${i + 1}`), ...more },
  });
  // Four for each of three operations.
  await refused(create('acl', acl(13)), 'too-many-operations', /at most 12 matches/);
  const ports = { destinationPorts: '1-6' };
  await refused(create('acl', acl(4, ports)), 'too-many-operations', /at most 12 matches/);
  const big = await create('acl', acl(3, ports));
  // Four for each of five objects.
  await refused(create('acl', acl(9)), 'too-many-objects', /at most 20 matches, and this would make it 21/);
  const small = await create('acl', acl(8));
  const replace = (id: string, sources: number): Promise<unknown> =>
    model.write([{ op: 'replace', kind: 'acl', id, spec: acl(sources) }], OPERATOR);
  await refused(replace(small, 9), 'too-many-objects', /would make it 21/);
  await replace(big, 11);
  await replace(small, 9);
  await model.write([{ op: 'delete', kind: 'acl', id: big }], OPERATOR);
  await create('acl', acl(11));
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
