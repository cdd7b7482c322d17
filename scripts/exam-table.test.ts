import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatTable, parseResults, replaceTable } from './exam-table.ts';

const RESULTS = [
  '7\ta.at:1\tok\tfirst',
  '8\ta.at:9\tFAILED (a.at:12)\tsecond | thing',
  '9\tb.at:3\tskipped (b.at:4)\tthird',
  '10\tb.at:5\tFAILED (b.at:6)\tfourth',
  '10\tb.at:5\tok\tfourth',
  '',
].join('\n');

test('the table counts what ran, file by file, and lists what failed', () => {
  assert.equal(
    formatTable(parseResults(RESULTS)),
    [
      '| file of the suite | pass | of |',
      '|---|---:|---:|',
      '| `a.at` | 1 | 2 |',
      '| `b.at` | 1 | 1 |',
      '| **all** | 2 | 3 |',
      '',
      'What does not pass:',
      '',
      '- `a.at:9` second \\| thing',
    ].join('\n'),
  );
  assert.throws(() => parseResults('7 a.at:1 ok first'), /line 1: not "number FILE:LINE result title"/);
});

test('the table goes between the marks of a page, again and again', () => {
  const page = 'a\n<!-- exam: begin -->\nold\n<!-- exam: end -->\nb\n';
  const once = replaceTable(page, 'new');
  assert.equal(once, 'a\n<!-- exam: begin -->\n\nnew\n\n<!-- exam: end -->\nb\n');
  assert.equal(replaceTable(once, 'new'), once);
  assert.throws(() => replaceTable('a', 'new'), /the page has no "<!-- exam: begin -->"/);
});
