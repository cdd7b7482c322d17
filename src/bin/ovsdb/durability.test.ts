/**
 * The real daemon, killed without warning at random moments: what it acknowledged must be there afterwards, and of
 * what it did not, all or nothing. `WEFT_DURABILITY_ROUNDS=100` kills it more often, `WEFT_DURABILITY_SEED=N` at other
 * moments; a failure names its seed.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import {
  type Client,
  createDatabaseFile,
  LAUNCHER,
  mustInsert,
  ServedDatabase,
} from './testing/served-database.ts';

const ROUNDS = Number(process.env.WEFT_DURABILITY_ROUNDS ?? 4);
const SEED = Number(process.env.WEFT_DURABILITY_SEED ?? 1);
const LANES = 4;
const LONGEST_LIFE_MS = 600;
const LARGEST_PADDING = 100_000;

const dir = mkdtempSync(join(tmpdir(), 'weft-ovsdb-'));
const servers: ServedDatabase[] = [];
after(async () => {
  for (const server of servers) await server.kill();
  rmSync(dir, { recursive: true, force: true });
});

function served(name: string): ServedDatabase {
  const file = join(dir, name);
  createDatabaseFile(file);
  const server = new ServedDatabase(dir, file);
  servers.push(server);
  return server;
}

/** Rows by name, and a value of each. */
type Rows = ReadonlyMap<string, string>;

/** Somebody who writes rows of his own, one transaction after another. */
class Lane {
  readonly #name: string;
  readonly #random: Random;
  #acknowledged: Rows = new Map();
  /** What the rows are if the transaction happened that was never answered. */
  #attempted: Rows | undefined;
  #count = 0;

  constructor(name: string, random: Random) {
    this.#name = name;
    this.#random = random;
  }

  get acknowledged(): number {
    return this.#acknowledged.size;
  }

  #present(client: Client): Rows {
    const own = [...client.replica.table('QoS').rows()].filter((row) =>
      row.type.startsWith(`${this.#name}-`),
    );
    return new Map(own.map((row) => [row.type, row.external_ids.get('value') ?? '']));
  }

  /** After a crash: the rows are as they were acknowledged, or with the last transaction as a whole. */
  verify(client: Client): void {
    const present = this.#present(client);
    const sorted = (rows: Rows): string => JSON.stringify([...rows].sort());
    const allowed = [this.#acknowledged, ...(this.#attempted === undefined ? [] : [this.#attempted])].map(
      sorted,
    );
    assert.ok(
      allowed.includes(sorted(present)),
      `${this.#name}: ${sorted(present)} is none of ${allowed.join(' or ')}`,
    );
    this.#acknowledged = present;
    this.#attempted = undefined;
  }

  /** One transaction of one to three changes; false where no answer came. */
  async write(client: Client): Promise<boolean> {
    const txn = client.transaction();
    const rows = new Map(this.#acknowledged);
    for (let n = this.#random(3); n >= 0; n--) {
      const value = String(this.#count++);
      const old = [...this.#acknowledged.keys()].filter((type) => rows.has(type));
      const type = old[this.#random(old.length)];
      const row = type === undefined ? undefined : client.replica.table('QoS').find((r) => r.type === type);
      if (row === undefined || this.#random(2) === 0) {
        const added = `${this.#name}-${value}`;
        const padding = 'x'.repeat(this.#random(10) === 0 ? this.#random(LARGEST_PADDING) : 100);
        txn.insert('QoS', {
          type: added,
          external_ids: new Map([['value', value]]),
          other_config: new Map([['padding', padding]]),
        });
        rows.set(added, value);
      } else if (this.#random(3) === 0) {
        txn.delete('QoS', row._uuid);
        rows.delete(type);
      } else {
        txn.mutate('QoS', row._uuid, 'external_ids', 'delete', ['value']);
        txn.mutate('QoS', row._uuid, 'external_ids', 'insert', new Map([['value', value]]));
        rows.set(type, value);
      }
    }
    if (this.#random(10) === 0) txn.durable();
    this.#attempted = rows;
    const outcome = await txn.commit();
    if (outcome.status === 'disconnected') return false;
    assert.equal(outcome.status, 'success', JSON.stringify(outcome));
    this.#acknowledged = rows;
    this.#attempted = undefined;
    return true;
  }
}

/** A number from 0 to below `n`. */
type Random = (n: number) => number;

function randomFrom(seed: number): Random {
  const values = fc.sample(fc.integer({ min: 0, max: 2 ** 31 - 1 }), { seed, numRuns: 5000 });
  let at = 0;
  return (n) => (n <= 0 ? 0 : values[at++ % values.length] % n);
}

/** What a crash of the machine may leave behind the last whole record. */
const TAILS = [
  '',
  'OVSDB JSON 1000 0123456789012345678901234567890123456789\n{"QoS":{"torn',
  'OVSDB JSON 10 0123456789012345678901234567890123456789\n{"torn":1}',
  '\0'.repeat(5000),
  'torn',
];

test(`acknowledged transactions outlive kill -9 at any moment (seed ${SEED}, ${ROUNDS} rounds)`, async () => {
  const server = served('conf.db');
  const random = randomFrom(SEED);
  const lanes = Array.from({ length: LANES }, (_, i) => new Lane(`lane${i}`, random));
  let written = 0;
  for (let round = 0; round < ROUNDS; round++) {
    await server.start();
    const client = await server.connect();
    for (const lane of lanes) lane.verify(client);
    let lives = true;
    const work = lanes.map(async (lane) => {
      while (lives && (await lane.write(client))) written++;
    });
    const compact = async (): Promise<void> => {
      while (lives && server.commandable && random(2) === 0) await server.command('ovsdb-server/compact');
    };
    const compacting = compact();
    await sleep(random(LONGEST_LIFE_MS));
    await server.kill();
    lives = false;
    await Promise.all(work);
    await compacting;
    client.close();
    appendFileSync(server.file, TAILS[random(TAILS.length)]);
  }
  assert.ok(written > 0);
  await server.start();
  const client = await server.connect();
  for (const lane of lanes) lane.verify(client);
  await mustInsert(client, 'last');
  client.close();
  await server.kill();
  assert.ok(!readFileSync(server.file, 'latin1').includes('torn'));
  if (existsSync('/usr/bin/ovsdb-tool')) {
    const log = spawnSync('ovsdb-tool', ['show-log', server.file], { encoding: 'utf8' });
    assert.equal(log.status, 0, log.stderr);
    assert.match(log.stdout, /record 0: "Open_vSwitch" schema/);
  }
});

test('a database that another process serves is refused', async () => {
  const server = served('locked.db');
  await server.start();
  const second = spawnSync(LAUNCHER, ['--unixctl=none', '-vsyslog:off', server.file], {
    encoding: 'utf8',
    env: { ...process.env, OVS_RUNDIR: dir, OVS_LOGDIR: dir, OVS_DBDIR: dir },
  });
  assert.equal(second.status, 1);
  assert.match(second.stderr, /locked\.db: failed to lock lockfile \(Resource temporarily unavailable\)/);
  await server.kill();
});
