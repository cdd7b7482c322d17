/**
 * What instructions mean: random arithmetic, run by the kernel on numbers that its verifier does not know, held
 * against the same arithmetic on bigint. An operation under a wrong name would show here, whatever its bytes.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import * as A from './asm.ts';
import { needBytes, prologue, returning } from './build.ts';
import type { Code, Instruction, Register } from './instruction.ts';
import { Program } from './program.ts';
import { needsRoot } from './testing/programs.ts';

type Width = 32 | 64;
type Binary = (dst: Register, operand: Register | number) => Instruction;
/** Both operands as unsigned numbers of `width` bits; the result is cut to it. */
type Meaning = (a: bigint, b: bigint, width: Width) => bigint;

const signed = (n: bigint, width: number): bigint => BigInt.asIntN(width, n);
const division: Meaning = (a, b) => (b === 0n ? 0n : a / b);
const remainder: Meaning = (a, b) => (b === 0n ? a : a % b);
const OPERATIONS: readonly (readonly [string, Binary, Binary, Meaning])[] = [
  ['mov', A.mov, A.mov32, (_, b) => b],
  ['add', A.add, A.add32, (a, b) => a + b],
  ['sub', A.sub, A.sub32, (a, b) => a - b],
  ['mul', A.mul, A.mul32, (a, b) => a * b],
  ['div', A.div, A.div32, division],
  ['mod', A.mod, A.mod32, remainder],
  ['sdiv', A.sdiv, A.sdiv32, (a, b, w) => division(signed(a, w), signed(b, w), w)],
  ['smod', A.smod, A.smod32, (a, b, w) => remainder(signed(a, w), signed(b, w), w)],
  ['and', A.and, A.and32, (a, b) => a & b],
  ['or', A.or, A.or32, (a, b) => a | b],
  ['xor', A.xor, A.xor32, (a, b) => a ^ b],
  ['lsh', A.lsh, A.lsh32, (a, b, w) => a << (b % BigInt(w))],
  ['rsh', A.rsh, A.rsh32, (a, b, w) => a >> (b % BigInt(w))],
  ['arsh', A.arsh, A.arsh32, (a, b, w) => signed(a, w) >> (b % BigInt(w))],
];
const reversed = (n: bigint, bits: number): bigint => {
  let result = 0n;
  for (let i = 0; i < bits; i += 8) result = (result << 8n) | ((n >> BigInt(i)) & 0xffn);
  return result;
};
const UNARY: readonly (readonly [string, Instruction, (a: bigint) => bigint])[] = [
  ['neg', A.neg(A.R3), (a) => -a],
  ['neg32', A.neg32(A.R3), (a) => BigInt.asUintN(32, -a)],
  ...([16, 32, 64] as const).flatMap((bits) => [
    [`toBe${bits}`, A.toBe(bits, A.R3), (a: bigint) => reversed(a, bits)] as const,
    [`toLe${bits}`, A.toLe(bits, A.R3), (a: bigint) => BigInt.asUintN(bits, a)] as const,
    [`bswap${bits}`, A.bswap(bits, A.R3), (a: bigint) => reversed(a, bits)] as const,
  ]),
  ...([8, 16, 32] as const).map(
    (bits) => [`movsx${bits}`, A.movsx(bits, A.R3, A.R3), (a: bigint) => signed(a, bits)] as const,
  ),
  ...([8, 16] as const).map(
    (bits) =>
      [
        `movsx32 ${bits}`,
        A.movsx32(bits, A.R3, A.R3),
        (a: bigint) => BigInt.asUintN(32, signed(a, bits)),
      ] as const,
  ),
];
const JUMPS: readonly (readonly [
  string,
  typeof A.jeq,
  typeof A.jeq,
  (a: bigint, b: bigint, w: Width) => boolean,
])[] = [
  ['jeq', A.jeq, A.jeq32, (a, b) => a === b],
  ['jne', A.jne, A.jne32, (a, b) => a !== b],
  ['jgt', A.jgt, A.jgt32, (a, b) => a > b],
  ['jge', A.jge, A.jge32, (a, b) => a >= b],
  ['jlt', A.jlt, A.jlt32, (a, b) => a < b],
  ['jle', A.jle, A.jle32, (a, b) => a <= b],
  ['jsgt', A.jsgt, A.jsgt32, (a, b, w) => signed(a, w) > signed(b, w)],
  ['jsge', A.jsge, A.jsge32, (a, b, w) => signed(a, w) >= signed(b, w)],
  ['jslt', A.jslt, A.jslt32, (a, b, w) => signed(a, w) < signed(b, w)],
  ['jsle', A.jsle, A.jsle32, (a, b, w) => signed(a, w) <= signed(b, w)],
  ['jset', A.jset, A.jset32, (a, b) => (a & b) !== 0n],
];

