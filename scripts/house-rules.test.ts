import assert from 'node:assert/strict';
import { test } from 'node:test';
import { blankComments, checkSource, checkText, checkTsconfig, layerOf } from './house-rules.ts';
import { LAYERS } from './layers.ts';

const messages = (file: string, source: string): string[] =>
  checkSource(file, source).map((v) => `${v.line}: ${v.message}`);

test('a layer may import what the table lists, and itself', () => {
  assert.deepEqual(messages('src/flow/x.ts', "import { a } from '../wire/udp.ts';\nimport './y.ts';\n"), []);
});

test('an import against the table is found, with its line', () => {
  const [first, ...rest] = messages('src/wire/udp.ts', "\nimport {\n  a,\n} from '../flow/key.ts';\n");
  assert.match(first!, /^1: layer "wire" may not import layer "flow"/);
  assert.deepEqual(rest, []);
  assert.match(
    messages('src/wire/udp.ts', "const m = await import('../switch/a.ts');")[0]!,
    /may not import layer "switch"/,
  );
  assert.match(
    messages('src/wire/udp.ts', "new Worker(new URL('../sys/w.ts', import.meta.url));")[0]!,
    /layer "sys"/,
  );
  assert.match(messages('src/wire/a/b.ts', "export * from '../../flow/key.ts';")[0]!, /layer "flow"/);
});

test('extensions, foreign packages, I/O and the clock', () => {
  assert.match(messages('src/bin/x.ts', "import { a } from './y.js';")[0]!, /without its extension/);
  assert.match(messages('src/bin/x.ts', "import _ from 'lodash';")[0]!, /not a dependency/);
  assert.match(messages('src/datapath/x.ts', "import koffi from 'koffi';")[0]!, /src\/sys/);
  assert.match(messages('src/wire/x.ts', "import fs from 'node:fs';")[0]!, /does no I\/O/);
  assert.match(messages('src/switch/x.ts', 'const t = Date.now();')[0]!, /take a Clock/);
  assert.deepEqual(
    messages('src/wire/x.test.ts', "import fs from 'node:fs';\nimport fc from 'fast-check';"),
    [],
  );
});

test('what is for tests only stays there', () => {
  assert.deepEqual(messages('src/flow/arbitraries.ts', "import fc from 'fast-check';"), []);
  assert.match(messages('src/flow/key.ts', "import fc from 'fast-check';")[0], /not a dependency/);
  assert.match(messages('src/flow/key.ts', "import { a } from './arbitraries.ts';")[0], /for tests only/);
  assert.deepEqual(messages('src/flow/key.test.ts', "import { a } from './arbitraries.ts';"), []);
  assert.deepEqual(messages('src/flow/x.test.ts', `const s = \`import('$\{new URL('./x.ts', u)}')\`;`), []);
});

test('comments are no code', () => {
  assert.deepEqual(
    messages('src/wire/x.ts', "// import a from '../flow/a.ts'\n/* Date.now() */ const s = 'http://x';\n"),
    [],
  );
  assert.equal(blankComments("a // b\n'// c' /* d\n */ e"), "a     \n'// c'     \n    e");
});

test('texts that no file may contain', () => {
  assert.equal(checkText('docs/a.md', 'see /ho' + 'me/me/x').length, 1);
  assert.equal(checkText('docs/a.md', 'etc/home/x and a/work/b').length, 0);
  assert.equal(checkText('src/a.ts', `// ${'TO'}DO later`).length, 1);
});

test('tsconfig references follow the table', () => {
  const config = (layers: readonly string[]): string =>
    JSON.stringify({ references: layers.map((l) => ({ path: `../${l}` })) });
  assert.deepEqual(checkTsconfig('flow', config(LAYERS.flow!)), []);
  assert.equal(checkTsconfig('flow', config(['base'])).length, 1);
});

test('layers are known by path', () => {
  assert.equal(layerOf('src/wire/udp.ts'), 'wire');
  assert.equal(layerOf('src/nowhere/udp.ts'), undefined);
  assert.equal(layerOf('test/wire/udp.ts'), undefined);
});

test('the layer table has no cycle', () => {
  const done = new Set<string>();
  const visit = (layer: string, path: readonly string[]): void => {
    assert.ok(!path.includes(layer), `cycle: ${[...path, layer].join(' -> ')}`);
    if (done.has(layer)) return;
    for (const next of LAYERS[layer]!) visit(next, [...path, layer]);
    done.add(layer);
  };
  for (const layer of Object.keys(LAYERS)) visit(layer, []);
});
