/** `weft db` with servers and files of Open vSwitch's own, and with peers that are no good. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import test from 'node:test';
import { makeCertificate } from '../../src/bin/tls/testing/certificates.ts';
import { type Finished, Network } from '../network.ts';
import { ROOT, SwitchHost, systemMissing, until } from './host.ts';

const WEFT = join(ROOT, 'bin/weft');
const EXIT_FAILED = 1;

/** A database server without a switch, which is gone afterwards. */
function withServer(title: string, stock: boolean, body: (host: SwitchHost) => Promise<void>): void {
  test(title, { skip: systemMissing('openssl') }, async () => {
    const network = new Network();
    let host: SwitchHost | undefined;
    try {
      host = new SwitchHost(network, [], { stock });
      await host.startDatabase();
      await host.vsctl('--no-wait', 'init', '--', 'add-br', 'br0');
      await host.vsctl(
        '--no-wait',
        ...'add-port br0 p1 tag=5 -- set interface p1 type=dummy options:a=b'.split(' '),
      );
      await body(host);
    } catch (error) {
      if (host !== undefined && error instanceof Error) error.message += `\n--- ${host.lastWords()}`;
      throw error;
    } finally {
      host?.close();
      network.close();
    }
  });
}

const weft = (host: SwitchHost, ...args: string[]): Promise<Finished> => host.run(WEFT, 'db', ...args);

async function weftMust(host: SwitchHost, ...args: string[]): Promise<string> {
  const { status, stdout, stderr } = await weft(host, ...args);
  assert.equal(status, 0, `weft db ${args.join(' ')}: ${stderr}`);
  return stdout;
}

const objects = (text: string) =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);

for (const stock of [false, true]) {
  const whose = stock ? 'of Open vSwitch' : 'of ours';
  withServer(`a server ${whose} is shown, listed, and watched`, stock, async (host) => {
    assert.match(
      await weftMust(host, 'show'),
      / {4}Bridge br0\n {8}Port br0\n {12}Interface br0 {2}type=internal\n/,
    );
    assert.equal(
      await weftMust(host, 'list', 'port'),
      'name  tag  interfaces\nbr0   -    br0\np1    5    p1\n',
    );
    const [port] = objects(await weftMust(host, 'list', 'Port', 'p1', '--json'));
    assert.equal(port.tag, 5);
    assert.equal(port._uuid, await host.get('Port', 'p1', '_uuid'));
    const [ref] = port.interfaces as { _uuid: string; name: string }[];
    assert.deepEqual(ref, { _uuid: await host.get('Interface', 'p1', '_uuid'), name: 'p1' });
    const byUuid = await weftMust(host, 'list', 'Port', String(port._uuid).slice(0, 8), '--columns=name');
    assert.equal(byUuid, 'name  p1\n');
    assert.match(
      await weftMust(host, '--database=_Server', 'list', 'Database'),
      /^Open_vSwitch +standalone +true +true$/m,
    );

    const seen = host.network.start(host.ns, WEFT, ['db', 'watch', '--count=3', '--json'], host.env);
    let out = '';
    seen.stdout?.on('data', (data: Buffer) => {
      out += data.toString();
    });
    const ended = once(seen, 'exit');
    // It says that it is ready only to people: what happens before that is not told.
    await until('a change is told', async () => {
      await host.vsctl(
        '--no-wait',
        'set',
        'interface',
        'p1',
        `options:n${out.length === 0 ? Date.now() : 0}=1`,
      );
      return out !== '';
    });
    await host.vsctl('--no-wait', 'set', 'port', 'p1', 'tag=9', '--', 'add-br', 'br1');
    await host.vsctl('--no-wait', 'del-port', 'br0', 'p1');
    await ended;
    assert.equal(objects(out)[0].table, 'Interface');
    const tag = objects(out).find((o) => o.table === 'Port' && o.change === 'modify');
    assert.deepEqual(tag?.columns, { tag: { old: 5, new: 9 } });
  });

  withServer(`a file ${whose} is compared with what it was`, stock, async (host) => {
    await host.vsctl('--no-wait', 'set', 'port', 'p1', 'tag=6');
    const file = host.path('conf.db');
    const changed = await weftMust(host, 'diff', file, '2', '3');
    assert.match(changed, /^record 2 .*: 1 row differs\n~ Port p1 {2}tag: 5 -> 6\n$/);
    assert.match(await weftMust(host, 'diff', file, '3', 'end'), /no difference\n$/);
    assert.match(await weftMust(host, 'diff', file, '3', '2'), /tag: 6 -> 5\n$/);
    // The times of its records name its moments, as well as their numbers.
    const [, , third] = objects(await weftMust(host, 'log', file, '--json'));
    assert.equal(third.record, 3);
    const time = String(third.time ?? third.date);
    const before = new Date(Date.parse(time) - 1).toISOString();
    assert.match(await weftMust(host, 'diff', file, before, time), /tag: 5 -> 6\n$/);
    // Numbers are those of ovsdb-tool.
    assert.match(await host.must('ovsdb-tool', 'show-log', file), /record 3: .*\n/);

    const torn = host.path('torn.db');
    copyFileSync(file, torn);
    truncateSync(torn, readFileSync(torn).length - 10);
    const { status, stdout, stderr } = await weft(host, 'diff', torn, '2');
    assert.equal(status, 0);
    assert.match(stdout, /no difference\n$/);
    assert.match(stderr, /torn\.db: record 3 is damaged/);
    for (const bad of ['', 'OVSDB JSON 5 x\n', 'a'.repeat(1000)]) {
      writeFileSync(torn, bad);
      const refused = await weft(host, 'list', '--db', torn);
      assert.equal(refused.status, EXIT_FAILED, refused.stderr);
      assert.match(refused.stderr, /^weft db: .*torn\.db: /);
    }
  });
}

