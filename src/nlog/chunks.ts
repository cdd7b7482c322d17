export const CHUNK_BITS = 20;
export const CHUNK = 1 << CHUNK_BITS;
export const CHUNK_MASK = CHUNK - 1;
/** Refs are positive 32-bit numbers. */
export const MAX_CHUNKS = 1 << (31 - CHUNK_BITS);

/** A list of numbers that grows by whole chunks. */
export class IntList {
  static readonly CHUNK = 1 << 14;
  readonly chunks: Int32Array[] = [];
  /** The last chunk, and how much of it is used. */
  #tail: Int32Array = new Int32Array(0);
  #last = 0;
  length = 0;

  push(v: number): void {
    if (this.#last === this.#tail.length) this.#more();
    this.#tail[this.#last++] = v;
    this.length++;
  }

  /** Both in one chunk: capacities are even. */
  push2(a: number, b: number): void {
    if (this.#last === this.#tail.length) this.#more();
    this.#tail[this.#last] = a;
    this.#tail[this.#last + 1] = b;
    this.#last += 2;
    this.length += 2;
  }

  #more(): void {
    const { chunks } = this;
    // The first chunk starts small: most lists stay so.
    if (chunks.length === 1 && this.#last < IntList.CHUNK) {
      const grown = new Int32Array(this.#last * 4);
      grown.set(this.#tail);
      chunks[0] = grown;
    } else {
      chunks.push(new Int32Array(chunks.length === 0 ? 16 : IntList.CHUNK));
      this.#last = 0;
    }
    this.#tail = chunks[chunks.length - 1];
  }

  /** Words used in chunk `i`. */
  used(i: number): number {
    return i === this.chunks.length - 1 ? this.#last : this.chunks[i].length;
  }

  get(i: number): number {
    return this.chunks.length === 1
      ? this.chunks[0][i]
      : this.chunks[Math.floor(i / IntList.CHUNK)][i % IntList.CHUNK];
  }

  clear(): void {
    // Keep one chunk, so that small transactions allocate nothing.
    this.chunks.length = Math.min(1, this.chunks.length);
    this.#tail = this.chunks[0] ?? this.#tail;
    this.#last = 0;
    this.length = 0;
  }

  get bytes(): number {
    let sum = 0;
    for (const c of this.chunks) sum += c.byteLength;
    return sum;
  }
}
