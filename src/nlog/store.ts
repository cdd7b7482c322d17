import type { IntList } from './chunks.ts';
import { SEGMENT_WORDS, type Segments } from './segments.ts';

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
 *     support      recursive tables only: how many derivations stand on rows of lower rank
 *     rank         recursive tables only: when the row came, in batches (see evaluate.ts)
 *     next, prev   for each secondary index
 *
 * The *primary hash* finds a row by all its columns. It holds every record (see segments.ts).
 *
 * A *secondary index* finds the rows with given values in some columns. It holds the visible rows only:
 * a probe needs no look at `state`. Rows with equal values form a doubly linked group, whose first row
 * stands in the hash; there `prev` is 0. So adding and removing cost the same, whatever the group's size.
 *
 * Hashes only choose places. Rows and groups are told apart by comparing all their words.
 *
 * VISIBLE says whether the row counts as present for whoever joins with the table now. Derivations
 * are counted at once, but a row changes from invisible to visible (or back) only at its table's turn:
 * that keeps "before" and "after" apart during a transaction (see engine.ts). TOUCHED rows are in the
 * log of the transaction with their state of before, which is also what a rollback needs.
 */

export const VISIBLE = 1;
export const TOUCHED = 2;
export const BATCH = 4;
export const COUNT_SHIFT = 3;
export const COUNT_ONE = 1 << COUNT_SHIFT;

/** Who keeps account of the memory of all tables. */
export interface Memory {
  /** Called before a chunk is allocated; throws when the engine's memory limit is reached. */
  reserve(bytes: number): void;
  /** Counts what is taken (negative: given back) where there must be no way to fail; the limit is held later. */
  note(bytes: number): void;
}

/** Where the fields of a record are. */
export interface Layout {
  readonly arity: number;
  readonly recursive: boolean;
  /** Columns of each secondary index. */
  readonly indexes: readonly (readonly number[])[];
  readonly state: number;
  /** In a free record: the next one. */
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
  // A free record needs a word for the link beside its state.
  const base = Math.max(2, arity + 1 + (recursive ? 2 : 0));
  return {
    arity,
    recursive,
    indexes,
    state: arity,
    link: arity === 0 ? 1 : 0,
    support: arity + 1,
    rank: arity + 2,
    stride: base + 2 * indexes.length,
    unique: key.length === 0 ? -1 : indexes.findIndex((c) => c.join() === key.join()),
    indexAt: (i) => base + 2 * i,
  };
}

/** A secondary index as compiled rules use it. */
export interface StoreIndex {
  readonly columns: readonly number[];
  readonly hash: Segments;
  /** First row of the group with these values, 0 if there is none. The rest follow by `next`. */
  first(...values: number[]): number;
}

/** What is generated for each table. Functions taking values take one code per column. */
export interface StoreCode {
  /** Adds `weight` derivations to a row, creating it if need be. Recursive tables: and the rank of the body. */
  upd(...values: number[]): void;
  /** The same for `count` rows in the scratch buffer, all with one weight. Not for tables without columns. */
  updAll(count: number, weight: number): void;
  /** The row's ref, visible or not; 0 if there is no record. */
  find(...values: number[]): number;
  /** The row's ref if it is visible, else 0. */
  vis(...values: number[]): number;
  /** The row's ref; creates a record without derivations if there is none. */
  make(...values: number[]): number;
  /** Input tables: lets `count` (at most Scratch.ROWS) rows, one after the other, be derived `present` times. */
  inputAll(rows: Int32Array, count: number, present: 0 | 1): void;
  /** Makes rows visible and enters them into the indexes, at most Scratch.ROWS; `hideAll` is the reverse. */
  showAll(refs: Int32Array, from: number, count: number): void;
  hideAll(refs: Int32Array, from: number, count: number): void;
  /** Sorts the rows of the log that are present now (by count, or else by visibility) and were not, or the reverse: chunk `h` of the log. */
  changed(byCount: boolean, came: IntList, went: IntList, h: number): void;
  /** Writes the columns of `count` rows to `codes` from word `at` on. */
  copy(refs: Int32Array, count: number, codes: Int32Array, at: number): void;
  /**
   * Ends the transaction for `count` rows, at most Scratch.ROWS, in chunk `h` of the log from word `from` on:
   * gives the records of those that are absent back.
   */
  settle(h: number, from: number, count: number): void;
  /** Gives the record of a row back. */
  release(ref: number): void;
  /** The primary hash. */
  readonly hash: Segments;
  readonly indexes: readonly StoreIndex[];
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
  readonly #stages: Int32Array[] = [];
  /** Where the reads ahead leave a result, so that they are not optimised away. */
  sink = 0;
  /** For `Segments`. */
  readonly segment = new Int32Array(SEGMENT_WORDS);

  /** Where the n-th stage of a rule gathers up to ROWS rows of what it goes on with, each of `width` words. */
  stage(n: number, width: number): Int32Array {
    const known = this.#stages[n];
    if (known !== undefined && known.length >= Scratch.ROWS * width) return known;
    this.#stages[n] = new Int32Array(Scratch.ROWS * width);
    return this.#stages[n];
  }
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
  readonly memory: Memory;
  /** Throws: the table has as many chunks as refs can name. */
  full(): never;
  /** Throws: a row has more derivations than can be counted, or (negative weight) lost more than it had. */
  miscount(weight: number): never;
}
