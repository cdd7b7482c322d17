import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { HashCounts } from './hash-counts.ts';
import { PrefixTrie } from './prefix-trie.ts';
import { PriorityCounts } from './priority-counts.ts';

/** Values whose prefixes meet: few bits of entropy in each word. */
const anyValue = (words: number) =>
  fc
    .array(fc.constantFrom(0, 1, 2, 3, 0x80000000, 0xc0000000, 0xffffffff, 0x0a000001), {
      minLength: words,
      maxLength: words,
    })
    .map((list) => Uint32Array.from(list));

const bitOf = (value: Uint32Array, bit: number) => (value[bit >>> 5] >>> (31 - (bit & 31))) & 1;
const agree = (a: Uint32Array, b: Uint32Array, bits: number) => {
  for (let i = 0; i < bits; i++) if (bitOf(a, i) !== bitOf(b, i)) return false;
  return true;
};

for (const words of [1, 2, 4]) {
  const bits = words * 32;
  test(`a trie of ${bits} bits tells the lengths, and by which bits`, () => {
    const change = fc.record({
      add: fc.boolean(),
      value: anyValue(words),
      length: fc.integer({ min: 1, max: bits }),
    });
    fc.assert(
      fc.property(
        fc.array(change, { maxLength: 60 }),
        fc.array(anyValue(words), { minLength: 1 }),
        (changes, values) => {
          const trie = new PrefixTrie(bits);
          let prefixes: { value: Uint32Array; length: number }[] = [];
          for (const { add, value, length } of changes) {
            if (add || prefixes.length === 0) {
              trie.add(value, 0, length);
              prefixes.push({ value, length });
            } else {
              const one = prefixes[length % prefixes.length];
              trie.remove(one.value, 0, one.length);
              prefixes = prefixes.filter((p) => p !== one);
            }
          }
          const lengthsOf = (value: Uint32Array) =>
            new Set(prefixes.filter((p) => agree(p.value, value, p.length)).map((p) => p.length));
          for (const value of values) {
            const looked = trie.lookup(value, 0);
            const found = new Set<number>();
            for (let n = 1; n <= bits; n++) if (trie.found(n)) found.add(n);
            assert.deepEqual(found, lengthsOf(value));
            for (const other of values) {
              if (agree(value, other, looked)) assert.deepEqual(lengthsOf(other), found, `by ${looked} bits`);
            }
            // The first bit beyond what was looked at, or any other, doesn't count.
            const flipped = value.slice();
            for (let i = looked; i < bits; i++) flipped[i >>> 5] ^= 1 << (31 - (i & 31));
            assert.deepEqual(lengthsOf(flipped), found, `by ${looked} bits, flipped`);
          }
          for (const one of prefixes) trie.remove(one.value, 0, one.length);
          assert.ok(trie.isEmpty);
          assert.equal(trie.nodes, 0);
        },
      ),
    );
  });
}

test('a trie refuses to remove what is not in it', () => {
  const trie = new PrefixTrie(32);
  assert.throws(() => trie.remove(Uint32Array.of(0), 0, 8), RangeError);
  trie.add(Uint32Array.of(0), 0, 16);
  assert.throws(() => trie.remove(Uint32Array.of(0), 0, 8), RangeError);
});

test('hash counts equal a map, through growth, clashes and removals', () => {
  const hash = fc.oneof(
    fc.integer({ min: 0, max: 40 }),
    fc.nat(20).map((n) => (n * 16) | 0x40000000),
    fc.integer(),
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), hash), { maxLength: 400 }), (steps) => {
      const counts = new HashCounts();
      const map = new Map<number, number>();
      for (const [add, value] of steps) {
        const h = value >>> 0;
        const n = map.get(h) ?? 0;
        if (add) {
          counts.add(value);
          map.set(h, n + 1);
        } else if (n === 0) assert.throws(() => counts.remove(value), RangeError);
        else {
          counts.remove(value);
          if (n === 1) map.delete(h);
          else map.set(h, n - 1);
        }
      }
      assert.equal(counts.size, map.size);
      for (const [, value] of steps) assert.equal(counts.has(value), map.has(value >>> 0));
    }),
  );
});

test('priority counts know the highest', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat(30)), { maxLength: 300 }), (steps) => {
      const counts = new PriorityCounts();
      const list: number[] = [];
      for (const [add, pick] of steps) {
        if (add || list.length === 0) {
          counts.add(pick);
          list.push(pick);
        } else {
          const [gone] = list.splice(pick % list.length, 1);
          counts.remove(gone);
        }
        if (pick % 3 === 0) assert.equal(counts.max, Math.max(...list));
      }
      assert.equal(counts.max, Math.max(...list));
    }),
  );
});
