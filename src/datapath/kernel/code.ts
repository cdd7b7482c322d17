/**
 * Pieces that the datapath's programs share. R6 is the context and R9 the frame, as layout.ts has it. All destroy R0 to R5
 * unless they say otherwise, and use the 16 bytes of the stack next to R10 (`INDEX_AT`), which programs leave to them.
 */
import {
  add,
  and,
  atomicAdd,
  block,
  call,
  DW,
  exit,
  H,
  ja,
  jeq,
  jgt,
  jne,
  jset,
  label,
  ldMap,
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
  R9,
  R10,
  st,
  stx,
  sub,
  W,
} from '../../ebpf/asm.ts';
import { skb, TC_ACT } from '../../ebpf/context.ts';
import { helper } from '../../ebpf/helpers.ts';
import type { Code, MapReference, Register } from '../../ebpf/instruction.ts';
import { FLOW_WORDS, W_TUN_METADATA_PRESENT, W_TUN_TP } from '../../flow/layout.ts';
import { DROP_REASONS, type DropReason } from '../userspace/counters.ts';
import * as L from './layout.ts';

/** Maps as programs name them: `KernelMaps`, or names to be resolved. */
export interface ProgramMaps {
  readonly frame: MapReference;
  readonly totals: MapReference;
  readonly programs: MapReference;
  readonly ports: MapReference;
  readonly actions: MapReference;
  readonly flowStats: MapReference;
  readonly portStats: MapReference;
  readonly ringTable: MapReference;
  /** Bytes of a ring. */
  readonly ringBytes: number;
  readonly queues: MapReference;
  /** A power of two. */
  readonly shards: number;
  readonly exclusive: boolean;
}

/** Offset from R10 of the word that array lookups take their key from, and of what they keep over a call. */
export const INDEX_AT = -8;
const KEPT_AT = -16;

/** R0 = the entry of an array at the index that stands at `INDEX_AT`; goes to `otherwise` if it has none. */
const entryAtIndex = (map: MapReference, otherwise: string): Code => [
  mov(R2, R10),
  add(R2, INDEX_AT),
  ldMap(R1, map),
  call(helper.mapLookup),
  jeq(R0, 0, otherwise),
];

/** R0 = the entry of an array at index `index`, a register or a number. */
export const arrayEntry = (map: MapReference, index: Register | number, otherwise: string): Code => [
  typeof index === 'number' ? st(W, R10, INDEX_AT, index) : stx(W, R10, INDEX_AT, index),
  entryAtIndex(map, otherwise),
];

/** R0 = the only entry of an array. Ends the program if there is none: it always is, but the verifier asks. */
export const soleEntry = (map: MapReference): Code =>
  block(
    'only entry',
    st(W, R10, INDEX_AT, 0),
    entryAtIndex(map, 'none'),
    ja('there'),
    label('none'),
    mov(R0, TC_ACT.shot),
    exit(),
    label('there'),
  );

/** R9 = this CPU's frame. */
export const loadFrame = (maps: ProgramMaps): Code => [soleEntry(maps.frame), mov(R9, R0)];

/** R0 = this CPU's shard of statistics `index` (a register, R1 to R5, or a number). */
export const shardOf = (
  maps: ProgramMaps,
  map: MapReference,
  index: Register | number,
  otherwise: string,
): Code => [
  mov(R1, index),
  maps.shards === 1 ? [] : lsh(R1, Math.log2(maps.shards)),
  stx(W, R10, INDEX_AT, R1),
  maps.shards === 1
    ? []
    : [
        call(helper.getSmpProcessorId),
        and(R0, maps.shards - 1),
        ldx(W, R1, R10, INDEX_AT),
        or(R1, R0),
        stx(W, R10, INDEX_AT, R1),
      ],
  entryAtIndex(map, otherwise),
];

/** Adds `amount` (a register other than R0 and R5) to the u64 at R0 + `offset`. Destroys R5. */
export const addTo = (maps: ProgramMaps, offset: number, amount: Register): Code =>
  maps.exclusive
    ? [ldx(DW, R5, R0, offset), add(R5, amount), stx(DW, R0, offset, R5)]
    : [atomicAdd(DW, R0, offset, amount)];

/** Counts one more of a total (T_*). */
export const countTotal = (maps: ProgramMaps, offset: number): Code => [
  soleEntry(maps.totals),
  // Each CPU has its own.
  ldx(DW, R1, R0, offset),
  add(R1, 1),
  stx(DW, R0, offset, R1),
];

/** Where the total of drops for a reason stands. */
export const dropTotal = (reason: DropReason): number => L.T_DROPS + 8 * DROP_REASONS.indexOf(reason);

/** The packet is dropped, and counted by reason: ends the program. */
export const dropping = (maps: ProgramMaps, reason: DropReason): Code => [
  countTotal(maps, dropTotal(reason)),
  mov(R0, TC_ACT.shot),
  exit(),
];

