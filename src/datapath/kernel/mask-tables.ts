import { bytes } from '../../ebpf/codec.ts';
import { BpfMap } from '../../ebpf/map.ts';
import type { Flow } from '../../flow/layout.ts';
import { ENTRY_SIZE } from './layout.ts';
import {
  isSupportedMask,
  keySize,
  type MaskTable,
  type MaskWord,
  maskWords,
  packKey,
} from './lookup-program.ts';

/*
 * The megaflows that programs look up, mask by mask.
 *
 * Every mask has a table here. Those that may be in the program have a hash in the kernel besides, which holds the same
 * entries: a limited number, since a packet without a megaflow costs a lookup in each. The others' packets go up to
 * JavaScript, which has all megaflows. When a place gets free the mask with the most packets gets it.
 *
 * A table keeps its entries (packed key and value) densely, in the order of nothing, so that its hash can be made
 * anew: a larger one when it is full, or the first one when it gets a place. `positions` says for each flow where its
 * entry is.
 *
 * What the running program looks up is what `list` said when it was made. A hash that is not in it yet is looked up by
 * nobody, and its packets go up: no harm. One that is in it and not here any more (a larger one took its place, or
 * its mask lost it) would not hear of flows that go: `urgent` says to make the program before anything else.
 */

/** Bounds of what programs look up. */
export interface MaskLimits {
  readonly maxFlows: number;
  /** Masks in the program. */
  readonly maxMasks: number;
}

const FIRST_CAPACITY = 1024;
const GROWTH = 8;

/** What a mask's hash in the kernel can do. */
export interface EntryHash {
  readonly fd: number;
  readonly name: string;
  set(key: Uint8Array, value: Uint8Array): void;
  setAll(entries: Iterable<readonly [Uint8Array, Uint8Array]>): void;
  delete(key: Uint8Array): boolean;
  close(): void;
}

export interface HashSpec {
  /** Another for each hash that is made. */
  readonly number: number;
  readonly mask: Flow;
  readonly keySize: number;
  /** Entries that it has room for. */
  readonly capacity: number;
}

/** All flows with one mask. */
class Table {
  readonly mask: Flow;
  readonly words: readonly MaskWord[];
  readonly supported: boolean;
  readonly keySize: number;
  readonly stride: number;
  /** Entries back to back. */
  data: Uint8Array<ArrayBuffer>;
  slots: Int32Array;
  count = 0;
  /** The hash with all entries; null: not in the kernel. */
  hash: EntryHash | null = null;
  capacity = 0;
  /** Packets that JavaScript forwarded with a flow of this table, lately. */
  demand = 0;

  constructor(mask: Flow) {
    this.mask = mask.slice();
    this.supported = isSupportedMask(mask);
    this.words = maskWords(mask);
    this.keySize = keySize(this.words);
    this.stride = this.keySize + ENTRY_SIZE;
    this.data = new Uint8Array(8 * this.stride);
    this.slots = new Int32Array(8);
  }

  key(position: number): Uint8Array {
    return this.data.subarray(position * this.stride, position * this.stride + this.keySize);
  }
  value(position: number): Uint8Array {
    return this.data.subarray(position * this.stride + this.keySize, (position + 1) * this.stride);
  }
  *entries(): Generator<[Uint8Array, Uint8Array]> {
    for (let i = 0; i < this.count; i++) yield [this.key(i), this.value(i)];
  }
  reserve(): void {
    if (this.count < this.slots.length) return;
    const data = new Uint8Array(this.data.length * 2);
    data.set(this.data);
    this.data = data;
    const slots = new Int32Array(this.slots.length * 2);
    slots.set(this.slots);
    this.slots = slots;
  }
}

export class MaskTables {
  readonly #limits: MaskLimits;
  readonly #makeHash: (spec: HashSpec) => EntryHash;
  readonly #failed: (error: Error) => void;
  readonly #byMask = new Map<string, Table>();
  /** Tables that were found last, by a hash of their masks: naming a mask takes microseconds. */
  readonly #found = new Map<number, Table>();
  readonly #homes: (Table | undefined)[] = [];
  readonly #positions: Int32Array;
  /** Tables with a hash, in the order in which they are to be looked up. */
  #placed: Table[] = [];
  /** Hashes that the running program may still look up, and nobody else needs. */
  #retired: EntryHash[] = [];
  #made = 0;
  /** Whether the program that is to run differs from the one that runs. */
  dirty = true;
  /** Whether that one must not run any longer. */
  urgent = false;

