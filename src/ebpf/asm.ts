/**
 * Writing eBPF. Each function makes one instruction, a value; lists of them are programs:
 *
 *     const code = [
 *       ldx(W, R7, R1, skb.data),
 *       ldMap(R1, flows),
 *       call(helper.mapLookup),
 *       jeq(R0, 0, 'miss'),
 *       ...
 *       label('miss'),
 *       mov32(R0, TC_ACT_OK),
 *       exit(),
 *     ];
 *
 * Operands stand in the order of the assembly language: the register written first. A number that does not
 * fit its field is an error here, where the stack still shows who wrote it.
 *
 * Names: a plain name works on 64 bits, the name with `32` on the lower 32 and clears the upper ones. `div`,
 * `mod`, `rsh`, `jgt`... take their operands as unsigned, `sdiv`, `smod`, `arsh`, `jsgt`... as signed. A 64-bit
 * operation sign-extends its immediate.
 */
import { WeftError } from '../base/errors.ts';
import type {
  Block,
  Code,
  Instruction,
  Label,
  MapReference,
  Reference,
  Register,
  Size,
} from './instruction.ts';
import {
  ALU,
  ATOMIC,
  CALL,
  CLASS,
  FROM_REGISTER,
  JUMP,
  LOAD_64,
  MODE,
  OP_BSWAP,
  OP_CALL,
  OP_EXIT,
  OP_GOTOL,
  OP_JA,
  OP_LOAD_64,
  OP_MAY_GOTO,
  OP_TO_BE,
  OP_TO_LE,
} from './isa.ts';

const register = (number: number): Register => Object.freeze({ register: number });
/** The result of a function or helper, and of the program. */
export const R0 = register(0);
/** R1 to R5: arguments; a call destroys them. */
export const R1 = register(1);
export const R2 = register(2);
export const R3 = register(3);
export const R4 = register(4);
export const R5 = register(5);
/** R6 to R9: a call keeps them. */
export const R6 = register(6);
export const R7 = register(7);
export const R8 = register(8);
export const R9 = register(9);
/** The end of the function's 512 bytes of stack, which lie below it; cannot be written. */
export const R10 = register(10);

/** Sizes of memory accesses: 1, 2, 4 and 8 bytes. */
export const B: Size = Object.freeze({ bytes: 1, code: 0x10 });
export const H: Size = Object.freeze({ bytes: 2, code: 0x08 });
export const W: Size = Object.freeze({ bytes: 4, code: 0x00 });
export const DW: Size = Object.freeze({ bytes: 8, code: 0x18 });

function bad(message: string, remedy = ''): WeftError {
  return new WeftError('bad-instruction', message, { remedy });
}

function make(
  opcode: number,
  dst: number,
  src: number,
  offset: number,
  imm: number,
  reference?: Reference,
  high?: number,
): Instruction {
  if (!Number.isInteger(offset) || offset < -0x8000 || offset > 0x7fff)
    throw bad(`offset ${offset} does not fit 16 bits`);
  return { opcode, dst, src, offset, imm, high, reference };
}

/** `value` as the signed number that stands in `imm` of an operation on 32 bits. */
function imm32(value: number): number {
  if (!Number.isInteger(value) || value < -0x8000_0000 || value > 0xffff_ffff)
    throw bad(`immediate ${value} does not fit 32 bits`);
  return value | 0;
}

/** The same for an operation on 64 bits, which would turn 0x80000000 and above into negative numbers. */
function imm64(value: number): number {
  if (!Number.isInteger(value) || value < -0x8000_0000 || value > 0x7fff_ffff)
    throw bad(`immediate ${value} does not fit 32 signed bits`, 'load it into a register with ldImm64');
  return value;
}

type Operand = Register | number;
type Arithmetic = (dst: Register, operand: Operand) => Instruction;

function arithmetic(operation: number, width: 32 | 64, signed = false): Arithmetic {
  const opcode = operation | (width === 64 ? CLASS.alu64 : CLASS.alu);
  const fit = width === 64 ? imm64 : imm32;
  const offset = signed ? 1 : 0;
  return (dst, operand) =>
    typeof operand === 'number'
      ? make(opcode, dst.register, 0, offset, fit(operand))
      : make(opcode | FROM_REGISTER, dst.register, operand.register, offset, 0);
}

