import type { Clock, Timer } from '../../base/clock.ts';

/**
 * Finds out that a silent peer is gone: after `interval` milliseconds without a sign of life it asks,
 * and after as many again without an answer it gives up.
 */
export class Probe {
  readonly #clock: Clock;
  readonly #ask: () => void;
  readonly #giveUp: (seconds: number) => void;
  #interval: number;
  #lastActivity: number;
  #asked = false;
  #timer: Timer | undefined;

  /** @param interval in milliseconds; 0 turns probing off */
  constructor(clock: Clock, interval: number, ask: () => void, giveUp: (seconds: number) => void) {
    this.#clock = clock;
    this.#interval = interval;
    this.#ask = ask;
    this.#giveUp = giveUp;
    this.#lastActivity = clock.now();
    this.#arm();
  }

  set interval(interval: number) {
    if (interval === this.#interval) return;
    this.#interval = interval;
    this.#asked = false;
    this.#lastActivity = this.#clock.now();
    this.#arm();
  }

  /** Something arrived. Cheap: the timer is left to find out by itself. */
  alive(): void {
    this.#lastActivity = this.#clock.now();
    this.#asked = false;
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#interval = 0;
  }

  #arm(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#interval <= 0) return;
    const due = this.#lastActivity + this.#interval * (this.#asked ? 2 : 1);
    this.#timer = this.#clock.after(Math.max(1, due - this.#clock.now()), () => this.#expired());
  }

  #expired(): void {
    const silent = this.#clock.now() - this.#lastActivity;
    if (silent >= this.#interval * (this.#asked ? 2 : 1)) {
      if (this.#asked) {
        const seconds = this.#interval / 1000;
        this.stop();
        this.#giveUp(seconds);
        return;
      }
      this.#asked = true;
      this.#ask();
    }
    this.#arm();
  }
}
