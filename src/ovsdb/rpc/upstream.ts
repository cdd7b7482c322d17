import type { Clock } from '../../base/clock.ts';
import type { Logger, ModuleLog } from '../../base/log.ts';
import { type Json, stringify } from '../json.ts';
import type { Connector, RpcChannel, RpcMessage } from './channel.ts';
import { Probe } from './probe.ts';
import { type ConnectionState, Reconnector } from './reconnect.ts';

const DEFAULT_PROBE_MS = 5000;

export type Reply = Extract<RpcMessage, { result: Json }>;

export interface UpstreamOptions {
  readonly connector: Connector;
  readonly clock: Clock;
  readonly log: Logger;
  /** Milliseconds of silence after which the server is probed; 0 for never. By default 5 s over TCP. */
  readonly probeInterval?: number;
  /** Longest pause between attempts to connect, in milliseconds. */
  readonly maxBackoff?: number;
  readonly onConnected: () => void;
  /** The connection was lost; everything asked has been answered with undefined. */
  readonly onLost: () => void;
  readonly onNotification: (method: string, params: readonly Json[]) => void;
  readonly onState?: (state: ConnectionState) => void;
}

/** A connection to a server that keeps itself alive, and on which one can ask. */
export class Upstream {
  readonly name: string;
  readonly #options: UpstreamOptions;
  readonly #reconnector: Reconnector;
  readonly #log: ModuleLog;
  readonly #reconnectLog: ModuleLog;
  readonly #calls = new Map<number, (reply: Reply | undefined) => void>();
  #channel: RpcChannel | undefined;
  #probe: Probe | undefined;
  #nextId = 1;

  constructor(options: UpstreamOptions) {
    this.#options = options;
    this.name = options.connector.name;
    this.#log = options.log.module('jsonrpc');
    this.#reconnectLog = options.log.module('reconnect');
    this.#reconnector = new Reconnector({
      clock: options.clock,
      log: this.#reconnectLog,
      connector: options.connector,
      maxBackoff: options.maxBackoff,
      onChannel: (channel) => this.#open(channel),
      onState: options.onState,
    });
  }

  get connected(): boolean {
    return this.#channel !== undefined;
  }

  set probeInterval(milliseconds: number) {
    if (this.#probe !== undefined) this.#probe.interval = milliseconds;
  }

  start(): void {
    this.#reconnector.start();
  }

  /** Gives the connection up for good. */
  close(): void {
    this.#reconnector.stop();
    this.#channel?.close();
  }

  /** Cuts the connection, so that everything begins anew after a pause. */
  reconnect(): void {
    this.#channel?.close();
  }

  /**
   * Asks the server. `answer` is called within the turn in which the reply arrives, before any message
   * behind it is looked at, or with undefined if there is no connection or it ends first.
   */
  ask(method: string, params: readonly Json[], answer: (reply: Reply | undefined) => void): void {
    const channel = this.#channel;
    if (channel === undefined) {
      answer(undefined);
      return;
    }
    const id = this.#nextId++;
    this.#calls.set(id, answer);
    this.#log.dbg(
      () => `${this.name}: send request, method="${method}", params=${stringify(params)}, id=${id}`,
    );
    channel.send({ method, params, id });
  }

  /** The same for those who need not be first. */
  call(method: string, params: readonly Json[]): Promise<Reply | undefined> {
    return new Promise((resolve) => this.ask(method, params, resolve));
  }

  #open(channel: RpcChannel): void {
    const { clock, connector, probeInterval } = this.#options;
    this.#channel = channel;
    const probe = new Probe(
      clock,
      probeInterval ?? (connector.needsProbes ? DEFAULT_PROBE_MS : 0),
      () => channel.send({ method: 'echo', params: [], id: 'echo' }),
      (seconds) => {
        this.#reconnectLog.err(
          `${this.name}: no response to inactivity probe after ${seconds} seconds, disconnecting`,
        );
        channel.close();
      },
    );
    this.#probe = probe;
    channel.receive({
      onMessage: (message) => this.#onMessage(message),
      onDrain: () => {},
      onClose: (reason) => this.#onClose(reason),
      onActivity: () => probe.alive(),
    });
    this.#options.onConnected();
  }

  #onClose(reason: string): void {
    this.#channel = undefined;
    this.#probe?.stop();
    const calls = [...this.#calls.values()];
    this.#calls.clear();
    for (const answer of calls) answer(undefined);
    this.#options.onLost();
    this.#reconnector.lost(reason);
  }

  #onMessage(message: RpcMessage): void {
    if (!('method' in message)) {
      this.#log.dbg(() => `${this.name}: received reply, id=${stringify(message.id)}`);
      if (typeof message.id !== 'number') return;
      const answer = this.#calls.get(message.id);
      this.#calls.delete(message.id);
      answer?.(message);
      return;
    }
    const { method, params, id } = message;
    if (id === null) {
      this.#log.dbg(
        () => `${this.name}: received notification, method="${method}", params=${stringify(params)}`,
      );
      this.#options.onNotification(method, params);
    } else if (method === 'echo') {
      this.#channel?.send({ result: params, error: null, id });
    }
  }
}
