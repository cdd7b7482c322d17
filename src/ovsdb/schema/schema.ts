import { isId, ObjectParser } from '../data/parser.ts';
import {
  type BaseType,
  type ColumnType,
  columnTypeToJson,
  parseColumnType,
  UNLIMITED,
  UUID_TYPE,
} from '../data/type.ts';
import { syntaxError } from '../error.ts';
import { isJsonArray, type Json, type JsonObject, jsonEquals } from '../json.ts';

/** Position of `_uuid` and `_version` in every row. */
export const UUID_COLUMN = 0;
export const VERSION_COLUMN = 1;

export interface Column {
  readonly name: string;
  /** Position in a row's fields. */
  readonly index: number;
  readonly mutable: boolean;
  /** Written to disk. */
  readonly persistent: boolean;
  readonly type: ColumnType;
}

export interface TableSchema {
  readonly name: string;
  readonly columns: ReadonlyMap<string, Column>;
  /** The same columns by position. */
  readonly list: readonly Column[];
  readonly mutable: boolean;
  readonly maxRows: number;
  /** Rows stay although nothing refers to them. */
  readonly isRoot: boolean;
  readonly indexes: readonly (readonly Column[])[];
}

export interface DatabaseSchema {
  readonly name: string;
  /** "x.y.z", or empty. */
  readonly version: string;
  readonly cksum: string;
  readonly tables: ReadonlyMap<string, TableSchema>;
}

export function isStrongRef(base: BaseType | null): boolean {
  return base !== null && base.refTable !== null && !base.refWeak;
}

export function isWeakRef(base: BaseType | null): boolean {
  return base !== null && base.refTable !== null && base.refWeak;
}

function parseColumn(json: Json, name: string, index: number): Column {
  const parser = new ObjectParser(json, `schema for column ${name}`);
  const mutable = parser.maybeBoolean('mutable') ?? true;
  const ephemeral = parser.maybeBoolean('ephemeral') ?? false;
  const typeJson = parser.need('type', 'string', 'object');
  parser.finish();
  const type = parseColumnType(typeJson as Json);
  return {
    name,
    index,
    // A weak reference must change when its target goes.
    mutable: mutable || isWeakRef(type.key) || isWeakRef(type.value),
    persistent: !ephemeral,
    type,
  };
}

function checkName(json: Json, name: string): void {
  if (name.startsWith('_')) throw syntaxError(json, 'names beginning with "_" are reserved');
  if (!isId(name)) throw syntaxError(json, 'name must be a valid id');
}

function parseTable(json: Json, name: string): TableSchema {
  const parser = new ObjectParser(json, `table schema for table ${name}`);
  const columnsJson = parser.needObject('columns');
  const mutable = parser.maybeBoolean('mutable') ?? true;
  const maxRows = parser.maybeInteger('maxRows');
  const isRoot = parser.maybeBoolean('isRoot') ?? false;
  const indexesJson = parser.maybeArray('indexes');
  parser.finish();
  if (maxRows !== undefined && maxRows <= 0) throw syntaxError(json, 'maxRows must be at least 1');
  const entries = Object.entries(columnsJson as JsonObject);
  if (entries.length === 0) throw syntaxError(json, 'table must have at least one column');
  const list: Column[] = [
    { name: '_uuid', index: UUID_COLUMN, mutable: false, persistent: true, type: UUID_TYPE },
    { name: '_version', index: VERSION_COLUMN, mutable: false, persistent: false, type: UUID_TYPE },
  ];
  for (const [columnName, columnJson] of entries) {
    checkName(json, columnName);
    list.push(parseColumn(columnJson, columnName, list.length));
  }
  const columns = new Map(list.map((c) => [c.name, c]));
  const indexes = (indexesJson ?? []).map((index) => parseIndex(json, index, columns));
  const limit = maxRows === undefined || maxRows > UNLIMITED ? UNLIMITED : Number(maxRows);
  return { name, columns, list, mutable, maxRows: limit, isRoot, indexes };
}

function parseIndex(tableJson: Json, json: Json, columns: ReadonlyMap<string, Column>): readonly Column[] {
  const index = parseColumnSet(json, columns);
  if (index.length === 0) throw syntaxError(tableJson, 'index must have at least one column');
  for (const column of index) {
    if (!column.persistent) {
      throw syntaxError(tableJson, `ephemeral columns (such as ${column.name}) may not be indexed`);
    }
  }
  return index;
}

