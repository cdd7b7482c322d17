import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { AclMatch } from '../api-schema/network.ts';
import { parseFlow } from '../openflow/index.ts';
import { AclMatchError, compileAclMatch, MAX_ACL_MATCHES, rangeMasks } from './acl-match.ts';
import { contains, parseNetwork } from './model/addresses.ts';

const GOOD: readonly [AclMatch, readonly string[]][] = [
  [{}, ['']],
  [{ etherType: 'ipv4' }, ['ip']],
  [{ etherType: 0x86dd }, ['ipv6']],
  [{ etherType: 0x88cc }, ['dl_type=0x88cc']],
  [{ sourceMac: '02:00:00:00:00:0A' }, ['dl_src=02:00:00:00:00:0a']],
  [{ protocol: 'tcp' }, ['tcp', 'tcp6']],
  [{ protocol: 6, etherType: 'ipv6' }, ['tcp6']],
  [{ protocol: 47 }, ['ip,nw_proto=47', 'ipv6,nw_proto=47']],
  [{ protocol: 'icmp', icmpType: 8, icmpCode: 0 }, ['icmp,icmp_type=8,icmp_code=0']],
  [{ protocol: 'icmpv6', icmpType: 128 }, ['icmp6,icmp_type=128']],
  [{ source: '10.0.0.0/24' }, ['ip,nw_src=10.0.0.0/24']],
  [{ source: '10.0.0.1/32', destination: '0.0.0.0/0' }, ['ip,nw_src=10.0.0.1']],
  [
    { source: ['10.0.0.0/24', 'fd00::/64'], protocol: 'udp' },
    ['udp,nw_src=10.0.0.0/24', 'udp6,ipv6_src=fd00::/64'],
  ],
  [{ source: ['10.0.0.5/32', '10.0.0.0/24'] }, ['ip,nw_src=10.0.0.0/24']],
  [
    { protocol: 'tcp', etherType: 'ipv4', destinationPorts: ['80', 443] },
    ['tcp,tp_dst=80', 'tcp,tp_dst=443'],
  ],
  [
    { protocol: 'udp', etherType: 'ipv4', sourcePorts: '8-15', destinationPorts: '0-65535' },
    ['udp,tp_src=8/0xfff8'],
  ],
  [{ etherType: 'arp', source: '10.0.0.1/32' }, ['arp,arp_spa=10.0.0.1']],
];

test('a match comes to the flows that match the same', () => {
  for (const [match, texts] of GOOD) {
    assert.deepEqual(compileAclMatch(match), texts, JSON.stringify(match));
    for (const text of texts) parseFlow(`${text} actions=drop`);
  }
});

test('what can never match is refused: the member, why, and what to do', () => {
  const bad: readonly [AclMatch, string, RegExp][] = [
    [{ etherType: 'ipv4', source: 'fd00::/64' }, '/match/source', /IPv6, and etherType/],
    [{ source: '10.0.0.0/8', destination: 'fd00::/64' }, '/match/destination', /no packet is both/],
    [{ source: '10.0.0.0/8', destination: ['10.0.0.1', 'fd00::1'] }, '/match/destination/1', /IPv6/],
    [{ protocol: 'icmp', etherType: 'ipv6' }, '/match/protocol', /IPv4/],
    [{ protocol: 'icmpv6', source: '10.0.0.1' }, '/match/source', /IPv4/],
    [{ protocol: 'tcp', etherType: 'arp' }, '/match/protocol', /of IP/],
    [{ etherType: 0x88cc, source: '10.0.0.1' }, '/match/source', /of IP/],
    [{ etherType: 'arp', destination: 'fd00::1' }, '/match/destination', /ARP is of IPv4/],
    [{ destinationPorts: 80 }, '/match/destinationPorts', /needs a protocol/],
    [{ protocol: 'icmp', sourcePorts: 80 }, '/match/sourcePorts', /needs a protocol/],
    [{ protocol: 'tcp', icmpType: 8 }, '/match/icmpType', /needs ICMP/],
    [{ protocol: 'tcp', destinationPorts: ['80', '90-80'] }, '/match/destinationPorts/1', /no range/],
    [{ protocol: 'tcp', destinationPorts: '70000' }, '/match/destinationPorts', /no port/],
    [{ source: ['10.0.0.0/33'] }, '/match/source/0', /no network/],
  ];
  for (const [match, member, message] of bad) {
    assert.throws(
      () => compileAclMatch(match),
      (error) =>
        error instanceof AclMatchError &&
        error.member === member &&
        error.remedy !== '' &&
        message.test(error.message),
      JSON.stringify(match),
    );
  }
});

test('a rule that comes to too many flows is refused with the sum', () => {
  const source = Array.from({ length: 256 }, (_, i) => `10.0.${i}.0/24`);
  const destination = Array.from({ length: 16 }, (_, i) => `10.1.${2 * i}.0/24`);
  assert.equal(compileAclMatch({ source }).length, 256);
  assert.throws(() => compileAclMatch({ source, destination }), /comes to 4096 flows \(256 x 16 x 1 x 1/);
  assert.equal(MAX_ACL_MATCHES, 2048);
});

test('a range is the blocks that cover it exactly, and few', () => {
  const port = fc.integer({ min: 0, max: 0xffff });
  fc.assert(
    fc.property(port, port, fc.array(port, { maxLength: 20 }), (a, b, others) => {
      const [from, to] = a <= b ? [a, b] : [b, a];
      const masks = rangeMasks(from, to);
      assert.ok(masks.length <= 30);
      for (const n of [from - 1, from, to, to + 1, ...others]) {
        if (n < 0 || n > 0xffff) continue;
        const hits = masks.filter((text) => {
          const [value, mask = '0xffff'] = text.split('/');
          return text === '' || (n & Number(mask)) === Number(value);
        });
        assert.equal(hits.length, n >= from && n <= to ? 1 : 0, `${n} in ${from}-${to}`);
      }
    }),
  );
});

test('networks within others are left out, whatever their order', () => {
  const seed = Number(process.env.SEED ?? Date.now());
  let x = seed >>> 0;
  const random = (n: number): number => {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    return Math.floor((x / 2 ** 32) * n);
  };
  for (let round = 0; round < 200; round++) {
    const list = Array.from({ length: 1 + random(12) }, () => {
      const length = 24 + random(9);
      const mask = (0xff00 >> (length - 24)) & 0xff;
      const text = random(4) === 0 ? `fd00::${(random(256) & mask).toString(16)}00/${length + 88}` : '';
      return text === '' ? `10.0.0.${random(256) & mask}/${length}` : text;
    });
    const networks = list.map((text) => parseNetwork(text)!);
    const outer = networks.filter(
      (network, i) =>
        !networks.some(
          (other, j) =>
            contains(other, network.base) &&
            (other.length < network.length || (other.length === network.length && j < i)),
        ),
    );
    const found = compileAclMatch({ source: list }).map((text) => /_src=(.*)$/.exec(text)![1]);
    const expected = outer.map(({ base, length }) =>
      length === base.bytes.length * 8 ? base.text : `${base.text}/${length}`,
    );
    assert.deepEqual(
      found.toSorted(),
      expected.toSorted(),
      `seed ${seed}, round ${round}: ${list.join(' ')}`,
    );
  }
});
