import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { STAGES, stageTable } from './layout.ts';

test('the page on pipelines names every stage with its table, and no other', () => {
  const page = readFileSync(new URL('../../docs/logical-pipelines.md', import.meta.url), 'utf8');
  const rows = [...page.matchAll(/^\| (\d+) \| `(l[sr]-[a-z-]+)` \|/gm)].map(
    ([, table, stage]) => `${table} ${stage}`,
  );
  assert.deepEqual(
    rows,
    STAGES.map((stage) => `${stageTable(stage)} ${stage}`),
  );
});
