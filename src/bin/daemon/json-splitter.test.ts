import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { JsonSplitter } from './json-splitter.ts';

test('objects are cut out of the stream however its bytes arrive', () => {
  fc.assert(
    fc.property(
      fc.array(fc.dictionary(fc.string(), fc.jsonValue())),
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }),
      (objects, sizes) => {
        const bytes = Buffer.from(objects.map((o) => JSON.stringify(o)).join(' \n'));
        const splitter = new JsonSplitter(1 << 20);
        const texts: string[] = [];
        for (let at = 0, i = 0; at < bytes.length; i++) {
          const size = sizes[i % sizes.length];
          texts.push(...splitter.push(bytes.subarray(at, at + size)));
          at += size;
        }
        assert.deepEqual(
          texts.map((t) => JSON.parse(t)),
          objects.map((o) => JSON.parse(JSON.stringify(o))),
        );
      },
    ),
  );
});

test('what is no object, too large or not UTF-8 is refused', () => {
  assert.throws(
    () => new JsonSplitter(100).push(Buffer.from('x')),
    /byte 0x78 where a JSON object should start/,
  );
  assert.throws(() => new JsonSplitter(3).push(Buffer.from('{"abc"')), /more than 3 bytes/);
  const splitter = new JsonSplitter(3);
  assert.throws(
    () => [splitter.push(Buffer.from('{""')), splitter.push(Buffer.from(' }'))],
    /more than 3 bytes/,
  );
  assert.throws(() => new JsonSplitter(9).push(Uint8Array.of(0x7b, 0xff, 0x7d)), /not UTF-8/);
});