  /** @param failed is told what the kernel refused (memory, mostly): the flow's packets come up instead */
  constructor(
    limits: MaskLimits,
    makeHash: (spec: HashSpec) => EntryHash = createHash,
    failed: (error: Error) => void = () => {},
  ) {
    this.#limits = limits;
    this.#failed = failed;
    this.#makeHash = makeHash;
    this.#positions = new Int32Array(limits.maxFlows);
  }

  /** Masks that programs look up. */
  get placed(): number {
    return this.#placed.length;
  }

  /** Masks whose flows only JavaScript knows: for want of a place, or because programs can't make their key. */
  get waiting(): number {
    return this.#byMask.size - this.#placed.length;
  }

  /** What the program looks up. */
  list(): MaskTable[] {
    return this.#placed.map((table) => ({ map: table.hash as EntryHash, words: table.words }));
  }

  /** Puts a flow's entry, or replaces its value. Returns whether programs (will) look it up. */
  put(slot: number, key: Flow, mask: Flow, value: Uint8Array): boolean {
    const there = this.#homes[slot];
    if (there !== undefined) {
      const position = this.#positions[slot];
      there.value(position).set(value);
      this.#store(there, position);
      return there.hash !== null;
    }
    const table = this.#tableFor(mask);
    table.reserve();
    const position = table.count++;
    packKey(table.words, key, table.key(position));
    table.value(position).set(value);
    table.slots[position] = slot;
    this.#homes[slot] = table;
    this.#positions[slot] = position;
    if (table.hash === null) this.#place(table);
    else if (table.count > table.capacity) this.#grow(table);
    else this.#store(table, position);
    return table.hash !== null;
  }

  remove(slot: number): void {
    const table = this.#homes[slot];
    if (table === undefined) return;
    this.#homes[slot] = undefined;
    const position = this.#positions[slot];
    const key = table.key(position);
    table.hash?.delete(key);
    const last = --table.count;
    if (position !== last) {
      table.data.copyWithin(position * table.stride, last * table.stride, (last + 1) * table.stride);
      const moved = table.slots[last];
      table.slots[position] = moved;
      this.#positions[moved] = position;
    }
    if (table.count === 0) this.#drop(table);
  }

  /** JavaScript forwarded a packet with this flow. */
  demanded(slot: number): void {
    const table = this.#homes[slot];
    if (table !== undefined) table.demand++;
  }

