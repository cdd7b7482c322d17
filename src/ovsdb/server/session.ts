import { isId } from '../data/parser.ts';
import type { Principal } from '../engine/access.ts';
import type { Database } from '../engine/database.ts';
import type { CommittedChange } from '../engine/transaction.ts';
import { OvsdbError, syntaxError } from '../error.ts';
import { type Json, stringifySorted } from '../json.ts';
import type { RpcChannel, RpcMessage } from '../rpc/channel.ts';
import { Probe } from '../rpc/probe.ts';
import { parseSchema, schemaToJson } from '../schema/schema.ts';
import type { LockHolder } from './locks.ts';
import type { MonitorVersion } from './monitor.ts';
import type { Server, SessionOptions } from './server.ts';
import { SessionMonitors } from './session_monitors.ts';
import {
  exhausted,
  type Request,
  SessionTransactions,
  type TransactionOwner,
} from './session_transactions.ts';

/** So many locks may one client have. */
const MAX_LOCKS = 1000;

const MONITOR_METHODS: ReadonlyMap<string, MonitorVersion> = new Map([
  ['monitor', 1],
  ['monitor_cond', 2],
  ['monitor_cond_since', 3],
]);

/** One client's connection to the server. */
export class Session implements LockHolder, TransactionOwner {
  readonly name: string;
  readonly #server: Server;
  readonly #channel: RpcChannel;
  readonly #probe: Probe;
  readonly #monitors: SessionMonitors;
  readonly #transactions: SessionTransactions;
  readonly #locks = new Set<string>();
  readonly #onClose: ((reason: string) => void) | undefined;
  readonly #readOnly: boolean;
  readonly principal: Principal | undefined;
  /** The client watches `_Server` itself and need not be cut off when databases come and go. */
  changeAware = false;
  #closed = false;

  constructor(server: Server, channel: RpcChannel, options: SessionOptions) {
    this.#server = server;
    this.#channel = channel;
    this.name = options.name;
    this.#readOnly = options.readOnly ?? false;
    this.principal = options.principal;
    this.#monitors = new SessionMonitors(server, (message) => this.send(message));
    this.#transactions = new SessionTransactions(server, this);
    this.#onClose = options.onClose;
    this.#probe = new Probe(
      server.clock,
      options.probeInterval ?? 0,
      () => this.send({ method: 'echo', params: [], id: 'echo' }),
      (seconds) => {
        server.log.reconnect.err(
          `${this.name}: no response to inactivity probe after ${seconds} seconds, disconnecting`,
        );
        this.#channel.close();
      },
    );
    channel.receive({
      onMessage: (message) => this.#onMessage(message),
      onDrain: () => this.#monitors.flush(),
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
    return this.#transactions.waiting;
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
    this.#transactions.close();
    this.#monitors.close();
    for (const name of this.#locks) this.#server.locks.unlock(name, this);
    this.#locks.clear();
    this.#server.sessionClosed(this, reason);
    this.#onClose?.(reason);
  }

  send(message: RpcMessage): void {
    if (!this.#closed) this.#channel.send(message);
  }

  #reply(id: Json, result: Json): void {
    this.send({ result, error: null, id });
  }

  #replyError(id: Json, error: Json): void {
    this.send({ result: null, error, id });
  }

  ownsLock(name: string): boolean {
    return this.#server.locks.owner(name) === this;
  }

  notifyLock(method: 'locked' | 'stolen', name: string): void {
    this.send({ method, params: [name], id: null });
  }

  #onMessage(message: RpcMessage): void {
    if (!('method' in message)) {
      if (message.id === 'echo') return;
      this.#server.log.jsonrpc.warn(`${this.name}: received unexpected reply message`);
      this.#channel.close();
      return;
    }
    if (message.id === null) {
      if (message.method === 'cancel' && message.params.length === 1) {
        this.#transactions.cancel(stringifySorted(message.params[0]));
      }
      return;
    }
    this.#monitors.flush(); // a reply never overtakes what happened before
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
      this.#reply(id, this.#monitors.add(this.#database(request), params, version));
      return;
    }
    switch (method) {
      case 'transact':
        this.#transactions.start(request, this.#database(request));
        return;
      case 'convert':
        this.#convert(request, this.#database(request));
        return;
      case 'monitor_cond_change':
        this.#monitors.change(params);
        this.#reply(id, {});
        return;
      case 'monitor_cancel':
        if (params.length !== 1) this.#replyError(id, 'invalid parameters');
        else if (this.#monitors.cancel(params[0])) this.#reply(id, {});
        else this.#replyError(id, 'unknown monitor');
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

  #convert({ params, id }: Request, db: Database): void {
    if (this.readOnly) {
      throw new OvsdbError(
        'not allowed',
        'convert operation not allowed when database server is in read only mode',
      );
    }
    if (this.principal !== undefined && this.principal.role !== '') {
      const { id, role } = this.principal;
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
    this.#monitors.databaseRemoved(db, this.changeAware);
    this.#transactions.databaseRemoved(db, this.changeAware);
  }

  /** A transaction was committed. */
  onCommit(db: Database, changes: readonly CommittedChange[]): void {
    // A client that does not keep up gets all that happens meanwhile in one piece later.
    if (this.#monitors.track(db, changes) && this.#channel.backlog === 0) this.#monitors.flush();
  }

  /** Something changed in `db`: tries again what waits for it. */
  retryWaiting(db: Database): void {
    this.#transactions.retry(db);
  }

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
