/**
 * # Relays
 *
 * A relay serves the database of another server: it follows it by `monitor_cond_since`, answers reads
 * itself and hands transactions that write on to the source. The reply comes back the way it went; the
 * change comes with the next update, before the reply. Relays can be chained.
 */
import type { Clock } from '../../base/clock.ts';
import type { Logger, ModuleLog } from '../../base/log.ts';
import { ZERO_UUID } from '../data/atom.ts';
import { Database } from '../engine/database.ts';
import { OvsdbError } from '../error.ts';
import { isJsonArray, type Json, stringify } from '../json.ts';
import type { Connector } from '../rpc/channel.ts';
import { type Reply, Upstream } from '../rpc/upstream.ts';
import { type DatabaseSchema, parseSchema, schemasEqual } from '../schema/schema.ts';
import { updatesToTransaction } from './apply.ts';
import type { Server } from './server.ts';

export interface RelayOptions {
  /** The name of the database. */
  readonly name: string;
  /** Where it is; several are tried in turn. */
  readonly sources: readonly Connector[];
  readonly clock: Clock;
  readonly log: Logger;
  readonly newUuid: () => string;
}

/** A transaction to be handed on; undefined answers that it never will be. */
interface Forwarded {
  readonly params: readonly Json[];
  readonly answer: (reply: Reply | undefined) => void;
}

export class Relay {
  readonly name: string;
  readonly #options: RelayOptions;
  readonly #server: Server;
  readonly #log: ModuleLog;
  readonly #upstream: Upstream;
  #source = 0;
  #db: Database | undefined;
  #schema: DatabaseSchema | undefined;
  #lastId = ZERO_UUID;
  #following = false;
  /** Transactions that came while there was no connection. */
  readonly #queue: Forwarded[] = [];

  constructor(server: Server, options: RelayOptions) {
    this.name = options.name;
    this.#options = options;
    this.#server = server;
    this.#log = options.log.module('relay').limited(12, 5);
    const { sources } = options;
    this.#upstream = new Upstream({
      connector: {
        name: sources.map((s) => s.name).join(','),
        needsProbes: sources.some((s) => s.needsProbes),
        connect: () => sources[this.#source++ % sources.length].connect(),
      },
      clock: options.clock,
      log: options.log,
      onConnected: () => this.#synchronise(),
      onLost: () => {
        this.#following = false;
        this.#server.relayChanged();
      },
      onNotification: (method, params) => this.#onNotification(method, params),
    });
  }

  start(): void {
    this.#upstream.start();
  }

  close(): void {
    this.#upstream.close();
    for (const { answer } of this.#queue.splice(0)) answer(undefined);
  }

  /** The relay is connected and up to date. */
  get connected(): boolean {
    return this.#following;
  }

  /** The id of the newest transaction, as the source counts. */
  get lastId(): string {
    return this.#lastId;
  }

  /** Hands a transaction on. `answer` gets undefined if the connection is lost on the way. */
  forward(params: readonly Json[], answer: (reply: Reply | undefined) => void): void {
    if (this.#following) this.#upstream.ask('transact', params, answer);
    else this.#queue.push({ params, answer });
  }

  #fail(why: string): void {
    this.#log.warn(`${this.#upstream.name}: ${why}`);
    this.#lastId = ZERO_UUID;
    this.#upstream.reconnect();
  }

  #synchronise(): void {
    this.#upstream.ask('set_db_change_aware', [true], () => {});
    this.#upstream.ask('get_schema', [this.name], (reply) => {
      if (reply === undefined) return;
      if (reply.error !== null) {
        // The source may be a relay itself that is not ready yet.
        this.#log.dbg(`${this.#upstream.name}: no schema: ${stringify(reply.error)}`);
        this.#upstream.reconnect();
        return;
      }
      try {
        this.#monitor(parseSchema(reply.result));
      } catch (error) {
        if (!(error instanceof OvsdbError)) throw error;
        this.#fail(`schema is not understood: ${error.message}`);
      }
    });
  }

  #monitor(schema: DatabaseSchema): void {
    const same = this.#schema !== undefined && schemasEqual(this.#schema, schema);
    const last = same ? this.#lastId : ZERO_UUID;
    const requests = Object.fromEntries([...schema.tables.keys()].map((name) => [name, [{}]]));
    this.#upstream.ask('monitor_cond_since', [this.name, ['monid', this.name], requests, last], (reply) => {
      if (reply === undefined) return;
      if (reply.error !== null || !isJsonArray(reply.result) || reply.result.length !== 3) {
        this.#fail(`monitor failed: ${stringify(reply.error)}`);
        return;
      }
      const [found, id, updates] = reply.result;
      if (!same) {
        this.#schema = schema;
        this.#db = new Database(schema, { newUuid: this.#options.newUuid });
        this.#server.relaySchema(this, this.#db);
      }
      if (!this.#apply(updates, String(id), found !== true)) return;
      this.#following = true;
      this.#server.relayChanged();
      for (const { params, answer } of this.#queue.splice(0)) this.#upstream.ask('transact', params, answer);
    });
  }

  #onNotification(method: string, params: readonly Json[]): void {
    if (method === 'update3') this.#apply(params[2], String(params[1]), false);
    else if (method === 'monitor_canceled') this.#upstream.reconnect();
  }

  #apply(updates: Json, id: string, replace: boolean): boolean {
    if (this.#db === undefined) return false;
    try {
      this.#lastId = id;
      const transaction = updatesToTransaction(this.#db, updates, {
        form: 'differences',
        replace,
        excluded: new Set(),
      });
      transaction.commit({ record: () => null });
      return true;
    } catch (error) {
      if (!(error instanceof OvsdbError)) throw error;
      this.#fail(`update does not fit: ${error.message}`);
      return false;
    }
  }
}
