import type { Report } from './diagnostics.ts';
import { entryOf } from './maps.ts';
import type { Aggregate, Rule, Table } from './program.ts';

/** What is not wrong but probably not meant: tables and columns that nothing reads or writes. */
export function warnings(
  program: {
    readonly tables: readonly Table[];
    readonly rules: readonly Rule[];
    readonly aggregates: readonly Aggregate[];
  },
  report: Report,
): void {
  const read = new Map<Table, Set<number>>();
  const written = new Set<Table>();
  const readers = new Set<Table>();
  for (const rule of program.rules) {
    written.add(rule.head);
    for (const l of rule.body) {
      if (l.kind !== 'atom') continue;
      readers.add(l.table);
      const columns = entryOf(read, l.table, () => new Set<number>());
      l.args.forEach((a, i) => {
        if (a.kind !== 'any') columns.add(i);
      });
    }
  }
  for (const a of program.aggregates) {
    written.add(a.head);
    if (a.op === 'sum' && a.source.columns.length === a.groups + 1)
      report.warning(
        'sum',
        a.span,
        'sum(x) adds each distinct x of a group once',
        'name what makes an occurrence distinct: sum(x, id)',
      );
  }
  for (const t of program.tables) {
    if (t.kind === 'helper') continue;
    if (t.kind !== 'input' && !written.has(t))
      report.warning(
        'never-derived',
        t.span,
        `no rule derives rows of "${t.name}"`,
        'write a rule, or remove the table',
      );
    if (t.kind === 'output') continue;
    if (!readers.has(t))
      report.warning(
        'never-read',
        t.span,
        `no rule reads "${t.name}"`,
        t.kind === 'table' ? 'remove it, or declare it as output' : 'remove it',
      );
    else
      t.columns.forEach((c, i) => {
        if (!read.get(t)!.has(i) && !t.key.includes(i) && t.kind === 'table')
          report.warning(
            'unused-column',
            t.span,
            `no rule reads the column "${c.name}" of "${t.name}"`,
            'remove the column',
          );
      });
  }
}
