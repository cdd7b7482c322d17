import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  add,
  atomicAdd,
  call,
  DW,
  exit,
  jeq,
  label,
  ldMap,
  ldMapValue,
  ldx,
  mov,
  R0,
  R1,
  R2,
  R3,
  R6,
  R10,
  st,
  stx,
  W,
} from './asm.ts';
import { be16, be32, bytes, list, prefix, struct, u8, u16, u32, u64 } from './codec.ts';
import { skb } from './context.ts';
import { helper } from './helpers.ts';
import type { Code } from './instruction.ts';
import { BpfMap, isMapFull, possibleCpus, programArray, sum } from './map.ts';
import { Program } from './program.ts';
import { needsRoot } from './testing/programs.ts';

const skip = needsRoot;
const PACKET = new Uint8Array(64);

function run(code: Code, repeat = 1): number {
  using program = Program.load({ kind: 'classifier', name: 'weft_test', code });
  return program.run({ packet: PACKET, repeat }).verdict;
}

test('structures are laid out as C lays them out', () => {
  const codec = struct({ kind: u8, port: be16, count: u64, mac: bytes(6), list: list(u16, 2) });
  assert.deepEqual(codec.offsets, { kind: 0, port: 2, count: 8, mac: 16, list: 24 });
  assert.equal(codec.size, 32);
  const packed = struct({ kind: u8, port: be16, count: u64 }, { packed: true });
  assert.deepEqual([packed.offsets, packed.size], [{ kind: 0, port: 1, count: 3 }, 11]);
});

test('what is written is read back, with nothing left between the fields', () => {
  const codec = struct({ a: u8, b: u32, c: u64, d: be32, e: bytes(3), f: be16 });
  const values = fc.record({
    a: fc.integer({ min: 0, max: 255 }),
    b: fc.integer({ min: 0, max: 0xffff_ffff }),
    c: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
    d: fc.integer({ min: 0, max: 0xffff_ffff }),
    e: fc.uint8Array({ minLength: 3, maxLength: 3 }),
    f: fc.integer({ min: 0, max: 0xffff }),
  });
  fc.assert(
    fc.property(values, (value) => {
      const dirty = new Uint8Array(codec.size + 8).fill(0xee);
      const clean = new Uint8Array(codec.size + 8);
      for (const buffer of [dirty, clean]) codec.write(value, new DataView(buffer.buffer), 4);
      assert.deepEqual(codec.read(new DataView(dirty.buffer), 4), { ...value, e: Uint8Array.from(value.e) });
      assert.deepEqual(dirty.subarray(4, 4 + codec.size), clean.subarray(4, 4 + codec.size));
      assert.deepEqual([dirty[3], dirty[4 + codec.size]], [0xee, 0xee]);
    }),
  );
});

test('values of a wrong size are refused', () => {
  const view = new DataView(new ArrayBuffer(16));
  const wrong = { code: 'bad-map-value' };
  assert.throws(() => bytes(4).write(new Uint8Array(3), view, 0), wrong);
  assert.throws(() => list(u8, 4).write([1], view, 0), wrong);
  assert.throws(() => prefix(4).write({ bits: 33, address: new Uint8Array(4) }, view, 0), wrong);
});

test('possible CPUs', () => {
  assert.equal(possibleCpus('0-7\n'), 8);
  assert.equal(possibleCpus('0'), 1);
  assert.equal(possibleCpus('0,2-5'), 6);
  assert.throws(() => possibleCpus(''), { code: 'bad-map' });
});

test('a hash: single entries', { skip }, () => {
  using map = BpfMap.create({ kind: 'hash', name: 'weft_hash', key: u32, value: u64, maxEntries: 2 });
  assert.equal(map.get(1), undefined);
  map.set(1, 10n);
  assert.equal(map.get(1), 10n);
  assert.equal(map.view(1)!.getUint32(0, true), 10);
  assert.equal(map.add(1, 11n), false);
  assert.equal(map.replace(2, 20n), false);
  assert.equal(map.add(2, 20n), true);
  assert.equal(map.replace(1, 12n), true);
  assert.throws(
    () => map.set(3, 1n),
    (error) => isMapFull(error) && /update map weft_hash: .*E2BIG/.test(`${error}`),
  );
  assert.equal(map.take(1), 12n);
  assert.equal(map.take(1), undefined);
  assert.equal(map.delete(2), true);
  assert.equal(map.delete(2), false);
  assert.ok(map.id > 0);
});

test('a hash: thousands of entries in batches', { skip }, () => {
  const count = 5000;
  using map = BpfMap.create({
    kind: 'hash',
    name: 'weft_hash',
    key: u32,
    value: u64,
    maxEntries: count,
    preallocate: false,
  });
  map.setAll(Array.from({ length: count }, (_, i) => [i, BigInt(i) * 3n] as const));
  const read = new Map(map.entries());
  assert.equal(read.size, count);
  for (const [key, value] of read) assert.equal(value, BigInt(key) * 3n);
  let total = 0;
  map.forEachRaw((_keys, _at, values, at) => {
    total += values.getUint32(at, true);
  });
  assert.equal(total, (3 * count * (count - 1)) / 2);
  // Keys that are not there do not keep the others from being deleted.
  const gone = Array.from({ length: count }, (_, i) => i * 2);
  assert.equal(map.deleteAll(gone), count / 2);
  assert.deepEqual(new Set([...map.entries()].map(([key]) => key % 2)), new Set([1]));
});

