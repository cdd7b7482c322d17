/** A conversation with a database server: questions that are answered in time, or not at all. */
import type { Clock, Timer } from '../../base/clock.ts';
import { WeftError } from '../../base/errors.ts';
import {
  isJsonArray,
  isJsonObject,
  type Json,
  type JsonObject,
  member,
  stringify,
} from '../../ovsdb/json.ts';
import type { Connector, RpcChannel, RpcMessage } from '../../ovsdb/rpc/channel.ts';

interface Question {
  readonly answer: (result: Json) => void;
  readonly fail: (error: Error) => void;
  readonly timer: Timer;
}

export interface SessionOptions {
  readonly connector: Connector;
  readonly clock: Clock;
  /** How long the server may take to answer, in milliseconds. */
  readonly patience: number;
}

/** What the server says is wrong, in its own words. */
function refusal(error: Json): string {
  if (!isJsonObject(error)) return stringify(error);
  const details = member(error, 'details');
  return `${String(member(error, 'error'))}${details === undefined ? '' : `: ${String(details)}`}`;
}

/** The connection that taught us an authority is not worth anything: the next one is. */
async function connect(connector: Connector): Promise<RpcChannel> {
  try {
    return await connector.connect();
  } catch (error) {
    if (!(error instanceof WeftError) || error.code !== 'authority-adopted') throw error;
    return connector.connect();
  }
}

export class Session {
  readonly name: string;
  readonly #options: SessionOptions;
  readonly #channel: RpcChannel;
  readonly #questions = new Map<number, Question>();
  #nextId = 1;
  #lost: WeftError | undefined;
  /** Told of notifications. */
  onNotification: (method: string, params: readonly Json[]) => void = () => {};
  /** Told once that the connection has ended, unless we ended it. */
  onLost: (error: WeftError) => void = () => {};

  private constructor(options: SessionOptions, channel: RpcChannel) {
    this.name = options.connector.name;
    this.#options = options;
    this.#channel = channel;
    channel.receive({
      onMessage: (message) => this.#onMessage(message),
      onClose: (reason) => this.#onClose(reason),
      onDrain: () => {},
      onActivity: () => {},
    });
  }

  /** Throws `WeftError` "no-database-server". */
  static async open(options: SessionOptions): Promise<Session> {
    const { connector, clock, patience } = options;
    let timer: Timer | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = clock.after(patience, () => reject(new Error('no connection in time')));
    });
    try {
      return new Session(options, await Promise.race([connect(connector), late]));
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new WeftError('no-database-server', `${connector.name}: ${why}`, {
        cause,
        remedy: 'name a server (unix:FILE, tcp:HOST:PORT, ssl:HOST:PORT) or a database file with --db',
      });
    } finally {
      timer?.cancel();
    }
  }

  /** Throws `WeftError`: "database-refused" with what the server says, "no-database-server" where it says nothing. */
  ask(method: string, params: readonly Json[]): Promise<Json> {
    return new Promise((resolve, reject) => {
      if (this.#lost !== undefined) {
        reject(this.#lost);
        return;
      }
      const id = this.#nextId++;
      const { clock, patience } = this.#options;
      const timer = clock.after(patience, () => {
        this.#questions.delete(id);
        reject(
          new WeftError(
            'no-database-server',
            `${this.name}: no answer to ${method} within ${patience / 1000} s`,
            {
              remedy: 'give it more time with --timeout',
            },
          ),
        );
      });
      this.#questions.set(id, { answer: resolve, fail: reject, timer });
      this.#channel.send({ method, params, id });
    });
  }

  #onMessage(message: RpcMessage): void {
    if ('method' in message) {
      const { method, params, id } = message;
      if (id === null) this.onNotification(method, params);
      else if (method === 'echo') this.#channel.send({ result: params, error: null, id });
      return;
    }
    if (typeof message.id !== 'number') return;
    const question = this.#questions.get(message.id);
    if (question === undefined) return;
    this.#questions.delete(message.id);
    question.timer.cancel();
    if (message.error === null) question.answer(message.result);
    else question.fail(new WeftError('database-refused', `${this.name}: ${refusal(message.error)}`));
  }

  #onClose(reason: string): void {
    if (this.#lost !== undefined) return;
    const lost = new WeftError('no-database-server', `${this.name}: the connection ended (${reason})`);
    this.#lost = lost;
    for (const { fail, timer } of this.#questions.values()) {
      timer.cancel();
      fail(lost);
    }
    this.#questions.clear();
    this.onLost(lost);
  }

  close(): void {
    this.onLost = () => {};
    this.#channel.close();
  }

  /** Runs operations as one transaction. Throws `WeftError` "database-refused" where one of them fails. */
  async transact(database: string, operations: readonly Json[]): Promise<JsonObject[]> {
    const results = await this.ask('transact', [database, ...operations]);
    if (!isJsonArray(results))
      throw new WeftError('database-refused', `${this.name}: an answer that is not understood`);
    return results.slice(0, operations.length).map((result) => {
      if (!isJsonObject(result) || member(result, 'error') !== undefined)
        throw new WeftError('database-refused', `${this.name}: ${refusal(result)}`);
      return result;
    });
  }
}
