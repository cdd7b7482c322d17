import type { Report, Source } from './diagnostics.ts';
import { didYouMean } from './diagnostics.ts';
import { lex, type Token } from './lexer.ts';
import type { Program, Table } from './program.ts';
import { UUID, type Value } from './types.ts';

/*
 * Rows as text, for the command line and for tests: what a program's facts look like.
 *
 *     log_port("vm1", "web");      # comes
 *     -log_port("vm2", "web");     # goes
 *     commit;                      # ends a transaction; the end of the file does, too
 */

export interface TextChange {
  readonly table: string;
  readonly row: readonly Value[];
  readonly insert: boolean;
}

/** The transactions of a text. Mistakes go to the report. */
export function parseChanges(source: Source, program: Program, report: Report): TextChange[][] {
  const reader = new Reader(source, program, report);
  const transactions: TextChange[][] = [[]];
  while (!reader.atEnd) {
    if (reader.commit()) {
      transactions.push([]);
      continue;
    }
    const insert = !reader.take('-');
    const found = reader.row(false);
    if (found !== undefined && reader.expect(';')) {
      if (found.table.kind === 'input')
        transactions[transactions.length - 1].push({
          table: found.table.name,
          row: found.row as Value[],
          insert,
        });
      else
        report.error(
          'no-input',
          found.span,
          `"${found.table.name}" is no input table`,
          'give the inputs that its rows are derived from',
        );
    } else reader.skip();
  }
  return transactions.filter((t) => t.length > 0);
}

/** `table(value, _, ...)`; `undefined` where the text has `_`. */
export function parsePattern(
  source: Source,
  program: Program,
  report: Report,
): { table: string; pattern: (Value | undefined)[] } | undefined {
  const reader = new Reader(source, program, report);
  const found = reader.row(true);
  if (found === undefined) return undefined;
  reader.take(';');
  if (!reader.atEnd) {
    report.error('syntax', reader.here, 'more than one row', 'give one: table(value, _, ...)');
    return undefined;
  }
  return { table: found.table.name, pattern: found.row };
}

class Reader {
  readonly #program: Program;
  readonly #report: Report;
  readonly #tokens: readonly Token[];
  #at = 0;

  constructor(source: Source, program: Program, report: Report) {
    this.#program = program;
    this.#report = report;
    this.#tokens = lex(source, report);
  }

  get here(): Token {
    return this.#tokens[this.#at];
  }

  get atEnd(): boolean {
    return this.here.kind === 'end';
  }

  take(text: string): boolean {
    if (this.here.kind !== 'punct' || this.here.text !== text) return false;
    this.#at++;
    return true;
  }

  expect(text: string): boolean {
    if (this.take(text)) return true;
    this.#report.error('syntax', this.here, `expected "${text}"`, 'a row is written table(value, ...);');
    return false;
  }

  commit(): boolean {
    const next = this.#tokens[this.#at + 1];
    if (this.here.text !== 'commit' || next === undefined || next.text !== ';') return false;
    this.#at += 2;
    return true;
  }

  skip(): void {
    while (!this.atEnd && !this.take(';')) this.#at++;
  }

  row(pattern: boolean): { table: Table; row: (Value | undefined)[]; span: Token } | undefined {
    const span = this.here;
    if (span.kind !== 'name') {
      this.#report.error(
        'syntax',
        span,
        'expected the name of a table',
        'a row is written table(value, ...);',
      );
      return undefined;
    }
    const table = this.#program.tables.find((t) => t.name === span.text && t.kind !== 'helper');
    if (table === undefined) {
      const names = this.#program.tables.filter((t) => t.kind !== 'helper').map((t) => t.name);
      this.#report.error(
        'unknown-table',
        span,
        `"${span.text}" is not declared`,
        didYouMean(span.text, names, 'name a table of the program'),
      );
      return undefined;
    }
    this.#at++;
    if (!this.expect('(')) return undefined;
    const row: (Value | undefined)[] = [];
    while (!this.take(')')) {
      if (row.length > 0 && !this.expect(',')) return undefined;
      const column = table.columns[row.length];
      if (column === undefined) {
        this.#report.error(
          'arity',
          span,
          `"${table.name}" has ${table.columns.length} columns`,
          `they are (${table.columns.map((c) => c.name).join(', ')})`,
        );
        return undefined;
      }
      const token = this.here;
      if (pattern && token.kind === 'name' && token.text.startsWith('_')) {
        this.#at++;
        row.push(undefined);
        continue;
      }
      const value = this.#value(column.type);
      if (value === undefined) {
        this.#report.error(
          'type',
          token,
          `column "${column.name}" of "${table.name}" is ${column.type}`,
          `write a value of the type ${column.type}`,
        );
        return undefined;
      }
      row.push(value);
    }
    if (row.length === table.columns.length) return { table, row, span };
    this.#report.error(
      'arity',
      span,
      `"${table.name}" has ${table.columns.length} columns, not ${row.length}`,
      `they are (${table.columns.map((c) => c.name).join(', ')})`,
    );
    return undefined;
  }

  #value(type: string): Value | undefined {
    const negative = (type === 'int' || type === 'bigint') && this.take('-');
    const { kind, text } = this.here;
    this.#at = Math.min(this.#at + 1, this.#tokens.length - 1);
    switch (type) {
      case 'int': {
        const n = Number(text) * (negative ? -1 : 1);
        return kind === 'int' && Number.isSafeInteger(n) ? (n === 0 ? 0 : n) : undefined;
      }
      case 'bigint':
        return kind === 'int' || kind === 'bigint' ? (negative ? -BigInt(text) : BigInt(text)) : undefined;
      case 'string':
        return kind === 'string' ? text : undefined;
      case 'uuid':
        return kind === 'string' && UUID.test(text.toLowerCase()) ? text.toLowerCase() : undefined;
      case 'bool':
        return kind === 'name' && (text === 'true' || text === 'false') ? text === 'true' : undefined;
      default:
        return undefined;
    }
  }
}
