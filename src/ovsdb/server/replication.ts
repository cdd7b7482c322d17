/**
 * # Replication
 *
 * A backup server copies the databases of an active one into its own files, by plain monitors, and
 * takes no writes meanwhile. Each database whose schema fits is replicated, except for excluded tables.
 * When replication fails for good, or is ended by command, the server becomes active itself.
 */
import type { Clock } from '../../base/clock.ts';
import type { Logger, ModuleLog } from '../../base/log.ts';
import { OvsdbError } from '../error.ts';
import { isJsonArray, type Json, jsonEquals, stringify } from '../json.ts';
import type { Connector } from '../rpc/channel.ts';
import { Upstream } from '../rpc/upstream.ts';
import {
  type Column,
  columnToJson,
  type DatabaseSchema,
  parseSchema,
  schemasEqual,
} from '../schema/schema.ts';
import { updatesToTransaction } from './apply.ts';
import type { Server } from './server.ts';

export interface ReplicationOptions {
  readonly server: Server;
  readonly connector: Connector;
  readonly clock: Clock;
  readonly log: Logger;
  /** Database name -> tables that are not replicated. */
  readonly excluded: ReadonlyMap<string, ReadonlySet<string>>;
  readonly probeInterval: number;
  /** Replication cannot go on. */
  readonly onFailure: () => void;
}

const NONE: ReadonlySet<string> = new Set();

/** "db:table,db2:table2" by database. Throws `OvsdbError` with the message of the stock server. */
export function parseExcluded(text: string): Map<string, Set<string>> {
  const excluded = new Map<string, Set<string>>();
  for (const name of text.split(/[ ,]+/).filter((n) => n !== '')) {
    const [db, table] = name.split(':');
    if (!table) throw new OvsdbError('ovsdb error', `Can't parse excluded table: ${name}`);
    const tables = excluded.get(db) ?? new Set();
    excluded.set(db, tables.add(table));
  }
  return excluded;
}

export function formatExcluded(excluded: ReadonlyMap<string, ReadonlySet<string>>): string {
  return [...excluded]
    .flatMap(([db, tables]) => [...tables].map((table) => `${db}:${table}`))
    .sort()
    .join(',');
}

export class Replication {
  readonly #options: ReplicationOptions;
  readonly #log: ModuleLog;
  readonly #upstream: Upstream;
  readonly #databases = new Set<string>();
  /** Replies still to come before everything is replicated. */
  #open = 0;
  #state: 'connecting' | 'replicating' | 'failed' = 'connecting';
  #settled: (() => void)[] = [];

  constructor(options: ReplicationOptions) {
    this.#options = options;
    this.#log = options.log.module('replication');
    this.#upstream = new Upstream({
      connector: options.connector,
      clock: options.clock,
      log: options.log,
      probeInterval: options.probeInterval,
      onConnected: () => this.#begin(),
      onLost: () => {
        if (this.#state === 'replicating') this.#state = 'connecting';
      },
      onNotification: (method, params) => {
        if (method === 'update' && this.#state !== 'failed') this.#apply(String(params[0]), params[1], false);
      },
    });
  }

  start(): void {
    this.#upstream.start();
  }

  close(): void {
    this.#upstream.close();
    this.#settle();
  }

  set probeInterval(milliseconds: number) {
    this.#upstream.probeInterval = milliseconds;
  }

