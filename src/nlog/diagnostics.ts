import { WeftError } from '../base/errors.ts';

/** One source text, with the name under which messages speak of it. */
export interface Source {
  readonly name: string;
  readonly text: string;
}

/** A stretch of source: `offset` to `end` (exclusive), in UTF-16 units. */
export interface Span {
  readonly source: Source;
  readonly offset: number;
  readonly end: number;
}

export type Severity = 'error' | 'warning';

/** One thing that is wrong with a program: a stable code, what, where, and what to do. */
export interface Diagnostic {
  readonly severity: Severity;
  /** Kebab-case, documented in `docs/nlog.md`. */
  readonly code: string;
  readonly message: string;
  readonly span: Span;
  /** What to do about it. */
  readonly advice: string;
}

/** Line and column of an offset, both from 1; a column counts UTF-16 units. */
export function position(source: Source, offset: number): { line: number; column: number } {
  let line = 1;
  let start = 0;
  for (let i = source.text.indexOf('\n'); i >= 0 && i < offset; i = source.text.indexOf('\n', i + 1)) {
    line++;
    start = i + 1;
  }
  return { line, column: offset - start + 1 };
}

/** `file:line:column`, as editors understand it. */
export function where(span: Span): string {
  const { line, column } = position(span.source, span.offset);
  return `${span.source.name}:${line}:${column}`;
}

/**
 * A diagnostic as people read it:
 *
 *     tunnels.nlog:7:12: error: table "log_prt" is not declared [unknown-table]
 *       log_prt(port, dp),
 *       ^~~~~~~
 *       did you mean "log_port"?
 */
export function formatDiagnostic(d: Diagnostic): string {
  const { line, column } = position(d.span.source, d.span.offset);
  const text = (d.span.source.text.split('\n')[line - 1] ?? '').replace(/\r$/, '');
  const width = Math.max(1, Math.min(d.span.end - d.span.offset, text.length - column + 1));
  // Tabs are kept in the line of the caret, so that it stands under its text in any editor.
  const indent = text.slice(0, column - 1).replace(/[^\t]/g, ' ');
  const caret = `^${'~'.repeat(width - 1)}`;
  const advice = d.advice === '' ? '' : `\n  ${d.advice}`;
  return `${d.span.source.name}:${line}:${column}: ${d.severity}: ${d.message} [${d.code}]\n  ${text}\n  ${indent}${caret}${advice}`;
}

/** Thrown when a program has errors. The message is all of them, formatted. */
export class NlogProgramError extends WeftError {
  readonly diagnostics: readonly Diagnostic[];

  constructor(diagnostics: readonly Diagnostic[]) {
    super('nlog-program', diagnostics.map(formatDiagnostic).join('\n'), {
      remedy: 'correct the program at the places named',
    });
    this.name = 'NlogProgramError';
    this.diagnostics = diagnostics;
  }
}

/** Collects diagnostics; a program is wrong when one of them is an error. */
export class Report {
  readonly diagnostics: Diagnostic[] = [];

  error(code: string, span: Span, message: string, advice = ''): void {
    this.#add({ severity: 'error', code, span, message, advice });
  }

  warning(code: string, span: Span, message: string, advice = ''): void {
    this.#add({ severity: 'warning', code, span, message, advice });
  }

  get failed(): boolean {
    return this.diagnostics.some((d) => d.severity === 'error');
  }

  throwIfFailed(): void {
    if (this.failed) throw new NlogProgramError(this.diagnostics.filter((d) => d.severity === 'error'));
  }

  /** Brings what was found in several passes into the order of the text, file by file. */
  sort(): void {
    const files = [...new Set(this.diagnostics.map((d) => d.span.source))];
    this.diagnostics.sort(
      (a, b) => files.indexOf(a.span.source) - files.indexOf(b.span.source) || a.span.offset - b.span.offset,
    );
  }

  /** The same mistake at the same place is told once. */
  #add(d: Diagnostic): void {
    const same = (o: Diagnostic): boolean =>
      o.code === d.code && o.span.source === d.span.source && o.span.offset === d.span.offset;
    if (!this.diagnostics.some(same)) this.diagnostics.push(d);
  }
}

/** The candidate nearest to `name` by edit distance, if it is near enough to be meant. */
export function nearest(name: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(name.length / 3)) + 1;
  for (const candidate of candidates) {
    const d = editDistance(name.toLowerCase(), candidate.toLowerCase(), bestDistance);
    if (d < bestDistance || (d === bestDistance && best !== undefined && candidate < best)) {
      best = candidate;
      bestDistance = d;
    }
  }
  return best;
}

/** `did you mean "x"?`, or the fallback where nothing is near. */
export function didYouMean(name: string, candidates: Iterable<string>, otherwise: string): string {
  const near = nearest(name, candidates);
  return near === undefined ? otherwise : `did you mean "${near}"?`;
}

/** Levenshtein distance, where two exchanged neighbours count one; gives up beyond `limit`. */
function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) > limit) return Number.POSITIVE_INFINITY;
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      next[j] = Math.min(row[j] + 1, next[j - 1] + 1, change);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        next[j] = Math.min(next[j], before[j - 2] + 1);
    }
    before = row;
    row = next;
  }
  return row[b.length];
}
