/**
 * The operations of RFC 7047 section 5.2. Order of checks and texts of errors follow the stock server.
 */
import { parseUuid, SymbolTable } from '../data/atom.ts';
import {
  checkDatum,
  compareDatums,
  type Datum,
  datumEquals,
  datumFromJson,
  datumKey,
} from '../data/datum.ts';
import { ObjectParser } from '../data/parser.ts';
import { OvsdbError, syntaxError } from '../error.ts';
import { isJsonArray, isJsonObject, type Json, type JsonObject } from '../json.ts';
import { type Column, parseColumnSet, type TableSchema, VERSION_COLUMN } from '../schema/schema.ts';
import { Access, type Principal } from './access.ts';
import { Condition } from './condition.ts';
import type { Database } from './database.ts';
import { mutate, parseMutations } from './mutation.ts';
import { type Row, rowToJson, type Table } from './table.ts';
import { Transaction } from './transaction.ts';

export interface ExecuteOptions {
  /** Refuse operations that write. */
  readonly readOnly: boolean;
  /** Whether the client holds the lock. */
  readonly ownsLock: (name: string) => boolean;
  /** Who the client is, where that restricts it. */
  readonly principal?: Principal;
  /** How long the request has waited for its "wait" operations, in whole milliseconds. */
  readonly elapsed: number;
}

export type Executed =
  /** All operations are done; the transaction is yet to be committed. */
  | {
      readonly kind: 'done';
      readonly results: Json[];
      readonly transaction: Transaction;
      readonly durable: boolean;
      /** Some operation was one that writes, whether or not it changed anything. */
      readonly wrote: boolean;
    }
  /** An operation failed; the results say which. Nothing has changed. */
  | { readonly kind: 'failed'; readonly results: Json[] }
  /** The request as a whole is not a transaction. */
  | { readonly kind: 'refused'; readonly error: OvsdbError }
  /** A "wait" does not hold yet. `timeout` is its limit in milliseconds since the start, or null. */
  | { readonly kind: 'waiting'; readonly timeout: number | null };

/** Thrown within a transaction whose "wait" may still come true. */
class MustWait extends Error {}

interface Operation {
  readonly readOnly: boolean;
  readonly run: (x: Execution, parser: ObjectParser) => JsonObject;
}

class Execution {
  readonly db: Database;
  readonly transaction: Transaction;
  readonly symbols: SymbolTable;
  readonly options: ExecuteOptions;
  readonly access: Access | undefined;
  durable = false;
  wrote = false;
  /** The shortest time that a "wait" so far allows, in milliseconds; null for no limit. */
  timeout: number | null = null;

  constructor(db: Database, options: ExecuteOptions) {
    this.db = db;
    this.options = options;
    this.access = Access.of(db, options.principal);
    this.transaction = new Transaction(db);
    this.symbols = new SymbolTable(db.newUuid);
  }

  table(parser: ObjectParser): Table {
    const name = parser.needString('table', 'id');
    const table = name === undefined ? undefined : this.db.tables.get(name);
    if (name !== undefined && table === undefined) parser.raise(`No table named ${name}.`);
    return table as Table; // undefined only if the parser holds an error, which the caller checks next
  }
}

/** Executes the operations in `params`: `[<db-name>, <operation>*]`. */
export function execute(db: Database, params: Json, options: ExecuteOptions): Executed {
  if (!isJsonArray(params)) return { kind: 'refused', error: syntaxError(params, 'array expected') };
  if (params[0] !== db.name) {
    return { kind: 'refused', error: syntaxError(params, 'database name expected as first parameter') };
  }
  const x = new Execution(db, options);
  const results: Json[] = [];
  const n = params.length - 1;
  for (let i = 1; i <= n; i++) {
    try {
      results.push(runOperation(x, new ObjectParser(params[i], `ovsdb operation ${i} of ${n}`)));
    } catch (error) {
      x.transaction.abort();
      if (error instanceof MustWait) return { kind: 'waiting', timeout: x.timeout };
      if (!(error instanceof OvsdbError)) throw error;
      results.push(error.toJson());
      while (results.length < n) results.push(null);
      return { kind: 'failed', results };
    }
  }
  return { kind: 'done', results, transaction: x.transaction, durable: x.durable, wrote: x.wrote };
}

function runOperation(x: Execution, parser: ObjectParser): JsonObject {
  const name = parser.needString('op', 'id');
  const operation = name === undefined ? undefined : OPERATIONS.get(name);
  if (name !== undefined && operation === undefined) parser.raise(`No operation "${name}"`);
  parser.check();
  const { readOnly, run } = operation as Operation;
  let result: JsonObject;
  try {
    result = run(x, parser);
  } catch (error) {
    parser.finish(); // what is wrong with the form of the operation counts first
    throw error;
  }
  parser.finish();
  if (!readOnly) {
    refuseWrite(x, name as string);
    x.wrote = true;
  }
  return result;
}

