/** Watches, over real sockets. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { after, test } from 'node:test';
import type { ApiServerOptions } from './server.ts';
import { makeApi, makeTenant, OPERATOR_TOKEN } from './testing/harness.ts';

interface Told {
  readonly id: number;
  readonly event: string;
  readonly data: {
    readonly revision: number;
    readonly changes?: readonly { op: string; kind: string; id: string }[];
  };
}

const open = new Set<{ close(): Promise<void> }>();
after(async () => {
  for (const server of open) await server.close();
});

async function listening(watchLimits: ApiServerOptions['watchLimits'] = {}) {
  const api = await makeApi({ watchLimits });
  const base = await api.server.listen({ port: 0 });
  open.add(api.server);
  return { ...api, base };
}

/** Follows a watch: `next` is the next event. */
async function watch(base: string, query = '', token = OPERATOR_TOKEN, headers: Record<string, string> = {}) {
  const aborter = new AbortController();
  const reply = await fetch(`${base}/v1/watch${query}`, {
    headers: { authorization: `Bearer ${token}`, ...headers },
    signal: aborter.signal,
  });
  assert.equal(reply.headers.get('content-type'), 'text/event-stream');
  const reader = reply.body!.getReader();
  let text = '';
  async function next(): Promise<Told | undefined> {
    for (;;) {
      const end = text.indexOf('\n\n');
      if (end < 0) {
        const { done, value } = await reader.read();
        if (done) return undefined;
        text += new TextDecoder().decode(value);
        continue;
      }
      const block = text.slice(0, end);
      text = text.slice(end + 2);
      const fields = new Map(block.split('\n').map((line) => line.split(/: (.*)/s, 2) as [string, string]));
      if (!fields.has('event')) continue;
      return {
        id: Number(fields.get('id')),
        event: fields.get('event')!,
        data: JSON.parse(fields.get('data')!),
      };
    }
  }
  return { next, end: () => aborter.abort() };
}

test('a watch tells every change after it began, in order', async () => {
  const { base, create, model } = await listening();
  await create('tenant', { name: 'before' });
  const watched = await watch(base);
  assert.deepEqual(await watched.next(), { id: 1, event: 'ready', data: { revision: 1 } });
  const id = await create('tenant', { name: 'red' });
  await model.write([{ op: 'patch', kind: 'tenant', id, patch: { name: 'blue' } }], { role: 'operator' });
  await model.write([{ op: 'delete', kind: 'tenant', id }], { role: 'operator' });
  const seen: string[] = [];
  for (let i = 0; i < 3; i++) {
    const told = (await watched.next())!;
    seen.push(`${told.id} ${told.event} ${told.data.changes!.map((c) => `${c.op} ${c.kind}`).join()}`);
  }
  assert.deepEqual(seen, ['2 change created tenant', '3 change updated tenant', '4 change deleted tenant']);
  watched.end();
});

test('a watch goes on where it broke off, and says when it cannot', async () => {
  const { base, create } = await listening();
  for (const name of ['a', 'b', 'c']) await create('tenant', { name });
  const again = await watch(base, '', OPERATOR_TOKEN, { 'last-event-id': '1' });
  assert.deepEqual((await again.next())!.data, { revision: 1 });
  assert.deepEqual([(await again.next())!.id, (await again.next())!.id], [2, 3]);
  again.end();
  const since = await watch(base, '?since=2&kinds=tenant,acl');
  assert.deepEqual([(await since.next())!.event, (await since.next())!.id], ['ready', 3]);
  since.end();
  const future = await watch(base, '?since=99');
  assert.deepEqual(await future.next(), { id: 3, event: 'reset', data: { revision: 3 } });
  future.end();
});

test('a tenant is told of its own objects only, and of no revision of others', async () => {
  const api = await listening();
  const red = await makeTenant(api, 'red');
  const blue = await makeTenant(api, 'blue');
  const watched = await watch(api.base, '?since=0', red.token);
  const all = await watch(api.base, '?since=0&kinds=acl');
  assert.equal((await watched.next())!.event, 'ready');
  const end = await api.create('logical-switch', { name: 'end', tenant: red.ids.tenant });
  const seen = new Set<string>();
  for (let told = await watched.next(); told !== undefined; told = await watched.next()) {
    for (const { id } of told.data.changes!) seen.add(id);
    if (seen.has(end)) break;
  }
  assert.deepEqual([...seen].sort(), [...Object.values(red.ids).filter((id) => id !== ''), end].sort());
  await all.next();
  const acls = [(await all.next())!, (await all.next())!].flatMap((told) =>
    told.data.changes!.map((c) => c.id),
  );
  assert.deepEqual(acls, [red.ids.acl, blue.ids.acl]);
  watched.end();
  all.end();
});

