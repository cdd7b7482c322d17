/** What is attached at a port's tcx ingress: it says where the packet came from, counts it, and has it looked up. */
import {
  block,
  DW,
  exit,
  jeq,
  label,
  ldx,
  mov,
  mov32,
  note,
  R0,
  R1,
  R2,
  R3,
  R6,
  R9,
  st,
  stx,
  W,
} from '../../ebpf/asm.ts';
import { tailCall } from '../../ebpf/build.ts';
import { skb, TC_ACT } from '../../ebpf/context.ts';
import type { Code } from '../../ebpf/instruction.ts';
import {
  FLOW_WORDS,
  W_DP_HASH,
  W_IN_PORT,
  W_PKT_MARK,
  W_RECIRC_ID,
  W_SKB_PRIORITY,
  W_TUN_METADATA_PRESENT,
  W_TUN_TP,
} from '../../flow/layout.ts';
import { addTo, countTotal, loadFrame, type ProgramMaps, shardOf, wireLength } from './code.ts';
import * as L from './layout.ts';

export interface EntryOptions {
  readonly maps: ProgramMaps;
  /** The datapath's number of the port. */
  readonly port: number;
  /** Index of its statistics, and of its upcall queue. */
  readonly portStats: number;
  /** Index of the ring that its upcalls go to. */
  readonly ring: number;
}

/**
 * The program. Conntrack words of the key are 0 from the start, as nobody writes them.
 */
export function entryProgram({ maps, port, portStats, ring }: EntryOptions): Code {
  return [
    mov(R6, R1),
    loadFrame(maps),
    note('metadata', [
      st(W, R9, L.F_DEPTH, 0),
      st(W, R9, L.F_RING, ring),
      st(W, R9, L.F_CUT, 0),
      st(W, R9, L.F_PORT_STATS, portStats),
      clearTunnel(),
      st(W, R9, L.frameWord(W_IN_PORT), port),
      st(W, R9, L.frameWord(W_RECIRC_ID), 0),
      st(W, R9, L.frameWord(W_DP_HASH), 0),
      ldx(W, R1, R6, skb.mark),
      stx(W, R9, L.frameWord(W_PKT_MARK), R1),
      ldx(W, R1, R6, skb.priority),
      stx(W, R9, L.frameWord(W_SKB_PRIORITY), R1),
    ]),
    note('count', [
      shardOf(maps, maps.portStats, portStats, 'uncounted'),
      mov(R1, 1),
      addTo(maps, L.PS_RX_PACKETS, R1),
      mov(R3, R0),
      wireLength(R2),
      mov(R0, R3),
      addTo(maps, L.PS_RX_BYTES, R2),
      label('uncounted'),
    ]),
    tailCall(maps.programs, L.PROGRAM_LOOKUP),
    countTotal(maps, L.T_NO_PROGRAM),
    mov32(R0, TC_ACT.shot),
    exit(),
  ];
}

/** What the last packet out of a tunnel has left. */
const clearTunnel = (): Code =>
  block(
    'clear tunnel',
    ldx(W, R1, R9, L.F_TUNNEL),
    jeq(R1, 0, 'clear'),
    // Word 17, which goes with 16, is one of OpenFlow's own.
    pairs(0, W_TUN_TP + 2).map((w) => st(DW, R9, L.frameWord(w), 0)),
    pairs(W_TUN_METADATA_PRESENT, FLOW_WORDS).map((w) => st(DW, R9, L.frameWord(w), 0)),
    st(W, R9, L.F_TUNNEL, 0),
    label('clear'),
  );

/** Every other number from `first` to below `end`. */
function pairs(first: number, end: number): number[] {
  return Array.from({ length: (end - first) / 2 }, (_, i) => first + 2 * i);
}
