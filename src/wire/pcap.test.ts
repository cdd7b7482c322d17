import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { PcapReader, pcapHeader, pcapRecord, readPcap, writePcap } from './pcap.ts';

test('what is written is read, however it comes in', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 30 }), { maxLength: 5 }),
      fc.integer({ min: 1, max: 50 }),
      (packets, step) => {
        const file = writePcap(packets);
        assert.deepEqual(
          readPcap(file).map((p) => p.bytes),
          packets,
        );
        const reader = new PcapReader();
        const found = [];
        for (let at = 0; at < file.length; at += step) found.push(...reader.push(file.slice(at, at + step)));
        assert.deepEqual(
          found.map((p) => p.bytes),
          packets,
        );
        assert.equal(reader.linkType, 1);
      },
    ),
  );
});

test('times', () => {
  const [packet] = readPcap(
    new Uint8Array([...pcapHeader(), ...pcapRecord(new Uint8Array(1), 1_700_000_000_123.5)]),
  );
  assert.equal(packet.seconds, 1_700_000_000);
  assert.equal(packet.micros, 123_500);
});

test('the other byte order and nanoseconds', () => {
  const file = new Uint8Array(24 + 16 + 2);
  const view = new DataView(file.buffer);
  view.setUint32(0, 0xa1b23c4d);
  view.setUint32(20, 1);
  view.setUint32(24, 7);
  view.setUint32(28, 5000);
  view.setUint32(32, 2);
  view.setUint32(36, 9);
  const [packet] = readPcap(file);
  assert.deepEqual([packet.seconds, packet.micros, packet.bytes.length, packet.wireLength], [7, 5, 2, 9]);
});

test('damaged files are refused', () => {
  assert.throws(() => readPcap(new Uint8Array(24)), { code: 'bad-pcap' });
  assert.throws(() => readPcap(new Uint8Array(5)), { code: 'bad-pcap' });
  assert.throws(() => readPcap(writePcap([new Uint8Array(9)]).subarray(0, 44)), { code: 'bad-pcap' });
  const huge = writePcap([new Uint8Array(9)]);
  huge.fill(0xff, 32, 36);
  assert.throws(() => readPcap(huge), { code: 'bad-pcap' });
});
