import { CHUNK_BITS, CHUNK_MASK } from './chunks.ts';
import type { Aggregate } from './program.ts';
import { Relation } from './relation.ts';
import { layoutOf, type Memory } from './store.ts';
import { NO_CODE, type Values } from './values.ts';

/*
 * Aggregates are kept per group: how many rows the group has and the code of its result. A change to a
 * row of the source changes the state of its group; when all changes are in, every group that was touched
 * gives up its old row in the head and derives its new one. count and sum need no look at the other
 * rows; min and max keep a heap for large groups, from which they take the next value when the best one
 * went; set and list are as large as their group and are made anew.
 *
 * A sum beyond the ints has no value: the group then has no row, and the exact sum is kept aside, so
 * that the order of events does not matter.
 */

/** In groups up to this size the next best value is looked for row by row. */
const SMALL_GROUP = 16;

interface Touched {
  readonly rowsBefore: number;
  readonly resultBefore: number;
  readonly sumBefore: number | bigint | undefined;
  rows: number;
  /** min, max: the best value known to be in the group. */
  best: number;
  rescan: boolean;
  sum: number | bigint;
}

export class AggregateRunner {
  readonly aggregate: Aggregate;
  readonly #source: Relation;
  readonly #head: Relation;
  /** A group's number of rows is kept as `support`, its result as `rank`. */
  readonly #groups: Relation;
  readonly #values: Values;
  readonly #groupIndex: number;
  /** Exact sums that are not the decoded result. */
  readonly #large = new Map<number, number | bigint>();
  readonly #touched = new Map<number, Touched>();
  /** min, max: the values of large groups, best first; some may have gone. */
  readonly #heaps = new Map<number, number[]>();

