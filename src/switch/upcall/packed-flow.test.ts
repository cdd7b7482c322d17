import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FLOW_WORDS, newFlow } from '../../flow/layout.ts';
import { FlowPool } from './packed-flow.ts';

const key = fc
  .array(fc.tuple(fc.nat(FLOW_WORDS - 1), fc.integer({ min: 0, max: 0xffffffff })), { maxLength: 20 })
  .map((words) => {
    const flow = newFlow();
    for (const [word, value] of words) flow[word] = value;
    return flow;
  });

test('what is packed comes out as it was', () => {
  const pool = new FlowPool();
  fc.assert(
    fc.property(key, (flow) => {
      const packed = pool.pack(flow);
      assert.deepEqual(packed.unpack(), flow);
      for (let word = 0; word < FLOW_WORDS; word++) assert.equal(packed.word(word), flow[word]);
    }),
  );
});

test('equal masks are one, others stay themselves, however many come', () => {
  const pool = new FlowPool();
  for (let n = 0; n < 10_000; n++) {
    const mask = newFlow();
    mask[n % 7] = n;
    assert.deepEqual(pool.share(mask.slice()), mask);
    const again = pool.share(mask.slice());
    assert.equal(pool.share(mask), again);
  }
});
