import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CHUNK_BITS } from './chunks.ts';
import { SEGMENT_BASE, SEGMENT_WORDS, Segments } from './segments.ts';

function segments(): { hash: Segments; noted: () => number } {
  let noted = 0;
  const hash = new Segments(
    new Int32Array(SEGMENT_WORDS),
    (bytes) => {
      noted += bytes;
    },
    () => {
      throw new Error('full');
    },
  );
  return { hash, noted: () => noted };
}

/** All refs that a look-up meets under a hash, as generated code looks. */
function found(hash: Segments, of: number): number[] {
  const d = hash.dir[of >>> hash.shift];
  const slab = hash.slabs[d >>> CHUNK_BITS];
  const mask = (2 << d) - 1;
  const refs: number[] = [];
  for (let i = (of << 1) & mask; slab[(d & SEGMENT_BASE) + i + 1] !== 0; i = (i + 2) & mask)
    if (slab[(d & SEGMENT_BASE) + i] === of) refs.push(slab[(d & SEGMENT_BASE) + i + 1]);
  return refs.sort((a, b) => a - b);
}

const spread = (n: number): number => {
  let h = Math.imul(n, 0x9e3779b1);
  h = Math.imul(h ^ (h >>> 15), 0x85ebca6b);
  return h ^ (h >>> 13);
};

test('what was entered is found, and what was taken out is not, while segments split and merge hashes', () => {
  const step = fc.record({
    op: fc.constantFrom('add', 'add', 'add', 'remove', 'replace'),
    // Few bits of few places: many equal hashes, and many that differ in one end only.
    base: fc.nat(40),
    shift: fc.constantFrom(0, 4, 9, 27),
    times: fc.constantFrom(1, 1, 1, 30, 700),
    spread: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const { hash, noted } = segments();
      const model = new Map<number, Set<number>>();
      let next = 1;
      for (const s of steps)
        for (let k = 0; k < s.times; k++) {
          const of = s.spread ? spread(s.base * 1000 + k) : (s.base << s.shift) | 0;
          const refs = model.get(of) ?? new Set();
          const [known] = refs;
          if (s.op === 'add') {
            hash.add(of, next);
            refs.add(next++);
            model.set(of, refs);
          } else if (known !== undefined) {
            refs.delete(known);
            if (s.op === 'remove') hash.remove(of, known);
            else {
              hash.replace(of, known, next);
              refs.add(next++);
            }
          }
        }
      let size = 0;
      for (const [of, refs] of model) {
        size += refs.size;
        assert.deepEqual(found(hash, of), [...refs]);
      }
      assert.equal(hash.size, size);
      assert.equal(noted(), hash.bytes);
      hash.reset();
      for (const of of model.keys()) assert.deepEqual(found(hash, of), []);
      assert.equal(noted(), hash.bytes);
    }),
    { numRuns: 200 },
  );
});

test('entries take less than three times their 8 bytes, and at most one slab stands empty', () => {
  const { hash } = segments();
  const rows = 300_000;
  for (let n = 1; n <= rows; n++) {
    hash.add(spread(n), n);
    if (n % 10_000 === 0)
      assert.ok(hash.bytes < n * 8 * 3 + 4.2 * 2 ** 20, `${hash.bytes} bytes for ${n} rows`);
  }
  for (let n = 1; n <= rows; n += 37) assert.ok(found(hash, spread(n)).includes(n));
});

test('thousands of rows with one hash are told apart, and the directory stays small', () => {
  const { hash } = segments();
  for (let n = 1; n <= 5000; n++) hash.add(12345, n);
  assert.ok(hash.dir.length <= 4096, `${hash.dir.length} words`);
  assert.equal(found(hash, 12345).length, 5000);
  assert.deepEqual(found(hash, 12344), []);
  for (let n = 1; n <= 5000; n += 2) hash.remove(12345, n);
  assert.deepEqual(
    found(hash, 12345),
    Array.from({ length: 2500 }, (_, i) => 2 * i + 2),
  );
});
