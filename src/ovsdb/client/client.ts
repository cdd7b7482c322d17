import type { Clock } from '../../base/clock.ts';
import type { Logger, ModuleLog } from '../../base/log.ts';
import { ZERO_UUID } from '../data/atom.ts';
import { OvsdbError } from '../error.ts';
import { isJsonArray, isJsonObject, type Json, member, stringify } from '../json.ts';
import type { Connector } from '../rpc/channel.ts';
import { Upstream } from '../rpc/upstream.ts';
import type { ColumnName, TableName } from '../schema/rows.ts';
import { type DatabaseSchema, parseSchema, type TableSchema } from '../schema/schema.ts';
import type { SchemaSpec } from '../schema/spec.ts';
import type { ChangeSet, Client, ClientState, Replica, Transaction } from './api.ts';
import { ReplicaStore, type UpdateForm } from './replica.ts';
import { ClientTransaction } from './transaction.ts';

const MONITOR_ID = 'replica';

/** From the newest to the oldest; each server knows at least the last. */
const MONITOR_METHODS = ['monitor_cond_since', 'monitor_cond', 'monitor'] as const;

export interface OvsdbClientOptions<S extends SchemaSpec> {
  readonly schema: S;
  readonly connector: Connector;
  readonly clock: Clock;
  readonly log: Logger;
  /**
   * What to replicate: table by table all columns (`true`) or those named; without it everything.
   * Columns that are not replicated show their default values. Leave out columns that you only write,
   * and you are not told of your own writes.
   */
  readonly tables?: { readonly [T in TableName<S>]?: true | readonly ColumnName<S, T>[] };
  /** Milliseconds of silence after which the server is probed; 0 for never. By default 5 s over TCP. */
  readonly probeInterval?: number;
  /** Longest pause between attempts to connect, in milliseconds. */
  readonly maxBackoff?: number;
}

/**
 * Replicates a database and changes it by transactions. When `commit` resolves to success, the replica
 * already shows what the transaction did.
 */
export class OvsdbClient<S extends SchemaSpec> implements Client<S> {
  readonly #options: OvsdbClientOptions<S>;
  readonly #schema: DatabaseSchema;
  readonly #store: ReplicaStore<S>;
  readonly #log: ModuleLog;
  readonly #upstream: Upstream;
  readonly #changeHandlers = new Set<(changes: ChangeSet<S>) => void>();
  readonly #stateHandlers = new Set<(state: ClientState) => void>();
  #state: ClientState = 'idle';
  /** Index into `MONITOR_METHODS` of the method in use. */
  #method = 0;
  /** The newest transaction that the replica has, for servers that keep a history. */
  #lastTransaction = ZERO_UUID;
  #lockName: string | undefined;
  #locked = false;
  readonly #lockHandlers = new Set<(held: boolean) => void>();

