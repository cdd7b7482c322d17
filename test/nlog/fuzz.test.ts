import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { WeftError } from '../../src/base/errors.ts';
import {
  check,
  checkAll,
  Engine,
  formatDiagnostic,
  loadSnapshot,
  NlogProgramError,
  parseChanges,
  Report,
  saveSnapshot,
} from '../../src/nlog/index.ts';

/* Whatever the input: a result or a clear message, never a crash. */

const here = dirname(fileURLToPath(import.meta.url));
const programs = [join(here, 'wrong'), join(here, '../../examples/nlog')].flatMap((folder) =>
  readdirSync(folder)
    .filter((f) => f.endsWith('.nlog'))
    .map((f) => readFileSync(join(folder, f), 'utf8')),
);
const WORDS = [
  'input',
  'output',
  'table',
  'type',
  'function',
  'not',
  'key',
  'each',
  'count',
  '(',
  ')',
  ',',
  ';',
  ':',
  ':-',
  '->',
  '<',
  '=',
  '+',
  '-',
  '/',
  '_',
  'x',
  'a',
  '"s"',
  '1',
  '2n',
  'int',
  'list',
  '#',
  '"',
  '\\',
  '\n',
  '\u{1f600}',
  '\0',
];

function read(text: string): void {
  const { program, report } = checkAll({ name: 'fuzz.nlog', text });
  assert.equal(program === undefined, report.failed);
  for (const d of report.diagnostics)
    assert.match(formatDiagnostic(d), /^fuzz\.nlog:\d+:\d+: (error|warning): /);
}

test('any text is a program or is told to be none', () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...WORDS), { maxLength: 60 }), (words) => read(words.join(' '))),
    { numRuns: 3000 },
  );
  fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 200 }), read), { numRuns: 2000 });
});

test('programs that lost, doubled or exchanged a part are told so', () => {
  const change = fc.record({
    program: fc.constantFrom(...programs),
    from: fc.nat(),
    length: fc.nat(30),
    to: fc.nat(),
  });
  fc.assert(
    fc.property(change, ({ program, from, length, to }) => {
      const at = from % program.length;
      const part = program.slice(at, at + length);
      read(program.slice(0, at) + program.slice(at + length));
      const target = to % program.length;
      read(program.slice(0, target) + part + program.slice(target));
    }),
    { numRuns: 1500 },
  );
});

test('depth and length are bounded', () => {
  const many = (n: number, text: string): string => text.repeat(n);
  read(`output b(x: int); b(${many(100_000, '(')}1`);
  read(`output b(x: int); b(${many(100_000, '-')}1);`);
  read(`output b(x: int); b(1${many(100_000, ' + 1')});`);
  read(`input a(); output b(); b() :- ${many(100_000, 'a(), ')}a();`);
  read(`input a(x: ${many(100_000, 'list<')}int`);
  read(many(2_000, 'output b(x: int);\n'));
});

test('rows as text are rows or are told to be none', () => {
  const program = check({
    name: 'p',
    text: 'input a(x: int, s: string); input b(f: bool, g: bigint); input c();',
  });
  const words = ['a', 'b', 'c', '(', ')', ',', ';', '-', '1', '"s"', 'true', '2n', 'commit', '_', ':-'];
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...words), { maxLength: 40 }), (list) => {
      const report = new Report();
      const transactions = parseChanges({ name: 'rows', text: list.join(' ') }, program, report);
      if (!report.failed) {
        const engine = new Engine(program);
        for (const changes of transactions)
          engine.transaction((tx) => {
            for (const { table, row, insert } of changes) tx[insert ? 'insert' : 'delete'](table, row);
          });
      } else assert.throws(() => report.throwIfFailed(), NlogProgramError);
    }),
    { numRuns: 2000 },
  );
});

/** Sets the checksum that the format asks for. */
function rechecksum(bytes: Uint8Array): void {
  let h = 0x811c9dc5;
  for (let i = 20; i < bytes.length; i++) h = Math.imul(h ^ bytes[i], 0x01000193);
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(16, h >>> 0, true);
}

test('a damaged snapshot loads or is told to be broken, and a failed load changes nothing', () => {
  const program = check({
    name: 'p',
    text: 'input a(x: int, s: string, g: bigint, u: uuid, f: bool); output b(x: int); b(x) :- a(x, _, _, _, _);',
  });
  const engine = new Engine(program);
  engine.transaction((tx) => {
    for (let i = 0; i < 5; i++)
      tx.insert('a', [
        i * 2 ** 30,
        `s${i}`,
        BigInt(i),
        `550e8400-e29b-41d4-a716-44665544000${i}`,
        i % 2 === 0,
      ]);
  });
  const saved = saveSnapshot(engine);
  fc.assert(
    fc.property(
      fc.array(fc.record({ at: fc.nat(saved.length - 1), byte: fc.nat(255) }), {
        minLength: 1,
        maxLength: 3,
      }),
      fc.nat(saved.length),
      (edits, length) => {
        const bytes = saved.slice(0, length % 3 === 0 ? length : saved.length);
        for (const { at, byte } of edits) if (at < bytes.length) bytes[at] = byte;
        // Most with a checksum that is right, so that the damage behind it is met.
        if (length % 2 === 0 && bytes.length > 24) rechecksum(bytes);
        const target = new Engine(program);
        target.transaction((tx) =>
          tx.insert('a', [7, 'old', 1n, '550e8400-e29b-41d4-a716-446655440009', true]),
        );
        try {
          loadSnapshot(target, bytes);
        } catch (error) {
          assert.ok(error instanceof WeftError, String(error));
          assert.deepEqual(target.rows('b'), [[7]]);
        }
      },
    ),
    { numRuns: 3000 },
  );
});
