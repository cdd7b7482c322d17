/**
 * What a user of the database sees: a local replica with typed rows, change callbacks, and
 * transactions. `OvsdbClient` implements it over any `Connector`, in process or over a socket.
 *
 *     const client = new OvsdbClient({ schema: openVSwitchSchema, connector, clock, log });
 *     client.onChange((changes) => { for (const c of changes.of('Bridge')) ... });
 *     client.start();
 *     await client.synced();
 *     for (const bridge of client.replica.table('Bridge').rows()) console.log(bridge.name, bridge.ports.length);
 *
 *     const txn = client.transaction();
 *     const port = txn.insert('Port', { name: 'p0', interfaces: [txn.insert('Interface', { name: 'p0' })] });
 *     txn.mutate('Bridge', bridge._uuid, 'ports', 'insert', [port]);
 *     const outcome = await txn.commit();
 */
import type { ColumnName, RowOf, TableName, ValuesOf } from '../schema/rows.ts';
import type { SchemaSpec } from '../schema/spec.ts';

/**
 * Stands for a row that this transaction inserts, wherever a uuid may stand in the same transaction.
 * It is a string that no uuid equals; after the commit, `CommitOutcome.uuids` has the real one.
 */
export type RowRef = string;

export interface Replica<S extends SchemaSpec> {
  table<T extends TableName<S>>(name: T): TableView<S, T>;
}

/** A read-only view of one table of the replica. It shows the newest committed state at every call. */
export interface TableView<S extends SchemaSpec, T extends TableName<S>> {
  readonly name: T;
  readonly size: number;
  get(uuid: string): RowOf<S, T> | undefined;
  has(uuid: string): boolean;
  /** All rows, in no particular order. The iterator sees rows that are added while it runs. */
  rows(): IterableIterator<RowOf<S, T>>;
  /** The first row for which `predicate` holds. */
  find(predicate: (row: RowOf<S, T>) => boolean): RowOf<S, T> | undefined;
  /** For tables of one row such as `Open_vSwitch`: that row, or undefined while there is none. */
  only(): RowOf<S, T> | undefined;
}

/** What happened to one row. `columns` names the columns that differ, for an insert those not default. */
export type RowChange<S extends SchemaSpec, T extends TableName<S> = TableName<S>> = {
  readonly table: T;
  readonly uuid: string;
  readonly columns: ReadonlySet<string>;
} & (
  | { readonly kind: 'insert'; readonly old: undefined; readonly row: RowOf<S, T> }
  | { readonly kind: 'modify'; readonly old: RowOf<S, T>; readonly row: RowOf<S, T> }
  | { readonly kind: 'delete'; readonly old: RowOf<S, T>; readonly row: undefined }
);

/** All changes of one update of the replica, which already shows the state after them. */
export interface ChangeSet<S extends SchemaSpec> {
  /** True for the first complete content after a (re)connection: rows that were unchanged are not in it. */
  readonly initial: boolean;
  of<T extends TableName<S>>(table: T): readonly RowChange<S, T>[];
  touches(table: TableName<S>): boolean;
  all(): IterableIterator<RowChange<S>>;
}

export type CommitOutcome =
  | {
      readonly status: 'success';
      /** Real uuids by `RowRef`. */
      readonly uuids: ReadonlyMap<RowRef, string>;
      /** Numbers of rows that each update, mutate or delete matched, in the order of the calls. */
      readonly counts: readonly number[];
    }
  /** Nothing was to be done; the server was not asked. */
  | { readonly status: 'unchanged' }
  /** A row that the transaction had `verify`d changed meanwhile: read the replica again and retry. */
  | { readonly status: 'try-again' }
  /** The lock that the transaction asserted belongs to another client. */
  | { readonly status: 'not-locked' }
  /** The connection was lost before the answer came: the transaction may or may not have happened. */
  | { readonly status: 'disconnected' }
  | { readonly status: 'error'; readonly error: string; readonly details: string };

export type Mutator = '+=' | '-=' | '*=' | '/=' | '%=' | 'insert' | 'delete';

/**
 * A transaction being composed. It reads nothing from the replica and sends nothing before `commit`.
 * The server applies all of it or none of it.
 */
export interface Transaction<S extends SchemaSpec> {
  /** Inserts a row; columns left out get their defaults. */
  insert<T extends TableName<S>>(table: T, values: ValuesOf<S, T>): RowRef;
  /** Replaces whole column values of the row `uuid` (a uuid or a `RowRef`). */
  update<T extends TableName<S>>(table: T, uuid: string, values: ValuesOf<S, T>): void;
  /**
   * Changes one column in place on the server, whatever its value is there: `insert` and `delete` of
   * set members or map pairs (for `delete` of map pairs by key, give an array of keys), or arithmetic.
   */
  mutate<T extends TableName<S>, C extends ColumnName<S, T>>(
    table: T,
    uuid: string,
    column: C,
    mutator: Mutator,
    value: MutationValue,
  ): void;
  delete<T extends TableName<S>>(table: T, uuid: string): void;
  /** Makes the commit fail with `try-again` unless these columns still are as the replica shows them now. */
  verify<T extends TableName<S>, C extends ColumnName<S, T>>(
    table: T,
    row: RowOf<S, T>,
    ...columns: C[]
  ): void;
  /** Goes to the database's log file, where `ovsdb-tool show-log` shows it. */
  comment(text: string): void;
  /** Answers only after the data is safely on disk. */
  durable(): void;
  /** Makes the commit fail with `not-locked` unless this client holds the lock. */
  assertLock(name: string): void;
  /** True if nothing has been asked for yet. */
  readonly empty: boolean;
  commit(): Promise<CommitOutcome>;
}

export type MutationAtom = string | number | bigint | boolean;
export type MutationValue = MutationAtom | readonly MutationAtom[] | ReadonlyMap<MutationAtom, MutationAtom>;

export type ClientState = 'idle' | 'connecting' | 'syncing' | 'synced' | 'backoff' | 'closed';

/** A connection to one database that keeps itself alive and its replica current. */
export interface Client<S extends SchemaSpec> {
  readonly replica: Replica<S>;
  readonly state: ClientState;
  /** Starts to connect; reconnects with growing pauses until `close`. */
  start(): void;
  /** Resolves when the replica is complete and current for the first time from now on. */
  synced(): Promise<void>;
  /** Calls `fn` after each change of the replica; gives back a function that stops that. */
  onChange(fn: (changes: ChangeSet<S>) => void): () => void;
  onState(fn: (state: ClientState) => void): () => void;
  transaction(): Transaction<S>;
  /** Asks for a named lock, again after each reconnection; `locked()` tells whether it is held. */
  lock(name: string): void;
  locked(): boolean;
  /**
   * Calls `fn` when the server has said whether this client holds the lock: true when it gets it, false when
   * another client has it. A lost connection says nothing.
   */
  onLock(fn: (held: boolean) => void): () => void;
  close(): void;
}