test('a walk goes on while entries come and go', { skip }, () => {
  using map = BpfMap.create({ kind: 'hash', name: 'weft_hash', key: u32, value: u32, maxEntries: 4096 });
  map.setAll(Array.from({ length: 2000 }, (_, i) => [i, i] as const));
  const seen = new Set<number>();
  for (const [key] of map.entries()) {
    seen.add(key);
    if (key >= 1000 && key < 2000) map.delete(key);
    if (key < 1000) map.set(key + 3000, 0);
  }
  for (let key = 0; key < 1000; key++) assert.ok(seen.has(key));
});

test('one value a CPU', { skip }, () => {
  const counters = struct({ packets: u32 });
  using map = BpfMap.createPerCpu({
    kind: 'percpu-array',
    name: 'weft_cpu',
    key: u32,
    value: counters,
    maxEntries: 2,
  });
  run(
    [
      st(W, R10, -4, 1),
      ldMap(R1, map),
      mov(R2, R10),
      add(R2, -4),
      call(helper.mapLookup),
      jeq(R0, 0, 'out'),
      ldx(W, R1, R0, 0),
      add(R1, 1),
      stx(W, R0, 0, R1),
      label('out'),
      mov(R0, 0),
      exit(),
    ],
    100,
  );
  const values = map.get(1)!;
  assert.equal(values.length, possibleCpus());
  assert.equal(sum(values.map((v) => BigInt(v.packets))), 100n);
  assert.deepEqual(
    [...map.entries()].map(([key, all]) => [key, all.reduce((n, v) => n + v.packets, 0)]),
    [
      [0, 0],
      [1, 100],
    ],
  );
  assert.throws(
    () => BpfMap.create({ kind: 'percpu-hash', name: 'x', key: u32, value: u32, maxEntries: 1 }),
    {
      code: 'bad-map',
    },
  );
});

test('an array in our memory', { skip }, () => {
  const value = list(u64, 4);
  using map = BpfMap.create({
    kind: 'array',
    name: 'weft_array',
    key: u32,
    value,
    maxEntries: 1,
    mmapable: true,
  });
  const memory = map.mmap();
  try {
    const words = new BigUint64Array(memory.buffer, 0, 4);
    words[0] = 40n;
    assert.deepEqual(map.get(0), [40n, 0n, 0n, 0n]);
    run([ldMapValue(R6, map, 8), mov(R1, 2), atomicAdd(DW, R6, 0, R1), mov(R0, 0), exit()]);
    assert.equal(words[1], 2n);
  } finally {
    memory.unmap();
  }
});

test('longest prefixes, least recently used', { skip }, () => {
  const key = prefix(4);
  using trie = BpfMap.create({ kind: 'lpm-trie', name: 'weft_lpm', key, value: u32, maxEntries: 8 });
  trie.set({ bits: 8, address: Uint8Array.of(10, 0, 0, 0) }, 8);
  trie.set({ bits: 24, address: Uint8Array.of(10, 1, 2, 0) }, 24);
  assert.equal(trie.get({ bits: 32, address: Uint8Array.of(10, 1, 2, 3) }), 24);
  assert.equal(trie.get({ bits: 32, address: Uint8Array.of(10, 9, 2, 3) }), 8);
  assert.equal([...trie.entries()].length, 2);
  using lru = BpfMap.create({ kind: 'lru-hash', name: 'weft_lru', key: u32, value: u32, maxEntries: 64 });
  for (let i = 0; i < 1000; i++) lru.set(i, i);
  assert.equal(lru.get(999), 999);
  assert.equal(lru.get(0), undefined);
});

test('tail calls, and maps in maps', { skip }, () => {
  using table = programArray('weft_table', 4);
  using seven = Program.load({ kind: 'classifier', name: 'weft_seven', code: [mov(R0, 7), exit()] });
  const code: Code = [ldMap(R2, table), mov(R3, 2), call(helper.tailCall), ldx(W, R0, R6, skb.len), exit()];
  const program = [mov(R6, R1), code];
  assert.equal(run(program), 64);
  table.set(2, seven.fd);
  assert.equal(run(program), 7);
  assert.deepEqual([...table.entries()], [[2, seven.id]]);

  const inner = { kind: 'hash', name: 'weft_inner', key: u32, value: u32, maxEntries: 4 } as const;
  using first = BpfMap.create(inner);
  using outer = BpfMap.create({
    kind: 'array-of-maps',
    name: 'weft_outer',
    key: u32,
    value: u32,
    maxEntries: 2,
    inner: first,
  });
  outer.set(1, first.fd);
  first.set(5, 55);
  assert.equal(outer.get(1), first.id);
  const lookup = [
    st(W, R10, -4, 1),
    st(W, R10, -8, 5),
    ldMap(R1, outer),
    mov(R2, R10),
    add(R2, -4),
    call(helper.mapLookup),
    jeq(R0, 0, 'out'),
    mov(R1, R0),
    mov(R2, R10),
    add(R2, -8),
    call(helper.mapLookup),
    jeq(R0, 0, 'out'),
    ldx(W, R0, R0, 0),
    label('out'),
    exit(),
  ];
  assert.equal(run(lookup), 55);
  using second = BpfMap.create(inner);
  outer.set(1, second.fd);
  assert.equal(run(lookup), 0);
});

test('devices by number', { skip }, () => {
  using map = BpfMap.create({ kind: 'devmap-hash', name: 'weft_dev', key: u32, value: u32, maxEntries: 4 });
  map.set(9, 1);
  assert.deepEqual([...map.entries()], [[9, 1]]);
});
