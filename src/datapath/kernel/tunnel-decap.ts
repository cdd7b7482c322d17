/**
 * For the tcx ingress of the devices that tunnels come in by: takes packets to tunnels of ours out of their tunnel, and has
 * what is inside looked up as a packet of the tunnel's port. All other packets go on to the next program of the device, and to
 * the host's own stack.
 *
 * Ours is what goes to an address of the host (map `locals`), by a protocol and UDP port that a datapath's port stands for
 * (`receivers`), whole, with lengths that agree. An UDP or GRE checksum is not verified: the packet inside has
 * its own, and programs cannot see whether the device did.
 */
import {
  add,
  and,
  B,
  block,
  call,
  DW,
  exit,
  H,
  ja,
  jeq,
  jge,
  jgt,
  jlt,
  jne,
  jset,
  jslt,
  label,
  ldx,
  lsh,
  mov,
  mov32,
  neg,
  note,
  or,
  R0,
  R1,
  R2,
  R3,
  R4,
  R5,
  R6,
  R7,
  R8,
  R9,
  R10,
  rsh,
  st,
  stx,
  sub,
  toBe,
  W,
} from '../../ebpf/asm.ts';
import { lookup, tailCall } from '../../ebpf/build.ts';
import { skb, TC_ACT } from '../../ebpf/context.ts';
import { helper } from '../../ebpf/helpers.ts';
import type { Code } from '../../ebpf/instruction.ts';
import {
  TUN_F_CSUM,
  TUN_F_KEY,
  TUN_F_OAM,
  W_DP_HASH,
  W_IN_PORT,
  W_PKT_MARK,
  W_RECIRC_ID,
  W_SKB_PRIORITY,
  W_TUN_DST,
  W_TUN_FLAGS,
  W_TUN_GBP,
  W_TUN_ID,
  W_TUN_IPV6_DST,
  W_TUN_IPV6_SRC,
  W_TUN_METADATA,
  W_TUN_METADATA_PRESENT,
  W_TUN_SRC,
  W_TUN_TP,
} from '../../flow/layout.ts';
import { TUN_F_RAW_OPTIONS } from '../text/tunnel.ts';
import { popBlanks, pushBlanks } from './action-tags.ts';
import { addTo, clearTunnel, countTotal, loadFrame, shardOf, wireLength } from './code.ts';
import * as L from './layout.ts';
import { PROTOCOL_GRE, PROTOCOL_UDP, type TunnelMaps } from './tunnel-maps.ts';

export interface DecapOptions {
  readonly maps: TunnelMaps;
}

/* On the stack. */
const RECEIVER_KEY_AT = -24;
const LOCAL_KEY_AT = -40;
/** The IP header, and 16 bytes of what follows. */
const OUTER_AT = -96;
/** Of a tunnel: how it is, and the Ethernet header inside. */
const INNER_AT = -112;
/** Length of the IP packet, with its header. */
const TOTAL_AT = -120;
const FLAGS_AT = -128;
const GRE_AT = -136;

/** Ethertypes as they stand in memory. */
const IPV4 = 0x0008;
const IPV6 = 0xdd86;

const FIXED_GSO = 1;
const DECAP_L3_IPV4 = 128;
const DECAP_L3_IPV6 = 256;
const ROOM_BEHIND_MAC = 1;
/** The kernel takes nothing out of packets that would have less than this behind the Ethernet header. */
const LEAST_REST = 20;

const PACKET_BROADCAST = 1;
const PACKET_MULTICAST = 2;

const word = L.frameWord;

/** R10 + `at` = `size` bytes of the packet at R2; goes to `otherwise` if they are not there. */
const load = (at: number, size: number, otherwise: string): Code => [
  mov(R1, R6),
  mov(R3, R10),
  add(R3, at),
  mov(R4, size),
  call(helper.skbLoadBytes),
  jne(R0, 0, otherwise),
];

export function decapProgram({ maps }: DecapOptions): Code {
  return [
    mov(R6, R1),
    // A tagged packet is for a VLAN device, where it comes by again.
    ldx(W, R1, R6, skb.vlanPresent),
    jne(R1, 0, 'pass'),
    ldx(W, R1, R6, skb.protocol),
    jeq(R1, IPV4, 'ipv4'),
    jne(R1, IPV6, 'pass'),
    note('IPv6', outer6(maps)),
    note('IPv4', label('ipv4'), outer4(maps)),
    label('inside'),
    inside(),
    strip(),
    note('metadata', metadata(maps)),
    tailCall(maps.programs, L.PROGRAM_LOOKUP),
    countTotal(maps, L.T_NO_PROGRAM),
    mov32(R0, TC_ACT.shot),
    exit(),
    label('malformed'),
    countDropped(maps),
    mov32(R0, TC_ACT.shot),
    exit(),
    label('pass'),
    mov32(R0, TC_ACT.unspec),
    exit(),
  ];
}

