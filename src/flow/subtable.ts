/**
 * One tuple of a classifier: all rules that have the same mask. The classifier's essay (classifier.ts)
 * says what it is for; this file says how it is laid out.
 *
 * Rules with equal values share a *row*. A row's values stand in one pooled array, `length` words a row;
 * `heads[row]` is the rule of the highest priority, from which the others hang in descending order.
 * `slots` is an open-addressing hash table of row numbers plus one. Nothing is allocated to look up.
 *
 * The hash of a key is a sum of one product a word, so that the hash of a stage's words is a prefix of
 * the whole one's, and the products run in parallel. The high half of each word is folded into its low
 * half first, because the low half of a product depends on the low half of its factors alone.
 */
import { HashCounts } from './hash-counts.ts';
import type { Flow } from './layout.ts';
import { FLOW_WORDS, STAGE_ENDS, W_TP } from './layout.ts';
import { type MiniMask, MiniMatch } from './minimatch.ts';
import { PrefixTrie } from './prefix-trie.ts';
import { PriorityCounts } from './priority-counts.ts';
import type { Rule, RuleHome } from './rule.ts';
import {
  compileFinder,
  compileHashedFinder,
  compileRecorder,
  compileStage,
  type Finder,
  finishHash,
  type HashedFinder,
  hashMultiplier,
  type Recorder,
  type StageHasher,
} from './subtable-code.ts';

/** Lookups of a subtable after which its code is generated. */
const COMPILE_AFTER = 500;

/** A stage of lookup: the words of the mask from the last stage's end to this `end`. */
export interface Stage {
  readonly end: number;
  /** Hashes of all rows' words up to `end`; null for the last stage, where the rows themselves are asked. */
  readonly hashes: HashCounts | null;
}

export class Subtable<R extends Rule> implements RuleHome {
  readonly mask: MiniMask;
  readonly stages: readonly Stage[];
  /** Prefix length of the mask in each of the classifier's trie fields; 0: none. */
  trieLengths: readonly number[] = [];
  /** Whether any of these isn't 0. */
  usesTries = false;
  /** Highest priority of any rule here, as of the last {@link refreshPriority}; what came since may be higher. */
  maxPriority = Number.NEGATIVE_INFINITY;
  /** The ports of all rows, if the mask has ports. */
  readonly #portsTrie: PrefixTrie | null;
  readonly #portsMask: number;
  readonly #portsLength: number;

  values: Uint32Array;
  hashes: Uint32Array;
  slots: Int32Array;
  heads: (R | null)[] = [];
  readonly #length: number;
  readonly #freeRows: number[] = [];
  readonly #priorities = new PriorityCounts();
  readonly #portsScratch = new Uint32Array(1);
  #rows = 0;
  #lookups = 0;
  #finder: Finder | null = null;
  #trackedLookups = 0;
  #stageHashers: StageHasher[] | null = null;
  #recorder: Recorder | null = null;
  #hashedFinder: HashedFinder | null = null;

  constructor(mask: MiniMask) {
    this.mask = mask;
    this.#length = mask.length;
    this.values = new Uint32Array(4 * mask.length);
    this.hashes = new Uint32Array(4);
    this.slots = new Int32Array(8);
    const ends: number[] = [];
    for (const limit of [...STAGE_ENDS.slice(0, -1), FLOW_WORDS]) {
      let end = ends.at(-1) ?? 0;
      const start = end;
      while (end < mask.length && mask.words[end] < limit) end++;
      if (end > start) ends.push(end);
    }
    this.stages = ends.map((end, i) => ({ end, hashes: i < ends.length - 1 ? new HashCounts() : null }));
    const ports = mask.words.indexOf(W_TP);
    this.#portsMask = ports < 0 ? 0 : mask.masks[ports];
    this.#portsLength = this.#portsMask === 0 ? 0 : 32 - trailingZeros(this.#portsMask);
    this.#portsTrie = this.#portsMask === 0 ? null : new PrefixTrie(32);
  }

  get isEmpty(): boolean {
    return this.#rows === this.#freeRows.length;
  }

  refreshPriority(): void {
    this.maxPriority = this.#priorities.max;
  }

  setTrieLengths(lengths: readonly number[]): void {
    this.trieLengths = lengths;
    this.usesTries = lengths.some((length) => length > 0);
  }

  /** Records the first `end` words of the mask in `wc`. */
  record(wc: Flow, end: number): void {
    if (this.#recorder !== null && end === this.#length) {
      this.#recorder(wc);
      return;
    }
    const { words, masks } = this.mask;
    for (let i = 0; i < end; i++) wc[words[i]] |= masks[i];
  }

