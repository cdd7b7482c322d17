/**
 * Operations that write into headers: edit.ts, done by helpers. R6 = context, R9 = frame, R8 = the operation's unit; what
 * is done or cannot be done goes on at `next`. A checksum follows the change by the difference, as there.
 *
 * Most bytes go through `skb_load_bytes` and `skb_store_bytes`, which take them wherever they are: an skb need not have more
 * than the Ethernet header where programs can reach it. What every router changes is written in place where it can be. `RECOMPUTE` is for what no checksum of a header makes up for:
 * a device may have summed the whole packet (CHECKSUM_COMPLETE), and that sum has to stay right.
 */
import {
  add,
  and32,
  B,
  block,
  call,
  H,
  ja,
  jeq,
  jeq32,
  jgt,
  jne,
  jset,
  jslt,
  label,
  ldx,
  mov,
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
  stx,
  sub,
  toBe,
  W,
  xor32,
} from '../../ebpf/asm.ts';
import { skb } from '../../ebpf/context.ts';
import { helper } from '../../ebpf/helpers.ts';
import type { Code, Register } from '../../ebpf/instruction.ts';
import { FRAG_LATER, W_NW } from '../../flow/layout.ts';
import * as O from './action-ops.ts';
import * as L from './layout.ts';

/* Places on the stack, below those of code.ts. */
const OLD_AT = -24;
const NEW_AT = -32;
/** Up to 16 bytes of a header. */
const HEADER_AT = -48;

const RECOMPUTE = 1;
const PSEUDO_HEADER = 0x10;
/** A sum of 0 means that there is none, and stays; one that becomes 0 is written as 0xffff. */
const ZERO_IS_NONE = 0x20;

/** Headers that begin later are written by helpers. */
const MAX_REACHED = 128;

const TCP = 6;
const UDP = 17;
const ICMPV6 = 58;

/** R10 + `at` = `size` bytes of the packet at `offset`. Goes on at `next` if they are not there. Destroys R0 to R5. */
const load = (offset: Register | number, at: number, size: number): Code => [
  mov(R2, offset),
  mov(R1, R6),
  mov(R3, R10),
  add(R3, at),
  mov(R4, size),
  call(helper.skbLoadBytes),
  jne(R0, 0, 'next'),
];

/** Writes `size` bytes at R10 + `at` into the packet. Destroys R0 to R5. */
const store = (offset: Register | number, at: number, size: number, flags: number): Code => [
  mov(R2, offset),
  mov(R1, R6),
  mov(R3, R10),
  add(R3, at),
  mov(R4, size),
  mov(R5, flags),
  call(helper.skbStoreBytes),
  jne(R0, 0, 'next'),
];

/** `reg` = a layer's offset; goes on at `next` if the packet does not have it. */
const layer = (reg: Register, field: number): Code => [
  ldx(W, reg, R9, field),
  jeq32(reg, L.LAYER_ABSENT, 'next'),
];

/** Goes on at `next` unless `size` bytes follow `offset`, which it keeps. Destroys R1. */
const bytesBehind = (offset: Register, size: number): Code => [
  ldx(W, R1, R6, skb.len),
  sub(R1, offset),
  jslt(R1, size, 'next'),
];

/** `dst` = bytes from L4, whose offset is in `l4`, to the end of the IP packet. Destroys R1. */
const l4Size = (dst: Register, l4: Register): Code => [
  ldx(W, dst, R6, skb.len),
  ldx(W, R1, R9, L.F_L2_PAD),
  sub(dst, R1),
  sub(dst, l4),
];

/** R1 = IP's version, of the packet whose IP header is at R7. Needs HEADER_AT to have its first bytes. */
const ipVersion = (): Code => [ldx(B, R1, R10, HEADER_AT), rsh(R1, 4)];

/**
 * Writes A under mask B over the four bytes at R7, which stay at OLD_AT, with those at NEW_AT. Goes on at `next` if
 * nothing changes. Destroys R0 to R5.
 */
const mergeAt = (flags: number): Code =>
  block(
    'merge',
    load(R7, OLD_AT, 4),
    ldx(W, R1, R10, OLD_AT),
    ldx(W, R2, R8, O.O_B),
    xor32(R2, -1),
    and32(R2, R1),
    ldx(W, R3, R8, O.O_A),
    or32(R2, R3),
    jeq(R1, R2, 'next'),
    stx(W, R10, NEW_AT, R2),
    store(R7, NEW_AT, 4, flags),
  );

