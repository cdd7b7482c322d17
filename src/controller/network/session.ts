/** One agent's connection: who it is, what it says, what it is asked. */
import type { Clock, Timer } from '../../base/clock.ts';
import { WeftError } from '../../base/errors.ts';
import type { ModuleLog } from '../../base/log.ts';
import type {
  AgentRequests,
  Applied,
  ControllerToAgent,
  Failed,
  Hello,
  Locations,
  Statistics,
} from '../../logical/protocol.ts';
import { type Json, stringify } from '../../ovsdb/json.ts';
import type { RpcChannel, RpcMessage } from '../../ovsdb/rpc/channel.ts';
import { Probe } from '../../ovsdb/rpc/probe.ts';
import { parseApplied, parseFailed, parseHello, parseLocations, parseStatistics } from './agent-messages.ts';

/** A stranger must say who it is within this time. */
const HELLO_MS = 10_000;
/** Bytes of what a stranger may say: a hello is some hundred. */
const MAX_HELLO = 16 * 1024;
const PROBE_MS = 5000;
/** So many requests may wait for one agent's answer. */
const MAX_REQUESTS = 64;
/** Characters of an agent's error that are passed on. */
const MAX_ERROR = 4096;
/** Bytes under way to one agent, beyond which it gets no more until it has read them. */
const MAX_BACKLOG = 8 * 1024 * 1024;

/** Who knows the tokens that agents identify their hosts with. */
export interface NodeAuthority {
  /** Whether `token` is the node's. Takes as long for a wrong one as for the right one. */
  verify(systemId: string, token: string): boolean;
}

/** Whom a session reports to. */
export interface SessionOwner {
  /** Throws WeftError to refuse; else the session is the node's from now on. */
  onHello(session: AgentSession, hello: Hello): void;
  onApplied(session: AgentSession, applied: Applied): void;
  onFailed(session: AgentSession, failed: Failed): void;
  onLocations(session: AgentSession, locations: Locations): void;
  onStatistics(session: AgentSession, statistics: Statistics): void;
  /** There is room for more. */
  onDrain(session: AgentSession): void;
  onClose(session: AgentSession, reason: string): void;
}

export interface SessionOptions {
  readonly clock: Clock;
  readonly log: ModuleLog;
  readonly owner: SessionOwner;
  /** For the log: "tcp:10.0.0.1:40112". */
  readonly name: string;
  /** Whether the peer can vanish silently. */
  readonly probes?: boolean;
}

interface Waiting {
  resolve(result: Json): void;
  reject(error: WeftError): void;
  readonly timer: Timer;
}

export class AgentSession {
  readonly name: string;
  readonly #channel: RpcChannel;
  readonly #clock: Clock;
  readonly #log: ModuleLog;
  readonly #owner: SessionOwner;
  readonly #probe: Probe;
  readonly #helloTimer: Timer;
  readonly #waiting = new Map<number, Waiting>();
  #systemId: string | undefined;
  #token = '';
  #nextId = 1;
  #closed = false;

