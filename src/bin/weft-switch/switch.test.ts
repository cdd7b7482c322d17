import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeCertificate, opensslMissing } from '../tls/testing/certificates.ts';

const weft = join(import.meta.dirname, '../../../bin/weft');
const OPTIONS = ['--enable-dummy', '--disable-system'];

/** Starts `weft switch` over a directory of its own, and resolves when it says that it is ready. */
async function start(dir: string): Promise<{ child: ChildProcess; log: () => string }> {
  const child = spawn(weft, ['switch', '--dir', dir, ...OPTIONS], { stdio: ['ignore', 'inherit', 'pipe'] });
  let log = '';
  await new Promise<void>((resolve, reject) => {
    child.stderr!.on('data', (text: Buffer) => {
      log += text.toString();
      if (log.includes('|ready: ')) resolve();
    });
    child.on('close', () => reject(new Error(`ended before it was ready: ${log}`)));
  });
  return { child, log: () => log };
}

/** Asks a control socket as ovs-appctl does. */
async function ask(dir: string, program: string, method: string, ...params: string[]): Promise<string> {
  const name = readdirSync(dir).find((f) => f.startsWith(`${program}.`) && f.endsWith('.ctl'));
  assert.ok(name, `no control socket of ${program}`);
  const socket = connect(join(dir, name));
  socket.write(JSON.stringify({ id: 1, method, params }));
  const [reply] = (await once(socket, 'data')) as [Buffer];
  socket.destroy();
  return (JSON.parse(reply.toString()) as { result: string }).result;
}

test('one process takes the places of both daemons, and cleans up', async () => {
  const dir = join(mkdtempSync(join(tmpdir(), 'weft-switch-')), 'made');
  try {
    const { child, log } = await start(dir);
    try {
      assert.match(log(), /conf\.db: made a new database/);
      assert.deepEqual(
        readdirSync(dir)
          .filter((f) => f.endsWith('.pid'))
          .sort(),
        ['ovs-vswitchd.pid', 'ovsdb-server.pid'],
      );
      assert.ok(existsSync(join(dir, 'db.sock')));
      assert.match(await ask(dir, 'ovs-vswitchd', 'version'), /^ovs-vswitchd \(Open vSwitch\) /);
      assert.match(await ask(dir, 'ovsdb-server', 'version'), /^ovsdb-server \(Open vSwitch\) /);
      assert.match(await ask(dir, 'ovsdb-server', 'ovsdb-server/list-dbs'), /Open_vSwitch/);
      assert.match(await ask(dir, 'ovs-vswitchd', 'list-commands'), /ofproto\/trace/);

      const second = spawnSync(weft, ['switch', '--dir', dir, ...OPTIONS], { encoding: 'utf8' });
      assert.equal(second.status, 1);
      assert.match(second.stderr, /ovs-vswitchd\.pid: already running as pid \d+, aborting/);
      assert.ok(existsSync(join(dir, 'db.sock')), 'the second one took the socket of the first away');
    } finally {
      child.kill('SIGTERM');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    }
    assert.equal(child.signalCode, 'SIGTERM');
    assert.deepEqual(readdirSync(dir).sort(), ['.conf.db.~lock~', 'conf.db']);

    const again = await start(dir);
    assert.doesNotMatch(again.log(), /made a new database/);
    await ask(dir, 'ovsdb-server', 'exit');
    if (again.child.exitCode === null) await once(again.child, 'exit');
    assert.equal(again.child.exitCode, 0);
  } finally {
    rmSync(join(dir, '..'), { recursive: true, force: true });
  }
});

test('a directory that cannot be made is an error that says which', () => {
  const done = spawnSync(weft, ['switch', '--dir', '/dev/null/x'], { encoding: 'utf8' });
  assert.equal(done.status, 1);
  assert.match(done.stderr, /--dir \/dev\/null\/x: cannot be made: Not a directory/);
});

test('the database is served over TLS by the files that its SSL table names', {
  skip:
    opensslMissing() || (spawnSync('ovs-vsctl', ['--version']).status !== 0 && 'ovs-vsctl is not installed'),
}, async () => {
  const root = mkdtempSync(join(tmpdir(), 'weft-switch-'));
  const dir = join(root, 'made');
  const authority = makeCertificate(root, 'authority');
  const [own, admin] = ['own', 'admin'].map((name) => makeCertificate(root, name, authority));
  const { child } = await start(dir);
  try {
    const vsctl = (...args: string[]) =>
      spawnSync('ovs-vsctl', ['--timeout=10', `--db=unix:${join(dir, 'db.sock')}`, ...args], {
        encoding: 'utf8',
      });
    vsctl('--no-wait', 'set-ssl', own.key, own.cert, authority.cert, '--', 'set-manager', 'pssl:0:127.0.0.1');
    let port = '';
    for (let n = 0; port === '' && n < 200; n++) {
      port = /bound_port="?([0-9]+)/.exec(vsctl('--no-headings', 'list', 'Manager').stdout)?.[1] ?? '';
      await sleep(50);
    }
    const { status, stdout, stderr } = spawnSync(
      'ovsdb-client',
      [
        ...['--timeout=10', `--private-key=${admin.key}`, `--certificate=${admin.cert}`],
        ...[`--ca-cert=${authority.cert}`, 'list-dbs', `ssl:127.0.0.1:${port}`],
      ],
      { encoding: 'utf8' },
    );
    assert.equal(status, 0, stderr);
    assert.match(stdout, /^Open_vSwitch$/m);
  } finally {
    const ended = once(child, 'close');
    child.kill('SIGTERM');
    await ended;
    rmSync(root, { recursive: true, force: true });
  }
});