export const mov = arithmetic(ALU.mov, 64);
export const add = arithmetic(ALU.add, 64);
export const sub = arithmetic(ALU.sub, 64);
export const mul = arithmetic(ALU.mul, 64);
/** Unsigned. Division by zero gives 0. */
export const div = arithmetic(ALU.div, 64);
export const sdiv = arithmetic(ALU.div, 64, true);
/** Unsigned. The remainder of division by zero is the dividend. */
export const mod = arithmetic(ALU.mod, 64);
export const smod = arithmetic(ALU.mod, 64, true);
export const and = arithmetic(ALU.and, 64);
export const or = arithmetic(ALU.or, 64);
export const xor = arithmetic(ALU.xor, 64);
export const lsh = arithmetic(ALU.lsh, 64);
export const rsh = arithmetic(ALU.rsh, 64);
export const arsh = arithmetic(ALU.arsh, 64);
export const mov32 = arithmetic(ALU.mov, 32);
export const add32 = arithmetic(ALU.add, 32);
export const sub32 = arithmetic(ALU.sub, 32);
export const mul32 = arithmetic(ALU.mul, 32);
export const div32 = arithmetic(ALU.div, 32);
export const sdiv32 = arithmetic(ALU.div, 32, true);
export const mod32 = arithmetic(ALU.mod, 32);
export const smod32 = arithmetic(ALU.mod, 32, true);
export const and32 = arithmetic(ALU.and, 32);
export const or32 = arithmetic(ALU.or, 32);
export const xor32 = arithmetic(ALU.xor, 32);
export const lsh32 = arithmetic(ALU.lsh, 32);
export const rsh32 = arithmetic(ALU.rsh, 32);
export const arsh32 = arithmetic(ALU.arsh, 32);

export const neg = (dst: Register): Instruction => make(CLASS.alu64 | ALU.neg, dst.register, 0, 0, 0);
export const neg32 = (dst: Register): Instruction => make(CLASS.alu | ALU.neg, dst.register, 0, 0, 0);

/** Moves the lower 8, 16 or 32 bits of `src`, sign-extended to 64 bits (ISA version 4). */
export function movsx(bits: 8 | 16 | 32, dst: Register, src: Register): Instruction {
  return make(CLASS.alu64 | ALU.mov | FROM_REGISTER, dst.register, src.register, bits, 0);
}

/** Moves the lower 8 or 16 bits of `src`, sign-extended to 32 bits (ISA version 4). */
export function movsx32(bits: 8 | 16, dst: Register, src: Register): Instruction {
  return make(CLASS.alu | ALU.mov | FROM_REGISTER, dst.register, src.register, bits, 0);
}

type Bits = 16 | 32 | 64;
/** Turns the lower `bits` between the machine's and big-endian (network) order; clears the bits above. */
export const toBe = (bits: Bits, dst: Register): Instruction => make(OP_TO_BE, dst.register, 0, 0, bits);
/** The same for little-endian order. */
export const toLe = (bits: Bits, dst: Register): Instruction => make(OP_TO_LE, dst.register, 0, 0, bits);
/** Reverses the lower `bits`' bytes, whatever the machine's order (ISA version 4); clears the bits above. */
export const bswap = (bits: Bits, dst: Register): Instruction => make(OP_BSWAP, dst.register, 0, 0, bits);

/** dst = *(size *)(src + offset), zero-extended. */
export function ldx(size: Size, dst: Register, src: Register, offset: number): Instruction {
  return make(CLASS.ldx | MODE.mem | size.code, dst.register, src.register, offset, 0);
}

/** dst = *(size *)(src + offset), sign-extended to 64 bits (ISA version 4); 1, 2 or 4 bytes. */
export function ldxs(size: Size, dst: Register, src: Register, offset: number): Instruction {
  if (size.bytes === 8) throw bad('a load of 8 bytes has no sign to extend', 'use ldx(DW, ...)');
  return make(CLASS.ldx | MODE.memSx | size.code, dst.register, src.register, offset, 0);
}

/** *(size *)(dst + offset) = src. */
export function stx(size: Size, dst: Register, offset: number, src: Register): Instruction {
  return make(CLASS.stx | MODE.mem | size.code, dst.register, src.register, offset, 0);
}

