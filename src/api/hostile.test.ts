/** Requests that nobody should send: the server answers each with what is wrong, and lives on. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { KIND_NAMES, KINDS, type KindName, type Stored } from '../api-schema/kinds.ts';
import type { Model } from '../controller/model/model.ts';
import { OPERATOR, type Principal } from '../controller/model/principal.ts';
import { makeModel } from '../controller/model/testing/fixture.ts';
import type { Method } from './route.ts';
import { type Answer, makeApi, makeTenant } from './testing/harness.ts';

interface Node {
  readonly type?: string;
  readonly const?: unknown;
  readonly anyOf?: readonly Node[];
  readonly properties?: Readonly<Record<string, Node>>;
  readonly required?: readonly string[];
  readonly items?: Node;
  readonly format?: string;
}

/** Values that fit a schema's form but seldom its meaning, with members of wrong types strewn in. */
function arbitrary(node: Node, ids: readonly string[]): fc.Arbitrary<unknown> {
  const wrong = fc.oneof(
    fc.jsonValue({ maxDepth: 3 }),
    fc.constantFrom('', ' ', '\u0000', '__proto__', 'constructor', -1, 1e308, null, [], {}, '1'.repeat(2000)),
  );
  return fc.oneof({ weight: 12, arbitrary: fitting(node, ids) }, { weight: 1, arbitrary: wrong });
}

function fitting(node: Node, ids: readonly string[]): fc.Arbitrary<unknown> {
  if (node.const !== undefined) return fc.constant(node.const);
  if (node.anyOf !== undefined) return fc.oneof(...node.anyOf.map((branch) => arbitrary(branch, ids)));
  switch (node.type) {
    case 'object': {
      const members = Object.entries(node.properties ?? {}).map(([name, member]) => [
        name,
        arbitrary(member, ids),
      ]);
      const model = Object.fromEntries(members) as Record<string, fc.Arbitrary<unknown>>;
      if (members.length === 0)
        return fc.dictionary(fc.string({ maxLength: 5 }), fc.string({ maxLength: 5 }));
      return fc.record(model, { requiredKeys: [...(node.required ?? [])] });
    }
    case 'array':
      return fc.array(arbitrary(node.items ?? {}, ids), { maxLength: 4 });
    case 'integer':
    case 'number':
      return fc.oneof(fc.nat(1100), fc.integer());
    case 'boolean':
      return fc.boolean();
    default:
      return node.format === 'uuid'
        ? fc.oneof({ weight: 5, arbitrary: fc.constantFrom(...ids) }, fc.uuid())
        : fc.oneof(
            fc.string({ unit: 'binary', maxLength: 20 }),
            fc.constantFrom(
              '02:00:00:00:00:33',
              '10.0.0.44',
              '10.0.0.0/24',
              '10.3.0.1/24',
              'fd00::/64',
              'fd00::7',
              '80-90',
              'web',
              'p',
            ),
          );
  }
}

function checkRefusal(reply: Answer, of: string): void {
  assert.ok(reply.status < 500, `${of}: ${reply.text}`);
  if (reply.status < 300) return;
  assert.match(String(reply.headers['content-type']), /^application\/problem\+json/, of);
  const { status, code, detail, remedy, type } = reply.body;
  assert.equal(status, reply.status, of);
  assert.equal(type, `urn:weft:error:${code}`, of);
  for (const text of [detail, remedy])
    assert.ok(typeof text === 'string' && text !== '' && text.length < 1000, `${of}: ${reply.text}`);
}

test('objects at random are taken or refused with reasons, and what is taken reads back the same', async () => {
  const api = await makeApi();
  const red = await makeTenant(api, 'red');
  const ids = Object.values(red.ids).filter((id) => id !== '');
  const sent = fc
    .constantFrom<KindName>(...KIND_NAMES)
    .chain((kind) => arbitrary(KINDS[kind].schema as Node, ids).map((spec) => ({ kind, spec })));
  let taken = 0;
  await fc.assert(
    fc.asyncProperty(sent, fc.boolean(), async ({ kind, spec }, patch) => {
      const { path } = KINDS[kind];
      const id = red.ids[kind];
      const url = patch && id !== '' ? `/v1/${path}/${id}` : `/v1/${path}`;
      const before = api.model.revision;
      const reply = await api.ask(patch && id !== '' ? 'PATCH' : 'POST', url, spec);
      checkRefusal(reply, `${url} ${JSON.stringify(spec)}`);
      if (reply.status >= 300) {
        assert.equal(api.model.revision, before);
        return;
      }
      taken++;
      const item = `/v1/${path}/${reply.body.id}`;
      const again = await api.ask('PUT', item, (await api.ask('GET', item)).body);
      assert.equal(again.status, 200, again.text);
      assert.deepEqual(again.body, reply.body);
    }),
    { numRuns: 1500 },
  );
  assert.ok(taken > 20, `${taken} taken`);
  await checkReload(api);
});

