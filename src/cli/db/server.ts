/** Databases of a running server. */
import { WeftError } from '../../base/errors.ts';
import { type Datum, datumFromJson, relaxedCount } from '../../ovsdb/data/datum.ts';
import { Table } from '../../ovsdb/engine/table.ts';
import { isJsonArray, isJsonObject, type Json, type JsonObject, member } from '../../ovsdb/json.ts';
import {
  type Column,
  type DatabaseSchema,
  parseSchema,
  type TableSchema,
} from '../../ovsdb/schema/schema.ts';
import { nearest } from '../command.ts';
import type { RowChange } from './changes.ts';
import type { Session } from './session.ts';
import type { Fields, Snapshot } from './snapshot.ts';

/** What to read: columns by table. */
export type Wanted = ReadonlyMap<string, readonly Column[]>;

/** All that some parts want. */
export function joinWanted(...parts: readonly Wanted[]): Wanted {
  const all = new Map<string, readonly Column[]>();
  for (const part of parts) {
    for (const [table, columns] of part)
      all.set(table, [...new Set([...(all.get(table) ?? []), ...columns])]);
  }
  return all;
}

const odd = (what: string): WeftError =>
  new WeftError('database-refused', `${what} that is not understood`, { remedy: 'is it an OVSDB server?' });

/** The schema of the database called `name`; without one, of Open vSwitch's or of the only one there is. */
export async function readSchema(session: Session, name: string | undefined): Promise<DatabaseSchema> {
  const answer = await session.ask('list_dbs', []);
  if (!isJsonArray(answer)) throw odd(`${session.name}: a list of databases`);
  const names = answer.map(String);
  const own = names.filter((n) => !n.startsWith('_'));
  const chosen = name ?? (own.includes('Open_vSwitch') || own.length !== 1 ? 'Open_vSwitch' : own[0]);
  if (!names.includes(chosen)) {
    const near = nearest(chosen, names);
    throw new WeftError('no-such-database', `${session.name} has no database "${chosen}"`, {
      remedy:
        near === undefined ? `name one with --database: ${names.join(', ')}` : `did you mean "${near}"?`,
    });
  }
  return parseSchema(await session.ask('get_schema', [chosen]));
}

/** Fills in the columns that `json` has; the others stay as they are in `base`. */
function fieldsFrom(table: TableSchema, base: Fields, json: JsonObject): Fields {
  const fields: Datum[] = base.slice();
  for (const [name, value] of Object.entries(json)) {
    const column = table.columns.get(name);
    if (column !== undefined) fields[column.index] = datumFromJson(relaxedCount(column.type), value);
  }
  return fields;
}

const defaultsOf = (table: TableSchema): Fields => new Table(table).defaults;

/** One consistent look at some tables. */
export async function readTables(
  session: Session,
  schema: DatabaseSchema,
  wanted: Wanted,
): Promise<Snapshot> {
  const operations = [...wanted].map(([table, columns]) => {
    const names = new Set(['_uuid', ...columns.map((c) => c.name)]);
    return { op: 'select', table, where: [], columns: [...names] };
  });
  const results = await session.transact(schema.name, operations);
  const tables = [...wanted.keys()].map((name, i) => {
    const table = schema.tables.get(name)!;
    const defaults = defaultsOf(table);
    const json = member(results[i], 'rows');
    if (!isJsonArray(json)) throw odd(`${session.name}: rows of ${name}`);
    const rows = json.map((row) => {
      const uuid = isJsonObject(row) ? member(row, '_uuid') : undefined;
      if (!isJsonObject(row) || !isJsonArray(uuid)) throw odd(`${session.name}: a row of ${name}`);
      return [String(uuid[1]), fieldsFrom(table, defaults, row)] as const;
    });
    return [name, new Map(rows)] as const;
  });
  return { schema, tables: new Map(tables) };
}

/** A copy of some tables that follows what happens to them. */
export class Mirror {
  readonly #schema: DatabaseSchema;
  readonly #tables = new Map<string, Map<string, Fields>>();
  readonly #defaults = new Map<string, Fields>();

  constructor(schema: DatabaseSchema, wanted: Wanted) {
    this.#schema = schema;
    for (const name of wanted.keys()) {
      this.#tables.set(name, new Map());
      this.#defaults.set(name, defaultsOf(schema.tables.get(name)!));
    }
  }

  /** As it is now, and at each later look. */
  get snapshot(): Snapshot {
    return { schema: this.#schema, tables: this.#tables };
  }

  /** Applies `<table-updates>` of RFC 7047, and gives what changed. */
  apply(updates: Json): RowChange[] {
    const changes: RowChange[] = [];
    if (!isJsonObject(updates)) throw odd('an update');
    for (const [name, json] of Object.entries(updates)) {
      const table = this.#schema.tables.get(name);
      const rows = this.#tables.get(name);
      if (table === undefined || rows === undefined || !isJsonObject(json)) continue;
      for (const [uuid, update] of Object.entries(json)) {
        const before = rows.get(uuid);
        const now = isJsonObject(update) ? member(update, 'new') : undefined;
        const after = isJsonObject(now)
          ? fieldsFrom(table, before ?? this.#defaults.get(name)!, now)
          : undefined;
        if (after === undefined) rows.delete(uuid);
        else rows.set(uuid, after);
        if (before !== undefined || after !== undefined) changes.push({ table, uuid, before, after });
      }
    }
    return changes;
  }
}

/** Follows tables: what they hold at first, and from then on `onUpdate` for each update of the server. */
export async function follow(
  session: Session,
  schema: DatabaseSchema,
  wanted: Wanted,
  onUpdate: (updates: Json) => void,
): Promise<Json> {
  session.onNotification = (method, params) => {
    if (method === 'update') onUpdate(params[1] ?? null);
  };
  const requests = [...wanted].map(
    ([table, columns]) =>
      [table, { columns: columns.flatMap((c) => (c.name.startsWith('_') ? [] : [c.name])) }] as const,
  );
  return session.ask('monitor', [schema.name, 'weft', Object.fromEntries(requests)]);
}
