/**
 * PROGRAM_ENCAP: puts a packet into the tunnel that the frame's tunnel words describe, and sends it to the other end, without
 * any tunnel device of the kernel's. A packet that is still to be segmented stays whole; the kernel knows how to cut
 * it, because `adjust_room` is told what the room is for.
 *
 * The outer header is written into the frame's scratch memory, the frame inside it behind: its Ethernet header, with the tags
 * that stood beside the packet. The kernel's neighbor table fills the outer Ethernet header in.
 *
 * What it leaves to JavaScript (UPCALL_ROUTE): packets to where no route is known yet, checksums over the payload (UDP, GRE),
 * packets that came by a tunnel (the kernel refuses to encapsulate them once more), what the underlay's device would
 * have to fragment, and UDP that is to be segmented
 * inside UDP, which the other end would lose.
 */
import {
  add,
  and,
  B,
  block,
  call,
  callFunction,
  DW,
  exit,
  H,
  ja,
  jeq,
  jeq32,
  jgt,
  jlt,
  jne,
  jset,
  label,
  ldx,
  lsh,
  mov,
  mov32,
  note,
  or,
  or32,
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
  xor,
} from '../../ebpf/asm.ts';
import { lookup } from '../../ebpf/build.ts';
import { skb, TC_ACT } from '../../ebpf/context.ts';
import { helper } from '../../ebpf/helpers.ts';
import type { Code, Register } from '../../ebpf/instruction.ts';
import {
  TUN_F_CSUM,
  TUN_F_DF,
  TUN_F_KEY,
  TUN_F_OAM,
  W_IN_PORT,
  W_NW,
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
import { MAX_TAGS } from './action-ops.ts';
import { liftTags, popBlanks, pushBlanks, TAGS_AT, tagOutOfBand } from './action-tags.ts';
import { addTo, arrayEntry, loadFrame, OUT_PORT, type ProgramMaps, shardOf, wireLength } from './code.ts';
import * as L from './layout.ts';
import { PROTOCOL_GRE, PROTOCOL_UDP, type TunnelMaps } from './tunnel-maps.ts';

export interface EncapOptions {
  readonly maps: TunnelMaps;
  /** `upcallFunction`. */
  readonly upcall: Code;
}

/* In the frame's scratch memory. */
const KIND = OUT_PORT + 4;
const UDP_PORT = KIND + 4;
const STATS = UDP_PORT + 4;
const HASH = STATS + 4;
/** Bytes of the outer header, with its Ethernet header; of the Ethernet header inside, with its tags. */
const OUTER_SIZE = HASH + 4;
const INNER_SIZE = OUTER_SIZE + 4;
const _INNER_TYPE = INNER_SIZE + 4;
const HEADER = L.F_SCRATCH + 64;
/** Ethernet, IPv6, UDP, Geneve with all options. */
const MAX_OUTER = 14 + 40 + 8 + 8 + 252;
const MAX_INNER = 14 + 4 * MAX_TAGS;

/* On the stack. */
const ROUTE_KEY_AT = -112;
const TYPE_AT = -24;
const MTU_AT = -32;

/* Flags of adjust_room. */
const FIXED_GSO = 1;
const ENCAP_L3_IPV4 = 2;
const ENCAP_L3_IPV6 = 4;
const ENCAP_L4_GRE = 8;
const ENCAP_L4_UDP = 16;
const ENCAP_L2_ETH = 64;
const ROOM_BEHIND_MAC = 1;

/** Ethertypes as they stand in memory. */
const IPV4 = 0x0008;
const IPV6 = 0xdd86;
const TEB = 0x5865;

const word = L.frameWord;

/** R1 = the tunnel's flags. */
const tunnelFlags = (): Code => [ldx(W, R1, R9, word(W_TUN_FLAGS)), rsh(R1, 16)];

export function encapProgram({ maps, upcall }: EncapOptions): Code {
  return [
    mov(R6, R1),
    loadFrame(maps),
    ldx(W, R1, R9, OUT_PORT),
    arrayEntry(maps.ports, R1, 'drop'),
    note('port', [
      ldx(W, R1, R0, L.P_TUNNEL_KIND),
      stx(W, R9, KIND, R1),
      ldx(W, R2, R0, L.P_TUNNEL_PORT),
      ldx(W, R1, R9, word(W_TUN_TP)),
      and(R1, 0xffff),
      jeq(R1, 0, 'port of the port'),
      mov(R2, R1),
      label('port of the port'),
      stx(W, R9, UDP_PORT, R2),
      ldx(W, R1, R0, L.P_STATS),
      stx(W, R9, STATS, R1),
    ]),
    leaveToJavaScript(maps),
    tagOutOfBand(),
    route(maps),
    mov(R1, R6),
    call(helper.getHashRecalc),
    stx(W, R9, HASH, R0),
    ldx(W, R1, R9, word(W_TUN_DST)),
    jne(R1, 0, 'ipv4'),
    note('over IPv6', over(maps, 6)),
    note('over IPv4', label('ipv4'), over(maps, 4)),
    label('send'),
    ldx(W, R1, R8, L.R_IFINDEX),
    mov(R2, R8),
    add(R2, L.R_HOP_FAMILY),
    mov(R3, L.ROUTE_SIZE - L.R_HOP_FAMILY),
    mov(R4, 0),
    call(helper.redirectNeigh),
    exit(),
    label('up'),
    ldx(W, R1, R9, OUT_PORT),
    stx(W, R9, L.F_COOKIE, R1),
    mov(R1, R6),
    mov(R2, R9),
    mov(R3, L.UPCALL_ROUTE),
    callFunction('upcall'),
    mov32(R0, TC_ACT.shot),
    exit(),
    label('failed'),
    countError(maps),
    label('drop'),
    mov32(R0, TC_ACT.shot),
    exit(),
    upcall,
  ];
}

const leaveToJavaScript = (maps: ProgramMaps): Code =>
  block(
    'for JavaScript',
    tunnelFlags(),
    jset(R1, TUN_F_CSUM, 'up'),
    ldx(W, R1, R9, word(W_IN_PORT)),
    arrayEntry(maps.ports, R1, 'from no port'),
    ldx(W, R1, R0, L.P_FLAGS),
    jset(R1, L.PORT_TUNNEL, 'up'),
    label('from no port'),
    ldx(W, R1, R6, skb.gsoSize),
    jeq(R1, 0, 'whole'),
    ldx(W, R1, R9, KIND),
    jeq(R1, L.TUNNEL_GRE, 'whole'),
    ldx(W, R1, R9, word(W_NW)),
    and(R1, 0xff),
    jeq(R1, PROTOCOL_UDP, 'up'),
    label('whole'),
  );

/** R8 = the route's entry. Goes to `up` if there is none, to `failed` if the key has no other end. */
const route = (maps: TunnelMaps): Code =>
  block(
    'route',
    [0, 8, 16, 24].map((i) => st(DW, R10, ROUTE_KEY_AT + i, 0)),
    ldx(W, R1, R6, skb.mark),
    stx(W, R10, ROUTE_KEY_AT + L.RK_MARK, R1),
    ldx(W, R1, R9, word(W_TUN_DST)),
    jeq(R1, 0, 'ipv6'),
    mapped(ROUTE_KEY_AT + L.RK_DESTINATION),
    ldx(W, R1, R9, word(W_TUN_SRC)),
    jeq(R1, 0, 'look up'),
    mapped(ROUTE_KEY_AT + L.RK_SOURCE),
    ja('look up'),
    label('ipv6'),
    mov(R2, 0),
    [0, 1, 2, 3].map((i) => [
      ldx(W, R1, R9, word(W_TUN_IPV6_DST + i)),
      toBe(32, R1),
      or(R2, R1),
      stx(W, R10, ROUTE_KEY_AT + L.RK_DESTINATION + 4 * i, R1),
      ldx(W, R1, R9, word(W_TUN_IPV6_SRC + i)),
      toBe(32, R1),
      stx(W, R10, ROUTE_KEY_AT + L.RK_SOURCE + 4 * i, R1),
    ]),
    jeq(R2, 0, 'failed'),
    label('look up'),
    lookup(maps.routes, ROUTE_KEY_AT, 'up'),
    mov(R8, R0),
  );

/** R10 + `at` = the IPv4 address in R1, mapped. Of the 16 bytes the first are zeros already. */
const mapped = (at: number): Code => [toBe(32, R1), stx(W, R10, at + 12, R1), st(W, R10, at + 8, 0xffff0000)];

/** Counts the packet as it is now, as sent. */
const count = (maps: ProgramMaps, packets: number): Code =>
  block(
    'count',
    ldx(W, R1, R9, STATS),
    shardOf(maps, maps.portStats, R1, 'uncounted'),
    mov(R1, 1),
    addTo(maps, packets, R1),
    mov(R3, R0),
    wireLength(R2),
    mov(R0, R3),
    addTo(maps, L.PS_TX_BYTES, R2),
    label('uncounted'),
  );

const countError = (maps: ProgramMaps): Code =>
  block(
    'count error',
    ldx(W, R1, R9, STATS),
    shardOf(maps, maps.portStats, R1, 'uncounted'),
    mov(R1, 1),
    addTo(maps, L.PS_TX_ERRORS, R1),
    label('uncounted'),
  );

/** Everything for one family of outer addresses. */
function over(maps: ProgramMaps, family: 4 | 6): Code {
  const l4 = HEADER + 14 + (family === 4 ? 20 : 40);
  return block(
    `IPv${family}`,
    tunnelHeader(l4),
    note('length', fits()),
    count(maps, L.PS_TX_PACKETS),
    note('Ethernet header inside', innerHeader()),
    note('room', makeRoom(family)),
    note('outer header', ethernet(family), family === 4 ? ipv4() : ipv6(), udp(family, l4)),
    mov(R1, R6),
    mov(R2, 0),
    mov(R3, R9),
    add(R3, HEADER),
    ldx(W, R4, R9, OUTER_SIZE),
    ldx(W, R5, R9, INNER_SIZE),
    add(R4, R5),
    jgt(R4, MAX_OUTER + MAX_INNER, 'failed'),
    jlt(R4, 1, 'failed'),
    mov(R5, 0),
    call(helper.skbStoreBytes),
    jne(R0, 0, 'failed'),
    ja('send'),
  );
}

/** The header behind IP, but for UDP's own, which waits for the length; and OUTER_SIZE. */
const tunnelHeader = (l4: number): Code => {
  const size = l4 - HEADER;
  const behindUdp = l4 + 8;
  return block(
    'tunnel header',
    ldx(W, R1, R9, KIND),
    jeq(R1, L.TUNNEL_VXLAN, 'vxlan'),
    jeq(R1, L.TUNNEL_GENEVE, 'geneve'),
    jeq(R1, L.TUNNEL_GRE, 'gre'),
    ja('failed'),

    label('vxlan'),
    st(W, R9, behindUdp, 0x08),
    ldx(W, R1, R9, word(W_TUN_GBP)),
    rsh(R1, 8),
    jeq(R1, 0, 'no policy'),
    mov(R2, R1),
    st(B, R9, behindUdp, 0x88),
    and(R1, 0x48),
    stx(B, R9, behindUdp + 1, R1),
    rsh(R2, 8),
    toBe(16, R2),
    stx(H, R9, behindUdp + 2, R2),
    label('no policy'),
    vni(behindUdp + 4),
    st(W, R9, OUTER_SIZE, size + 16),
    ja('done'),

    label('gre'),
    st(W, R9, l4, TEB << 16),
    st(W, R9, OUTER_SIZE, size + 4),
    tunnelFlags(),
    jset(R1, TUN_F_KEY, 'key'),
    ja('done'),
    label('key'),
    st(B, R9, l4, 0x20),
    ldx(W, R1, R9, word(W_TUN_ID + 1)),
    toBe(32, R1),
    stx(W, R9, l4 + 4, R1),
    st(W, R9, OUTER_SIZE, size + 8),
    ja('done'),

    label('geneve'),
    st(W, R9, behindUdp, TEB << 16),
    vni(behindUdp + 4),
    tunnelFlags(),
    mov(R2, R1),
    and(R2, TUN_F_OAM),
    jeq(R2, 0, 'no oam'),
    st(B, R9, behindUdp + 1, 0x80),
    label('no oam'),
    st(W, R9, OUTER_SIZE, size + 16),
    jset(R1, TUN_F_RAW_OPTIONS, 'options'),
    ja('done'),
    label('options'),
    options(behindUdp),
    stx(W, R9, OUTER_SIZE, R1),
    ldx(W, R2, R9, OUTER_SIZE),
    add(R2, size + 16),
    stx(W, R9, OUTER_SIZE, R2),
    label('done'),
  );
};

/** The 24 bits of the tunnel id, and a byte of zeros. */
const vni = (at: number): Code => [
  ldx(W, R1, R9, word(W_TUN_ID + 1)),
  lsh(R1, 8),
  toBe(32, R1),
  stx(W, R9, at, R1),
];

/**
 * Geneve options behind the header at `header`, with their length, and the bit that says that one is critical. R1 = their bytes.
 */
const options = (header: number): Code =>
  block(
    'options',
    ldx(W, R1, R9, word(W_TUN_METADATA_PRESENT + 1)),
    jgt(R1, 252, 'failed'),
    and(R1, 0xfc),
    mov(R2, R1),
    rsh(R2, 2),
    stx(B, R9, header, R2),
    // R3 = words done, R2 = words until the next option begins.
    mov(R3, 0),
    mov(R2, 0),
    label('word'),
    mov(R4, R3),
    lsh(R4, 2),
    jgt(R4, 248, 'done'),
    ja('in range'),
    label('in range'),
    mov(R5, R1),
    sub(R5, R4),
    jeq(R5, 0, 'done'),
    add(R4, R9),
    ldx(W, R5, R4, word(W_TUN_METADATA)),
    jne(R2, 0, 'data'),
    mov(R2, R5),
    and(R2, 31),
    add(R2, 1),
    jset(R5, 0x8000, 'critical'),
    ja('data'),
    label('critical'),
    ldx(B, R0, R9, header + 1),
    or(R0, 0x40),
    stx(B, R9, header + 1, R0),
    label('data'),
    sub(R2, 1),
    toBe(32, R5),
    stx(W, R4, header + 8, R5),
    add(R3, 1),
    ja('word'),
    label('done'),
  );

/**
 * Takes the tags off the packet and writes its Ethernet header with them behind the outer header. What then stands in the
 * packet is Ethernet and IP, or is made to look like it: only for these does the kernel make room.
 */
const innerHeader = (): Code =>
  block(
    'inner header',
    liftTags('failed'),
    ldx(W, R7, R9, OUTER_SIZE),
    jgt(R7, MAX_OUTER, 'failed'),
    add(R7, R9),
    add(R7, HEADER),
    mov(R1, R6),
    mov(R2, 0),
    mov(R3, R7),
    mov(R4, 14),
    call(helper.skbLoadBytes),
    jne(R0, 0, 'failed'),
    ldx(H, R4, R7, 12),
    mov(R5, 14),
    Array.from({ length: MAX_TAGS }, (_, i) => [
      ldx(H, R1, R10, TAGS_AT + 4 * i),
      jeq(R1, 0, 'type'),
      ldx(H, R2, R10, TAGS_AT + 4 * i + 2),
      toBe(16, R2),
      stx(H, R7, 12, R1),
      stx(H, R7, 14, R2),
      add(R7, 4),
      add(R5, 4),
    ]),
    label('type'),
    stx(H, R7, 12, R4),
    stx(W, R9, INNER_SIZE, R5),
    ldx(W, R1, R6, skb.protocol),
    jeq(R1, IPV4, 'ip'),
    jeq(R1, IPV6, 'ip'),
    // Two blank tags, the inner one with the type of IP behind it; when they are popped, that is the packet's.
    pushBlanks(2, 'failed'),
    st(H, R10, TYPE_AT, IPV4),
    mov(R1, R6),
    mov(R2, 16),
    mov(R3, R10),
    add(R3, TYPE_AT),
    mov(R4, 2),
    mov(R5, 0),
    call(helper.skbStoreBytes),
    jne(R0, 0, 'failed'),
    popBlanks(2, 'failed'),
    label('ip'),
  );

const makeRoom = (family: 4 | 6): Code => {
  const flags = FIXED_GSO | ENCAP_L2_ETH | (family === 4 ? ENCAP_L3_IPV4 : ENCAP_L3_IPV6);
  return block(
    'make room',
    ldx(W, R2, R9, OUTER_SIZE),
    ldx(W, R4, R9, INNER_SIZE),
    add(R2, R4),
    sub(R2, 14),
    lsh(R4, 56),
    or(R4, flags),
    ldx(W, R1, R9, KIND),
    jeq(R1, L.TUNNEL_GRE, 'gre'),
    or(R4, ENCAP_L4_UDP),
    ja('flags'),
    label('gre'),
    or(R4, ENCAP_L4_GRE),
    label('flags'),
    mov(R1, R6),
    mov(R3, ROOM_BEHIND_MAC),
    call(helper.skbAdjustRoom),
    jne(R0, 0, 'failed'),
  );
};

/**
 * Goes to `up` if the packet, or a segment of it, will be longer than the route's device takes: then the host's stack
 * cuts it, or says that it must not.
 */
const fits = (): Code =>
  block(
    'fits',
    ldx(W, R7, R9, OUTER_SIZE),
    ldx(W, R1, R6, skb.vlanPresent),
    jeq(R1, 0, 'untagged'),
    add(R7, 4),
    label('untagged'),
    st(DW, R10, MTU_AT, 0),
    mov(R1, R6),
    ldx(W, R2, R8, L.R_IFINDEX),
    mov(R3, R10),
    add(R3, MTU_AT),
    mov(R4, R7),
    mov(R5, 0),
    call(helper.checkMtu),
    jne(R0, 0, 'up'),
    ldx(W, R1, R6, skb.gsoSize),
    jeq(R1, 0, 'yes'),
    add(R7, R1),
    ldx(W, R2, R9, L.F_L4),
    jeq32(R2, L.LAYER_ABSENT, 'yes'),
    add(R7, R2),
    ldx(W, R1, R9, word(W_NW)),
    and(R1, 0xff),
    jeq(R1, PROTOCOL_UDP, 'udp'),
    add(R2, 12),
    mov(R1, R6),
    mov(R3, R10),
    add(R3, TYPE_AT),
    mov(R4, 1),
    call(helper.skbLoadBytes),
    jne(R0, 0, 'up'),
    ldx(B, R1, R10, TYPE_AT),
    rsh(R1, 4),
    lsh(R1, 2),
    add(R7, R1),
    ja('compare'),
    label('udp'),
    add(R7, 8),
    label('compare'),
    // The device's limit is without its own header.
    sub(R7, 14),
    ldx(W, R1, R10, MTU_AT),
    jgt(R7, R1, 'up'),
    label('yes'),
  );

const ethernet = (family: 4 | 6): Code => [
  st(DW, R9, HEADER, 0),
  st(W, R9, HEADER + 8, 0),
  st(H, R9, HEADER + 12, family === 4 ? IPV4 : IPV6),
];

/** R1 = the protocol behind IP. */
const protocol = (): Code =>
  block(
    'protocol',
    ldx(W, R2, R9, KIND),
    mov(R1, PROTOCOL_UDP),
    jne(R2, L.TUNNEL_GRE, 'known'),
    mov(R1, PROTOCOL_GRE),
    label('known'),
  );

/** R5 collects the header's sum, in the machine's order. */
const ipv4 = (): Code => {
  const ip = HEADER + 14;
  const addHalves = (value: Register, spare: Register): Code => [
    mov(spare, value),
    rsh(spare, 16),
    add(R5, spare),
    mov(spare, value),
    and(spare, 0xffff),
    add(R5, spare),
  ];
  return block(
    'IPv4 header',
    ldx(W, R3, R9, word(W_TUN_FLAGS)),
    // Version and length, TOS.
    mov(R1, R3),
    rsh(R1, 8),
    and(R1, 0xff),
    or(R1, 0x4500),
    mov(R5, R1),
    toBe(16, R1),
    stx(H, R9, ip, R1),
    // Total length.
    ldx(W, R1, R6, skb.len),
    sub(R1, 14),
    and(R1, 0xffff),
    add(R5, R1),
    toBe(16, R1),
    stx(H, R9, ip + 2, R1),
    // TTL and protocol.
    protocol(),
    and(R3, 0xff),
    lsh(R3, 8),
    or(R1, R3),
    add(R5, R1),
    toBe(16, R1),
    stx(H, R9, ip + 8, R1),
    // Addresses.
    ldx(W, R1, R9, word(W_TUN_DST)),
    addHalves(R1, R2),
    toBe(32, R1),
    stx(W, R9, ip + 16, R1),
    ldx(W, R1, R9, word(W_TUN_SRC)),
    jne(R1, 0, 'source'),
    ldx(W, R1, R8, L.R_SOURCE + 12),
    toBe(32, R1),
    label('source'),
    addHalves(R1, R2),
    toBe(32, R1),
    stx(W, R9, ip + 12, R1),
    // Identification and fragmentation: a packet that nobody may cut needs none (RFC 6864).
    tunnelFlags(),
    jset(R1, TUN_F_DF, 'whole'),
    stx(DW, R10, ROUTE_KEY_AT, R5),
    call(helper.getPrandomU32),
    ldx(DW, R5, R10, ROUTE_KEY_AT),
    and(R0, 0xffff),
    add(R5, R0),
    toBe(16, R0),
    stx(W, R9, ip + 4, R0),
    ja('identified'),
    label('whole'),
    st(W, R9, ip + 4, 0x0040 << 16),
    add(R5, 0x4000),
    label('identified'),
    // Two folds: the sum is below 2^20.
    [0, 1].map(() => [mov(R1, R5), rsh(R1, 16), and(R5, 0xffff), add(R5, R1)]),
    xor(R5, 0xffff),
    toBe(16, R5),
    stx(H, R9, ip + 10, R5),
  );
};

const ipv6 = (): Code => {
  const ip = HEADER + 14;
  return block(
    'IPv6 header',
    ldx(W, R3, R9, word(W_TUN_FLAGS)),
    mov(R1, R3),
    rsh(R1, 8),
    and(R1, 0xff),
    lsh(R1, 20),
    mov32(R2, 0x60000000),
    or32(R1, R2),
    toBe(32, R1),
    stx(W, R9, ip, R1),
    ldx(W, R1, R6, skb.len),
    sub(R1, 54),
    toBe(16, R1),
    stx(H, R9, ip + 4, R1),
    protocol(),
    stx(B, R9, ip + 6, R1),
    stx(B, R9, ip + 7, R3),
    mov(R2, 0),
    [0, 1, 2, 3].map((i) => [
      ldx(W, R1, R9, word(W_TUN_IPV6_DST + i)),
      toBe(32, R1),
      stx(W, R9, ip + 24 + 4 * i, R1),
      ldx(W, R1, R9, word(W_TUN_IPV6_SRC + i)),
      or(R2, R1),
      toBe(32, R1),
      stx(W, R9, ip + 8 + 4 * i, R1),
    ]),
    jne(R2, 0, 'source'),
    [0, 1, 2, 3].map((i) => [ldx(W, R1, R8, L.R_SOURCE + 4 * i), stx(W, R9, ip + 8 + 4 * i, R1)]),
    label('source'),
  );
};

/** UDP's header, where the tunnel has one. */
const udp = (family: 4 | 6, l4: number): Code =>
  block(
    'UDP header',
    ldx(W, R1, R9, KIND),
    jeq(R1, L.TUNNEL_GRE, 'none'),
    // The source port tells flows apart for whoever balances them (RFC 7348, section 5).
    ldx(W, R1, R9, HASH),
    mov(R2, R1),
    rsh(R2, 16),
    xor(R1, R2),
    and(R1, 0x3fff),
    or(R1, 0xc000),
    toBe(16, R1),
    stx(H, R9, l4, R1),
    ldx(W, R1, R9, UDP_PORT),
    toBe(16, R1),
    stx(H, R9, l4 + 2, R1),
    ldx(W, R1, R6, skb.len),
    sub(R1, family === 4 ? 34 : 54),
    toBe(16, R1),
    stx(H, R9, l4 + 4, R1),
    st(H, R9, l4 + 6, 0),
    label('none'),
  );
