/**
 * What people call a row: by the column that tells it from the others, or by the first letters of its uuid where
 * there is none.
 */
import { WeftError } from '../../base/errors.ts';
import {
  type Column,
  type DatabaseSchema,
  type TableSchema,
  UUID_COLUMN,
} from '../../ovsdb/schema/schema.ts';
import { type Fields, NO_ROWS, type Snapshot } from './snapshot.ts';

const SHORT_UUID = 8;
/** So many letters of a uuid name a row. */
const LEAST_UUID = 4;
/** Columns that name a row although no index says so. */
const NAMING = ['name', 'target', 'hostname', 'ip', 'type'];

const isText = (column: Column | undefined): column is Column =>
  column !== undefined &&
  column.type.value === null &&
  column.type.max === 1 &&
  column.type.key.type === 'string';

/** The column that names the rows of a table; undefined where none does. */
export function labelColumn(table: TableSchema): Column | undefined {
  const name = table.columns.get('name');
  if (isText(name)) return name;
  const indexed = table.indexes.find((index) => index.length === 1 && isText(index[0]))?.[0];
  return indexed ?? NAMING.map((column) => table.columns.get(column)).find(isText);
}

/** A row's name. */
export function labelOf(table: TableSchema, uuid: string, fields: Fields | undefined): string {
  const column = labelColumn(table);
  const text = column === undefined ? undefined : fields?.[column.index]?.keys[0];
  return typeof text === 'string' && text !== '' ? text : uuid.slice(0, SHORT_UUID);
}

/** A row as it was before something happened to it; undefined where it was not there. */
interface Past {
  readonly uuid: string;
  readonly before: Fields | undefined;
}

/** Names of rows, for references to them. */
export class Labels {
  readonly #snapshot: Snapshot;
  readonly #past: ReadonlyMap<string, Fields | undefined>;

  /** `past`: the names are those from before these changes. */
  constructor(snapshot: Snapshot, past: readonly Past[] = []) {
    this.#snapshot = snapshot;
    this.#past = new Map(past.map(({ uuid, before }) => [uuid, before]));
  }

  of(tableName: string, uuid: string): string {
    const table = this.#snapshot.schema.tables.get(tableName);
    if (table === undefined) return uuid.slice(0, SHORT_UUID);
    return labelOf(table, uuid, this.#past.get(uuid) ?? this.#snapshot.tables.get(tableName)?.get(uuid));
  }
}

/** The rows that somebody named, by name or by the first letters of their uuids. Throws `WeftError` "no-such-row". */
export function findRows(snapshot: Snapshot, table: TableSchema, words: readonly string[]): string[] {
  const rows = snapshot.tables.get(table.name) ?? NO_ROWS;
  if (words.length === 0) return [...rows.keys()];
  return words.flatMap((word) => {
    const named = [...rows].filter(([uuid, fields]) => labelOf(table, uuid, fields) === word);
    const low = word.toLowerCase();
    const found =
      named.length > 0 || low.length < LEAST_UUID
        ? named
        : [...rows].filter(([uuid]) => uuid.startsWith(low));
    if (found.length > 0) return found.map(([uuid]) => uuid);
    throw new WeftError('no-such-row', `table ${table.name} has no row "${word}"`, {
      remedy: `"weft db list ${table.name}" lists them`,
    });
  });
}

/** The columns that tell the names of these tables' rows, and of the rows that `columns` refer to, by table. */
export function namingColumns(
  schema: DatabaseSchema,
  tables: Iterable<TableSchema>,
  columns: Iterable<Column>,
): Map<string, readonly Column[]> {
  const named = new Set(tables);
  for (const { type } of columns) {
    for (const target of [type.key.refTable, type.value?.refTable]) {
      const table = schema.tables.get(target ?? '');
      if (table !== undefined) named.add(table);
    }
  }
  return new Map([...named].map((table) => [table.name, [labelColumn(table) ?? table.list[UUID_COLUMN]]]));
}
