/**
 * Turns results of the upstream suite into the table of docs/compatibility.md.
 *
 *     node scripts/exam-table.ts RESULTS.tsv                       prints the table
 *     node scripts/exam-table.ts RESULTS.tsv docs/compatibility.md writes it between the page's two marks
 *
 * RESULTS.tsv has one line a test: number, FILE:LINE, "ok" or why not, title, separated by tabs.
 */
import { readFileSync, writeFileSync } from 'node:fs';

export interface ExamResult {
  /** File of the suite, "ofproto-dpif.at". */
  readonly file: string;
  readonly place: string;
  readonly passed: boolean;
  readonly skipped: boolean;
  readonly title: string;
}

const BEGIN = '<!-- exam: begin -->';
const END = '<!-- exam: end -->';

/** Reads results; a later line about the same test replaces an earlier one. */
export function parseResults(text: string): ExamResult[] {
  const byPlace = new Map<string, ExamResult>();
  for (const [i, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue;
    const [number, place, result, title] = line.split('\t');
    if (!/^\d+$/.test(number) || place === undefined || result === undefined || title === undefined)
      throw new Error(`line ${i + 1}: not "number FILE:LINE result title": ${line}`);
    const file = place.replace(/:\d+$/, '');
    const skipped = result.startsWith('skipped');
    byPlace.set(`${place} ${title}`, { file, place, passed: result === 'ok', skipped, title });
  }
  return [...byPlace.values()];
}

/** The table, and the list of what does not pass. */
export function formatTable(results: readonly ExamResult[]): string {
  const counted = results.filter((r) => !r.skipped);
  const files = [...new Set(counted.map((r) => r.file))].sort();
  const row = (name: string, of: readonly ExamResult[]): string =>
    `| ${name} | ${of.filter((r) => r.passed).length} | ${of.length} |`;
  const rows = files.map((file) =>
    row(
      `\`${file}\``,
      counted.filter((r) => r.file === file),
    ),
  );
  const failed = counted.filter((r) => !r.passed);
  const list = failed.map(({ place, title }) => `- \`${place}\` ${title.replaceAll('|', '\\|')}`);
  return [
    '| file of the suite | pass | of |',
    '|---|---:|---:|',
    ...rows,
    row('**all**', counted),
    '',
    ...(failed.length === 0 ? ['Nothing of it fails.'] : ['What does not pass:', '', ...list]),
  ].join('\n');
}

/** Puts `table` between the two marks of a page. */
export function replaceTable(page: string, table: string): string {
  const begin = page.indexOf(BEGIN);
  const end = page.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`the page has no "${BEGIN}" with "${END}" behind it`);
  return `${page.slice(0, begin + BEGIN.length)}\n\n${table}\n\n${page.slice(end)}`;
}

if (import.meta.main) {
  const [results, page] = process.argv.slice(2);
  if (results === undefined) {
    console.error('usage: node scripts/exam-table.ts RESULTS.tsv [PAGE.md]');
    process.exit(2);
  }
  const table = formatTable(parseResults(readFileSync(results, 'utf8')));
  if (page === undefined) console.log(table);
  else writeFileSync(page, replaceTable(readFileSync(page, 'utf8'), table));
}
