import type { Timer } from '../../base/clock.ts';
import { parseUuid, ZERO_UUID } from '../data/atom.ts';
import { isId } from '../data/parser.ts';
import type { Principal } from '../engine/access.ts';
import type { Database } from '../engine/database.ts';
import { execute } from '../engine/execute.ts';
import type { CommittedChange } from '../engine/transaction.ts';
import { OvsdbError, syntaxError } from '../error.ts';
import { type Json, type JsonObject, stringifySorted } from '../json.ts';
import type { RpcChannel, RpcMessage } from '../rpc/channel.ts';
import { Probe } from '../rpc/probe.ts';
import { parseSchema, schemaToJson } from '../schema/schema.ts';
import type { LockHolder } from './locks.ts';
import { Monitor, type MonitorVersion } from './monitor.ts';
import type { Relay } from './relay.ts';
import type { Server, SessionOptions } from './server.ts';

type Request = Extract<RpcMessage, { method: string }>;

/** A transaction that is waiting for its "wait" operations to come true. */
interface Waiting {
  readonly db: Database;
  readonly request: Request;
  readonly since: number;
  timer: Timer | undefined;
}

/** So many transactions of one client may wait at once; each costs memory and time at every commit. */
const MAX_WAITING = 1000;

/** So many monitors, and so many locks, may one client have. */
const MAX_MONITORS = 1000;
const MAX_LOCKS = 1000;

const MONITOR_METHODS: ReadonlyMap<string, MonitorVersion> = new Map([
  ['monitor', 1],
  ['monitor_cond', 2],
  ['monitor_cond_since', 3],
]);

function exhausted(details: string): OvsdbError {
  return new OvsdbError('resources exhausted', details);
}

/** One client's connection to the server. */
export class Session implements LockHolder {
  readonly name: string;
  readonly #server: Server;
  readonly #channel: RpcChannel;
  readonly #probe: Probe;
  readonly #monitors = new Map<string, Monitor>();
  readonly #waiting = new Map<string, Waiting>();
  /** Transactions whose data is on its way to the disk, by id. */
  readonly #committing = new Set<string>();
  readonly #locks = new Set<string>();
  readonly #onClose: ((reason: string) => void) | undefined;
  readonly #readOnly: boolean;
  readonly #principal: Principal | undefined;
  /** The client watches `_Server` itself and need not be cut off when databases come and go. */
  changeAware = false;
  #closed = false;

