/** Numbers that look random and follow from a seed. */
export class Random {
  #state: number;
  constructor(seed: number) {
    this.#state = Math.imul(seed, 0x9e3779b1);
  }
  below(n: number): number {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) | 0;
    let t = this.#state ^ (this.#state >>> 15);
    t = Math.imul(t, 0x2c1b3c6d);
    return ((t ^ (t >>> 13)) >>> 0) % n;
  }
  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)];
  }
  chance(percent: number): boolean {
    return this.below(100) < percent;
  }
}
