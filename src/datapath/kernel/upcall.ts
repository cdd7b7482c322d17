/**
 * Handing a packet up: a record in the ring of its port.
 *
 * Fairness. Rings are few, and ports share them by index. A port may have as much waiting for JavaScript in its ring as is
 * still free there: one that floods gets half of the ring and no more, a second one half of the rest, and whoever asks for
 * a single record finds room. What waits of each port is known from two counters of bytes (QUEUE_*): what programs wrote,
 * and what JavaScript has read. Programs on other CPUs may be as far as writing between the comparison and the sum, so
 * that a few records more than that may wait.
 *
 * A reservation has a constant size, so records come in a few sizes (`UPCALL_ROOMS`). An offloaded VLAN tag goes back to
 * where it was: bytes are written 4 behind their place, and the addresses moved in front of the tag.
 */
import {
  add,
  atomicAdd,
  block,
  call,
  DW,
  exit,
  func,
  H,
  ja,
  jeq,
  jgt,
  jle,
  jlt,
  jne,
  jslt,
  label,
  ldx,
  mov,
  mov32,
  neg,
  note,
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
  st,
  stx,
  sub,
  sub32,
  toBe,
  W,
} from '../../ebpf/asm.ts';
import { skb } from '../../ebpf/context.ts';
import { helper } from '../../ebpf/helpers.ts';
import type { Code } from '../../ebpf/instruction.ts';
import { FLOW_WORDS, W_TUN_METADATA_PRESENT } from '../../flow/layout.ts';
import { arrayEntry, countTotal, type ProgramMaps } from './code.ts';
import * as L from './layout.ts';

/** Stack places of: the upcall's kind, the size of its record. */
const KIND_AT = -16;
const SIZE_AT = -24;

/** Room in front of the packet for a tag. */
const TAG = 4;

/** Bytes of a record with a header of `header` bytes and room for `room` of a packet. */
const recordSize = (header: number, room: number): number => header + TAG + room;

/**
 * The function `upcall`, for `callFunction`: R1 = context, R2 = frame, R3 = kind (UPCALL_*). Takes F_FLOW and F_COOKIE
 * along. R0 = 0 if the packet went up; else it is counted as lost.
 */
export const upcallFunction = (maps: ProgramMaps): Code =>
  func(
    'upcall',
    mov(R6, R1),
    mov(R9, R2),
    stx(DW, R10, KIND_AT, R3),
    // R7 = the port's queue, R8 = the ring.
    ldx(W, R1, R9, L.F_PORT_STATS),
    arrayEntry(maps.queues, R1, 'lost'),
    mov(R7, R0),
    ldx(W, R1, R9, L.F_RING),
    arrayEntry(maps.ringTable, R1, 'lost'),
    mov(R8, R0),
    // R5 = what is free in the ring beyond what waits of this port. Nothing may be: it is signed.
    mov(R1, R8),
    mov(R2, 0),
    call(helper.ringbufQuery),
    mov(R5, maps.ringBytes),
    sub(R5, R0),
    ldx(W, R2, R7, L.QUEUE_WRITTEN),
    ldx(W, R3, R7, L.QUEUE_READ),
    sub32(R2, R3),
    // No more than waits in all: counters that went wrong (a reader that died) must not shut a port out.
    jle(R2, R0, 'plausible'),
    mov(R2, R0),
    label('plausible'),
    sub(R5, R2),
    ldx(W, R4, R6, skb.len),
    ldx(W, R1, R9, L.F_TUNNEL),
    jne(R1, 0, 'tunnel'),
    record(L.U_HEADER_SIZE, []),
    label('tunnel'),
    record(L.U_TUNNEL_HEADER_SIZE, copyOptions()),

    label('discard'),
    mov(R1, R8),
    mov(R2, 0),
    call(helper.ringbufDiscard),
    label('full'),
    ldx(DW, R1, R10, SIZE_AT),
    neg(R1),
    atomicAdd(W, R7, L.QUEUE_WRITTEN, R1),
    label('lost'),
    countTotal(maps, L.T_LOST),
    mov32(R0, 1),
    exit(),
  );

