import { WeftError } from '../base/errors.ts';
import { CHUNK_BITS, CHUNK_MASK, IntList } from './chunks.ts';
import type { Table } from './program.ts';
import {
  BATCH,
  COUNT_SHIFT,
  type Layout,
  type Memory,
  Scratch,
  type StoreCode,
  type StoreState,
  TOUCHED,
  VISIBLE,
} from './store.ts';
import { compileStore } from './store-code.ts';
import type { Row, Value } from './types.ts';
import { type Codec, INT_INLINE, NO_CODE, type Values } from './values.ts';

/** Work in pieces: whoever drives it may do something else in between. */
export type Pieces = Generator<void, void, void>;

/** A table at run time: its rows, their log in the transaction at hand, and what one can do with them. */
export class Relation {
  readonly table: Table;
  readonly layout: Layout;
  readonly state: StoreState;
  readonly code: StoreCode;
  readonly codecs: readonly Codec[];
  /** Visible rows. */
  visible = 0;
  /** Columns whose small values are their codes. */
  readonly #ints: readonly boolean[];
  /** Inputs that are not in the table yet, all with one presence: they are looked up together. */
  #waiting = new Int32Array(0);
  #waits = 0;
  #present: 0 | 1 = 1;
  /** The last value of each column that came from outside, and its code: columns often repeat themselves. */
  #lastValues: (Value | undefined)[];
  readonly #lastCodes: Int32Array;

  constructor(
    table: Table,
    layout: Layout,
    stratum: number,
    values: Values,
    memory: Memory,
    scratch: Scratch,
  ) {
    this.table = table;
    this.layout = layout;
    this.codecs = table.columns.map((c) => values.codec(c.type));
    this.#ints = table.columns.map((c) => c.type === 'int');
    this.#lastValues = this.codecs.map(() => undefined);
    this.#lastCodes = new Int32Array(this.codecs.length);
    this.state = {
      stratum,
      scratch,
      chunks: [],
      log: new IntList(),
      unsupported: new IntList(),
      derived: new IntList(),
      conflicts: new IntList(),
      free: 0,
      top: 0,
      limit: -1,
      memory,
      full: () => {
        throw new WeftError(
          'nlog-size-limit',
          `the table "${table.name}" holds more rows than one table can (8 GB)`,
          {
            remedy: 'split the table, or the transaction',
          },
        );
      },
      miscount: (weight) => {
        if (weight > 0)
          throw new WeftError(
            'nlog-size-limit',
            `a row of "${table.name}" has more than ${2 ** (31 - COUNT_SHIFT)} derivations`,
          );
        throw new WeftError(
          'nlog-impure-function',
          `a row of "${table.name}" lost more derivations than it had`,
          {
            remedy:
              'a function that its rules call gives different results for the same arguments; make it stateless',
          },
        );
      },
    };
    this.code = compileStore(layout, this.state);
  }

  /** Words between two log entries. */
  get logStride(): number {
    return this.layout.recursive ? 4 : 2;
  }

  word(ref: number, field: number): number {
    return this.state.chunks[ref >>> CHUNK_BITS][(ref & CHUNK_MASK) + field];
  }

  setWord(ref: number, field: number, value: number): void {
    this.state.chunks[ref >>> CHUNK_BITS][(ref & CHUNK_MASK) + field] = value;
  }

  isVisible(ref: number): boolean {
    return (this.word(ref, this.layout.state) & VISIBLE) !== 0;
  }

  derivations(ref: number): number {
    return this.word(ref, this.layout.state) >> COUNT_SHIFT;
  }

  codesOf(ref: number): Int32Array {
    const at = ref & CHUNK_MASK;
    return this.state.chunks[ref >>> CHUNK_BITS].slice(at, at + this.layout.arity);
  }

  decode(codes: ArrayLike<number>): Row {
    return this.codecs.map((c, i) => c.decode(codes[i]));
  }

  /** Codes of a row from outside; with `intern` false, `undefined` where no row can be like it. */
  encode(row: Row, intern: boolean): number[] | undefined {
    if (!Array.isArray(row) || row.length !== this.layout.arity) this.#misfit(row);
    const codes: number[] = [];
    for (let i = 0; i < this.codecs.length; i++) {
      const code = this.#encodeColumn(i, row[i], intern);
      if (code === NO_CODE) return undefined;
      codes.push(code);
    }
    return codes;
  }

