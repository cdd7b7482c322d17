import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fromHex, get16, get32, put16, put32 } from './bytes.ts';
import { addBytes, checksum, fold, ipv4ChecksumOk, update16, update32, updatePartial32 } from './checksum.ts';
import { crc32c, sctpChecksumWord } from './crc32c.ts';

test('the example of RFC 1071', () => {
  assert.equal(checksum(fromHex('0001f203f4f5f6f7')!, 0, 8), 0x220d);
  assert.equal(checksum(fromHex('00')!, 0, 0), 0xffff);
  assert.equal(checksum(fromHex('ab')!, 0, 1), 0x54ff);
});

test('an IPv4 header with the right checksum, and the same with a wrong one', () => {
  const header = fromHex('45000073000040004011b861c0a80001c0a800c7')!;
  assert.ok(ipv4ChecksumOk(header, 0));
  header[8]--;
  assert.ok(!ipv4ChecksumOk(header, 0));
});

test('large buffers do not overflow the sum', () => {
  assert.equal(fold(addBytes(0, new Uint8Array(1 << 20).fill(0xff), 0, 1 << 20)), 0xffff);
});

const data = fc.uint8Array({ minLength: 8, maxLength: 60 }).map((b) => b.subarray(0, b.length & ~3));

test('updating by the difference equals computing again', () => {
  fc.assert(
    fc.property(data, fc.nat(14), fc.integer({ min: 0, max: 0xffffffff }), (bytes, place, value) => {
      // Over data that are not all zero, where 0 and 0xffff stand apart.
      bytes[0] |= 1;
      const at = 4 + 4 * (place % Math.max(1, bytes.length / 4 - 1));
      const before = checksum(bytes, 0, bytes.length);
      const old = get32(bytes, at);
      put32(bytes, at, value);
      const after = checksum(bytes, 0, bytes.length);
      assert.equal(update32(before, old, value), after);
      assert.equal(updatePartial32(~before & 0xffff, old, value), ~after & 0xffff);
      const half = get16(bytes, at);
      put16(bytes, at, (value >>> 16) ^ 0x55);
      assert.equal(update16(after, half, (value >>> 16) ^ 0x55), checksum(bytes, 0, bytes.length));
    }),
  );
});

test('CRC-32C: RFC 3720, appendix B.4', () => {
  assert.equal(crc32c(new Uint8Array(32)), 0x8a9136aa);
  assert.equal(crc32c(new Uint8Array(32).fill(0xff)), 0x62a8ab43);
  assert.equal(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e);
  assert.equal(sctpChecksumWord(0x8a9136aa), 0xaa36918a);
});

test('CRC-32C in two steps', () => {
  const bytes = new TextEncoder().encode('123456789');
  assert.equal(crc32c(bytes), 0xe3069283);
  assert.equal(crc32c(bytes, 4, 9, crc32c(bytes, 0, 4)), 0xe3069283);
});
