/**
 * # Monitors
 *
 * A monitor tells one client what changes in some columns of some tables (RFC 7047 section 4.1.5, and
 * the `monitor_cond` and `monitor_cond_since` of ovsdb-server(7)). For each row that changed since the
 * last update it keeps the row's values as the client knows them and as they are now; both are shared
 * with the database, nothing is copied. Several transactions thus melt into one update while a slow
 * client does not read. The cost of an update is that of the rows that changed.
 */
import { type Datum, datumEquals, datumToJson, isDefaultDatum } from '../data/datum.ts';
import { diffDatums } from '../data/diff.ts';
import { ObjectParser } from '../data/parser.ts';
import { Condition } from '../engine/condition.ts';
import type { Database } from '../engine/database.ts';
import type { Fields, Table } from '../engine/table.ts';
import type { CommittedChange } from '../engine/transaction.ts';
import { syntaxError } from '../error.ts';
import { isJsonArray, isJsonObject, type Json, type JsonObject } from '../json.ts';
import { type Column, UUID_COLUMN } from '../schema/schema.ts';

/** 1: `monitor`, 2: `monitor_cond`, 3: `monitor_cond_since`. */
export type MonitorVersion = 1 | 2 | 3;

type Writable = { [name: string]: Json };
type ChangeKind = 'initial' | 'insert' | 'delete' | 'modify';

interface Selection {
  readonly initial: boolean;
  readonly insert: boolean;
  readonly delete: boolean;
  readonly modify: boolean;
}

const ALL: Selection = { initial: true, insert: true, delete: true, modify: true };

function parseSelection(json: Json, tableName: string): Selection {
  const parser = new ObjectParser(json, `table ${tableName} select`);
  const selection = {
    initial: parser.maybeBoolean('initial') ?? true,
    insert: parser.maybeBoolean('insert') ?? true,
    delete: parser.maybeBoolean('delete') ?? true,
    modify: parser.maybeBoolean('modify') ?? true,
  };
  parser.finish();
  return selection;
}

interface Pending {
  /** As the client knows the row; null if it does not. */
  readonly old: Fields | null;
  now: Fields | null;
}

/** One table of a monitor. */
class MonitoredTable {
  readonly table: Table;
  /** Columns that the client sees, and for which kinds of change. */
  readonly columns: { column: Column; selection: Selection }[] = [];
  /** Some part of the monitor selects this kind of change. */
  readonly selection: { -readonly [K in keyof Selection]: boolean } = {
    initial: false,
    insert: false,
    delete: false,
    modify: false,
  };
  /** What the client sees by. */
  condition: Condition = Condition.always;
  pending = new Map<string, Pending>();
  /** Positions of columns that matter: those that the client sees and those of the condition. */
  #watched: readonly number[] = [];

  constructor(table: Table) {
    this.table = table;
  }

  add(json: Json, conditional: boolean): void {
    const { schema } = this.table;
    const parser = new ObjectParser(json, `table ${schema.name}`);
    const where = conditional ? parser.maybeArray('where') : undefined;
    const columnsJson = parser.maybeArray('columns');
    const selectJson = parser.maybeObject('select');
    parser.finish();
    const selection = selectJson === undefined ? ALL : parseSelection(selectJson, schema.name);
    for (const kind of ['initial', 'insert', 'delete', 'modify'] as const) {
      this.selection[kind] ||= selection[kind];
    }
    const columns =
      columnsJson === undefined
        ? schema.list.filter((c) => c.index !== UUID_COLUMN)
        : columnsJson.map((name) => this.#column(columnsJson, name));
    for (const column of columns) {
      if (this.columns.some((c) => c.column === column)) {
        throw syntaxError(columnsJson, `column ${column.name} mentioned more than once`);
      }
      this.columns.push({ column, selection });
    }
    if (where !== undefined) this.condition = Condition.parse(schema, where);
    this.watch();
  }

  #column(columnsJson: Json, name: Json): Column {
    if (typeof name !== 'string') throw syntaxError(columnsJson, 'array of column names expected');
    const column = this.table.schema.columns.get(name);
    if (column === undefined) throw syntaxError(columnsJson, `${name} is not a valid column name`);
    return column;
  }

