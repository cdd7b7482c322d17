/**
 * # Transactions
 *
 * A transaction works on the tables themselves: it swaps changed copies of rows in and keeps the
 * originals in its `ChangedRow` records, so its own operations see its effects, and aborting swaps the
 * originals back. Nobody else looks meanwhile, because a transaction runs from start to end within one
 * turn of the event loop.
 *
 * `commit` goes through these steps, in this order, each over all changed rows, including those that
 * the step itself adds; any may throw, and then the transaction is aborted:
 *
 * 1. find which columns of which rows really differ, and forget rows that do not;
 * 2. count strong references: adding one to a row that does not exist, and deleting a row that still
 *    has some, violates referential integrity. References of a row to itself do not count;
 * 3. delete rows outside the root set that nothing refers to any more, and what only they referred to;
 * 4. hold the number of rows against `maxRows`;
 * 5. take weak references to missing rows out of the columns that hold them; a column may become too
 *    small by that;
 * 6. hold the unique indexes against the rows that changed;
 * 7. give changed rows a new `_version`;
 * 8. write the journal record (the last step that may fail), then update indexes, reference counts and
 *    the weak holder tables, and tell the listeners.
 *
 * Work is proportional to what changed, and for columns with weak references to the size of changed
 * columns; never to the size of a table.
 */
import { ZERO_UUID } from '../data/atom.ts';
import { Datum, datumEquals, scalar } from '../data/datum.ts';
import { addedRemoved } from '../data/diff.ts';
import type { BaseType, ColumnType } from '../data/type.ts';
import { constraintViolation, OvsdbError } from '../error.ts';
import type { JsonObject } from '../json.ts';
import { type Column, isStrongRef, isWeakRef, UUID_COLUMN, VERSION_COLUMN } from '../schema/schema.ts';
import type { Database } from './database.ts';
import { duplicateIndexError } from './duplicate.ts';
import { indexKey, Row, type Table } from './table.ts';

/** What a transaction did to one row: inserted (`old` null), deleted (`now` null), or changed it. */
export class ChangedRow {
  readonly table: Table;
  readonly uuid: string;
  old: Row | null;
  now: Row | null;
  /** By column position; meaningful once the commit has begun. */
  readonly columns: boolean[];
  refs: number;
  /** Something that a weak reference of this row points at was deleted. */
  recheckWeak = false;

  constructor(table: Table, uuid: string, old: Row | null, now: Row | null) {
    this.table = table;
    this.uuid = uuid;
    this.old = old;
    this.now = now;
    this.columns = [];
    this.refs = old?.refs ?? 0;
  }
}

/** One changed row of a committed transaction, for listeners. Fields never change afterwards. */
export interface CommittedChange {
  readonly table: Table;
  readonly uuid: string;
  readonly old: readonly Datum[] | null;
  readonly now: readonly Datum[] | null;
  /** By column position. */
  readonly columns: readonly boolean[];
}

export interface CommitOptions {
  /** Makes the journal record; null where there is nothing to write. */
  readonly record: (changes: readonly CommittedChange[], comment: string | null) => JsonObject | null;
}

export class Transaction {
  readonly db: Database;
  readonly #rows = new Set<ChangedRow>();
  readonly #comments: string[] = [];

  constructor(db: Database) {
    this.db = db;
  }

  get comment(): string | null {
    return this.#comments.length === 0 ? null : this.#comments.join('\n');
  }

  addComment(text: string): void {
    this.#comments.push(text);
  }

  /** Whether a new row of `table` may have this uuid. */
  mayInsert(table: Table, uuid: string): boolean {
    return !table.rows.has(uuid) && !table.changed.has(uuid);
  }

  insert(row: Row): void {
    this.#add(row.table, row.uuid, null, row);
    row.table.rows.set(row.uuid, row);
  }

  /** The version of `row` that this transaction may write to. */
  modify(row: Row): Row {
    if (row.pending !== null) return row;
    const copy = new Row(row.table, row.uuid, row.fields.slice());
    copy.refs = row.refs;
    this.#add(row.table, row.uuid, row, copy);
    row.table.rows.set(row.uuid, copy);
    return copy;
  }

