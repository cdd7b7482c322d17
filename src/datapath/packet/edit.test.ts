import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import * as L from '../../flow/layout.ts';
import { fromHex, get16, get32, put16, toHex } from '../../wire/bytes.ts';
import { addBytes, fold, ipv4ChecksumOk, pseudoHeader } from '../../wire/checksum.ts';
import { crc32c, sctpChecksumWord } from '../../wire/crc32c.ts';
import { arp, eth, icmp, icmpv6, ipv4, ipv6, mpls, nd, sctp, tcp, udp, vlan } from '../../wire/make.ts';
import { buildPacket, type Layer } from '../../wire/packet.ts';
import type { DpAction, SetGroup, SetWord } from '../types.ts';
import {
  applyEdit,
  applySet,
  applySetToFlow,
  popEth,
  popMpls,
  popVlan,
  pushEth,
  pushMpls,
  pushVlan,
} from './edit.ts';
import { extractFlow } from './extract.ts';
import { ABSENT, Packet } from './packet.ts';

const A = '02:00:00:00:00:0a';
const B = '02:00:00:00:00:0b';
const V4 = ipv4('10.0.0.1', '10.0.0.2', { tos: 0x14, ttl: 9 });
const V6 = ipv6('fe80::1', 'fe80::2', { label: 0x12345 });
const DATA = fromHex('0102030405')!;
const HOP: Layer = { layer: 'ipv6ext', kind: 0, data: fromHex('010400000000')! };
const FRAG: Layer = { layer: 'ipv6frag', offset: 0, more: false, id: 5 };

const PACKETS: Record<string, Uint8Array> = {
  tcp4: buildPacket([eth(A, B), V4, tcp(80, 81)], DATA),
  'tcp4 with options, tagged': buildPacket(
    [eth(A, B), vlan(5), ipv4('10.0.0.1', '10.0.0.2', { options: fromHex('01010101')! }), tcp(80, 81)],
    DATA,
  ),
  'tcp4 padded': new Uint8Array([...buildPacket([eth(A, B), V4, tcp(80, 81)]), 1, 2, 3]),
  udp4: buildPacket([eth(A, B), V4, udp(53, 54)], DATA),
  'udp4 without checksum': buildPacket([eth(A, B), V4, udp(53, 54, { checksum: 0 })], DATA),
  sctp4: buildPacket([eth(A, B), V4, sctp(7, 8)], DATA),
  icmp4: buildPacket([eth(A, B), V4, icmp(8, 0, 77)], DATA),
  tcp6: buildPacket([eth(A, B), V6, tcp(80, 81)], DATA),
  'udp6 behind extensions': buildPacket([eth(A, B), V6, HOP, FRAG, udp(53, 54)], DATA),
  icmp6: buildPacket([eth(A, B), V6, icmpv6(128)], DATA),
  'nd solicit': buildPacket([eth(A, B), V6, icmpv6(135), nd('fe80::3', { source: A })]),
  'nd advert': buildPacket([eth(A, B), V6, icmpv6(136), nd('fe80::3', { target: B })]),
  arp: buildPacket([eth(A, B), arp(1, A, '10.0.0.1', B, '10.0.0.2')]),
  mpls: buildPacket([eth(A, B), mpls(100), mpls(200), V4, udp(1, 2)]),
};

/** Words of each header, and the bits of them that a set may write. */
const WRITABLE: readonly (readonly [SetGroup, readonly (readonly [word: number, bits: number])[]])[] = [
  ['eth', [0, 1, 2].map((i) => [L.W_ETH + i, 0xffffffff] as const)],
  [
    'ipv4',
    [
      [L.W_NW_SRC, 0xffffffff],
      [L.W_NW_DST, 0xffffffff],
      [L.W_NW, 0x00ffff00],
    ],
  ],
  [
    'ipv6',
    [
      ...[0, 1, 2, 3, 4, 5, 6, 7].map((i) => [L.W_IPV6_SRC + i, 0xffffffff] as const),
      [L.W_IPV6_LABEL, 0xfffff],
      [L.W_NW, 0x00ffff00],
    ],
  ],
  ['tcp', [[L.W_TP, 0xffffffff]]],
  ['udp', [[L.W_TP, 0xffffffff]]],
  ['sctp', [[L.W_TP, 0xffffffff]]],
  ['icmp', [[L.W_TP, 0x00ff00ff]]],
  ['nd', [0, 1, 2, 3].map((i) => [L.W_ND_TARGET + i, 0xffffffff] as const)],
  [
    'arp',
    [
      [L.W_NW, 0xff],
      [L.W_NW_SRC, 0xffffffff],
      [L.W_NW_DST, 0xffffffff],
      ...[0, 1, 2].map((i) => [L.W_ARP_HA + i, 0xffffffff] as const),
    ],
  ],
  ['mpls', [[L.W_MPLS, 0xfffffeff]]],
];

