import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Framer } from './framer.ts';

/** A message of `body` bytes after its header. */
function message(body: number, xid: number): Uint8Array {
  const bytes = new Uint8Array(8 + body).fill(xid & 0xff);
  const view = new DataView(bytes.buffer);
  bytes[0] = 4;
  bytes[1] = 2;
  view.setUint16(2, bytes.length);
  view.setUint32(4, xid);
  return bytes;
}

describe('a stream of messages', () => {
  it('is cut into messages, whatever its chunks are', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.nat(40), fc.nat(65_527)), { minLength: 1, maxLength: 8 }),
        fc.infiniteStream(fc.oneof(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 70_000 }))),
        (bodies, sizes) => {
          const messages = bodies.map(message);
          const stream = Buffer.concat(messages);
          const framer = new Framer();
          const out: Uint8Array[] = [];
          for (let at = 0; at < stream.length; ) {
            const size = sizes.next().value;
            out.push(...framer.push(stream.subarray(at, at + size)));
            at += size;
          }
          assert.deepEqual(out, messages);
          assert.equal(framer.error, null);
          assert.equal(framer.pending, 0);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('can come one byte at a time', () => {
    const framer = new Framer();
    const whole = message(3, 7);
    for (const byte of whole.subarray(0, -1)) assert.deepEqual(framer.push(Uint8Array.of(byte)), []);
    assert.equal(framer.pending, whole.length - 1);
    assert.deepEqual(framer.push(whole.subarray(-1)), [whole]);
  });

  it('gives messages that came in pieces in memory of their own', () => {
    const framer = new Framer();
    const whole = message(1, 1);
    const chunks = [whole.slice(0, 5), whole.slice(5)];
    const out = chunks.flatMap((chunk) => framer.push(chunk));
    for (const chunk of chunks) chunk.fill(0xff);
    assert.deepEqual(out, [whole]);
  });

  for (const length of [0, 7]) {
    it(`ends where a header claims ${length} bytes`, () => {
      const bad = message(0, 2);
      bad[3] = length;
      for (const step of [1, 100]) {
        const framer = new Framer();
        const stream = Buffer.concat([message(0, 1), bad, message(0, 3)]);
        const out: Uint8Array[] = [];
        for (let at = 0; at < stream.length; at += step)
          out.push(...framer.push(stream.subarray(at, at + step)));
        assert.equal(out.length, 1);
        assert.equal(framer.error?.ofperr, 'OFPBRC_BAD_LEN');
        assert.deepEqual(framer.push(message(0, 4)), []);
      }
    });
  }
});
