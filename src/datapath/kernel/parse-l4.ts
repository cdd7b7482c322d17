/** TCP, UDP, SCTP, ICMP, IGMP, ICMPv6 with neighbor discovery; whichever IP carries them. */
import {
  add,
  and,
  and32,
  B,
  block,
  H,
  ja,
  jeq,
  jge,
  jgt,
  jlt,
  jne,
  label,
  ldx,
  lsh,
  mov,
  or,
  R0,
  R1,
  R2,
  R3,
  R4,
  R5,
  R6,
  R7,
  R9,
  rsh,
  st,
  stx,
  sub,
  toBe,
  W,
} from '../../ebpf/asm.ts';
import { skb } from '../../ebpf/context.ts';
import type { Code } from '../../ebpf/instruction.ts';
import { W_ARP_HA, W_IGMP_GROUP, W_ND_OPTIONS, W_ND_TARGET, W_TCP_FLAGS, W_TP } from '../../flow/layout.ts';
import { F_L4, frameWord } from './layout.ts';
import {
  copyWord,
  copyWords,
  forget,
  MAX_REPEATED,
  readable,
  setWord,
  type WantedWords,
} from './parse-code.ts';

/** Beyond it L4 is left to JavaScript. Longer than all that is pulled together, and than IP's options. */
const MAX_L4 = 2048;
/** Longest ND option. */
const MAX_OPTION = 2040;

/** Starts with R0 = the layer's offset, R4 = its bytes, R5 = protocol. Ends at `done`. */
export const transport = (wanted: WantedWords): Code =>
  block(
    'transport',
    stx(W, R9, F_L4, R0),
    jgt(R0, MAX_L4, 'unparsed'),
    ldx(W, R7, R6, skb.data),
    add(R7, R0),
    jeq(R5, 6, 'tcp'),
    wanted.has(W_TP) ? [jeq(R5, 17, 'ports8'), jeq(R5, 132, 'ports12')] : [],
    wanted.has(W_TP) ? jeq(R5, 1, 'icmp') : [],
    wanted.has(W_TP) || wanted.has(W_IGMP_GROUP) ? jeq(R5, 2, 'igmp') : [],
    wanted.has(W_TP) || wantsNeighbor(wanted) ? jeq(R5, 58, 'icmp6') : [],
    ja('done'),

    label('tcp'),
    jlt(R4, 20, 'done'),
    readable(20),
    ldx(H, R2, R7, 12),
    toBe(16, R2),
    mov(R1, R2),
    rsh(R1, 12),
    lsh(R1, 2),
    jlt(R1, 20, 'done'),
    jgt(R1, R4, 'done'),
    and(R2, 0xfff),
    lsh(R2, 16),
    stx(W, R9, frameWord(W_TCP_FLAGS), R2),
    copyWord(wanted, W_TP, 0),
    ja('done'),

    wanted.has(W_TP)
      ? [label('ports12'), jlt(R4, 12, 'done'), label('ports8'), jlt(R4, 8, 'done'), readable(4)]
      : [],
    wanted.has(W_TP) ? [copyWord(wanted, W_TP, 0), ja('done')] : [],

    wanted.has(W_TP) ? [label('icmp'), typeAndCode(wanted), ja('done')] : [],
    wanted.has(W_TP) || wanted.has(W_IGMP_GROUP)
      ? [label('igmp'), typeAndCode(wanted), copyWord(wanted, W_IGMP_GROUP, 4), ja('done')]
      : [],
    wanted.has(W_TP) || wantsNeighbor(wanted)
      ? [label('icmp6'), typeAndCode(wanted), wantsNeighbor(wanted) ? neighbor(wanted) : [], ja('done')]
      : [],
  );

/** R2 = type, R3 = code; both into the key. */
const typeAndCode = (wanted: WantedWords): Code => [
  jlt(R4, 8, 'done'),
  readable(8),
  ldx(B, R2, R7, 0),
  ldx(B, R3, R7, 1),
  mov(R1, R2),
  lsh(R1, 16),
  or(R1, R3),
  setWord(wanted, W_TP, R1),
];