/** The groups that a packet has headers for. */
function groupsOf(name: string): readonly SetGroup[] {
  const l4: SetGroup[] = (['tcp', 'udp', 'sctp'] as const).filter((g) => name.startsWith(g));
  if (name.startsWith('icmp4')) l4.push('icmp');
  if (name.startsWith('nd')) l4.push('nd');
  if (name === 'arp' || name === 'mpls') return ['eth', name];
  return ['eth', name.includes('4') ? 'ipv4' : 'ipv6', ...l4];
}

const anySet = fc
  .tuple(
    fc.constantFrom(...Object.keys(PACKETS)),
    fc.nat(),
    fc.infiniteStream(fc.integer({ min: 0, max: 0xffffffff })),
  )
  .map(([name, pick, stream]): { name: string; group: SetGroup; words: SetWord[] } => {
    const groups = groupsOf(name);
    const group = groups[pick % groups.length];
    const writable = WRITABLE.find(([g]) => g === group)![1];
    const draw = (): number => stream.next().value;
    const words = writable.map(([word, bits]) => {
      const mask = ([0xffffffff, 0, 0xffff00ff, draw()][draw() % 4] & bits) >>> 0;
      return { word, value: (draw() & mask) >>> 0, mask };
    });
    return { name, group, words };
  });

function load(bytes: Uint8Array): { packet: Packet; flow: L.Flow } {
  const packet = Packet.copyOf(bytes);
  const flow = L.newFlow();
  extractFlow(packet, flow);
  return { packet, flow };
}

/** All checksums of a packet with its layers known are right. */
function assertChecksums(packet: Packet, what: string): void {
  const b = packet.buffer;
  const l3 = packet.start + packet.l3;
  const l4 = packet.start + packet.l4;
  if (packet.l4 === ABSENT) return;
  const v4 = b[l3] >> 4 === 4;
  if (v4) assert.ok(ipv4ChecksumOk(b, l3), `${what}: IPv4 checksum`);
  const flow = L.newFlow();
  extractFlow(packet, flow);
  const protocol = flow[L.W_NW] & 0xff;
  const end = packet.end - packet.l2Pad;
  if (protocol === 17 && get16(b, l4 + 6) === 0) return;
  if (protocol === 132) {
    const copy = b.slice(l4, end);
    copy.fill(0, 8, 12);
    assert.equal(get32(b, l4 + 8), sctpChecksumWord(crc32c(copy)), `${what}: SCTP checksum`);
  } else {
    const pseudo = protocol === 1 ? 0 : pseudoHeader(b, l3, protocol, end - l4);
    assert.equal(fold(addBytes(pseudo, b, l4, end)), 0xffff, `${what}: L4 checksum`);
  }
}

test('a set writes its bits, nothing else, and all checksums stay right', () => {
  fc.assert(
    fc.property(anySet, ({ name, group, words }) => {
      const { packet, flow } = load(PACKETS[name]);
      assertChecksums(packet, 'before');
      assert.ok(applySet(packet, group, words));
      applySetToFlow(flow, group, words);
      const after = L.newFlow();
      extractFlow(packet, after);
      assert.deepEqual(after, flow);
      // A changed ICMP type may end the message's being one of neighbor discovery; its checksum holds anyway.
      assertChecksums(packet, `${group} of ${name}`);
      if (name === 'udp4 without checksum')
        assert.equal(get16(packet.buffer, packet.start + packet.l4 + 6), 0);
    }),
    { numRuns: 3000 },
  );
});