/** What is kept in memory, with all that finds it, is what a fresh start reads. */
async function checkReload({ model, file }: Awaited<ReturnType<typeof makeApi>>): Promise<void> {
  const { model: fresh } = await makeModel({}, file);
  const all = (of: Model): Stored[] => [...of.objects()].sort((a, b) => (a.id < b.id ? -1 : 1));
  assert.deepEqual(all(model), all(fresh));
  const tenants: Principal[] = model.ids('tenant', OPERATOR).map((tenant) => ({ role: 'tenant', tenant }));
  for (const principal of [OPERATOR, ...tenants]) {
    for (const kind of KIND_NAMES) assert.deepEqual(model.ids(kind, principal), fresh.ids(kind, principal));
    for (const { id } of model.objects())
      assert.deepEqual(
        [...model.referrers(id, principal)].sort(),
        [...fresh.referrers(id, principal)].sort(),
      );
  }
}

test('transactions at random are taken or refused as a whole', async () => {
  const api = await makeApi();
  const red = await makeTenant(api, 'red');
  const ids = Object.values(red.ids).filter((id) => id !== '');
  const operation = fc.record(
    {
      op: fc.constantFrom('create', 'replace', 'patch', 'delete', 'x'),
      kind: fc.oneof({ weight: 20, arbitrary: fc.constantFrom<string>(...KIND_NAMES) }, fc.string()),
      id: fc.constantFrom(...ids, 'x'),
      spec: arbitrary(KINDS['logical-port'].schema as Node, ids),
      patch: fc.jsonValue({ maxDepth: 2 }),
      ifRevision: fc.nat(9),
      cascade: fc.boolean(),
    },
    { requiredKeys: ['op', 'kind'] },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { maxLength: 4 }), async (operations) => {
      const before = api.model.revision;
      const reply = await api.ask('POST', '/v1/transactions', { operations });
      checkRefusal(reply, JSON.stringify(operations));
      if (reply.status !== 200) assert.equal(api.model.revision, before);
    }),
    { numRuns: 400 },
  );
  await checkReload(api);
});

test('bodies that are no JSON, or too large, or nested without end, are refused', async () => {
  const api = await makeApi({ bodyLimit: 300_000 });
  const cases: [string, number][] = [
    ['', 400],
    ['{', 400],
    ['nul', 400],
    ['{"name":"x"}}', 400],
    ['"x"', 422],
    ['[1]', 422],
    ['null', 422],
    ['[]', 422],
    [`{"name":"${'x'.repeat(400_000)}"}`, 413],
    ['['.repeat(100_000) + ']'.repeat(100_000), 422],
    [`${'{"name":'.repeat(30_000)}1${'}'.repeat(30_000)}`, 422],
    [`${'{"description":'.repeat(15_000)}1${'}'.repeat(15_000)}`, 422],
    ['{"__proto__":{"name":"x"}}', 422],
    ['{"name":"x","constructor":1}', 422],
    ['{"name":"x","tags":{"__proto__":"y"}}', 422],
    ['{"name":"x","id":{"a":1}}', 422],
    ['{"name":"x","id":"../../tenants"}', 422],
  ];
  const { body } = await api.ask('POST', '/v1/tenants', { name: 'there' });
  for (const [text, status] of cases) {
    for (const [method, url] of [
      ['POST', '/v1/tenants'],
      ['PATCH', `/v1/tenants/${body.id}`],
    ] as [Method, string][]) {
      const reply = await api.ask(method, url, text);
      checkRefusal(reply, text.slice(0, 40));
      if (method === 'POST')
        assert.equal(reply.status, status, `${text.slice(0, 40)}: ${reply.text.slice(0, 200)}`);
      else
        assert.ok(
          reply.status === status || reply.status === 200 || reply.status === 422,
          reply.text.slice(0, 200),
        );
    }
  }
  assert.deepEqual(Object.keys(Object.prototype), []);
});

test('other media types, methods, paths and parameters are refused in the same form', async () => {
  const { ask } = await makeApi();
  const cases: [Method, string, unknown, Record<string, string>, number, string][] = [
    [
      'POST',
      '/v1/tenants',
      'name=x',
      { 'content-type': 'application/x-www-form-urlencoded' },
      415,
      'unsupported-media-type',
    ],
    ['POST', '/v1/tenants', '<x/>', { 'content-type': 'text/xml' }, 415, 'unsupported-media-type'],
    ['PUT', '/v1/tenants', {}, {}, 405, 'method-not-allowed'],
    ['DELETE', '/healthz', undefined, {}, 405, 'method-not-allowed'],
    ['GET', '/v1/tennants', undefined, {}, 404, 'no-route'],
    ['GET', '/', undefined, {}, 404, 'no-route'],
    ['GET', `/v1/tenants/${'x'.repeat(5000)}`, undefined, {}, 400, 'bad-request'],
    ['GET', '/v1/tenants/%2e%2e%2f', undefined, {}, 404, 'object-not-found'],
    ['GET', '/v1/tenants/%', undefined, {}, 400, 'bad-request'],
    ['GET', '/v1/whoami?x=1', undefined, {}, 400, 'bad-request'],
    ['GET', '/v1/watch?kinds=x', undefined, {}, 400, 'bad-request'],
    ['GET', '/v1/watch?since=-1', undefined, {}, 400, 'bad-request'],
  ];
  for (const [method, url, body, headers, status, code] of cases) {
    const reply = await ask(method, url, body, headers);
    checkRefusal(reply, url);
    assert.deepEqual(
      [reply.status, reply.body.code],
      [status, code],
      `${method} ${url.slice(0, 60)}: ${reply.text}`,
    );
  }
  assert.equal((await ask('PUT', '/v1/tenants', {})).headers.allow, 'GET, POST');
});
