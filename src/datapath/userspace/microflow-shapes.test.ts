import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { newFlow, W_IN_PORT } from '../../flow/layout.ts';
import { DIRTY_ALL, extractReused } from '../packet/extract.ts';
import { Packet } from '../packet/packet.ts';
import { FULL_SHAPE, IPV4_SHAPE, IPV6_SHAPE, shapeOf } from './microflow-shapes.ts';

/** Link layer, tags, an IP header whose lengths fit, and noise: most of these get as far as L4. */
const ip = (version: 4 | 6) =>
  fc
    .record({
      macs: fc.uint8Array({ minLength: 12, maxLength: 12 }),
      tag: fc.option(fc.uint8Array({ minLength: 2, maxLength: 2 })),
      protocol: fc.constantFrom(1, 2, 6, 17, 58, 132, 44, 0),
      noise: fc.uint8Array({ minLength: 20, maxLength: 64 }),
      type: fc.constantFrom(135, 136, 0x45, 128),
    })
    .map(({ macs, tag, protocol, noise, type }) => {
      const rest = Uint8Array.from(noise);
      rest[0] = type;
      rest[1] = 0;
      if (protocol === 6) rest[12] = 0x50;
      const total = 20 + rest.length;
      const header =
        version === 4
          ? [0x45, 0, total >> 8, total & 255, 0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]
          : [0x60, 0, 0, 0, 0, rest.length, protocol, 64, ...new Array(32).fill(9)];
      const link = tag === null ? [] : [0x81, 0, ...tag];
      return Uint8Array.from([
        ...macs,
        ...link,
        ...(version === 4 ? [8, 0] : [0x86, 0xdd]),
        ...header,
        ...rest,
      ]);
    });

test('a shape holds every word that a packet of its kind can set', () => {
  const seen = new Set<readonly number[]>();
  const key = newFlow();
  let dirty = DIRTY_ALL;
  fc.assert(
    fc.property(fc.oneof(ip(4), ip(6), fc.uint8Array({ minLength: 14, maxLength: 100 })), (bytes) => {
      key[W_IN_PORT] = 3;
      dirty = extractReused(new Packet(bytes), key, dirty, 2);
      const shape = shapeOf(dirty);
      seen.add(shape);
      const words = new Set(shape);
      key.forEach((value, word) => {
        if (value !== 0) assert.ok(words.has(word), `word ${word} is set`);
      });
    }),
    { numRuns: 2000 },
  );
  assert.deepEqual(seen, new Set([IPV4_SHAPE, IPV6_SHAPE, FULL_SHAPE]));
});