  constructor(options: OvsdbClientOptions<S>) {
    this.#options = options;
    this.#schema = parseSchema(options.schema as unknown as Json);
    this.#store = new ReplicaStore(this.#schema);
    this.#log = options.log.module('ovsdb_idl');
    this.#upstream = new Upstream({
      connector: options.connector,
      clock: options.clock,
      log: options.log,
      probeInterval: options.probeInterval,
      maxBackoff: options.maxBackoff,
      onConnected: () => this.#onConnected(),
      onLost: () => {
        this.#locked = false;
      },
      onNotification: (method, params) => this.#onNotification(method, params),
      onState: (state) => {
        if (state === 'CONNECTING') this.#enter('connecting');
        else if (state === 'BACKOFF') this.#enter('backoff');
      },
    });
  }

  get replica(): Replica<S> {
    return this.#store;
  }

  get state(): ClientState {
    return this.#state;
  }

  start(): void {
    this.#upstream.start();
  }

  close(): void {
    this.#enter('closed');
    this.#upstream.close();
  }

  synced(): Promise<void> {
    if (this.#state === 'synced') return Promise.resolve();
    return new Promise((resolve) => {
      const stop = this.onState((state) => {
        if (state !== 'synced') return;
        stop();
        resolve();
      });
    });
  }

  onChange(fn: (changes: ChangeSet<S>) => void): () => void {
    this.#changeHandlers.add(fn);
    return () => this.#changeHandlers.delete(fn);
  }

  onState(fn: (state: ClientState) => void): () => void {
    this.#stateHandlers.add(fn);
    return () => this.#stateHandlers.delete(fn);
  }

  #enter(state: ClientState): void {
    if (state === this.#state || this.#state === 'closed') return;
    this.#state = state;
    for (const fn of [...this.#stateHandlers]) fn(state);
  }

  transaction(): Transaction<S> {
    return new ClientTransaction<S>(this.#schema, (operations) =>
      this.#upstream.call('transact', [this.#schema.name, ...operations]),
    );
  }

  lock(name: string): void {
    this.#lockName = name;
    if (this.#upstream.connected) this.#requestLock(name);
  }

  locked(): boolean {
    return this.#locked;
  }

  #requestLock(name: string): void {
    this.#upstream.ask('lock', [name], (reply) => {
      if (reply === undefined) return;
      if (reply.error !== null) this.#log.warn(`lock "${name}" refused: ${stringify(reply.error)}`);
      else if (isJsonObject(reply.result)) this.#setLocked(member(reply.result, 'locked') === true);
    });
  }

  onLock(fn: (held: boolean) => void): () => void {
    this.#lockHandlers.add(fn);
    return () => void this.#lockHandlers.delete(fn);
  }

  #setLocked(held: boolean): void {
    this.#locked = held;
    for (const handler of this.#lockHandlers) handler(held);
  }

  #onConnected(): void {
    this.#enter('syncing');
    if (this.#lockName !== undefined) this.#requestLock(this.#lockName);
    this.#synchronise();
  }

  #onNotification(method: string, params: readonly Json[]): void {
    if (method === 'update' || method === 'update2' || method === 'update3') {
      this.#onUpdate(method, params);
    } else if (method === 'locked' || method === 'stolen') {
      if (params[0] === this.#lockName) this.#setLocked(method === 'locked');
    } else if (method === 'monitor_canceled') {
      this.#upstream.reconnect(); // the database went away or changed its schema: begin anew
    }
  }

  #onUpdate(method: 'update' | 'update2' | 'update3', params: readonly Json[]): void {
    if (params[0] !== MONITOR_ID) return;
    if (method === 'update3') {
      if (typeof params[1] === 'string') this.#lastTransaction = params[1];
      this.#apply(params[2], 'differences', false);
    } else {
      this.#apply(params[1], method === 'update' ? 'rows' : 'differences', false);
    }
  }

  #apply(updates: Json, form: UpdateForm, replace: boolean): void {
    let changes: ReturnType<ReplicaStore<S>['apply']>;
    try {
      changes = this.#store.apply(updates, form, replace);
    } catch (error) {
      if (!(error instanceof OvsdbError)) throw error;
      this.#log.err(`${this.#options.connector.name}: update does not fit, starting anew: ${error.message}`);
      this.#lastTransaction = ZERO_UUID;
      this.#upstream.reconnect();
      return;
    }
    if (changes.empty && !replace) return;
    for (const fn of [...this.#changeHandlers]) fn(changes);
  }

  /** Gets the schema, and then monitors what both sides know. */
  #synchronise(): void {
    this.#upstream.ask('get_schema', [this.#schema.name], (reply) => {
      if (reply === undefined) return;
      if (reply.error !== null) {
        this.#giveUp(`no schema for ${this.#schema.name}: ${stringify(reply.error)}`);
        return;
      }
      try {
        this.#monitor(this.#monitorRequests(parseSchema(reply.result)));
      } catch (error) {
        if (!(error instanceof OvsdbError)) throw error;
        this.#giveUp(`schema of ${this.#schema.name} is not understood: ${error.message}`);
      }
    });
  }

  #giveUp(why: string): void {
    this.#log.warn(`${this.#options.connector.name}: ${why}`);
    this.#upstream.reconnect();
  }

  #monitor(requests: Json): void {
    const method = MONITOR_METHODS[this.#method];
    const params: Json[] = [this.#schema.name, MONITOR_ID, requests];
    if (method === 'monitor_cond_since') params.push(this.#lastTransaction);
    this.#upstream.ask(method, params, (reply) => {
      if (reply === undefined) return;
      if (reply.error === null) {
        this.#onMonitored(method, reply.result);
      } else if (reply.error === 'unknown method' && this.#method < MONITOR_METHODS.length - 1) {
        this.#method++;
        this.#monitor(requests);
      } else {
        this.#giveUp(`${method} failed: ${stringify(reply.error)}`);
      }
    });
  }

  #onMonitored(method: (typeof MONITOR_METHODS)[number], result: Json): void {
    if (method === 'monitor_cond_since') {
      if (!isJsonArray(result) || result.length !== 3) {
        this.#giveUp(`${method} gave a reply that is not understood`);
        return;
      }
      const [found, last, updates] = result;
      if (typeof last === 'string') this.#lastTransaction = last;
      this.#apply(updates, 'differences', found !== true);
    } else {
      this.#apply(result, method === 'monitor' ? 'rows' : 'differences', true);
    }
    if (this.#upstream.connected) this.#enter('synced');
  }

  #monitorRequests(theirs: DatabaseSchema): Json {
    const requests: { [table: string]: Json } = {};
    for (const table of this.#schema.tables.values()) {
      const other = theirs.tables.get(table.name);
      const columns = this.#wantedColumns(table);
      if (columns === undefined) continue;
      if (other === undefined) {
        this.#log.warn(`${this.#schema.name} database lacks table ${table.name}: treated as empty`);
        continue;
      }
      requests[table.name] = [{ columns: columns.filter((name) => other.columns.has(name)) }];
    }
    return requests;
  }

  #wantedColumns(table: TableSchema): readonly string[] | undefined {
    const all = table.list.slice(2).map((c) => c.name);
    const { tables } = this.#options;
    if (tables === undefined) return all;
    const wanted = (tables as { readonly [name: string]: true | readonly string[] | undefined })[table.name];
    return wanted === true ? all : wanted;
  }
}
