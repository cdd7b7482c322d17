import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeApi, makeTenant } from './testing/harness.ts';

const ID = '77777777-0000-4000-8000-000000000001';

test('an object is made, shown, changed and deleted', async () => {
  const { ask, create } = await makeApi();
  const tenant = await create('tenant', { name: 'red' });
  const made = await ask('POST', '/v1/logical-switches', { name: 'web', tenant });
  assert.equal(made.status, 201, made.text);
  const { id } = made.body;
  assert.equal(made.headers.location, `/v1/logical-switches/${id}`);
  assert.equal(made.headers.etag, '"2"');
  assert.equal(made.headers['weft-revision'], '2');
  assert.deepEqual(made.body, {
    id,
    kind: 'logical-switch',
    name: 'web',
    tenant,
    unknown: 'drop',
    enabled: true,
    created: 2,
    revision: 2,
    realized: true,
    hosts: [{ node: 'h1', state: 'applied' }],
  });
  assert.deepEqual((await ask('GET', `/v1/logical-switches/${id}`)).body, made.body);
  const patched = await ask('PATCH', `/v1/logical-switches/${id}`, { unknown: 'flood', tags: { a: 'b' } });
  assert.deepEqual([patched.status, patched.body.unknown, patched.body.revision], [200, 'flood', 3]);
  const nulled = await ask(
    'PATCH',
    `/v1/logical-switches/${id}`,
    { tags: null },
    { 'content-type': 'application/merge-patch+json' },
  );
  assert.deepEqual([nulled.status, nulled.body.tags], [200, undefined]);
  const replaced = await ask('PUT', `/v1/logical-switches/${id}`, { ...made.body, name: 'web2' });
  assert.deepEqual([replaced.status, replaced.body.name, replaced.body.created], [200, 'web2', 2]);
  const gone = await ask('DELETE', `/v1/logical-switches/${id}`);
  assert.deepEqual([gone.status, gone.text, gone.headers['weft-revision']], [204, '', '6']);
  assert.equal((await ask('GET', `/v1/logical-switches/${id}`)).status, 404);
});

test('an id can be chosen, by PUT and by POST', async () => {
  const { ask } = await makeApi();
  const first = await ask('PUT', `/v1/tenants/${ID}`, { name: 'red' });
  assert.deepEqual([first.status, first.body.id, first.headers.location], [201, ID, `/v1/tenants/${ID}`]);
  assert.equal((await ask('POST', '/v1/tenants', { id: ID, name: 'blue' })).body.code, 'object-exists');
  const wrong = await ask('PUT', `/v1/tenants/${ID}`, { id: ID.replace('1', '2'), name: 'red' });
  assert.equal(wrong.body.code, 'bad-request');
  assert.equal((await ask('PUT', '/v1/tenants/nonsense', { name: 'x' })).body.code, 'bad-object');
});

test('conditions on revisions hold', async () => {
  const { ask, create } = await makeApi();
  const id = await create('tenant', { name: 'red' });
  const url = `/v1/tenants/${id}`;
  const cases: [Record<string, string>, number][] = [
    [{ 'if-match': '"2"' }, 412],
    [{ 'if-match': 'W/"1"' }, 400],
    [{ 'if-match': '"1", "2"' }, 400],
    [{ 'if-none-match': '*' }, 412],
    [{ 'if-none-match': '"1"' }, 400],
    [{ 'if-match': '*' }, 200],
    [{ 'if-match': '"2"' }, 200],
  ];
  for (const [i, [headers, status]] of cases.entries())
    assert.equal((await ask('PUT', url, { name: `n${i}` }, headers)).status, status, JSON.stringify(headers));
  assert.equal((await ask('PUT', `/v1/tenants/${ID}`, { name: 'x' }, { 'if-match': '*' })).status, 404);
  assert.equal((await ask('PUT', `/v1/tenants/${ID}`, { name: 'x' }, { 'if-none-match': '*' })).status, 201);
  assert.equal((await ask('DELETE', url, undefined, { 'if-match': '"1"' })).body.code, 'object-changed');
});

