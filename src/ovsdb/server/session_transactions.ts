import type { Timer } from '../../base/clock.ts';
import type { Principal } from '../engine/access.ts';
import type { Database } from '../engine/database.ts';
import { execute } from '../engine/execute.ts';
import { OvsdbError, syntaxError } from '../error.ts';
import { type Json, stringifySorted } from '../json.ts';
import type { RpcMessage } from '../rpc/channel.ts';
import type { Relay } from './relay.ts';
import type { Server } from './server.ts';

export type Request = Extract<RpcMessage, { method: string }>;

/** So many transactions of one client may be open at once; each costs memory, and time at every commit. */
const MAX_OPEN = 1000;

/** What transactions need to know of the session that they belong to. */
export interface TransactionOwner {
  readonly readOnly: boolean;
  readonly principal: Principal | undefined;
  ownsLock(name: string): boolean;
  send(message: RpcMessage): void;
}

/** A transaction that is waiting for its "wait" operations to come true. */
interface Waiting {
  readonly db: Database;
  readonly request: Request;
  readonly since: number;
  timer: Timer | undefined;
}

export function exhausted(details: string): OvsdbError {
  return new OvsdbError('resources exhausted', details);
}

/** The transactions of one client, from the request to the reply. */
export class SessionTransactions {
  readonly #server: Server;
  readonly #owner: TransactionOwner;
  readonly #waiting = new Map<string, Waiting>();
  /** Ids of those whose data is on its way to the disk, or to the source of a relay. */
  readonly #committing = new Set<string>();

  constructor(server: Server, owner: TransactionOwner) {
    this.#server = server;
    this.#owner = owner;
  }

  /** How many wait for their conditions. */
  get waiting(): number {
    return this.#waiting.size;
  }

  #reply(id: Json, result: Json): void {
    this.#owner.send({ result, error: null, id });
  }

  start(request: Request, db: Database): void {
    const key = stringifySorted(request.id);
    if (this.#waiting.has(key) || this.#committing.has(key)) {
      throw syntaxError(request.params, `${request.method}: duplicate request ID`);
    }
    if (this.#committing.size >= MAX_OPEN) {
      this.#reply(request.id, [
        exhausted(`${MAX_OPEN} transactions of this client are under way already`).toJson(),
      ]);
      return;
    }
    this.#attempt(key, { db, request, since: this.#server.clock.now(), timer: undefined });
  }

  /** Executes a transaction, for the first time or again. */
  #attempt(key: string, waiting: Waiting): void {
    const { db, request, since } = waiting;
    const outcome = execute(db, request.params, {
      readOnly: this.#owner.readOnly,
      principal: this.#owner.principal,
      ownsLock: (name) => this.#owner.ownsLock(name),
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
      if (reply === undefined) this.#owner.send({ result: null, error: 'canceled', id });
      else this.#owner.send({ ...reply, id });
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
      if (this.#waiting.size >= MAX_OPEN) {
        this.#reply(waiting.request.id, [
          exhausted(`${MAX_OPEN} transactions of this client are waiting already`).toJson(),
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
  retry(db: Database): void {
    for (const [key, waiting] of [...this.#waiting]) {
      if (waiting.db === db && this.#waiting.get(key) === waiting) this.#attempt(key, waiting);
    }
  }

  /** Ends a transaction that waits, saying so. */
  cancel(key: string): void {
    const waiting = this.#waiting.get(key);
    if (waiting === undefined) return;
    waiting.timer?.cancel();
    this.#waiting.delete(key);
    this.#owner.send({ result: null, error: 'canceled', id: waiting.request.id });
  }

  /** `db` is going away: ends what waits there, saying so if `tell`. */
  databaseRemoved(db: Database, tell: boolean): void {
    for (const [key, waiting] of [...this.#waiting]) {
      if (waiting.db !== db) continue;
      if (tell) {
        this.cancel(key);
      } else {
        waiting.timer?.cancel();
        this.#waiting.delete(key);
      }
    }
  }

  /** The client is gone. */
  close(): void {
    for (const { timer } of this.#waiting.values()) timer?.cancel();
    this.#waiting.clear();
  }
}