withServer('a server behind TLS is reached by the files of a client', true, async (host) => {
  const authority = makeCertificate(host.dir, 'authority');
  const [server, client] = ['server', 'client'].map((name) => makeCertificate(host.dir, name, authority));
  const files = (own: typeof server): string[] => ['-p', own.key, '-c', own.cert, '-C', authority.cert];
  const second = host.path('second.db');
  await host.must('ovsdb-tool', 'create', second, '/usr/share/openvswitch/vswitch.ovsschema');
  const child = host.network.start(
    host.ns,
    'ovsdb-server',
    [
      ...files(server),
      `--peer-ca-cert=${authority.cert}`,
      '--remote=pssl:6641:127.0.0.1',
      '--unixctl=none',
      second,
    ],
    host.env,
  );
  await until(
    'it answers',
    async () => (await weft(host, 'list', '--db=ssl:127.0.0.1:6641', ...files(client))).status === 0,
  );
  const without = await weft(host, 'list', '--db=ssl:127.0.0.1:6641');
  assert.equal(without.status, EXIT_FAILED);
  assert.match(without.stderr, /TLS needs a certificate/);
  // The server shows its authority along with its certificate, and is believed the first time.
  const learned = host.path('learned.pem');
  const trusting = ['-p', client.key, '-c', client.cert, `--bootstrap-ca-cert=${learned}`];
  for (let n = 0; n < 2; n++)
    assert.match(await weftMust(host, 'list', '--db=ssl:127.0.0.1:6641', ...trusting), /^Open_vSwitch +0$/m);
  child.kill('SIGKILL');
});

test('peers that are silent, talk nonsense or go away end the command with a word', {
  skip: systemMissing(),
}, async () => {
  const answers: [string, (socket: Socket) => void, RegExp][] = [
    ['is silent', () => {}, /no answer to list_dbs within 0\.5 s/],
    ['talks nonsense', (s) => void s.write('HTTP/1.1 400 Bad Request\r\n\r\n'), /connection ended \(.*JSON/],
    ['goes away', (s) => void s.once('data', () => s.destroy()), /connection ended/],
    ['refuses', (s) => void s.once('data', () => s.write('{"id":1,"result":null,"error":"no"}')), /: "no"/],
    [
      'has no databases',
      (s) => void s.once('data', () => s.write('{"id":1,"result":[],"error":null}')),
      /no database "Open_vSwitch"/,
    ],
    [
      'answers what was not asked',
      (s) => void s.once('data', () => s.write('{"id":1,"result":7,"error":null}')),
      /not understood/,
    ],
  ];
  for (const [title, peer, expected] of answers) {
    const server = createServer((socket) => {
      socket.on('error', () => {});
      peer(socket);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    assert.ok(typeof address === 'object' && address !== null);
    for (const command of ['show', 'watch']) {
      const child = spawn(WEFT, ['db', command, `--db=tcp:127.0.0.1:${address.port}`, '--timeout=0.5']);
      let said = '';
      child.stderr.on('data', (data: Buffer) => {
        said += data.toString();
      });
      const [code] = (await once(child, 'close')) as [number];
      assert.equal(code, EXIT_FAILED, `${title}: ${said}`);
      assert.match(said, expected, title);
    }
    server.close();
  }
});