/**
 * R8 = the receiver, by protocol R1 and, if that is UDP, the port in the header at `l4` on the stack; the address at
 * LOCAL_KEY_AT must be the host's. Goes to `pass` if there is none. R9 = frame.
 */
const receiver = (maps: TunnelMaps, l4: number): Code =>
  block(
    'receiver',
    lsh(R1, 16),
    jeq(R1, PROTOCOL_GRE << 16, 'known'),
    ldx(H, R2, R10, l4 + 2),
    toBe(16, R2),
    or(R1, R2),
    label('known'),
    stx(W, R10, RECEIVER_KEY_AT, R1),
    lookup(maps.receivers, RECEIVER_KEY_AT, 'pass'),
    mov(R8, R0),
    lookup(maps.locals, LOCAL_KEY_AT, 'pass'),
    loadFrame(maps),
    clearTunnel(),
  );

/**
 * The header's sums and lengths, and its words. Leaves the 16 bytes behind it at the end of OUTER_AT, and goes on at `inside`
 * with R7 = their offset.
 */
const outer4 = (maps: TunnelMaps): Code => {
  const l4 = OUTER_AT + 20;
  return block(
    'outer IPv4',
    mov(R2, 14),
    load(OUTER_AT, 36, 'pass'),
    ldx(B, R1, R10, OUTER_AT),
    jne(R1, 0x45, 'pass'),
    ldx(H, R1, R10, OUTER_AT + 6),
    toBe(16, R1),
    jset(R1, 0x3fff, 'pass'),
    ldx(B, R1, R10, OUTER_AT + 9),
    jeq(R1, PROTOCOL_UDP, 'tunnel'),
    jne(R1, PROTOCOL_GRE, 'pass'),
    label('tunnel'),
    st(DW, R10, LOCAL_KEY_AT, 0),
    st(W, R10, LOCAL_KEY_AT + 8, 0xffff0000),
    ldx(W, R2, R10, OUTER_AT + 16),
    stx(W, R10, LOCAL_KEY_AT + 12, R2),
    receiver(maps, l4),
    // The sum of a right header is all ones, in any order of bytes.
    mov(R2, 0),
    Array.from({ length: 10 }, (_, i) => [ldx(H, R1, R10, OUTER_AT + 2 * i), add(R2, R1)]),
    [0, 1].map(() => [mov(R1, R2), rsh(R1, 16), and(R2, 0xffff), add(R2, R1)]),
    jne(R2, 0xffff, 'malformed'),
    ldx(H, R1, R10, OUTER_AT + 2),
    toBe(16, R1),
    totalLength(),
    ldx(B, R1, R10, OUTER_AT + 1),
    lsh(R1, 8),
    ldx(B, R2, R10, OUTER_AT + 8),
    or(R1, R2),
    stx(W, R9, word(W_TUN_FLAGS), R1),
    ldx(W, R1, R10, OUTER_AT + 12),
    toBe(32, R1),
    stx(W, R9, word(W_TUN_SRC), R1),
    ldx(W, R1, R10, OUTER_AT + 16),
    toBe(32, R1),
    stx(W, R9, word(W_TUN_DST), R1),
    behindIp(l4, 20),
    mov(R7, 34),
    ja('inside'),
  );
};