test('of two clients that change what they both read, one is told', async () => {
  const { ask, create } = await makeApi();
  const id = await create('tenant', { name: 'red', tags: { n: '0' } });
  const url = `/v1/tenants/${id}`;
  let conflicts = 0;
  const count = async (): Promise<void> => {
    for (let done = 0; done < 20; ) {
      const { body, headers } = await ask('GET', url);
      const n = Number((body.tags as { n: string }).n) + 1;
      const reply = await ask('PATCH', url, { tags: { n: String(n) } }, { 'if-match': String(headers.etag) });
      if (reply.status === 200) done++;
      else {
        assert.equal(reply.status, 412, reply.text);
        conflicts++;
      }
    }
  };
  await Promise.all([count(), count()]);
  assert.deepEqual((await ask('GET', url)).body.tags, { n: '40' });
  assert.ok(conflicts > 0);
});

test('a list comes in pages, and the pages are all of it', async () => {
  const { ask, create } = await makeApi();
  const tenant = await create('tenant', { name: 'red' });
  for (let i = 0; i < 25; i++) await create('logical-switch', { name: `s${i}`, tenant });
  const names = new Set<unknown>();
  let url = '/v1/logical-switches?limit=10&fields=name';
  for (let pages = 1; ; pages++) {
    const { body, status } = await ask('GET', url);
    assert.equal(status, 200);
    assert.equal(body.revision, 26);
    for (const item of body.items) {
      assert.deepEqual(Object.keys(item), ['id', 'name']);
      names.add(item.name);
    }
    if (body.next === undefined) {
      assert.equal(pages, 3);
      break;
    }
    url = `/v1/logical-switches?limit=10&fields=name&cursor=${body.next}`;
  }
  assert.equal(names.size, 25);
});

test('filters look at members, tags, tenants and references', async () => {
  const api = await makeApi();
  const red = await makeTenant(api, 'red');
  const blue = await makeTenant(api, 'blue');
  const { ask, network } = api;
  const ids = async (url: string): Promise<unknown[]> =>
    (await ask('GET', url)).body.items.map((item) => item.id);
  const of = (kind: keyof typeof red.ids) => [red.ids[kind], blue.ids[kind]];
  assert.deepEqual(await ids('/v1/logical-switches'), of('logical-switch'));
  assert.deepEqual(await ids('/v1/logical-switches?name=web&tag.app=shop'), of('logical-switch'));
  assert.deepEqual(await ids('/v1/logical-switches?tag.app=other'), []);
  assert.deepEqual(await ids(`/v1/logical-ports?tenant=${blue.ids.tenant.toUpperCase()}`), [
    blue.ids['logical-port'],
  ]);
  assert.deepEqual(await ids(`/v1/logical-ports?switch=${red.ids['logical-switch']}`), [
    red.ids['logical-port'],
  ]);
  assert.deepEqual(await ids(`/v1/address-bindings?port=${red.ids['logical-port']}`), [
    red.ids['address-binding'],
  ]);
  assert.deepEqual(await ids('/v1/logical-ports?addresses.ips=10.0.0.5&vif=vif%20of%20red'), [
    red.ids['logical-port'],
  ]);
  assert.deepEqual(await ids('/v1/logical-ports?enabled=false'), []);
  assert.deepEqual(await ids('/v1/logical-ports?realized=false'), []);
  network.realized = false;
  assert.deepEqual(await ids('/v1/logical-ports?realized=false'), of('logical-port'));
  const bad = await ask('GET', '/v1/logical-ports?swich=x');
  assert.deepEqual([bad.status, bad.body.remedy], [400, 'did you mean "switch"?']);
  for (const query of ['limit=0', 'limit=1e9', 'cursor=x', 'fields=nme', 'name=a&name=b', 'tag=x', 'limit='])
    assert.equal((await ask('GET', `/v1/logical-ports?${query}`)).status, 400, query);
});

