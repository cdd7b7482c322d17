import {
  add,
  and32,
  B,
  block,
  call,
  callFunction,
  DW,
  exit,
  func,
  H,
  ja,
  jeq,
  jeq32,
  jge,
  jgt,
  jle,
  jlt,
  jne,
  jset,
  label,
  ldFunction,
  ldMap,
  ldx,
  lsh,
  mov,
  mov32,
  or32,
  R0,
  R1,
  R2,
  R3,
  R4,
  R6,
  R7,
  R8,
  R9,
  R10,
  st,
  stx,
  sub,
  W,
  xor32,
} from '../../ebpf/asm.ts';
import { skb, TC_ACT } from '../../ebpf/context.ts';
import { helper } from '../../ebpf/helpers.ts';
import type { Code, MapReference } from '../../ebpf/instruction.ts';
import { OP_EXIT, OP_JA } from '../../ebpf/isa.ts';
import { W_PKT_MARK, W_RECIRC_ID, W_SKB_PRIORITY } from '../../flow/layout.ts';
import { checkLength, requirement } from './action-checks.ts';
import * as E from './action-edits.ts';
import { hashAction } from './action-hash.ts';
import * as O from './action-ops.ts';
import { popMpls, popVlan, pushMpls, pushVlan, tagOutOfBand } from './action-tags.ts';
import { getBack, keep, runOnCopy, tooDeep } from './branches.ts';
import {
  addTo,
  arrayEntry,
  clearTunnel,
  countTotal,
  dropTotal,
  finalOutput,
  loadFrame,
  OUT_PORT,
  type ProgramMaps,
  shardOf,
  wireLength,
} from './code.ts';
import * as L from './layout.ts';
import { frameWord } from './layout.ts';

/** Maps that it needs. */
export interface ActionMaps extends ProgramMaps {
  readonly saves: MapReference;
}

export interface ActionProgramOptions {
  readonly maps: ActionMaps;
  /** Brings the function "upcall" along: R1 = context, R2 = frame, R3 = UPCALL_*. */
  readonly upcall: Code;
}

/** What the callback finds by R2: context, frame, slot of the program. On the stack of the main program. */
const C_CONTEXT = 0;
const C_FRAME = 8;
const C_SLOT = 16;
const CALLBACK_AT = -48;

/** How the program ended, in the frame, and the port it goes out of. */
const ENDED = L.F_SCRATCH + 16;
const ENDED_PORT = ENDED + 4;
const DONE = 0;
const SEND = 1;
const LOOK_UP = 2;

/**
 * PROGRAM_ACT: runs the action program in slot `F_PROGRAM` from unit `F_PC` on (action-ops.ts). It has to be loaded with
 * `describe`, for `bpf_loop` wants to know its callback's type.
 *
 * Each turn of the loop is one operation. The place in the program stands in the frame, not in a register: so all
 * turns look the same to the verifier, which goes through the code once. What has to be said in the main program, a tail
 * call or a redirect, is noted in the frame and done behind the loop.
 */
export function actionProgram({ maps, upcall }: ActionProgramOptions): Code {
  return [
    mov(R6, R1),
    loadFrame(maps),
    tagOutOfBand(),
    ldx(W, R1, R9, L.F_PROGRAM),
    arrayEntry(maps.actions, R1, 'gone'),
    stx(DW, R10, CALLBACK_AT + C_CONTEXT, R6),
    stx(DW, R10, CALLBACK_AT + C_FRAME, R9),
    stx(DW, R10, CALLBACK_AT + C_SLOT, R0),
    mov(R1, O.UNITS),
    ldFunction(R2, 'operation'),
    mov(R3, R10),
    add(R3, CALLBACK_AT),
    mov(R4, 0),
    call(helper.loop),
    ldx(W, R1, R9, ENDED),
    jeq(R1, SEND, 'send'),
    jeq(R1, LOOK_UP, 'look up'),
    label('gone'),
    mov(R0, TC_ACT.shot),
    exit(),
    label('send'),
    ldx(W, R7, R9, ENDED_PORT),
    finalOutput(maps, R7),
    label('look up'),
    mov(R1, R6),
    ldMap(R2, maps.programs),
    mov(R3, L.PROGRAM_LOOKUP),
    call(helper.tailCall),
    countTotal(maps, L.T_NO_PROGRAM),
    mov(R0, TC_ACT.shot),
    exit(),
    operation(maps),
    sendCopy(maps),
    upcall,
  ];
}

