import { WeftError } from '../../base/errors.ts';
import { isJsonArray, isJsonObject, type Json, member } from '../json.ts';
import type { ColumnName, RowOf, TableName, ValuesOf } from '../schema/rows.ts';
import type { Column, DatabaseSchema, TableSchema } from '../schema/schema.ts';
import type { SchemaSpec } from '../schema/spec.ts';
import type { CommitOutcome, MutationValue, Mutator, RowRef, Transaction } from './api.ts';
import { REF_PREFIX, uuidJson, valueJson } from './values.ts';

/** Sends the operations; undefined if the connection was or got lost. */
export type Transact = (operations: readonly Json[]) => Promise<{ result: Json; error: Json } | undefined>;

/** What each operation's result is read for. */
type Expectation = { readonly insert: RowRef } | 'count' | 'verify' | 'lock' | 'nothing';

export class ClientTransaction<S extends SchemaSpec> implements Transaction<S> {
  readonly #schema: DatabaseSchema;
  readonly #transact: Transact;
  readonly #operations: Json[] = [];
  readonly #expected: Expectation[] = [];
  #inserts = 0;
  #writes = 0;
  #committed = false;

  constructor(schema: DatabaseSchema, transact: Transact) {
    this.#schema = schema;
    this.#transact = transact;
  }

  get empty(): boolean {
    return this.#writes === 0;
  }

  #table(name: string): TableSchema {
    const table = this.#schema.tables.get(name);
    if (table === undefined) throw new WeftError('no-such-table', `the schema has no table "${name}"`);
    return table;
  }

  #column(table: TableSchema, name: string): Column {
    const column = table.columns.get(name);
    if (column === undefined)
      throw new WeftError('no-such-column', `table ${table.name} has no column "${name}"`);
    return column;
  }

  #add(operation: Json, expected: Expectation): void {
    if (this.#committed)
      throw new WeftError('transaction-committed', 'the transaction was committed already');
    this.#operations.push(operation);
    this.#expected.push(expected);
    if (expected !== 'verify' && expected !== 'lock' && expected !== 'nothing') this.#writes++;
  }

  #row(table: TableSchema, values: object): Json {
    const row: { [name: string]: Json } = {};
    for (const [name, value] of Object.entries(values)) {
      if (value === undefined) continue;
      row[name] = valueJson(this.#column(table, name).type, value, `${table.name}.${name}`);
    }
    return row;
  }

  insert<T extends TableName<S>>(tableName: T, values: ValuesOf<S, T>): RowRef {
    const table = this.#table(tableName);
    const name = `row${++this.#inserts}`;
    const ref = `${REF_PREFIX}${name}`;
    this.#add(
      { op: 'insert', table: tableName, 'uuid-name': name, row: this.#row(table, values) },
      { insert: ref },
    );
    return ref;
  }

  update<T extends TableName<S>>(tableName: T, uuid: string, values: ValuesOf<S, T>): void {
    const row = this.#row(this.#table(tableName), values);
    this.#add({ op: 'update', table: tableName, where: whereUuid(uuid), row }, 'count');
  }

  mutate<T extends TableName<S>, C extends ColumnName<S, T>>(
    tableName: T,
    uuid: string,
    columnName: C,
    mutator: Mutator,
    value: MutationValue,
  ): void {
    const table = this.#table(tableName);
    const { type } = this.#column(table, columnName);
    const json = valueJson(type, value, `${tableName}.${columnName}`);
    this.#add(
      { op: 'mutate', table: tableName, where: whereUuid(uuid), mutations: [[columnName, mutator, json]] },
      'count',
    );
  }

  delete<T extends TableName<S>>(tableName: T, uuid: string): void {
    this.#table(tableName);
    this.#add({ op: 'delete', table: tableName, where: whereUuid(uuid) }, 'count');
  }

  verify<T extends TableName<S>, C extends ColumnName<S, T>>(
    tableName: T,
    row: RowOf<S, T>,
    ...columns: C[]
  ): void {
    const table = this.#table(tableName);
    const values = Object.fromEntries(columns.map((name) => [name, row[name]]));
    this.#add(
      {
        op: 'wait',
        timeout: 0,
        table: tableName,
        where: whereUuid(row._uuid),
        columns,
        until: '==',
        rows: [this.#row(table, values)],
      },
      'verify',
    );
  }

  comment(text: string): void {
    this.#add({ op: 'comment', comment: text }, 'nothing');
  }

  durable(): void {
    this.#add({ op: 'commit', durable: true }, 'nothing');
  }

  assertLock(name: string): void {
    this.#add({ op: 'assert', lock: name }, 'lock');
  }

  async commit(): Promise<CommitOutcome> {
    if (this.#committed)
      throw new WeftError('transaction-committed', 'the transaction was committed already');
    this.#committed = true;
    if (this.empty) return { status: 'unchanged' };
    const reply = await this.#transact(this.#operations);
    if (reply === undefined) return { status: 'disconnected' };
    if (reply.error !== null) return failure(reply.error);
    if (!isJsonArray(reply.result)) return failure(reply.result);
    return this.#outcome(reply.result);
  }

  #outcome(results: readonly Json[]): CommitOutcome {
    const uuids = new Map<RowRef, string>();
    const counts: number[] = [];
    for (const [i, result] of results.entries()) {
      const expected = this.#expected[i];
      if (isJsonObject(result) && typeof member(result, 'error') === 'string') {
        if (expected === 'verify' && result.error === 'timed out') return { status: 'try-again' };
        if (expected === 'lock' && result.error === 'not owner') return { status: 'not-locked' };
        return failure(result);
      }
      if (!isJsonObject(result)) continue;
      if (expected === 'count') counts.push(Number(member(result, 'count') ?? 0));
      else if (typeof expected === 'object') {
        const uuid = member(result, 'uuid');
        if (isJsonArray(uuid) && typeof uuid[1] === 'string') uuids.set(expected.insert, uuid[1]);
      }
    }
    return { status: 'success', uuids, counts };
  }
}

function whereUuid(uuid: string): Json {
  return [['_uuid', '==', uuidJson(uuid)]];
}

function failure(json: Json): CommitOutcome {
  if (!isJsonObject(json)) return { status: 'error', error: String(json), details: '' };
  return {
    status: 'error',
    error: String(member(json, 'error') ?? 'unknown error'),
    details: String(member(json, 'details') ?? ''),
  };
}
