import type { Clock } from '../../base/clock.ts';

/** Numbers above are for whoever asks for one by name. */
const AUTOMATIC_LIMIT = 32768;
const LIMIT = 65280;
/** A number that was in use so lately isn't given to another port: old flows may still name it. */
const REST_MS = 3_600_000;

/** Hands out the OpenFlow port numbers of one bridge. */
export class PortNumbers {
  readonly #clock: Clock;
  readonly #used = new Set<number>();
  readonly #released = new Map<number, number>();
  #last = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** `request` if that is free, else `hint`, else the next; null if there is none left. */
  allocate(request: number | null, hint: number | null): number | null {
    for (const wish of [request, hint]) {
      if (wish !== null && wish >= 1 && wish < LIMIT && !this.#used.has(wish)) return this.#take(wish);
    }
    let oldest: number | null = null;
    let oldestTime = Number.POSITIVE_INFINITY;
    const now = this.#clock.now();
    for (let i = 0; i < AUTOMATIC_LIMIT; i++) {
      this.#last = this.#last + 1 >= AUTOMATIC_LIMIT ? 1 : this.#last + 1;
      if (this.#used.has(this.#last)) continue;
      const released = this.#released.get(this.#last);
      if (released === undefined || now - released > REST_MS) return this.#take(this.#last);
      if (released < oldestTime) {
        oldest = this.#last;
        oldestTime = released;
      }
    }
    return oldest === null ? null : this.#take(oldest);
  }

  release(port: number): void {
    if (this.#used.delete(port)) this.#released.set(port, this.#clock.now());
  }

  #take(port: number): number {
    this.#used.add(port);
    this.#released.delete(port);
    return port;
  }
}
