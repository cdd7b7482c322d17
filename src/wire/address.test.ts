import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  formatIpv4,
  formatIpv4Word,
  formatIpv6,
  formatMac,
  parseIpv4Address,
  parseIpv6Address,
  parseMacAddress,
} from './address.ts';
import { fromHex, getBig, putBig, toHex } from './bytes.ts';

const bytesOf = (n: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ minLength: n, maxLength: n });

test('addresses: what is formatted is parsed again', () => {
  fc.assert(fc.property(bytesOf(6), (b) => assert.deepEqual(parseMacAddress(formatMac(b)), b)));
  fc.assert(fc.property(bytesOf(4), (b) => assert.deepEqual(parseIpv4Address(formatIpv4(b)), b)));
  const sparse = fc.array(fc.constantFrom(0, 0, 0, 0, 1, 255), { minLength: 16, maxLength: 16 });
  fc.assert(
    fc.property(
      fc.oneof(
        bytesOf(16),
        sparse.map((a) => Uint8Array.from(a)),
      ),
      (b) => assert.deepEqual(parseIpv6Address(formatIpv6(b)), b),
    ),
  );
});

test('IPv6 texts are those of inet_ntop(3)', () => {
  for (const text of [
    '::',
    '::1',
    '::2',
    '1::',
    '1:0:0:2::3',
    '1::2:0:0:3',
    'fe80::1',
    '::1.2.3.4',
    '::ffff:1.2.3.4',
    '1:0:2:0:3:0:4:0',
    '::ffff:0:0:1',
  ]) {
    assert.equal(formatIpv6(parseIpv6Address(text)!), text);
  }
  assert.equal(formatIpv6(parseIpv6Address('1:2:3:4:5:6:7::')!), '1:2:3:4:5:6:7:0');
  assert.equal(formatIpv4Word(0xffffff00), '255.255.255.0');
});

test('what is no address is refused', () => {
  for (const text of [
    '',
    ':',
    ':::',
    '1:2',
    '1::2::3',
    '12345::',
    'g::',
    '1.2.3.4',
    '::1.2.3',
    '1.2.3.4::',
    '1:2:3:4:5:6:7:8:9',
    '::1:2:3:4:5:6:7:8',
  ]) {
    assert.equal(parseIpv6Address(text), null, text);
  }
  for (const text of ['', '1.2.3', '1.2.3.4.5', '1.2.3.256', '01.2.3.4', '1.2.3.-4', 'a.b.c.d']) {
    assert.equal(parseIpv4Address(text), null, text);
  }
  for (const text of ['', '1:2:3:4:5', '1:2:3:4:5:6:7', '1:2:3:4:5:g', '100:2:3:4:5:6']) {
    assert.equal(parseMacAddress(text), null, text);
  }
});

test('hexadecimal and big integers', () => {
  assert.equal(toHex(fromHex('00 fF 10')!), '00ff10');
  assert.equal(fromHex('0'), null);
  assert.equal(fromHex('0g'), null);
  const b = new Uint8Array(8);
  putBig(b, 1, 6, 0x1234567890abn);
  assert.equal(toHex(b), '001234567890ab00');
  assert.equal(getBig(b, 1, 7), 0x1234567890abn);
});
