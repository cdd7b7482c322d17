/**
 * PROGRAM_LOOKUP, generated for the set of masks in use: parses the packet, looks it up by one mask after the other, and
 * does what its megaflow's entry says. Where there is none the packet goes up to JavaScript.
 */
import { WeftError } from '../../base/errors.ts';
import {
  add,
  and,
  atomicOr,
  block,
  call,
  callFunction,
  DW,
  exit,
  ja,
  jeq,
  jne,
  label,
  ldx,
  mov,
  mov32,
  note,
  or,
  R0,
  R1,
  R2,
  R3,
  R6,
  R7,
  R8,
  R9,
  rsh,
  st,
  stx,
  W,
} from '../../ebpf/asm.ts';
import { tailCall } from '../../ebpf/build.ts';
import { TC_ACT } from '../../ebpf/context.ts';
import { helper } from '../../ebpf/helpers.ts';
import type { Code } from '../../ebpf/instruction.ts';
import { W_TCP_FLAGS } from '../../flow/layout.ts';
import {
  addTo,
  countTotal,
  dropping,
  finalOutput,
  loadFrame,
  type ProgramMaps,
  shardOf,
  soleEntry,
  wireLength,
} from './code.ts';
import * as L from './layout.ts';
import type { MaskTable } from './mask-key.ts';
import { type Hot, search } from './mask-search.ts';
import { parse } from './parse.ts';

export { isSupportedMask, keySize, type MaskTable, type MaskWord, maskWords, packKey } from './mask-key.ts';

/**
 * Tables that one program searches: what bounds the time of a packet, whoever drives the masks. The kernel lets a program
 * refer to 64 maps, of which the others are 10 so far.
 */
export const MAX_TABLES = 48;

export interface LookupOptions {
  readonly maps: ProgramMaps;
  /** In the order in which they are searched. */
  readonly tables: readonly MaskTable[];
  /** `upcallFunction`. */
  readonly upcall: Code;
  /** Any number: what the mask cache's hash is made from. Default 0; a random one is not to be guessed. */
  readonly seed?: number;
  /** Default: none, every packet is looked up in the masks' tables. */
  readonly hot?: Hot;
}

/** The program. The frame's metadata words and F_PORT_STATS, F_RING must be set when it is called. */
export function lookupProgram({ maps, tables, upcall, seed = 0, hot }: LookupOptions): Code {
  if (tables.length > MAX_TABLES)
    throw new WeftError('bad-program', `${tables.length} masks in a program that takes ${MAX_TABLES}`);
  const wanted = new Set(tables.flatMap(({ words }) => words.map(({ word }) => word)));
  return [
    upcall,
    mov(R6, R1),
    loadFrame(maps),
    parse(wanted, maps.programs, L.PROGRAM_LOOKUP),
    search(tables, seed, hot ?? null),
    tables.length === 0 ? [] : note('hit', label('hit'), hit(maps)),
    note('miss', label('miss'), countSearched(maps, L.T_MISSED), ja('unknown')),
    note('unparsed', label('unparsed'), countTotal(maps, L.T_UNPARSED)),
    label('unknown'),
    st(W, R9, L.F_FLOW, -1),
    label('up'),
    mov(R1, R6),
    mov(R2, R9),
    mov(R3, L.UPCALL_PACKET),
    callFunction('upcall'),
    // JavaScript has a copy, or there was no room for one.
    mov32(R0, TC_ACT.shot),
    exit(),
  ];
}

/** Counts one more of a total, the R8 tables that were searched, and the R7 hits of the cache. */
const countSearched = (maps: ProgramMaps, offset: number): Code => [
  soleEntry(maps.totals),
  ldx(DW, R1, R0, L.T_MASKS_SEARCHED),
  add(R1, R8),
  stx(DW, R0, L.T_MASKS_SEARCHED, R1),
  ldx(DW, R1, R0, L.T_CACHE_HITS),
  add(R1, R7),
  stx(DW, R0, L.T_CACHE_HITS, R1),
  ldx(DW, R1, R0, offset),
  add(R1, 1),
  stx(DW, R0, offset, R1),
];

/** R0 = the entry. */
const hit = (maps: ProgramMaps): Code => [
  // Kind and argument wait in the scratch memory: what is known of the table ends here, for the verifier too.
  ldx(W, R1, R0, L.E_FLOW),
  stx(W, R9, L.F_FLOW, R1),
  ldx(W, R2, R0, L.E_KIND),
  stx(W, R9, L.F_SCRATCH, R2),
  ldx(W, R1, R0, L.E_ARGUMENT),
  stx(W, R9, L.F_SCRATCH + 4, R1),
  jeq(R2, L.ENTRY_UP, 'entry up'),
  countSearched(maps, L.T_HITS),
  countFlow(maps),
  ldx(W, R7, R9, L.F_SCRATCH),
  ldx(W, R8, R9, L.F_SCRATCH + 4),
  jeq(R7, L.ENTRY_OUTPUT, 'output'),
  jeq(R7, L.ENTRY_PROGRAM, 'program'),
  jne(R7, L.ENTRY_DROP, 'unknown kind'),
  jeq(R8, 1, 'explicit'),
  label('unknown kind'),
  mov32(R0, TC_ACT.shot),
  exit(),
  note('explicit drop', label('explicit'), dropping(maps, 'explicit')),
  note('output', label('output'), finalOutput(maps, R8)),
  note(
    'program',
    label('program'),
    stx(W, R9, L.F_PROGRAM, R8),
    st(W, R9, L.F_PC, 0),
    tailCall(maps.programs, L.PROGRAM_ACT),
    countTotal(maps, L.T_NO_PROGRAM),
    mov32(R0, TC_ACT.shot),
    exit(),
  ),
  label('entry up'),
  countSearched(maps, L.T_UP),
  ja('up'),
];

/** Counts the packet of the megaflow F_FLOW. Destroys R8. */
const countFlow = (maps: ProgramMaps): Code =>
  block(
    'count flow',
    ldx(W, R1, R9, L.F_FLOW),
    shardOf(maps, maps.flowStats, R1, 'uncounted'),
    mov(R1, 1),
    addTo(maps, L.FS_PACKETS, R1),
    mov(R3, R0),
    wireLength(R2),
    mov(R0, R3),
    addTo(maps, L.FS_BYTES, R2),
    ldx(W, R1, R9, 4 * W_TCP_FLAGS),
    rsh(R1, 16),
    and(R1, 0xfff),
    jeq(R1, 0, 'no flags'),
    maps.exclusive
      ? [ldx(DW, R2, R0, L.FS_TCP_FLAGS), or(R2, R1), stx(DW, R0, L.FS_TCP_FLAGS, R2)]
      : atomicOr(DW, R0, L.FS_TCP_FLAGS, R1),
    label('no flags'),
    mov(R8, R0),
    now(),
    stx(DW, R8, L.FS_USED, R0),
    label('uncounted'),
  );

/**
 * R0 = the coarse monotonic clock, in ns. It changes with the kernel's ticks, and reading those costs one load, where the
 * clock takes 15 ns. Destroys R1 to R5.
 */
const now = (): Code =>
  block(
    'now',
    call(helper.jiffies64),
    ldx(DW, R1, R9, L.F_TICK),
    jeq(R0, R1, 'same tick'),
    stx(DW, R9, L.F_TICK, R0),
    call(helper.ktimeGetCoarseNs),
    stx(DW, R9, L.F_NOW, R0),
    label('same tick'),
    ldx(DW, R0, R9, L.F_NOW),
  );
