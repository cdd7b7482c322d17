import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  add,
  block,
  call,
  callFunction,
  callKernel,
  exit,
  func,
  gotol,
  ja,
  jeq,
  label,
  ldFunction,
  ldImm64,
  ldMap,
  ldMapValue,
  mayGoto,
  mov,
  note,
  R0,
  R1,
  R2,
} from './asm.ts';
import { assemble } from './assemble.ts';
import type { Code } from './instruction.ts';

const words = (bytes: Uint8Array): string[] => Buffer.from(bytes).toString('hex').match(/.{16}/g) ?? [];

test('labels count slots, of which a wide load takes two', () => {
  const program = assemble([
    label('top'),
    jeq(R1, 0, 'end'),
    ldImm64(R2, 7n),
    ja('top'),
    label('end'),
    mov(R0, 0),
    exit(),
  ]);
  assert.deepEqual(words(program.bytes), [
    '1501030000000000',
    '1802000007000000',
    '0000000000000000',
    '0500fcff00000000',
    'b700000000000000',
    '9500000000000000',
  ]);
});

test('a block has labels of its own and sees those around it', () => {
  const attempt = (n: number): Code => block(`mask ${n}`, jeq(R1, n, 'next'), ja('hit'), label('next'));
  const program = assemble([attempt(1), attempt(2), exit(), label('hit'), mov(R0, 1), exit()]);
  assert.deepEqual(words(program.bytes), [
    '1501010001000000',
    '0500030000000000',
    '1501010002000000',
    '0500010000000000',
    '9500000000000000',
    'b700000001000000',
    '9500000000000000',
  ]);
});

test("a note's labels are those of the code around it", () => {
  const program = assemble([ja('inside'), note('n', label('inside'), exit())]);
  assert.deepEqual(words(program.bytes), ['0500000000000000', '9500000000000000']);
});

test('functions go behind the main program, once', () => {
  const five = func('five', mov(R0, 5), exit());
  const six = func('six', callFunction('five'), add(R0, 1), exit(), five);
  const program = assemble([six, five, callFunction('six'), ldFunction(R1, 'five'), exit()], {
    name: 'weft',
  });
  assert.deepEqual(program.functions, [
    { name: 'weft', slot: 0 },
    { name: 'six', slot: 4 },
    { name: 'five', slot: 7 },
  ]);
  assert.deepEqual(words(program.bytes).slice(0, 5), [
    '8510000003000000',
    '1841000005000000',
    '0000000000000000',
    '9500000000000000',
    '8510000002000000',
  ]);
});

test('maps and functions of the kernel are found by name or given', () => {
  const flows = { name: 'flows', fd: 9 };
  const code = [ldMap(R1, 'stats'), ldMapValue(R2, flows, 24), callKernel('bpf_x'), exit()];
  const program = assemble(code, {
    maps: { stats: { fd: 5 } },
    kernelFunction: (name) => (name === 'bpf_x' ? 1234 : undefined),
  });
  assert.deepEqual(words(program.bytes), [
    '1811000005000000',
    '0000000000000000',
    '1822000009000000',
    '0000000018000000',
    '85200000d2040000',
    '9500000000000000',
  ]);
});

test('far labels: goto turns into gotol, a conditional jump says what to do', () => {
  const filler = Array.from({ length: 40_000 }, () => mov(R0, 0));
  const program = assemble([ja('end'), gotol('end'), filler, label('end'), exit()]);
  assert.deepEqual(words(program.bytes).slice(0, 2), ['06000000419c0000', '06000000409c0000']);
  const back = assemble([label('top'), filler, ja('top')]);
  assert.equal(words(back.bytes).at(-1), '06000000bf63ffff');
  assert.throws(() => assemble([note('guard', jeq(R0, 0, 'end')), filler, label('end'), exit()]), {
    code: 'bad-program',
    message:
      /^instruction 0 "if r0 == 0 goto end" \(guard; assemble\.test\.ts:\d+\): label "end" is 40000 slots away/,
    remedy: 'jump to a ja() near by, which reaches any label',
  });
  assert.throws(() => assemble([mayGoto('end'), filler, label('end'), exit()]), { code: 'bad-program' });
});

test('wrong programs', () => {
  const wrong: [Code, RegExp][] = [
    [
      [label('a'), block('b', label('c'), ja('x'))],
      /^instruction 0 "goto x" \(b; at c; assemble\.test\.ts:\d+\): no label "x" here; there are c, a$/,
    ],
    [[label('a'), label('a'), exit()], /label "a" stands twice in the same block/],
    [[exit(), label('a')], /label "a" stands behind the last instruction of "main"/],
    [[], /function "main" has no instruction/],
    [[exit(), func('f')], /function "f" has no instruction/],
    [[exit(), func('f', exit()), func('f', exit())], /two functions are called "f"/],
    [[callFunction('g'), exit()], /no function "g"; there are main/],
    [[label('a'), exit(), func('f', ja('a'))], /no label "a" here; there are none/],
    [[ldMap(R1, 'flows')], /"r1 = map flows ll": no map "flows"; there are none/],
    [[ldMap(R1, 'toString')], /no map "toString"/],
    [[callKernel('bpf_x')], /this kernel has no function "bpf_x"/],
    [[func('f', exit())], /function "main" has no instruction/],
  ];
  for (const [code, message] of wrong) assert.throws(() => assemble(code), { code: 'bad-program', message });
});

test('code that holds itself ends in an error', () => {
  const loop: Code[] = [];
  loop.push(loop);
  assert.throws(() => assemble(loop), { code: 'bad-program', message: /nested deeper than/ });
});

test('slots know where they come from', () => {
  const program = assemble([
    mov(R0, 0),
    note('outer', label('here'), ldImm64(R1, 1n), note('inner', call(5))),
    exit(),
  ]);
  assert.match(program.describe(0), /^instruction 0 "r0 = 0"$/);
  assert.match(program.describe(2), /^instruction 2 "r1 = 1 ll" \(outer; at here; assemble\.test\.ts:\d+\)$/);
  assert.match(
    program.describe(3),
    /^instruction 3 "call 5" \(outer > inner; at here\+2; assemble\.test\.ts:\d+\)$/,
  );
  assert.equal(program.describe(99), 'instruction 99');
  assert.deepEqual(
    program.remarks().map(({ slot, text }) => [slot, text]),
    [
      [0, 'main'],
      [1, 'outer'],
      [3, 'outer > inner'],
      [4, 'main'],
    ],
  );
  assert.equal(
    program.toString(),
    'main:\n     0  r0 = 0\n  ; outer\n here:\n     1  r1 = 1 ll\n  ; outer > inner\n     3  call 5\n     4  exit',
  );
});

test('a jump reaches its label whatever stands between', () => {
  fc.assert(
    fc.property(fc.array(fc.boolean(), { maxLength: 200 }), fc.boolean(), (wides, back) => {
      const between = wides.map((wide) => (wide ? ldImm64(R1, 1n) : mov(R1, 1)));
      const code = back
        ? [label('l'), between, jeq(R1, 0, 'l')]
        : [jeq(R1, 0, 'l'), between, label('l'), exit()];
      const { bytes, slots } = assemble(code);
      const size = wides.length + wides.filter((w) => w).length;
      const at = back ? slots - 1 : 0;
      assert.equal(new DataView(bytes.buffer).getInt16(at * 8 + 2, true), back ? -size - 1 : size);
    }),
  );
});
