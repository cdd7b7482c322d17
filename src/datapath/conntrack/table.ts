import { ExpiryHeap } from './expiry.ts';
import { hashTuple, reverseInto, T_REST, TUPLE_WORDS, type Tuple } from './tuple.ts';

/*
 * The connections: what they are called, what is known of them, when they end.
 *
 * Memory. A connection is a slot: C_WORDS words in a chunk of CHUNK slots, and a deadline. Chunks are made when the slots
 * before are in use, so memory follows what is tracked and is never copied; about 200 bytes a connection with its places
 * in the indexes. No object is made for a connection or a packet: three million connections are nothing to the collector
 * of garbage. A slot that is free keeps its serial number, which goes up with each connection that had it: slot and serial
 * name a connection for as long as the process runs, and who kept them sees when it is gone.
 *
 * Index. Each connection has two sides, its tuple as it came in (side 0) and the tuple of the packets that answer (side 1).
 * Hashes of tuples are the same in both directions, so that side 1 of a connection whose addresses are not translated is
 * found in the bucket of side 0; only where translation makes the two differ is side 1 linked by itself. A chain is walked
 * by comparing all words of both sides: what is found is the tuple, not its hash. The table of buckets grows by linear
 * hashing: with each connection more, one bucket is split, so that no packet ever waits for a table to be rebuilt. (The
 * array of the buckets' heads does double, a copy of four bytes a bucket.) The hash is keyed by a secret, else a stranger
 * could fill one chain.
 *
 * Time. Deadlines are milliseconds of the owner's clock. A connection whose deadline is over isn't found any more; it is
 * taken out a few at a time by whoever comes along (`sweep`), so that a million that end together stall nobody.
 */

/** Words of a connection: both tuples first. */
export const C_KEY = 0;
export const C_REV = C_KEY + TUPLE_WORDS;
export const C_MARK = C_REV + TUPLE_WORDS;
export const C_LABEL = C_MARK + 1;
/** Two peers of three words each (tcp.ts); other protocols: their state in the first. */
export const C_PEERS = C_LABEL + 4;
/** See the bits below. */
export const C_FLAGS = C_PEERS + 6;
/** Number of the timeout policy; 0: the default one. */
export const C_POLICY = C_FLAGS + 1;
/** Zone limit that it counts for, as (serial of the limit << 0); 0: none. */
export const C_LIMIT = C_POLICY + 1;
/** What an FTP helper added to the length of one direction's stream. */
export const C_SKEW = C_LIMIT + 1;
export const C_SERIAL = C_SKEW + 1;
/** Next in the chain of side 0 and of side 1, as (slot * 2 + side + 1); 0: the last. Free slots: the next free one. */
const C_NEXT = C_SERIAL + 1;
export const C_WORDS = C_NEXT + 2;

/** Flags: translation of source, of destination. */
export const F_SNAT = 1;
export const F_DNAT = 2;
/** It was expected by another connection's helper. */
export const F_RELATED = 4;
/** Side 1 is linked by itself. */
const F_LINKED = 8;
/** The slot is in use. */
const F_USED = 16;
/** The stream that C_SKEW is about is that of the answers. */
export const F_SKEW_REPLY = 32;
/** Helper of a control connection. */
export const F_FTP = 64;
export const F_TFTP = 128;

const CHUNK_BITS = 10;
const CHUNK = 1 << CHUNK_BITS;

/** Connections looked at by one `sweep`: more than can come in meanwhile. */
const SWEEP = 8;
const FIRST_BUCKETS = 64;

export class ConnectionTable {
  readonly #seed: number;
  readonly #chunks: Uint32Array[] = [];
  readonly #deadlines: Float64Array[] = [];
  readonly #expiry = new ExpiryHeap();
  readonly #reversed = new Uint32Array(TUPLE_WORDS);
  #free = -1;
  #count = 0;
  /** Sides linked. */
  #links = 0;
  /** Heads of the chains, of which `#buckets` are in use; `#half` is the power of two below. */
  #heads = new Int32Array(FIRST_BUCKETS * 2);
  #buckets = FIRST_BUCKETS;
  #half = FIRST_BUCKETS;

