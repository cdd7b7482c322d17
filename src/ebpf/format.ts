/** Instructions as text, as `llvm-objdump -d --triple=bpf` writes them. For errors, logs and tests. */
import { type Instruction, mapName, slotsOf } from './instruction.ts';
import {
  ALU,
  ATOMIC,
  CALL,
  CLASS,
  FROM_REGISTER,
  JUMP,
  LOAD_64,
  MODE,
  OP_CALL,
  OP_EXIT,
  OP_GOTOL,
  OP_JA,
  OP_LOAD_64,
  OP_MAY_GOTO,
} from './isa.ts';

const OPERATORS: ReadonlyMap<number, string> = new Map([
  [ALU.add, '+='],
  [ALU.sub, '-='],
  [ALU.mul, '*='],
  [ALU.div, '/='],
  [ALU.or, '|='],
  [ALU.and, '&='],
  [ALU.lsh, '<<='],
  [ALU.rsh, '>>='],
  [ALU.mod, '%='],
  [ALU.xor, '^='],
  [ALU.mov, '='],
  [ALU.arsh, 's>>='],
]);
const COMPARISONS: ReadonlyMap<number, string> = new Map([
  [JUMP.jeq, '=='],
  [JUMP.jgt, '>'],
  [JUMP.jge, '>='],
  [JUMP.jset, '&'],
  [JUMP.jne, '!='],
  [JUMP.jsgt, 's>'],
  [JUMP.jsge, 's>='],
  [JUMP.jlt, '<'],
  [JUMP.jle, '<='],
  [JUMP.jslt, 's<'],
  [JUMP.jsle, 's<='],
]);
const ATOMIC_NAMES: ReadonlyMap<number, string> = new Map([
  [ATOMIC.add, 'add'],
  [ATOMIC.or, 'or'],
  [ATOMIC.and, 'and'],
  [ATOMIC.xor, 'xor'],
]);
const BITS = [32, 16, 8, 64];

const sizeBits = (opcode: number): number => BITS[(opcode >> 3) & 3]!;
const signed = (n: number): string => (n < 0 ? `- ${-n}` : `+ ${n}`);
const distance = (n: number): string => (n < 0 ? `${n}` : `+${n}`);

/** The text of one instruction; a reference appears by its name. */
export function formatInstruction(i: Instruction): string {
  const { opcode } = i;
  if (opcode === OP_LOAD_64) return formatLoad64(i);
  switch (opcode & 7) {
    case CLASS.alu:
    case CLASS.alu64:
      return formatArithmetic(i);
    case CLASS.jmp:
    case CLASS.jmp32:
      return formatJump(i);
    case CLASS.ldx: {
      const kind = (opcode & 0xe0) === MODE.memSx ? 's' : 'u';
      return `r${i.dst} = *(${kind}${sizeBits(opcode)} *)(r${i.src} ${signed(i.offset)})`;
    }
    case CLASS.st:
      return `*(u${sizeBits(opcode)} *)(r${i.dst} ${signed(i.offset)}) = ${i.imm}`;
    case CLASS.stx:
      return (opcode & 0xe0) === MODE.atomic
        ? formatAtomic(i)
        : `*(u${sizeBits(opcode)} *)(r${i.dst} ${signed(i.offset)}) = r${i.src}`;
    default:
      return `opcode ${opcode}`;
  }
}

function formatLoad64(i: Instruction): string {
  const { reference } = i;
  if (reference === undefined) {
    const value = (BigInt(i.high ?? 0) << 32n) | BigInt(i.imm >>> 0);
    return `r${i.dst} = ${value} ll`;
  }
  if (reference.to === 'map') {
    const value = i.src === LOAD_64.mapValue ? ` value + ${i.high}` : '';
    return `r${i.dst} = map ${mapName(reference.map)}${value} ll`;
  }
  return `r${i.dst} = function ${reference.name} ll`;
}

function formatArithmetic(i: Instruction): string {
  const wide = (i.opcode & 7) === CLASS.alu64;
  const name = wide ? 'r' : 'w';
  const operation = i.opcode & 0xf0;
  const dst = `${name}${i.dst}`;
  if (operation === ALU.end) {
    const kind = wide ? 'bswap' : (i.opcode & FROM_REGISTER) !== 0 ? 'be' : 'le';
    return `r${i.dst} = ${kind}${i.imm} r${i.dst}`;
  }
  if (operation === ALU.neg) return `${dst} = -${dst}`;
  const operand = (i.opcode & FROM_REGISTER) !== 0 ? `${name}${i.src}` : `${i.imm}`;
  if (operation === ALU.mov && i.offset !== 0) return `${dst} = (s${i.offset})${operand}`;
  const sign = i.offset === 1 ? 's' : '';
  return `${dst} ${sign}${OPERATORS.get(operation) ?? '?'} ${operand}`;
}

function formatJump(i: Instruction): string {
  const { opcode, reference } = i;
  const target = (n: number): string => (reference?.to === 'label' ? reference.name : distance(n));
  if (opcode === OP_EXIT) return 'exit';
  if (opcode === OP_CALL) {
    if (reference?.to === 'function') return `call ${reference.name}`;
    if (reference?.to === 'kernel') return `call kernel ${reference.name}`;
    return i.src === CALL.helper ? `call ${i.imm}` : `call ${distance(i.imm)}`;
  }
  if (opcode === OP_JA) return `goto ${target(i.offset)}`;
  if (opcode === OP_GOTOL) return `gotol ${target(i.imm)}`;
  if (opcode === OP_MAY_GOTO) return `may_goto ${target(i.offset)}`;
  const name = (opcode & 7) === CLASS.jmp ? 'r' : 'w';
  const operand = (opcode & FROM_REGISTER) !== 0 ? `${name}${i.src}` : `${i.imm}`;
  return `if ${name}${i.dst} ${COMPARISONS.get(opcode & 0xf0) ?? '?'} ${operand} goto ${target(i.offset)}`;
}

function formatAtomic(i: Instruction): string {
  const bits = sizeBits(i.opcode);
  const place = `(r${i.dst} ${signed(i.offset)})`;
  const name = bits === 32 ? 'w' : 'r';
  const c = bits === 32 ? 'xchg32_32' : 'xchg_64';
  const cmp = bits === 32 ? 'cmpxchg32_32' : 'cmpxchg_64';
  switch (i.imm) {
    case ATOMIC.xchg:
      return `${name}${i.src} = ${c}(r${i.dst} ${signed(i.offset)}, ${name}${i.src})`;
    case ATOMIC.cmpxchg:
      return `${name}0 = ${cmp}(r${i.dst} ${signed(i.offset)}, ${name}0, ${name}${i.src})`;
    case ATOMIC.loadAcquire:
      return `r${i.dst} = load_acquire((u${bits} *)(r${i.src} ${signed(i.offset)}))`;
    case ATOMIC.storeRelease:
      return `store_release((u${bits} *)${place}, r${i.src})`;
  }
  const operation = i.imm & 0xf0;
  if ((i.imm & ATOMIC.fetch) === 0)
    return `lock *(u${bits} *)${place} ${OPERATORS.get(operation)} ${name}${i.src}`;
  return `${name}${i.src} = atomic_fetch_${ATOMIC_NAMES.get(operation)}((u${bits} *)${place}, ${name}${i.src})`;
}

/** How many slots a list of instructions takes. */
export const slotCount = (instructions: readonly Instruction[]): number =>
  instructions.reduce((sum, i) => sum + slotsOf(i), 0);