const outer6 = (maps: TunnelMaps): Code => {
  const l4 = OUTER_AT + 40;
  return block(
    'outer IPv6',
    mov(R2, 14),
    load(OUTER_AT, 56, 'pass'),
    ldx(W, R1, R10, OUTER_AT),
    toBe(32, R1),
    mov(R2, R1),
    rsh(R2, 28),
    jne(R2, 6, 'pass'),
    rsh(R1, 20),
    and(R1, 0xff),
    stx(DW, R10, FLAGS_AT, R1),
    ldx(B, R1, R10, OUTER_AT + 6),
    jeq(R1, PROTOCOL_UDP, 'tunnel'),
    jne(R1, PROTOCOL_GRE, 'pass'),
    label('tunnel'),
    ldx(DW, R2, R10, OUTER_AT + 24),
    stx(DW, R10, LOCAL_KEY_AT, R2),
    ldx(DW, R2, R10, OUTER_AT + 32),
    stx(DW, R10, LOCAL_KEY_AT + 8, R2),
    receiver(maps, l4),
    ldx(H, R1, R10, OUTER_AT + 4),
    toBe(16, R1),
    add(R1, 40),
    totalLength(),
    ldx(DW, R1, R10, FLAGS_AT),
    lsh(R1, 8),
    ldx(B, R2, R10, OUTER_AT + 7),
    or(R1, R2),
    stx(W, R9, word(W_TUN_FLAGS), R1),
    [0, 1, 2, 3].map((i) => [
      ldx(W, R1, R10, OUTER_AT + 8 + 4 * i),
      toBe(32, R1),
      stx(W, R9, word(W_TUN_IPV6_SRC + i), R1),
      ldx(W, R1, R10, OUTER_AT + 24 + 4 * i),
      toBe(32, R1),
      stx(W, R9, word(W_TUN_IPV6_DST + i), R1),
    ]),
    behindIp(l4, 40),
    mov(R7, 54),
    ja('inside'),
  );
};

/** TOTAL_AT = R1, the length that the IP header states. There must be as many bytes; more are padding. */
const totalLength = (): Code =>
  block(
    'total length',
    stx(DW, R10, TOTAL_AT, R1),
    ldx(W, R2, R6, skb.len),
    sub(R2, 14),
    jeq(R1, R2, 'right'),
    jgt(R1, R2, 'malformed'),
    ldx(W, R3, R6, skb.gsoSize),
    jne(R3, 0, 'malformed'),
    label('right'),
  );

/** UDP's length and ports, if it is UDP. The 16 bytes behind IP move to OUTER_AT; FLAGS_AT = what the key's flags have of it. */
const behindIp = (l4: number, header: number): Code =>
  block(
    'behind IP',
    st(DW, R10, FLAGS_AT, 0),
    ldx(W, R1, R10, RECEIVER_KEY_AT),
    jlt(R1, PROTOCOL_GRE << 16, 'udp'),
    ja('move'),
    label('udp'),
    ldx(H, R1, R10, l4 + 4),
    toBe(16, R1),
    add(R1, header),
    ldx(DW, R2, R10, TOTAL_AT),
    jne(R1, R2, 'malformed'),
    ldx(W, R1, R10, l4),
    toBe(32, R1),
    stx(W, R9, word(W_TUN_TP), R1),
    ldx(H, R1, R10, l4 + 6),
    jeq(R1, 0, 'move'),
    st(DW, R10, FLAGS_AT, TUN_F_CSUM),
    label('move'),
    [0, 4, 8, 12].map((i) => [ldx(W, R1, R10, l4 + i), stx(W, R10, OUTER_AT + i, R1)]),
  );

/** The tunnel's own header, which begins at R7 with UDP's or GRE's. R7 = offset of the Ethernet header inside. */
const inside = (): Code =>
  block(
    'tunnel header',
    ldx(W, R1, R8, L.RV_KIND),
    jeq(R1, L.TUNNEL_VXLAN, 'vxlan'),
    jeq(R1, L.TUNNEL_GENEVE, 'geneve'),
    jne(R1, L.TUNNEL_GRE, 'malformed'),
    note('GRE', gre()),
    note('VXLAN', label('vxlan'), vxlan()),
    note('Geneve', label('geneve'), geneve()),
    label('key'),
    // R1 = flags of the key.
    ldx(DW, R2, R10, FLAGS_AT),
    or(R1, R2),
    lsh(R1, 16),
    ldx(W, R2, R9, word(W_TUN_FLAGS)),
    or(R1, R2),
    stx(W, R9, word(W_TUN_FLAGS), R1),
    mov(R2, R7),
    load(INNER_AT, 14, 'malformed'),
    ldx(DW, R1, R10, TOTAL_AT),
    jslt(R1, R7, 'malformed'),
  );