  watch(): void {
    const indexes = new Set(this.columns.map((c) => c.column.index));
    for (const column of this.condition.columns) indexes.add(column.index);
    this.#watched = [...indexes];
  }

  track({ uuid, old, now, columns }: CommittedChange): void {
    if (old !== null && now !== null && !this.#watched.some((i) => columns[i])) return;
    const pending = this.pending.get(uuid);
    if (pending === undefined) {
      this.pending.set(uuid, { old, now });
    } else if (now === null && pending.old === null) {
      this.pending.delete(uuid); // came and went
    } else {
      pending.now = now;
    }
  }

  /** Whether any column that the client sees differs. */
  differs(old: Fields, now: Fields): boolean {
    return this.columns.some(({ column: { index } }) => !datumEquals(old[index], now[index]));
  }

  /** RFC 7047 `<row-update>`, or undefined if there is nothing to say. */
  rowUpdate(old: Fields | null, now: Fields | null, initial: boolean): Json | undefined {
    const kind = kindOf(old, now, initial);
    if (kind === undefined || !this.selection[kind]) return undefined;
    if (old !== null && now !== null && !this.differs(old, now)) return undefined;
    const oldJson: Writable = {};
    const newJson: Writable = {};
    for (const { column, selection } of this.columns) {
      if (!selection[kind]) continue;
      const { index, name, type } = column;
      if (old !== null && (now === null || !datumEquals(old[index], now[index]))) {
        oldJson[name] = datumToJson(old[index], type);
      }
      if (now !== null) newJson[name] = datumToJson(now[index], type);
    }
    const update: Writable = {};
    if (kind === 'delete' || kind === 'modify') update.old = oldJson;
    if (kind !== 'delete') update.new = newJson;
    return update;
  }

  /**
   * `<row-update2>`: differences, for a row that the client saw if `before` held for `old`, and shall
   * see if `after` holds for `now`.
   */
  rowUpdate2(
    old: Fields | null,
    now: Fields | null,
    initial: boolean,
    before: Condition,
    after: Condition,
  ): Json | undefined {
    const seen = old !== null && before.matchesAny(old);
    const visible = now !== null && after.matchesAny(now);
    if (!seen && !visible) return undefined;
    const kind = initial ? 'initial' : !seen ? 'insert' : !visible ? 'delete' : 'modify';
    if (!this.selection[kind]) return undefined;
    if (kind === 'delete') return { delete: null };
    const row: Writable = {};
    const fields = now as Fields;
    if (kind === 'modify') {
      if (!this.differs(old as Fields, fields)) return undefined;
      for (const { column, selection } of this.columns) {
        const { index, name, type } = column;
        const was: Datum = (old as Fields)[index];
        if (!selection.modify || datumEquals(was, fields[index])) continue;
        row[name] = datumToJson(diffDatums(was, fields[index], type), type);
      }
      return { modify: row };
    }
    for (const { column, selection } of this.columns) {
      const { index, name, type } = column;
      if (selection[kind] && !isDefaultDatum(fields[index], type))
        row[name] = datumToJson(fields[index], type);
    }
    return { [kind]: row };
  }
}

function kindOf(old: Fields | null, now: Fields | null, initial: boolean): ChangeKind | undefined {
  if (now === null) return old === null ? undefined : 'delete';
  if (initial) return 'initial';
  return old === null ? 'insert' : 'modify';
}

/** One monitor of one session. */
export class Monitor {
  readonly db: Database;
  id: Json;
  readonly version: MonitorVersion;
  readonly #tables = new Map<Table, MonitoredTable>();

