/**
 * A bounded queue of byte records from one thread to another, in shared memory, with no lock and no
 * system call.
 *
 * One thread pushes, one shifts. `head` and `tail` count bytes ever written and read, modulo 2^32; the
 * writer alone moves `head`, the reader `tail`, each after it is done with the bytes, so that the other
 * never sees half a record. A record is a 32-bit length and its bytes, padded to 8, and never wraps: where
 * the end of the memory is too near, a mark says that the next record is at the beginning.
 */
export class Ring {
  readonly memory: SharedArrayBuffer;
  /** The memory behind the counters. Records given out by `reserve` and `next` are places in it. */
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
  readonly doubles: Float64Array;
  readonly #size: number;
  readonly #counters: Int32Array;
  #reserved = 0;
  #taken = 0;
  /** Length of the record that `next` found. */
  length = 0;

  /** @param size bytes, a power of two of at least 64; or the memory of the other thread's ring */
  constructor(size: number | SharedArrayBuffer) {
    this.memory = typeof size === 'number' ? new SharedArrayBuffer(size + HEADER) : size;
    this.#size = this.memory.byteLength - HEADER;
    this.#counters = new Int32Array(this.memory, 0, HEADER / 4);
    this.bytes = new Uint8Array(this.memory, HEADER);
    this.words = new Int32Array(this.memory, HEADER);
    this.doubles = new Float64Array(this.memory, HEADER);
  }

  /** The longest record that fits at all. */
  get maxLength(): number {
    return this.#size / 2 - 16;
  }
  /** Bytes ever written and ever read, modulo 2^32. */
  get head(): number {
    return Atomics.load(this.#counters, HEAD);
  }
  get tail(): number {
    return Atomics.load(this.#counters, TAIL);
  }
  get size(): number {
    return this.#size;
  }
  get empty(): boolean {
    return this.head === this.tail;
  }

  /**
   * Makes room for a record and returns its place in `bytes`, a multiple of 8; -1 if there is none now.
   * Nothing is visible before `commit`.
   */
  reserve(length: number): number {
    const need = (length + 8 + 7) & ~7;
    const head = this.#counters[HEAD];
    const free = this.#size - ((head - this.tail) >>> 0);
    const at = head & (this.#size - 1);
    const rest = this.#size - at;
    if (need <= rest) {
      if (need > free) return -1;
      this.words[at >> 2] = length;
      this.#reserved = need;
      return at + 8;
    }
    if (rest + need > free) return -1;
    this.words[at >> 2] = WRAP;
    this.words[0] = length;
    this.#reserved = rest + need;
    return 8;
  }
  /** Shows the reserved record to the reader. */
  commit(): void {
    Atomics.store(this.#counters, HEAD, (this.#counters[HEAD] + this.#reserved) | 0);
  }

  /** Place of the oldest record, its length in `length`; -1 if there is none. */
  next(): number {
    const tail = this.#counters[TAIL];
    if (this.head === tail) return -1;
    let at = tail & (this.#size - 1);
    this.#taken = 0;
    if (this.words[at >> 2] === WRAP) {
      this.#taken = this.#size - at;
      at = 0;
    }
    this.length = this.words[at >> 2];
    this.#taken += (this.length + 8 + 7) & ~7;
    return at + 8;
  }
  /** Gives the room of the record that `next` found back. */
  release(): void {
    Atomics.store(this.#counters, TAIL, (this.#counters[TAIL] + this.#taken) | 0);
  }
}

const HEADER = 128;
/** The counters stand on cache lines of their own. */
const HEAD = 0;
const TAIL = 16;
const WRAP = -1;