/** One operation: R6 = context, R9 = frame, R8 = its unit. R7 is the operation's own. */
function operation(maps: ActionMaps): Code {
  const stop = (how: number): Code => [st(W, R9, ENDED, how), ja('stop')];
  const bodies: readonly (readonly [code: number, body: Code])[] = [
    [O.OP_END, stop(DONE)],
    [O.OP_OUTPUT, output()],
    [O.OP_FINAL, [ldx(W, R1, R8, O.O_A), stx(W, R9, ENDED_PORT, R1), stop(SEND)]],
    [O.OP_COUNT_DROP, countTotal(maps, dropTotal('explicit'))],
    [
      O.OP_USERSPACE,
      [
        ldx(W, R1, R8, O.O_A),
        stx(W, R9, L.F_COOKIE, R1),
        mov(R1, R6),
        mov(R2, R9),
        mov(R3, L.UPCALL_ACTION),
        callFunction('upcall'),
        st(W, R9, L.F_CUT, 0),
      ],
    ],
    [
      O.OP_RECIRC,
      block(
        'recirculate',
        ldx(W, R1, R9, L.F_DEPTH),
        jge(R1, L.MAX_DEPTH, 'too deep'),
        add(R1, 1),
        stx(W, R9, L.F_DEPTH, R1),
        ldx(W, R1, R8, O.O_A),
        stx(W, R9, frameWord(W_RECIRC_ID), R1),
        stop(LOOK_UP),
        label('too deep'),
        countTotal(maps, dropTotal('recirculation-depth')),
        stop(DONE),
      ),
    ],
    [O.OP_SKIP, ja('to target')],
    [
      O.OP_SAMPLE,
      [
        ldx(W, R7, R8, O.O_A),
        jeq32(R7, 0xffffffff, 'next'),
        call(helper.getPrandomU32),
        mov32(R0, R0),
        jge(R0, R7, 'to target'),
      ],
    ],
    [O.OP_CHECK_LENGTH, checkLength('to target')],
    [
      O.OP_REQUIRE,
      block(
        'require',
        requirement('unmet'),
        ja('next'),
        label('unmet'),
        countTotal(maps, L.T_UP),
        mov(R1, R6),
        mov(R2, R9),
        mov(R3, L.UPCALL_EXECUTE),
        callFunction('upcall'),
        stop(DONE),
      ),
    ],
    [O.OP_SET_KEY, setKey()],
    [O.OP_SET_MARK, [ldx(W, R1, R9, frameWord(W_PKT_MARK)), stx(W, R6, skb.mark, R1)]],
    [O.OP_SET_PRIORITY, [ldx(W, R1, R9, frameWord(W_SKB_PRIORITY)), stx(W, R6, skb.priority, R1)]],
    [O.OP_HASH, hashAction()],
    [O.OP_PUSH_VLAN, pushVlan('failed')],
    [O.OP_POP_VLAN, popVlan()],
    [O.OP_PUSH_MPLS, pushMpls('failed')],
    [O.OP_POP_MPLS, popMpls('failed')],
    [O.OP_SET_ETH, E.setEth()],
    [O.OP_SET_IPV4, E.setIpv4()],
    [O.OP_SET_IPV4_NW, E.setIpv4Nw()],
    [O.OP_SET_IPV6, E.setIpv6()],
    [O.OP_SET_IPV6_PLAIN, E.setIpv6Plain()],
    [O.OP_SET_PORTS, E.setPorts()],
    [O.OP_SET_ICMP, E.setIcmp()],
    [O.OP_SET_ND, E.setNd()],
    [O.OP_SET_ARP, E.setArp()],
    [O.OP_SET_MPLS, E.setMpls()],
    [O.OP_PUT_TUNNEL, putTunnel()],
    [O.OP_TRUNC, truncate()],
    [
      O.OP_BRANCH,
      block(
        'branch',
        keep(maps.saves, 'too deep'),
        runOnCopy(maps, L.PROGRAM_ACT),
        getBack(maps.saves, 'to target'),
        ja('to target'),
        label('too deep'),
        tooDeep(maps),
        ja('to target'),
      ),
    ],
  ];
  return func(
    'operation',
    ldx(DW, R6, R2, C_CONTEXT),
    ldx(DW, R9, R2, C_FRAME),
    ldx(DW, R8, R2, C_SLOT),
    ldx(W, R1, R9, L.F_PC),
    jgt(R1, O.LAST_UNIT, 'end'),
    mov(R2, R1),
    add(R2, 1),
    stx(W, R9, L.F_PC, R2),
    lsh(R1, Math.log2(O.UNIT_SIZE)),
    add(R8, R1),
    ldx(B, R1, R8, O.O_CODE),
    dispatch(bodies.map(([code]) => code)),
    ja('end'),
    bodies.map(([code, body]) => [label(`op ${code}`), body, falls(body) ? ja('next') : []]),
    label('to target'),
    ldx(H, R1, R8, O.O_TARGET),
    stx(W, R9, L.F_PC, R1),
    label('next'),
    mov(R0, 0),
    exit(),
    // A helper refused, for want of memory or because the packet is not what it was taken for.
    label('failed'),
    countTotal(maps, dropTotal('unsupported-action')),
    label('end'),
    stop(DONE),
    label('stop'),
    mov(R0, 1),
    exit(),
  );
}

