import { type Datum, datumKey, datumToJson, defaultDatum, scalar } from '../data/datum.ts';
import type { Json, JsonObject } from '../json.ts';
import {
  type Column,
  isStrongRef,
  isWeakRef,
  type TableSchema,
  UUID_COLUMN,
  VERSION_COLUMN,
} from '../schema/schema.ts';
import type { ChangedRow } from './transaction.ts';

/** The values of one row by column position. Not changed once its transaction has committed. */
export type Fields = readonly Datum[];

/**
 * One version of one row. A transaction that changes a row makes a new `Row`, puts it into the table in
 * place of the old one and keeps the old one aside, so that aborting puts it back.
 */
export class Row {
  readonly table: Table;
  readonly uuid: string;
  readonly fields: Datum[];
  /** Strong references from other rows, as of the last commit. */
  refs = 0;
  /** The transaction's record of this row while one is in progress that changed it. */
  pending: ChangedRow | null = null;

  constructor(table: Table, uuid: string, fields: Datum[]) {
    this.table = table;
    this.uuid = uuid;
    this.fields = fields;
  }
}

/**
 * One table: rows by uuid, unique indexes, and for each row that weak references point at, the rows
 * that hold them. Indexes and weak references show the last committed state only.
 */
export class Table {
  readonly schema: TableSchema;
  readonly rows = new Map<string, Row>();
  /** One for each index of the schema, by `indexKey`. */
  readonly indexes: readonly Map<string, Row>[];
  /** Target uuid -> "table uuid" of the holder -> number of columns and elements that point there. */
  readonly weakHolders = new Map<string, Map<Table, Map<string, number>>>();
  readonly strongColumns: readonly Column[];
  readonly weakColumns: readonly Column[];
  readonly defaults: Fields;
  /** Rows changed by the transaction in progress, by uuid. */
  readonly changed = new Map<string, ChangedRow>();

  constructor(schema: TableSchema) {
    this.schema = schema;
    this.indexes = schema.indexes.map(() => new Map());
    this.strongColumns = schema.list.filter((c) => isStrongRef(c.type.key) || isStrongRef(c.type.value));
    this.weakColumns = schema.list.filter((c) => isWeakRef(c.type.key) || isWeakRef(c.type.value));
    this.defaults = schema.list.map((c) => defaultDatum(c.type));
  }

  get name(): string {
    return this.schema.name;
  }

  /** A row of defaults that is not yet in the table. */
  newRow(uuid: string, version: string): Row {
    const fields = this.defaults.slice();
    fields[UUID_COLUMN] = scalar(uuid);
    fields[VERSION_COLUMN] = scalar(version);
    return new Row(this, uuid, fields);
  }

  /** Counts one more (`delta` 1) or one less (-1) weak reference from `holder` to row `target` here. */
  adjustWeakHolder(target: string, table: Table, holder: string, delta: 1 | -1): void {
    let tables = this.weakHolders.get(target);
    if (tables === undefined) {
      if (delta < 0) return;
      tables = new Map();
      this.weakHolders.set(target, tables);
    }
    let holders = tables.get(table);
    if (holders === undefined) {
      if (delta < 0) return;
      holders = new Map();
      tables.set(table, holders);
    }
    const n = (holders.get(holder) ?? 0) + delta;
    if (n > 0) {
      holders.set(holder, n);
      return;
    }
    holders.delete(holder);
    if (holders.size === 0) tables.delete(table);
    if (tables.size === 0) this.weakHolders.delete(target);
  }
}

/** A string that two rows share exactly if they agree in all columns of the index. */
export function indexKey(fields: Fields, index: readonly Column[]): string {
  if (index.length === 1) return datumKey(fields[index[0].index]);
  let key = '';
  for (const column of index) {
    const part = datumKey(fields[column.index]);
    key += `${part.length}:${part}`;
  }
  return key;
}

export function rowToJson(fields: Fields, columns: readonly Column[]): JsonObject {
  const json: { [name: string]: Json } = {};
  for (const column of columns) json[column.name] = datumToJson(fields[column.index], column.type);
  return json;
}