/** An array of distinct column names, as those columns. */
export function parseColumnSet(json: Json, columns: ReadonlyMap<string, Column>): readonly Column[] {
  const result = new Set<Column>();
  const wrong = () => syntaxError(json, 'array of distinct column names expected');
  if (!isJsonArray(json)) throw wrong();
  for (const name of json) {
    if (typeof name !== 'string') throw wrong();
    const column = columns.get(name);
    if (column === undefined) throw syntaxError(json, `${name} is not a valid column name`);
    if (result.has(column)) throw wrong();
    result.add(column);
  }
  return [...result];
}

/** Parses RFC 7047 `<database-schema>`. Throws `OvsdbError`. */
export function parseSchema(json: Json): DatabaseSchema {
  const parser = new ObjectParser(json, 'database schema');
  const name = parser.needString('name', 'id');
  const version = parser.maybeString('version') ?? '';
  const cksum = parser.maybeString('cksum') ?? '';
  const tablesJson = parser.needObject('tables');
  parser.finish();
  if (version !== '' && !/^\d+\.\d+\.\d+$/.test(version)) {
    throw syntaxError(json, `schema version "${version}" not in format x.y.z`);
  }
  let tables = Object.entries(tablesJson as JsonObject).map(([tableName, tableJson]) => {
    checkName(json, tableName);
    return parseTable(tableJson, tableName);
  });
  // Schemas from before garbage collection name no root table: there every table is one.
  if (!tables.some((t) => t.isRoot)) tables = tables.map((t) => ({ ...t, isRoot: true }));
  const byName = new Map(tables.map((t) => [t.name, t]));
  tables = tables.map((t) => checkReferences(t, byName));
  return { name: name as string, version, cksum, tables: new Map(tables.map((t) => [t.name, t])) };
}

/**
 * Every reference names a table; and a column that holds the only reference to a row of a table that
 * is garbage-collected is persistent whatever the schema says, lest the row vanish at the next start.
 */
function checkReferences(table: TableSchema, tables: ReadonlyMap<string, TableSchema>): TableSchema {
  const promoted = new Set<Column>();
  for (const column of table.list) {
    for (const [base, role] of [
      [column.type.key, 'key'],
      [column.type.value, 'value'],
    ] as const) {
      if (base === null || base.refTable === null) continue;
      const target = tables.get(base.refTable);
      if (target === undefined) {
        throw syntaxError(
          undefined,
          `column ${column.name} ${role} refers to undefined table ${base.refTable}`,
        );
      }
      if (isStrongRef(base) && !target.isRoot && !column.persistent) promoted.add(column);
    }
  }
  if (promoted.size === 0) return table;
  const list = table.list.map((c) => (promoted.has(c) ? { ...c, persistent: true } : c));
  return { ...table, list, columns: new Map(list.map((c) => [c.name, c])) };
}

/** The schema as RFC 7047 JSON, in the form that the stock server gives it. */
export function schemaToJson(schema: DatabaseSchema): JsonObject {
  const json: { [name: string]: Json } = { name: schema.name };
  if (schema.version !== '') json.version = schema.version;
  if (schema.cksum !== '') json.cksum = schema.cksum;
  const allRoot = [...schema.tables.values()].every((t) => t.isRoot);
  json.tables = Object.fromEntries([...schema.tables.values()].map((t) => [t.name, tableToJson(t, allRoot)]));
  return json;
}

export function columnToJson({ mutable, persistent, type }: Column): Json {
  const json: { [name: string]: Json } = {};
  if (!mutable) json.mutable = false;
  if (!persistent) json.ephemeral = true;
  json.type = columnTypeToJson(type);
  return json;
}

function tableToJson(table: TableSchema, rootByDefault: boolean): Json {
  const json: { [name: string]: Json } = {};
  if (!table.mutable) json.mutable = false;
  if (table.isRoot !== rootByDefault) json.isRoot = table.isRoot;
  json.columns = Object.fromEntries(
    table.list.slice(VERSION_COLUMN + 1).map((column) => [column.name, columnToJson(column)]),
  );
  if (table.maxRows !== UNLIMITED) json.maxRows = table.maxRows;
  if (table.indexes.length > 0) json.indexes = table.indexes.map((index) => index.map((c) => c.name));
  return json;
}

export function schemasEqual(a: DatabaseSchema, b: DatabaseSchema): boolean {
  return jsonEquals(schemaToJson(a), schemaToJson(b));
}
