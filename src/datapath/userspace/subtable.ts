import { FLOW_WORDS, type Flow, newFlow } from '../../flow/layout.ts';

/**
 * The megaflows that share one mask: a hash table from the masked key to the megaflow's slot.
 *
 * A mask rarely touches more than a dozen of a key's 164 words, so the table stores those words alone
 * and its lookup is generated for them: straight-line code with the word numbers as constants. Masks of the same words
 * share the code, so that it is fast from the start where masks multiply. What is generated depends on numbers only.
 *
 * Layout: open addressing with linear probing, at most half full. Entry `i` holds its slot + 1 in
 * `slots[i]` (0: empty) and its masked words in `keys[i * n ...]`; `places` says for each slot which `i`
 * that is, so that nobody has to keep keys to find an entry again. Removal shifts later entries of the run
 * back, so that there are no tombstones and lookups never slow down with age.
 *
 * `seed` is secret to the datapath: whoever sends packets cannot choose headers that all fall into one
 * run.
 */
export class Subtable {
  /** The mask's words that are not 0, ascending. */
  readonly words: readonly number[];
  /** The bits of those words. */
  readonly bits: readonly number[];
  /** Lookups that ended here since the last ranking; the table of tables sorts by it. */
  hits = 0;
  /** Megaflows in this table. */
  count = 0;
  /** The slot of the megaflow that covers `key`, or -1. */
  readonly find: (key: Flow) => number;
  readonly #hash: (key: Flow) => number;
  readonly #store: Store;
  readonly #places: Int32Array;
  /** A key for `#hashOfEntry` to fill; words outside of `words` stay 0. */
  readonly #probe: Flow = newFlow();

  /** @param places of all slots, in whichever table they are; this one writes those of its own */
  constructor(mask: Flow, codes: SubtableCodes, places: Int32Array) {
    this.#places = places;
    const words: number[] = [];
    for (let w = 0; w < FLOW_WORDS; w++) if (mask[w] !== 0) words.push(w);
    this.words = words;
    this.bits = words.map((w) => mask[w]);
    this.#store = newStore(8, words.length);
    const code = codes.of(words)(this.#store, ...this.bits.map((b) => b | 0));
    this.#hash = code.hash;
    this.find = code.find;
  }

  /** Whether this table is the one for `mask`. */
  hasMask(mask: Flow): boolean {
    let next = 0;
    for (let w = 0; w < FLOW_WORDS; w++) {
      if (mask[w] === 0) continue;
      if (this.words[next] !== w || this.bits[next] !== mask[w]) return false;
      next++;
    }
    return next === this.words.length;
  }

  /** Adds a key that is not there. */
  insert(key: Flow, slot: number): void {
    const store = this.#store;
    if ((this.count + 1) * 2 > store.limit + 1) this.#grow();
    const i = this.#emptyPlace(this.#hash(key));
    store.slots[i] = slot + 1;
    this.#places[slot] = i;
    const at = i * this.words.length;
    for (let j = 0; j < this.words.length; j++) store.keys[at + j] = key[this.words[j]] & this.bits[j];
    this.count++;
  }

  /** Removes the entry of a slot that is in this table. */
  remove(slot: number): void {
    const store = this.#store;
    const n = this.words.length;
    let hole = this.#places[slot];
    // Close the run: an entry further on moves into the hole unless its own place lies behind it.
    for (let i = (hole + 1) & store.limit; store.slots[i] !== 0; i = (i + 1) & store.limit) {
      const home = this.#hashOfEntry(store, i) & store.limit;
      if (((i - home) & store.limit) < ((i - hole) & store.limit)) continue;
      store.slots[hole] = store.slots[i];
      this.#places[store.slots[i] - 1] = hole;
      store.keys.copyWithin(hole * n, i * n, i * n + n);
      hole = i;
    }
    store.slots[hole] = 0;
    this.count--;
  }

  #grow(): void {
    const old = { ...this.#store };
    const store = Object.assign(this.#store, newStore((old.limit + 1) * 2, this.words.length));
    const n = this.words.length;
    for (let i = 0; i <= old.limit; i++) {
      if (old.slots[i] === 0) continue;
      const to = this.#emptyPlace(this.#hashOfEntry(old, i));
      store.slots[to] = old.slots[i];
      this.#places[old.slots[i] - 1] = to;
      for (let j = 0; j < n; j++) store.keys[to * n + j] = old.keys[i * n + j];
    }
  }

  #emptyPlace(hash: number): number {
    const { slots, limit } = this.#store;
    let i = hash & limit;
    while (slots[i] !== 0) i = (i + 1) & limit;
    return i;
  }

  #hashOfEntry(store: Store, i: number): number {
    const n = this.words.length;
    for (let j = 0; j < n; j++) this.#probe[this.words[j]] = store.keys[i * n + j];
    return this.#hash(this.#probe);
  }
}

interface Store {
  slots: Int32Array;
  keys: Int32Array;
  /** Capacity - 1; the capacity is a power of two. */
  limit: number;
}

function newStore(capacity: number, words: number): Store {
  return {
    slots: new Int32Array(capacity),
    keys: new Int32Array(capacity * Math.max(words, 1)),
    limit: capacity - 1,
  };
}

interface Lookup {
  readonly hash: (key: Flow) => number;
  readonly find: (key: Flow) => number;
}

type MakeLookup = (store: Store, ...bits: number[]) => Lookup;

/** Lists of words that code is kept for. */
const MAX_CODES = 1024;

/** The code of the tables of one datapath, by the words that it looks at. */
export class SubtableCodes {
  readonly #seed: number;
  readonly #made = new Map<string, MakeLookup>();

  constructor(seed: number) {
    this.#seed = seed;
  }

  of(words: readonly number[]): MakeLookup {
    const name = words.join();
    let code = this.#made.get(name);
    if (code !== undefined) return code;
    if (this.#made.size >= MAX_CODES) this.#made.clear();
    code = generate(words, this.#seed);
    this.#made.set(name, code);
    return code;
  }
}

/**
 * Code for one list of words. The hash multiplies and folds word by word, and mixes once more at the end, because the
 * low bits choose the place.
 */
function generate(words: readonly number[], seed: number): MakeLookup {
  const load = words.map((w, j) => `const a${j} = k[${w}] & b${j};`).join('\n');
  const mix = words.map((_, j) => `h = Math.imul(h ^ a${j}, 0x2c1b3c6d); h ^= h >>> 15;`).join('\n');
  const hash = `${load}\nlet h = ${seed | 0};\n${mix}\nh = Math.imul(h, 0x297a2d39); h ^= h >>> 16;`;
  const same = words.map((_, j) => `keys[at + ${j}] === a${j}`).join(' && ') || 'true';
  const find = `${hash}
const slots = store.slots, keys = store.keys, limit = store.limit;
let i = h & limit;
for (;;) {
  const slot = slots[i];
  if (slot === 0) return -1;
  const at = i * ${words.length};
  if (${same}) return slot - 1;
  i = (i + 1) & limit;
}`;
  const body = `return { hash: (k) => {\n${hash}\nreturn h;\n}, find: (k) => {\n${find}\n} };`;
  return new Function('store', ...words.map((_, j) => `b${j}`), body) as MakeLookup;
}