/** Whether what stands behind `code` is reached from it: the verifier wants no instruction that is not. */
function falls(code: Code): boolean {
  const last = Array.isArray(code) ? (code as readonly Code[]).findLast((c) => !isEmpty(c)) : code;
  if (last === undefined || 'label' in last) return true;
  if ('code' in last) return falls(last.code);
  return !('opcode' in last) ? falls(last) : last.opcode !== OP_JA && last.opcode !== OP_EXIT;
}

const isEmpty = (code: Code): boolean => Array.isArray(code) && (code as readonly Code[]).every(isEmpty);

/** Goes to `op N` where R1 is N, by halving; goes on behind where it is none of them. */
function dispatch(codes: readonly number[]): Code {
  if (codes.length <= 3) return codes.map((code) => jeq(R1, code, `op ${code}`));
  const half = codes.length >> 1;
  return block(
    'dispatch',
    jlt(R1, codes[half], 'lower'),
    dispatch(codes.slice(half)),
    ja('end'),
    label('lower'),
    dispatch(codes.slice(0, half)),
  );
}

/** Copies of the packet go out of the operation's ports. */
function output(): Code {
  return block(
    'output',
    mov(R7, 0),
    label('port'),
    ldx(B, R1, R8, O.O_FLAGS),
    jge(R7, R1, 'next'),
    jge(R7, O.PORTS_AN_OUTPUT, 'next'),
    mov(R2, R7),
    lsh(R2, 1),
    add(R2, R8),
    ldx(H, R3, R2, O.O_TARGET),
    mov(R1, R6),
    mov(R2, R9),
    callFunction('send copy'),
    add(R7, 1),
    ja('port'),
  );
}

/** A copy of the packet R1, whose frame is R2, goes out of port R3. */
function sendCopy(maps: ProgramMaps): Code {
  return func(
    'send copy',
    mov(R6, R1),
    mov(R9, R2),
    stx(W, R9, OUT_PORT, R3),
    ldx(W, R1, R9, L.F_CUT),
    jne(R1, 0, 'cut'),
    arrayEntry(maps.ports, R3, 'absent'),
    mov(R7, R0),
    ldx(W, R1, R7, L.P_FLAGS),
    jeq(R1, 0, 'absent'),
    jset(R1, L.PORT_TUNNEL, 'tunnel'),
    mov(R1, R6),
    ldx(W, R2, R7, L.P_IFINDEX),
    mov(R3, 0),
    call(helper.cloneRedirect),
    ldx(W, R1, R7, L.P_STATS),
    jne(R0, 0, 'refused'),
    shardOf(maps, maps.portStats, R1, 'done'),
    mov(R1, 1),
    addTo(maps, L.PS_TX_PACKETS, R1),
    mov(R3, R0),
    wireLength(R2),
    mov(R0, R3),
    addTo(maps, L.PS_TX_BYTES, R2),
    ja('done'),
    label('refused'),
    shardOf(maps, maps.portStats, R1, 'done'),
    mov(R1, 1),
    addTo(maps, L.PS_TX_DROPPED, R1),
    ja('done'),
    label('tunnel'),
    runOnCopy(maps, L.PROGRAM_ENCAP),
    ja('done'),
    label('cut'),
    runOnCopy(maps, L.PROGRAM_OUT),
    st(W, R9, L.F_CUT, 0),
    ja('done'),
    label('absent'),
    countTotal(maps, dropTotal('no-such-port')),
    label('done'),
    mov(R0, 0),
    exit(),
  );
}

/** F_CUT = bytes that the packet has above A. */
function truncate(): Code {
  return block(
    'trunc',
    wireLength(R1),
    ldx(W, R2, R8, O.O_A),
    st(W, R9, L.F_CUT, 0),
    jle(R1, R2, 'next'),
    sub(R1, R2),
    stx(W, R9, L.F_CUT, R1),
  );
}

/** R1 = the key word at index R2, R2 = where it stands. Goes on at `next` if there is no such word. */
function setKey(): Code {
  return [
    ldx(W, R2, R8, O.O_C),
    jge(R2, L.FRAME_KEY_SIZE / 4, 'next'),
    lsh(R2, 2),
    add(R2, R9),
    ldx(W, R1, R2, 0),
    ldx(W, R3, R8, O.O_B),
    xor32(R3, -1),
    and32(R1, R3),
    ldx(W, R3, R8, O.O_A),
    or32(R1, R3),
    stx(W, R2, 0, R1),
  ];
}

function putTunnel(): Code {
  return block(
    'put tunnel',
    ldx(B, R1, R8, O.O_FLAGS),
    jeq(R1, 0, 'cleared'),
    clearTunnel(),
    label('cleared'),
    ldx(H, R2, R8, O.O_TARGET),
    jgt(R2, L.FRAME_KEY_SIZE / 4 - 3, 'next'),
    lsh(R2, 2),
    add(R2, R9),
    [O.O_A, O.O_B, O.O_C].map((at, i) => [ldx(W, R1, R8, at), stx(W, R2, 4 * i, R1)]),
  );
}
