import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type ModuleLog, nullLogger } from '../../base/log.ts';
import { FileStore } from './file-store.ts';
import { commitLatest } from './latest.ts';
import type { StoreOperation, StoreRecord } from './store.ts';
import { StillClock } from './testing/clock.ts';
import { MemoryFile } from './testing/memory-file.ts';

function collectingLog(): { log: ModuleLog; lines: string[] } {
  const lines: string[] = [];
  const take = (message: string | (() => string)): void => {
    lines.push(String(message));
  };
  return { log: { ...nullLogger.module('store'), err: take, warn: take }, lines };
}

function open(file: MemoryFile, clock = new StillClock()) {
  const { log, lines } = collectingLog();
  return { store: FileStore.open(file, { log, clock }), lines };
}

const put = (key: string, value: string): StoreOperation => ({ op: 'put', key, value });
const del = (key: string): StoreOperation => ({ op: 'delete', key });

async function contents(store: FileStore): Promise<readonly StoreRecord[]> {
  return store.load();
}

test('what is committed is there after opening again, with its revisions', async () => {
  const file = new MemoryFile();
  const { store } = open(file);
  assert.equal(store.revision, 0);
  assert.equal(await store.commit(0, [put('b', '1'), put('a', '"x"')]), 1);
  assert.equal(await store.commit(1, [put('b', '2'), del('gone'), put('c', '3')]), 2);
  assert.equal(await store.commit(2, [del('c')]), 3);
  const expected = [
    { key: 'a', value: '"x"', revision: 1 },
    { key: 'b', value: '2', revision: 2 },
  ];
  assert.deepEqual(await contents(store), expected);
  const again = open(file).store;
  assert.equal(again.revision, 3);
  assert.deepEqual(await contents(again), expected);
});

test('a commit for another revision is refused and changes nothing', async () => {
  const { store } = open(new MemoryFile());
  const both = await Promise.allSettled([store.commit(0, [put('k', '1')]), store.commit(0, [put('k', '2')])]);
  assert.deepEqual(both[0], { status: 'fulfilled', value: 1 });
  assert.equal(both[1].status === 'rejected' && both[1].reason.code, 'store-conflict');
  assert.deepEqual(await contents(store), [{ key: 'k', value: '1', revision: 1 }]);
});

test('commits of keys that nobody else writes get through, whoever else commits', async () => {
  const { store } = open(new MemoryFile());
  const revisions = await Promise.all(
    Array.from({ length: 20 }, (_, i) => commitLatest(store, (next) => [put(`k${i}`, `${next}`)])),
  );
  assert.deepEqual(
    [...revisions].sort((a, b) => a - b),
    Array.from({ length: 20 }, (_, i) => i + 1),
  );
  for (const { value, revision } of await contents(store)) assert.equal(value, String(revision));
});

test('a file cut anywhere behind its header opens with a prefix of its commits', async () => {
  const file = new MemoryFile();
  const { store } = open(file);
  const header = file.bytes.length;
  const states: string[] = [JSON.stringify(await contents(store))];
  for (let i = 0; i < 6; i++) {
    await store.commit(i, [put(`k${i % 3}`, `${i}`.repeat(i)), del(`k${(i + 1) % 3}`)]);
    states.push(JSON.stringify(await contents(store)));
  }
  const whole = file.bytes;
  for (let length = header; length <= whole.length; length++) {
    const cut = new MemoryFile(whole.slice(0, length));
    const { store: again, lines } = open(cut);
    assert.equal(JSON.stringify(await contents(again)), states[again.revision]);
    assert.equal(lines.length, cut.bytes.length === length && isBoundary(whole, length) ? 0 : 1);
    const revision = await again.commit(again.revision, [put('new', 'x')]);
    const { store: third, lines: none } = open(cut);
    assert.equal(third.revision, revision);
    assert.deepEqual(none, []);
  }
});

/** Whether a record ends at `length`: the next begins, or the file ends. */
function isBoundary(bytes: Uint8Array, length: number): boolean {
  return (
    length === bytes.length || new TextDecoder().decode(bytes.slice(length, length + 11)) === 'OVSDB JSON '
  );
}