  constructor(aggregate: Aggregate, source: Relation, head: Relation, values: Values, memory: Memory) {
    this.aggregate = aggregate;
    this.#source = source;
    this.#head = head;
    this.#values = values;
    const columns = aggregate.source.columns.slice(0, aggregate.groups);
    const table = { ...aggregate.source, columns, name: `${aggregate.source.name} groups` };
    this.#groups = new Relation(
      table,
      layoutOf(aggregate.groups, true, []),
      -1,
      values,
      memory,
      source.state.scratch,
    );
    this.#groupIndex = source.layout.indexes.findIndex(
      (c) => c.length === aggregate.groups && c.every((k, i) => k === i),
    );
  }

  /** Whether the rows of a group must be found again. */
  static needsGroups(op: Aggregate['op']): boolean {
    return op !== 'count' && op !== 'sum';
  }

  get bytes(): number {
    return this.#groups.bytes + 64 * this.#large.size;
  }

  /** Takes in rows of the source that came or went. */
  feed(refs: Int32Array, from: number, to: number, weight: number): void {
    const { groups, op } = this.aggregate;
    for (let i = from; i < to; i++) {
      const codes = this.#source.codesOf(refs[i]);
      const group = this.#groups.code.make(...codes.subarray(0, groups));
      const t = this.#touch(group);
      t.rows += weight;
      const value = codes[groups];
      if (op === 'sum') t.sum = add(t.sum, this.#decode(value), weight);
      else if (op === 'min' || op === 'max') {
        this.#extreme(t, value, weight);
        const heap = weight > 0 ? this.#heaps.get(group) : undefined;
        if (heap !== undefined) this.#push(heap, value);
      }
    }
  }

  #touch(group: number): Touched {
    let t = this.#touched.get(group);
    if (t !== undefined) return t;
    const { support, rank } = this.#groups.layout;
    const rows = this.#groups.word(group, support);
    const result = rows === 0 ? NO_CODE : this.#groups.word(group, rank);
    const large = this.#large.get(group);
    let sum: number | bigint = 0;
    if (this.aggregate.op === 'sum') sum = large ?? (rows === 0 ? this.#zero() : this.#decode(result));
    t = { rowsBefore: rows, resultBefore: result, sumBefore: large, rows, best: result, rescan: false, sum };
    this.#touched.set(group, t);
    return t;
  }

  #zero(): number | bigint {
    return this.#valueType() === 'bigint' ? 0n : 0;
  }

  #valueType(): string {
    return this.aggregate.source.columns[this.aggregate.groups].type;
  }

  #decode(code: number): number | bigint {
    return this.#source.codecs[this.aggregate.groups].decode(code) as number | bigint;
  }

  #better(a: number, b: number): boolean {
    const order = this.#source.codecs[this.aggregate.groups].compare(a, b);
    return this.aggregate.op === 'min' ? order < 0 : order > 0;
  }

  #extreme(t: Touched, value: number, weight: number): void {
    if (weight < 0) {
      if (value === t.best) t.rescan = true;
    } else if (t.best === NO_CODE || value === t.best || this.#better(value, t.best)) {
      // Nothing in the group can be better than what was best, so neither than this.
      t.best = value;
      t.rescan = false;
    }
  }

  /** Brings the head in line with the groups that changed. */
  flush(): void {
    const { support, rank } = this.#groups.layout;
    for (const [group, t] of this.#touched) {
      if (t.rows === 0) this.#large.delete(group);
      const result = t.rows === 0 ? NO_CODE : this.#result(group, t);
      if (result !== t.resultBefore) {
        const codes = this.#groups.codesOf(group);
        if (t.resultBefore !== NO_CODE) this.#derive(codes, t.resultBefore, -1);
        if (result !== NO_CODE) this.#derive(codes, result, 1);
      }
      this.#groups.setWord(group, support, t.rows);
      this.#groups.setWord(group, rank, result);
    }
  }

  #derive(group: Int32Array, result: number, weight: number): void {
    const row = [...group];
    row.splice(this.aggregate.at, 0, result);
    this.#head.code.upd(...row, weight, 0);
  }

  #result(group: number, t: Touched): number {
    switch (this.aggregate.op) {
      case 'count':
        return this.#values.codeOfInt(t.rows);
      case 'sum':
        return this.#sum(group, t);
      case 'min':
      case 'max':
        return t.rescan ? this.#extremeOf(group, t.rows) : t.best;
      case 'set':
      case 'list':
        return this.#collect(group);
    }
  }

  #sum(group: number, t: Touched): number {
    this.#large.delete(group);
    if (
      typeof t.sum === 'bigint' &&
      this.#valueType() === 'int' &&
      BigInt(Number(t.sum)) === t.sum &&
      Number.isSafeInteger(Number(t.sum))
    )
      t.sum = Number(t.sum);
    if (this.#valueType() === 'int' && !Number.isSafeInteger(t.sum)) {
      this.#large.set(group, t.sum);
      return NO_CODE;
    }
    return this.#source.codecs[this.aggregate.groups].encode(t.sum);
  }

  /** Refs of the visible rows of a group. */
  #rows(group: number): number[] {
    const { indexes } = this.#source.code;
    const refs: number[] = [];
    if (this.aggregate.groups === 0) {
      this.#source.forEach((ref) => {
        refs.push(ref);
      });
    } else {
      const next = this.#source.layout.indexAt(this.#groupIndex);
      let ref = indexes[this.#groupIndex].first(...this.#groups.codesOf(group));
      for (; ref !== 0; ref = this.#source.state.chunks[ref >>> CHUNK_BITS][(ref & CHUNK_MASK) + next])
        refs.push(ref);
    }
    return refs;
  }

  /** The best value of a group whose best went: from its heap, which large groups get on first need. */
  #extremeOf(group: number, rows: number): number {
    let heap = this.#heaps.get(group);
    if (heap === undefined || heap.length > 4 * rows + SMALL_GROUP) {
      heap = this.#rows(group).map((ref) => this.#source.word(ref, this.aggregate.groups));
      if (heap.length <= SMALL_GROUP) return heap.reduce((best, v) => (this.#better(v, best) ? v : best));
      for (let i = (heap.length >> 1) - 1; i >= 0; i--) this.#sink(heap, i);
      this.#heaps.set(group, heap);
      return heap[0];
    }
    // Values that went are still in the heap: they are dropped when they come to its top.
    const codes = [...this.#groups.codesOf(group)];
    while (this.#source.code.vis(...codes, heap[0]) === 0) {
      const last = heap.pop()!;
      heap[0] = last;
      this.#sink(heap, 0);
    }
    return heap[0];
  }

  #sink(heap: number[], at: number): void {
    for (let i = at; ; ) {
      let best = i;
      for (const child of [2 * i + 1, 2 * i + 2])
        if (child < heap.length && this.#better(heap[child], heap[best])) best = child;
      if (best === i) return;
      [heap[i], heap[best]] = [heap[best], heap[i]];
      i = best;
    }
  }

  #push(heap: number[], value: number): void {
    let i = heap.push(value) - 1;
    for (let up = (i - 1) >> 1; i > 0 && this.#better(heap[i], heap[up]); up = (i - 1) >> 1) {
      [heap[i], heap[up]] = [heap[up], heap[i]];
      i = up;
    }
  }

  /** Values are about to be swept: heaps may hold values that no row has. */
  forget(): void {
    this.#heaps.clear();
  }

  #collect(group: number): number {
    const { groups, at } = this.aggregate;
    const arity = this.#source.layout.arity;
    const rows = this.#rows(group).map((ref) => this.#source.codesOf(ref));
    const { codecs } = this.#source;
    // The order of a list: its further arguments, then the value itself.
    const order = [...Array.from({ length: arity - groups - 1 }, (_, i) => groups + 1 + i), groups];
    rows.sort((a, b) => {
      for (const k of order) {
        const d = codecs[k].compare(a[k], b[k]);
        if (d !== 0) return d;
      }
      return 0;
    });
    const type = this.#head.table.columns[at].type;
    return this.#values.codeOfList(
      type,
      Int32Array.from(rows, (r) => r[groups]),
    );
  }

  commit(): void {
    for (const [group, t] of this.#touched) {
      if (t.rows > 0) continue;
      this.#groups.code.release(group);
      this.#heaps.delete(group);
    }
    this.#touched.clear();
    if (this.#groups.wasteful) this.#compact();
  }

  rollback(): void {
    const { support, rank } = this.#groups.layout;
    for (const [group, t] of this.#touched) {
      this.#large.delete(group);
      // It may have dropped values that are back now.
      this.#heaps.delete(group);
      if (t.sumBefore !== undefined) this.#large.set(group, t.sumBefore);
      this.#groups.setWord(group, support, t.rowsBefore);
      this.#groups.setWord(group, rank, t.resultBefore);
      if (t.rowsBefore === 0) this.#groups.code.release(group);
    }
    this.#touched.clear();
  }

  #compact(): void {
    const { support } = this.#groups.layout;
    // Records in use are told by their number of rows here; compacting looks at the state word.
    const live: [Int32Array, number, number, number | bigint | undefined][] = [];
    const { chunks, top } = this.#groups.state;
    const { stride, rank } = this.#groups.layout;
    chunks.forEach((chunk, h) => {
      const end = h === chunks.length - 1 ? top : chunk.length;
      for (let o = h === 0 ? stride : 0; o + stride <= end; o += stride) {
        if (chunk[o + support] === 0) continue;
        const ref = (h << CHUNK_BITS) | o;
        live.push([this.#groups.codesOf(ref), chunk[o + support], chunk[o + rank], this.#large.get(ref)]);
      }
    });
    this.#groups.compact();
    this.#large.clear();
    this.#heaps.clear();
    for (const [codes, rows, result, large] of live) {
      const ref = this.#groups.code.make(...codes);
      this.#groups.setWord(ref, support, rows);
      this.#groups.setWord(ref, rank, result);
      if (large !== undefined) this.#large.set(ref, large);
    }
  }
}

/** Exact: falls over to bigint before a number would round. */
function add(sum: number | bigint, value: number | bigint, weight: number): number | bigint {
  if (typeof sum === 'number' && typeof value === 'number') {
    const result = sum + weight * value;
    if (Number.isSafeInteger(result)) return result;
  }
  return BigInt(sum) + BigInt(weight) * BigInt(value);
}
