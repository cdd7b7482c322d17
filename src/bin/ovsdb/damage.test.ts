/** Files that a disk has damaged, and disks that are full. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { nullLogger } from '../../base/log.ts';
import { openDatabase } from '../../ovsdb/file/open.ts';
import { DiskFile } from './file.ts';
import { createDatabaseFile, mustInsert, ServedDatabase, typesOf } from './testing/served-database.ts';

const dir = mkdtempSync(join(tmpdir(), 'weft-damage-'));
const disk = join(dir, 'disk');
const servers: ServedDatabase[] = [];
after(async () => {
  for (const server of servers) await server.kill();
  spawnSync('umount', [disk]);
  rmSync(dir, { recursive: true, force: true });
});

const STOCK = '/usr/sbin/ovsdb-server';

/** The values of `QoS` that a file holds, as we read it; undefined where it cannot be read at all. */
function ourRows(file: string): string[] | undefined {
  const access = DiskFile.open(file);
  try {
    const { db } = openDatabase(access, {
      newUuid: () => crypto.randomUUID(),
      log: nullLogger.module('x'),
      now: 0,
    });
    const type = db.table('QoS').schema.columns.get('type')!.index;
    return [...db.table('QoS').rows.values()].map((row) => String(row.fields[type].keys[0])).sort();
  } catch {
    return undefined;
  } finally {
    access.close();
  }
}

/** The same as the stock server reads it. */
function stockRows(file: string): string[] | undefined {
  const query = '["Open_vSwitch",{"op":"select","table":"QoS","where":[],"columns":["type"]}]';
  const socket = join(dir, 'stock.sock');
  const { stdout } = spawnSync(
    'ovsdb-server',
    [
      ...['--unixctl=none', '-vconsole:off', '-vsyslog:off', `--remote=punix:${socket}`],
      `--run=ovsdb-client --timeout=10 query unix:${socket} '${query}'`,
      file,
    ],
    { encoding: 'utf8' },
  );
  if (stdout === '') return undefined;
  const [{ rows }] = JSON.parse(stdout) as [{ rows: { type: string }[] }];
  return rows.map((row) => row.type).sort();
}

/** One byte changed, or the end cut off, at a place from 0 to 1. */
type Damage = { readonly kind: 'flip'; readonly bit: number } | { readonly kind: 'cut' };

test('of a damaged file we read as much as the stock server does', {
  skip: !existsSync(STOCK) && 'the stock ovsdb-server is not installed',
}, async () => {
  const whole = join(dir, 'whole.db');
  createDatabaseFile(whole);
  const server = new ServedDatabase(dir, whole);
  servers.push(server);
  await server.start();
  const client = await server.connect();
  for (let i = 0; i < 30; i++) await mustInsert(client, `row${i}`, i * 10);
  client.close();
  await server.kill();
  const bytes = readFileSync(whole);
  assert.equal(ourRows(whole)?.length, 30);
  const damage: fc.Arbitrary<Damage> = fc.oneof(
    fc.record({ kind: fc.constant('flip' as const), bit: fc.nat(7) }),
    fc.record({ kind: fc.constant('cut' as const) }),
  );
  // Most of the file is its schema: half of the damage shall be behind it.
  const behind = bytes.indexOf('\nOVSDB JSON') / bytes.length;
  const place = fc.oneof(
    fc.double({ min: 0, max: 0.999, noNaN: true }),
    fc.double({ min: behind, max: 0.999, noNaN: true }),
  );
  fc.assert(
    fc.property(place, damage, (where, what) => {
      const at = Math.floor(where * bytes.length);
      const damaged = Buffer.from(what.kind === 'cut' ? bytes.subarray(0, at) : bytes);
      if (what.kind === 'flip') damaged[at] ^= 1 << what.bit;
      const [ours, theirs] = ['ours.db', 'theirs.db'].map((name) => join(dir, name));
      writeFileSync(ours, damaged);
      copyFileSync(ours, theirs);
      assert.deepEqual(ourRows(ours), stockRows(theirs));
    }),
    { numRuns: 40 },
  );
});

/** Mounts a disk of `kilobytes`; false where that is not allowed. */
function mountDisk(kilobytes: number): boolean {
  mkdirSync(disk, { recursive: true });
  return spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${kilobytes}k`, 'weft', disk]).status === 0;
}

test('a full disk costs the transaction that did not fit, and nothing else', async (t) => {
  if (!mountDisk(512)) {
    t.skip('needs root to mount a small disk');
    return;
  }
  const file = join(disk, 'conf.db');
  createDatabaseFile(file);
  const server = new ServedDatabase(dir, file);
  servers.push(server);
  await server.start();
  const client = await server.connect();
  const filler = join(disk, 'filler');
  const acknowledged = new Set<string>();
  const fill = async (prefix: string): Promise<void> => {
    for (let i = 0; i < 1000; i++) {
      const type = `${prefix}${i}`;
      const txn = client.transaction();
      txn.insert('QoS', { type, other_config: new Map([['padding', 'x'.repeat(5000)]]) });
      if (i % 3 === 0) txn.durable();
      const outcome = await txn.commit();
      if (outcome.status !== 'success') {
        assert.equal(outcome.status, 'error');
        assert.match(JSON.stringify(outcome), /I\/O error/);
        assert.equal(
          client.replica.table('QoS').find((row) => row.type === type),
          undefined,
        );
        return;
      }
      acknowledged.add(type);
    }
    assert.fail('the disk never filled up');
  };
  writeFileSync(filler, Buffer.alloc(100_000));
  await fill('first');
  assert.ok(acknowledged.size > 10);
  assert.deepEqual(typesOf(client), acknowledged);

  // Compaction needs room beside the file. Where there is none it fails, and leaves the file as it is.
  if (server.commandable) {
    const { status, text } = await server.command('ovsdb-server/compact');
    assert.notEqual(status, 0);
    assert.match(text, /No space left on device/);
    assert.ok(!existsSync(`${file}.tmp`));
  }
  rmSync(filler);
  await fill('second');
  assert.ok(server.running);
  client.close();
  await server.kill();

  await server.start();
  const again = await server.connect();
  assert.deepEqual(typesOf(again), acknowledged);
  // What makes room makes writing possible again.
  const rows = [...again.replica.table('QoS').rows()];
  assert.ok(rows.length > 0);
  again.close();
  await server.kill();
});
