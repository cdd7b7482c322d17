import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { KeyedHeap } from './keyed-heap.ts';

test('the top is the lowest of all, whatever was added, changed and taken out', () => {
  const step = fc.oneof(
    { weight: 3, arbitrary: fc.tuple(fc.constant('set' as const), fc.nat(30), fc.nat(9), fc.nat(9)) },
    { weight: 1, arbitrary: fc.tuple(fc.constant('delete' as const), fc.nat(30), fc.nat(9), fc.nat(9)) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const heap = new KeyedHeap<number>();
      const model = new Map<number, readonly [number, number]>();
      for (const [what, member, key, second] of steps) {
        if (what === 'set') {
          heap.set(member, key, second);
          model.set(member, [key, second]);
        } else {
          assert.equal(heap.delete(member), model.delete(member));
        }
        assert.equal(heap.size, model.size);
        assert.equal(heap.has(member), model.has(member));
        assert.equal(heap.key(member), model.get(member)?.[0]);
        const rank = ([a, b]: readonly [number, number]) => a * 100 + b;
        const lowest = Math.min(...[...model.values()].map(rank));
        const { top } = heap;
        if (top === undefined) assert.equal(model.size, 0);
        else assert.equal(rank(model.get(top) ?? [-1, -1]), lowest);
        assert.equal(heap.topKey, Math.min(...[...model.values()].map(([a]) => a)));
      }
    }),
  );
});