  /** Adds the words of a stage, which starts at `start`, to the hash of those before it. */
  addStage(flow: Flow, sum: number, stage: number, start: number): number {
    if (this.#stageHashers !== null) return this.#stageHashers[stage](flow, sum);
    if (++this.#trackedLookups === COMPILE_AFTER) {
      this.#stageHashers = this.stages.map(({ end }, i) =>
        compileStage(this.mask, i === 0 ? 0 : this.stages[i - 1].end, end),
      );
      this.#recorder = compileRecorder(this.mask, this.#length);
      this.#hashedFinder = compileHashedFinder(this.mask);
    }
    return this.hashStage(flow, sum, start, this.stages[stage].end);
  }

  /**
   * Whether the packet's ports alone show that no row matches; the bits that show it are recorded in `wc`.
   */
  portsRuleOut(flow: Flow, wc: Flow): boolean {
    if (this.#portsTrie === null) return false;
    this.#portsScratch[0] = flow[W_TP] & this.#portsMask;
    const bits = this.#portsTrie.lookup(this.#portsScratch, 0);
    if (this.#portsTrie.found(this.#portsLength)) return false;
    wc[W_TP] |= bits >= 32 ? this.#portsMask : this.#portsMask & (-1 << (32 - bits));
    return true;
  }

  /** The row that a packet falls in, or -1. */
  find(flow: Flow): number {
    if (this.#finder !== null) return this.#finder(flow, this.values, this.slots, this.hashes);
    if (++this.#lookups === COMPILE_AFTER) this.#finder = compileFinder(this.mask);
    return this.findHashed(flow, finishHash(this.hashStage(flow, 0, 0, this.#length)));
  }

  /** Adds the words from `start` to `end` to a hash. */
  hashStage(flow: Flow, sum: number, start: number, end: number): number {
    const { words, masks } = this.mask;
    let s = sum;
    for (let i = start; i < end; i++) {
      const w = flow[words[i]] & masks[i];
      s = (s + Math.imul(w ^ (w >>> 16), hashMultiplier(i))) | 0;
    }
    return s;
  }

  /** {@link find} with the hash of all words known. */
  findHashed(flow: Flow, hash: number): number {
    const { slots, hashes, values } = this;
    if (this.#hashedFinder !== null) return this.#hashedFinder(flow, values, slots, hashes, hash);
    const { words, masks } = this.mask;
    const n = this.#length;
    const mask = slots.length - 1;
    for (let i = hash & mask; slots[i] !== 0; i = (i + 1) & mask) {
      const row = slots[i] - 1;
      if (hashes[row] !== hash >>> 0) continue;
      const base = row * n;
      let k = 0;
      while (k < n && ((flow[words[k]] ^ values[base + k]) & masks[k]) === 0) k++;
      if (k === n) return row;
    }
    return -1;
  }

  /** The first rule of a row that is visible; null if there is none. */
  visible(row: number, version: number): R | null {
    let rule: Rule | null = this.heads[row];
    while (rule !== null && !rule.isVisibleIn(version)) rule = rule.next;
    return rule as R | null;
  }

  /** Adds a rule with the values of `flow`. Returns whether it made a new row. */
  insert(rule: R, flow: Flow): boolean {
    const hash = finishHash(this.hashStage(flow, 0, 0, this.#length));
    let row = this.findHashed(flow, hash);
    const isNew = row < 0;
    if (isNew) row = this.#newRow(flow, hash);
    let before: Rule | null = null;
    let after: Rule | null = this.heads[row];
    while (after !== null && after.priority > rule.priority) {
      before = after;
      after = after.next;
    }
    rule.next = after;
    if (before === null) this.heads[row] = rule;
    else before.next = rule;
    rule.home = this;
    rule.row = row;
    this.#priorities.add(rule.priority);
    return isNew;
  }

  /** Takes a rule out. Returns whether its row went with it. */
  remove(rule: R): boolean {
    const { row } = rule;
    rule.keepMatch(this.matchOf(row));
    if (this.heads[row] === rule) this.heads[row] = rule.next as R | null;
    else {
      let before: Rule = this.heads[row] as Rule;
      while (before.next !== rule && before.next !== null) before = before.next;
      before.next = rule.next;
    }
    rule.next = null;
    rule.home = null;
    rule.row = -1;
    this.#priorities.remove(rule.priority);
    const gone = this.heads[row] === null;
    if (gone) this.#freeRow(row);
    return gone;
  }

  matchOf(row: number): MiniMatch {
    return new MiniMatch(this.mask, this.values.slice(row * this.#length, (row + 1) * this.#length));
  }

  /** The rows in use. */
  *rows(): IterableIterator<number> {
    for (let row = 0; row < this.#rows; row++) if (this.heads[row] !== null) yield row;
  }

  /** Rows that some packet of `flow` under `mask` falls in. */
  *rowsLike(flow: Flow, mask: Flow): IterableIterator<number> {
    const { words, masks } = this.mask;
    const n = this.#length;
    for (const row of this.rows()) {
      let k = 0;
      while (k < n && ((flow[words[k]] ^ this.values[row * n + k]) & masks[k] & mask[words[k]]) === 0) k++;
      if (k === n) yield row;
    }
  }

  /** Rows all of whose packets are in `flow` under `mask`, whose bits must all be in this mask. */
  *rowsWithin(flow: Flow, mask: Flow): IterableIterator<number> {
    if (!this.mask.equalsFlow(mask)) {
      yield* this.rowsLike(flow, mask);
      return;
    }
    const row = this.find(flow);
    if (row >= 0) yield row;
  }

  /** Bytes that rows, slots and indices take; rules not counted. */
  get bytes(): number {
    let stages = 0;
    for (const stage of this.stages) stages += (stage.hashes?.size ?? 0) * 16;
    const ports = (this.#portsTrie?.nodes ?? 0) * 20;
    return this.values.byteLength + this.hashes.byteLength + this.slots.byteLength + stages + ports;
  }

  #newRow(flow: Flow, hash: number): number {
    const n = this.#length;
    const row = this.#freeRows.pop() ?? this.#rows++;
    if (row >= this.hashes.length) this.#growRows();
    for (let i = 0; i < n; i++) this.values[row * n + i] = flow[this.mask.words[i]] & this.mask.masks[i];
    this.hashes[row] = hash;
    this.heads[row] = null;
    this.#eachStageHash(row, (hashes, h) => hashes.add(h));
    if (this.#portsTrie !== null) this.#portsTrie.add(this.#portsOf(row), 0, this.#portsLength);
    if ((this.#rows - this.#freeRows.length) * 2 > this.slots.length)
      this.#resizeSlots(this.slots.length * 2);
    this.#putSlot(row);
    return row;
  }

  #freeRow(row: number): void {
    this.#eachStageHash(row, (hashes, h) => hashes.remove(h));
    if (this.#portsTrie !== null) this.#portsTrie.remove(this.#portsOf(row), 0, this.#portsLength);
    this.#dropSlot(row);
    this.#freeRows.push(row);
    const used = this.#rows - this.#freeRows.length;
    if (used === 0) this.#reset();
    else if (this.slots.length > 64 && used * 8 < this.slots.length) this.#resizeSlots(this.slots.length / 2);
  }

  /** Gives the pools back once they are empty. */
  #reset(): void {
    this.values = new Uint32Array(4 * this.#length);
    this.hashes = new Uint32Array(4);
    this.slots = new Int32Array(8);
    this.heads = [];
    this.#freeRows.length = 0;
    this.#rows = 0;
  }

  #portsOf(row: number): Uint32Array {
    this.#portsScratch[0] = this.values[row * this.#length + this.mask.words.indexOf(W_TP)];
    return this.#portsScratch;
  }

  #eachStageHash(row: number, fn: (hashes: HashCounts, hash: number) => void): void {
    const n = this.#length;
    let sum = 0;
    let start = 0;
    for (const { end, hashes } of this.stages) {
      if (hashes === null) break;
      for (let i = start; i < end; i++) {
        const w = this.values[row * n + i];
        sum = (sum + Math.imul(w ^ (w >>> 16), hashMultiplier(i))) | 0;
      }
      fn(hashes, finishHash(sum));
      start = end;
    }
  }

  #growRows(): void {
    const size = this.hashes.length * 2;
    const values = new Uint32Array(size * this.#length);
    values.set(this.values);
    this.values = values;
    const hashes = new Uint32Array(size);
    hashes.set(this.hashes);
    this.hashes = hashes;
  }

  #putSlot(row: number): void {
    const mask = this.slots.length - 1;
    let i = this.hashes[row] & mask;
    while (this.slots[i] !== 0) i = (i + 1) & mask;
    this.slots[i] = row + 1;
  }

  #dropSlot(row: number): void {
    const { slots, hashes } = this;
    const mask = slots.length - 1;
    let hole = hashes[row] & mask;
    while (slots[hole] !== row + 1) hole = (hole + 1) & mask;
    slots[hole] = 0;
    // Rows that were pushed past the hole move back into it, so that no search stops short.
    for (let i = (hole + 1) & mask; slots[i] !== 0; i = (i + 1) & mask) {
      const home = hashes[slots[i] - 1] & mask;
      if (((i - home) & mask) < ((i - hole) & mask)) continue;
      slots[hole] = slots[i];
      slots[i] = 0;
      hole = i;
    }
  }

  #resizeSlots(size: number): void {
    const rows = this.slots.filter((slot) => slot !== 0);
    this.slots = new Int32Array(size);
    for (const slot of rows) this.#putSlot(slot - 1);
  }
}

function trailingZeros(n: number): number {
  return 31 - Math.clz32(n & -n);
}
