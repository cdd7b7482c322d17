/**
 * Holds the incremental state against a computation from scratch, again and again, in the background: an engine that
 * drifts must not be found out by its users. What differs is logged, counted and mended.
 */
import type { Clock, Timer } from '../../base/clock.ts';
import { WeftError } from '../../base/errors.ts';
import type { ModuleLog } from '../../base/log.ts';
import type { Network } from './network.ts';

/** Rows of the rules in one piece: some milliseconds. */
const PIECE = 5000;
/** What changes all the time is tried again so many times, then at the next turn. */
const ATTEMPTS = 3;

export interface AuditCounts {
  readonly completed: number;
  /** Given up, since the network changed all the time. */
  readonly disturbed: number;
  readonly rowsMended: number;
}

export class Auditor {
  readonly #network: Network;
  readonly #clock: Clock;
  readonly #log: ModuleLog;
  readonly #interval: number;
  #timer: Timer | undefined;
  #counts: AuditCounts = { completed: 0, disturbed: 0, rowsMended: 0 };

  /** @param interval milliseconds from the end of one audit to the next; infinite: never */
  constructor(network: Network, clock: Clock, log: ModuleLog, interval: number) {
    this.#network = network;
    this.#clock = clock;
    this.#log = log;
    this.#interval = interval;
  }

  get counts(): AuditCounts {
    return this.#counts;
  }

  start(): void {
    if (!Number.isFinite(this.#interval)) return;
    this.#timer = this.#clock.after(this.#interval, () => this.#begin(1));
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #begin(attempt: number): void {
    const pieces = this.#network.auditInPieces(PIECE);
    const next = (): void => {
      const result = this.#next(pieces);
      if (result === 'more') {
        // Not at once: whoever waits comes first.
        this.#timer = this.#clock.after(1, next);
      } else if (result === 'disturbed' && attempt < ATTEMPTS) this.#begin(attempt + 1);
      else {
        if (result === 'disturbed') this.#counts = { ...this.#counts, disturbed: this.#counts.disturbed + 1 };
        this.start();
      }
    };
    next();
  }

  #next(pieces: Generator<void, number | undefined, void>): 'more' | 'disturbed' | 'done' {
    try {
      const { done, value } = pieces.next();
      if (done !== true) return 'more';
      if (value === undefined) return 'disturbed';
      const { completed, rowsMended } = this.#counts;
      this.#counts = { ...this.#counts, completed: completed + 1, rowsMended: rowsMended + value };
    } catch (error) {
      if (!(error instanceof WeftError)) throw error;
      // Most likely there is no room for a second engine.
      this.#log.warn(`the audit of the rules could not be done: ${error.message} (${error.code})`);
    }
    return 'done';
  }
}
