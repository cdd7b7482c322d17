/** Random packets, and random actions that mostly fit them. */
import fc from 'fast-check';
import * as F from '../../../flow/layout.ts';
import { type Flow, newFlow } from '../../../flow/layout.ts';
import { put16 } from '../../../wire/bytes.ts';
import { fold, pseudoHeader } from '../../../wire/checksum.ts';
import { arp, eth, icmp, icmpv6, ipv4, ipv6, mpls, nd, sctp, tcp, udp, vlan } from '../../../wire/make.ts';
import { buildPacket, type Layer } from '../../../wire/packet.ts';
import { extractFlow } from '../../packet/extract.ts';
import { Packet } from '../../packet/packet.ts';
import type { DpAction, PacketOffload, SetGroup, SetWord } from '../../types.ts';
import { type Input, NO_PORT, PORTS, TUNNEL_PORT } from './action-rig.ts';

const A = '02:00:00:00:00:0a';
const B = '02:00:00:00:00:0b';
const hexBytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'hex'));

const HOP: Layer = { layer: 'ipv6ext', kind: 0, data: hexBytes('010400000000') };
const fragment6 = (offset: number, more: boolean): Layer => ({ layer: 'ipv6frag', offset, more, id: 5 });

type Kind = readonly [name: string, layers: readonly Layer[], groups: readonly SetGroup[]];
const V4 = ipv4('10.0.0.1', '10.0.0.2', { tos: 0x14, ttl: 9 });
const V6 = ipv6('fe80::1', 'fe80::2', { label: 0x12345, trafficClass: 0x3c, hopLimit: 7 });

const KINDS: readonly Kind[] = [
  ['tcp4', [V4, tcp(80, 81)], ['ipv4', 'tcp']],
  [
    'tcp4 options',
    [ipv4('10.0.0.1', '10.0.0.2', { options: hexBytes('01010101') }), tcp(1, 2)],
    ['ipv4', 'tcp'],
  ],
  ['udp4', [V4, udp(53, 54)], ['ipv4', 'udp']],
  ['udp4 without checksum', [V4, udp(53, 54, { checksum: 0 })], ['ipv4', 'udp']],
  ['icmp4', [V4, icmp(8, 0, 77)], ['ipv4', 'icmp']],
  ['sctp4', [V4, sctp(7, 8)], ['ipv4']],
  ['first fragment', [ipv4('10.0.0.1', '10.0.0.2', { moreFragments: true }), udp(1, 2)], ['ipv4', 'udp']],
  ['later fragment', [ipv4('10.0.0.1', '10.0.0.2', { fragmentOffset: 9 }), udp(1, 2)], ['ipv4']],
  ['tcp6', [V6, tcp(80, 81)], ['ipv6', 'tcp']],
  ['udp6', [V6, udp(80, 81)], ['ipv6', 'udp']],
  ['icmp6', [V6, icmpv6(128)], ['ipv6', 'icmpv6']],
  ['udp6 behind an extension', [V6, HOP, udp(53, 54)], ['ipv6', 'udp']],
  ['fragment of v6', [V6, fragment6(0, true), udp(53, 54)], ['ipv6', 'udp']],
  ['later fragment of v6', [V6, fragment6(64, false), udp(53, 54)], ['ipv6']],
  ['solicitation', [V6, icmpv6(135), nd('fe80::3', { source: A })], ['ipv6', 'nd', 'icmpv6']],
  ['arp', [arp(1, A, '10.0.0.1', B, '10.0.0.2')], ['arp']],
  ['mpls', [mpls(100), V4, udp(1, 2)], ['mpls']],
  ['mpls twice', [mpls(100), mpls(200), V4, udp(1, 2)], ['mpls']],
];

const TAGS: readonly (readonly Layer[])[] = [
  [],
  [],
  [],
  [vlan(5, { pcp: 3 })],
  [vlan(7, { tpid: 0x88a8 })],
  [vlan(7, { tpid: 0x88a8 }), vlan(6, { pcp: 1 })],
];

interface Shape {
  readonly kind: number;
  readonly tags: number;
  readonly payload: Uint8Array;
  readonly pad: number;
  readonly cut: number | null;
  readonly flip: number | null;
  readonly offload: 'none' | 'checksum' | 'segments';
}

const shape: fc.Arbitrary<Shape> = fc.record({
  kind: fc.nat({ max: KINDS.length - 1 }),
  tags: fc.nat({ max: TAGS.length - 1 }),
  payload: fc.uint8Array({ maxLength: 100 }),
  pad: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat({ max: 9 }) }),
  cut: fc.oneof({ weight: 9, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: fc.nat({ max: 80 }) }),
  flip: fc.oneof({ weight: 9, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: fc.nat({ max: 700 }) }),
  offload: fc.constantFrom('none' as const, 'none' as const, 'checksum' as const, 'segments' as const),
});

