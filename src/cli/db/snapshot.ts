/** A database at one moment, or some tables of it, wherever it came from. */
import { WeftError } from '../../base/errors.ts';
import type { Datum } from '../../ovsdb/data/datum.ts';
import type { Column, DatabaseSchema, TableSchema } from '../../ovsdb/schema/schema.ts';
import { nearest } from '../command.ts';

/** The values of one row by column position. */
export type Fields = readonly Datum[];

/** Rows by uuid. */
export type Rows = ReadonlyMap<string, Fields>;

export interface Snapshot {
  readonly schema: DatabaseSchema;
  /** By name; tables that nobody asked for are missing. */
  readonly tables: ReadonlyMap<string, Rows>;
}

export const NO_ROWS: Rows = new Map();

/** A schema's tables by name: servers give them in any order. */
export function tablesOf({ tables }: DatabaseSchema): readonly TableSchema[] {
  return [...tables.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The only name that `word` can be: in whatever case, or its beginning. */
function meant(word: string, names: readonly string[]): string | undefined {
  if (names.includes(word)) return word;
  const low = word.toLowerCase();
  const same = names.filter((name) => name.toLowerCase() === low);
  if (same.length === 1) return same[0];
  const longer = names.filter((name) => name.toLowerCase().startsWith(low));
  return longer.length === 1 ? longer[0] : undefined;
}

function unknown(what: string, word: string, names: readonly string[], code: string): WeftError {
  const near = nearest(word, names);
  return new WeftError(code, `${what} "${word}"`, {
    remedy: near === undefined ? `there are ${names.join(', ')}` : `did you mean "${near}"?`,
  });
}

/** The table that somebody named. Throws `WeftError` "no-such-table". */
export function findTable(schema: DatabaseSchema, word: string): TableSchema {
  const names = tablesOf(schema).map(({ name }) => name);
  const table = schema.tables.get(meant(word, names) ?? '');
  if (table === undefined)
    throw unknown(`database ${schema.name} has no table`, word, names, 'no-such-table');
  return table;
}

/** The column that somebody named. Throws `WeftError` "no-such-column". */
export function findColumn(table: TableSchema, word: string): Column {
  const names = table.list.map((column) => column.name);
  const column = table.columns.get(meant(word, names) ?? '');
  if (column === undefined) throw unknown(`table ${table.name} has no column`, word, names, 'no-such-column');
  return column;
}
