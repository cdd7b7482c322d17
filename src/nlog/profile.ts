import { where } from './diagnostics.ts';
import type { Engine } from './engine.ts';

export interface RuleProfile {
  readonly head: string;
  /** Where the rule stands. */
  readonly rule: string;
  /** Changed rows that were given to the rule. */
  readonly rowsIn: number;
  /** Derivations that it found, added or taken. */
  readonly rowsOut: number;
  /** Milliseconds, if the engine was given a clock. */
  readonly time: number;
}

export interface TableProfile {
  readonly table: string;
  readonly kind: string;
  readonly rows: number;
  /** Of records, indexes and hashes. */
  readonly bytes: number;
  /** Columns of each index that some rule needs. */
  readonly indexes: readonly string[];
}

export interface Profile {
  readonly rules: readonly RuleProfile[];
  readonly tables: readonly TableProfile[];
  /** Bytes of interned values. */
  readonly valueBytes: number;
  readonly totalBytes: number;
}

/** What each rule has done since the engine was made, and what each table takes now. */
export function profile(engine: Engine): Profile {
  const { schedule, values } = engine.parts;
  return {
    rules: [...schedule.stats].map(([rule, s]) => ({
      head: rule.head.name,
      rule: where(rule.span),
      rowsIn: s.rowsIn,
      rowsOut: s.derivations,
      time: s.time,
    })),
    tables: [...schedule.relations].map(([t, r]) => ({
      table: t.name,
      kind: t.kind,
      rows: r.visible,
      bytes: r.bytes,
      indexes: r.layout.indexes.map((columns) => columns.map((c) => t.columns[c].name).join(', ')),
    })),
    valueBytes: values.bytes,
    totalBytes: engine.bytes,
  };
}

/** Two tables of text: the rules that worked most first, the tables that take most first. */
export function formatProfile(p: Profile): string {
  const rules = [...p.rules].sort(
    (a, b) => b.time - a.time || b.rowsOut - a.rowsOut || (a.rule < b.rule ? -1 : 1),
  );
  const tables = [...p.tables].sort((a, b) => b.bytes - a.bytes || (a.table < b.table ? -1 : 1));
  return [
    ...columns([
      ['rule', 'head', 'rows in', 'rows out', 'ms'],
      ...rules.map((r) => [r.rule, r.head, String(r.rowsIn), String(r.rowsOut), r.time.toFixed(1)]),
    ]),
    '',
    ...columns([
      ['table', 'kind', 'rows', 'bytes', 'indexes'],
      ...tables.map((t) => [
        t.table,
        t.kind,
        String(t.rows),
        String(t.bytes),
        t.indexes.map((i) => `(${i})`).join(' '),
      ]),
    ]),
    '',
    `values: ${p.valueBytes} bytes; in all: ${p.totalBytes} bytes`,
  ].join('\n');
}

function columns(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0].map((_, i) => Math.max(...rows.map((r) => r[i].length)));
  return rows.map((r) =>
    r
      .map((c, i) => (/^[0-9.]+$/.test(c) ? c.padStart(widths[i]) : c.padEnd(widths[i])))
      .join('  ')
      .trimEnd(),
  );
}