  constructor(channel: RpcChannel, options: SessionOptions) {
    this.name = options.name;
    this.#channel = channel;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#owner = options.owner;
    this.#helloTimer = options.clock.after(HELLO_MS, () =>
      this.refuse(
        new WeftError('no-hello', `${this.name} has not said who it is within ${HELLO_MS / 1000} seconds`),
      ),
    );
    this.#probe = new Probe(
      options.clock,
      options.probes === true ? PROBE_MS : 0,
      () => this.#send({ method: 'echo', params: [], id: 'echo' }),
      (seconds) => {
        this.#log.warn(`${this.name}: no sign of life for ${seconds} seconds, disconnecting`);
        channel.close();
      },
    );
    channel.limit?.(MAX_HELLO);
    channel.receive({
      onMessage: (message) => this.#onMessage(message),
      onDrain: () => {
        if (this.#systemId !== undefined && !this.#closed) this.#owner.onDrain(this);
      },
      onClose: (reason) => this.#onClose(reason),
      onActivity: () => this.#probe.alive(),
    });
  }

  /** The node that it is the session of; undefined before the hello. */
  get systemId(): string | undefined {
    return this.#systemId;
  }

  /** Whether its token is still good. */
  allowed(authority: NodeAuthority): boolean {
    return this.#systemId === undefined || authority.verify(this.#systemId, this.#token);
  }

  /** Whether the peer takes what it is sent. */
  get writable(): boolean {
    return !this.#closed && this.#channel.backlog < MAX_BACKLOG;
  }

  notify<M extends keyof ControllerToAgent>(method: M, params: ControllerToAgent[M]): void {
    this.#send({ method, params: [params as unknown as Json], id: null });
  }

  /**
   * Asks the agent.
   *
   * @param timeout milliseconds
   * @throws WeftError what the agent says, or that it does not
   */
  request<M extends keyof AgentRequests>(
    method: M,
    params: AgentRequests[M]['params'],
    timeout: number,
  ): Promise<AgentRequests[M]['result']> {
    const node = this.#systemId ?? this.name;
    if (this.#closed)
      return Promise.reject(new WeftError('agent-gone', `the agent of ${node} is not connected`));
    if (this.#waiting.size >= MAX_REQUESTS)
      return Promise.reject(
        new WeftError('agent-busy', `${MAX_REQUESTS} questions wait for the agent of ${node} already`, {
          remedy: 'ask again later',
        }),
      );
    const id = this.#nextId++;
    return new Promise<Json>((resolve, reject) => {
      const timer = this.#clock.after(timeout, () => {
        this.#waiting.delete(id);
        reject(
          new WeftError('agent-timeout', `the agent of ${node} gave no answer to "${method}"`, {
            remedy: 'look at the log of the agent there',
          }),
        );
      });
      this.#waiting.set(id, { resolve, reject, timer });
      this.#send({ method, params: [params as unknown as Json], id });
    }) as Promise<unknown> as Promise<AgentRequests[M]['result']>;
  }

  /** Ends the connection, and tells the agent why. */
  refuse(error: WeftError): void {
    if (this.#closed) return;
    this.#log.info(`${this.name}: ${error.message} (${error.code})`);
    this.notify('refused', { code: error.code, message: error.message });
    this.#channel.close();
  }

  close(): void {
    this.#channel.close();
  }

  #send(message: RpcMessage): void {
    if (!this.#closed) this.#channel.send(message);
  }

  #onMessage(message: RpcMessage): void {
    if (this.#closed) return;
    if (!('method' in message)) {
      this.#onReply(message.id, message.result, message.error);
      return;
    }
    const { method, params, id } = message;
    if (method === 'echo') {
      if (id !== null) this.#send({ result: params, error: null, id });
      return;
    }
    if (id !== null) {
      this.#send({ result: null, error: `there is no request "${method}"`, id });
      return;
    }
    try {
      this.#onNotification(method, params.at(0));
    } catch (error) {
      if (!(error instanceof WeftError)) throw error;
      this.refuse(error);
    }
  }

  #onNotification(method: string, value: Json | undefined): void {
    if (method === 'hello') {
      if (this.#systemId !== undefined) throw new WeftError('bad-agent-message', 'hello came twice');
      const hello = parseHello(value);
      this.#owner.onHello(this, hello);
      this.#systemId = hello.systemId;
      this.#token = hello.token;
      this.#helloTimer.cancel();
      this.#channel.limit?.(undefined);
      return;
    }
    if (this.#systemId === undefined)
      throw new WeftError('bad-agent-message', `"${method.slice(0, 40)}" came before hello`);
    if (method === 'applied') this.#owner.onApplied(this, parseApplied(value));
    else if (method === 'failed') this.#owner.onFailed(this, parseFailed(value));
    else if (method === 'locations') this.#owner.onLocations(this, parseLocations(value));
    else if (method === 'statistics') this.#owner.onStatistics(this, parseStatistics(value));
    // A later version may say more.
    else this.#log.dbg(() => `${this.name}: unknown notification "${method.slice(0, 40)}" ignored`);
  }

  #onReply(id: Json, result: Json, error: Json): void {
    if (typeof id !== 'number') return;
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return;
    this.#waiting.delete(id);
    waiting.timer.cancel();
    if (error === null) waiting.resolve(result);
    else {
      const said = (typeof error === 'string' ? error : stringify(error)).slice(0, MAX_ERROR);
      waiting.reject(new WeftError('agent-error', `the agent of ${this.#systemId} says: ${said}`));
    }
  }

  #onClose(reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#helloTimer.cancel();
    this.#probe.stop();
    for (const { reject, timer } of this.#waiting.values()) {
      timer.cancel();
      reject(new WeftError('agent-gone', `the agent of ${this.#systemId ?? this.name} has gone: ${reason}`));
    }
    this.#waiting.clear();
    this.#owner.onClose(this, reason);
  }
}
