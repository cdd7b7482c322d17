/**
 * Pieces of programs that every packet program repeats, and that are easy to get subtly wrong. They follow one
 * convention: R6 holds the context, R7 the packet's first byte, R8 its end; a helper that changes the packet takes
 * R7 and R8 away, and `packetPointers` gets them back. R0 to R5 are destroyed where it says so.
 */
import { WeftError } from '../base/errors.ts';
import {
  add,
  block,
  call,
  DW,
  exit,
  jeq,
  jgt,
  jle,
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
  R8,
  R10,
  st,
  W,
} from './asm.ts';
import { skb } from './context.ts';
import { helper } from './helpers.ts';
import type { Code, MapReference } from './instruction.ts';

/** Where a kind of context has the packet's pointers: `skb` or `xdp`. */
export interface ContextLayout {
  readonly data: number;
  readonly dataEnd: number;
}

/** R7 and R8 = the packet's begin and end. What was compared before has to be compared again. */
export const packetPointers = (context: ContextLayout = skb): Code => [
  ldx(W, R7, R6, context.data),
  ldx(W, R8, R6, context.dataEnd),
];

/** How a program starts: R6 = context, R7 and R8 = the packet. */
export const prologue = (context: ContextLayout = skb): Code => [mov(R6, R1), packetPointers(context)];

/** Goes to `otherwise` unless the packet's first `length` bytes can be read at R7. Destroys R1. */
export const needBytes = (length: number, otherwise: string): Code => [
  mov(R1, R7),
  add(R1, length),
  jgt(R1, R8, otherwise),
];

/**
 * Sees to it that the first `length` bytes, or all if the packet is shorter, can be read: an skb may have as few as
 * 14 bytes where programs reach them. Only for classifiers. Destroys R0 to R5; R7 and R8 are fresh.
 */
export const pullBytes = (length: number): Code =>
  block(
    `pull ${length} bytes`,
    mov(R1, R7),
    add(R1, length),
    jle(R1, R8, 'there'),
    ldx(W, R2, R6, skb.len),
    jle(R2, length, 'all'),
    mov(R2, length),
    label('all'),
    mov(R1, R6),
    call(helper.skbPullData),
    packetPointers(),
    label('there'),
  );

/** R0 = the value of the key at R10 + `keyAt`; goes to `otherwise` if there is none. Destroys R1 to R5. */
export const lookup = (map: MapReference, keyAt: number, otherwise: string): Code => [
  ldMap(R1, map),
  mov(R2, R10),
  add(R2, keyAt),
  call(helper.mapLookup),
  jeq(R0, 0, otherwise),
];

/**
 * Goes on in the program at `index` of a table, which does not come back. If there is none, or after 33 of them, it
 * goes on behind. Needs the context in R6; destroys R0 to R5.
 */
export const tailCall = (table: MapReference, index: number): Code => [
  mov(R1, R6),
  ldMap(R2, table),
  mov(R3, index),
  call(helper.tailCall),
];

/** Returns a number. */
export const returning = (verdict: number): Code => [mov32(R0, verdict), exit()];

const STACK = 512;

/** Shares a function's 512 bytes of stack out: `take` gives places below R10, aligned to 8. */
export class StackFrame {
  private used = 0;

  /** The offset, from R10, of `size` bytes that nobody else has. Throws "bad-program" when the stack is full. */
  take(size: number, what: string): number {
    const next = this.used + ((size + 7) & ~7);
    if (next > STACK)
      throw new WeftError(
        'bad-program',
        `the stack has ${STACK - this.used} of ${STACK} bytes left, ${what} needs ${size}`,
      );
    this.used = next;
    return -next;
  }
}

/** Writes zeros from R10 + `at`, in steps of 8: the verifier wants all bytes of a key to be known. */
export function clearStack(at: number, size: number): Code {
  if (at % 8 !== 0) throw new WeftError('bad-program', `stack offset ${at} is not a multiple of 8`);
  return Array.from({ length: Math.ceil(size / 8) }, (_, i) => st(DW, R10, at + i * 8, 0));
}