const gre = (): Code => [
  ldx(H, R1, R10, OUTER_AT + 2),
  toBe(16, R1),
  jne(R1, 0x6558, 'malformed'),
  ldx(H, R1, R10, OUTER_AT),
  toBe(16, R1),
  mov(R2, R1),
  // Checksum, key and sequence number are all that there may be.
  and(R2, 0x4fff),
  jne(R2, 0, 'malformed'),
  stx(DW, R10, GRE_AT, R1),
  add(R7, 4),
  jset(R1, 0x8000, 'checksum'),
  ja('no checksum'),
  label('checksum'),
  add(R7, 4),
  st(DW, R10, FLAGS_AT, TUN_F_CSUM),
  label('no checksum'),
  mov(R2, 0),
  jset(R1, 0x2000, 'with key'),
  ja('no key'),
  label('with key'),
  mov(R2, R7),
  load(INNER_AT, 4, 'malformed'),
  ldx(W, R1, R10, INNER_AT),
  toBe(32, R1),
  stx(W, R9, word(W_TUN_ID + 1), R1),
  add(R7, 4),
  mov(R2, TUN_F_KEY),
  label('no key'),
  ldx(DW, R1, R10, GRE_AT),
  jset(R1, 0x1000, 'sequence'),
  ja('no sequence'),
  label('sequence'),
  add(R7, 4),
  label('no sequence'),
  mov(R1, R2),
  ja('key'),
];

const vni = (): Code => [
  ldx(W, R1, R10, OUTER_AT + 12),
  toBe(32, R1),
  rsh(R1, 8),
  stx(W, R9, word(W_TUN_ID + 1), R1),
];

const vxlan = (): Code => [
  ldx(B, R1, R10, OUTER_AT + 8),
  jeq(R1, 0x08, 'plain'),
  // Other flags change what follows; this one is known, where the port says so.
  jne(R1, 0x88, 'malformed'),
  ldx(W, R1, R8, L.RV_FLAGS),
  and(R1, L.PORT_GBP),
  jeq(R1, 0, 'malformed'),
  ldx(B, R1, R10, OUTER_AT + 9),
  and(R1, 0x48),
  lsh(R1, 8),
  ldx(H, R2, R10, OUTER_AT + 10),
  toBe(16, R2),
  lsh(R2, 16),
  or(R1, R2),
  stx(W, R9, word(W_TUN_GBP), R1),
  label('plain'),
  vni(),
  add(R7, 16),
  mov(R1, TUN_F_KEY),
  ja('key'),
];

const geneve = (): Code => [
  ldx(H, R1, R10, OUTER_AT + 10),
  toBe(16, R1),
  jne(R1, 0x6558, 'malformed'),
  ldx(B, R1, R10, OUTER_AT + 8),
  jgt(R1, 63, 'malformed'),
  vni(),
  add(R7, 16),
  ldx(B, R1, R10, OUTER_AT + 8),
  and(R1, 63),
  jne(R1, 0, 'options'),
  ja('flags'),
  label('options'),
  lsh(R1, 2),
  stx(W, R9, word(W_TUN_METADATA_PRESENT + 1), R1),
  mov(R2, R7),
  add(R7, R1),
  mov(R4, R1),
  mov(R1, R6),
  mov(R3, R9),
  add(R3, word(W_TUN_METADATA)),
  call(helper.skbLoadBytes),
  jne(R0, 0, 'malformed'),
  // From the packet's order to the machine's, word by word.
  mov(R3, 0),
  label('word'),
  ldx(W, R1, R9, word(W_TUN_METADATA_PRESENT + 1)),
  jge(R3, R1, 'all'),
  jgt(R3, 248, 'all'),
  mov(R4, R9),
  add(R4, R3),
  ldx(W, R1, R4, word(W_TUN_METADATA)),
  toBe(32, R1),
  stx(W, R4, word(W_TUN_METADATA), R1),
  add(R3, 4),
  ja('word'),
  label('all'),
  ldx(DW, R1, R10, FLAGS_AT),
  or(R1, TUN_F_RAW_OPTIONS),
  stx(DW, R10, FLAGS_AT, R1),
  label('flags'),
  mov(R1, TUN_F_KEY),
  ldx(B, R2, R10, OUTER_AT + 9),
  and(R2, 0x80),
  jeq(R2, 0, 'key'),
  or(R1, TUN_F_OAM),
];