  /** Where the connection at hand stands: set by `at`, and by `find`, `add` for what they return. */
  words: Uint32Array = new Uint32Array(0);
  base = 0;

  /** Told of each connection before it is taken out; `words` and `base` are its. */
  onRemove: (slot: number) => void = () => {};

  constructor(seed: number) {
    this.#seed = seed;
  }

  /** Connections, those whose time is over and that nobody swept yet among them. */
  get count(): number {
    return this.#count;
  }
  /** Slots that there are, in use or not: to look at all connections, ask `used` for each. */
  get slots(): number {
    return this.#chunks.length << CHUNK_BITS;
  }

  /** Points `words` and `base` at a slot. */
  at(slot: number): void {
    this.words = this.#chunks[slot >> CHUNK_BITS];
    this.base = (slot & (CHUNK - 1)) * C_WORDS;
  }
  used(slot: number): boolean {
    return (this.#chunks[slot >> CHUNK_BITS][(slot & (CHUNK - 1)) * C_WORDS + C_FLAGS] & F_USED) !== 0;
  }
  deadline(slot: number): number {
    return this.#deadlines[slot >> CHUNK_BITS][slot & (CHUNK - 1)];
  }
  /** True while the slot holds the connection with that serial number, and its time isn't over. */
  lives(slot: number, serial: number, now: number): boolean {
    const at = (slot & (CHUNK - 1)) * C_WORDS;
    const words = this.#chunks[slot >> CHUNK_BITS];
    return (
      words[at + C_SERIAL] === serial && (words[at + C_FLAGS] & F_USED) !== 0 && this.deadline(slot) > now
    );
  }

  /** Sets when the connection ends, unless a packet sets it anew. */
  setDeadline(slot: number, deadline: number): void {
    this.#deadlines[slot >> CHUNK_BITS][slot & (CHUNK - 1)] = deadline;
    if (deadline < this.#expiry.keyOf(slot)) this.#expiry.set(slot, deadline);
  }

  /**
   * The connection that a packet with this tuple belongs to, as slot * 2, plus 1 where the packet goes in the direction of
   * answers; -1 if there is none.
   */
  find(t: Tuple, now: number): number {
    let link = this.#heads[this.#bucketOf(hashTuple(t, 0, this.#seed))];
    while (link !== 0) {
      const slot = (link - 1) >> 1;
      const words = this.#chunks[slot >> CHUNK_BITS];
      const base = (slot & (CHUNK - 1)) * C_WORDS;
      if (words[base + T_REST] === t[T_REST]) {
        const reply = same(words, base + C_KEY, t) ? 0 : same(words, base + C_REV, t) ? 1 : -1;
        if (reply >= 0 && this.deadline(slot) > now) {
          this.words = words;
          this.base = base;
          return slot * 2 + reply;
        }
      }
      link = words[base + C_NEXT + ((link - 1) & 1)];
    }
    return -1;
  }

  /**
   * Makes a connection, and returns its slot: all its words are 0 but its tuples and serial number, and `words` and `base`
   * are its. Whoever calls has made sure that neither tuple is in use.
   */
  add(key: Tuple, rev: Tuple, deadline: number): number {
    if (this.#free < 0) this.#grow();
    const slot = this.#free;
    this.at(slot);
    const { words, base } = this;
    this.#free = words[base + C_NEXT] - 1;
    const serial = words[base + C_SERIAL] + 1;
    words.fill(0, base, base + C_WORDS);
    words.set(key, base + C_KEY);
    words.set(rev, base + C_REV);
    words[base + C_SERIAL] = serial;
    reverseInto(key, this.#reversed);
    const linked = !same(words, base + C_REV, this.#reversed);
    words[base + C_FLAGS] = linked ? F_USED | F_LINKED : F_USED;
    this.#link(slot, 0);
    if (linked) this.#link(slot, 1);
    this.#count++;
    this.#deadlines[slot >> CHUNK_BITS][slot & (CHUNK - 1)] = deadline;
    this.#expiry.set(slot, deadline);
    return slot;
  }

  remove(slot: number): void {
    this.at(slot);
    this.onRemove(slot);
    this.at(slot);
    const { words, base } = this;
    if ((words[base + C_FLAGS] & F_LINKED) !== 0) this.#unlink(slot, 1);
    this.#unlink(slot, 0);
    this.#expiry.delete(slot);
    words[base + C_FLAGS] = 0;
    words[base + C_NEXT] = this.#free + 1;
    this.#free = slot;
    this.#count--;
  }

  /** Takes out some of those whose time is over. */
  sweep(now: number, budget: number = SWEEP): void {
    for (let n = 0; n < budget && this.#expiry.topKey <= now; n++) {
      const slot = this.#expiry.top;
      const deadline = this.deadline(slot);
      if (deadline > now) this.#expiry.set(slot, deadline);
      else this.remove(slot);
    }
  }

  #grow(): void {
    const first = this.#chunks.length << CHUNK_BITS;
    const words = new Uint32Array(CHUNK * C_WORDS);
    for (let i = 0; i < CHUNK; i++)
      words[i * C_WORDS + C_NEXT] = i + 1 < CHUNK ? first + i + 2 : this.#free + 1;
    this.#chunks.push(words);
    this.#deadlines.push(new Float64Array(CHUNK));
    this.#free = first;
  }

  #bucketOf(hash: number): number {
    const bucket = hash & (this.#half * 2 - 1);
    return bucket < this.#buckets ? bucket : bucket & (this.#half - 1);
  }

  /** Bucket of a side of a slot. */
  #home(slot: number, side: number): number {
    const words = this.#chunks[slot >> CHUNK_BITS];
    const base = (slot & (CHUNK - 1)) * C_WORDS;
    return this.#bucketOf(hashTuple(words, base + (side === 0 ? C_KEY : C_REV), this.#seed));
  }

  #next(link: number): number {
    const slot = (link - 1) >> 1;
    return this.#chunks[slot >> CHUNK_BITS][(slot & (CHUNK - 1)) * C_WORDS + C_NEXT + ((link - 1) & 1)];
  }
  #setNext(link: number, next: number): void {
    const slot = (link - 1) >> 1;
    this.#chunks[slot >> CHUNK_BITS][(slot & (CHUNK - 1)) * C_WORDS + C_NEXT + ((link - 1) & 1)] = next;
  }

  #link(slot: number, side: number): void {
    if (++this.#links > this.#buckets) this.#split();
    const bucket = this.#home(slot, side);
    const link = slot * 2 + side + 1;
    this.#setNext(link, this.#heads[bucket]);
    this.#heads[bucket] = link;
  }

  #unlink(slot: number, side: number): void {
    const bucket = this.#home(slot, side);
    const wanted = slot * 2 + side + 1;
    const next = this.#next(wanted);
    let link = this.#heads[bucket];
    if (link === wanted) {
      this.#heads[bucket] = next;
    } else {
      while (this.#next(link) !== wanted) link = this.#next(link);
      this.#setNext(link, next);
    }
    this.#links--;
  }

  /** Makes one bucket more, and shares the chain of its lower half out between the two. */
  #split(): void {
    if (this.#buckets === this.#half * 2) this.#half *= 2;
    if (this.#buckets === this.#heads.length) {
      const heads = new Int32Array(this.#heads.length * 2);
      heads.set(this.#heads);
      this.#heads = heads;
    }
    const low = this.#buckets - this.#half;
    let link = this.#heads[low];
    this.#heads[low] = 0;
    this.#buckets++;
    while (link !== 0) {
      const next = this.#next(link);
      const bucket = this.#home((link - 1) >> 1, (link - 1) & 1);
      this.#setNext(link, this.#heads[bucket]);
      this.#heads[bucket] = link;
      link = next;
    }
  }
}

/** True where the tuple in `w` at `at` is `t`. */
function same(w: Uint32Array, at: number, t: Tuple): boolean {
  return (
    w[at] === t[0] &&
    w[at + 4] === t[4] &&
    w[at + 8] === t[8] &&
    w[at + 9] === t[9] &&
    w[at + 10] === t[10] &&
    w[at + 1] === t[1] &&
    w[at + 2] === t[2] &&
    w[at + 3] === t[3] &&
    w[at + 5] === t[5] &&
    w[at + 6] === t[6] &&
    w[at + 7] === t[7]
  );
}
