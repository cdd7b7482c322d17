/**
 * The `hash` action: `datapathHash` of packet/hash.ts. It reads the packet, not the key in the frame, which has but the words
 * that some mask wants, and may be older than what was set. Only the layers' offsets, EtherType, and IP's protocol and
 * fragment bits are the frame's.
 */
import {
  add,
  add32,
  and,
  and32,
  B,
  block,
  call,
  DW,
  H,
  ja,
  jeq,
  jeq32,
  jgt,
  jlt,
  jne,
  jset,
  jslt,
  label,
  ldx,
  lsh,
  lsh32,
  mov,
  mov32,
  mul32,
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
  rsh32,
  st,
  stx,
  sub,
  toBe,
  W,
  xor32,
} from '../../ebpf/asm.ts';
import { skb } from '../../ebpf/context.ts';
import { helper } from '../../ebpf/helpers.ts';
import type { Code, Register } from '../../ebpf/instruction.ts';
import { FRAG_ANY, FRAG_LATER, W_DP_HASH, W_ETH_TYPE, W_NW } from '../../flow/layout.ts';
import * as O from './action-ops.ts';
import * as L from './layout.ts';

/* Places on the stack. */
/** Both addresses as they stand in the packet, zeros where there are none; of IPv4, four bytes each. */
const ADDRESSES_AT = -56;
/** Ports, or zeros; of ICMP: 0, type, 0, code. */
const PORTS_AT = -64;
const BYTES_AT = -80;
/** Protocol. */
const PROTOCOL_AT = -88;

const rotate = (reg: Register, by: number, spare: Register): Code => [
  mov32(spare, reg),
  lsh32(reg, by),
  rsh32(spare, 32 - by),
  or32(reg, spare),
];

/** R7 = a round of MurmurHash3 over R7 and R1. Destroys R1 and R2. */
const hashAdd = (): Code => [
  mul32(R1, 0xcc9e2d51),
  rotate(R1, 15, R2),
  mul32(R1, 0x1b873593),
  xor32(R7, R1),
  rotate(R7, 13, R2),
  mul32(R7, 5),
  add32(R7, 0xe6546b64),
];

/** R7 = its final avalanche; `final` as in hash.ts. Destroys R1. */
const hashFinish = (final: Register | number): Code => [
  xor32(R7, final),
  mov32(R1, R7),
  rsh32(R1, 16),
  xor32(R7, R1),
  mul32(R7, 0x85ebca6b),
  mov32(R1, R7),
  rsh32(R1, 13),
  xor32(R7, R1),
  mul32(R7, 0xc2b2ae35),
  mov32(R1, R7),
  rsh32(R1, 16),
  xor32(R7, R1),
];

/** R10 + `at` = `size` bytes of the packet at R2. What is not there leaves zeros. Destroys R0 to R5. */
const load = (at: number, size: number): Code => [
  mov(R1, R6),
  mov(R3, R10),
  add(R3, at),
  mov(R4, size),
  call(helper.skbLoadBytes),
];

const loadAt = (layer: number, offset: number, at: number, size: number): Code => [
  ldx(W, R2, R9, layer),
  add(R2, offset),
  load(at, size),
];

const etherType = (reg: Register): Code => [ldx(W, reg, R9, L.frameWord(W_ETH_TYPE)), rsh(reg, 16)];

export const hashAction = (): Code =>
  block(
    'hash',
    readAddresses(),
    readPorts(),
    etherType(R3),
    ldx(W, R1, R8, O.O_A),
    jne(R1, 0, 'symmetric'),
    fiveTuple(),
    ja('store'),
    label('symmetric'),
    symmetricL3L4(),
    label('store'),
    jne(R7, 0, 'some'),
    mov(R7, 1),
    label('some'),
    stx(W, R9, L.frameWord(W_DP_HASH), R7),
  );