test('a watch ends with the token that it came by', async () => {
  const { base, create, tokens, model } = await listening();
  const tenant = await create('tenant', { name: 'red' });
  const first = await tokens.make({ role: 'tenant', tenant });
  const second = await tokens.make({ role: 'tenant', tenant });
  const watched = await watch(base, '', first.token);
  const other = await watch(base, '', second.token);
  await watched.next();
  await other.next();
  await tokens.revoke(first.info.id);
  assert.equal(await watched.next(), undefined);
  await model.write([{ op: 'delete', kind: 'tenant', id: tenant }], { role: 'operator' });
  assert.equal(await other.next(), undefined);
});

test('a reader that does not read is cut off, and costs no more than its bound', async () => {
  const { base, create, clock, server, model } = await listening({ waiting: 100_000 });
  const { port, hostname } = new URL(base);
  const socket = connect(Number(port), hostname);
  await once(socket, 'connect');
  socket.write(`GET /v1/watch HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${OPERATOR_TOKEN}\r\n\r\n`);
  await once(socket, 'data');
  socket.pause();
  const watches = (): string => /weft_api_watches (\d+)/.exec(server.metrics.text())![1];
  assert.equal(watches(), '1');
  const id = await create('tenant', { name: 'red' });
  const tags = Object.fromEntries(Array.from({ length: 32 }, (_, i) => [`tag${i}`, 'x'.repeat(256)]));
  for (let i = 0; watches() === '1'; i++) {
    assert.ok(i < 5000, 'it was never cut off');
    await model.write([{ op: 'patch', kind: 'tenant', id, patch: { tags: { ...tags, tag0: `${i}` } } }], {
      role: 'operator',
    });
    // Hand it to the kernel, as far as that takes it.
    if (i % 50 === 0) await new Promise(setImmediate);
  }
  clock.move(60_000);
  assert.equal(watches(), '0');
  socket.destroy();
});

test('a reader is told to list again where the changes are more than it could be handed', async () => {
  const { base, create, model } = await listening({ waiting: 20_000 });
  const operator = { role: 'operator' } as const;
  const many = (): Promise<unknown> =>
    model.write(
      Array.from({ length: 100 }, (_, i) => ({
        op: 'create' as const,
        kind: 'tenant' as const,
        spec: { name: `${model.revision}-${i}`, description: 'x'.repeat(200) },
      })),
      operator,
    );
  await create('tenant', { name: 'red' });
  const watched = await watch(base, '?since=1');
  assert.equal((await watched.next())!.event, 'ready');
  await many();
  assert.deepEqual(await watched.next(), { id: 2, event: 'reset', data: { revision: 2 } });
  await create('tenant', { name: 'blue' });
  assert.deepEqual([(await watched.next())!.id, model.revision], [3, 3]);
  watched.end();
  const behind = await watch(base, '?since=1');
  assert.deepEqual(await behind.next(), { id: 3, event: 'reset', data: { revision: 3 } });
  await create('tenant', { name: 'green' });
  assert.equal((await behind.next())!.id, 4);
  behind.end();
});

test('no tenant takes all watches', async () => {
  const api = await listening({ watches: 20, ofTenant: 2 });
  const red = await makeTenant(api, 'red');
  const blue = await makeTenant(api, 'blue');
  const open = [await watch(api.base, '', red.token), await watch(api.base, '', red.token)];
  const reply = await fetch(`${api.base}/v1/watch`, { headers: { authorization: `Bearer ${red.token}` } });
  assert.equal(reply.status, 429);
  assert.match(((await reply.json()) as { detail: string }).detail, /^2 watches of this tenant are open$/);
  open.push(await watch(api.base, '', blue.token), await watch(api.base));
  for (const one of open) one.end();
});

test('watches are bounded in number', async () => {
  const { base, server } = await listening({ watches: 20 });
  const watches: Awaited<ReturnType<typeof watch>>[] = [];
  for (let i = 0; i < 20; i++) watches.push(await watch(base));
  const reply = await fetch(`${base}/v1/watch`, { headers: { authorization: `Bearer ${OPERATOR_TOKEN}` } });
  assert.equal(reply.status, 429);
  assert.equal(((await reply.json()) as { code: string }).code, 'too-many-watchers');
  await server.close();
  assert.equal((await watches[0].next())?.event, 'ready');
  assert.equal(await watches[0].next(), undefined);
});