test('what is not realized says why, and nodes and ports tell how they are', async () => {
  const api = await makeApi();
  const { ids } = await makeTenant(api, 'red');
  const node = await api.create('transport-node', {
    name: 'h1',
    systemId: 'h1',
    tunnels: [{ encapsulation: 'geneve', address: '192.0.2.1' }],
  });
  api.network.realized = false;
  const port = (await api.ask('GET', `/v1/logical-ports/${ids['logical-port']}`)).body;
  assert.deepEqual([port.realized, port.reason], [false, 'h1 is away']);
  assert.deepEqual(port.hosts, [{ node: 'h1', state: 'disconnected' }]);
  assert.deepEqual(port.status, { node: 'h1', rxPackets: 1, rxBytes: 2, txPackets: 3, txBytes: 4 });
  assert.deepEqual((await api.ask('GET', `/v1/transport-nodes/${node}`)).body.status, {
    connected: true,
    applied: 1,
    vifs: [],
    flows: 3,
  });
});

test('a write waits for the hosts on request, and a revision can be asked for', async () => {
  const api = await makeApi();
  const { ask, network } = api;
  await ask('POST', '/v1/tenants?wait=applied&timeout=2.5', { name: 'red' });
  assert.deepEqual(network.waits, [[1, 2500]]);
  assert.deepEqual((await ask('GET', '/v1/revisions/1')).body, {
    revision: 1,
    realized: true,
    hosts: [{ node: 'h1', state: 'applied' }],
  });
  await ask('GET', '/v1/revisions/1?wait=applied');
  assert.deepEqual(network.waits[1], [1, 30_000]);
  for (const url of ['/v1/revisions/2', '/v1/revisions/x', '/v1/revisions/-1'])
    assert.equal((await ask('GET', url)).body.code, 'no-such-revision', url);
  for (const query of [
    'wait=done',
    'timeout=3',
    'wait=applied&timeout=301',
    'wait=applied&timeout=',
    'wait=applied&timeout=NaN',
  ]) {
    assert.equal(
      (await ask('POST', `/v1/tenants?${query}`, { name: 'blue' })).body.code,
      'bad-request',
      query,
    );
  }
  assert.equal((await ask('GET', '/v1/tenants')).body.items.length, 1);
  const red = await makeTenant(api, 'red2');
  const blue = await makeTenant(api, 'blue');
  const revision = (await ask('GET', `/v1/logical-ports/${red.ids['logical-port']}`)).body.revision;
  const own = await ask('GET', `/v1/revisions/${revision}`, undefined, {}, red.token);
  assert.deepEqual(own.body, { revision, realized: true });
  const other = await ask('GET', `/v1/revisions/${revision}`, undefined, {}, blue.token);
  assert.equal(other.body.code, 'no-such-revision');
});

test('a read waits until the object is realized, or the time is over', async () => {
  const { ask, create, network, clock } = await makeApi();
  const url = `/v1/tenants/${await create('tenant', { name: 'red' })}`;
  network.realized = false;
  const late = ask('GET', `${url}?wait=realized&timeout=1`);
  const done = ask('GET', `${url}?wait=realized&timeout=2`);
  const move = async (ms: number): Promise<void> => {
    for (let at = 0; at < ms; at += 50) {
      await new Promise(setImmediate);
      clock.move(50);
    }
  };
  await move(1200);
  assert.equal((await late).body.realized, false);
  network.realized = true;
  await move(300);
  assert.equal((await done).body.realized, true);
  assert.equal((await ask('GET', `${url}?wait=applied`)).status, 400);
});

test('a delete is refused while others refer, unless it cascades', async () => {
  const api = await makeApi();
  const { ids } = await makeTenant(api, 'red');
  const refused = await api.ask('DELETE', `/v1/tenants/${ids.tenant}`);
  assert.deepEqual([refused.status, refused.body.code], [409, 'object-in-use']);
  assert.match(String(refused.body.detail), /logical router "r", logical switch "web"/);
  assert.equal((await api.ask('DELETE', `/v1/tenants/${ids.tenant}?cascade=yes`)).status, 400);
  assert.equal((await api.ask('DELETE', `/v1/tenants/${ids.tenant}?cascade=true`)).status, 204);
  assert.equal(api.model.size, 0);
});