/** *(size *)(dst + offset) = imm. */
export function st(size: Size, dst: Register, offset: number, imm: number): Instruction {
  const value = size.bytes === 8 ? imm64(imm) : imm32(imm);
  const limit = 2 ** (size.bytes * 8);
  if (size.bytes < 4 && (imm < -limit / 2 || imm >= limit))
    throw bad(`${imm} does not fit the ${size.bytes} bytes that are stored`);
  return make(CLASS.st | MODE.mem | size.code, dst.register, 0, offset, value);
}

type Atomic = (size: Size, dst: Register, offset: number, src: Register) => Instruction;

function atomic(operation: number): Atomic {
  return (size, dst, offset, src) => {
    if (size.bytes < 4) throw bad(`an atomic operation on ${size.bytes} bytes; it takes 4 or 8`);
    return make(CLASS.stx | MODE.atomic | size.code, dst.register, src.register, offset, operation);
  };
}

/** *(size *)(dst + offset) op= src, as one step that no other processor sees half of. */
export const atomicAdd = atomic(ATOMIC.add);
export const atomicOr = atomic(ATOMIC.or);
export const atomicAnd = atomic(ATOMIC.and);
export const atomicXor = atomic(ATOMIC.xor);
/** The same, and src = the former value. */
export const atomicFetchAdd = atomic(ATOMIC.add | ATOMIC.fetch);
export const atomicFetchOr = atomic(ATOMIC.or | ATOMIC.fetch);
export const atomicFetchAnd = atomic(ATOMIC.and | ATOMIC.fetch);
export const atomicFetchXor = atomic(ATOMIC.xor | ATOMIC.fetch);
/** Exchanges the memory and src. */
export const atomicExchange = atomic(ATOMIC.xchg);
/** If the memory equals R0, stores src there; R0 = the former value in any case. */
export const atomicCompareExchange = atomic(ATOMIC.cmpxchg);

/** dst = *(size *)(src + offset); nothing after it happens before it (Linux 6.15). */
export function loadAcquire(size: Size, dst: Register, src: Register, offset: number): Instruction {
  return make(CLASS.stx | MODE.atomic | size.code, dst.register, src.register, offset, ATOMIC.loadAcquire);
}

/** *(size *)(dst + offset) = src; nothing before it happens after it (Linux 6.15). */
export function storeRelease(size: Size, dst: Register, offset: number, src: Register): Instruction {
  return make(CLASS.stx | MODE.atomic | size.code, dst.register, src.register, offset, ATOMIC.storeRelease);
}

/** dst = a number of 64 bits, signed or unsigned. Takes two slots. */
export function ldImm64(dst: Register, value: bigint | number): Instruction {
  const number = BigInt(value);
  if (number < -(1n << 63n) || number >= 1n << 64n) throw bad(`${value} does not fit 64 bits`);
  const low = Number(BigInt.asIntN(32, number));
  return make(
    OP_LOAD_64,
    dst.register,
    LOAD_64.number,
    0,
    low,
    undefined,
    Number(BigInt.asIntN(32, number >> 32n)),
  );
}

/** dst = the map, as helpers take it. Takes two slots. */
export function ldMap(dst: Register, map: MapReference): Instruction {
  return make(OP_LOAD_64, dst.register, LOAD_64.map, 0, 0, { to: 'map', map }, 0);
}

/** dst = the address of byte `offset` of the value of an array map with one entry. Takes two slots. */
export function ldMapValue(dst: Register, map: MapReference, offset = 0): Instruction {
  return make(OP_LOAD_64, dst.register, LOAD_64.mapValue, 0, 0, { to: 'map', map }, imm32(offset));
}

/** dst = the address of a function of this program, for helpers that call back. Takes two slots. */
export function ldFunction(dst: Register, name: string): Instruction {
  return make(OP_LOAD_64, dst.register, LOAD_64.function, 0, 0, { to: 'function', name }, 0);
}

/** Where a jump goes: a label, or a distance in slots from the next instruction. */
type Target = string | number;

function jump(opcode: number, dst: number, src: number, imm: number, target: Target): Instruction {
  return typeof target === 'number'
    ? make(opcode, dst, src, target, imm)
    : make(opcode, dst, src, 0, imm, { to: 'label', name: target });
}

