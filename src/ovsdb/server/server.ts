import type { Clock } from '../../base/clock.ts';
import type { Logger, ModuleLog } from '../../base/log.ts';
import { ZERO_UUID } from '../data/atom.ts';
import type { Principal } from '../engine/access.ts';
import { Database } from '../engine/database.ts';
import { History } from '../engine/history.ts';
import type { CommittedChange, Transaction } from '../engine/transaction.ts';
import { OvsdbError } from '../error.ts';
import type { DatabaseStorage } from '../file/policy.ts';
import { convertDatabase, recordOf } from '../file/record.ts';
import { stringifySorted } from '../json.ts';
import type { RpcChannel } from '../rpc/channel.ts';
import { type DatabaseSchema, parseSchema, schemaToJson } from '../schema/schema.ts';
import { serverSchema } from '../schema/server.ts';
import { Locks } from './locks.ts';
import type { Relay } from './relay.ts';
import { ServerStatus } from './server_status.ts';
import { Session } from './session.ts';

export interface SessionOptions {
  /** For logs: "unix#3", "tcp:127.0.0.1:34567". */
  readonly name: string;
  readonly readOnly?: boolean;
  /** Who the client is, where its remote has a role. */
  readonly principal?: Principal;
  /** Milliseconds of silence after which the client is probed; 0 for never. */
  readonly probeInterval?: number;
  readonly onClose?: (reason: string) => void;
}

export interface ServerOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** Makes a new random uuid. */
  readonly newUuid: () => string;
  /** Remember transactions for `monitor_cond_since`. Stock does so only for clusters and relays. */
  readonly history?: boolean;
  /** More clients than this are turned away. */
  readonly maxSessions?: number;
  /** Write differences to the file rather than whole columns. */
  readonly columnDiffs?: boolean;
}

/** What the server holds besides the tables of one database. */
interface Served {
  db: Database;
  readonly file: DatabaseStorage | null;
  readonly relay: Relay | null;
  history: History | null;
  /** The schema as JSON text. */
  schemaText: string;
  unlisten: () => void;
  /** Transactions that wait are to be tried again. */
  dirty: boolean;
}

const DEFAULT_MAX_SESSIONS = 16384;

/**
 * Serves any number of databases, and `_Server`, to any number of clients, whatever carries their
 * messages. It opens nothing itself: databases and channels are given to it.
 */
export class Server {
  readonly id: string;
  readonly clock: Clock;
  readonly log: { readonly jsonrpc: ModuleLog; readonly reconnect: ModuleLog };
  readonly locks = new Locks();
  /** Called after each commit of any database, and when databases come and go. */
  onAnyCommit: (changes: readonly CommittedChange[]) => void = () => {};
  /** No client may write, as on a backup server. */
  readOnly = false;
  /** Clients may use `monitor_cond` and its like. */
  conditionalMonitors = true;
  readonly #options: ServerOptions;
  readonly #served = new Map<string, Served>();
  readonly #databases = new Map<string, Database>();
  readonly #sessions = new Set<Session>();
  /** Relays, those too that do not know their schema yet. */
  readonly #relays = new Map<string, Relay>();
  readonly #status: ServerStatus;

  constructor(options: ServerOptions) {
    this.#options = options;
    this.clock = options.clock;
    this.id = options.newUuid();
    this.log = {
      jsonrpc: options.log.module('ovsdb_jsonrpc_server').limited(60, 5),
      reconnect: options.log.module('reconnect'),
    };
    const own = new Database(parseSchema(serverSchema), { newUuid: options.newUuid });
    this.#status = new ServerStatus(own);
    this.#serve(own, null);
    this.#updateStatus();
  }

  get databases(): ReadonlyMap<string, Database> {
    return this.#databases;
  }

  get sessions(): ReadonlySet<Session> {
    return this.#sessions;
  }

  file(name: string): DatabaseStorage | null {
    return this.#served.get(name)?.file ?? null;
  }

  history(db: Database): History | null {
    return this.#served.get(db.name)?.history ?? null;
  }

  /** The id of the newest transaction, all zero where no history is kept. */
  lastTransaction(db: Database): string {
    return this.history(db)?.lastId ?? ZERO_UUID;
  }

  /** Serves one more database. Throws `OvsdbError` if its name is taken or reserved. */
  addDatabase(db: Database, file: DatabaseStorage | null = null): void {
    this.#checkName(db.name);
    this.reconnect(false, `adding ${db.name} database`);
    this.#serve(db, file);
    this.#updateStatus();
  }