test('a wrong checksum stays wrong by as much', () => {
  fc.assert(
    fc.property(anySet, fc.integer({ min: 1, max: 0xfffe }), ({ name, group, words }, error) => {
      fc.pre(name.startsWith('tcp'));
      const right = load(PACKETS[name]).packet;
      const wrong = load(PACKETS[name]).packet;
      const at = right.start + right.l4 + 16;
      put16(wrong.buffer, at, fold(get16(wrong.buffer, at) + error));
      applySet(right, group, words);
      applySet(wrong, group, words);
      const sum = (n: number): number => fold(n) % 0xffff;
      assert.equal(sum(get16(wrong.buffer, at)), sum(get16(right.buffer, at) + error));
    }),
    { numRuns: 500 },
  );
});

test('an unfinished checksum is right once it is finished, whatever was edited and pushed', () => {
  fc.assert(
    fc.property(anySet, fc.boolean(), ({ name, group, words }, tag) => {
      fc.pre(/^(tcp|udp|icmp6)/.test(name) && !name.includes('without'));
      const { packet } = load(PACKETS[name]);
      const protocol = name.startsWith('tcp') ? 6 : name.startsWith('udp') ? 17 : 58;
      packet.csumStart = packet.l4;
      packet.csumOffset = protocol === 6 ? 16 : protocol === 17 ? 6 : 2;
      const l4 = packet.start + packet.l4;
      const pseudo = pseudoHeader(
        packet.buffer,
        packet.start + packet.l3,
        protocol,
        packet.end - packet.l2Pad - l4,
      );
      put16(packet.buffer, l4 + packet.csumOffset, fold(pseudo));
      if (tag) pushVlan(packet, 0x8100, 0x1005);
      applySet(packet, group, words);
      assert.equal(packet.csumStart, packet.l4);
      // Offload sums to the end of the packet: padding must not be there.
      packet.end -= packet.l2Pad;
      packet.l2Pad = 0;
      packet.finishChecksum();
      assertChecksums(packet, `${group} of ${name}`);
    }),
    { numRuns: 1000 },
  );
});

test('fragments but the first, and destinations under a routing header, leave L4 alone', () => {
  const later = buildPacket(
    [eth(A, B), ipv4('10.0.0.1', '10.0.0.2', { fragmentOffset: 10, protocol: 6 })],
    new Uint8Array(30),
  );
  const { packet } = load(later);
  applySet(packet, 'ipv4', [{ word: L.W_NW_SRC, value: 0x01020304, mask: 0xffffffff }]);
  assert.ok(ipv4ChecksumOk(packet.buffer, packet.start + 14));
  assert.equal(toHex(packet.bytes().subarray(34)), '00'.repeat(30));

  const routing: Layer = { layer: 'ipv6ext', kind: 43, data: fromHex('000100000000')! };
  const routed = load(buildPacket([eth(A, B), V6, routing, udp(1, 2)])).packet;
  const sum = get16(routed.buffer, routed.start + routed.l4 + 6);
  applySet(routed, 'ipv6', [{ word: L.W_IPV6_DST, value: 0x11112222, mask: 0xffffffff }]);
  assert.equal(get16(routed.buffer, routed.start + routed.l4 + 6), sum);
  applySet(routed, 'ipv6', [{ word: L.W_IPV6_SRC, value: 0x11112222, mask: 0xffffffff }]);
  assert.notEqual(get16(routed.buffer, routed.start + routed.l4 + 6), sum);
});

test('link-layer addresses in ND options', () => {
  const solicit = load(PACKETS['nd solicit']);
  const advert = load(PACKETS['nd advert']);
  const words: SetWord[] = [
    { word: L.W_ARP_HA, value: 0x0a0b0c0d, mask: 0xffffffff },
    { word: L.W_ARP_HA + 1, value: 0x0e0f1a1b, mask: 0xffffffff },
    { word: L.W_ARP_HA + 2, value: 0x1c1d1e1f, mask: 0xffffffff },
  ];
  for (const { packet } of [solicit, advert]) {
    applySet(packet, 'nd', words);
    assertChecksums(packet, 'nd');
  }
  assert.ok(toHex(solicit.packet.bytes()).endsWith('01010a0b0c0d0e0f'));
  assert.ok(toHex(advert.packet.bytes()).endsWith('02011a1b1c1d1e1f'));
});

