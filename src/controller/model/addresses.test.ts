/** Addresses and networks, held against those of Node and of URLs. */
import assert from 'node:assert/strict';
import { BlockList, isIP } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import { contains, notHost, notUnicast, notUnicastMac, overlap, parseIp, parseNetwork } from './addresses.ts';

/** Few distinct groups, so that runs of zeros and networks that hold one another are common. */
const group = fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.nat(2), fc.nat(0xffff));
const ipv6 = fc
  .array(group, { minLength: 8, maxLength: 8 })
  .map((groups) => groups.map((g) => g.toString(16)).join(':'));
const ipv4 = fc
  .array(fc.oneof(fc.nat(2), fc.nat(255)), { minLength: 4, maxLength: 4 })
  .map((bytes) => bytes.join('.'));
const network = fc.oneof(
  fc.tuple(ipv4, fc.nat(32)).map(([ip, length]) => `${ip}/${length}`),
  fc.tuple(ipv6, fc.nat(128)).map(([ip, length]) => `${ip}/${length}`),
);

test('IPv6 addresses have the text that URLs give them (RFC 5952)', () => {
  fc.assert(
    fc.property(ipv6, (text) => {
      const ours = parseIp(text)!.text;
      assert.equal(parseIp(ours)!.text, ours);
      // With IPv4 in them they are written with dots here, and not in URLs.
      if (!ours.includes('.')) assert.equal(`[${ours}]`, new URL(`http://[${text}]/`).hostname);
    }),
  );
});

test('what is an address to us is one to Node, and the other way round', () => {
  const text = fc.oneof(
    ipv4,
    ipv6,
    fc.string({ unit: fc.constantFrom(...'0123456789abf:./ '), maxLength: 12 }),
  );
  fc.assert(
    fc.property(text, (candidate) => {
      assert.equal(parseIp(candidate)?.family ?? 0, isIP(candidate), candidate);
    }),
    { numRuns: 500 },
  );
});

test('a network contains what it contains to Node', () => {
  fc.assert(
    fc.property(network, fc.oneof(ipv4, ipv6), (text, ip) => {
      const parsed = parseNetwork(text)!;
      const family = parsed.base.family === 4 ? 'ipv4' : 'ipv6';
      const list = new BlockList();
      list.addSubnet(parsed.base.text, parsed.length, family);
      const address = parseIp(ip)!;
      const expected = address.family === parsed.base.family && list.check(address.text, family);
      assert.equal(contains(parsed, address), expected, `${text} ${ip}`);
    }),
    { numRuns: 500 },
  );
});

test('two networks overlap if one contains the base of the other', () => {
  fc.assert(
    fc.property(network, network, (a, b) => {
      const [left, right] = [parseNetwork(a)!, parseNetwork(b)!];
      const expected = contains(left, right.base) || contains(right, left.base);
      assert.equal(overlap(left, right), expected);
      assert.equal(overlap(right, left), expected);
    }),
  );
});

test('addresses that no machine has, and those that it may have', () => {
  const rows: [text: string, unicast: boolean][] = [
    ['10.0.0.1', true],
    ['240.0.0.1', true],
    ['0.0.0.0', false],
    ['0.1.2.3', false],
    ['127.0.0.1', false],
    ['224.0.0.1', false],
    ['239.255.255.255', false],
    ['255.255.255.255', false],
    ['fe80::1', true],
    ['fd00::', true],
    ['::', false],
    ['::1', false],
    ['ff02::1', false],
  ];
  for (const [text, unicast] of rows) assert.equal(notUnicast(parseIp(text)!) === undefined, unicast, text);
});

test('addresses that no host of a network has, and those that it may have', () => {
  const rows: [text: string, host: boolean][] = [
    ['10.0.0.1/24', true],
    ['10.0.0.0/24', false],
    ['10.0.0.255/24', false],
    ['10.0.0.255/23', true],
    ['10.0.1.255/23', false],
    ['10.0.0.0/31', true],
    ['10.0.0.1/31', true],
    ['10.0.0.0/32', true],
    ['10.1.2.3/0', true],
    ['fd00::1/64', true],
    ['fd00::/64', false],
    ['fd00::ffff:ffff:ffff:ffff/64', true],
    ['fd00::/127', true],
    ['fd00::/128', true],
  ];
  for (const [text, host] of rows) assert.equal(notHost(parseNetwork(text)!) === undefined, host, text);
});

test('texts that are no networks are none', () => {
  for (const text of [
    '',
    '/',
    '10.0.0.0/',
    '10.0.0.0/33',
    '10.0.0.0/-1',
    '10.0.0.0/08',
    '10.0.0.0/8/8',
    'fd00::/129',
    '10.0.0/8',
    'x/8',
  ])
    assert.equal(parseNetwork(text), undefined, text);
});

test('MAC addresses that no machine has', () => {
  for (const mac of ['00:00:00:00:00:00', 'ff:ff:ff:ff:ff:ff', '01:00:5e:00:00:01', '33:33:00:00:00:01'])
    assert.notEqual(notUnicastMac(mac), undefined, mac);
  for (const mac of ['02:00:00:00:00:01', 'fe:00:00:00:00:00'])
    assert.equal(notUnicastMac(mac), undefined, mac);
});
