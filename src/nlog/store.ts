/*
 * How rows are kept.
 *
 * A table's rows are records of 32-bit words, one after the other in chunks of 4 MB (Int32Array), so
 * that a look-up touches one or two cache lines, growing never copies more than one chunk, and empty
 * chunks can be given back. A row is named by a *ref*: chunk number in the upper bits, word offset in
 * the lower CHUNK_BITS; 0 is no row. A record is
 *
 *     columns...   one code each
 *     state        bits 0-2: VISIBLE, TOUCHED, BATCH; bits 3-31: number of derivations
 *     link         next row in the bucket of the primary hash (or in the list of free records)
 *     support      recursive tables only: how many derivations stand on rows of lower rank
 *     rank         recursive tables only: when the row came, in batches (see fixpoint.ts)
 *     next, prev   for each secondary index
 *
 * The *primary hash* finds a row by all its columns. It holds every record. It is a linear hash: when
 * it is full, some buckets are split at a time, so that no single insertion ever pays for a rehash; but
 * a transaction that touches much of the table, and is not sliced, hashes it anew in the order of memory.
 *
 * A *secondary index* finds the rows with given values in some columns. It holds the visible rows only:
 * a probe needs no look at `state`. Rows with equal values form a doubly linked group, whose first row
 * stands in the bucket (again a linear hash). In that first row `prev` is the complement of the next
 * group's first row in the same bucket, and it is negative in no other record. So adding and removing cost
 * the same, whatever the group's size.
 *
 * Hashes only choose buckets. Rows and groups are told apart by comparing all their words.
 *
 * VISIBLE says whether the row counts as present for whoever joins with the table now. Derivations
 * are counted at once, but a row changes from invisible to visible (or back) only at its table's turn:
 * that keeps "before" and "after" apart during a transaction (see engine.ts). TOUCHED rows are in the
 * log of the transaction with their state of before, which is also what a rollback needs.
 */

export const CHUNK_BITS = 20;
export const CHUNK = 1 << CHUNK_BITS;
export const CHUNK_MASK = CHUNK - 1;
/** Refs are positive 32-bit numbers. */
export const MAX_CHUNKS = 1 << (31 - CHUNK_BITS);

export const VISIBLE = 1;
export const TOUCHED = 2;
export const BATCH = 4;
export const COUNT_SHIFT = 3;
export const COUNT_ONE = 1 << COUNT_SHIFT;

/** A list of numbers that grows by whole chunks. */
export class IntList {
  static readonly CHUNK = 1 << 14;
  readonly chunks: Int32Array[] = [];
  /** Words used in the last chunk. */
  #last = 0;
  length = 0;