/** One row an instruction: its code on R3 and R4 (R5 = 1 if it jumps), and R3 and R5 afterwards. */
interface Row {
  readonly name: string;
  readonly code: Code;
  readonly expect: (a: bigint, b: bigint) => bigint;
}

const ROWS: readonly Row[] = [
  ...OPERATIONS.flatMap(([name, wide, narrow, meaning]): Row[] => [
    { name, code: wide(A.R3, A.R4), expect: (a, b) => meaning(a, b, 64) },
    {
      name: `${name}32`,
      code: narrow(A.R3, A.R4),
      expect: (a, b) => BigInt.asUintN(32, meaning(BigInt.asUintN(32, a), BigInt.asUintN(32, b), 32)),
    },
  ]),
  ...UNARY.map(([name, code, expect]): Row => ({ name, code, expect })),
  ...JUMPS.flatMap(([name, wide, narrow, meaning]): Row[] => {
    const code = (jump: typeof A.jeq): Code =>
      A.block(
        name,
        jump(A.R3, A.R4, 'taken'),
        A.mov(A.R3, 0),
        A.ja('done'),
        A.label('taken'),
        A.mov(A.R3, 1),
        A.label('done'),
      );
    return [
      { name, code: code(wide), expect: (a, b) => (meaning(a, b, 64) ? 1n : 0n) },
      {
        name: `${name}32`,
        code: code(narrow),
        expect: (a, b) => (meaning(BigInt.asUintN(32, a), BigInt.asUintN(32, b), 32) ? 1n : 0n),
      },
    ];
  }),
];

const RESULTS = 64;
/** Reads two numbers from the packet, and writes each row's result behind them. */
const everything = (): Code => [
  prologue(),
  needBytes(RESULTS + ROWS.length * 8, 'short'),
  ROWS.map(({ name, code }, i) =>
    A.note(
      name,
      A.ldx(A.DW, A.R3, A.R7, 16),
      A.ldx(A.DW, A.R4, A.R7, 24),
      code,
      A.stx(A.DW, A.R7, RESULTS + i * 8, A.R3),
    ),
  ),
  returning(0),
  A.label('short'),
  returning(1),
];

/** Numbers at the edges, small ones, and any. */
const number = fc.oneof(
  fc.constantFrom(0n, 1n, 2n, 0x7fff_ffffn, 0x8000_0000n, 0xffff_ffffn, 1n << 63n, (1n << 64n) - 1n),
  fc.bigInt({ min: 0n, max: 100n }),
  fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
);

test('every operation means what its name says', { skip: needsRoot }, () => {
  using program = Program.load({ kind: 'classifier', name: 'weft_meaning', code: everything() });
  fc.assert(
    fc.property(number, number, (a, b) => {
      const packet = new Uint8Array(RESULTS + ROWS.length * 8);
      const input = new DataView(packet.buffer);
      input.setBigUint64(16, a, true);
      input.setBigUint64(24, b, true);
      const run = program.run({ packet });
      assert.equal(run.verdict, 0);
      const view = new DataView(run.packet.buffer);
      for (const [i, { name, expect }] of ROWS.entries()) {
        const result = view.getBigUint64(RESULTS + i * 8, true);
        assert.equal(result, BigInt.asUintN(64, expect(a, b)), `${name} of ${a} and ${b}`);
      }
    }),
    { numRuns: 500 },
  );
});
