/** The real daemon, killed without warning: what it acknowledged must be there afterwards. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { nullLogger } from '../../base/log.ts';
import { OvsdbClient } from '../../ovsdb/client/client.ts';
import { DatabaseFile } from '../../ovsdb/file/storage.ts';
import { openVSwitchSchema } from '../../ovsdb/schema/open_vswitch.ts';
import { DaemonClock } from '../daemon/clock.ts';
import { DiskFile } from './file.ts';
import { SocketTransports } from './socket.ts';

const launcher = join(dirname(fileURLToPath(import.meta.url)), '../../../compat/ovsdb-server');
const dir = mkdtempSync(join(tmpdir(), 'weft-ovsdb-'));
const running = new Set<ChildProcess>();
after(() => {
  for (const child of running) child.kill('SIGKILL');
  rmSync(dir, { recursive: true, force: true });
});

async function startServer(db: string, socket: string): Promise<ChildProcess> {
  const child = spawn(
    launcher,
    [`--remote=punix:${socket}`, '--unixctl=none', '-vconsole:info', '-vsyslog:off', db],
    {
      env: { ...process.env, OVS_RUNDIR: dir, OVS_LOGDIR: dir, OVS_DBDIR: dir },
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  );
  running.add(child);
  child.once('exit', () => running.delete(child));
  let text = '';
  for await (const chunk of child.stderr!) {
    text += chunk;
    if (text.includes('Open vSwitch')) break;
  }
  assert.match(text, /Open vSwitch/, 'the server did not start');
  return child;
}

function connect(socket: string) {
  const transports = new SocketTransports(dir, nullLogger.module('x'));
  return new OvsdbClient({
    schema: openVSwitchSchema,
    connector: transports.connector(`unix:${socket}`),
    clock: new DaemonClock(),
    log: nullLogger,
    tables: { QoS: true },
  });
}

test('acknowledged transactions outlive kill -9, and a torn record is cut off', async () => {
  const db = join(dir, 'conf.db');
  const socket = join(dir, 'db.sock');
  const access = DiskFile.create(db);
  DatabaseFile.create(access, JSON.parse(JSON.stringify(openVSwitchSchema)));
  access.close();
  const acknowledged = new Set<string>();
  for (let round = 0; round < 3; round++) {
    const server = await startServer(db, socket);
    const client = connect(socket);
    client.start();
    await client.synced();
    const present = new Set([...client.replica.table('QoS').rows()].map((row) => row.type));
    for (const type of acknowledged) assert.ok(present.has(type), `${type} was acknowledged and is gone`);
    let lost = false;
    const write = async (lane: number): Promise<void> => {
      for (let i = 0; !lost; i++) {
        const type = `${round}-${lane}-${i}`;
        const txn = client.transaction();
        txn.insert('QoS', { type, other_config: new Map([['padding', 'x'.repeat(500)]]) });
        if (i % 10 === 0) txn.durable();
        const outcome = await txn.commit();
        if (outcome.status !== 'success') return;
        acknowledged.add(type);
        if (acknowledged.size >= 40 * (round + 1)) {
          lost = true;
          server.kill('SIGKILL');
        }
      }
    };
    const gone = once(server, 'exit');
    await Promise.all([0, 1, 2, 3].map(write));
    await gone;
    client.close();
    appendFileSync(db, 'OVSDB JSON 1000 0123456789012345678901234567890123456789\n{"QoS":{"torn');
  }
  assert.ok(acknowledged.size >= 120);
  const last = await startServer(db, socket);
  const client = connect(socket);
  client.start();
  await client.synced();
  for (const type of acknowledged) assert.ok(client.replica.table('QoS').find((row) => row.type === type));
  const txn = client.transaction();
  txn.insert('QoS', { type: 'last' });
  assert.equal((await txn.commit()).status, 'success');
  client.close();
  last.kill('SIGKILL');
  await once(last, 'exit');
  assert.ok(!readFileSync(db, 'utf8').includes('torn'));
  if (existsSync('/usr/bin/ovsdb-tool')) {
    const log = spawnSync('ovsdb-tool', ['show-log', db], { encoding: 'utf8' });
    assert.equal(log.status, 0, log.stderr);
    assert.match(log.stdout, /record 0: "Open_vSwitch" schema/);
  }
});

test('a database that another process serves is refused', async () => {
  const db = join(dir, 'locked.db');
  const access = DiskFile.create(db);
  DatabaseFile.create(access, JSON.parse(JSON.stringify(openVSwitchSchema)));
  access.close();
  const server = await startServer(db, join(dir, 'locked.sock'));
  const second = spawnSync(launcher, ['--unixctl=none', '-vsyslog:off', db], {
    encoding: 'utf8',
    env: { ...process.env, OVS_RUNDIR: dir, OVS_LOGDIR: dir, OVS_DBDIR: dir },
  });
  assert.equal(second.status, 1);
  assert.match(second.stderr, /locked\.db: failed to lock lockfile \(Resource temporarily unavailable\)/);
  server.kill('SIGKILL');
  await once(server, 'exit');
});