  /** Throws `OvsdbError` if the requests make no sense. */
  constructor(db: Database, id: Json, requests: Json, version: MonitorVersion) {
    this.db = db;
    this.id = id;
    this.version = version;
    if (!isJsonObject(requests)) throw syntaxError(requests, 'monitor-requests must be object');
    for (const [name, request] of Object.entries(requests)) {
      const table = db.tables.get(name);
      if (table === undefined) throw syntaxError(undefined, `no table named ${name}`);
      const monitored = new MonitoredTable(table);
      this.#tables.set(table, monitored);
      for (const part of isJsonArray(request) ? request : [request]) monitored.add(part, version > 1);
    }
  }

  /** Takes note of a transaction. */
  track(changes: readonly CommittedChange[]): void {
    for (const change of changes) this.#tables.get(change.table)?.track(change);
  }

  /** The whole content, as the reply to the monitor request has it. */
  initial(): JsonObject {
    const updates: Writable = {};
    for (const monitored of this.#tables.values()) {
      if (!monitored.selection.initial) continue;
      const rows: Writable = {};
      for (const row of monitored.table.rows.values()) {
        const update = this.#rowUpdate(monitored, null, row.fields, true);
        if (update !== undefined) rows[row.uuid] = update;
      }
      if (Object.keys(rows).length > 0) updates[monitored.table.name] = rows;
    }
    return updates;
  }

  #rowUpdate(
    monitored: MonitoredTable,
    old: Fields | null,
    now: Fields | null,
    initial: boolean,
  ): Json | undefined {
    return this.version === 1
      ? monitored.rowUpdate(old, now, initial)
      : monitored.rowUpdate2(old, now, initial, monitored.condition, monitored.condition);
  }

  /** What changed since the last call, or undefined if the client need not know any of it. */
  flush(): JsonObject | undefined {
    let updates: Writable | undefined;
    for (const monitored of this.#tables.values()) {
      if (monitored.pending.size === 0) continue;
      const pending = monitored.pending;
      monitored.pending = new Map();
      let rows: Writable | undefined;
      for (const [uuid, { old, now }] of pending) {
        const update = this.#rowUpdate(monitored, old, now, false);
        if (update === undefined) continue;
        rows ??= {};
        rows[uuid] = update;
      }
      if (rows === undefined) continue;
      updates ??= {};
      updates[monitored.table.name] = rows;
    }
    return updates;
  }

  /**
   * `monitor_cond_change`. Everything pending must have been flushed. Gives back the rows that come
   * and go by it, or undefined. Throws `OvsdbError`, having changed nothing.
   */
  changeConditions(requests: Json): JsonObject | undefined {
    if (!isJsonObject(requests)) throw syntaxError(undefined, 'monitor-cond-change-requests must be object');
    const conditions = new Map<MonitoredTable, Condition>();
    for (const [name, parts] of Object.entries(requests)) {
      const table = this.db.tables.get(name);
      if (table === undefined) throw syntaxError(undefined, `no table named ${name}`);
      const monitored = this.#tables.get(table);
      if (monitored === undefined) throw syntaxError(undefined, `no table named ${name} in monitor session`);
      if (!isJsonArray(parts))
        throw syntaxError(undefined, `table ${name} no monitor-cond-change JSON array`);
      for (const part of parts) conditions.set(monitored, parseConditionChange(table, part));
    }
    if (this.version === 1) return undefined;
    let updates: Writable | undefined;
    for (const [monitored, after] of conditions) {
      const before = monitored.condition;
      if (before.text === after.text) continue;
      const rows: Writable = {};
      for (const { uuid, fields } of monitored.table.rows.values()) {
        const update = monitored.rowUpdate2(fields, fields, false, before, after);
        if (update !== undefined) rows[uuid] = update;
      }
      monitored.condition = after;
      monitored.watch();
      if (Object.keys(rows).length === 0) continue;
      updates ??= {};
      updates[monitored.table.name] = rows;
    }
    return updates;
  }
}

function parseConditionChange(table: Table, json: Json): Condition {
  const parser = new ObjectParser(json, `table ${table.name}`);
  const columns = parser.maybeArray('columns');
  const where = parser.maybeArray('where');
  parser.finish();
  if (columns !== undefined) throw syntaxError(json, 'changing columns is unsupported');
  return where === undefined ? Condition.always : Condition.parse(table.schema, where);
}
