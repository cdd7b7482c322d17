/**
 * # The replica
 *
 * A client's copy of those tables that it monitors. It is built from the reply to the monitor request
 * and kept current by updates in any of the three forms. After a reconnection the server may send
 * everything again; then the replica finds out what really differs, and only that is reported.
 */
import { type Datum, datumEquals, datumFromJson, isDefaultDatum, relaxedCount } from '../data/datum.ts';
import { applyDiff } from '../data/diff.ts';
import { Table as EngineTable } from '../engine/table.ts';
import { syntaxError } from '../error.ts';
import { isJsonObject, type Json, type JsonObject, member } from '../json.ts';
import type { RowOf, TableName } from '../schema/rows.ts';
import type { DatabaseSchema, TableSchema } from '../schema/schema.ts';
import type { SchemaSpec } from '../schema/spec.ts';
import type { ChangeSet, Replica, RowChange, TableView } from './api.ts';
import { typedValue } from './values.ts';

/** One row: its values, and the typed view of them once somebody looked. */
class Entry {
  readonly schema: TableSchema;
  readonly uuid: string;
  readonly fields: readonly Datum[];
  #view: object | undefined;

  constructor(schema: TableSchema, uuid: string, fields: readonly Datum[]) {
    this.schema = schema;
    this.uuid = uuid;
    this.fields = fields;
  }

  get view(): object {
    if (this.#view === undefined) {
      const view: { [name: string]: unknown } = { _uuid: this.uuid };
      for (const { index, name, type } of this.schema.list) {
        if (index > 1) view[name] = typedValue(type, this.fields[index]);
      }
      this.#view = Object.freeze(view);
    }
    return this.#view;
  }
}

/** A change of one row; the typed rows are made when somebody looks. */
class Change {
  readonly table: string;
  readonly uuid: string;
  readonly kind: 'insert' | 'modify' | 'delete';
  readonly #old: Entry | undefined;
  readonly #now: Entry | undefined;
  #columns: ReadonlySet<string> | undefined;

  constructor(table: string, uuid: string, old: Entry | undefined, now: Entry | undefined) {
    this.table = table;
    this.uuid = uuid;
    this.kind = old === undefined ? 'insert' : now === undefined ? 'delete' : 'modify';
    this.#old = old;
    this.#now = now;
  }

  get old(): object | undefined {
    return this.#old?.view;
  }

  get row(): object | undefined {
    return this.#now?.view;
  }

  get columns(): ReadonlySet<string> {
    if (this.#columns === undefined) {
      const old = this.#old;
      const now = this.#now;
      const entry = (now ?? old) as Entry;
      const differs = (i: number): boolean =>
        old !== undefined && now !== undefined
          ? !datumEquals(old.fields[i], now.fields[i])
          : !isDefaultDatum(entry.fields[i], entry.schema.list[i].type);
      this.#columns = new Set(
        entry.schema.list.flatMap(({ index, name }) => (index > 1 && differs(index) ? [name] : [])),
      );
    }
    return this.#columns;
  }
}

class Changes<S extends SchemaSpec> implements ChangeSet<S> {
  readonly initial: boolean;
  readonly #byTable = new Map<string, Change[]>();

  constructor(initial: boolean) {
    this.initial = initial;
  }

  add(table: string, change: Change): void {
    const list = this.#byTable.get(table);
    if (list === undefined) this.#byTable.set(table, [change]);
    else list.push(change);
  }

  get empty(): boolean {
    return this.#byTable.size === 0;
  }

