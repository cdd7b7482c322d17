import type { Flow } from '../../flow/layout.ts';

/**
 * The microflow cache: from a packet's whole key to the megaflow that it hit last time, in one hash
 * operation, whatever the number of masks.
 *
 * Which words a packet can fill at all depends on what it is, and most packets fill a dozen of the 164.
 * So there is one cache for each *shape* (a list of words); a packet is looked up in the cache of a
 * shape that holds every word it may have set, and all others are known to be 0. The comparison is
 * exact either way. Lookup code is generated for the words, as in a subtable.
 *
 * Two places a bucket; the newcomer takes an empty or stale one, else the two take turns. An entry
 * holds the generation that its megaflow had: when a megaflow is removed its generation moves on and
 * all entries that led to it are void at once. A megaflow that is added voids nothing, as megaflows
 * are disjoint; one whose actions are replaced keeps its slot.
 */
export class MicroflowCache {
  /** The slot of the megaflow that this very key hit before, or -1. Remembers the place for `insert`. */
  readonly find: (key: Flow) => number;
  readonly #state: CacheState;
  readonly #words: readonly number[];
  #turn = 0;

  /**
   * @param words the shape: every other word of the keys given is 0
   * @param entries a power of two
   * @param generations of each megaflow slot; shared with who changes them
   */
  constructor(words: readonly number[], entries: number, generations: Int32Array, seed: number) {
    this.#words = words;
    this.#state = {
      keys: new Int32Array(entries * words.length),
      slots: new Int32Array(entries),
      generations: new Int32Array(entries),
      current: generations,
      bucket: 0,
    };
    this.find = generate(words, entries / 2 - 1, seed)(this.#state);
  }

  /** Remembers that the key of the last, unsuccessful `find` belongs to `slot`. */
  insert(key: Flow, slot: number): void {
    const s = this.#state;
    let i = s.bucket * 2;
    if (this.#live(i)) {
      if (!this.#live(i + 1)) i++;
      else {
        this.#turn ^= 1;
        i += this.#turn;
      }
    }
    s.slots[i] = slot + 1;
    s.generations[i] = s.current[slot];
    const words = this.#words;
    const at = i * words.length;
    for (let j = 0; j < words.length; j++) s.keys[at + j] = key[words[j]];
  }

  #live(i: number): boolean {
    const s = this.#state;
    const slot = s.slots[i];
    return slot !== 0 && s.generations[i] === s.current[slot - 1];
  }
}

interface CacheState {
  readonly keys: Int32Array;
  /** Slot + 1; 0: empty. */
  readonly slots: Int32Array;
  readonly generations: Int32Array;
  readonly current: Int32Array;
  /** Bucket of the last key looked for. */
  bucket: number;
}

function generate(
  words: readonly number[],
  limit: number,
  seed: number,
): (state: CacheState) => (key: Flow) => number {
  const n = words.length;
  const load = words.map((w, j) => `const a${j} = k[${w}] | 0;`).join('\n');
  const mix = words.map((_, j) => `h = Math.imul(h ^ a${j}, 0x2c1b3c6d); h ^= h >>> 15;`).join('\n');
  const same = words.map((_, j) => `keys[at + ${j}] === a${j}`).join(' && ');
  return new Function(
    's',
    `const keys = s.keys, slots = s.slots, generations = s.generations, current = s.current;
return (k) => {
${load}
let h = ${seed | 0};
${mix}
h = Math.imul(h, 0x297a2d39); h ^= h >>> 16;
const bucket = h & ${limit};
let i = bucket << 1, at = i * ${n}, slot = slots[i];
if (slot !== 0 && ${same} && generations[i] === current[slot - 1]) return slot - 1;
i++; at += ${n}; slot = slots[i];
if (slot !== 0 && ${same} && generations[i] === current[slot - 1]) return slot - 1;
s.bucket = bucket;
return -1;
};`,
  ) as (state: CacheState) => (key: Flow) => number;
}
