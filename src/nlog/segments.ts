import { CHUNK, CHUNK_BITS, CHUNK_MASK, MAX_CHUNKS } from './chunks.ts';

/*
 * A hash of refs: extendible hashing over small tables with open addressing.
 *
 * An entry is two words, the hash and a ref (0: free), so growing and removing never look at a row, and a
 * look-up reads a row only if the whole hash is equal. Entries stand in *segments* of up to 512, one page
 * of memory; the upper bits of the hash choose the segment through the directory, the lower bits the place
 * in it. A segment that is three quarters full is split in two: no single insertion is ever slow, and what moves,
 * moves within a page. Only the directory is copied as a whole; it has one word for some 250 rows.
 *
 * Segments lie side by side in slabs of 4 MB. A *descriptor* names one: slab and word, whose lower 5 bits
 * are free since segments have at least 32 words, and hold the binary logarithm of the number of entries.
 *
 * Rows that share more of their hash than a directory of sensible size can tell apart get a segment that is
 * larger instead: slow to search, and right.
 *
 * Look-ups are text in generated code (`lookup` in store-code.ts); what changes the hash is here.
 */

/** Entries of the first segments, and of full ones, as powers of two. */
const FIRST_BITS = 4;
const FULL_BITS = 9;
/** A segment may take a whole slab. */
const MOST_BITS = CHUNK_BITS - 1;
/** A segment is split when so many sixteenths of it are taken. */
export const FULL = 12;
export const UNIT_BITS = FIRST_BITS + 1;
/** The part of a descriptor that says where in the slab the segment begins. */
export const SEGMENT_BASE = CHUNK_MASK & ~((1 << UNIT_BITS) - 1);
/** Words of the first slab; it grows to the size of the others. */
const FIRST_SLAB = 2 << UNIT_BITS;

/** Where entries rest while their segment is split: one for all hashes of an engine. */
export const SEGMENT_WORDS = 2 << FULL_BITS;

export class Segments {
  /** Descriptors, by the upper bits of hashes. */
  dir = new Int32Array(0);
  shift = 31;
  readonly slabs: Int32Array[] = [];
  size = 0;
  /** How many entries each segment has, by slab and unit of its beginning. */
  readonly counts: Int32Array[] = [];
  readonly #free: number[][] = Array.from({ length: MOST_BITS + 1 }, () => []);
  readonly #rest: Int32Array;
  readonly #note: (bytes: number) => void;
  readonly #full: () => never;
  #segments = 0;
  /** Words used in the last slab. */
  #top = 0;
  #bytes = 0;

  /** `note` hears of memory that is taken (or, negative, given back); `full` throws when there are too many slabs. */
  constructor(rest: Int32Array, note: (bytes: number) => void, full: () => never) {
    this.#rest = rest;
    this.#note = note;
    this.#full = full;
    this.reset();
  }

  get bytes(): number {
    return this.#bytes;
  }

  reset(): void {
    this.#take(-this.#bytes);
    this.slabs.length = 0;
    this.counts.length = 0;
    for (const list of this.#free) list.length = 0;
    this.#segments = 0;
    this.#top = 0;
    this.size = 0;
    this.shift = 31;
    this.dir = new Int32Array(2);
    this.#take(this.dir.byteLength);
    for (let i = 0; i < 2; i++) this.dir[i] = this.#allot(FIRST_BITS);
  }

  /** Enters a ref that is not there. */
  add(hash: number, ref: number): void {
    let d = this.dir[hash >>> this.shift];
    while (this.counts[d >>> CHUNK_BITS][(d & CHUNK_MASK) >>> UNIT_BITS] >= (FULL << d) >> 4) {
      this.#grow(hash);
      d = this.dir[hash >>> this.shift];
    }
    this.#put(d, hash, ref);
    this.size++;
  }

  /** Takes a ref out that is there. */
  remove(hash: number, ref: number): void {
    const d = this.dir[hash >>> this.shift];
    const slab = this.slabs[d >>> CHUNK_BITS];
    const base = d & SEGMENT_BASE;
    const mask = (2 << d) - 1;
    let hole = (hash << 1) & mask;
    while (slab[base + hole + 1] !== ref) hole = (hole + 2) & mask;
    // Entries behind move up, so that no search ends too early.
    for (let i = (hole + 2) & mask; slab[base + i + 1] !== 0; i = (i + 2) & mask) {
      const home = (slab[base + i] << 1) & mask;
      if (((i - home) & mask) < ((i - hole) & mask)) continue;
      slab[base + hole] = slab[base + i];
      slab[base + hole + 1] = slab[base + i + 1];
      hole = i;
    }
    slab[base + hole + 1] = 0;
    this.counts[d >>> CHUNK_BITS][(d & CHUNK_MASK) >>> UNIT_BITS]--;
    this.size--;
  }

  /** Puts another ref in the place of one that is there. */
  replace(hash: number, old: number, ref: number): void {
    const d = this.dir[hash >>> this.shift];
    const slab = this.slabs[d >>> CHUNK_BITS];
    const base = d & SEGMENT_BASE;
    const mask = (2 << d) - 1;
    let i = (hash << 1) & mask;
    while (slab[base + i + 1] !== old) i = (i + 2) & mask;
    slab[base + i + 1] = ref;
  }

  #put(d: number, hash: number, ref: number): void {
    const slab = this.slabs[d >>> CHUNK_BITS];
    const base = d & SEGMENT_BASE;
    const mask = (2 << d) - 1;
    let i = (hash << 1) & mask;
    while (slab[base + i + 1] !== 0) i = (i + 2) & mask;
    slab[base + i] = hash;
    slab[base + i + 1] = ref;
    this.counts[d >>> CHUNK_BITS][(d & CHUNK_MASK) >>> UNIT_BITS]++;
  }