  /** Resolves when it is known whether replication works. */
  settled(): Promise<void> {
    if (this.#state !== 'connecting') return Promise.resolve();
    return new Promise((resolve) => this.#settled.push(resolve));
  }

  #settle(): void {
    for (const resolve of this.#settled.splice(0)) resolve();
  }

  /** The text of `ovsdb-server/sync-status` behind its first line. */
  get status(): string {
    const { name } = this.#options.connector;
    if (this.#state === 'failed') return `Replication to (${name}) failed\n`;
    if (!this.#upstream.connected) return `not connected to ${name}`;
    if (this.#state === 'connecting') return `connecting: ${name}`;
    const excluded = formatExcluded(this.#options.excluded);
    const databases = [...this.#databases].join(', ');
    return `replicating: ${name}\ndatabase: ${databases}${excluded === '' ? '' : `\nexclude: ${excluded}`}`;
  }

  #fail(why: string): void {
    this.#log.err(why);
    this.#state = 'failed';
    this.#upstream.close();
    this.#settle();
    this.#options.onFailure();
  }

  #begin(): void {
    const { server } = this.#options;
    this.#state = 'connecting';
    this.#databases.clear();
    this.#open = 0;
    this.#ask('get_server_id', [], (id) => {
      if (id === server.id) {
        this.#fail('unexpected ovsdb error: Server ID check failed: Self replicating is not allowed');
        return;
      }
      this.#ask('list_dbs', [], (names) => {
        if (!isJsonArray(names)) {
          this.#fail('unexpected ovsdb error: list_dbs failed: list_dbs response is not array');
          return;
        }
        const common = names.filter(
          (name): name is string =>
            typeof name === 'string' && !name.startsWith('_') && server.databases.has(name),
        );
        if (common.length === 0) this.#nothingToDo();
        this.#open = common.length;
        for (const name of common) this.#ask('get_schema', [name], (schema) => this.#onSchema(name, schema));
      });
    });
  }

  #ask(method: string, params: readonly Json[], then: (result: Json) => void): void {
    this.#upstream.ask(method, params, (reply) => {
      if (reply === undefined || this.#state === 'failed') return;
      if (reply.error !== null) this.#fail(`${method} failed: ${stringify(reply.error)}`);
      else then(reply.result);
    });
  }

  #nothingToDo(): void {
    this.#log.warn('Nothing to replicate.');
    this.#fail('there is no database that both servers have');
  }

  #onSchema(name: string, json: Json): void {
    const local = this.#options.server.databases.get(name);
    let theirs: DatabaseSchema;
    try {
      theirs = parseSchema(json);
    } catch (error) {
      this.#fail(
        `schema of ${name} is not understood: ${error instanceof Error ? error.message : String(error)}`,
      );
      return;
    }
    if (local === undefined || !this.#fits(local.schema, theirs)) {
      if (--this.#open > 0) return;
      if (this.#databases.size === 0) this.#nothingToDo();
      else this.#done();
      return;
    }
    const excluded = this.#options.excluded.get(name) ?? NONE;
    const requests = Object.fromEntries(
      [...theirs.tables.values()]
        .filter((t) => !excluded.has(t.name))
        .map((t) => [t.name, [{ columns: t.list.slice(2).map((c) => c.name) }]]),
    );
    this.#databases.add(name);
    this.#ask('monitor', [name, name, requests], (updates) => {
      this.#log.info('Monitor request received. Resetting the database');
      if (!this.#apply(name, updates, true)) return;
      if (--this.#open === 0) this.#done();
    });
  }

  #done(): void {
    this.#state = 'replicating';
    this.#settle();
  }

  /** The local schema must have all that the other has, in the same form. */
  #fits(local: DatabaseSchema, theirs: DatabaseSchema): boolean {
    if (schemasEqual(local, theirs)) return true;
    const { name } = theirs;
    this.#log.info(`Schema version mismatch, checking if ${name} can still be replicated or not.`);
    for (const table of theirs.tables.values()) {
      const ours = local.tables.get(table.name);
      if (ours === undefined) {
        this.#log.info(`Table ${table.name} not present in the local db schema`);
        this.#log.info(`${name} cannot be replicated.`);
        return false;
      }
      for (const column of table.list) {
        if (this.#sameColumn(ours.columns.get(column.name), column, table.name)) continue;
        this.#log.info(`${name} cannot be replicated.`);
        return false;
      }
    }
    this.#log.info(`${name} can be replicated.`);
    return true;
  }

  #sameColumn(ours: Column | undefined, theirs: Column, table: string): boolean {
    if (ours === undefined) {
      this.#log.info(`Column ${theirs.name} not present in the local db schema table ${table}.`);
      return false;
    }
    if (jsonEquals(columnToJson(ours), columnToJson(theirs))) return true;
    this.#log.info(`Column ${theirs.name} mismatch in local db schema table ${table}.`);
    return false;
  }

  #apply(name: string, updates: Json, replace: boolean): boolean {
    const { server, excluded } = this.#options;
    const db = server.databases.get(name);
    if (db === undefined || !this.#databases.has(name)) return false;
    try {
      server.commit(
        updatesToTransaction(db, updates, { form: 'rows', replace, excluded: excluded.get(name) ?? NONE }),
      );
      return true;
    } catch (error) {
      if (!(error instanceof OvsdbError)) throw error;
      this.#fail(`unexpected ovsdb error: ${error.message}`);
      return false;
    }
  }
}
