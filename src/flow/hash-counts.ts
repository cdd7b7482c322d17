/**
 * A multiset of 32-bit hashes, with open addressing in typed arrays. Stages of a classifier's lookup
 * ask it whether any rule can match, given the headers seen so far; an accidental "yes" costs time,
 * never correctness.
 */
export class HashCounts {
  #hashes = new Uint32Array(16);
  #counts = new Uint32Array(16);
  #used = 0;

  /** Distinct hashes in the set. */
  get size(): number {
    return this.#used;
  }

  has(hash: number): boolean {
    const h = hash >>> 0;
    const mask = this.#hashes.length - 1;
    for (let i = h & mask; this.#counts[i] !== 0; i = (i + 1) & mask) {
      if (this.#hashes[i] === h) return true;
    }
    return false;
  }

  add(hash: number): void {
    const i = this.#slot(hash >>> 0);
    if (this.#counts[i]++ !== 0) return;
    this.#hashes[i] = hash;
    this.#used++;
    if (this.#used * 2 > this.#hashes.length) this.#resize(this.#hashes.length * 2);
  }

  /** Takes one occurrence out. It must be there. */
  remove(hash: number): void {
    let hole = this.#slot(hash >>> 0);
    if (this.#counts[hole] === 0) throw new RangeError(`hash counts: removing ${hash}, which is not in it`);
    if (--this.#counts[hole] !== 0) return;
    this.#used--;
    // Entries that were pushed past the hole move back into it, so that no search stops short.
    const mask = this.#hashes.length - 1;
    for (let i = (hole + 1) & mask; this.#counts[i] !== 0; i = (i + 1) & mask) {
      const home = this.#hashes[i] & mask;
      if (((i - home) & mask) < ((i - hole) & mask)) continue;
      this.#hashes[hole] = this.#hashes[i];
      this.#counts[hole] = this.#counts[i];
      this.#counts[i] = 0;
      hole = i;
    }
    if (this.#hashes.length > 64 && this.#used * 8 < this.#hashes.length)
      this.#resize(this.#hashes.length / 2);
  }

  #slot(h: number): number {
    const mask = this.#hashes.length - 1;
    let i = h & mask;
    while (this.#counts[i] !== 0 && this.#hashes[i] !== h) i = (i + 1) & mask;
    return i;
  }

  #resize(size: number): void {
    const [hashes, counts] = [this.#hashes, this.#counts];
    this.#hashes = new Uint32Array(size);
    this.#counts = new Uint32Array(size);
    for (let i = 0; i < hashes.length; i++) {
      if (counts[i] === 0) continue;
      const slot = this.#slot(hashes[i]);
      this.#hashes[slot] = hashes[i];
      this.#counts[slot] = counts[i];
    }
  }
}
