/** The `hash` action: `datapathHash` of packet/hash.ts, from the key in the frame. */
import {
  add32,
  and,
  and32,
  block,
  ja,
  jeq,
  jne,
  jset,
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
  R8,
  R9,
  rsh,
  rsh32,
  stx,
  toBe,
  W,
  xor32,
} from '../../ebpf/asm.ts';
import type { Code, Register } from '../../ebpf/instruction.ts';
import {
  FRAG_ANY,
  FRAG_LATER,
  W_DP_HASH,
  W_ETH,
  W_ETH_TYPE,
  W_IPV6_DST,
  W_IPV6_SRC,
  W_NW,
  W_NW_DST,
  W_NW_SRC,
  W_TP,
  W_VLAN,
} from '../../flow/layout.ts';
import * as O from './action-ops.ts';
import { frameWord } from './layout.ts';

const rotate = (reg: Register, by: number, spare: Register): Code => [
  mov32(spare, reg),
  lsh32(reg, by),
  rsh32(spare, 32 - by),
  or32(reg, spare),
];

/** R0 = a round of MurmurHash3 over R0 and R1. Destroys R1 and R2. */
const hashAdd = (): Code => [
  mul32(R1, 0xcc9e2d51),
  rotate(R1, 15, R2),
  mul32(R1, 0x1b873593),
  xor32(R0, R1),
  rotate(R0, 13, R2),
  mul32(R0, 5),
  add32(R0, 0xe6546b64),
];

/** R0 = its final avalanche; `final` as in hash.ts. Destroys R1. */
const hashFinish = (final: Register | number): Code => [
  xor32(R0, final),
  mov32(R1, R0),
  rsh32(R1, 16),
  xor32(R0, R1),
  mul32(R0, 0x85ebca6b),
  mov32(R1, R0),
  rsh32(R1, 13),
  xor32(R0, R1),
  mul32(R0, 0xc2b2ae35),
  mov32(R1, R0),
  rsh32(R1, 16),
  xor32(R0, R1),
];

/** Adds a key word in the packet's order of bytes. */
const addWord = (word: number): Code => [ldx(W, R1, R9, frameWord(word)), toBe(32, R1), hashAdd()];

/** Adds the difference of two words. */
const addDifference = (a: number, b: number): Code => [
  ldx(W, R1, R9, frameWord(a)),
  ldx(W, R2, R9, frameWord(b)),
  xor32(R1, R2),
  toBe(32, R1),
  hashAdd(),
];

/** R1 = the protocol. */
const protocol = (): Code => [ldx(W, R1, R9, frameWord(W_NW)), and(R1, 0xff)];

export const hashAction = (): Code =>
  block(
    'hash',
    ldx(W, R3, R9, frameWord(W_ETH_TYPE)),
    rsh(R3, 16),
    ldx(W, R5, R8, O.O_B),
    ldx(W, R1, R8, O.O_A),
    jne(R1, 0, 'symmetric'),
    fiveTuple(),
    ja('store'),
    label('symmetric'),
    symmetricL3L4(),
    label('store'),
    jne(R0, 0, 'some'),
    mov(R0, 1),
    label('some'),
    stx(W, R9, frameWord(W_DP_HASH), R0),
  );

/** R0 = algorithm 0; R3 = EtherType, R5 = basis. */
const fiveTuple = (): Code =>
  block(
    'five-tuple',
    mov(R0, 0),
    jeq(R3, 0x86dd, 'ipv6'),
    jeq(R3, 0x0800, 'ipv4'),
    jne(R3, 0x0806, 'finish'),
    label('ipv4'),
    addWord(W_NW_SRC),
    addWord(W_NW_DST),
    ja('transport'),
    label('ipv6'),
    Array.from({ length: 8 }, (_, i) => addWord(W_IPV6_SRC + i)),
    label('transport'),
    protocol(),
    mov(R4, R1),
    hashAdd(),
    jeq(R4, 6, 'ports'),
    jeq(R4, 17, 'ports'),
    jeq(R4, 132, 'ports'),
    jeq(R4, 1, 'ports'),
    jne(R4, 58, 'finish'),
    label('ports'),
    addWord(W_TP),
    label('finish'),
    hashFinish(42),
    mov(R1, 0),
    hashAdd(),
    mov(R1, R5),
    hashAdd(),
    hashFinish(8),
  );

/** R0 = algorithm 1; R3 = EtherType, R5 = basis. */
const symmetricL3L4 = (): Code =>
  block(
    'symmetric L3 and L4',
    mov(R0, R5),
    jeq(R3, 0x86dd, 'ipv6'),
    jne(R3, 0x0800, 'link layer'),
    addDifference(W_NW_SRC, W_NW_DST),
    ja('transport'),
    label('ipv6'),
    Array.from({ length: 4 }, (_, i) => addDifference(W_IPV6_SRC + i, W_IPV6_DST + i)),
    label('transport'),
    protocol(),
    mov(R4, R1),
    hashAdd(),
    ldx(W, R1, R9, frameWord(W_NW)),
    rsh(R1, 24),
    jset(R1, FRAG_ANY | FRAG_LATER, 'finish'),
    jeq(R4, 6, 'ports'),
    jne(R4, 132, 'finish'),
    label('ports'),
    ldx(W, R1, R9, frameWord(W_TP)),
    mov32(R2, R1),
    rsh(R2, 16),
    and(R1, 0xffff),
    xor32(R1, R2),
    toBe(16, R1),
    hashAdd(),
    ja('finish'),
    label('link layer'),
    // EtherType, and the difference of the VLANs.
    ldx(W, R1, R9, frameWord(W_VLAN)),
    ldx(W, R2, R9, frameWord(W_VLAN + 1)),
    xor32(R1, R2),
    and32(R1, 0xfff),
    lsh(R3, 16),
    or32(R1, R3),
    toBe(32, R1),
    hashAdd(),
    // First four bytes of the MAC addresses' difference: the destination's word against one and a half of the source's.
    ldx(W, R1, R9, frameWord(W_ETH + 1)),
    lsh32(R1, 16),
    ldx(W, R2, R9, frameWord(W_ETH + 2)),
    rsh(R2, 16),
    or32(R1, R2),
    ldx(W, R2, R9, frameWord(W_ETH)),
    xor32(R1, R2),
    toBe(32, R1),
    hashAdd(),
    ldx(W, R1, R9, frameWord(W_ETH + 1)),
    rsh(R1, 16),
    ldx(W, R2, R9, frameWord(W_ETH + 2)),
    and(R2, 0xffff),
    xor32(R1, R2),
    lsh32(R1, 16),
    toBe(32, R1),
    hashAdd(),
    label('finish'),
    hashFinish(R5),
  );
