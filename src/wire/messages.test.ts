import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fromHex } from './bytes.ts';
import { type Dhcp, dhcpLength, emitDhcp, parseDhcp } from './dhcp.ts';
import { parseGroupRecords } from './igmp.ts';
import { ip, mac } from './make.ts';
import { Malformed } from './malformed.ts';
import { MLD_V2_REPORT, parseMld } from './mld.ts';

const DISCOVER: Dhcp = {
  layer: 'dhcp',
  op: 1,
  xid: 0xdeadbeef,
  secs: 3,
  flags: 0x8000,
  ciaddr: ip('0.0.0.0'),
  yiaddr: ip('10.0.0.9'),
  siaddr: ip('10.0.0.1'),
  giaddr: ip('0.0.0.0'),
  chaddr: mac('02:00:00:00:00:01'),
  options: [
    { code: 53, data: Uint8Array.of(1) },
    { code: 55, data: Uint8Array.of(1, 3, 6) },
  ],
};

test('DHCP: there and back, and cut at every byte', () => {
  const bytes = new Uint8Array(dhcpLength(DISCOVER));
  emitDhcp(DISCOVER, bytes, 0);
  const parsed = parseDhcp(bytes, 0, bytes.length);
  assert.ok(!(parsed instanceof Malformed));
  assert.deepEqual(parsed.value, DISCOVER);
  for (let end = 0; end < bytes.length; end++) assert.ok(parseDhcp(bytes, 0, end) instanceof Malformed);
});

test('IGMPv3 group records', () => {
  const bytes = fromHex('04000001 e1010101 0a000001  03000000 e1010102')!;
  assert.deepEqual(parseGroupRecords(bytes, 0, bytes.length, 2, 4), [
    { type: 4, group: ip('225.1.1.1'), sources: [ip('10.0.0.1')] },
    { type: 3, group: ip('225.1.1.2'), sources: [] },
  ]);
  for (let end = 0; end < bytes.length; end++) {
    assert.ok(parseGroupRecords(bytes, 0, end, 2, 4) instanceof Malformed);
  }
});

test('MLD: version 1 report, version 2 report', () => {
  const report = fromHex(`83000000 03e80000 ff020000000000000000000000000001`)!;
  assert.deepEqual(parseMld(report, 0, report.length), {
    type: 131,
    maxResponse: 1000,
    group: ip('ff02::1'),
    records: [],
  });
  const v2 = fromHex('8f000000 00000001 04000000 ff020000000000000000000000000001')!;
  const parsed = parseMld(v2, 0, v2.length);
  assert.ok(!(parsed instanceof Malformed));
  assert.equal(parsed.type, MLD_V2_REPORT);
  assert.deepEqual(parsed.records[0].group, ip('ff02::1'));
  assert.ok(parseMld(v2, 0, v2.length - 1) instanceof Malformed);
});

test('random bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(0xffff), (bytes, count) => {
      parseMld(bytes, 0, bytes.length);
      parseDhcp(bytes, 0, bytes.length);
      parseGroupRecords(bytes, 0, bytes.length, count, 4);
    }),
  );
});