/** Addresses at ADDRESSES_AT and the protocol (ARP: opcode) at PROTOCOL_AT; zeros where a header is not whole. */
const readAddresses = (): Code =>
  block(
    'addresses',
    [0, 8, 16, 24].map((i) => st(DW, R10, ADDRESSES_AT + i, 0)),
    ldx(W, R1, R9, L.frameWord(W_NW)),
    and(R1, 0xff),
    stx(DW, R10, PROTOCOL_AT, R1),
    ldx(W, R7, R9, L.F_L3),
    jeq32(R7, L.LAYER_ABSENT, 'read'),
    etherType(R3),
    jeq(R3, 0x0800, 'ipv4'),
    jeq(R3, 0x86dd, 'ipv6'),
    jne(R3, 0x0806, 'read'),
    // ARP for IPv4 over Ethernet.
    ldx(W, R1, R6, skb.len),
    sub(R1, R7),
    jslt(R1, 28, 'not arp'),
    mov(R2, R7),
    load(BYTES_AT, 8),
    jne(R0, 0, 'not arp'),
    ldx(W, R1, R10, BYTES_AT),
    toBe(32, R1),
    jne(R1, 0x00010800, 'not arp'),
    ldx(H, R1, R10, BYTES_AT + 4),
    toBe(16, R1),
    jne(R1, 0x0604, 'not arp'),
    ldx(H, R1, R10, BYTES_AT + 6),
    toBe(16, R1),
    jlt(R1, 256, 'narrow'),
    mov(R1, 0),
    label('narrow'),
    stx(DW, R10, PROTOCOL_AT, R1),
    loadAt(L.F_L3, 14, ADDRESSES_AT, 4),
    loadAt(L.F_L3, 24, ADDRESSES_AT + 4, 4),
    ja('read'),
    label('not arp'),
    st(DW, R10, PROTOCOL_AT, 0),
    ja('read'),
    label('ipv4'),
    ldx(W, R1, R9, L.F_L4),
    jeq32(R1, L.LAYER_ABSENT, 'read'),
    loadAt(L.F_L3, 12, ADDRESSES_AT, 8),
    ja('read'),
    label('ipv6'),
    // The addresses count even where L4 is out of reach, if the payload's length is right.
    ldx(W, R1, R6, skb.len),
    sub(R1, R7),
    sub(R1, 40),
    jslt(R1, 0, 'read'),
    mov(R7, R1),
    loadAt(L.F_L3, 4, BYTES_AT, 2),
    jne(R0, 0, 'read'),
    ldx(H, R1, R10, BYTES_AT),
    toBe(16, R1),
    jgt(R1, R7, 'read'),
    sub(R7, R1),
    jgt(R7, 0xffff, 'read'),
    loadAt(L.F_L3, 8, ADDRESSES_AT, 32),
    label('read'),
  );

/** Ports at PORTS_AT: what the key's W_TP would be, as the packet has it. */
const readPorts = (): Code =>
  block(
    'ports',
    st(DW, R10, PORTS_AT, 0),
    ldx(W, R2, R9, L.F_L4),
    jeq32(R2, L.LAYER_ABSENT, 'read'),
    ldx(W, R1, R9, L.frameWord(W_NW)),
    rsh(R1, 24),
    jset(R1, FRAG_LATER, 'read'),
    ldx(W, R7, R6, skb.len),
    ldx(W, R1, R9, L.F_L2_PAD),
    sub(R7, R1),
    sub(R7, R2),
    ldx(DW, R1, R10, PROTOCOL_AT),
    jeq(R1, 6, 'tcp'),
    jeq(R1, 17, 'udp'),
    jeq(R1, 132, 'sctp'),
    jeq(R1, 1, 'icmp'),
    jne(R1, 58, 'read'),
    label('icmp'),
    jslt(R7, 8, 'read'),
    load(BYTES_AT, 2),
    jne(R0, 0, 'read'),
    ldx(B, R1, R10, BYTES_AT),
    ldx(B, R2, R10, BYTES_AT + 1),
    lsh(R1, 8),
    lsh(R2, 24),
    or32(R1, R2),
    stx(W, R10, PORTS_AT, R1),
    ja('read'),
    label('tcp'),
    jslt(R7, 20, 'read'),
    add(R2, 12),
    load(BYTES_AT, 1),
    jne(R0, 0, 'read'),
    ldx(B, R1, R10, BYTES_AT),
    rsh(R1, 4),
    lsh(R1, 2),
    jlt(R1, 20, 'read'),
    jgt(R1, R7, 'read'),
    ja('both'),
    label('sctp'),
    jslt(R7, 12, 'read'),
    ja('both'),
    label('udp'),
    jslt(R7, 8, 'read'),
    label('both'),
    loadAt(L.F_L4, 0, PORTS_AT, 4),
    label('read'),
  );

