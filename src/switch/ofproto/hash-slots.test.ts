import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { describeSlots, hashSlots } from './hash-slots.ts';

const count = (slots: Uint16Array, weights: readonly number[]): number[] =>
  weights.map((_, i) => slots.filter((slot) => slot === i).length);

test('slots are shared out by weight, of which those of Open vSwitch are known', () => {
  // What its log says of these weights.
  for (const [weights, hits] of [
    [
      [1, 1],
      [8, 8],
    ],
    [
      [5, 10, 25, 60, 0],
      [2, 3, 8, 19, 0],
    ],
  ] as const) {
    const slots = hashSlots(weights);
    assert.ok(slots !== null);
    assert.deepEqual(count(slots, weights), hits);
  }
});

test('no bucket is more than a slot away from its share, and one without weight has none', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 20 }), { minLength: 1, maxLength: 12 }), (weights) => {
      const slots = hashSlots(weights);
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      if (slots === null) return total === 0 || total > (256 * Math.min(...weights.filter((w) => w > 0))) / 2;
      assert.equal(slots.length & (slots.length - 1), 0);
      count(slots, weights).forEach((n, i) => {
        if (weights[i] === 0) assert.equal(n, 0);
        // Webster's method may break quota, by little.
        assert.ok(Math.abs(n - (slots.length * weights[i]) / total) < 2);
      });
      return true;
    }),
  );
});

test('groups that would need too many slots, or whose buckets weigh nothing, have none', () => {
  assert.equal(hashSlots([]), null);
  assert.equal(hashSlots([0, 0]), null);
  assert.equal(hashSlots([1, 300]), null);
  assert.equal(hashSlots([1, 255])?.length, 256);
});

test('the log tells why a group has no slots in the words of Open vSwitch', () => {
  const told = (weights: readonly number[]): string[] =>
    describeSlots(
      weights.map((weight, id) => ({ id, weight })),
      hashSlots(weights),
    );
  assert.deepEqual(told([]), ["  Don't apply dp_hash method without buckets."]);
  assert.deepEqual(told([0]), ['  Total weight is zero. No active buckets.']);
  assert.deepEqual(told([1, 1000]), [
    '  Minimum weight: 1, total weight: 1001',
    '  Too many hash values required: 1024',
  ]);
});