/** Layer offsets equal those that a new extraction finds. */
function assertLayers(packet: Packet): void {
  const again = new Packet(packet.bytes());
  again.packetType = packet.packetType;
  extractFlow(again, L.newFlow());
  assert.deepEqual([packet.l25, packet.l3], [again.l25, again.l3]);
}

test('push and pop: inverse, layers follow, the bytes behind do not move', () => {
  for (const [name, bytes] of Object.entries(PACKETS)) {
    for (const headroom of [0, 3, 64]) {
      const packet = Packet.copyOf(bytes, headroom);
      extractFlow(packet, L.newFlow());
      const tail = packet.end;
      const buffer = packet.buffer;
      pushVlan(packet, 0x88a8, 0x5005);
      assert.equal(toHex(packet.bytes().subarray(12, 16)), '88a84005');
      assertLayers(packet);
      pushVlan(packet, 0x8100, 0x1006);
      if (headroom === 64) assert.ok(packet.buffer === buffer && packet.end === tail, name);
      popVlan(packet);
      popVlan(packet);
      assert.equal(toHex(packet.bytes()), toHex(bytes));
      if (!name.includes('tagged')) {
        popVlan(packet);
        assert.equal(toHex(packet.bytes()), toHex(bytes), 'no tag, nothing to pop');
      }

      const type = get16(packet.buffer, packet.start + (name.includes('tagged') ? 16 : 12));
      pushMpls(packet, 0x8847, name === 'mpls' ? 0x64040 : 0x64140);
      assertLayers(packet);
      assert.equal(packet.length, bytes.length + 4);
      popMpls(packet, type);
      assert.equal(toHex(packet.bytes()), toHex(bytes), name);
      assertLayers(packet);

      if (name.includes('tagged')) continue;
      popEth(packet);
      assert.equal(packet.packetType, 0x10000 | type);
      assertLayers(packet);
      pushEth(packet, 0x02000000000bn, 0x02000000000an);
      assert.equal(toHex(packet.bytes()), toHex(bytes), name);
      assert.equal(packet.packetType, L.PT_ETH);
      assertLayers(packet);
    }
  }
});

test('edits of any bytes never throw nor write outside of the packet', () => {
  const action: fc.Arbitrary<DpAction> = fc.oneof(
    anySet.map(({ group, words }): DpAction => ({ type: 'set', group, words })),
    fc.constantFrom<DpAction>(
      { type: 'push_vlan', tpid: 0x8100, tci: 0x1005 },
      { type: 'pop_vlan' },
      { type: 'push_mpls', ethertype: 0x8847, lse: 0x100 },
      { type: 'pop_mpls', ethertype: 0x0800 },
      { type: 'push_eth', dst: 1n, src: 2n },
      { type: 'pop_eth' },
      { type: 'trunc', maxLen: 20 },
    ),
  );
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 90 }),
    fc
      .tuple(fc.constantFrom(...Object.values(PACKETS)), fc.nat(100), fc.nat(100), fc.nat(255))
      .map(([packet, cut, at, value]) => {
        const out = packet.slice(0, cut);
        if (out.length > 0) out[at % out.length] = value;
        return out;
      }),
  );
  fc.assert(
    fc.property(bytes, fc.array(action, { maxLength: 8 }), (input, actions) => {
      // Canaries in front and behind show a stray write.
      const buffer = new Uint8Array(200 + input.length).fill(0xc5);
      buffer.set(input, 100);
      const packet = new Packet(buffer, 100, 100 + input.length);
      extractFlow(packet, L.newFlow());
      for (const one of actions) {
        assert.ok(applyEdit(packet, one));
        const start = packet.start;
        assert.ok(start <= packet.end);
        if (packet.buffer === buffer) {
          assert.ok(buffer.subarray(100 + input.length).every((byte) => byte === 0xc5));
          assert.ok(buffer.subarray(0, Math.min(start, 100 - 4 * 8 - 14)).every((byte) => byte === 0xc5));
        }
      }
    }),
    { numRuns: 3000 },
  );
});

test('what is not about bytes is left to the datapath', () => {
  const { packet } = load(PACKETS.tcp4);
  assert.equal(applyEdit(packet, { type: 'output', port: 1 }), false);
  assert.equal(applyEdit(packet, { type: 'set', group: 'skb_mark', words: [] }), false);
  assert.equal(toHex(packet.bytes()), toHex(PACKETS.tcp4));
});