  of<T extends TableName<S>>(table: T): readonly RowChange<S, T>[] {
    // The rows were built from the schema that the types come from.
    return (this.#byTable.get(table) ?? []) as unknown as readonly RowChange<S, T>[];
  }

  touches(table: TableName<S>): boolean {
    return this.#byTable.has(table);
  }

  *all(): IterableIterator<RowChange<S>> {
    for (const list of this.#byTable.values()) yield* list as unknown as RowChange<S>[];
  }
}

class View<S extends SchemaSpec, T extends TableName<S>> implements TableView<S, T> {
  readonly name: T;
  readonly #rows: ReadonlyMap<string, Entry>;

  constructor(name: T, rows: ReadonlyMap<string, Entry>) {
    this.name = name;
    this.#rows = rows;
  }

  get size(): number {
    return this.#rows.size;
  }

  get(uuid: string): RowOf<S, T> | undefined {
    return this.#rows.get(uuid)?.view as RowOf<S, T> | undefined;
  }

  has(uuid: string): boolean {
    return this.#rows.has(uuid);
  }

  *rows(): IterableIterator<RowOf<S, T>> {
    for (const entry of this.#rows.values()) yield entry.view as RowOf<S, T>;
  }

  find(predicate: (row: RowOf<S, T>) => boolean): RowOf<S, T> | undefined {
    for (const row of this.rows()) if (predicate(row)) return row;
    return undefined;
  }

  only(): RowOf<S, T> | undefined {
    return this.rows().next().value;
  }
}

/** The form of `<table-updates>`: `monitor` has old and new rows, the others have differences. */
export type UpdateForm = 'rows' | 'differences';

export class ReplicaStore<S extends SchemaSpec> implements Replica<S> {
  readonly #schema: DatabaseSchema;
  readonly #tables = new Map<string, { defaults: readonly Datum[]; rows: Map<string, Entry> }>();

  constructor(schema: DatabaseSchema) {
    this.#schema = schema;
    for (const table of schema.tables.values()) {
      this.#tables.set(table.name, { defaults: new EngineTable(table).defaults, rows: new Map() });
    }
  }

  table<T extends TableName<S>>(name: T): TableView<S, T> {
    const table = this.#tables.get(name);
    if (table === undefined) throw new RangeError(`the schema has no table ${name}`);
    return new View(name, table.rows);
  }

  /** Column values of a row as the replica has them, by column position. */
  fields(table: string, uuid: string): readonly Datum[] | undefined {
    return this.#tables.get(table)?.rows.get(uuid)?.fields;
  }

  /**
   * Applies `<table-updates>`. With `replace`, they are the whole content: rows that are not among
   * them are gone. Throws `OvsdbError` if the updates do not fit the schema.
   */
  apply(updates: Json, form: UpdateForm, replace: boolean): ChangeSet<S> & { readonly empty: boolean } {
    const changes = new Changes<S>(replace);
    if (!isJsonObject(updates)) throw syntaxError(updates, 'table-updates must be object');
    for (const [name, rows] of Object.entries(updates)) {
      const schema = this.#schema.tables.get(name);
      if (schema === undefined || !isJsonObject(rows)) continue;
      for (const [uuid, update] of Object.entries(rows)) {
        if (!isJsonObject(update)) throw syntaxError(update, 'row-update must be object');
        this.#applyRow(schema, uuid, update, form, replace, changes);
      }
    }
    if (replace) this.#dropMissing(updates, changes);
    return changes;
  }

  #applyRow(
    schema: TableSchema,
    uuid: string,
    update: JsonObject,
    form: UpdateForm,
    replace: boolean,
    changes: Changes<S>,
  ): void {
    const { defaults, rows } = this.#tables.get(schema.name)!;
    const old = rows.get(uuid);
    const fields =
      form === 'rows'
        ? newFields(schema, old === undefined || replace ? defaults : old.fields, member(update, 'new'))
        : differentFields(schema, defaults, old?.fields, update);
    if (fields === undefined) {
      if (old === undefined) return;
      rows.delete(uuid);
      changes.add(schema.name, new Change(schema.name, uuid, old, undefined));
      return;
    }
    if (old?.fields.every((datum, i) => datumEquals(datum, fields[i]))) return;
    const entry = new Entry(schema, uuid, fields);
    rows.set(uuid, entry);
    changes.add(schema.name, new Change(schema.name, uuid, old, entry));
  }

  #dropMissing(updates: JsonObject, changes: Changes<S>): void {
    for (const [name, { rows }] of this.#tables) {
      const present = member(updates, name);
      for (const [uuid, old] of rows) {
        if (isJsonObject(present) && Object.hasOwn(present, uuid)) continue;
        rows.delete(uuid);
        changes.add(name, new Change(name, uuid, old, undefined));
      }
    }
  }
}

/** `<row-update>`: the new row has all monitored columns. */
function newFields(
  schema: TableSchema,
  base: readonly Datum[],
  json: Json | undefined,
): readonly Datum[] | undefined {
  if (!isJsonObject(json)) return undefined;
  const fields = base.slice();
  for (const [name, value] of Object.entries(json)) {
    const column = schema.columns.get(name);
    if (column !== undefined) fields[column.index] = datumFromJson(column.type, value);
  }
  return fields;
}

/** `<row-update2>`: an insert lacks default columns, a modification has differences. */
function differentFields(
  schema: TableSchema,
  defaults: readonly Datum[],
  old: readonly Datum[] | undefined,
  update: JsonObject,
): readonly Datum[] | undefined {
  const whole = member(update, 'initial') ?? member(update, 'insert');
  if (whole !== undefined) return newFields(schema, defaults, whole);
  const changed = member(update, 'modify');
  if (!isJsonObject(changed)) return undefined;
  if (old === undefined) throw syntaxError(update, 'modification of a row that is not there');
  const fields = old.slice();
  for (const [name, value] of Object.entries(changed)) {
    const column = schema.columns.get(name);
    if (column === undefined) continue;
    const diff = datumFromJson(relaxedCount(column.type), value);
    fields[column.index] = applyDiff(fields[column.index], diff, column.type);
  }
  return fields;
}
