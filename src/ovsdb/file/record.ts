/**
 * What one record of a database file says: the rows that a transaction changed, by table and uuid.
 * A row that is gone is null. A new row has its columns that are not default; a changed row has its
 * changed columns, as differences where the record says `"_is_diff": true` (ovsdb(5), "Database
 * Serialization"). Columns that are not persistent are left out.
 */
import { parseUuid } from '../data/atom.ts';
import { type Datum, datumFromJson, datumToJson, isDefaultDatum, relaxedCount } from '../data/datum.ts';
import { applyDiff, diffDatums } from '../data/diff.ts';
import type { Database } from '../engine/database.ts';
import type { Table } from '../engine/table.ts';
import { type CommittedChange, Transaction } from '../engine/transaction.ts';
import { OvsdbError, syntaxError } from '../error.ts';
import { asInteger, isJsonObject, type Json, type JsonObject } from '../json.ts';
import { UUID_COLUMN } from '../schema/schema.ts';

type Writable = { [name: string]: Json };

export interface RecordOptions {
  readonly comment: string | null;
  /** Milliseconds since the Unix epoch. */
  readonly date: number;
  /** Write differences rather than whole columns. */
  readonly diffs: boolean;
}

/** The record of a transaction, or null if nothing persistent changed. */
export function recordOf(changes: readonly CommittedChange[], options: RecordOptions): JsonObject | null {
  // A difference may have more elements than the column may hold, and then no reader takes it.
  const diffs = options.diffs && changes.every(diffsFit);
  const record: Writable = {};
  let empty = true;
  for (const change of changes) {
    const row = rowRecord(change, diffs);
    if (row === undefined) continue;
    empty = false;
    const tableName = change.table.name;
    let rows = record[tableName] as Writable | undefined;
    if (rows === undefined) {
      rows = {};
      record[tableName] = rows;
    }
    rows[change.uuid] = row;
  }
  return empty ? null : annotate(record, { ...options, diffs });
}

function annotate(record: Writable, { comment, date, diffs }: RecordOptions): JsonObject {
  if (comment !== null) record._comment = comment;
  if (diffs) record._is_diff = true;
  record._date = Math.floor(date);
  return record;
}

function diffsFit({ table, old, now, columns }: CommittedChange): boolean {
  if (old === null || now === null) return true;
  return table.schema.list.every(
    ({ index, type, persistent }) =>
      !persistent || !columns[index] || diffDatums(old[index], now[index], type).n <= type.max,
  );
}

function rowRecord({ table, old, now, columns }: CommittedChange, diffs: boolean): Json | undefined {
  if (now === null) return null;
  const row: Writable = {};
  let empty = true;
  for (const { index, name, type, persistent } of table.schema.list) {
    if (index === UUID_COLUMN || !persistent) continue;
    if (old === null ? isDefaultDatum(now[index], type) : !columns[index]) continue;
    const datum = old !== null && diffs ? diffDatums(old[index], now[index], type) : now[index];
    row[name] = datumToJson(datum, type);
    empty = false;
  }
  return old !== null && empty ? undefined : row;
}

/** One record that holds the whole database. */
export function snapshotOf(db: Database, options: RecordOptions): JsonObject {
  const record: Writable = {};
  for (const table of db.tables.values()) {
    if (table.rows.size === 0) continue;
    const rows: Writable = {};
    for (const row of table.rows.values()) {
      rows[row.uuid] = rowRecord(
        { table, uuid: row.uuid, old: null, now: row.fields, columns: [] },
        false,
      ) as JsonObject;
    }
    record[table.name] = rows;
  }
  return annotate(record, options);
}

/**
 * Applies a record to the database as one transaction, without writing it anywhere. Throws
 * `OvsdbError`, and changes nothing, if the record does not fit. With `lenient`, tables and columns
 * that the schema lacks are passed over, as conversion needs it.
 */