/** Takes the R7 bytes between the two Ethernet headers out, the outer one with them. */
const strip = (): Code =>
  block(
    'strip',
    jgt(R7, 400, 'malformed'),
    lengthen(),
    mov(R4, FIXED_GSO | DECAP_L3_IPV4),
    ldx(H, R1, R10, INNER_AT + 12),
    jne(R1, IPV6, 'family'),
    rest(),
    jlt(R1, 40, 'family'),
    mov(R4, FIXED_GSO | DECAP_L3_IPV6),
    label('family'),
    mov(R1, R6),
    mov(R2, R7),
    neg(R2),
    mov(R3, ROOM_BEHIND_MAC),
    call(helper.skbAdjustRoom),
    jne(R0, 0, 'malformed'),
    mov(R1, R6),
    mov(R2, 0),
    mov(R3, R10),
    add(R3, INNER_AT),
    mov(R4, 14),
    mov(R5, 0),
    call(helper.skbStoreBytes),
    jne(R0, 0, 'malformed'),
    shorten(),
    ldx(H, R1, R10, INNER_AT + 12),
    ldx(W, R2, R6, skb.protocol),
    jeq(R1, R2, 'known'),
    // Blank tags come and go: with the last one the kernel learns what the packet is, and takes its own tag out of its bytes.
    pushBlanks(2, 'malformed'),
    popBlanks(1, 'malformed'),
    mov(R1, R6),
    call(helper.skbVlanPop),
    label('known'),
  );

/** R1 = bytes behind the Ethernet header inside. */
const rest = (): Code => [ldx(W, R1, R6, skb.len), sub(R1, 14), sub(R1, R7)];

/** Makes a packet longer that would be too short while its header is taken out. */
const lengthen = (): Code =>
  block(
    'lengthen',
    rest(),
    jge(R1, LEAST_REST, 'long enough'),
    ldx(W, R2, R6, skb.len),
    add(R2, LEAST_REST),
    sub(R2, R1),
    mov(R1, R6),
    mov(R3, 0),
    call(helper.skbChangeTail),
    jne(R0, 0, 'malformed'),
    label('long enough'),
  );

/**
 * Gives the packet, now out of its tunnel, the length that the outer header leaves for it. The kernel may refuse, where it
 * has a wrong idea of L4; then the packet stays padded, as short ones are on any wire.
 */
const shorten = (): Code =>
  block(
    'shorten',
    ldx(DW, R2, R10, TOTAL_AT),
    add(R2, 14),
    sub(R2, R7),
    ldx(W, R1, R6, skb.len),
    jeq(R1, R2, 'right'),
    mov(R1, R6),
    mov(R3, 0),
    call(helper.skbChangeTail),
    label('right'),
  );

/** What the parser wants to find in the frame; the packet counted; and what the kernel thinks of it put right. */
const metadata = (maps: TunnelMaps): Code => [
  block(
    'type',
    ldx(W, R1, R10, INNER_AT),
    jset(R1, 1, 'group'),
    ja('one'),
    label('group'),
    mov(R2, PACKET_MULTICAST),
    mov32(R3, R1),
    add(R3, 1),
    mov32(R3, R3),
    jne(R3, 0, 'decided'),
    mov(R2, PACKET_BROADCAST),
    label('decided'),
    mov(R1, R6),
    call(helper.skbChangeType),
    label('one'),
  ),
  mov(R1, R6),
  call(helper.setHashInvalid),
  st(W, R9, L.F_DEPTH, 0),
  st(W, R9, L.F_CUT, 0),
  ldx(W, R1, R8, L.RV_RING),
  stx(W, R9, L.F_RING, R1),
  ldx(W, R1, R8, L.RV_STATS),
  stx(W, R9, L.F_PORT_STATS, R1),
  ldx(W, R1, R8, L.RV_PORT),
  stx(W, R9, word(W_IN_PORT), R1),
  st(W, R9, word(W_RECIRC_ID), 0),
  st(W, R9, word(W_DP_HASH), 0),
  ldx(W, R1, R6, skb.mark),
  stx(W, R9, word(W_PKT_MARK), R1),
  ldx(W, R1, R6, skb.priority),
  stx(W, R9, word(W_SKB_PRIORITY), R1),
  block(
    'count',
    ldx(W, R1, R8, L.RV_STATS),
    shardOf(maps, maps.portStats, R1, 'uncounted'),
    mov(R1, 1),
    addTo(maps, L.PS_RX_PACKETS, R1),
    mov(R3, R0),
    wireLength(R2),
    mov(R0, R3),
    addTo(maps, L.PS_RX_BYTES, R2),
    label('uncounted'),
  ),
];

/** Counts a packet that is no whole tunnel packet. */
const countDropped = (maps: TunnelMaps): Code =>
  block(
    'count dropped',
    ldx(W, R1, R8, L.RV_STATS),
    shardOf(maps, maps.portStats, R1, 'uncounted'),
    mov(R1, 1),
    addTo(maps, L.PS_RX_DROPPED, R1),
    label('uncounted'),
  );