  /** The program that `list` describes runs now. */
  programmed(): void {
    for (const hash of this.#retired) hash.close();
    this.#retired = [];
    this.dirty = false;
    this.urgent = false;
  }

  /**
   * Gives places to the masks that want them most: where a mask without one has had more packets than
   * `packets` says one with a place has, they change. Called now and then.
   * @param packets what the mask's flows have carried since the last time
   */
  rank(packets: (slots: Int32Array) => number): void {
    const waiting = [...this.#byMask.values()].filter((t) => t.hash === null && t.supported && t.demand > 0);
    const load = new Map<Table, number>();
    for (const table of this.#placed) load.set(table, packets(table.slots.subarray(0, table.count)));
    const before = this.#placed;
    this.#placed = [...before].sort((a, b) => (load.get(b) ?? 0) - (load.get(a) ?? 0));
    waiting.sort((a, b) => b.demand - a.demand);
    for (const table of waiting) {
      if (this.#placed.length < this.#limits.maxMasks) {
        this.#place(table);
        continue;
      }
      const least = this.#placed[this.#placed.length - 1];
      // Twice as much, so that two masks of about the same load don't change places for ever.
      if (least === undefined || table.demand <= 2 * (load.get(least) ?? 0)) break;
      this.#unplace(least);
      this.#place(table);
      load.set(table, table.demand);
      this.#placed.sort((a, b) => (load.get(b) ?? 0) - (load.get(a) ?? 0));
    }
    for (const table of this.#byMask.values()) table.demand = 0;
    if (this.#placed.length !== before.length || this.#placed.some((t, i) => worthMoving(t, before[i], load)))
      this.dirty = true;
  }

  close(): void {
    for (const table of this.#byMask.values()) table.hash?.close();
    for (const hash of this.#retired) hash.close();
    this.#retired = [];
    this.#byMask.clear();
    this.#found.clear();
    this.#placed = [];
  }

  #tableFor(mask: Flow): Table {
    const hash = maskHash(mask);
    const found = this.#found.get(hash);
    if (found !== undefined && sameMask(found.mask, mask)) return found;
    const name = maskName(mask);
    let table = this.#byMask.get(name);
    if (table === undefined) {
      table = new Table(mask);
      this.#byMask.set(name, table);
    }
    this.#found.set(hash, table);
    return table;
  }

  #store(table: Table, position: number): void {
    const key = table.key(position);
    const stored = this.#try(() => table.hash?.set(key, table.value(position)));
    // What stood there says what is no longer so.
    if (!stored) this.#try(() => table.hash?.delete(key));
  }

  /** False, and told, if it failed. */
  #try(work: () => void): boolean {
    try {
      work();
      return true;
    } catch (error) {
      this.#failed(error instanceof Error ? error : new Error(String(error)));
      return false;
    }
  }

  /** Gives a table a hash, if there is a place. */
  #place(table: Table): void {
    if (!table.supported || this.#placed.length >= this.#limits.maxMasks) return;
    this.#fill(table, Math.min(this.#limits.maxFlows, FIRST_CAPACITY));
    if (table.hash === null) return;
    this.#placed.push(table);
    this.dirty = true;
  }

  #unplace(table: Table): void {
    this.#retire(table);
    this.#placed = this.#placed.filter((t) => t !== table);
    this.dirty = true;
  }

  #grow(table: Table): void {
    const { capacity } = table;
    this.#retire(table);
    this.#fill(table, Math.min(this.#limits.maxFlows, capacity * GROWTH));
    if (table.hash === null) this.#placed = this.#placed.filter((t) => t !== table);
    this.dirty = true;
  }

  #fill(table: Table, capacity: number): void {
    while (capacity < table.count) capacity = Math.min(this.#limits.maxFlows, capacity * GROWTH);
    table.capacity = capacity;
    const { mask, keySize: size } = table;
    this.#try(() => {
      table.hash = this.#makeHash({ number: this.#made++, mask, keySize: size, capacity });
    });
    this.#try(() => table.hash?.setAll(table.entries()));
  }

  #drop(table: Table): void {
    this.#byMask.delete(maskName(table.mask));
    this.#found.delete(maskHash(table.mask));
    if (table.hash !== null) this.#unplace(table);
  }

  #retire(table: Table): void {
    if (table.hash === null) return;
    this.#retired.push(table.hash);
    table.hash = null;
    // An emptied hash finds nothing.
    if (table.count > 0) this.urgent = true;
  }
}

/** Whether a mask's new place pays for a new program: the order of masks with about the same load doesn't matter. */
function worthMoving(table: Table, before: Table, load: ReadonlyMap<Table, number>): boolean {
  return table !== before && (load.get(table) ?? 0) > 2 * (load.get(before) ?? 0);
}

/** A hash of the kernel. */
export function createHash({ number, keySize: size, capacity }: HashSpec): BpfMap<Uint8Array, Uint8Array> {
  return BpfMap.create({
    kind: 'hash',
    name: `weft_mask${number}`,
    key: bytes(size),
    value: bytes(ENTRY_SIZE),
    maxEntries: capacity,
    preallocate: false,
  });
}

/** The same text for the same mask, another for another. */
function maskName(mask: Flow): string {
  let name = '';
  for (let w = 0; w < mask.length; w++) if (mask[w] !== 0) name += `${w}:${mask[w].toString(36)} `;
  return name;
}

function maskHash(mask: Flow): number {
  let hash = 0;
  for (let w = 0; w < mask.length; w++) if (mask[w] !== 0) hash = Math.imul(hash ^ mask[w], 0x9e3779b1) + w;
  return hash | 0;
}

function sameMask(a: Flow, b: Flow): boolean {
  for (let w = 0; w < a.length; w++) if (a[w] !== b[w]) return false;
  return true;
}
