/** The other commands of `weft net`: status, trace, why, watch, tokens, completion; and the program itself. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { makeApi, makeTenant, OPERATOR_TOKEN } from '../../src/api/testing/harness.ts';
import { readEvents } from '../../src/cli/net/watch.ts';
import { makeNet } from './world.ts';

const weft = join(import.meta.dirname, '../../bin/weft');
let world: Awaited<ReturnType<typeof makeNet>>;
let red: Awaited<ReturnType<typeof makeTenant>>;
before(async () => {
  world = await makeNet();
  red = await makeTenant(world, 'red');
  const tunnels = [{ encapsulation: 'geneve', address: '192.0.2.1' }];
  await world.create('transport-node', { name: 'h1', systemId: 'h1', tunnels });
  await world.create('transport-node', {
    name: 'h2',
    systemId: 'h2',
    tunnels: [{ encapsulation: 'gre', address: '192.0.2.2' }],
  });
});
after(() => world.server.close());

async function ok(line: string, env?: Record<string, string>): Promise<string> {
  const said = await world.net(line, env === undefined ? {} : { env });
  assert.equal(said.code, 0, `weft net ${line}: ${said.err}`);
  return said.out;
}

test('status tells who asks, how the hosts are, and what is not live', async () => {
  const text = await ok('status');
  assert.match(text, /^http:\/\/127\.0\.0\.1:\d+, as the operator, revision \d+\n/);
  assert.match(text, /\nNODE +AGENT +CONFIRMED +FLOWS +VIFS\nh1 +connected +1 +3 +0\nh2 +never came\n/);
  assert.match(text, /\neverything is live\n$/);
  world.network.realized = false;
  assert.match(await ok('status'), /\nlogical port red\/web\/p is not live: h1 is away\n/);
  const json = JSON.parse(await ok('status --json'));
  assert.deepEqual([json.role, json.nodes.length, json.notRealized[0].kind], ['operator', 2, 'tenant']);
  world.network.realized = true;
  const tenant = await ok('status', { WEFT_API: world.base, WEFT_TOKEN: red.token });
  assert.match(tenant, /as tenant "red"/);
  assert.doesNotMatch(tenant, /h2/);
});

test('trace and why take names', async () => {
  const port = red.ids['logical-port'];
  assert.equal(await ok("trace p red/web/p 'tcp,tcp_dst=80'"), `on h1:\n${port} > ${port}\n`);
  assert.match(await ok('trace p p --verbose'), /\| internals\n/);
  assert.equal(JSON.parse(await ok('trace p p --json')).hops[0].node, 'h1');
  assert.equal(await ok('why port p'), `{"object":"${port}"}\n`);
  assert.equal(await ok("why --node h1 'table=12'"), '{"node":"h1","flow":"table=12"}\n');
  assert.equal((await world.net('trace p')).code, 2);
  assert.equal((await world.net('why p')).code, 2);
});

test('watch tells changes by name, and ends when it has told enough', async () => {
  const since = world.model.revision;
  const on = await world.create('logical-switch', { name: 'new', tenant: red.ids.tenant });
  await world.create('tenant', { name: 'other' });
  await world.model.write([{ op: 'delete', kind: 'logical-switch', id: on }], { role: 'operator' });
  const text = await ok(`watch --since ${since} --count 2 --tenant red`);
  assert.equal(
    text,
    `${since + 1} created logical switch red/new\n${since + 3} deleted logical switch red/new\n`,
  );
  const lines = (await ok(`watch --since ${since} --count 1 --kind tenant --json`)).trim().split('\n');
  assert.deepEqual([lines.length, JSON.parse(lines[0]).object.name], [1, 'other']);
  assert.equal((await world.net('watch --count 0')).code, 2);
  assert.match((await world.net('watch --count 1 --token x')).err, /token is not known/);
});

test('a watch takes up where a connection broke off', async () => {
  const since = world.model.revision;
  await world.create('tenant', { name: 'w1' });
  await world.create('tenant', { name: 'w2' });
  const asked: string[] = [];
  let connections = 0;
  const broken = (async (url: URL, init: RequestInit) => {
    asked.push(url.search);
    if (connections++ > 0) return fetch(url, init);
    const reply = await fetch(url, init);
    // The first event and the second, and then the line is dead.
    const events = readEvents(reply.body!);
    const body = new ReadableStream({
      async start(controller) {
        let n = 0;
        for await (const { id, event, data } of events) {
          controller.enqueue(new TextEncoder().encode(`id: ${id}\nevent: ${event}\ndata: ${data}\n\n`));
          if (++n === 2) break;
        }
        controller.error(new TypeError('terminated'));
      },
    });
    return new Response(body, { status: 200 });
  }) as typeof fetch;
  const said = await world.net(`watch --since ${since} --count 2`, { fetch: broken });
  assert.match(said.out, /created tenant w1\n.*created tenant w2\n$/s);
  assert.deepEqual(asked, [`?since=${since}`, `?since=${since + 1}`]);
});

test('events come whole however the bytes are cut', async () => {
  const bytes = new TextEncoder().encode(
    ': hi\n\nid: 1\nevent: a\ndata: {"x":"é"}\n\nid: 2\nevent: b\ndata: {}\n\nid: 3\nevent: c',
  );
  for (const size of [1, 2, 3, 7, 1000]) {
    async function* cut(): AsyncIterable<Uint8Array> {
      for (let at = 0; at < bytes.length; at += size) yield bytes.slice(at, at + size);
    }
    const events: string[] = [];
    for await (const { id, event, data } of readEvents(cut())) events.push(`${id} ${event} ${data}`);
    assert.deepEqual(events, ['1 a {"x":"é"}', '2 b {}']);
  }
});

test('tokens are made, listed and revoked', async () => {
  const made = await world.net("token make --tenant red --description 'for CI'");
  assert.match(made.out, /^weft_[0-9a-f-]{36}_[\w-]{43}\n$/);
  const id = made.out.split('_')[1];
  assert.match(await ok('token list'), new RegExp(`${id} +tenant +red +\\d{4}-.* +for CI\\n`));
  const env = { WEFT_API: world.base, WEFT_TOKEN: made.out.trim() };
  assert.match(await ok('list tenant', env), /^NAME +REALIZED\nred +yes\n$/);
  assert.match((await world.net('token list', { env })).err, /may not do this/);
  assert.equal(await ok(`token revoke ${id}`), `revoked ${id}\n`);
  assert.match((await world.net('list tenant', { env })).err, /token is not known/);
  assert.equal(JSON.parse(await ok('token make --node h1 --json')).node, 'h1');
  for (const line of [
    'token make',
    'token make --operator --node h1',
    'token mke',
    'token revoke',
    'token revoke x',
  ])
    assert.equal((await world.net(line)).code, 2, line);
});

test('completion knows commands, kinds, options, values and names', async () => {
  const complete = async (...words: string[]): Promise<string[]> => {
    const said = await world.net(`complete -- ${words.map((word) => `'${word}'`).join(' ')}`);
    return said.out.trim().split('\n');
  };
  assert.deepEqual(await complete('s'), ['set', 'show', 'status']);
  assert.deepEqual(await complete('create', 'logical-'), [
    'logical-port',
    'logical-router',
    'logical-switch',
  ]);
  assert.deepEqual(await complete('create', 'logical-port', 'x', '--p'), ['--port-security']);
  assert.deepEqual(await complete('create', 'logical-port', 'x', '--switch', ''), ['web']);
  assert.deepEqual(await complete('create', 'acl', '--action', 'al'), ['allow', 'allow-stateful']);
  assert.deepEqual(await complete('show', 'transport-node', ''), ['h1', 'h2']);
  assert.deepEqual(await complete('trace', ''), ['p']);
  assert.deepEqual(await complete('token', 'm'), ['make']);
  assert.deepEqual(await complete('list', 'port', '--tenant', 'r'), ['red']);
  assert.deepEqual(await complete('nonsense', ''), ['']);
  const dead = await world.net("complete -- show tenant ''", {
    env: { WEFT_API: 'http://127.0.0.1:3', WEFT_TOKEN: 'x' },
  });
  assert.deepEqual([dead.code, dead.out, dead.err], [0, '', '']);
});

const shells = ['bash', 'zsh', 'fish'].map((shell) => ({
  shell,
  there: spawnSync(shell, ['-c', 'true']).status === 0,
}));
for (const { shell, there } of shells)
  test(`the completion of ${shell} asks for what it completes`, {
    skip: !there && `needs ${shell}`,
  }, async () => {
    const script = await ok(`completion ${shell}`);
    const dir = mkdtempSync(join(tmpdir(), 'weft-net-'));
    try {
      const fake = join(dir, 'weft');
      writeFileSync(fake, '#!/bin/sh\necho "$@" | tr " " "\\n" | tail -n 3\n', { mode: 0o755 });
      writeFileSync(join(dir, 'script'), script);
      const drive = {
        bash: `source ${dir}/script; COMP_WORDS=(weft net show lo); COMP_CWORD=3; _weft; echo "\${COMPREPLY[@]}"`,
        zsh: `compdef() { : }; compadd() { shift; print -r -- "$@" }; words=(weft net show lo); CURRENT=4; source ${dir}/script; _weft`,
        fish: `source ${dir}/script; complete -C 'weft net show lo'`,
      }[shell]!;
      const done = spawnSync(shell, ['-c', drive], {
        encoding: 'utf8',
        env: { ...process.env, PATH: `${dir}:${process.env.PATH}` },
      });
      assert.equal(done.status, 0, done.stderr);
      assert.match(done.stdout, /lo/);
      if (shell !== 'fish') assert.equal(done.stdout.trim(), '-- show lo');
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });

test('the program itself: a table from a pipe, errors on the other stream, an end to waiting', async () => {
  const env = { ...process.env, WEFT_API: world.base, WEFT_TOKEN: OPERATOR_TOKEN };
  const program = async (...args: string[]): Promise<{ code: number; out: string; err: string }> => {
    const child = spawn(weft, ['net', ...args], { env, stdio: ['pipe', 'pipe', 'pipe'] });
    const said = { out: '', err: '' };
    child.stdout.on('data', (text: Buffer) => {
      said.out += text.toString();
    });
    child.stderr.on('data', (text: Buffer) => {
      said.err += text.toString();
    });
    child.stdin.end('tenants: [{ name: from-a-pipe }]\n');
    const [code] = (await once(child, 'close')) as [number];
    return { code, ...said };
  };
  assert.match(
    (await program('list', 'switch')).out,
    /^NAME +TENANT +UNKNOWN +REALIZED\nweb +red +drop +yes\n$/,
  );
  assert.deepEqual(await program('show', 'switch', 'wob'), {
    code: 1,
    out: '',
    err: 'weft net: there is no logical switch "wob"\nweft net: did you mean "web"?\n',
  });
  const unsaid = await program('apply', '-f', '-');
  assert.match(unsaid.err, /nobody to ask/);
  assert.match(
    (await program('apply', '-f', '-', '--yes')).out,
    /\+ tenant from-a-pipe\n.*done, in revision \d+\n$/s,
  );
});

const openssl = spawnSync('openssl', ['version']).status === 0;
test('over TLS the authority can be given', { skip: !openssl && 'needs openssl' }, async () => {
  const dir = mkdtempSync(join(tmpdir(), 'weft-net-'));
  const [key, cert] = [join(dir, 'key.pem'), join(dir, 'cert.pem')];
  const made = spawnSync('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'],
    ...['-keyout', key, '-out', cert, '-subj', '/CN=weft', '-addext', 'subjectAltName=IP:127.0.0.1'],
  ]);
  assert.equal(made.status, 0, String(made.stderr));
  const { server } = await makeApi({
    tls: () => ({ key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') }),
  });
  try {
    const api = await server.listen({ port: 0 });
    const run = async (...args: string[]): Promise<{ code: number; text: string }> => {
      const child = spawn(weft, ['net', 'list', 'tenant', '--api', api, '--token', OPERATOR_TOKEN, ...args]);
      let text = '';
      for (const stream of [child.stdout, child.stderr])
        stream.on('data', (bytes: Buffer) => {
          text += bytes.toString();
        });
      const [code] = (await once(child, 'close')) as [number];
      return { code, text };
    };
    const stranger = await run();
    assert.deepEqual(
      [stranger.code, /cannot be reached: .*certificate/.test(stranger.text)],
      [1, true],
      stranger.text,
    );
    assert.deepEqual(await run('--ca', `@${cert}`), { code: 0, text: 'no tenants\n' });
  } finally {
    await server.close();
    rmSync(dir, { recursive: true, force: true });
  }
});
