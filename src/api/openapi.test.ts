/** The OpenAPI document, and what it says of every route, tried on every route. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { KIND_NAMES, type KindName } from '../api-schema/kinds.ts';
import type { Method } from './route.ts';
import { makeApi, makeTenant, OPERATOR_TOKEN } from './testing/harness.ts';

interface Operation {
  readonly operationId: string;
  readonly 'x-access': 'public' | 'any' | 'operator';
  readonly parameters: readonly { readonly name: string; readonly in: string }[];
  readonly requestBody?: unknown;
  readonly responses: Readonly<Record<string, unknown>>;
}
interface Document {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: Readonly<Record<'schemas' | 'responses', Readonly<Record<string, unknown>>>>;
}

async function documentOf(): Promise<Document> {
  const { ask } = await makeApi();
  const reply = await ask('GET', '/openapi.json', undefined, {}, '');
  assert.equal(reply.status, 200);
  return reply.body as unknown as Document;
}

function* operations(document: Document): Iterable<{ method: Method; path: string; operation: Operation }> {
  for (const [path, methods] of Object.entries(document.paths))
    for (const [method, operation] of Object.entries(methods))
      yield { method: method.toUpperCase() as Method, path, operation };
}

test('docs/openapi.json is what the server serves', async () => {
  const written = JSON.parse(readFileSync(new URL('../../docs/openapi.json', import.meta.url), 'utf8'));
  assert.deepEqual(written, await documentOf(), 'run "node src/api/testing/write-openapi.ts"');
});

test('the document is sound: its references lead somewhere, its names are unique, its paths complete', async () => {
  const document = await documentOf();
  assert.equal(document.openapi, '3.1.0');
  const refs = [...JSON.stringify(document).matchAll(/"\$ref":"#\/components\/(schemas|responses)\/(\w+)"/g)];
  assert.ok(refs.length > 50);
  for (const [, part, name] of refs)
    assert.ok(Object.hasOwn(document.components[part as 'schemas' | 'responses'], name), name);
  const names = new Set<string>();
  for (const { path, method, operation } of operations(document)) {
    assert.ok(!names.has(operation.operationId), operation.operationId);
    names.add(operation.operationId);
    const declared = operation.parameters.filter((p) => p.in === 'path').map((p) => p.name);
    assert.deepEqual(
      declared,
      [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name),
      path,
    );
    assert.equal(operation.requestBody !== undefined, ['POST', 'PUT', 'PATCH'].includes(method), path);
  }
  for (const kind of KIND_NAMES)
    assert.match(JSON.stringify(document.components.schemas), new RegExp(`"const":"${kind}"`));
});

/** Paths with objects of somebody in them. */
function fill(path: string, ids: Readonly<Record<KindName, string>>, other: string): string[] {
  if (!path.includes('{')) return [path];
  const found = Object.values(ids).filter((id) => id !== '');
  return [...found, other].map((id) => path.replace(/\{\w+\}/, id));
}

test('no route answers without a good token, but those that are open to all', async () => {
  const document = await documentOf();
  const { ask, tokens } = await makeApi();
  const revoked = await tokens.make({ role: 'operator' });
  await tokens.revoke(revoked.info.id);
  const node = await tokens.make({ role: 'node', node: 'h1' });
  for (const { method, path, operation } of operations(document)) {
    const url = path.replace(/\{\w+\}/, '1');
    for (const token of ['', 'x', OPERATOR_TOKEN.slice(1), revoked.token]) {
      const reply = await ask(method, url, operation.requestBody === undefined ? undefined : {}, {}, token);
      if (operation['x-access'] === 'public') assert.equal(reply.status, 200);
      else assert.ok([401, 429].includes(reply.status), `${method} ${path} ${token}: ${reply.text}`);
    }
    if (operation['x-access'] === 'public') continue;
    const reply = await ask(
      method,
      url,
      operation.requestBody === undefined ? undefined : {},
      {},
      node.token,
    );
    assert.deepEqual([reply.status, reply.body.code], [403, 'not-allowed'], `${method} ${path}`);
  }
});

