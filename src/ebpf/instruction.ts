/**
 * The values that an eBPF program is written with. An instruction is a plain, immutable object; a program is
 * a list of instructions, labels and blocks, nested as deep as the functions that made it were. Nothing here
 * knows where an instruction will stand: `assemble` (assemble.ts) decides that, once, over the whole program.
 *
 * Encodings: RFC 9669 (BPF Instruction Set Architecture), and the kernel's include/uapi/linux/bpf.h for what
 * is younger (may_goto, load-acquire, store-release).
 */

/** A register, R0 to R10. An object, so that `mov(R1, R2)` and `mov(R1, 2)` cannot be confused. */
export interface Register {
  readonly register: number;
}

/** The size of a memory access. */
export interface Size {
  readonly bytes: 1 | 2 | 4 | 8;
  /** Bits 3 and 4 of the opcode. */
  readonly code: number;
}

/** A map as a program names it: the map itself, or a name that `assemble` is given a map for. */
export type MapReference = string | { readonly fd: number; readonly name: string };

/**
 * What the assembler has to fill in: a jump's distance, a function's distance, a map's descriptor, or
 * the number of a function of the kernel.
 */
export type Reference =
  | { readonly to: 'label'; readonly name: string }
  | { readonly to: 'function'; readonly name: string }
  | { readonly to: 'map'; readonly map: MapReference }
  | { readonly to: 'kernel'; readonly name: string };

/** One instruction. `imm` is a signed 32-bit number, `offset` a signed 16-bit one. */
export interface Instruction {
  readonly opcode: number;
  readonly dst: number;
  readonly src: number;
  readonly offset: number;
  readonly imm: number;
  /** The upper 32 bits of LD_IMM64, which takes two slots; undefined for every other instruction. */
  readonly high: number | undefined;
  readonly reference: Reference | undefined;
}

/** A place that jumps name. */
export interface Label {
  readonly label: string;
}

/**
 * Code with a remark, and the place in our own source that wrote it; both appear in errors and in the verifier's log.
 * A "block" and a "function" have labels of their own; a "note" shares those around it.
 */
export interface Block {
  readonly kind: 'note' | 'block' | 'function';
  readonly note: string;
  readonly code: Code;
  /** Has the stack of the call that made the block; formatted only when somebody asks. */
  readonly trace: { readonly stack?: string };
}

/** A piece of a program. */
export type Code = Instruction | Label | Block | readonly Code[];

/** A position in our own source. */
export interface Position {
  /** The file's name without its directories. */
  readonly file: string;
  readonly line: number;
}

const FRAME = /([^\s/\\()]+\.[cm]?[jt]s):(\d+):\d+\)?\s*$/m;

/** Where a block was written; undefined where the runtime does not tell. */
export function positionOf(block: Block): Position | undefined {
  const found = FRAME.exec(block.trace.stack ?? '');
  return found === null ? undefined : { file: found[1]!, line: Number(found[2]) };
}

/** How many 8-byte slots an instruction takes. */
export const slotsOf = (instruction: Instruction): number => (instruction.high === undefined ? 1 : 2);

/** How a map reference is written in messages. */
export const mapName = (map: MapReference): string => (typeof map === 'string' ? map : map.name);