test('bytes damaged anywhere are never served as data', async () => {
  const file = new MemoryFile();
  const { store } = open(file);
  const states: string[] = [JSON.stringify(await contents(store))];
  for (let i = 0; i < 5; i++) {
    await store.commit(i, [put(`k${i}`, 'v'.repeat(20))]);
    states.push(JSON.stringify(await contents(store)));
  }
  const whole = file.bytes;
  await fc.assert(
    fc.asyncProperty(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }), async (at, flip) => {
      const bytes = whole.slice();
      bytes[at] ^= flip;
      try {
        const { store: again } = open(new MemoryFile(bytes));
        assert.equal(JSON.stringify(await contents(again)), states[again.revision]);
      } catch (error) {
        assert.equal((error as { code?: string }).code, 'store-damaged');
      }
    }),
  );
});

test('a full disk is told, and nothing has changed, here and on disk', async () => {
  const file = new MemoryFile();
  const { store } = open(file);
  await store.commit(0, [put('k', '1')]);
  const before = file.bytes;
  for (const room of [0, 1, 60, 100]) {
    file.room = room;
    await assert.rejects(store.commit(1, [put('k', '2'.repeat(500))]), (error: Error & { code: string }) => {
      assert.equal(error.code, 'store-full');
      assert.match(error.message, /No space left on device/);
      return true;
    });
    assert.deepEqual(file.bytes, before);
    assert.equal(store.revision, 1);
  }
  file.room = 10_000;
  assert.equal(await store.commit(1, [put('k', '3')]), 2);
  assert.deepEqual(await contents(open(file).store), [{ key: 'k', value: '3', revision: 2 }]);
});

test('what could not be synced is taken back, before anything else is written', async () => {
  const file = new MemoryFile();
  const { store } = open(file);
  await store.commit(0, [put('k', '1')]);
  file.failSync = true;
  file.failReplace = true;
  await assert.rejects(store.commit(1, [put('k', '2')]), { code: 'store-failed' });
  await assert.rejects(store.commit(1, [put('k', '3')]), { code: 'store-failed' });
  file.failSync = false;
  file.failReplace = false;
  assert.equal(await store.commit(1, [put('other', '4')]), 2);
  assert.deepEqual(await contents(open(file).store), [
    { key: 'k', value: '1', revision: 1 },
    { key: 'other', value: '4', revision: 2 },
  ]);
});

test('a file that grew is written anew and holds the same', async () => {
  const clock = new StillClock();
  const file = new MemoryFile();
  const { store } = open(file, clock);
  for (let i = 0; i < 2500; i++) await store.commit(i, [put(`k${i}`, `${i}`)]);
  for (let i = 2500; i < 2600; i++) await store.commit(i, [put('big', 'x'.repeat(200_000))]);
  const long = file.bytes.length;
  assert.ok(long > 20_000_000);
  clock.move(11 * 60_000);
  await store.commit(2600, [del('k0')]);
  assert.ok(file.bytes.length < long / 10);
  const again = open(file).store;
  assert.equal(again.revision, 2601);
  assert.deepEqual(await contents(again), await contents(store));
  assert.equal((await contents(again)).length, 2500);
});

test('a snapshot that lacks entries, and files of others, are refused', async () => {
  const text = (file: MemoryFile): string => new TextDecoder().decode(file.bytes);
  const clock = new StillClock();
  const file = new MemoryFile();
  const { store } = open(file, clock);
  await store.commit(0, [put('k', '1')]);
  await store.commit(1, [put('l', '1')]);
  clock.move(25 * 3_600_000);
  await store.commit(2, [put('m', '1')]);
  assert.match(text(file), /"entries":3}/);
  const snapshotOnly = file.bytes.slice(0, text(file).indexOf('OVSDB', 1));
  assert.throws(() => open(new MemoryFile(snapshotOnly)), { code: 'store-damaged' });
  assert.throws(() => open(new MemoryFile(new TextEncoder().encode('hello\n'))), { code: 'store-damaged' });
});

test('a closed store takes nothing', async () => {
  const { store } = open(new MemoryFile());
  const under = store.commit(0, [put('k', '1')]);
  await store.close();
  assert.equal(await under, 1);
  await assert.rejects(store.commit(1, []), { code: 'store-failed' });
});