  /** Makes room in the segment of `hash`. */
  #grow(hash: number): void {
    let at = hash >>> this.shift;
    const d = this.dir[at];
    if ((d & 31) < FULL_BITS) {
      this.#enlarge(at);
      return;
    }
    let span = this.#span(at);
    if (span === 1) {
      if (this.dir.length > 64 + 16 * this.#segments) {
        this.#enlarge(at);
        return;
      }
      const wider = new Int32Array(2 * this.dir.length);
      for (let i = 0; i < wider.length; i++) wider[i] = this.dir[i >> 1];
      this.#take(this.dir.byteLength);
      this.dir = wider;
      this.shift--;
      at = hash >>> this.shift;
      span = 2;
    }
    const from = at & ~(span - 1);
    const cut = from + span / 2;
    const upper = this.#allot(d & 31);
    this.#divide(this.#lift(d), d, upper, cut);
    this.dir.fill(upper, cut, from + span);
  }

  /** Puts entries into two segments of their size: those whose word of the directory is below `cut` into the first. */
  #divide(entries: Int32Array, lower: number, upper: number, cut: number): void {
    const { shift } = this;
    const low = this.slabs[lower >>> CHUNK_BITS];
    const high = this.slabs[upper >>> CHUNK_BITS];
    const lowBase = lower & SEGMENT_BASE;
    const highBase = upper & SEGMENT_BASE;
    const words = 2 << lower;
    const mask = words - 1;
    let all = 0;
    let above = 0;
    for (let i = 0; i < words; i += 2) {
      const ref = entries[i + 1];
      if (ref === 0) continue;
      const hash = entries[i];
      all++;
      let at = (hash << 1) & mask;
      if (hash >>> shift >= cut) {
        above++;
        while (high[highBase + at + 1] !== 0) at = (at + 2) & mask;
        high[highBase + at] = hash;
        high[highBase + at + 1] = ref;
      } else {
        while (low[lowBase + at + 1] !== 0) at = (at + 2) & mask;
        low[lowBase + at] = hash;
        low[lowBase + at + 1] = ref;
      }
    }
    this.counts[lower >>> CHUNK_BITS][(lower & CHUNK_MASK) >>> UNIT_BITS] = all - above;
    this.counts[upper >>> CHUNK_BITS][(upper & CHUNK_MASK) >>> UNIT_BITS] = above;
  }

  /** How many words of the directory name the segment of word `at`: a range that begins at a multiple of itself. */
  #span(at: number): number {
    const { dir } = this;
    const d = dir[at];
    let span = 1;
    while (span < dir.length && dir[at & ~(2 * span - 1)] === d && dir[at | (2 * span - 1)] === d) span *= 2;
    return span;
  }

  /** Moves a segment to one of twice the size. */
  #enlarge(at: number): void {
    const d = this.dir[at];
    const bits = d & 31;
    if (bits === MOST_BITS) this.#full();
    const span = this.#span(at);
    const larger = this.#allot(bits + 1);
    const entries = this.#lift(d);
    for (let i = 0; i < 2 << bits; i += 2)
      if (entries[i + 1] !== 0) this.#put(larger, entries[i], entries[i + 1]);
    this.dir.fill(larger, at & ~(span - 1), (at & ~(span - 1)) + span);
    this.#free[bits].push(d);
    this.#segments--;
  }

  /** Takes all entries out of a segment. They are valid until the next call. */
  #lift(d: number): Int32Array {
    const slab = this.slabs[d >>> CHUNK_BITS];
    const base = d & SEGMENT_BASE;
    const words = 2 << d;
    const entries = words > this.#rest.length ? new Int32Array(words) : this.#rest;
    entries.set(slab.subarray(base, base + words));
    slab.fill(0, base, base + words);
    this.counts[d >>> CHUNK_BITS][(d & CHUNK_MASK) >>> UNIT_BITS] = 0;
    return entries;
  }

  /** The descriptor of an empty segment. */
  #allot(bits: number): number {
    this.#segments++;
    const known = this.#free[bits].pop();
    if (known !== undefined) return known;
    const words = 2 << bits;
    // Each begins at a multiple of its size.
    let start = (this.#top + words - 1) & ~(words - 1);
    const last = this.slabs.length - 1;
    if (last < 0 || start + words > this.slabs[last].length) {
      if (last === 0 && this.slabs[0].length < CHUNK) {
        let size = this.slabs[0].length;
        while (size < start + words) size *= 2;
        this.#slab(0, Math.min(CHUNK, size));
      }
      if (last < 0) this.#slab(0, Math.max(FIRST_SLAB, words));
      else if (start + words > this.slabs[last].length) {
        if (this.slabs.length === MAX_CHUNKS) this.#full();
        this.#slab(last + 1, CHUNK);
        start = 0;
      }
    }
    this.#top = start + words;
    return ((this.slabs.length - 1) << CHUNK_BITS) | start | bits;
  }

  #slab(at: number, words: number): void {
    const slab = new Int32Array(words);
    const counts = new Int32Array(words >> UNIT_BITS);
    const old = this.slabs[at];
    if (old !== undefined) {
      slab.set(old);
      counts.set(this.counts[at]);
      this.#take(-old.byteLength - this.counts[at].byteLength);
    }
    this.slabs[at] = slab;
    this.counts[at] = counts;
    this.#take(slab.byteLength + counts.byteLength);
  }

  #take(bytes: number): void {
    this.#bytes += bytes;
    this.#note(bytes);
  }
}