test('a transaction does all or nothing, and can be tried first', async () => {
  const { ask, model } = await makeApi();
  const tenant = { op: 'create', kind: 'tenant', id: ID, spec: { name: 'red' } };
  const port = { op: 'create', kind: 'logical-switch', spec: { name: 'web', tenant: ID } };
  const tried = await ask('POST', '/v1/transactions', { operations: [port, tenant], check: true });
  assert.equal(tried.status, 200, tried.text);
  assert.deepEqual(
    (tried.body.changes as { kind: string }[]).map((c) => c.kind),
    ['logical-switch', 'tenant'],
  );
  assert.equal(model.size, 0);
  const done = await ask('POST', '/v1/transactions?wait=applied', { operations: [port, tenant] });
  assert.equal(done.status, 200, done.text);
  assert.equal(done.body.revision, 1);
  assert.deepEqual((done.body.results as { id: string }[])[1], { op: 'create', kind: 'tenant', id: ID });
  assert.equal((done.body.realization as { realized: boolean }).realized, true);
  const bad: [unknown, string, number | undefined, string][] = [
    [{ operations: [tenant, { ...port, spec: { name: 'x' } }] }, 'object-exists', 0, '/id'],
    [
      { operations: [port, { op: 'patch', kind: 'tenant', id: ID, patch: { nam: 'x' } }] },
      'bad-object',
      1,
      '/nam',
    ],
    [{ operations: [{ op: 'upsert', kind: 'tenant' }] }, 'bad-object', 0, '/op'],
    [{ operations: [{ op: 'delete', kind: 'tenant', id: ID, cascad: true }] }, 'bad-object', 0, '/cascad'],
    [{ operations: [{ op: 'delete', kind: 'tennant', id: ID }] }, 'bad-object', 0, '/kind'],
    [{ operations: [null] }, 'bad-object', 0, '/op'],
    [{ operations: 7 }, 'bad-object', undefined, '/operations'],
    [[], 'bad-object', undefined, ''],
  ];
  for (const [body, code, operation, member] of bad) {
    const reply = await ask('POST', '/v1/transactions', body);
    assert.deepEqual(
      [reply.body.code, reply.body.operation, reply.body.member],
      [code, operation, member],
      JSON.stringify(body),
    );
  }
  assert.equal(model.revision, 1);
});

test('a full disk is answered as such, and nothing is changed', async () => {
  const { ask, file } = await makeApi();
  file.room = 5;
  const reply = await ask('POST', '/v1/tenants', { name: 'red' });
  assert.deepEqual([reply.status, reply.body.code], [507, 'store-full']);
  assert.match(String(reply.body.remedy), /make room/);
  assert.deepEqual((await ask('GET', '/v1/tenants')).body.items, []);
});

test('trace and why hand the question on, for ports that the asker has', async () => {
  const api = await makeApi();
  const red = await makeTenant(api, 'red');
  const port = red.ids['logical-port'];
  const trace = { from: port, to: port, flow: 'tcp' };
  const full = await api.ask('POST', '/v1/trace', trace);
  assert.deepEqual([full.status, full.body.verdict], [200, `${port} > ${port}`]);
  assert.match(full.text, /internals/);
  assert.doesNotMatch((await api.ask('POST', '/v1/trace', trace, {}, red.token)).text, /internals/);
  assert.equal((await api.ask('POST', '/v1/why', { object: port }, {}, red.token)).status, 200);
  assert.equal((await api.ask('POST', '/v1/why', { node: 'h1', flow: 'x' })).status, 200);
  assert.equal((await api.ask('POST', '/v1/why', { node: 'h1', flow: 'x' }, {}, red.token)).status, 403);
  assert.equal((await api.ask('POST', '/v1/why', { node: 'h1' })).status, 422);
});
