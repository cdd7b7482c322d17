import type { Clock, Timer } from '../../base/clock.ts';
import type { ModuleLog } from '../../base/log.ts';
import type { Connector, RpcChannel } from './channel.ts';

/** The states of `ovs-vsctl list Manager`, column `status`, key `state`. */
export type ConnectionState = 'VOID' | 'BACKOFF' | 'CONNECTING' | 'ACTIVE';

const MIN_BACKOFF_MS = 1000;
/** After so many failures in a row, further ones are only worth a debugging message. */
const LOUD_FAILURES = 3;

export interface ReconnectorOptions {
  readonly clock: Clock;
  readonly log: ModuleLog;
  readonly connector: Connector;
  /** The longest pause between attempts, in milliseconds. */
  readonly maxBackoff?: number;
  /** Takes over each new connection, and must call `lost` when it ends. */
  readonly onChannel: (channel: RpcChannel) => void;
  readonly onState?: (state: ConnectionState) => void;
}

/** Keeps one outgoing connection alive: connects, and connects again after growing pauses. */
export class Reconnector {
  readonly #options: ReconnectorOptions;
  #state: ConnectionState = 'VOID';
  #backoff = 0;
  #failures = 0;
  #timer: Timer | undefined;
  /** Counts attempts, so that the result of one that was given up is recognised. */
  #attempt = 0;
  #connectedAt: number | undefined;
  #disconnectedAt: number | undefined;
  #lastError: string | undefined;
  maxBackoff: number;

  constructor(options: ReconnectorOptions) {
    this.#options = options;
    this.maxBackoff = options.maxBackoff ?? 8000;
  }

  get state(): ConnectionState {
    return this.#state;
  }

  get lastError(): string | undefined {
    return this.#lastError;
  }

  /** Whole seconds since the connection last came up; undefined if it never did. */
  get secondsSinceConnect(): number | undefined {
    return this.#since(this.#connectedAt);
  }

  get secondsSinceDisconnect(): number | undefined {
    return this.#since(this.#disconnectedAt);
  }

  #since(moment: number | undefined): number | undefined {
    return moment === undefined ? undefined : Math.floor((this.#options.clock.now() - moment) / 1000);
  }

  start(): void {
    // Not at once: who starts us may still be starting up himself.
    if (this.#state === 'VOID' && this.#timer === undefined) {
      this.#timer = this.#options.clock.after(0, () => this.#connect());
    }
  }

  /** Gives up for good. An open channel is the caller's to close. */
  stop(): void {
    this.#attempt++;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#enter('VOID');
  }

  #enter(state: ConnectionState): void {
    if (state === this.#state) return;
    this.#state = state;
    this.#options.onState?.(state);
  }

  #say(text: string): void {
    const { log, connector } = this.#options;
    const line = `${connector.name}: ${text}`;
    if (this.#failures > LOUD_FAILURES) log.dbg(line);
    else log.info(line);
  }

  #connect(): void {
    const attempt = ++this.#attempt;
    this.#enter('CONNECTING');
    this.#say('connecting...');
    this.#options.connector.connect().then(
      (channel) => {
        if (attempt !== this.#attempt) {
          channel.close();
          return;
        }
        this.#failures = 0;
        this.#say('connected');
        this.#connectedAt = this.#options.clock.now();
        this.#lastError = undefined;
        this.#enter('ACTIVE');
        this.#options.onChannel(channel);
      },
      (error) => {
        if (attempt !== this.#attempt) return;
        this.#failures++;
        this.#lastError = error instanceof Error ? error.message : String(error);
        this.#say(`connection attempt failed (${this.#lastError})`);
        this.#pause();
      },
    );
  }

  /** The connection that `onChannel` got has ended. */
  lost(reason: string): void {
    if (this.#state !== 'ACTIVE') return;
    const { clock, log, connector } = this.#options;
    this.#disconnectedAt = clock.now();
    this.#lastError = reason;
    log.info(
      reason === 'End of file'
        ? `${connector.name}: connection closed by peer`
        : `${connector.name}: connection dropped (${reason})`,
    );
    // A connection that held for a while was a good one: the first attempt afterwards comes soon.
    if (this.#connectedAt !== undefined && clock.now() - this.#connectedAt >= this.#backoff)
      this.#backoff = 0;
    this.#pause();
  }

  #pause(): void {
    this.#backoff = Math.min(Math.max(MIN_BACKOFF_MS, this.#backoff * 2), this.maxBackoff);
    this.#enter('BACKOFF');
    if (this.#backoff > MIN_BACKOFF_MS) this.#say(`waiting ${this.#backoff / 1000} seconds before reconnect`);
    this.#timer = this.#options.clock.after(this.#backoff, () => this.#connect());
  }
}