  delete(row: Row): void {
    row.table.rows.delete(row.uuid);
    const change = row.pending;
    if (change === null) {
      this.#add(row.table, row.uuid, row, null);
    } else {
      change.now = null;
      row.pending = null;
      if (change.old === null) this.#forget(change);
    }
  }

  #add(table: Table, uuid: string, old: Row | null, now: Row | null): ChangedRow {
    const change = new ChangedRow(table, uuid, old, now);
    if (old !== null) old.pending = change;
    if (now !== null) now.pending = change;
    table.changed.set(uuid, change);
    this.#rows.add(change);
    return change;
  }

  #forget(change: ChangedRow): void {
    change.table.changed.delete(change.uuid);
    this.#rows.delete(change);
    if (change.old !== null) change.old.pending = null;
    if (change.now !== null) change.now.pending = null;
  }

  /** Undoes everything. The transaction is then empty. */
  abort(): void {
    for (const change of this.#rows) this.#restore(change);
  }

  #restore(change: ChangedRow): void {
    if (change.old !== null) change.table.rows.set(change.uuid, change.old);
    else change.table.rows.delete(change.uuid);
    this.#forget(change);
  }

  /**
   * Checks, writes and publishes the transaction; throws `OvsdbError`, having undone everything, if it
   * is not allowed. Gives back the changes, empty if there were none.
   */
  commit(options: CommitOptions): readonly CommittedChange[] {
    let changes: CommittedChange[];
    try {
      changes = this.#prepare();
      const record = options.record(changes, this.comment);
      if (record !== null && this.db.journal !== null) this.db.journal.append(record);
    } catch (error) {
      this.abort();
      throw error;
    }
    this.#publish();
    if (changes.length > 0) {
      this.db.revision++;
      for (const listener of this.db.listeners) listener.onCommit(changes);
    }
    return changes;
  }

  #prepare(): CommittedChange[] {
    for (const change of this.#rows) this.#findDifferences(change);
    for (const change of this.#rows) this.#countReferences(change);
    for (const change of this.#rows) this.#checkReferenced(change);
    for (const change of this.#rows) {
      if (change.now !== null && change.refs === 0) this.#collect(change);
    }
    this.#checkMaxRows();
    for (const change of this.#rows) this.#flagWeakHolders(change);
    for (const change of this.#rows) this.#dropWeak(change);
    this.#checkIndexes();
    const result: CommittedChange[] = [];
    for (const change of this.#rows) {
      const { old, now, table, uuid, columns } = change;
      if (old === null && now === null) continue;
      const touched = old === null || now === null || columns.some((c) => c);
      if (!touched) continue;
      if (old !== null && now !== null) {
        now.fields[VERSION_COLUMN] = scalar(this.db.newUuid());
        columns[VERSION_COLUMN] = true;
      }
      result.push({ table, uuid, old: old?.fields ?? null, now: now?.fields ?? null, columns });
    }
    return result;
  }

  #findDifferences(change: ChangedRow): void {
    const { old, now, table, columns } = change;
    if (old === null || now === null) {
      for (let i = 0; i < table.schema.list.length; i++) columns[i] = true;
      return;
    }
    let differs = false;
    for (let i = 0; i < now.fields.length; i++) {
      columns[i] = !datumEquals(old.fields[i], now.fields[i]);
      differs ||= columns[i];
    }
    if (!differs) this.#restore(change);
  }

  /** The record of a row, made if there is none yet; undefined if there is no such row. */
  #recordOf(table: Table, uuid: string): ChangedRow | undefined {
    const change = table.changed.get(uuid);
    if (change !== undefined) return change;
    const row = table.rows.get(uuid);
    if (row === undefined) return undefined;
    const added = this.modify(row).pending as ChangedRow;
    for (let i = 0; i < row.fields.length; i++) added.columns[i] = false;
    return added;
  }

  #countReferences(change: ChangedRow): void {
    const { old, now, table, columns } = change;
    if (old === null && now === null) return;
    for (const column of table.strongColumns) {
      if (!columns[column.index]) continue;
      const before = old?.fields[column.index];
      const after = now?.fields[column.index];
      if (before !== undefined && after !== undefined) {
        const { added, removed } = addedRemoved(before, after, column.type);
        this.#adjust(change, column, removed, -1);
        this.#adjust(change, column, added, 1);
      } else if (before !== undefined) {
        this.#adjust(change, column, before, -1);
      } else if (after !== undefined) {
        this.#adjust(change, column, after, 1);
      }
    }
  }

  #adjust(holder: ChangedRow, column: Column, datum: Datum, delta: 1 | -1): void {
    forEachReference(column.type, datum, isStrongRef, (base, uuid) => {
      const target = this.db.table(base.refTable as string);
      if (uuid === holder.uuid && target === holder.table) return;
      const record = this.#recordOf(target, uuid);
      if (record === undefined) {
        throw new OvsdbError(
          'referential integrity violation',
          `Table ${holder.table.name} column ${column.name} row ${holder.uuid} references nonexistent row ${uuid} in table ${target.name}.`,
        );
      }
      record.refs += delta;
    });
  }

  #checkReferenced(change: ChangedRow): void {
    if (change.now !== null || change.refs === 0) return;
    throw new OvsdbError(
      'referential integrity violation',
      `cannot delete ${change.table.name} row ${change.uuid} because of ${change.refs} remaining reference(s)`,
    );
  }

  /** Deletes a row that nothing refers to, and on from there; on a list, for chains may be long. */
  #collect(first: ChangedRow): void {
    const garbage = [first];
    for (let change = garbage.pop(); change !== undefined; change = garbage.pop()) {
      const row = change.now;
      if (row === null || change.table.schema.isRoot) continue;
      change.now = null;
      row.pending = null;
      change.table.rows.delete(change.uuid);
      for (let i = 0; i < row.fields.length; i++) change.columns[i] = true;
      for (const column of change.table.strongColumns) {
        forEachReference(column.type, row.fields[column.index], isStrongRef, (base, uuid) => {
          const target = this.db.table(base.refTable as string);
          if (uuid === row.uuid && target === row.table) return;
          const record = this.#recordOf(target, uuid);
          if (record !== undefined && --record.refs === 0) garbage.push(record);
        });
      }
    }
  }

  #checkMaxRows(): void {
    const tables = new Set<Table>();
    for (const change of this.#rows) tables.add(change.table);
    for (const { schema, rows } of tables) {
      if (rows.size > schema.maxRows) {
        throw constraintViolation(
          `transaction causes "${schema.name}" table to contain ${rows.size} rows, greater than the schema-defined limit of ${schema.maxRows} row(s)`,
        );
      }
    }
  }

  #flagWeakHolders(change: ChangedRow): void {
    if (change.old === null || change.now !== null) return;
    for (const [table, holders] of change.table.weakHolders.get(change.uuid) ?? []) {
      for (const uuid of holders.keys()) {
        const record = this.#recordOf(table, uuid);
        if (record !== undefined) record.recheckWeak = true;
      }
    }
  }

  #dropWeak(change: ChangedRow): void {
    const { now, old, table } = change;
    if (now === null) return;
    for (const column of table.weakColumns) {
      if (!change.recheckWeak && !change.columns[column.index]) continue;
      const datum = now.fields[column.index];
      const kept = this.#withoutDangling(datum, column.type);
      if (kept === datum) continue;
      now.fields[column.index] = kept;
      change.columns[column.index] = old === null || !datumEquals(old.fields[column.index], kept);
      if (kept.n < column.type.min) throw this.#emptiedColumn(change, column, datum, kept);
    }
  }

  #withoutDangling(datum: Datum, type: ColumnType): Datum {
    const dangling = new Set<number>();
    const check = (base: BaseType | null, atoms: Datum['keys'] | null): void => {
      if (base === null || atoms === null || !isWeakRef(base)) return;
      const { rows } = this.db.table(base.refTable as string);
      for (let i = 0; i < atoms.length; i++) if (!rows.has(atoms[i] as string)) dangling.add(i);
    };
    check(type.key, datum.keys);
    check(type.value, datum.values);
    if (dangling.size === 0) return datum;
    const kept = <T>(atoms: readonly T[]): T[] => atoms.filter((_, i) => !dangling.has(i));
    return new Datum(kept(datum.keys), datum.values && kept(datum.values));
  }

  #emptiedColumn(change: ChangedRow, column: Column, before: Datum, kept: Datum): OvsdbError {
    const inserted = change.old === null;
    const zero = before.keys.includes(ZERO_UUID) || before.values?.includes(ZERO_UUID);
    const where = `"${column.name}" in "${change.table.name}" row ${change.uuid}`;
    if (zero && inserted) {
      return constraintViolation(
        `Weak reference column ${where} (inserted within this transaction) contained all-zeros UUID (probably as the default value for this column) but deleting this value caused a constraint volation because this column is not allowed to be empty.`,
      );
    }
    return constraintViolation(
      `Deletion of ${before.n - kept.n} weak reference(s) to deleted (or never-existing) rows from column ${where} ${inserted ? '(inserted within this transaction) ' : ''}caused this column to become empty, but constraints on this column disallow an empty column.`,
    );
  }

  #checkIndexes(): void {
    const seen = new Map<Map<string, Row>, Map<string, Row>>();
    for (const { now, table } of this.#rows) {
      if (now === null) continue;
      table.schema.indexes.forEach((columns, i) => {
        const committed = table.indexes[i];
        const key = indexKey(now.fields, columns);
        let mine = seen.get(committed);
        if (mine === undefined) {
          mine = new Map();
          seen.set(committed, mine);
        }
        const other = mine.get(key) ?? committed.get(key);
        if (other !== undefined && other !== now && (mine.has(key) || other.pending === null)) {
          throw duplicateIndexError(columns, other, now);
        }
        mine.set(key, now);
      });
    }
  }

  /** Brings everything that is derived from rows up to date, and ends the transaction. */
  #publish(): void {
    for (const { old, table } of this.#rows) {
      if (old === null) continue;
      table.schema.indexes.forEach((columns, i) => {
        table.indexes[i].delete(indexKey(old.fields, columns));
      });
    }
    for (const change of this.#rows) {
      const { old, now, table } = change;
      if (now !== null) {
        now.refs = change.refs;
        table.schema.indexes.forEach((columns, i) => {
          table.indexes[i].set(indexKey(now.fields, columns), now);
        });
      }
      for (const column of table.weakColumns) this.#publishWeak(change, column);
      this.db.atoms += countAtoms(now) - countAtoms(old);
    }
    for (const change of this.#rows) this.#forget(change);
  }

  #publishWeak(change: ChangedRow, column: Column): void {
    const before = change.old?.fields[column.index];
    const after = change.now?.fields[column.index];
    if (before === after) return;
    const adjust = (datum: Datum | undefined, delta: 1 | -1): void => {
      if (datum === undefined) return;
      forEachReference(column.type, datum, isWeakRef, (base, uuid) => {
        this.db.table(base.refTable as string).adjustWeakHolder(uuid, change.table, change.uuid, delta);
      });
    };
    if (before !== undefined && after !== undefined) {
      const { added, removed } = addedRemoved(before, after, column.type);
      adjust(removed, -1);
      adjust(added, 1);
    } else {
      adjust(before, -1);
      adjust(after, 1);
    }
  }
}

function countAtoms(row: Row | null): number {
  if (row === null) return 0;
  let n = 0;
  for (let i = UUID_COLUMN; i < row.fields.length; i++) {
    const { keys, values } = row.fields[i];
    n += values === null ? keys.length : 2 * keys.length;
  }
  return n;
}

/** Calls `fn` for each uuid in `datum` that is a reference of the wanted sort. */
function forEachReference(
  type: ColumnType,
  datum: Datum,
  wanted: (base: BaseType | null) => boolean,
  fn: (base: BaseType, uuid: string) => void,
): void {
  if (wanted(type.key)) for (const key of datum.keys) fn(type.key, key as string);
  if (type.value !== null && wanted(type.value)) {
    for (const value of datum.values as readonly string[]) fn(type.value, value);
  }
}
