/**
 * Copies of packets that do something of their own. A program cannot copy its packet for itself: `clone_redirect` sends the
 * copy out of a device. So the device is the loopback one, and a program at its egress takes the copy and runs for it what
 * the frame says (`F_BRANCH`): the rest of an action program, a lookup, a tunnel. All that happens inside
 * `clone_redirect`, on the same CPU with the same frame; then the original goes on. The loopback device's own packets
 * find `F_BRANCH` 0 and pass; it need not even be up.
 */
import {
  add,
  block,
  call,
  DW,
  exit,
  ja,
  jeq,
  jge,
  jne,
  label,
  ldMap,
  ldx,
  mov,
  mov32,
  R0,
  R1,
  R2,
  R3,
  R6,
  R7,
  R9,
  st,
  stx,
  sub,
  W,
} from '../../ebpf/asm.ts';
import { TC_ACT } from '../../ebpf/context.ts';
import { helper } from '../../ebpf/helpers.ts';
import type { Code, MapReference } from '../../ebpf/instruction.ts';
import { FLOW_WORDS, W_ETH, W_ETH_TYPE, W_NW, W_TUN_METADATA_PRESENT } from '../../flow/layout.ts';
import {
  arrayEntry,
  countTotal,
  dropTotal,
  finalOutput,
  loadFrame,
  OUT_PORT,
  type ProgramMaps,
} from './code.ts';
import * as L from './layout.ts';

/** For the egress of the loopback device of the datapath's namespace. */
export function branchProgram(maps: ProgramMaps): Code {
  return [
    mov(R6, R1),
    loadFrame(maps),
    ldx(W, R3, R9, L.F_BRANCH),
    jeq(R3, 0, 'pass'),
    st(W, R9, L.F_BRANCH, 0),
    sub(R3, 1),
    mov(R1, R6),
    ldMap(R2, maps.programs),
    call(helper.tailCall),
    countTotal(maps, L.T_NO_PROGRAM),
    mov32(R0, TC_ACT.shot),
    exit(),
    label('pass'),
    mov32(R0, TC_ACT.unspec),
    exit(),
  ];
}

/** PROGRAM_OUT. */
export function outProgram(maps: ProgramMaps): Code {
  return [mov(R6, R1), loadFrame(maps), ldx(W, R7, R9, OUT_PORT), finalOutput(maps, R7)];
}

/** Has a copy of the packet run a program. Destroys R0 to R5. */
export const runOnCopy = (maps: ProgramMaps, program: number): Code =>
  block(
    'run on a copy',
    ldx(W, R1, R9, L.F_LEVEL),
    jge(R1, L.MAX_LEVELS, 'too deep'),
    add(R1, 1),
    stx(W, R9, L.F_LEVEL, R1),
    st(W, R9, L.F_BRANCH, program + 1),
    mov(R1, R6),
    mov(R2, L.LOOPBACK_IFINDEX),
    mov(R3, 0),
    call(helper.cloneRedirect),
    ldx(W, R1, R9, L.F_LEVEL),
    sub(R1, 1),
    stx(W, R9, L.F_LEVEL, R1),
    ldx(W, R1, R9, L.F_BRANCH),
    jeq(R1, 0, 'done'),
    // The kernel could not copy it.
    st(W, R9, L.F_BRANCH, 0),
    countTotal(maps, dropTotal('unsupported-action')),
    ja('done'),
    label('too deep'),
    countTotal(maps, dropTotal('nesting-depth')),
    label('done'),
  );

/** What the frame knows of a packet that its bytes do not say: [from, to), in bytes. */
const KEPT: readonly (readonly [from: number, to: number])[] = [
  [L.frameWord(0), L.frameWord(W_ETH + 1)],
  [L.frameWord(W_ETH_TYPE), L.frameWord(W_ETH_TYPE + 2)],
  [L.frameWord(W_NW - 1), L.frameWord(W_NW + 1)],
  [L.F_DEPTH, L.F_TICK],
];
/** And of a tunnel's options. */
const OPTIONS: readonly (readonly [from: number, to: number])[] = [
  [L.frameWord(W_TUN_METADATA_PRESENT), L.frameWord(FLOW_WORDS)],
];

/** Copies the pieces between the frame and R0 + `at`, where they stand one behind the other. Destroys R1. */
function copy(pieces: readonly (readonly [number, number])[], at: number, toFrame: boolean): Code {
  let place = at;
  return pieces.map(([from, to]) =>
    Array.from({ length: (to - from) / 8 }, (_, i) => {
      const frame = from + 8 * i;
      const saved = place;
      place += 8;
      return toFrame
        ? [ldx(DW, R1, R0, saved), stx(DW, R9, frame, R1)]
        : [ldx(DW, R1, R9, frame), stx(DW, R0, saved, R1)];
    }),
  );
}

const KEPT_SIZE = KEPT.reduce((sum, [from, to]) => sum + to - from, 0);

/** Keeps what is known of the packet for its level. Goes to `otherwise` where levels end. */
export const keep = (saves: MapReference, otherwise: string): Code =>
  block(
    'keep',
    ldx(W, R1, R9, L.F_LEVEL),
    arrayEntry(saves, R1, otherwise),
    copy(KEPT, 0, false),
    ldx(W, R1, R9, L.F_TUNNEL),
    jeq(R1, 0, 'no options'),
    copy(OPTIONS, KEPT_SIZE, false),
    label('no options'),
  );

/** Gets it back. */
export const getBack = (saves: MapReference, otherwise: string): Code =>
  block(
    'get back',
    ldx(W, R1, R9, L.F_LEVEL),
    arrayEntry(saves, R1, otherwise),
    ldx(W, R2, R9, L.F_TUNNEL),
    copy(KEPT, 0, true),
    ldx(W, R1, R9, L.F_TUNNEL),
    jne(R1, 0, 'options'),
    // There were none; but the copy may have had some.
    jeq(R2, 0, 'no options'),
    OPTIONS.map(([from, to]) =>
      Array.from({ length: (to - from) / 8 }, (_, i) => st(DW, R9, from + 8 * i, 0)),
    ),
    ja('no options'),
    label('options'),
    copy(OPTIONS, KEPT_SIZE, true),
    label('no options'),
  );

/** Counts a drop because copies stand too deep in each other. */
export const tooDeep = (maps: ProgramMaps): Code => countTotal(maps, dropTotal('nesting-depth'));
