/** The server on real sockets: where it listens, TLS, limits, and who fails to say who they are. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { request } from 'node:https';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { MemoryFile } from '../controller/store/testing/memory-file.ts';
import { makeApi, OPERATOR_TOKEN } from './testing/harness.ts';

const dir = mkdtempSync(join(tmpdir(), 'weft-api-'));
const open = new Set<{ close(): Promise<void> }>();
after(async () => {
  for (const server of open) await server.close();
  rmSync(dir, { recursive: true, force: true });
});

const openssl = spawnSync('openssl', ['version']).status === 0;
const bearer = { authorization: `Bearer ${OPERATOR_TOKEN}` };

function certificate(name: string): { key: string; cert: string } {
  const key = join(dir, `${name}.key`);
  const cert = join(dir, `${name}.crt`);
  const made = spawnSync('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'],
    ...[
      '-keyout',
      key,
      '-out',
      cert,
      '-subj',
      `/CN=${name}`,
      '-addext',
      'subjectAltName=DNS:localhost,IP:127.0.0.1',
    ],
  ]);
  assert.equal(made.status, 0, String(made.stderr));
  return { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') };
}

test('beyond this machine it listens with TLS, or when told that it may be insecure', async () => {
  const { server } = await makeApi();
  for (const host of ['0.0.0.0', '::', '192.0.2.1', 'example.org'])
    await assert.rejects(server.listen({ host, port: 0 }), { code: 'api-exposed' });
  open.add(server);
  assert.match(
    await server.listen({ host: '0.0.0.0', port: 0, insecure: true }),
    /^http:\/\/0\.0\.0\.0:\d+$/,
  );
});

test('an address that is taken is told', async () => {
  const first = await makeApi();
  open.add(first.server);
  const { port } = new URL(await first.server.listen({ port: 0 }));
  const second = await makeApi();
  await assert.rejects(second.server.listen({ port: Number(port) }), (error: Error & { code: string }) => {
    assert.equal(error.code, 'api-address');
    assert.match(error.message, new RegExp(`127.0.0.1 port ${port}.*EADDRINUSE`));
    return true;
  });
});

test('over TLS it answers, and takes a new certificate without ending connections', {
  skip: !openssl && 'needs openssl',
}, async () => {
  const first = certificate('first');
  const second = certificate('second');
  let files = first;
  const { server } = await makeApi({ tls: () => files });
  open.add(server);
  const base = await server.listen({ host: '0.0.0.0', port: 0 });
  assert.match(base, /^https:/);
  const { port } = new URL(base);
  const subject = (ca: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const asking = request({ host: '127.0.0.1', port, path: '/healthz', ca, agent: false }, (reply) => {
        const { socket } = reply;
        resolve(
          'getPeerCertificate' in socket && typeof socket.getPeerCertificate === 'function'
            ? socket.getPeerCertificate().subject.CN
            : '',
        );
        reply.resume();
      });
      asking.on('error', reject).end();
    });
  assert.equal(await subject(first.cert), 'first');
  files = second;
  server.reloadTls();
  assert.equal(await subject(second.cert), 'second');
  await assert.rejects(subject(first.cert));
  files = { key: 'no key', cert: 'no certificate' };
  assert.throws(() => server.reloadTls());
  assert.equal(await subject(second.cert), 'second');
});

test('who fails too often is slowed down, and a good token gets through all the same', async () => {
  const { server, clock, ask } = await makeApi();
  open.add(server);
  const base = await server.listen({ port: 0 });
  const attempt = (token: string) =>
    fetch(`${base}/v1/whoami`, { headers: { authorization: `Bearer ${token}` } });
  const statuses: number[] = [];
  for (let i = 0; i < 25; i++) statuses.push((await attempt(`guess${i}`)).status);
  assert.deepEqual(
    [statuses.filter((s) => s === 401).length, statuses.filter((s) => s === 429).length],
    [20, 5],
  );
  const slowed = await attempt('guess');
  assert.equal(slowed.headers.get('retry-after'), '1');
  assert.equal((await attempt(OPERATOR_TOKEN)).status, 200);
  clock.move(3000);
  assert.equal((await attempt('guess')).status, 401);
  assert.match((await ask('GET', '/metrics')).text, /weft_api_refused_tokens_total 27\n/);
});

test("a stranger's body is not read", async () => {
  const { server } = await makeApi();
  open.add(server);
  const { port, hostname } = new URL(await server.listen({ port: 0 }));
  const socket = connect(Number(port), hostname);
  socket.write(
    'POST /v1/tenants HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{',
  );
  let text = '';
  for await (const chunk of socket) {
    text += chunk;
    if (text.includes('\r\n\r\n')) break;
  }
  assert.match(text, /^HTTP\/1\.1 401/);
});

test('bytes that are no HTTP do no harm', async () => {
  const { server } = await makeApi();
  open.add(server);
  const base = await server.listen({ port: 0 });
  const { port, hostname } = new URL(base);
  for (const bytes of [
    '\u0000\u0001\u0002\r\n\r\n',
    'GET\r\n\r\n',
    `GET / HTTP/1.1\r\nX: ${'y'.repeat(100_000)}\r\n\r\n`,
    'POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n',
  ]) {
    const socket = connect(Number(port), hostname);
    socket.on('error', () => undefined);
    socket.end(bytes);
    await new Promise((resolve) => socket.on('close', resolve).resume());
  }
  assert.equal((await fetch(`${base}/healthz`)).status, 200);
});

test('tokens are made, listed and revoked; their secret is told once', async () => {
  const file = new MemoryFile();
  const { ask, create } = await makeApi({}, file);
  const tenant = await create('tenant', { name: 'red' });
  const made = await ask('POST', '/v1/tokens', { role: 'tenant', tenant, description: 'CI' });
  assert.equal(made.status, 201, made.text);
  const { token, ...info } = made.body;
  assert.match(String(token), /^weft_/);
  const listed = await ask('GET', '/v1/tokens');
  assert.deepEqual(listed.body.items, [info]);
  assert.doesNotMatch(new TextDecoder().decode(file.bytes), new RegExp(String(token).split('_').pop()!));
  const again = await makeApi({}, file);
  const who = await again.ask('GET', '/v1/whoami', undefined, {}, String(token));
  assert.deepEqual([who.body.role, who.body.tenant], ['tenant', tenant]);
  assert.equal((await again.ask('DELETE', `/v1/tokens/${info.id}`)).status, 204);
  assert.equal((await again.ask('GET', '/v1/whoami', undefined, {}, String(token))).status, 401);
  assert.equal((await again.ask('GET', `/v1/tokens/${info.id}`)).status, 404);
  const bad: [object, string][] = [
    [{ role: 'tenant' }, '/tenant'],
    [{ role: 'operator', tenant }, '/tenant'],
    [{ role: 'node' }, '/node'],
    [{ role: 'root' }, '/role'],
    [{ role: 'tenant', tenant: tenant.replace('1', '9') }, '/tenant'],
    [{}, '/role'],
  ];
  for (const [body, member] of bad) {
    const reply = await ask('POST', '/v1/tokens', body);
    assert.deepEqual([reply.status, reply.body.member], [422, member], JSON.stringify(body));
  }
});

test("a tenant's tokens are gone with it, also for a tenant of the same id", async () => {
  const { ask, create, tokenOf, tokens } = await makeApi();
  const tenant = await create('tenant', { name: 'red' });
  const token = await tokenOf(tenant);
  assert.equal((await ask('DELETE', `/v1/tenants/${tenant}`)).status, 204);
  await ask('PUT', `/v1/tenants/${tenant}`, { name: 'red again' });
  assert.equal((await ask('GET', '/v1/whoami', undefined, {}, token)).status, 401);
  assert.deepEqual(tokens.list(), []);
});

test("agents' tokens are good for their node only", async () => {
  const { tokens } = await makeApi();
  const { token } = await tokens.make({ role: 'node', node: 'h1' });
  assert.deepEqual(
    [tokens.verifyNode('h1', token), tokens.verifyNode('h2', token), tokens.verifyNode('h1', OPERATOR_TOKEN)],
    [true, false, false],
  );
});

test('figures are told by route, in the form that Prometheus reads', async () => {
  const { ask, create } = await makeApi();
  await create('tenant', { name: 'red' });
  await ask('GET', '/v1/tenants/x"y');
  await ask('GET', '/v1/nothing-here');
  const { text, headers } = await ask('GET', '/metrics');
  assert.match(String(headers['content-type']), /^text\/plain; version=0\.0\.4/);
  assert.match(text, /weft_objects\{kind="tenant"\} 1\n/);
  assert.match(text, /weft_api_requests_total\{method="GET",route="\/v1\/tenants\/:id",status="404"\} 1\n/);
  for (const line of text.trimEnd().split('\n'))
    assert.match(line, /^(# (HELP|TYPE) weft_\w+ .+|weft_\w+(\{(\w+="([^"\\\n]|\\.)*",?)*\})? [0-9.e+-]+)$/);
});

test('a bug is answered as such, and tells nothing of the inside', async () => {
  const { model, server, ask } = await makeApi();
  model.write = () => Promise.reject(new TypeError('secret of the inside'));
  const reply = await ask('POST', '/v1/tenants', { name: 'x' });
  assert.deepEqual([reply.status, reply.body.code], [500, 'internal-error']);
  assert.doesNotMatch(reply.text, /secret/);
  assert.equal((await server.app.inject({ url: '/healthz', headers: bearer })).statusCode, 200);
});