function refuseWrite(x: Execution, name: string): void {
  if (x.options.readOnly) {
    throw new OvsdbError(
      'not allowed',
      `${name} operation not allowed when database server is in read only mode`,
    );
  }
  if (x.db.name.startsWith('_')) {
    throw new OvsdbError(
      'not allowed',
      `${name} operation not allowed on table in reserved database ${x.db.name}`,
    );
  }
}

/** Sets the columns that `json` names in `fields`; gives back which they were. */
function assignRow(table: TableSchema, fields: Datum[], json: Json, symbols: SymbolTable): Column[] {
  if (!isJsonObject(json)) throw syntaxError(json, 'row must be JSON object');
  const assigned: Column[] = [];
  for (const [name, value] of Object.entries(json)) {
    const column = table.columns.get(name);
    if (column === undefined) {
      throw syntaxError(json, `No column ${name} in table ${table.name}.`, 'unknown column');
    }
    fields[column.index] = datumFromJson(column.type, value, symbols);
    assigned.push(column);
  }
  return assigned;
}

function insert(x: Execution, parser: ObjectParser): JsonObject {
  const table = x.table(parser);
  const uuidText = parser.maybeString('uuid');
  const name = parser.maybeString('uuid-name', 'id');
  const rowJson = parser.needObject('row');
  parser.check();
  let uuid: string | undefined;
  if (uuidText !== undefined) {
    uuid = parseUuid(uuidText);
    if (uuid === undefined) throw syntaxError(uuidText, 'bad uuid');
    if (!x.transaction.mayInsert(table, uuid)) {
      throw syntaxError(
        uuidText,
        'This UUID would duplicate a UUID already present within the table or deleted within the same transaction.',
        'duplicate uuid',
      );
    }
  }
  if (name !== undefined) {
    const symbol = x.symbols.get(name);
    if (symbol.created) {
      throw syntaxError(
        name,
        'This "uuid-name" appeared on an earlier "insert" operation.',
        'duplicate uuid-name',
      );
    }
    if (uuid !== undefined) symbol.uuid = uuid;
    symbol.created = true;
    uuid = symbol.uuid;
  }
  uuid ??= x.db.newUuid();
  const row = table.newRow(uuid, x.db.newUuid());
  const own = row.fields.slice(0, VERSION_COLUMN + 1);
  assignRow(table.schema, row.fields, rowJson as JsonObject, x.symbols);
  // Defaults need not satisfy the constraints of their columns.
  for (const { index, type } of table.schema.list) {
    if (row.fields[index] === table.defaults[index] && row.fields[index].n === 1)
      checkDatum(row.fields[index], type);
  }
  own.forEach((datum, i) => {
    row.fields[i] = datum;
  });
  x.access?.checkInsert(table, row.fields);
  x.transaction.insert(row);
  return { uuid: ['uuid', uuid] };
}

function select(x: Execution, parser: ObjectParser): JsonObject {
  const table = x.table(parser);
  const where = parser.needArray('where');
  const columnsJson = parser.maybeArray('columns');
  const sortJson = parser.maybeArray('sort');
  parser.check();
  const { schema } = table;
  const condition = Condition.parse(schema, where as readonly Json[], x.symbols);
  const columns = columnsJson === undefined ? schema.list : parseColumnSet(columnsJson, schema.columns);
  const sort = sortJson === undefined ? [] : parseColumnSet(sortJson, schema.columns);
  const rows = new Map<string, Row>();
  const distinct = columns.some((c) => c.index <= VERSION_COLUMN);
  condition.select(table, (row) => {
    rows.set(distinct ? row.uuid : columnsKey(row.fields, columns), row);
  });
  const list = [...rows.values()];
  if (sort.length > 0) list.sort((a, b) => compareByColumns(a.fields, b.fields, sort));
  return { rows: list.map((row) => rowToJson(row.fields, columns)) };
}

function update(x: Execution, parser: ObjectParser): JsonObject {
  const table = x.table(parser);
  const where = parser.needArray('where');
  const rowJson = parser.needObject('row');
  parser.check();
  const values = table.defaults.slice();
  const columns = assignRow(table.schema, values, rowJson as JsonObject, x.symbols);
  for (const column of columns) {
    if (!column.mutable) {
      throw syntaxError(
        parser.source,
        `Cannot update immutable column ${column.name} in table ${table.name}.`,
        'constraint violation',
      );
    }
  }
  const condition = Condition.parse(table.schema, where as readonly Json[], x.symbols);
  x.access?.checkChange(table, condition, columns, 'modification of');
  let count = 0;
  condition.select(table, (row) => {
    count++;
    if (columns.every((c) => datumEquals(row.fields[c.index], values[c.index]))) return;
    const { fields } = x.transaction.modify(row);
    for (const { index } of columns) fields[index] = values[index];
  });
  return { count };
}

