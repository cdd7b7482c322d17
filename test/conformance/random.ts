/** Random choices that a seed repeats (mulberry32). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** A whole number from 0 up to, but not including, `end` (at most 2^32). */
  int(end: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let x = this.#state;
    x = Math.imul(x ^ (x >>> 15), x | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return Math.floor((((x ^ (x >>> 14)) >>> 0) / 2 ** 32) * end);
  }

  pick<T>(items: readonly T[]): T {
    return items[this.int(items.length)];
  }

  /** True once in `n` times. */
  oneIn(n: number): boolean {
    return this.int(n) === 0;
  }

  /** `min` to `max` things, `max` included. */
  many<T>(min: number, max: number, make: () => T): T[] {
    return Array.from({ length: min + this.int(max - min + 1) }, make);
  }

  /** Up to `max` different items. */
  some<T>(items: readonly T[], max: number): T[] {
    const rest = [...items];
    const out: T[] = [];
    for (let n = this.int(Math.min(max, rest.length) + 1); n > 0; n--) {
      out.push(...rest.splice(this.int(rest.length), 1));
    }
    return out;
  }
}
