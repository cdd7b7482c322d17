/** Numbers of the instruction set: RFC 9669, sections 3 to 5, and linux/bpf.h. */

/** The low three bits of an opcode. */
export const CLASS = { ld: 0, ldx: 1, st: 2, stx: 3, alu: 4, jmp: 5, jmp32: 6, alu64: 7 } as const;
/** Bit 3 of arithmetic and jumps: the second operand is the register `src`, not `imm`. */
export const FROM_REGISTER = 0x08;

/** The upper four bits of arithmetic opcodes. */
export const ALU = {
  add: 0x00,
  sub: 0x10,
  mul: 0x20,
  div: 0x30,
  or: 0x40,
  and: 0x50,
  lsh: 0x60,
  rsh: 0x70,
  neg: 0x80,
  mod: 0x90,
  xor: 0xa0,
  mov: 0xb0,
  arsh: 0xc0,
  end: 0xd0,
} as const;

/** The upper four bits of jump opcodes. */
export const JUMP = {
  ja: 0x00,
  jeq: 0x10,
  jgt: 0x20,
  jge: 0x30,
  jset: 0x40,
  jne: 0x50,
  jsgt: 0x60,
  jsge: 0x70,
  call: 0x80,
  exit: 0x90,
  jlt: 0xa0,
  jle: 0xb0,
  jslt: 0xc0,
  jsle: 0xd0,
  jcond: 0xe0,
} as const;

/** The upper three bits of loads and stores. */
export const MODE = { imm: 0x00, mem: 0x60, memSx: 0x80, atomic: 0xc0 } as const;

/** `imm` of atomic operations. */
export const ATOMIC = {
  add: 0x00,
  or: 0x40,
  and: 0x50,
  xor: 0xa0,
  fetch: 0x01,
  xchg: 0xe1,
  cmpxchg: 0xf1,
  loadAcquire: 0x100,
  storeRelease: 0x110,
} as const;

/** `src` of the two-slot load of 64 bits: what the number stands for. */
export const LOAD_64 = { number: 0, map: 1, mapValue: 2, function: 4 } as const;
/** `src` of a call: whose number stands in `imm`. */
export const CALL = { helper: 0, function: 1, kernel: 2 } as const;

export const OP_LOAD_64 = 0x18;
export const OP_CALL = CLASS.jmp | JUMP.call;
export const OP_EXIT = CLASS.jmp | JUMP.exit;
export const OP_JA = CLASS.jmp | JUMP.ja;
/** The jump whose distance stands in `imm` (ISA version 4). */
export const OP_GOTOL = CLASS.jmp32 | JUMP.ja;
export const OP_MAY_GOTO = CLASS.jmp | JUMP.jcond;
export const OP_TO_LE = CLASS.alu | ALU.end;
export const OP_TO_BE = CLASS.alu | ALU.end | FROM_REGISTER;
export const OP_BSWAP = CLASS.alu64 | ALU.end;
/** Bytes of a slot. */
export const SLOT = 8;