/** The words of a tunnel become 0, and are somebody's from here on. Destroys R1. */
export const clearTunnel = (): Code =>
  block(
    'clear tunnel',
    // Word 17, which goes with 16, is one of OpenFlow's own.
    Array.from({ length: (W_TUN_TP + 2) / 2 }, (_, i) => st(DW, R9, L.frameWord(2 * i), 0)),
    ldx(W, R1, R9, L.F_TUNNEL),
    st(W, R9, L.F_TUNNEL, 1),
    jeq(R1, 0, 'no options'),
    Array.from({ length: (FLOW_WORDS - W_TUN_METADATA_PRESENT) / 2 }, (_, i) =>
      st(DW, R9, L.frameWord(W_TUN_METADATA_PRESENT + 2 * i), 0),
    ),
    label('no options'),
  );

/** dst = the packet's length on the wire: with an offloaded tag. Destroys R0 only. */
export const wireLength = (dst: Register): Code =>
  block(
    'length with tag',
    ldx(W, dst, R6, skb.len),
    ldx(W, R0, R6, skb.vlanPresent),
    jeq(R0, 0, 'untagged'),
    add(dst, 4),
    label('untagged'),
  );

/** Types of packets to one, to all and to some (skb->pkt_type). */
const PACKET_HOST = 0;
const PACKET_BROADCAST = 1;
const PACKET_MULTICAST = 2;

/** Where `finalOutput` keeps what it knows of the port, in the frame: number, flags, device. */
export const OUT_PORT = L.F_SCRATCH;
const OUT_FLAGS = OUT_PORT + 4;
const OUT_IFINDEX = OUT_FLAGS + 4;

/**
 * Whether the packet may skip the host's end of a veth pair, port entry in R0: the other end then takes it with the type
 * that it has, and would take another's unicast packet for its own. So it must be for all, or for exactly that
 * end's address; its type is put right. Goes to `otherwise` if not. Keeps R0 only.
 */
const forPeer = (otherwise: string): Code =>
  block(
    'for the peer',
    ldx(W, R1, R6, skb.pktType),
    jeq(R1, PACKET_BROADCAST, 'yes'),
    jeq(R1, PACKET_MULTICAST, 'yes'),
    ldx(W, R1, R6, skb.data),
    ldx(W, R2, R6, skb.dataEnd),
    mov(R3, R1),
    add(R3, 14),
    jgt(R3, R2, otherwise),
    ldx(W, R3, R1, 0),
    ldx(W, R4, R0, L.P_PEER_MAC),
    jne(R3, R4, otherwise),
    ldx(H, R3, R1, 4),
    ldx(H, R4, R0, L.P_PEER_MAC + 4),
    jne(R3, R4, otherwise),
    stx(DW, R10, KEPT_AT, R0),
    mov(R1, R6),
    mov(R2, PACKET_HOST),
    call(helper.skbChangeType),
    ldx(DW, R0, R10, KEPT_AT),
    label('yes'),
  );

/**
 * Sends the packet, without the bytes that `trunc` took off, out of the port whose number is in `port` (R1 to R5, or R7, R8), counts it, and ends the
 * program. Tunnel ports go on in PROGRAM_ENCAP, which finds the port's number at the start of the frame's scratch memory.
 */
export const finalOutput = (maps: ProgramMaps, port: Register): Code =>
  block(
    'final output',
    stx(W, R9, OUT_PORT, port),
    ldx(W, R1, R9, L.F_CUT),
    jne(R1, 0, 'cut'),
    label('whole'),
    ldx(W, R1, R9, OUT_PORT),
    arrayEntry(maps.ports, R1, 'absent'),
    ldx(W, R1, R0, L.P_FLAGS),
    jeq(R1, 0, 'absent'),
    jset(R1, L.PORT_TUNNEL, 'tunnel'),
    ldx(W, R2, R0, L.P_IFINDEX),
    stx(W, R9, OUT_IFINDEX, R2),
    and(R1, L.PORT_PEER),
    jeq(R1, 0, 'decided'),
    // A copy is at a device's egress, where the kernel does not let packets skip anything.
    ldx(W, R2, R9, L.F_LEVEL),
    jne(R2, 0, 'not for it'),
    forPeer('not for it'),
    mov(R1, L.PORT_PEER),
    ja('decided'),
    label('not for it'),
    mov(R1, 0),
    label('decided'),
    stx(W, R9, OUT_FLAGS, R1),
    ldx(W, R1, R0, L.P_STATS),
    shardOf(maps, maps.portStats, R1, 'uncounted'),
    mov(R1, 1),
    addTo(maps, L.PS_TX_PACKETS, R1),
    mov(R3, R0),
    wireLength(R2),
    mov(R0, R3),
    addTo(maps, L.PS_TX_BYTES, R2),
    label('uncounted'),
    ldx(W, R3, R9, OUT_FLAGS),
    ldx(W, R1, R9, OUT_IFINDEX),
    mov(R2, 0),
    jne(R3, 0, 'peer'),
    call(helper.redirect),
    exit(),
    label('peer'),
    call(helper.redirectPeer),
    exit(),
    label('tunnel'),
    mov(R1, R6),
    ldMap(R2, maps.programs),
    mov(R3, L.PROGRAM_ENCAP),
    call(helper.tailCall),
    label('absent'),
    dropping(maps, 'no-such-port'),
    label('cut'),
    st(W, R9, L.F_CUT, 0),
    ldx(W, R2, R6, skb.len),
    sub(R2, R1),
    mov(R1, R6),
    mov(R3, 0),
    call(helper.skbChangeTail),
    jeq(R0, 0, 'whole'),
    dropping(maps, 'unsupported-action'),
  );