  #misfit(row: unknown): never {
    throw new WeftError(
      'nlog-value',
      `a row of "${this.table.name}" has ${this.layout.arity} columns, not ${Array.isArray(row) ? row.length : typeof row}`,
      {
        remedy: `give an array of (${this.table.columns.map((c) => `${c.name}: ${c.type}`).join(', ')})`,
      },
    );
  }

  #encodeColumn(i: number, value: Value, intern: boolean): number {
    try {
      return intern ? this.codecs[i].encode(value) : this.codecs[i].find(value);
    } catch (error) {
      if (!(error instanceof WeftError) || error.code !== 'nlog-value') throw error;
      throw new WeftError(
        'nlog-value',
        `column "${this.table.columns[i].name}" of "${this.table.name}": ${error.message}`,
        { remedy: error.remedy },
      );
    }
  }

  /** Input tables: makes the row present or absent after this transaction. `flush` completes it. */
  setInput(codes: ArrayLike<number>, present: boolean): void {
    const at = this.#room(present ? 1 : 0);
    for (let i = 0; i < this.layout.arity; i++) this.#waiting[at + i] = codes[i];
    this.#waits++;
  }

  /** The same for a row from outside. */
  setInputRow(row: Row, present: boolean): void {
    const { arity } = this.layout;
    if (!Array.isArray(row) || row.length !== arity) this.#misfit(row);
    const at = this.#room(present ? 1 : 0);
    const waiting = this.#waiting;
    for (let i = 0; i < arity; i++) {
      const v = row[i];
      if (this.#ints[i] && typeof v === 'number' && (v | 0) === v && v >= -INT_INLINE && v < INT_INLINE)
        waiting[at + i] = v;
      else if (v !== undefined && v === this.#lastValues[i]) waiting[at + i] = this.#lastCodes[i];
      else {
        const code = this.#encodeColumn(i, v, present);
        // A row with a value that no row has is absent already.
        if (code === NO_CODE) return;
        waiting[at + i] = code;
        // An object may change before it comes again.
        if (typeof v !== 'object') {
          this.#lastValues[i] = v;
          this.#lastCodes[i] = code;
        }
      }
    }
    this.#waits++;
  }

  /** Values were swept: codes that no row holds are void. */
  forgetValues(): void {
    this.#lastValues = this.codecs.map(() => undefined);
  }

  /** Where the next input that waits goes. */
  #room(present: 0 | 1): number {
    if (this.#waits === Scratch.ROWS || present !== this.#present) {
      this.flush();
      this.#present = present;
    }
    const { arity } = this.layout;
    const at = this.#waits * arity;
    if (at + arity > this.#waiting.length) {
      const grown = new Int32Array(Math.min(Scratch.ROWS, 4 + this.#waits * 4) * arity);
      grown.set(this.#waiting);
      this.#waiting = grown;
    }
    return at;
  }

  /** Brings the inputs that wait into the table. If that fails they go on waiting, so that they fail again. */
  flush(): void {
    if (this.#waits === 0) return;
    this.code.inputAll(this.#waiting, this.#waits, this.#present);
    this.#waits = 0;
  }

  /** Calls `fn` with every visible row. */
  forEach(fn: (ref: number) => void): void {
    const { chunks, top } = this.state;
    const { stride, state } = this.layout;
    for (let h = 0; h < chunks.length; h++) {
      const chunk = chunks[h];
      const end = h === chunks.length - 1 ? top : chunk.length;
      for (let o = h === 0 ? stride : 0; o + stride <= end; o += stride)
        if ((chunk[o + state] & VISIBLE) !== 0) fn((h << CHUNK_BITS) | o);
    }
  }

  /** Calls `fn` with every row that the transaction touched. */
  forEachTouched(fn: (ref: number) => void): void {
    this.flush();
    const { log } = this.state;
    for (let i = 0; i < log.length; i += this.logStride) fn(log.get(i));
  }

  /**
   * The rows whose presence changed against the start of the transaction: as their derivations say
   * (`byCount`), or as they are seen.
   */
  *changed(byCount: boolean, came: IntList, went: IntList): Pieces {
    const { log } = this.state;
    for (let h = 0; h < log.chunks.length; h++) {
      this.code.changed(byCount, came, went, h);
      yield;
    }
  }

  show(refs: Int32Array, from: number, to: number): void {
    for (let at = from; at < to; at += Scratch.ROWS)
      this.code.showAll(refs, at, Math.min(Scratch.ROWS, to - at));
    this.visible += to - from;
  }

  hide(refs: Int32Array, from: number, to: number): void {
    for (let at = from; at < to; at += Scratch.ROWS)
      this.code.hideAll(refs, at, Math.min(Scratch.ROWS, to - at));
    this.visible -= to - from;
  }

  /** The rows as codes, one after the other; a row without columns takes one word. */
  *copy(refs: IntList): Generator<void, Int32Array, void> {
    const codes = new Int32Array(refs.length * Math.max(1, this.layout.arity));
    let n = 0;
    for (let h = 0; h < refs.chunks.length; h++) {
      this.code.copy(refs.chunks[h], refs.used(h), codes, n);
      n += refs.used(h) * this.layout.arity;
      yield;
    }
    return codes;
  }

  /** Ends the transaction: forgets the log, gives the records of absent rows back. */
  *commit(): Pieces {
    const { log } = this.state;
    const step = Scratch.ROWS * this.logStride;
    for (let h = 0; h < log.chunks.length; h++) {
      const used = log.used(h);
      for (let from = 0; from < used; from += step)
        this.code.settle(h, from, Math.min(step, used - from) / this.logStride);
      yield;
    }
    this.#forget();
  }

  /** Puts everything back as it was before the transaction. */
  rollback(): void {
    this.#waits = 0;
    const { log } = this.state;
    const { state, support, rank, recursive } = this.layout;
    for (let i = 0; i < log.length; i += this.logStride) {
      const ref = log.get(i);
      const before = log.get(i + 1);
      const visible = this.isVisible(ref);
      if (visible && (before & VISIBLE) === 0) {
        this.hide(Int32Array.of(ref), 0, 1);
      } else if (!visible && (before & VISIBLE) !== 0) {
        this.show(Int32Array.of(ref), 0, 1);
      }
      this.setWord(ref, state, before & ~(TOUCHED | BATCH));
      if (recursive) {
        this.setWord(ref, support, log.get(i + 2));
        this.setWord(ref, rank, log.get(i + 3));
      }
      if ((before & ~(TOUCHED | BATCH)) === 0) this.code.release(ref);
    }
    this.#forget();
  }

  #forget(): void {
    this.state.log.clear();
    this.state.unsupported.clear();
    this.state.derived.clear();
    this.state.conflicts.clear();
  }

  /** Words of memory that hold records. */
  get #words(): number {
    return this.state.chunks.reduce((sum, c) => sum + c.length, 0);
  }

  /** Bytes of records and hashes. */
  get storeBytes(): number {
    return (
      this.#words * 4 + this.code.hash.bytes + this.code.indexes.reduce((sum, i) => sum + i.hash.bytes, 0)
    );
  }

  get bytes(): number {
    return this.storeBytes + this.state.log.bytes;
  }

  /** Whether most of the memory of the records stands empty. */
  get wasteful(): boolean {
    return this.#words > 1 << 14 && this.code.hash.size * this.layout.stride * 4 < this.#words;
  }

  /** Moves all rows together and gives the rest of the memory back. Only between transactions. */
  compact(): void {
    const { state, layout, code } = this;
    const old = state.chunks.splice(0);
    const top = state.top;
    code.hash.reset();
    for (const i of code.indexes) i.hash.reset();
    state.free = 0;
    state.top = 0;
    state.limit = -1;
    for (let h = 0; h < old.length; h++) {
      const chunk = old[h];
      const end = h === old.length - 1 ? top : chunk.length;
      for (let o = h === 0 ? layout.stride : 0; o + layout.stride <= end; o += layout.stride) {
        if (chunk[o + layout.state] === 0) continue;
        const ref = code.make(...chunk.subarray(o, o + layout.arity));
        code.showAll(Int32Array.of(ref), 0, 1);
        this.setWord(ref, layout.state, chunk[o + layout.state]);
        if (layout.recursive) {
          this.setWord(ref, layout.support, chunk[o + layout.support]);
          this.setWord(ref, layout.rank, chunk[o + layout.rank]);
        }
      }
      // Given back as soon as it is copied: the peak is one chunk above what is needed.
      old[h] = new Int32Array(0);
    }
  }
}
