import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const root = join(import.meta.dirname, '..');
/** Codes that only tests and their fixtures use. */
const FOR_TESTS = /\.test\.ts$|\/(?:fixture|testing|conformance)\//;
const CODE = /(?:new WeftError|super)\(\s*'([a-z][a-z0-9-]+)'/g;
/** The model's errors are made by helpers that take the code first. */
const MODEL_CODE = /(?:new ModelError|problem|refusal|fail)\(\s*'([a-z][a-z0-9-]+)'/g;

const used = new Map<string, string>();
for (const file of globSync('src/**/*.ts', { cwd: root })) {
  if (FOR_TESTS.test(file)) continue;
  const text = readFileSync(join(root, file), 'utf8');
  if (text.includes('WeftError')) for (const [, code] of text.matchAll(CODE)) used.set(code, file);
  if (text.includes('ModelError')) for (const [, code] of text.matchAll(MODEL_CODE)) used.set(code, file);
}

const documented = new Set<string>();
for (const row of readFileSync(join(root, 'docs/errors.md'), 'utf8').split('\n')) {
  const first = row.split('|')[1];
  if (row.startsWith('|') && first !== undefined)
    for (const [, code] of first.matchAll(/`([a-z0-9-]+)`/g)) documented.add(code);
}

test('every error code has its row in docs/errors.md', () => {
  assert.ok(used.size > 20);
  const missing = [...used]
    .filter(([code]) => !documented.has(code))
    .map(([code, file]) => `${code} (${file})`);
  assert.deepEqual(missing, [], 'add a row to docs/errors.md');
});

test('docs/errors.md lists no code that is gone', () => {
  assert.deepEqual(
    [...documented].filter((code) => !used.has(code)),
    [],
    'take it out of docs/errors.md',
  );
});