test("with another tenant's token no route tells or touches anything of a tenant", async () => {
  const document = await documentOf();
  const api = await makeApi();
  const red = await makeTenant(api, 'red');
  const blue = await makeTenant(api, 'blue');
  const nobody = '99999999-0000-4000-8000-000000000000';
  await api.tokens.make({ role: 'tenant', tenant: red.ids.tenant, description: 'of red' });
  const before = JSON.stringify([...api.model.objects()]);
  let asked = 0;
  const bodies: Readonly<Record<string, unknown>> = {
    transact: {
      operations: KIND_NAMES.flatMap((kind) =>
        red.ids[kind] === '' ? [] : [{ op: 'delete', kind, id: red.ids[kind] }],
      ),
    },
    trace: { from: red.ids['logical-port'], to: blue.ids['logical-port'] },
    why: { object: red.ids['logical-port'] },
    makeToken: { role: 'tenant', tenant: red.ids.tenant },
  };
  const secret = new RegExp(
    [...Object.values(red.ids).filter((id) => id !== ''), 'of red', '"red"'].join('|'),
  );
  for (const { method, path, operation } of operations(document)) {
    if (operation['x-access'] === 'public' || operation.operationId === 'watch') continue;
    const name = operation.operationId;
    const spec =
      name.startsWith('replace') || name.startsWith('create') ? specOf(path, red.ids) : { description: 'x' };
    const body = operation.requestBody === undefined ? undefined : (bodies[name] ?? spec);
    for (const url of fill(path, red.ids, nobody)) {
      const reply = await api.ask(method, url, body, {}, blue.token);
      asked++;
      assert.ok(reply.status < 500, `${method} ${url}: ${reply.text}`);
      // What the asker has said itself may come back, in the path and in the body.
      const said = `${url}${JSON.stringify(body) ?? ''}`;
      const told = reply.text
        .split('"')
        .filter((word) => secret.test(word) && !said.includes(word.replaceAll('\\', '')));
      assert.deepEqual(told, [], `${method} ${url}: ${reply.text}`);
      if (path.includes('{id}') && operation['x-access'] === 'any') {
        assert.ok([404, 422].includes(reply.status), `${method} ${url}: ${reply.status} ${reply.text}`);
        if (reply.status === 404) continue;
        // Where the body is refused first, it is for what it refers to.
        assert.equal(reply.body.code, 'bad-reference', reply.text);
      }
      if (operation['x-access'] === 'operator') assert.equal(reply.status, 403);
    }
  }
  assert.ok(asked > 200, `${asked} requests`);
  assert.equal(JSON.stringify([...api.model.objects()]), before);
});

/** A spec that would be right for the owner. */
function specOf(path: string, ids: Readonly<Record<KindName, string>>): object {
  const { tenant } = ids;
  const [on, router] = [ids['logical-switch'], ids['logical-router']];
  const specs: Readonly<Record<string, object>> = {
    'logical-switches': { name: 'x', tenant },
    'logical-routers': { name: 'x', tenant },
    'logical-ports': { name: 'x', switch: on },
    'router-ports': { name: 'x', router, switch: on, mac: '02:00:00:00:0f:01', networks: ['10.77.0.1/24'] },
    'static-routes': { router, prefix: '10.78.0.0/16', discard: true },
    acls: { switch: on, direction: 'to-port', priority: 1, match: {}, action: 'drop' },
    'address-bindings': { switch: on, mac: '02:00:00:00:0f:02' },
  };
  return specs[path.split('/')[2]] ?? { name: 'x' };
}

test('a tenant reads and changes what is its own', async () => {
  const api = await makeApi();
  const red = await makeTenant(api, 'red');
  await makeTenant(api, 'blue');
  const as = (method: Method, url: string, body?: unknown) => api.ask(method, url, body, {}, red.token);
  for (const [kind, path] of [
    ['tenant', 'tenants'],
    ['logical-switch', 'logical-switches'],
    ['acl', 'acls'],
  ] as const) {
    assert.deepEqual(
      (await as('GET', `/v1/${path}`)).body.items.map((item) => item.id),
      [red.ids[kind]],
    );
    assert.equal((await as('GET', `/v1/${path}/${red.ids[kind]}`)).status, 200);
  }
  assert.deepEqual((await as('GET', '/v1/transport-nodes')).body.items, []);
  const made = await as('POST', '/v1/logical-switches', { name: 'mine' });
  assert.deepEqual([made.status, made.body.tenant], [201, red.ids.tenant]);
  assert.equal((await as('PATCH', `/v1/tenants/${red.ids.tenant}`, { name: 'x' })).status, 403);
  assert.equal((await as('GET', '/v1/whoami')).body.tenant, red.ids.tenant);
  assert.equal((await as('GET', '/metrics')).status, 403);
});
