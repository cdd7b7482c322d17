import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { Ring } from './ring.ts';

test('records come out as they went in, in order, through any number of wraps', () => {
  const step = fc.oneof(
    fc.record({ op: fc.constant('push' as const), bytes: fc.uint8Array({ maxLength: 120 }) }),
    fc.record({ op: fc.constant('shift' as const), bytes: fc.constant(new Uint8Array(0)) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
      const writer = new Ring(256);
      const reader = new Ring(writer.memory);
      const queue: Uint8Array[] = [];
      for (const { op, bytes } of steps) {
        if (op === 'push') {
          const at = writer.reserve(bytes.length);
          if (at < 0) {
            assert.ok(queue.length > 0 || bytes.length > writer.maxLength);
            continue;
          }
          assert.equal(at % 8, 0);
          writer.bytes.set(bytes, at);
          writer.commit();
          queue.push(bytes);
        } else {
          const at = reader.next();
          const expected = queue.shift();
          if (expected === undefined) {
            assert.equal(at, -1);
            continue;
          }
          assert.deepEqual(reader.bytes.slice(at, at + reader.length), expected);
          reader.release();
        }
        assert.equal(reader.empty, queue.length === 0);
      }
    }),
  );
});

test('a record that was reserved but not committed is not seen', () => {
  const ring = new Ring(64);
  ring.reserve(8);
  assert.equal(ring.next(), -1);
  ring.commit();
  assert.equal(ring.next(), 8);
});
