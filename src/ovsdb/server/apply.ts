import { parseUuid } from '../data/atom.ts';
import { type Datum, datumFromJson, relaxedCount } from '../data/datum.ts';
import { applyDiff } from '../data/diff.ts';
import type { Database } from '../engine/database.ts';
import type { Row, Table } from '../engine/table.ts';
import { Transaction } from '../engine/transaction.ts';
import { syntaxError } from '../error.ts';
import { isJsonObject, type Json, type JsonObject, member } from '../json.ts';

export interface ApplyOptions {
  /** `rows` for the updates of `monitor`, `differences` for those of `monitor_cond` and later. */
  readonly form: 'rows' | 'differences';
  /** The updates are the whole content: delete rows that are not among them. */
  readonly replace: boolean;
  /** Tables to leave alone. */
  readonly excluded: ReadonlySet<string>;
}

/**
 * Makes a transaction of what a monitor of another server's database says, for a database that follows
 * it. Throws `OvsdbError`, and leaves nothing behind, if it does not fit.
 */
export function updatesToTransaction(db: Database, updates: Json, options: ApplyOptions): Transaction {
  const transaction = new Transaction(db);
  try {
    if (!isJsonObject(updates)) throw syntaxError(updates, 'table-updates must be object');
    for (const [name, rows] of Object.entries(updates)) {
      const table = db.tables.get(name);
      if (table === undefined) throw syntaxError(undefined, `unknown table ${name}`, 'unknown table');
      if (options.excluded.has(name)) continue;
      if (!isJsonObject(rows)) throw syntaxError(rows, 'table-update must be object');
      for (const [uuid, update] of Object.entries(rows)) applyRow(transaction, table, uuid, update, options);
    }
    if (options.replace) deleteOthers(transaction, updates, options.excluded);
  } catch (error) {
    transaction.abort();
    throw error;
  }
  return transaction;
}

function deleteOthers(transaction: Transaction, updates: JsonObject, excluded: ReadonlySet<string>): void {
  for (const table of transaction.db.tables.values()) {
    if (excluded.has(table.name)) continue;
    const kept = member(updates, table.name);
    for (const row of table.rows.values()) {
      if (!isJsonObject(kept) || !Object.hasOwn(kept, row.uuid)) transaction.delete(row);
    }
  }
}

function applyRow(
  transaction: Transaction,
  table: Table,
  uuidText: string,
  update: Json,
  options: ApplyOptions,
): void {
  const uuid = parseUuid(uuidText);
  if (uuid === undefined || !isJsonObject(update)) throw syntaxError(update, 'row-update must be object');
  const row = table.rows.get(uuid);
  if (options.form === 'differences' && member(update, 'modify') !== undefined) {
    if (row === undefined)
      throw syntaxError(update, `modified row ${uuid} is missing`, 'consistency violation');
    assign(table, transaction.modify(row).fields, update.modify, true);
    return;
  }
  const whole =
    options.form === 'rows' ? member(update, 'new') : (member(update, 'initial') ?? member(update, 'insert'));
  if (whole === undefined) {
    if (row !== undefined) transaction.delete(row);
  } else {
    writeWhole(transaction, table, uuid, row, whole, options.form === 'differences');
  }
}

/** Inserts a row, or makes the one that is there the same; columns left out are default if `complete`. */
function writeWhole(
  transaction: Transaction,
  table: Table,
  uuid: string,
  row: Row | undefined,
  json: Json,
  complete: boolean,
): void {
  if (row === undefined) {
    const added = table.newRow(uuid, transaction.db.newUuid());
    assign(table, added.fields, json, false);
    transaction.insert(added);
    return;
  }
  const { fields } = transaction.modify(row);
  if (complete) for (let i = 2; i < fields.length; i++) fields[i] = table.defaults[i];
  assign(table, fields, json, false);
}

function assign(table: Table, fields: Datum[], json: Json, diffs: boolean): void {
  if (!isJsonObject(json)) throw syntaxError(json, 'row must be JSON object');
  for (const [name, value] of Object.entries(json)) {
    const column = table.schema.columns.get(name);
    if (column === undefined) {
      throw syntaxError(json, `No column ${name} in table ${table.name}.`, 'unknown column');
    }
    // Every server makes its own versions.
    if (name.startsWith('_')) continue;
    const { index, type } = column;
    fields[index] = diffs
      ? applyDiff(fields[index], datumFromJson(relaxedCount(type), value), type)
      : datumFromJson(type, value);
  }
}