/** A packet as a device may hand it over. */
function build(s: Shape): { packet: Uint8Array; offload: PacketOffload | null } {
  const [name, layers] = KINDS[s.kind];
  const plain = /^(tcp|udp)[46]( options)?$/.test(name);
  const segments = plain && name.startsWith('tcp') && s.offload === 'segments';
  const payload = segments ? new Uint8Array(250).fill(7) : s.payload;
  let packet = buildPacket([eth(A, B), ...TAGS[s.tags], ...layers], payload);
  if (plain && s.offload !== 'none') return unfinished(packet, segments);
  packet = Uint8Array.from([...packet, ...new Uint8Array(s.pad).fill(0xee)]);
  // Linux drops frames that end within their outer tag before anybody sees them.
  const least = TAGS[s.tags].length === 0 ? 14 : 20;
  if (s.cut !== null) packet = packet.slice(0, Math.max(least, packet.length - s.cut));
  if (s.flip !== null) {
    // Not among the Ethernet header and tags: what Linux takes for a tag it takes off.
    const first = 14 + 4 * TAGS[s.tags].length;
    const bit = s.flip % Math.max(1, (packet.length - first) * 8);
    if (packet.length > first) packet[first + (bit >> 3)] ^= 1 << (bit & 7);
  }
  return { packet, offload: null };
}

function unfinished(bytes: Uint8Array, segments: boolean): { packet: Uint8Array; offload: PacketOffload } {
  const packet = new Packet(bytes);
  const key = newFlow();
  extractFlow(packet, key);
  const protocol = key[F.W_NW] & 0xff;
  const csumOffset = protocol === 6 ? 16 : 6;
  const length = packet.length - packet.l4;
  put16(bytes, packet.l4 + csumOffset, fold(pseudoHeader(bytes, packet.l3, protocol, length)));
  const v6 = key[F.W_ETH_TYPE] >>> 16 === 0x86dd;
  return {
    packet: bytes,
    offload: {
      csumStart: packet.l4,
      csumOffset,
      gsoType: segments ? (v6 ? 4 : 1) : 0,
      gsoSize: segments ? 100 : 0,
    },
  };
}

/** Words of each header, and the bits of them that a set may write. */
const WRITABLE: Readonly<Record<string, readonly (readonly [word: number, bits: number])[]>> = {
  eth: [0, 1, 2].map((i) => [F.W_ETH + i, 0xffffffff] as const),
  ipv4: [
    [F.W_NW_SRC, 0xffffffff],
    [F.W_NW_DST, 0xffffffff],
    [F.W_NW, 0x00ffff00],
  ],
  ipv6: [
    ...[0, 1, 2, 3, 4, 5, 6, 7].map((i) => [F.W_IPV6_SRC + i, 0xffffffff] as const),
    [F.W_IPV6_LABEL, 0xfffff],
    [F.W_NW, 0x00ffff00],
  ],
  tcp: [[F.W_TP, 0xffffffff]],
  udp: [[F.W_TP, 0xffffffff]],
  icmp: [[F.W_TP, 0x00ff00ff]],
  icmpv6: [[F.W_TP, 0x00ff00ff]],
  nd: [...[0, 1, 2, 3].map((i) => [F.W_ND_TARGET + i, 0xffffffff] as const), [F.W_IGMP_GROUP, 0xffffffff]],
  arp: [
    [F.W_NW, 0xff],
    [F.W_NW_SRC, 0xffffffff],
    [F.W_NW_DST, 0xffffffff],
    ...[0, 1, 2].map((i) => [F.W_ARP_HA + i, 0xffffffff] as const),
  ],
  mpls: [[F.W_MPLS, 0xfffffeff]],
  tunnel: [
    [F.W_TUN_ID + 1, 0xffffff],
    [F.W_TUN_DST, 0xffffffff],
    [F.W_TUN_FLAGS, 0xffffffff],
    [F.W_TUN_TP, 0xffff],
    [F.W_TUN_METADATA_PRESENT + 1, 0xfc],
    [F.FLOW_WORDS - 1, 0xffffffff],
  ],
  skb_mark: [[F.W_PKT_MARK, 0xffffffff]],
  skb_priority: [[F.W_SKB_PRIORITY, 0xffffffff]],
};
const METADATA: readonly SetGroup[] = ['tunnel', 'skb_mark', 'skb_priority'];

const word = fc.integer({ min: 0, max: 0xffffffff });
const bits = fc.oneof(fc.constantFrom(0xffffffff, 0xffffffff, 0, 0xffff00ff), word);

const setOf = (groups: readonly SetGroup[]): fc.Arbitrary<DpAction> =>
  fc.constantFrom(...groups).chain((group) =>
    fc.subarray([...WRITABLE[group]], { minLength: 1 }).chain((words) =>
      fc
        .tuple(...words.map(([w, allowed]) => fc.tuple(word, bits, fc.constant(w), fc.constant(allowed))))
        .map((all): DpAction => {
          const list = all.map(([value, mask, w, allowed]): SetWord => {
            const m = (mask & allowed) >>> 0;
            return { word: w, value: (value & m) >>> 0, mask: m };
          });
          return { type: 'set', group, words: list };
        }),
    ),
  );

const output = fc
  .constantFrom(...PORTS, ...PORTS, NO_PORT)
  .map((port): DpAction => ({ type: 'output', port }));

