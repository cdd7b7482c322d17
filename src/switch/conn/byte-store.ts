const CHUNK = 64 * 1024;

/** Bytes that are kept in a store. */
export interface StoredBytes {
  readonly chunk: Uint8Array;
  readonly start: number;
  readonly end: number;
}

/** Keeps many short runs of bytes in few pieces of memory; they stay as long as something points to them. */
export class ByteStore {
  #chunk = new Uint8Array(0);
  #used = 0;

  /** A copy of the bytes. */
  keep(bytes: Uint8Array): StoredBytes {
    if (this.#used + bytes.length > this.#chunk.length) {
      this.#chunk = new Uint8Array(Math.max(CHUNK, bytes.length));
      this.#used = 0;
    }
    const start = this.#used;
    this.#chunk.set(bytes, start);
    this.#used += bytes.length;
    return { chunk: this.#chunk, start, end: this.#used };
  }
}

export function readBytes({ chunk, start, end }: StoredBytes): Uint8Array {
  return chunk.subarray(start, end);
}