type ConditionalJump = (dst: Register, operand: Operand, target: Target) => Instruction;

function conditional(operation: number, width: 32 | 64): ConditionalJump {
  const opcode = operation | (width === 64 ? CLASS.jmp : CLASS.jmp32);
  const fit = width === 64 ? imm64 : imm32;
  return (dst, operand, target) =>
    typeof operand === 'number'
      ? jump(opcode, dst.register, 0, fit(operand), target)
      : jump(opcode | FROM_REGISTER, dst.register, operand.register, 0, target);
}

export const jeq = conditional(JUMP.jeq, 64);
export const jne = conditional(JUMP.jne, 64);
export const jgt = conditional(JUMP.jgt, 64);
export const jge = conditional(JUMP.jge, 64);
export const jlt = conditional(JUMP.jlt, 64);
export const jle = conditional(JUMP.jle, 64);
export const jsgt = conditional(JUMP.jsgt, 64);
export const jsge = conditional(JUMP.jsge, 64);
export const jslt = conditional(JUMP.jslt, 64);
export const jsle = conditional(JUMP.jsle, 64);
/** Jumps if the operands have a bit in common. */
export const jset = conditional(JUMP.jset, 64);
export const jeq32 = conditional(JUMP.jeq, 32);
export const jne32 = conditional(JUMP.jne, 32);
export const jgt32 = conditional(JUMP.jgt, 32);
export const jge32 = conditional(JUMP.jge, 32);
export const jlt32 = conditional(JUMP.jlt, 32);
export const jle32 = conditional(JUMP.jle, 32);
export const jsgt32 = conditional(JUMP.jsgt, 32);
export const jsge32 = conditional(JUMP.jsge, 32);
export const jslt32 = conditional(JUMP.jslt, 32);
export const jsle32 = conditional(JUMP.jsle, 32);
export const jset32 = conditional(JUMP.jset, 32);

/** Jumps. A label beyond 32,767 slots is reached by `gotol` by itself. */
export const ja = (target: Target): Instruction => jump(OP_JA, 0, 0, 0, target);

/** Jumps up to 2^31 slots (ISA version 4). */
export function gotol(target: Target): Instruction {
  return typeof target === 'number'
    ? make(OP_GOTOL, 0, 0, 0, imm32(target))
    : make(OP_GOTOL, 0, 0, 0, 0, { to: 'label', name: target });
}

/** Goes on, or jumps when the kernel thinks that the loop lasted long enough (Linux 6.9). */
export const mayGoto = (target: Target): Instruction => jump(OP_MAY_GOTO, 0, 0, 0, target);

/** R0 = helper(R1, ..., R5); numbers in helpers.ts. */
export const call = (number: number): Instruction => make(OP_CALL, 0, CALL.helper, 0, imm32(number));

/** R0 = a function of this program, of R1 to R5. */
export const callFunction = (name: string): Instruction =>
  make(OP_CALL, 0, CALL.function, 0, 0, { to: 'function', name });

/** R0 = a function that the kernel exports to programs (kfunc); its number is this kernel's own. */
export const callKernel = (name: string): Instruction =>
  make(OP_CALL, 0, CALL.kernel, 0, 0, { to: 'kernel', name });

export const exit = (): Instruction => make(OP_EXIT, 0, 0, 0, 0);

export const label = (name: string): Label => ({ label: name });

type BlockMaker = (name: string, ...code: readonly Code[]) => Block;

function blockMaker(kind: Block['kind']): BlockMaker {
  const maker: BlockMaker = (name, ...code) => {
    const trace: { stack?: string } = {};
    Error.captureStackTrace(trace, maker);
    return { kind, note: name, code, trace };
  };
  return maker;
}

/** Says of code what it is for. The remark and the caller's place are kept for errors. About 2 us. */
export const note = blockMaker('note');
/** A note whose labels are its own: jumps inside find them first, jumps outside never. */
export const block = blockMaker('block');
/**
 * A function of the program, wherever it stands in the code: functions go behind the main program. The
 * same value may occur more than once (two macros that need the same function); it is emitted once.
 */
export const func = blockMaker('function');