/** Actions for a packet with these headers; `depth` more levels of branches. */
function actionOf(groups: readonly SetGroup[], depth: number, whole: boolean): fc.Arbitrary<DpAction> {
  const nested = depth > 0 ? listOf(groups, depth - 1, whole) : fc.constant<DpAction[]>([]);
  const calm = fc.array(output, { maxLength: 2 });
  const list = fc.oneof(nested, calm);
  return fc.oneof(
    { weight: 60, arbitrary: output },
    { weight: 60, arbitrary: setOf(groups) },
    { weight: 20, arbitrary: setOf(METADATA) },
    {
      weight: 20,
      arbitrary: fc
        .tuple(fc.constantFrom(0x8100, 0x88a8), fc.integer({ min: 0x1000, max: 0xffff }))
        .map(([tpid, tci]): DpAction => ({ type: 'push_vlan', tpid, tci })),
    },
    { weight: 20, arbitrary: fc.constant<DpAction>({ type: 'pop_vlan' }) },
    {
      weight: 10,
      arbitrary: fc
        .tuple(fc.constantFrom(0x8847, 0x8848), word)
        .map(([ethertype, lse]): DpAction => ({ type: 'push_mpls', ethertype, lse })),
    },
    {
      weight: 10,
      arbitrary: fc
        .constantFrom(0x0800, 0x86dd, 0x8847, 0x88cc)
        .map((ethertype): DpAction => ({ type: 'pop_mpls', ethertype })),
    },
    { weight: 10, arbitrary: fc.nat({ max: 9 }).map((id): DpAction => ({ type: 'recirc', id: id + 1 })) },
    {
      weight: 10,
      arbitrary: fc
        .tuple(fc.nat({ max: 1 }), word)
        .map(([algorithm, basis]): DpAction => ({ type: 'hash', algorithm, basis })),
    },
    {
      weight: 10,
      arbitrary: fc
        .constantFrom('lacp' as const, 'stp' as const)
        .map((reason): DpAction => ({ type: 'userspace', pid: 0, cookie: { type: 'slow_path', reason } })),
    },
    { weight: 10, arbitrary: fc.constant<DpAction>({ type: 'ct_clear' }) },
    { weight: 3, arbitrary: fc.constant<DpAction>({ type: 'drop', reason: 'test' }) },
    {
      weight: whole ? 10 : 0,
      arbitrary: fc.integer({ min: 120, max: 160 }).map((maxLen): DpAction => ({ type: 'trunc', maxLen })),
    },
    { weight: 10, arbitrary: fc.constant<DpAction>({ type: 'output', port: TUNNEL_PORT }) },
    { weight: 10, arbitrary: list.map((actions): DpAction => ({ type: 'clone', actions })) },
    {
      weight: 10,
      arbitrary: fc
        .tuple(fc.constantFrom(0, 0xffffffff), list)
        .map(([probability, actions]): DpAction => ({ type: 'sample', probability, actions })),
    },
    {
      weight: 10,
      arbitrary: fc
        .tuple(fc.integer({ min: 40, max: 200 }), list, list)
        .map(
          ([length, greater, lessEqual]): DpAction => ({ type: 'check_pkt_len', length, greater, lessEqual }),
        ),
    },
  );
}

function listOf(groups: readonly SetGroup[], depth: number, whole: boolean): fc.Arbitrary<DpAction[]> {
  return fc
    .tuple(fc.array(actionOf(groups, depth, whole), { maxLength: 4 }), fc.option(output))
    .map(([actions, last]) => (last === null ? actions : [...actions, last]));
}

/** Lists for each kind of packet; the second ones for those with an unfinished checksum. */
const LISTS = KINDS.map(([, , groups]): readonly [fc.Arbitrary<DpAction[]>, fc.Arbitrary<DpAction[]>] => {
  const fitting: SetGroup[] = ['eth', ...groups];
  // The kernel knows one checksum of a packet to be unfinished, and takes that of any header that a set names for it: these
  // packets get sets of headers that they have.
  return [
    listOf([...fitting, ...fitting, ...fitting, 'ipv4', 'udp', 'mpls'], 2, true),
    listOf(fitting, 2, false),
  ];
});

/** A packet as a device may hand it over; one that is whole IP is plain, and may have to be segmented. */
export const anyPacket: fc.Arbitrary<{ packet: Uint8Array; offload: PacketOffload | null }> =
  shape.map(build);

/** A packet, its metadata, and what to do with it. */
export const anyInput: fc.Arbitrary<Input> = shape.chain((s) => {
  const { packet, offload } = build(s);
  const list = LISTS[s.kind][offload === null ? 0 : 1];
  return fc.tuple(list, word, word).map(([actions, mark, tunnelId]): Input => {
    const flow: Flow = newFlow();
    flow[F.W_IN_PORT] = 1;
    flow[F.W_PKT_MARK] = mark;
    flow[F.W_TUN_ID + 1] = tunnelId & 0xffffff;
    return { packet, offload, flow, actions };
  });
});
