import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { type Flow, newFlow, W_ETH, W_IN_PORT, W_NSH, W_NW_DST, W_TP } from '../../flow/layout.ts';
import { keySize, maskWords, packKey } from './lookup-program.ts';
import { type EntryHash, type HashSpec, MaskTables } from './mask-tables.ts';

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** A hash in JavaScript that refuses what the kernel's would. */
class MemoryHash implements EntryHash {
  readonly entries = new Map<string, string>();
  readonly fd: number;
  readonly name: string;
  readonly #capacity: number;
  open = true;

  constructor(spec: HashSpec, fd: number) {
    this.fd = fd;
    this.name = `mask${spec.number}`;
    this.#capacity = spec.capacity;
  }
  set(key: Uint8Array, value: Uint8Array): void {
    assert.ok(this.open, 'a closed hash is written to');
    this.entries.set(text(key), text(value));
    assert.ok(this.entries.size <= this.#capacity, 'the hash is full');
  }
  setAll(entries: Iterable<readonly [Uint8Array, Uint8Array]>): void {
    for (const [key, value] of entries) this.set(key, value);
  }
  delete(key: Uint8Array): boolean {
    assert.ok(this.open);
    return this.entries.delete(text(key));
  }
  close(): void {
    this.open = false;
  }
}

const MASKS: readonly Flow[] = [
  [W_IN_PORT],
  [W_IN_PORT, W_ETH],
  [W_IN_PORT, W_NW_DST],
  [W_IN_PORT, W_TP],
  // Programs can't make this key.
  [W_IN_PORT, W_NSH],
].map((words) => {
  const mask = newFlow();
  for (const w of words) mask[w] = 0xffffffff;
  return mask;
});

function keyOf(mask: Flow, n: number): Flow {
  const key = newFlow();
  for (let w = 0; w < key.length; w++) if (mask[w] !== 0) key[w] = w + n;
  return key;
}

function world(maxMasks: number, maxFlows = 100_000) {
  const hashes: MemoryHash[] = [];
  const tables = new MaskTables({ maxFlows, maxMasks }, (spec) => {
    const hash = new MemoryHash(spec, hashes.length);
    hashes.push(hash);
    return hash;
  });
  return { hashes, tables };
}

test('what programs look up is what was put, through changes, growth and new ranks', () => {
  const step = fc.record({
    op: fc.constantFrom('put', 'put', 'put', 'many', 'remove', 'value', 'demand', 'rank', 'program'),
    mask: fc.nat(MASKS.length - 1),
    n: fc.nat(3000),
    value: fc.nat(255),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.integer({ min: 1, max: 4 }), (steps, maxMasks) => {
      const { hashes, tables } = world(maxMasks);
      const flows = new Map<number, { mask: number; n: number; value: Uint8Array }>();
      let running: readonly { map: unknown }[] = tables.list();
      const put = (mask: number, n: number, value: number): void => {
        const slot = mask * 10_000 + n;
        const bytes = new Uint8Array(16).fill(value);
        flows.set(slot, { mask, n, value: bytes });
        tables.put(slot, keyOf(MASKS[mask], n), MASKS[mask], bytes);
      };
      for (const { op, mask, n, value } of steps) {
        const slot = mask * 10_000 + n;
        if (op === 'put') put(mask, n, value);
        else if (op === 'many') for (let i = 0; i < 1200; i++) put(mask, i, value);
        else if (op === 'value' && flows.has(slot)) put(mask, n, value);
        else if (op === 'remove' && flows.delete(slot)) tables.remove(slot);
        else if (op === 'demand') tables.demanded(slot);
        else if (op === 'rank') tables.rank((slots) => slots.length % 7);
        if (op === 'program' || tables.urgent) {
          running = tables.list();
          tables.programmed();
          assert.equal(tables.dirty, false);
        }
        assert.ok(tables.list().length <= maxMasks);
        for (const { map, words } of tables.list()) {
          const hash = map as unknown as MemoryHash;
          assert.ok(hash.open);
          const expected = [...flows.values()]
            .filter((f) => JSON.stringify(maskWords(MASKS[f.mask])) === JSON.stringify(words))
            .map((f) => {
              const key = new Uint8Array(keySize(words));
              packKey(words, keyOf(MASKS[f.mask], f.n), key);
              return `${text(key)} ${text(f.value)}`;
            });
          assert.deepEqual([...hash.entries].map(([k, v]) => `${k} ${v}`).sort(), expected.sort());
        }
        // What runs may lack entries, but must have none of flows that are gone.
        for (const { map } of running) {
          const hash = map as MemoryHash;
          const current = tables.list().some((t) => t.map === map);
          assert.ok(current || hash.entries.size === 0, 'a program runs on entries that nobody keeps');
        }
      }
      tables.close();
      assert.ok(hashes.every((hash) => !hash.open));
    }),
    { numRuns: 60 },
  );
});

test('a mask without a place gets one when another is gone, or when it carries more', () => {
  const { tables } = world(1);
  const value = new Uint8Array(16);
  assert.equal(tables.put(0, keyOf(MASKS[0], 0), MASKS[0], value), true);
  assert.equal(tables.put(1, keyOf(MASKS[1], 1), MASKS[1], value), false);
  assert.deepEqual([tables.placed, tables.waiting], [1, 1]);
  for (let i = 0; i < 100; i++) tables.demanded(1);
  tables.rank(() => 60);
  assert.deepEqual(tables.list()[0].words, maskWords(MASKS[0]), 'less than twice as much');
  for (let i = 0; i < 200; i++) tables.demanded(1);
  tables.rank(() => 60);
  assert.deepEqual(tables.list()[0].words, maskWords(MASKS[1]));
  tables.remove(1);
  tables.programmed();
  tables.demanded(0);
  tables.rank(() => 0);
  assert.deepEqual(tables.list()[0].words, maskWords(MASKS[0]));
  tables.close();
});

test('a mask that programs cannot make a key of stays with JavaScript', () => {
  const { tables } = world(4);
  assert.equal(tables.put(0, keyOf(MASKS[4], 0), MASKS[4], new Uint8Array(16)), false);
  assert.deepEqual([tables.placed, tables.waiting], [0, 1]);
  tables.close();
});

test('what the kernel refuses stays with JavaScript, and is told', () => {
  const told: string[] = [];
  let full = false;
  const tables = new MaskTables(
    { maxFlows: 100, maxMasks: 4 },
    (spec) => {
      if (full) throw new Error('no memory for a map');
      return new MemoryHash(spec, 0);
    },
    (error) => told.push(error.message),
  );
  const value = new Uint8Array(16);
  assert.equal(tables.put(0, keyOf(MASKS[0], 0), MASKS[0], value), true);
  full = true;
  assert.equal(tables.put(1, keyOf(MASKS[1], 0), MASKS[1], value), false);
  assert.deepEqual([tables.placed, tables.waiting], [1, 1]);
  assert.deepEqual(told, ['no memory for a map']);
  full = false;
  tables.demanded(1);
  tables.rank(() => 0);
  assert.deepEqual([tables.placed, tables.waiting], [2, 0]);
  tables.close();
});

test('an entry that cannot be replaced goes: it would say what is no longer so', () => {
  const told: string[] = [];
  let hash: MemoryHash | undefined;
  const tables = new MaskTables(
    { maxFlows: 100, maxMasks: 4 },
    (spec) => {
      hash = new MemoryHash(spec, 0);
      return hash;
    },
    (error) => told.push(error.message),
  );
  tables.put(0, keyOf(MASKS[0], 0), MASKS[0], new Uint8Array(16).fill(1));
  assert.equal(hash?.entries.size, 1);
  hash.set = () => {
    throw new Error('no memory for an entry');
  };
  tables.put(0, keyOf(MASKS[0], 0), MASKS[0], new Uint8Array(16).fill(2));
  assert.equal(hash.entries.size, 0);
  assert.deepEqual(told, ['no memory for an entry']);
  tables.close();
});
