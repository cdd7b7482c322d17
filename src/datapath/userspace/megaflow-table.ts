import { WeftError } from '../../base/errors.ts';
import { type Flow, newFlow } from '../../flow/layout.ts';
import { Subtable, SubtableCodes } from './subtable.ts';

/** How many megaflows and masks a table takes before it refuses. */
export interface MegaflowLimits {
  readonly maxFlows: number;
  readonly maxMasks: number;
}

/**
 * The megaflow cache: tuple space search over the masks in use.
 *
 * Megaflows are disjoint, so there are no priorities and the first match is the only one: a lookup
 * tries one {@link Subtable} after another, those that matched most often lately first. An update
 * costs one hash operation whatever the table holds; a miss costs one per mask, which is why the
 * number of masks is bounded: when it, or the number of flows, is reached, `put` refuses, and the slow
 * path handles the packet without caching what it decided. Nothing is evicted here: the slow path
 * alone knows which flows are idle.
 *
 * Slots number the installed megaflows densely from 0; a freed slot is used again.
 */
export class MegaflowTable {
  /** Masks looked at by all lookups so far. */
  masksSearched = 0;
  /** Subtable of each slot; undefined where the slot is free. */
  readonly #home: (Subtable | undefined)[] = [];
  readonly #places: Int32Array;
  readonly #free: number[] = [];
  readonly #limits: MegaflowLimits;
  readonly #codes: SubtableCodes;
  #tables: Subtable[] = [];
  /** The same by a hash of their masks: there may be a thousand. */
  readonly #byMask = new Map<number, Subtable[]>();
  #count = 0;
  #untilRanking = RANK_EVERY;

  constructor(limits: MegaflowLimits, seed: number) {
    this.#limits = limits;
    this.#places = new Int32Array(limits.maxFlows);
    this.#codes = new SubtableCodes(seed);
  }

  get count(): number {
    return this.#count;
  }
  get maskCount(): number {
    return this.#tables.length;
  }

  /** The slot of the megaflow that covers `key`, or -1. */
  lookup(key: Flow): number {
    const tables = this.#tables;
    for (let i = 0; i < tables.length; i++) {
      const table = tables[i];
      const slot = table.find(key);
      if (slot >= 0) {
        this.masksSearched += i + 1;
        table.hits++;
        if (--this.#untilRanking === 0) this.#rank();
        return slot;
      }
    }
    this.masksSearched += tables.length;
    return -1;
  }

  /** The slot of exactly this megaflow, or -1. */
  slotOf(key: Flow, mask: Flow): number {
    return this.#tableOf(mask)?.find(key) ?? -1;
  }

  /**
   * Makes room for a megaflow and returns its slot; the slot it has if it is there already.
   * @throws WeftError `flow-table-full` or `too-many-masks` where a limit is reached.
   */
  put(key: Flow, mask: Flow): number {
    const there = this.slotOf(key, mask);
    if (there >= 0) return there;
    const { maxFlows, maxMasks } = this.#limits;
    if (this.#count >= maxFlows) {
      throw new WeftError('flow-table-full', `the datapath holds ${maxFlows} flows already`, {
        remedy: 'Let idle flows expire, or raise the flow limit (other_config:flow-limit).',
      });
    }
    if (this.#tables.length >= maxMasks && this.#tableOf(mask) === undefined) {
      throw new WeftError('too-many-masks', `the datapath uses ${maxMasks} different masks already`, {
        remedy: 'Use fewer different sets of match fields and prefix lengths in the flow tables.',
      });
    }
    const slot = this.#free.pop() ?? this.#home.length;
    this.putAt(slot, key, mask);
    return slot;
  }

  /** Puts a megaflow in a slot that another table (the one that counts the slots) chose. */
  putAt(slot: number, key: Flow, mask: Flow): void {
    let table = this.#tableOf(mask);
    if (table === undefined) {
      table = new Subtable(mask, this.#codes, this.#places);
      this.#tables.push(table);
      const hash = maskHash(mask);
      this.#byMask.set(hash, [...(this.#byMask.get(hash) ?? []), table]);
    }
    table.insert(key, slot);
    while (this.#home.length <= slot) this.#home.push(undefined);
    this.#home[slot] = table;
    this.#count++;
  }

  /** Whether a megaflow stands in `slot`. */
  has(slot: number): boolean {
    return this.#home[slot] !== undefined;
  }

  /** Frees a slot; false if it was free. */
  remove(slot: number): boolean {
    const table = this.#home[slot];
    if (table === undefined) return false;
    table.remove(slot);
    this.#home[slot] = undefined;
    this.#free.push(slot);
    this.#count--;
    if (table.count === 0) this.#drop(table);
    return true;
  }

  #drop(table: Subtable): void {
    this.#tables = this.#tables.filter((t) => t !== table);
    const mask = newFlow();
    for (let i = 0; i < table.words.length; i++) mask[table.words[i]] = table.bits[i];
    const hash = maskHash(mask);
    const others = (this.#byMask.get(hash) ?? []).filter((t) => t !== table);
    if (others.length > 0) this.#byMask.set(hash, others);
    else this.#byMask.delete(hash);
  }

  #tableOf(mask: Flow): Subtable | undefined {
    return this.#byMask.get(maskHash(mask))?.find((t) => t.hasMask(mask));
  }

  /** Sorts the tables by recent hits and halves the memory of them. */
  #rank(): void {
    this.#untilRanking = RANK_EVERY;
    this.#tables.sort((a, b) => b.hits - a.hits);
    for (const table of this.#tables) table.hits >>>= 1;
  }
}

/** Hits between two rankings of the subtables. */
const RANK_EVERY = 4096;

function maskHash(mask: Flow): number {
  let hash = 0;
  for (let w = 0; w < mask.length; w++) if (mask[w] !== 0) hash = Math.imul(hash ^ mask[w], 0x9e3779b1) + w;
  return hash | 0;
}