/** Tells the L4 checksum at `offset` (R1 to R5, or R7) what changed from OLD_AT to NEW_AT. */
const changedL4 = (offset: Register, flags: number): Code => [
  mov(R2, offset),
  mov(R1, R6),
  ldx(W, R3, R10, OLD_AT),
  ldx(W, R4, R10, NEW_AT),
  mov(R5, flags | 4),
  call(helper.l4CsumReplace),
];

/**
 * A word of the pseudo header changed; R0 = the protocol. Tells the checksum of L4, if there is one that covers it, and
 * the packet is long enough. Ends at `next`.
 */
const pseudoHeaderChanged = (): Code =>
  block(
    'pseudo header',
    layer(R7, L.F_L4),
    l4Size(R2, R7),
    jeq(R0, TCP, 'tcp'),
    jeq(R0, UDP, 'udp'),
    jne(R0, ICMPV6, 'next'),
    jslt(R2, 4, 'next'),
    add(R7, 2),
    ja('field'),
    label('tcp'),
    jslt(R2, 20, 'next'),
    add(R7, 16),
    label('field'),
    changedL4(R7, PSEUDO_HEADER),
    ja('next'),
    label('udp'),
    jslt(R2, 8, 'next'),
    add(R7, 6),
    changedL4(R7, PSEUDO_HEADER | ZERO_IS_NONE),
    ja('next'),
  );

export const setEth = (): Code =>
  block(
    'set eth',
    // It has a second unit.
    ldx(W, R1, R9, L.F_PC),
    add(R1, 1),
    stx(W, R9, L.F_PC, R1),
    // So much of a packet can always be reached.
    ldx(W, R1, R6, skb.data),
    ldx(W, R2, R6, skb.dataEnd),
    mov(R3, R1),
    add(R3, 14),
    jgt(R3, R2, 'next'),
    [0, 4, 8].map((i) => [
      ldx(W, R3, R8, O.O_A + 12 + i),
      xor32(R3, -1),
      ldx(W, R4, R1, i),
      and32(R4, R3),
      ldx(W, R3, R8, O.O_A + i),
      or32(R4, R3),
      stx(W, R1, i, R4),
    ]),
  );

/** The first 12 bytes of an IPv4 header at HEADER_AT, R7 = its offset. Goes on at `next` if it is not one. */
const ipv4Header = (): Code => [
  layer(R7, L.F_L4),
  layer(R7, L.F_L3),
  load(R7, HEADER_AT, 12),
  ipVersion(),
  jne(R1, 4, 'next'),
];

/** Tells the header's checksum, the header being at R7, what changed from R3 to R4, `size` bytes. */
const changedL3 = (size: number): Code => [
  mov(R1, R6),
  mov(R2, R7),
  add(R2, 10),
  mov(R5, size),
  call(helper.l3CsumReplace),
];

export const setIpv4 = (): Code =>
  block(
    'set ipv4 address',
    ipv4Header(),
    ldx(W, R1, R8, O.O_C),
    add(R7, R1),
    mergeAt(0),
    ldx(W, R7, R9, L.F_L3),
    ldx(W, R3, R10, OLD_AT),
    ldx(W, R4, R10, NEW_AT),
    changedL3(4),
    ldx(H, R1, R10, HEADER_AT + 6),
    toBe(16, R1),
    jset(R1, 0x1fff, 'next'),
    ldx(B, R0, R10, HEADER_AT + 9),
    jeq(R0, ICMPV6, 'next'),
    pseudoHeaderChanged(),
  );

/** Two bytes at `offset` of the header, from the half word of A and B at `half`; the checksum follows. */
const ipv4Half = (offset: number, half: number): Code =>
  block(
    'half word',
    ldx(H, R1, R10, HEADER_AT + offset),
    ldx(H, R2, R8, O.O_B + half),
    xor32(R2, -1),
    and32(R2, R1),
    ldx(H, R3, R8, O.O_A + half),
    or32(R2, R3),
    jeq(R1, R2, 'same'),
    stx(H, R10, NEW_AT, R2),
    mov(R2, R7),
    add(R2, offset),
    store(R2, NEW_AT, 2, 0),
    ldx(H, R3, R10, HEADER_AT + offset),
    ldx(H, R4, R10, NEW_AT),
    changedL3(2),
    label('same'),
  );