  push(v: number): void {
    let chunk = this.chunks[this.chunks.length - 1];
    if (chunk === undefined || this.#last === chunk.length) {
      // The first chunk starts small: most lists stay so.
      if (chunk !== undefined && chunk.length < IntList.CHUNK) {
        const grown = new Int32Array(chunk.length * 4);
        grown.set(chunk);
        this.chunks[this.chunks.length - 1] = grown;
        chunk = grown;
      } else {
        chunk = new Int32Array(chunk === undefined ? 16 : IntList.CHUNK);
        this.chunks.push(chunk);
        this.#last = 0;
      }
    }
    chunk[this.#last++] = v;
    this.length++;
  }

  /** Both in one chunk: capacities are even. */
  push2(a: number, b: number): void {
    const chunk = this.chunks[this.chunks.length - 1];
    if (chunk === undefined || this.#last + 2 > chunk.length) {
      this.push(a);
      this.push(b);
      return;
    }
    chunk[this.#last] = a;
    chunk[this.#last + 1] = b;
    this.#last += 2;
    this.length += 2;
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
    this.#last = 0;
    this.length = 0;
  }

  get bytes(): number {
    let sum = 0;
    for (const c of this.chunks) sum += c.byteLength;
    return sum;
  }
}

/** Where the fields of a record are. */
export interface Layout {
  readonly arity: number;
  readonly recursive: boolean;
  /** Columns of each secondary index. */
  readonly indexes: readonly (readonly number[])[];
  readonly state: number;
  readonly link: number;
  readonly support: number;
  readonly rank: number;
  readonly stride: number;
  /** Which index is on the key of the table; -1: none. */
  readonly unique: number;
  /** Where index i has `next`; `prev` follows. */
  indexAt(i: number): number;
}

export function layoutOf(
  arity: number,
  recursive: boolean,
  indexes: readonly (readonly number[])[],
  key: readonly number[] = [],
): Layout {
  const base = arity + 2 + (recursive ? 2 : 0);
  return {
    arity,
    recursive,
    indexes,
    state: arity,
    link: arity + 1,
    support: arity + 2,
    rank: arity + 3,
    stride: base + 2 * indexes.length,
    unique: key.length === 0 ? -1 : indexes.findIndex((c) => c.join() === key.join()),
    indexAt: (i) => base + 2 * i,
  };
}

/** A secondary index as compiled rules use it. */
export interface StoreIndex {
  readonly columns: readonly number[];
  /** First row of the group with these values, 0 if there is none. The rest follow by `next`. */
  first(...values: number[]): number;
  /** Reads what `first` will read first, so that it is in the cache then. The result means nothing. */
  touch(...values: number[]): number;
}

/** What is generated for each table. Functions taking values take one code per column. */
export interface StoreCode {
  /** Adds `weight` derivations to a row, creating it if need be. Recursive tables: and the rank of the body. */
  upd(...values: number[]): void;
  /** The same for `count` rows in the scratch buffer, all with one weight. Not for tables without columns. */
  updAll(count: number, weight: number): void;
  /** The row's ref, visible or not; 0 if there is no record. */
  find(...values: number[]): number;
  /** Reads ahead for `find` and `vis`; see `StoreIndex.touch`. */
  touch(...values: number[]): number;
  /** The row's ref if it is visible, else 0. */
  vis(...values: number[]): number;
  /** The row's ref; creates a record without derivations if there is none. */
  make(...values: number[]): number;
  /** Input tables: lets `count` (at most Scratch.ROWS) rows, one after the other, be derived `present` times. */
  inputAll(rows: Int32Array, count: number, present: 0 | 1): void;
  /** Makes a row visible and enters it into the indexes; `hide` is the reverse. */
  show(ref: number): void;
  hide(ref: number): void;
  /** The same for many rows, one index after the other: the look-ups of one index overlap. */
  showAll(refs: Int32Array, from: number, to: number): void;
  hideAll(refs: Int32Array, from: number, to: number): void;
  /** Sorts the rows of the log that are present now (by count, or else by visibility) and were not, or the reverse: chunk `h` of the log. */
  changed(byCount: boolean, came: IntList, went: IntList, h: number): void;
  /** Ends the transaction for the rows in chunk `h` of the log: releases those that are absent. */
  settle(h: number): void;
  /** Gives the record of a row back. */
  release(ref: number): void;
  readonly indexes: readonly StoreIndex[];
  /** Buckets in all hashes, for the accounting of memory. */
  bucketBytes(): number;
  /** Forgets everything; the caller clears the chunks. */
  reset(): void;
  /** Records in use. */
  size(): number;
}

/**
 * Derivations on their way into a table. A rule writes the rows that it derives here; when the buffer is
 * full, and when the rule is done, they are counted all together. Looking up one random row after the
 * other, each look-up waits for memory; so the buckets of all rows are read first, then the rows that
 * they name, and only then is counted: the processor overlaps the waits. One buffer serves a whole
 * engine, for only one rule runs at a time.
 */
export class Scratch {
  static readonly ROWS = 256;
  /** Columns (and the rank) of each row, one row after the other. */
  readonly rows = new Int32Array(Scratch.ROWS * 66);
  readonly hashes = new Int32Array(Scratch.ROWS);
  readonly refs = new Int32Array(Scratch.ROWS);
  /** Where the reads ahead leave a result, so that they are not optimised away. */
  sink = 0;
  /** Whether a hash may be made anew in one go when that is faster; a sliced transaction may not pause. */
  bulk = true;
  /** How many times as much work as was done is the work at hand, as far as known: what hashes grow by. */
  ahead = 2;
}

/** What generated code shares with the rest. */
export interface StoreState {
  /** Which stratum the table is of. */
  readonly stratum: number;
  readonly scratch: Scratch;
  readonly chunks: Int32Array[];
  /** Rows touched in this transaction: ref, state before (recursive: also support and rank before). */
  readonly log: IntList;
  /** Recursive tables: visible rows that lost their last support. */
  readonly unsupported: IntList;
  /** Recursive tables: invisible rows that got a derivation. */
  readonly derived: IntList;
  /** Pairs of visible rows that had the same key when the second was shown. */
  readonly conflicts: IntList;
  /** First free record, then linked by `link`. */
  free: number;
  /** Where in the last chunk the next new record goes, and the last place where one fits. */
  top: number;
  limit: number;
  /** Called before a chunk is allocated; throws when the engine's memory limit is reached. */
  reserve(bytes: number): void;
  /** Throws: the table has as many chunks as refs can name. */
  full(): never;
  /** Throws: a row has more derivations than can be counted, or (negative weight) lost more than it had. */
  miscount(weight: number): never;
}