function mutateRows(x: Execution, parser: ObjectParser): JsonObject {
  const table = x.table(parser);
  const where = parser.needArray('where');
  const mutationsJson = parser.needArray('mutations');
  parser.check();
  const mutations = parseMutations(table.schema, mutationsJson as readonly Json[], x.symbols);
  const condition = Condition.parse(table.schema, where as readonly Json[], x.symbols);
  const columns = mutations.map((m) => m.column);
  x.access?.checkChange(table, condition, columns, 'mutate operation on');
  let count = 0;
  condition.select(table, (row) => {
    count++;
    const { fields } = x.transaction.modify(row);
    for (const m of mutations) fields[m.column.index] = mutate(fields[m.column.index], m);
  });
  return { count };
}

function deleteRows(x: Execution, parser: ObjectParser): JsonObject {
  const where = parser.needArray('where');
  const table = x.table(parser);
  parser.check();
  const condition = Condition.parse(table.schema, where as readonly Json[], x.symbols);
  x.access?.checkDelete(table, condition);
  let count = 0;
  condition.select(table, (row) => {
    count++;
    x.transaction.delete(row);
  });
  return { count };
}

function wait(x: Execution, parser: ObjectParser): JsonObject {
  const timeoutJson = parser.maybeInteger('timeout');
  const where = parser.needArray('where');
  const columnsJson = parser.maybeArray('columns');
  const until = parser.needString('until');
  const rowsJson = parser.needArray('rows');
  const table = x.table(parser);
  parser.check();
  const { schema } = table;
  const condition = Condition.parse(schema, where as readonly Json[], x.symbols);
  const columns = columnsJson === undefined ? schema.list : parseColumnSet(columnsJson, schema.columns);
  if (timeoutJson !== undefined) {
    if (timeoutJson < 0) throw syntaxError(timeoutJson, 'timeout must be nonnegative');
    const timeout = Number(timeoutJson);
    if (x.timeout === null || timeout < x.timeout) x.timeout = timeout;
  }
  if (until !== '==' && until !== '!=') throw syntaxError(until, '"until" must be "==" or "!="');
  const expected = new Set<string>();
  for (const json of rowsJson as readonly Json[]) {
    const fields = table.defaults.slice();
    assignRow(schema, fields, json, x.symbols);
    expected.add(columnsKey(fields, columns));
  }
  const actual = new Set<string>();
  let equal = true;
  condition.select(table, (row) => {
    const key = columnsKey(row.fields, columns);
    equal = expected.has(key);
    actual.add(key);
    return equal;
  });
  equal &&= actual.size === expected.size;
  if ((until === '==') === equal) return {};
  const { elapsed } = x.options;
  if (timeoutJson !== undefined && elapsed >= timeoutJson) {
    throw new OvsdbError(
      'timed out',
      elapsed > 0 ? `"wait" timed out after ${elapsed} ms` : '"where" clause test failed',
    );
  }
  throw new MustWait();
}

function commit(x: Execution, parser: ObjectParser): JsonObject {
  if (parser.need('durable', 'boolean') === true) x.durable = true;
  return {};
}

function abort(): JsonObject {
  throw new OvsdbError('aborted', 'aborted by request');
}

function comment(x: Execution, parser: ObjectParser): JsonObject {
  const text = parser.needString('comment');
  if (text !== undefined) x.transaction.addComment(text);
  return {};
}

function assertLock(x: Execution, parser: ObjectParser): JsonObject {
  const lock = parser.needString('lock', 'id');
  if (lock !== undefined && !x.options.ownsLock(lock)) {
    throw new OvsdbError('not owner', `Asserted lock ${lock} not held.`);
  }
  return {};
}

const OPERATIONS: ReadonlyMap<string, Operation> = new Map([
  ['insert', { readOnly: false, run: insert }],
  ['select', { readOnly: true, run: select }],
  ['update', { readOnly: false, run: update }],
  ['mutate', { readOnly: false, run: mutateRows }],
  ['delete', { readOnly: false, run: deleteRows }],
  ['wait', { readOnly: true, run: wait }],
  ['commit', { readOnly: false, run: commit }],
  ['abort', { readOnly: true, run: abort }],
  ['comment', { readOnly: true, run: comment }],
  ['assert', { readOnly: true, run: assertLock }],
]);

function columnsKey(fields: readonly Datum[], columns: readonly Column[]): string {
  if (columns.length === 1) return datumKey(fields[columns[0].index]);
  return columns.map((c) => datumKey(fields[c.index])).join('\u0000');
}

function compareByColumns(a: readonly Datum[], b: readonly Datum[], columns: readonly Column[]): number {
  for (const { index } of columns) {
    const order = compareDatums(a[index], b[index]);
    if (order !== 0) return order;
  }
  return 0;
}