/** The same where the header is at R1 and can be written. The sum is the same in any order of bytes. Destroys R2 to R5. */
const ipv4HalfInPlace = (offset: number, half: number): Code =>
  block(
    'half word in place',
    ldx(H, R2, R1, offset),
    ldx(H, R3, R8, O.O_B + half),
    xor32(R3, -1),
    and32(R3, R2),
    ldx(H, R4, R8, O.O_A + half),
    or32(R3, R4),
    jeq(R2, R3, 'same'),
    stx(H, R1, offset, R3),
    ldx(H, R4, R1, 10),
    xor32(R4, 0xffff),
    xor32(R2, 0xffff),
    add(R4, R2),
    add(R4, R3),
    [0, 1].map(() => [mov(R5, R4), rsh(R5, 16), and32(R4, 0xffff), add(R4, R5)]),
    xor32(R4, 0xffff),
    stx(H, R1, 10, R4),
    label('same'),
  );

export const setIpv4Nw = (): Code =>
  block(
    'set ipv4 tos, ttl',
    layer(R7, L.F_L4),
    layer(R7, L.F_L3),
    jgt(R7, MAX_REACHED, 'far'),
    ldx(W, R1, R6, skb.data),
    ldx(W, R2, R6, skb.dataEnd),
    add(R1, R7),
    mov(R3, R1),
    add(R3, 20),
    jgt(R3, R2, 'far'),
    ldx(B, R2, R1, 0),
    rsh(R2, 4),
    jne(R2, 4, 'next'),
    ipv4HalfInPlace(0, 0),
    ipv4HalfInPlace(8, 2),
    ja('next'),
    label('far'),
    ipv4Header(),
    ipv4Half(0, 0),
    ipv4Half(8, 2),
  );

/** The first 8 bytes of an IPv6 header at HEADER_AT, R7 = its offset. */
const ipv6Header = (): Code => [
  layer(R7, L.F_L4),
  layer(R7, L.F_L3),
  load(R7, HEADER_AT, 8),
  ipVersion(),
  jne(R1, 6, 'next'),
];

export const setIpv6 = (): Code =>
  block(
    'set ipv6 address',
    ipv6Header(),
    ldx(W, R1, R8, O.O_C),
    add(R7, R1),
    mergeAt(RECOMPUTE),
    // Only plain headers get here (REQUIRE_PLAIN_IPV6): the key's protocol is the one whose checksum it is.
    ldx(W, R0, R9, L.frameWord(W_NW)),
    mov(R1, R0),
    rsh(R1, 24),
    jset(R1, FRAG_LATER, 'next'),
    and32(R0, 0xff),
    pseudoHeaderChanged(),
  );

export const setIpv6Plain = (): Code =>
  block('set ipv6', ipv6Header(), ldx(W, R1, R8, O.O_C), add(R7, R1), mergeAt(RECOMPUTE));

export const setPorts = (): Code =>
  block(
    'set ports',
    layer(R7, L.F_L4),
    l4Size(R2, R7),
    ldx(W, R1, R8, O.O_C),
    jeq(R1, 6, 'udp'),
    jslt(R2, 20, 'next'),
    mergeAt(0),
    add(R7, 16),
    changedL4(R7, 0),
    ja('next'),
    label('udp'),
    jslt(R2, 8, 'next'),
    mov(R2, R7),
    add(R2, 6),
    load(R2, HEADER_AT, 2),
    ldx(H, R1, R10, HEADER_AT),
    jeq(R1, 0, 'without checksum'),
    mergeAt(0),
    add(R7, 6),
    changedL4(R7, ZERO_IS_NONE),
    ja('next'),
    label('without checksum'),
    mergeAt(RECOMPUTE),
  );

export const setIcmp = (): Code =>
  block(
    'set icmp',
    layer(R7, L.F_L4),
    l4Size(R2, R7),
    jslt(R2, 4, 'next'),
    mergeAt(0),
    add(R7, 2),
    // The mask lets the first two bytes change only, and the sum is over these.
    mov(R1, R6),
    mov(R2, R7),
    ldx(H, R3, R10, OLD_AT),
    ldx(H, R4, R10, NEW_AT),
    mov(R5, 2),
    call(helper.l4CsumReplace),
  );

export const setNd = (): Code =>
  block(
    'set nd',
    layer(R7, L.F_L4),
    l4Size(R2, R7),
    jslt(R2, 24, 'next'),
    ldx(W, R1, R8, O.O_C),
    add(R7, R1),
    mergeAt(0),
    ldx(W, R7, R9, L.F_L4),
    add(R7, 2),
    changedL4(R7, 0),
  );

export const setArp = (): Code =>
  block(
    'set arp',
    layer(R7, L.F_L3),
    bytesBehind(R7, 28),
    ldx(W, R1, R8, O.O_C),
    add(R7, R1),
    mergeAt(RECOMPUTE),
  );

export const setMpls = (): Code =>
  block('set mpls', layer(R7, L.F_L25), bytesBehind(R7, 4), mergeAt(RECOMPUTE));