/** R7 = algorithm 0; R3 = EtherType. */
const fiveTuple = (): Code =>
  block(
    'five-tuple',
    mov(R7, 0),
    jeq(R3, 0x86dd, 'ipv6'),
    jeq(R3, 0x0800, 'ipv4'),
    jne(R3, 0x0806, 'finish'),
    label('ipv4'),
    addWords(2),
    ja('transport'),
    label('ipv6'),
    addWords(8),
    label('transport'),
    ldx(DW, R1, R10, PROTOCOL_AT),
    mov(R4, R1),
    hashAdd(),
    jeq(R4, 6, 'ports'),
    jeq(R4, 17, 'ports'),
    jeq(R4, 132, 'ports'),
    jeq(R4, 1, 'ports'),
    jne(R4, 58, 'finish'),
    label('ports'),
    ldx(W, R1, R10, PORTS_AT),
    hashAdd(),
    label('finish'),
    hashFinish(42),
    mov(R1, 0),
    hashAdd(),
    ldx(W, R1, R8, O.O_B),
    hashAdd(),
    hashFinish(8),
  );

const addWords = (count: number): Code =>
  Array.from({ length: count }, (_, i) => [ldx(W, R1, R10, ADDRESSES_AT + 4 * i), hashAdd()]);

/** Adds the difference of source and destination, of `words` words each. */
const addDifferences = (words: number): Code =>
  Array.from({ length: words }, (_, i) => [
    ldx(W, R1, R10, ADDRESSES_AT + 4 * i),
    ldx(W, R2, R10, ADDRESSES_AT + 4 * (words + i)),
    xor32(R1, R2),
    hashAdd(),
  ]);

/** R7 = algorithm 1; R3 = EtherType. */
const symmetricL3L4 = (): Code =>
  block(
    'symmetric L3 and L4',
    ldx(W, R7, R8, O.O_B),
    jeq(R3, 0x86dd, 'ipv6'),
    jne(R3, 0x0800, 'link layer'),
    addDifferences(1),
    ja('transport'),
    label('ipv6'),
    addDifferences(4),
    label('transport'),
    ldx(DW, R1, R10, PROTOCOL_AT),
    mov(R4, R1),
    hashAdd(),
    ldx(W, R1, R9, L.frameWord(W_NW)),
    rsh(R1, 24),
    jset(R1, FRAG_ANY | FRAG_LATER, 'finish'),
    jeq(R4, 6, 'ports'),
    jne(R4, 132, 'finish'),
    label('ports'),
    ldx(W, R1, R10, PORTS_AT),
    mov32(R2, R1),
    rsh(R2, 16),
    and(R1, 0xffff),
    xor32(R1, R2),
    hashAdd(),
    ja('finish'),
    label('link layer'),
    linkLayer(),
    label('finish'),
    ldx(W, R5, R8, O.O_B),
    hashFinish(R5),
  );

/** `hashSymmetricL2`, but for the avalanche; R3 = EtherType, R7 = basis. */
const linkLayer = (): Code =>
  block(
    'link layer',
    // Of two tags the outer one is beside the packet, the inner one at offset 12.
    lsh(R3, 16),
    ldx(W, R1, R6, skb.vlanPresent),
    jeq(R1, 0, 'tags'),
    ldx(W, R1, R6, skb.vlanTci),
    and32(R1, 0xfff),
    xor32(R3, R1),
    stx(DW, R10, PORTS_AT, R3),
    mov(R2, 12),
    load(BYTES_AT, 6),
    ldx(DW, R3, R10, PORTS_AT),
    jne(R0, 0, 'tags'),
    ldx(H, R1, R10, BYTES_AT),
    toBe(16, R1),
    jeq(R1, 0x8100, 'inner'),
    jne(R1, 0x88a8, 'tags'),
    label('inner'),
    ldx(H, R1, R10, BYTES_AT + 2),
    toBe(16, R1),
    and32(R1, 0xfff),
    xor32(R3, R1),
    label('tags'),
    mov32(R1, R3),
    toBe(32, R1),
    hashAdd(),
    mov(R2, 0),
    load(BYTES_AT, 12),
    ldx(W, R1, R10, BYTES_AT),
    ldx(H, R2, R10, BYTES_AT + 6),
    ldx(H, R3, R10, BYTES_AT + 8),
    lsh32(R3, 16),
    or32(R2, R3),
    xor32(R1, R2),
    hashAdd(),
    ldx(H, R1, R10, BYTES_AT + 4),
    ldx(H, R2, R10, BYTES_AT + 10),
    xor32(R1, R2),
    hashAdd(),
  );