const HA = frameWord(W_ARP_HA);
const OPTIONS = frameWord(W_ND_OPTIONS);

const wantsOptions = (wanted: WantedWords): boolean =>
  [W_ND_OPTIONS, W_ARP_HA, W_ARP_HA + 1, W_ARP_HA + 2].some((w) => wanted.has(w)) || wantsTarget(wanted);
const wantsTarget = (wanted: WantedWords): boolean => [0, 1, 2, 3].some((i) => wanted.has(W_ND_TARGET + i));
const wantsNeighbor = (wanted: WantedWords): boolean => wanted.has(W_IGMP_GROUP) || wantsOptions(wanted);

/**
 * Neighbor solicitation or advertisement: reserved bits, target, link-layer addresses. The target too depends on the
 * options: the same twice voids it. So all of their words are written where one of them is wanted.
 */
const neighbor = (wanted: WantedWords): Code => [
  jeq(R2, 135, 'neighbor'),
  jne(R2, 136, 'done'),
  label('neighbor'),
  jne(R3, 0, 'done'),
  copyWord(wanted, W_IGMP_GROUP, 4),
  wantsOptions(wanted) ? options(wanted) : [],
];

const options = (wanted: WantedWords): Code => [
  jlt(R4, 24, 'done'),
  readable(24),
  copyWords(wanted, W_ND_TARGET, 8, 4),
  [0, 4, 8].map((at) => st(W, R9, HA + at, 0)),
  st(W, R9, OPTIONS, 0),
  add(R7, 24),
  sub(R4, 24),
  mov(R3, 0),
  label('option'),
  jlt(R4, 8, 'done'),
  jge(R3, MAX_REPEATED, 'unparsed'),
  add(R3, 1),
  readable(8),
  ldx(B, R1, R7, 1),
  lsh(R1, 3),
  jeq(R1, 0, 'done'),
  jgt(R1, R4, 'done'),
  jne(R1, 8, 'next'),
  ldx(B, R2, R7, 0),
  jeq(R2, 1, 'source'),
  jne(R2, 2, 'next'),

  // Target: the lower half of the middle word, and the last.
  ldx(W, R5, R9, HA + 4),
  mov(R0, R5),
  and(R0, 0xffff),
  jne(R0, 0, 'twice'),
  ldx(W, R0, R9, HA + 8),
  jne(R0, 0, 'twice'),
  ldx(H, R0, R7, 2),
  toBe(16, R0),
  and32(R5, 0xffff0000),
  or(R5, R0),
  stx(W, R9, HA + 4, R5),
  ldx(W, R0, R7, 4),
  toBe(32, R0),
  stx(W, R9, HA + 8, R0),
  ja('taken'),

  label('source'),
  ldx(W, R0, R9, HA),
  jne(R0, 0, 'twice'),
  ldx(W, R5, R9, HA + 4),
  mov(R0, R5),
  rsh(R0, 16),
  jne(R0, 0, 'twice'),
  ldx(W, R0, R7, 2),
  toBe(32, R0),
  stx(W, R9, HA, R0),
  ldx(H, R0, R7, 6),
  toBe(16, R0),
  lsh(R0, 16),
  or(R0, R5),
  stx(W, R9, HA + 4, R0),

  label('taken'),
  ldx(W, R0, R9, OPTIONS),
  jne(R0, 0, 'next'),
  lsh(R2, 24),
  stx(W, R9, OPTIONS, R2),
  label('next'),
  forget(R1, MAX_OPTION),
  add(R7, R1),
  sub(R4, R1),
  ja('option'),

  label('twice'),
  [0, 1, 2, 3].map((i) => st(W, R9, frameWord(W_ND_TARGET + i), 0)),
  [0, 4, 8].map((at) => st(W, R9, HA + at, 0)),
];
