import { parseUuid, ZERO_UUID } from '../data/atom.ts';
import type { Database } from '../engine/database.ts';
import type { CommittedChange } from '../engine/transaction.ts';
import { syntaxError } from '../error.ts';
import { type Json, type JsonObject, stringifySorted } from '../json.ts';
import type { RpcMessage } from '../rpc/channel.ts';
import { Monitor, type MonitorVersion } from './monitor.ts';
import type { Server } from './server.ts';
import { exhausted } from './session_transactions.ts';

/** So many monitors may one client have. */
const MAX_MONITORS = 1000;

/** The monitors of one client. */
export class SessionMonitors {
  readonly #server: Server;
  readonly #send: (message: RpcMessage) => void;
  readonly #monitors = new Map<string, Monitor>();

  constructor(server: Server, send: (message: RpcMessage) => void) {
    this.#server = server;
    this.#send = send;
  }

  get size(): number {
    return this.#monitors.size;
  }

  /** Adds a monitor; gives back the reply to its request. */
  add(db: Database, params: readonly Json[], version: MonitorVersion): Json {
    const [, id, requests, last] = params;
    if (
      params.length < 3 ||
      (version === 2 && params.length !== 3) ||
      (version === 3 && params.length !== 4)
    ) {
      throw syntaxError(params, 'invalid parameters');
    }
    const key = stringifySorted(id);
    if (this.#monitors.has(key)) throw syntaxError(id, 'duplicate monitor ID');
    if (this.#monitors.size >= MAX_MONITORS)
      throw exhausted(`this client has ${MAX_MONITORS} monitors already`);
    const monitor = new Monitor(db, id, requests, version);
    const missed = version === 3 ? this.#missedSince(db, last) : undefined;
    this.#monitors.set(key, monitor);
    if (missed === undefined) {
      const initial = monitor.initial();
      return version === 3 ? [false, this.#server.lastTransaction(db), initial] : initial;
    }
    for (const changes of missed) monitor.track(changes);
    return [true, this.#server.lastTransaction(db), monitor.flush() ?? {}];
  }

  #missedSince(db: Database, last: Json): (readonly CommittedChange[])[] | undefined {
    if (typeof last !== 'string') throw syntaxError(last, 'last-txn-id must be string');
    const id = parseUuid(last);
    if (id === undefined) throw syntaxError(last, 'last-txn-id must be UUID format.');
    return id === ZERO_UUID ? undefined : this.#server.history(db)?.since(id);
  }

  /** Takes note of a transaction; true if any monitor looks at its database. */
  track(db: Database, changes: readonly CommittedChange[]): boolean {
    let watched = false;
    for (const monitor of this.#monitors.values()) {
      if (monitor.db !== db) continue;
      monitor.track(changes);
      watched = true;
    }
    return watched;
  }

  /** Sends what has piled up. */
  flush(): void {
    for (const monitor of this.#monitors.values()) {
      const updates = monitor.flush();
      if (updates !== undefined) this.#update(monitor, updates);
    }
  }

  #update(monitor: Monitor, updates: JsonObject): void {
    const { id, version } = monitor;
    if (version === 3) {
      this.#send({
        method: 'update3',
        params: [id, this.#server.lastTransaction(monitor.db), updates],
        id: null,
      });
    } else {
      this.#send({ method: version === 1 ? 'update' : 'update2', params: [id, updates], id: null });
    }
  }

  /** `monitor_cond_change`. Everything pending must have been flushed. */
  change(params: readonly Json[]): void {
    if (params.length !== 3) throw syntaxError(params, 'invalid parameters');
    const [oldId, newId, requests] = params;
    const oldKey = stringifySorted(oldId);
    const newKey = stringifySorted(newId);
    const monitor = this.#monitors.get(oldKey);
    if (monitor === undefined) throw syntaxError(oldId, 'unknown monitor session');
    if (oldKey !== newKey && this.#monitors.has(newKey)) throw syntaxError(newId, 'duplicate monitor ID');
    const updates = monitor.changeConditions(requests);
    if (oldKey !== newKey) {
      this.#monitors.delete(oldKey);
      this.#monitors.set(newKey, monitor);
      monitor.id = newId;
    }
    if (updates !== undefined) this.#update(monitor, updates);
  }

  /** `monitor_cancel`; false if there is no such monitor. */
  cancel(id: Json): boolean {
    return this.#monitors.delete(stringifySorted(id));
  }

  /** `db` is going away: ends its monitors, saying so if `tell`. */
  databaseRemoved(db: Database, tell: boolean): void {
    for (const [key, monitor] of this.#monitors) {
      if (monitor.db !== db) continue;
      this.#monitors.delete(key);
      if (tell) this.#send({ method: 'monitor_canceled', params: [monitor.id], id: null });
    }
  }

  /** The client is gone. */
  close(): void {
    this.#monitors.clear();
  }
}
