import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { run } from '../../src/cli/nlog.ts';
import { check, checkAll, Engine, parseChanges, Report } from '../../src/nlog/index.ts';

/* The examples of docs/nlog*.md run, and print what the page says; every code of an error is told there. */

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
const page = readFileSync(join(root, 'docs/nlog.md'), 'utf8');

interface Example {
  readonly line: number;
  readonly program: string;
  readonly rows: string | undefined;
  readonly output: string | undefined;
}

function examples(): Example[] {
  const blocks = [...page.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].map((m) => ({
    kind: m[1],
    text: m[2],
    line: page.slice(0, m.index).split('\n').length,
  }));
  return blocks.flatMap((b, i) => {
    if (b.kind !== 'nlog') return [];
    const rows = blocks[i + 1]?.kind === 'rows' ? blocks[i + 1].text : undefined;
    return [
      { line: b.line, program: b.text, rows, output: rows === undefined ? undefined : blocks[i + 2].text },
    ];
  });
}

for (const e of examples())
  test(`the example at line ${e.line} of docs/nlog.md does what the page says`, () => {
    const program = check({ name: 'docs/nlog.md', text: e.program });
    if (e.rows === undefined) return;
    const engine = new Engine(program);
    const report = new Report();
    const lines = parseChanges({ name: 'rows', text: e.rows }, program, report).flatMap((transaction, i) => {
      const changes = engine.transaction((tx) => {
        for (const { table, row, insert } of transaction) tx[insert ? 'insert' : 'delete'](table, row);
      });
      return [
        `transaction ${i + 1}: ${changes.size} changed, ${changes.work.rowsIn} rows read, ${changes.work.derivations} derivations`,
        ...[...changes].flatMap(({ table, inserted, deleted }) => [
          ...deleted.map((r) => `-${engine.format(table, r)}`),
          ...inserted.map((r) => `+${engine.format(table, r)}`),
        ]),
      ];
    });
    report.throwIfFailed();
    assert.equal(`${lines.join('\n')}\n`, e.output);
  });

test('the command that docs/nlog.md shows prints what the page says', async () => {
  const shown = [...page.matchAll(/^ {4}\$ bin\/weft nlog (run examples.*)\n((?: {4}.*\n)+)/gm)];
  assert.equal(shown.length, 1);
  for (const [, command, output] of shown) {
    let printed = '';
    const io = { out: (text: string) => (printed += text), err: (text: string) => (printed += text) };
    const words = command.split(' ').map((w) => (w.startsWith('examples/') ? join(root, w) : w));
    assert.equal(await run(words, io), 0);
    assert.equal(printed.replace(/^(?=.)/gm, '    '), output);
  }
});

test('docs/nlog.md names every code of an error that the sources give', () => {
  const folder = join(root, 'src/nlog');
  const codes = new Set<string>();
  for (const file of readdirSync(folder).filter((f) => f.endsWith('.ts') && !f.endsWith('.test.ts'))) {
    const text = readFileSync(join(folder, file), 'utf8');
    for (const m of text.matchAll(/(?:\.error|\.warning|new WeftError)\(\s*'([a-z-]+)'/g)) codes.add(m[1]);
  }
  assert.ok(codes.size > 20);
  for (const code of codes) if (code !== 'nlog-program') assert.ok(page.includes(`\`${code}\``), code);
});

test('the examples in examples/nlog are right', () => {
  const folder = join(root, 'examples/nlog');
  for (const file of readdirSync(folder).filter((f) => f.endsWith('.nlog')))
    assert.deepEqual(
      checkAll({ name: file, text: readFileSync(join(folder, file), 'utf8') }).report.diagnostics,
      [],
      file,
    );
});