export function applyRecord(db: Database, record: Json, lenient = false): void {
  if (!isJsonObject(record)) throw syntaxError(record, 'object expected');
  const transaction = new Transaction(db);
  try {
    const diffs = Object.hasOwn(record, '_is_diff') && record._is_diff === true;
    for (const [name, rows] of Object.entries(record)) {
      const table = db.tables.get(name);
      if (table !== undefined) {
        applyTable(transaction, table, rows, diffs, lenient);
        continue;
      }
      const known =
        name === '_comment' ||
        (name === '_date' && asInteger(rows) !== undefined) ||
        (name === '_is_diff' && typeof rows === 'boolean');
      if (!known && !lenient) throw syntaxError(record, `No table named ${name}.`, 'unknown table');
    }
  } catch (error) {
    transaction.abort();
    throw error;
  }
  transaction.commit({ record: () => null });
}

function applyTable(
  transaction: Transaction,
  table: Table,
  rows: Json,
  diffs: boolean,
  lenient: boolean,
): void {
  if (!isJsonObject(rows)) throw syntaxError(rows, 'object expected');
  for (const [uuidText, json] of Object.entries(rows)) {
    const uuid = parseUuid(uuidText);
    if (uuid === undefined) throw syntaxError(rows, `"${uuidText}" is not a valid UUID`);
    const row = table.rows.get(uuid);
    if (json === null) {
      if (row === undefined)
        throw syntaxError(undefined, `transaction deletes row ${uuid} that does not exist`);
      transaction.delete(row);
    } else if (row !== undefined) {
      assignColumns(table, transaction.modify(row).fields, json, diffs, lenient);
    } else {
      const added = table.newRow(uuid, transaction.db.newUuid());
      assignColumns(table, added.fields, json, diffs, lenient);
      transaction.insert(added);
    }
  }
}

function assignColumns(table: Table, fields: Datum[], json: Json, diffs: boolean, lenient: boolean): void {
  if (!isJsonObject(json)) throw syntaxError(json, 'row must be JSON object');
  for (const [name, value] of Object.entries(json)) {
    const column = table.schema.columns.get(name);
    if (column === undefined) {
      if (lenient) continue;
      throw syntaxError(json, `No column ${name} in table ${table.name}.`, 'unknown column');
    }
    const { index, type } = column;
    const current = fields[index];
    fields[index] =
      diffs && !isDefaultDatum(current, type)
        ? applyDiff(current, datumFromJson(relaxedCount(type), value), type)
        : datumFromJson(type, value);
  }
}

/**
 * Copies all rows of `from` into the empty database `to`, which has another schema: tables and columns
 * that `to` lacks are dropped, those that it has besides get their defaults. Throws `OvsdbError` if
 * the rows do not fit.
 */
export function convertDatabase(from: Database, to: Database): void {
  const transaction = new Transaction(to);
  try {
    for (const source of from.tables.values()) {
      const target = to.tables.get(source.name);
      if (target === undefined) continue;
      for (const row of source.rows.values()) {
        const copy = target.newRow(row.uuid, to.newUuid());
        for (const column of source.schema.list.slice(2)) {
          const into = target.schema.columns.get(column.name);
          if (into === undefined) continue;
          const json = datumToJson(row.fields[column.index], column.type);
          try {
            copy.fields[into.index] = datumFromJson(into.type, asKind(json, into.type.value !== null));
          } catch (error) {
            throw error instanceof OvsdbError
              ? error.wrap(
                  `column ${column.name} of table ${source.name} row ${row.uuid} does not fit the new schema`,
                )
              : error;
          }
        }
        transaction.insert(copy);
      }
    }
  } catch (error) {
    transaction.abort();
    throw error;
  }
  transaction.commit({ record: () => null });
}

/** The empty set and the empty map are the same value of columns whose kind changes. */
function asKind(json: Json, map: boolean): Json {
  if (!Array.isArray(json) || !Array.isArray(json[1]) || json[1].length > 0) return json;
  return [map ? 'map' : 'set', []];
}