/** Reserves, fills and submits a record; R4 = the packet's length, R5 = what is free. Ends the function. */
const record = (header: number, more: Code): Code =>
  block(
    `record with header of ${header}`,
    L.UPCALL_ROOMS.map((room) => reserve(header, room)),
    ja('lost'),
    label('fill'),
    fill(header),
    more,
    mov(R1, R8),
    mov(R2, 0),
    call(helper.ringbufSubmit),
    mov32(R0, 0),
    exit(),
  );

const reserve = (header: number, room: number): Code =>
  block(
    `room for ${room}`,
    jgt(R4, room, 'larger'),
    jslt(R5, recordSize(header, room), 'lost'),
    st(DW, R10, SIZE_AT, recordSize(header, room)),
    mov(R2, recordSize(header, room)),
    atomicAdd(W, R7, L.QUEUE_WRITTEN, R2),
    mov(R1, R8),
    mov(R3, 0),
    call(helper.ringbufReserve),
    jeq(R0, 0, 'full'),
    mov(R8, R0),
    ldx(W, R4, R6, skb.len),
    jlt(R4, 14, 'discard'),
    jgt(R4, room, 'discard'),
    mov(R1, R6),
    mov(R2, 0),
    mov(R3, R8),
    add(R3, header + TAG),
    call(helper.skbLoadBytes),
    jne(R0, 0, 'discard'),
    ja('fill'),
    label('larger'),
  );

/** Copies words of the frame, from word `first` on, to the record at `at`. Destroys R1. */
const copyWords = (first: number, count: number, at: number): Code => {
  const code: Code[] = [];
  for (let i = 0; i < count; i += 2) {
    const size = i + 1 < count ? DW : W;
    code.push(ldx(size, R1, R9, L.frameWord(first + i)), stx(size, R8, at + 4 * i, R1));
  }
  return code;
};

/** The header, and the tag; R8 = the record. */
const fill = (header: number): Code => [
  ldx(DW, R1, R10, KIND_AT),
  stx(W, R8, L.U_KIND, R1),
  note('fields of the frame', copyFields()),
  ldx(W, R1, R6, skb.gsoSize),
  stx(W, R8, L.U_GSO_SIZE, R1),
  ldx(W, R1, R6, skb.gsoSegs),
  stx(W, R8, L.U_GSO_SEGS, R1),
  note('words', copyRuns()),
  block(
    'tag',
    ldx(W, R2, R6, skb.len),
    ldx(W, R1, R6, skb.vlanPresent),
    jne(R1, 0, 'tagged'),
    st(W, R8, L.U_DATA, header + TAG),
    ja('end'),
    label('tagged'),
    st(W, R8, L.U_DATA, header),
    add(R2, TAG),
    [0, 4, 8].map((at) => [ldx(W, R1, R8, header + TAG + at), stx(W, R8, header + at, R1)]),
    // The kernel has the TPID in network order.
    ldx(W, R1, R6, skb.vlanProto),
    stx(H, R8, header + 12, R1),
    ldx(W, R1, R6, skb.vlanTci),
    toBe(16, R1),
    stx(H, R8, header + 14, R1),
    label('end'),
    stx(W, R8, L.U_LENGTH, R2),
  ),
];

const copyFields = (): Code =>
  (
    [
      [L.F_COOKIE, L.U_COOKIE],
      [L.F_FLOW, L.U_FLOW],
      [L.F_CUT, L.U_CUT],
      [L.F_DEPTH, L.U_DEPTH],
      [L.F_PORT_STATS, L.U_QUEUE],
    ] as const
  ).map(([from, to]) => [ldx(W, R1, R9, from), stx(W, R8, to, R1)]);

/** UPCALL_WORDS, run by run. */
const copyRuns = (): Code => {
  const code: Code[] = [];
  for (let i = 0; i < L.UPCALL_WORDS.length; ) {
    const first = L.UPCALL_WORDS[i]!;
    let count = 1;
    while (L.UPCALL_WORDS[i + count] === first + count) count++;
    code.push(copyWords(first, count, L.U_WORDS + 4 * i));
    i += count;
  }
  return code;
};

/** Geneve options. */
const copyOptions = (): Code =>
  copyWords(W_TUN_METADATA_PRESENT, FLOW_WORDS - W_TUN_METADATA_PRESENT, L.U_HEADER_SIZE);