  constructor(server: Server, channel: RpcChannel, options: SessionOptions) {
    this.#server = server;
    this.#channel = channel;
    this.name = options.name;
    this.#readOnly = options.readOnly ?? false;
    this.#principal = options.principal;
    this.#onClose = options.onClose;
    this.#probe = new Probe(
      server.clock,
      options.probeInterval ?? 0,
      () => this.#send({ method: 'echo', params: [], id: 'echo' }),
      (seconds) => {
        server.log.reconnect.err(
          `${this.name}: no response to inactivity probe after ${seconds} seconds, disconnecting`,
        );
        this.#channel.close();
      },
    );
    channel.receive({
      onMessage: (message) => this.#onMessage(message),
      onDrain: () => this.#flush(),
      onClose: (reason) => this.#onChannelClosed(reason),
      onActivity: () => this.#probe.alive(),
    });
  }

  /** Whether this client may only read: always, or because the server is a backup now. */
  get readOnly(): boolean {
    return this.#readOnly || this.#server.readOnly;
  }

  set probeInterval(milliseconds: number) {
    this.#probe.interval = milliseconds;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  get monitors(): number {
    return this.#monitors.size;
  }

  get backlog(): number {
    return this.#channel.backlog;
  }

  lockNames(state: 'owner' | 'waiting' | 'lost'): string[] {
    return [...this.#locks].filter((name) => this.#server.locks.stateOf(name, this) === state);
  }

  close(): void {
    this.#channel.close();
  }

  #onChannelClosed(reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#probe.stop();
    for (const { timer } of this.#waiting.values()) timer?.cancel();
    this.#waiting.clear();
    this.#monitors.clear();
    for (const name of this.#locks) this.#server.locks.unlock(name, this);
    this.#locks.clear();
    this.#server.sessionClosed(this, reason);
    this.#onClose?.(reason);
  }

  #send(message: RpcMessage): void {
    if (!this.#closed) this.#channel.send(message);
  }

  #reply(id: Json, result: Json): void {
    this.#send({ result, error: null, id });
  }

  #replyError(id: Json, error: Json): void {
    this.#send({ result: null, error, id });
  }

  notifyLock(method: 'locked' | 'stolen', name: string): void {
    this.#send({ method, params: [name], id: null });
  }

  #onMessage(message: RpcMessage): void {
    if (!('method' in message)) {
      if (message.id === 'echo') return;
      this.#server.log.jsonrpc.warn(`${this.name}: received unexpected reply message`);
      this.#channel.close();
      return;
    }
    if (message.id === null) {
      if (message.method === 'cancel') this.#cancel(message);
      return;
    }
    this.#flush(); // a reply never overtakes what happened before
    try {
      this.#onRequest(message);
    } catch (error) {
      if (!(error instanceof OvsdbError)) throw error;
      this.#replyError(message.id, error.toJson());
    }
  }

  #onRequest(request: Request): void {
    const { method, id, params } = request;
    const version =
      this.#server.conditionalMonitors || method === 'monitor' ? MONITOR_METHODS.get(method) : undefined;
    if (version !== undefined) {
      this.#reply(id, this.#monitor(request, version));
      return;
    }
    switch (method) {
      case 'transact':
        this.#transact(request, this.#database(request));
        return;
      case 'convert':
        this.#convert(request, this.#database(request));
        return;
      case 'monitor_cond_change':
        this.#changeMonitor(request);
        return;
      case 'monitor_cancel':
        this.#cancelMonitor(request);
        return;
      case 'get_schema':
        this.#reply(id, schemaToJson(this.#database(request).schema));
        return;
      case 'list_dbs':
        this.#reply(id, this.#server.names);
        return;
      case 'get_server_id':
        this.#reply(id, this.#server.id);
        return;
      case 'lock':
      case 'steal':
        this.#lock(request);
        return;
      case 'unlock':
        this.#unlock(request);
        return;
      case 'set_db_change_aware':
        this.#setChangeAware(request);
        return;
      case 'echo':
        this.#reply(id, params);
        return;
      default:
        this.#replyError(id, 'unknown method');
    }
  }

  #database({ method, params }: Request): Database {
    const name = params[0];
    if (typeof name !== 'string')
      throw syntaxError(params, `${method} request params must begin with <db-name>`);
    const db = this.#server.databases.get(name);
    if (db === undefined && this.#server.relay(name) !== undefined) {
      throw new OvsdbError(
        'database not available',
        `${method} request specifies database ${name} which is not yet available because it has not completed joining its cluster`,
      );
    }
    if (db === undefined) {
      throw syntaxError(params, `${method} request specifies unknown database ${name}`, 'unknown database');
    }
    return db;
  }

  // Transactions.

  #transact(request: Request, db: Database): void {
    const key = stringifySorted(request.id);
    if (this.#waiting.has(key) || this.#committing.has(key)) {
      throw syntaxError(request.params, `${request.method}: duplicate request ID`);
    }
    this.#attempt(key, { db, request, since: this.#server.clock.now(), timer: undefined });
  }

  /** Executes a transaction, for the first time or again. */
  #attempt(key: string, waiting: Waiting): void {
    const { db, request, since } = waiting;
    const outcome = execute(db, request.params, {
      readOnly: this.readOnly,
      principal: this.#principal,
      ownsLock: (name) => this.#server.locks.owner(name) === this,
      elapsed: Math.floor(this.#server.clock.now() - since),
    });
    if (outcome.kind === 'waiting') {
      this.#keepWaiting(key, waiting, outcome.timeout);
      return;
    }
    waiting.timer?.cancel();
    this.#waiting.delete(key);
    switch (outcome.kind) {
      case 'refused':
        this.#reply(request.id, outcome.error.toJson());
        return;
      case 'failed':
        this.#reply(request.id, outcome.results);
        return;
    }
    const { results, transaction, durable } = outcome;
    const relay = outcome.wrote ? this.#server.relay(db.name) : undefined;
    if (relay !== undefined) {
      transaction.abort();
      this.#forward(key, request, relay);
      return;
    }
    try {
      this.#server.commit(transaction);
    } catch (error) {
      if (!(error instanceof OvsdbError)) throw error;
      this.#reply(request.id, [...results, error.toJson()]);
      return;
    }
    if (!durable || db.journal === null) this.#reply(request.id, results);
    else this.#replyWhenDurable(key, request.id, results, db.journal.sync());
  }

  /** The source executes the transaction; here it was only tried. */
  #forward(key: string, { id, params }: Request, relay: Relay): void {
    this.#committing.add(key);
    relay.forward(params, (reply) => {
      this.#committing.delete(key);
      if (reply === undefined) this.#replyError(id, 'canceled');
      else this.#send({ ...reply, id });
    });
  }

  #replyWhenDurable(key: string, id: Json, results: readonly Json[], synced: Promise<void>): void {
    this.#committing.add(key);
    synced.then(
      () => {
        this.#committing.delete(key);
        this.#reply(id, results);
      },
      (error) => {
        this.#committing.delete(key);
        const io = error instanceof OvsdbError ? error : new OvsdbError('I/O error', String(error));
        this.#reply(id, [...results, io.toJson()]);
      },
    );
  }

  #keepWaiting(key: string, waiting: Waiting, timeout: number | null): void {
    if (!this.#waiting.has(key)) {
      if (this.#waiting.size >= MAX_WAITING) {
        this.#reply(waiting.request.id, [
          exhausted(`${MAX_WAITING} transactions of this client are waiting already`).toJson(),
        ]);
        return;
      }
      this.#waiting.set(key, waiting);
    }
    if (timeout === null || waiting.timer !== undefined) return;
    const left = waiting.since + timeout - this.#server.clock.now();
    waiting.timer = this.#server.clock.after(Math.max(0, left), () => {
      waiting.timer = undefined;
      this.#attempt(key, waiting);
    });
  }

  /** Something changed in `db`: tries again what waits for it. */
  retryWaiting(db: Database): void {
    for (const [key, waiting] of [...this.#waiting]) {
      if (waiting.db === db && this.#waiting.get(key) === waiting) this.#attempt(key, waiting);
    }
  }

  #cancel({ params }: Request): void {
    if (params.length === 1) this.#endWaiting(stringifySorted(params[0]));
  }

  #endWaiting(key: string): void {
    const waiting = this.#waiting.get(key);
    if (waiting === undefined) return;
    waiting.timer?.cancel();
    this.#waiting.delete(key);
    this.#replyError(waiting.request.id, 'canceled');
  }

  #convert({ params, id }: Request, db: Database): void {
    if (this.readOnly) {
      throw new OvsdbError(
        'not allowed',
        'convert operation not allowed when database server is in read only mode',
      );
    }
    if (this.#principal !== undefined && this.#principal.role !== '') {
      const { id, role } = this.#principal;
      throw new OvsdbError(
        'permission error',
        `RBAC rules for client "${id ?? ''}" role "${role}" prohibit "convert" of database ${db.name} (only the root role may convert databases)`,
      );
    }
    if (params.length !== 2) throw syntaxError(params, 'array expected');
    const schema = parseSchema(params[1]);
    if (schema.name !== db.name) {
      throw new OvsdbError(
        'invalid parameters',
        `new schema name (${schema.name}) does not match database name (${db.name})`,
      );
    }
    this.#server.convert(db, schema, () => this.#reply(id, {}));
  }

  /** `db` is going away. Clients that can cope are told; the others are cut off by the server. */
  databaseRemoved(db: Database): void {
    for (const [key, monitor] of this.#monitors) {
      if (monitor.db !== db) continue;
      this.#monitors.delete(key);
      if (this.changeAware) this.#send({ method: 'monitor_canceled', params: [monitor.id], id: null });
    }
    for (const [key, waiting] of [...this.#waiting]) {
      if (waiting.db !== db) continue;
      if (this.changeAware) {
        this.#endWaiting(key);
      } else {
        waiting.timer?.cancel();
        this.#waiting.delete(key);
      }
    }
  }

  // Monitors.

  #monitor(request: Request, version: MonitorVersion): Json {
    const db = this.#database(request);
    const { params } = request;
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

  /** A transaction was committed. */
  onCommit(db: Database, changes: readonly CommittedChange[]): void {
    let watched = false;
    for (const monitor of this.#monitors.values()) {
      if (monitor.db !== db) continue;
      monitor.track(changes);
      watched = true;
    }
    // A client that does not keep up gets all that happens meanwhile in one piece later.
    if (watched && this.#channel.backlog === 0) this.#flush();
  }

  #flush(): void {
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

  #changeMonitor({ params, id }: Request): void {
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
    this.#reply(id, {});
  }

  #cancelMonitor({ params, id }: Request): void {
    if (params.length !== 1) this.#replyError(id, 'invalid parameters');
    else if (this.#monitors.delete(stringifySorted(params[0]))) this.#reply(id, {});
    else this.#replyError(id, 'unknown monitor');
  }

  // Locks.

  #lockName(request: Request): string | undefined {
    if (this.readOnly) {
      this.#replyError(request.id, 'lock and unlock methods not allowed, DB server is read only.');
      return undefined;
    }
    const [name] = request.params;
    if (request.params.length !== 1 || typeof name !== 'string' || !isId(name)) {
      throw syntaxError(request.params, `${request.method} request params must be <id>`);
    }
    return name;
  }

  #lock(request: Request): void {
    const name = this.#lockName(request);
    if (name === undefined) return;
    if (this.#locks.has(name)) {
      throw syntaxError(request.params, `must issue "unlock" before new "${request.method}"`);
    }
    if (this.#locks.size >= MAX_LOCKS) throw exhausted(`this client has ${MAX_LOCKS} locks already`);
    this.#locks.add(name);
    this.#reply(request.id, { locked: this.#server.locks.lock(name, this, request.method === 'steal') });
  }

  #unlock(request: Request): void {
    const name = this.#lockName(request);
    if (name === undefined) return;
    if (!this.#locks.delete(name)) {
      throw syntaxError(request.params, 'unlock: "unlock" without "lock" or "steal"');
    }
    this.#server.locks.unlock(name, this);
    this.#reply(request.id, {});
  }

  #setChangeAware({ params, id }: Request): void {
    const [aware] = params;
    if (params.length !== 1 || typeof aware !== 'boolean') {
      throw syntaxError(params, 'set_db_change_aware: true or false parameter expected');
    }
    this.changeAware = aware;
    this.#reply(id, {});
  }
}