  #checkName(name: string): void {
    if (name.startsWith('_')) {
      throw new OvsdbError('ovsdb error', `${name}: names beginning with "_" are reserved`);
    }
    if (this.#served.has(name) || this.#relays.has(name)) {
      throw new OvsdbError('ovsdb error', `${name}: duplicate database name`);
    }
  }

  /** Serves the database of another server. It is there as soon as its schema is known. */
  addRelay(relay: Relay): void {
    this.#checkName(relay.name);
    this.reconnect(false, `adding ${relay.name} database`);
    this.#relays.set(relay.name, relay);
    this.#updateStatus();
  }

  /** A relay learned its schema, or that it is another one now. */
  relaySchema(relay: Relay, db: Database): void {
    if (this.#relays.get(relay.name) !== relay) return;
    const before = this.#served.get(relay.name);
    if (before !== undefined) {
      for (const session of this.#sessions) session.databaseRemoved(before.db);
      before.unlisten();
    }
    this.reconnect(
      false,
      before === undefined
        ? `database ${relay.name} connected to storage`
        : `database ${relay.name} schema changed`,
    );
    this.#serve(db, null, relay);
    this.#updateStatus();
  }

  /** A relay was connected or disconnected. */
  relayChanged(): void {
    this.#updateStatus();
  }

  relay(name: string): Relay | undefined {
    return this.#relays.get(name);
  }

  /** The names of all databases, those included that cannot be used yet. */
  get names(): string[] {
    return [...new Set([...this.#databases.keys(), ...this.#relays.keys()])];
  }

  #serve(db: Database, file: DatabaseStorage | null, relay: Relay | null = null): void {
    const served: Served = {
      db,
      file,
      relay,
      history: null,
      schemaText: '',
      unlisten: () => {},
      dirty: false,
    };
    this.#served.set(db.name, served);
    this.#attach(served);
  }

  #attach(served: Served): void {
    const { db } = served;
    this.#databases.set(db.name, db);
    served.schemaText = stringifySorted(schemaToJson(db.schema));
    const { relay } = served;
    if (relay !== null) served.history = new History(db, () => relay.lastId);
    else if (served.file?.history !== undefined) served.history = served.file.history;
    else served.history = this.#options.history === true ? new History(db, this.#options.newUuid) : null;
    const listener = { onCommit: (changes: readonly CommittedChange[]) => this.#onCommit(served, changes) };
    db.listeners.add(listener);
    served.unlisten = () => db.listeners.delete(listener);
  }

  /** Serves a database no longer. The caller closes its file. */
  removeDatabase(name: string, comment: string): void {
    const served = this.#served.get(name);
    this.#relays.get(name)?.close();
    this.#relays.delete(name);
    if (served === undefined) {
      this.#updateStatus();
      return;
    }
    for (const session of this.#sessions) session.databaseRemoved(served.db);
    this.reconnect(false, comment);
    served.unlisten();
    this.#served.delete(name);
    this.#databases.delete(name);
    this.#updateStatus();
  }

  #updateStatus(): void {
    this.#status.update(
      this.names.map((name) => {
        const relay = this.#relays.get(name);
        return {
          name,
          model: relay === undefined ? (this.file(name)?.model ?? 'standalone') : 'relay',
          position: this.file(name)?.position,
          connected: relay?.connected ?? true,
          schema: this.#served.get(name)?.schemaText ?? null,
        };
      }),
      (transaction) => this.commit(transaction),
    );
  }

  /** Commits a transaction of any served database, writing it to its file if it has one. */
  commit(transaction: Transaction): readonly CommittedChange[] {
    const diffs = this.#options.columnDiffs ?? true;
    return transaction.commit({
      record: (changes, comment) =>
        transaction.db.journal === null
          ? null
          : recordOf(changes, { comment, date: this.clock.wall(), diffs }),
    });
  }

  #onCommit(served: Served, changes: readonly CommittedChange[]): void {
    for (const session of this.#sessions) session.onCommit(served.db, changes);
    this.onAnyCommit(changes);
    if (served.file?.position !== undefined) this.#updateStatus();
    if (served.dirty) return;
    served.dirty = true;
    queueMicrotask(() => {
      served.dirty = false;
      for (const session of this.#sessions) session.retryWaiting(served.db);
    });
  }

  /** Replaces a database by its rows under another schema. `accepted` runs before anybody is cut off. */
  convert(db: Database, schema: DatabaseSchema, accepted: () => void): void {
    const served = this.#served.get(db.name);
    if (served === undefined || served.db !== db || served.relay !== null || db.name.startsWith('_')) {
      throw new OvsdbError('not allowed', `database ${db.name} cannot be converted`);
    }
    const converted = new Database(schema, { newUuid: this.#options.newUuid });
    convertDatabase(db, converted);
    served.file?.replaceDatabase(converted, 'converted by ovsdb-server', this.clock.wall());
    for (const session of this.#sessions) session.databaseRemoved(db);
    served.unlisten();
    converted.journal = db.journal;
    served.db = converted;
    this.#attach(served);
    accepted();
    this.#updateStatus();
    this.reconnect(false, `committed ${db.name} database schema conversion`);
  }

  /** Takes a new client. */
  accept(channel: RpcChannel, options: SessionOptions): Session | undefined {
    const limit = this.#options.maxSessions ?? DEFAULT_MAX_SESSIONS;
    if (this.#sessions.size >= limit) {
      this.log.jsonrpc.warn(`${options.name}: refused, because ${limit} clients are connected already`);
      channel.close();
      return undefined;
    }
    const session = new Session(this, channel, options);
    this.#sessions.add(session);
    return session;
  }

  /** What memory goes to, for `memory/show`. */
  *usage(): Iterable<readonly [string, number]> {
    for (const { db, history } of this.#served.values()) {
      for (const { rows, schema } of db.tables.values()) yield ['cells', rows.size * schema.list.length];
      yield ['atoms', db.atoms];
      if (history !== null) {
        yield ['txn-history', history.length];
        yield ['txn-history-atoms', history.atoms];
      }
    }
    yield ['sessions', this.#sessions.size];
    for (const session of this.#sessions) {
      yield ['monitors', session.monitors];
      yield ['triggers', session.waiting];
      yield ['backlog', session.backlog];
    }
  }

  sessionClosed(session: Session, reason: string): void {
    this.#sessions.delete(session);
    if (reason.startsWith('received bad')) this.log.jsonrpc.warn(`${session.name}: ${reason}`);
    else this.log.jsonrpc.dbg(() => `${session.name}: ${reason}`);
  }

  /** Cuts clients off so that they look anew: all of them, or those that do not watch `_Server`. */
  reconnect(force: boolean, comment: string): void {
    for (const session of [...this.#sessions]) {
      if (!force && session.changeAware) continue;
      this.log.jsonrpc.info(`${session.name}: disconnecting (${comment})`);
      session.close();
    }
  }
}
