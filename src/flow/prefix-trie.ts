/**
 * A set of bit-string prefixes, with how often each is in it, for one field of up to 128 bits.
 *
 * Looking a value up tells two things: at which lengths the set has a prefix of it, and how many
 * leading bits of the value had to be looked at to know that, so that every value that agrees in those
 * bits gets the same answer. The classifier skips rules whose prefix length isn't among the answers,
 * at the price of those bits alone.
 *
 * Nodes stand in pooled typed arrays (20 bytes each): a run of 1 to 32 bits (the root: 0), a count of
 * prefixes that end with it, and two children by the next bit. Prefixes of one chain of bits share nodes;
 * a node without a prefix of its own has two children, or carries on a run that was longer than 32.
 */
import type { Flow } from './layout.ts';

const NONE = -1;

/** Reads up to 32 bits that start `offset` bits after word `word`; the result is left-aligned. */
function bitsAt(words: Flow, word: number, offset: number, end: number): number {
  const w = word + (offset >>> 5);
  const shift = offset & 31;
  let bits = words[w] << shift;
  if (shift !== 0 && (offset | 31) + 1 < end) bits |= words[w + 1] >>> (32 - shift);
  return bits;
}

export class PrefixTrie {
  /** Answer of the last lookup: bit n of word n/32 is set if the set has a prefix of length n + 1. */
  readonly lengths = new Uint32Array(4);
  readonly #bits: number;
  #run = new Uint32Array(16);
  #runLength = new Uint8Array(16);
  #count = new Uint32Array(16);
  #child = new Int32Array(32);
  #root = NONE;
  #free: number[] = [];
  #used = 0;

  /** A trie for values of `bits` bits. */
  constructor(bits: number) {
    this.#bits = bits;
  }

  get isEmpty(): boolean {
    return this.#root === NONE;
  }

  /** Nodes in use. */
  get nodes(): number {
    return this.#used - this.#free.length;
  }

  /** Adds the first `length` (at least 1) bits of the value that starts at `words[word]`. */
  add(words: Flow, word: number, length: number): void {
    let at = 0;
    let parent = NONE;
    let side = 0;
    let node = this.#root;
    for (;;) {
      if (node === NONE) {
        this.#append(parent, side, words, word, at, length);
        return;
      }
      const equal = this.#equalBits(node, words, word, at, length);
      at += equal;
      if (equal < this.#runLength[node]) {
        node = this.#split(node, parent, side, equal);
      }
      if (at === length) {
        this.#count[node]++;
        return;
      }
      parent = node;
      side = bitsAt(words, word, at, this.#bits) >>> 31;
      node = this.#child[2 * node + side];
    }
  }

  /** Takes one occurrence of a prefix out. It must be there. */
  remove(words: Flow, word: number, length: number): void {
    const path: number[] = [];
    let at = 0;
    let node = this.#root;
    while (node !== NONE) {
      path.push(node);
      at += this.#runLength[node];
      if (at >= length) break;
      node = this.#child[2 * node + (bitsAt(words, word, at, this.#bits) >>> 31)];
    }
    if (node === NONE || at !== length || this.#count[node] === 0) {
      throw new RangeError(`prefix trie: removing a prefix of ${length} bits that is not in it`);
    }
    this.#count[node]--;
    for (let i = path.length - 1; i >= 0; i--) this.#prune(path[i], i > 0 ? path[i - 1] : NONE);
  }

  /**
   * Looks a value up: fills {@link lengths} and returns how many leading bits of the value decide
   * what they are.
   */
  lookup(flow: Flow, word: number): number {
    const { lengths } = this;
    lengths[0] = 0;
    lengths[1] = 0;
    lengths[2] = 0;
    lengths[3] = 0;
    let at = 0;
    let node = this.#root;
    let last = NONE;
    while (node !== NONE) {
      const equal = this.#equalBits(node, flow, word, at, this.#bits);
      at += equal;
      if (equal < this.#runLength[node]) return at + 1;
      if (this.#count[node] > 0) lengths[(at - 1) >>> 5] |= 1 << ((at - 1) & 31);
      if (at >= this.#bits) return this.#bits;
      last = node;
      node = this.#child[2 * node + (bitsAt(flow, word, at, this.#bits) >>> 31)];
    }
    // The next bit decided only if there is something on its other side.
    return last === NONE || (this.#child[2 * last] === NONE && this.#child[2 * last + 1] === NONE)
      ? at
      : at + 1;
  }

  /** Whether the last lookup found a prefix of `length` bits. */
  found(length: number): boolean {
    return ((this.lengths[(length - 1) >>> 5] >>> ((length - 1) & 31)) & 1) !== 0;
  }

  /** How many bits of a node's run agree with the value's from bit `at` on, up to bit `end`. */
  #equalBits(node: number, words: Flow, word: number, at: number, end: number): number {
    const run = Math.min(this.#runLength[node], end - at);
    return Math.min(run, Math.clz32(this.#run[node] ^ bitsAt(words, word, at, this.#bits)));
  }

  #newNode(run: number, length: number): number {
    let node = this.#free.pop() ?? this.#used++;
    if (node >= this.#runLength.length) {
      this.#grow();
      node = this.#used - 1;
    }
    this.#run[node] = length === 0 ? 0 : run & (-1 << (32 - length));
    this.#runLength[node] = length;
    this.#count[node] = 0;
    this.#child[2 * node] = NONE;
    this.#child[2 * node + 1] = NONE;
    return node;
  }

  #grow(): void {
    const size = this.#runLength.length * 2;
    const run = new Uint32Array(size);
    run.set(this.#run);
    this.#run = run;
    const length = new Uint8Array(size);
    length.set(this.#runLength);
    this.#runLength = length;
    const count = new Uint32Array(size);
    count.set(this.#count);
    this.#count = count;
    const child = new Int32Array(size * 2);
    child.set(this.#child);
    this.#child = child;
  }

  #link(parent: number, side: number, node: number): void {
    if (parent === NONE) this.#root = node;
    else this.#child[2 * parent + side] = node;
  }

  /** Hangs the bits from `at` to `length` below a node that has nothing on that side. */
  #append(parent: number, side: number, words: Flow, word: number, at: number, length: number): void {
    let [above, where, from] = [parent, side, at];
    // The root splits on the first bit, so that the empty string is one node.
    if (above === NONE) {
      above = this.#newNode(0, 0);
      this.#root = above;
      where = bitsAt(words, word, from, this.#bits) >>> 31;
    }
    while (from < length) {
      const n = Math.min(32, length - from);
      const node = this.#newNode(bitsAt(words, word, from, this.#bits), n);
      this.#link(above, where, node);
      from += n;
      above = node;
      if (from < length) where = bitsAt(words, word, from, this.#bits) >>> 31;
    }
    this.#count[above]++;
  }

  /** Cuts a node's run after `length` bits; returns the new upper part. */
  #split(node: number, parent: number, side: number, length: number): number {
    const upper = this.#newNode(this.#run[node], length);
    const rest = this.#run[node] << length;
    this.#run[node] = rest;
    this.#runLength[node] -= length;
    this.#child[2 * upper + (rest >>> 31)] = node;
    this.#link(parent, side, upper);
    return upper;
  }

  /** Drops a node that nothing needs, or joins it with its only child. */
  #prune(node: number, parent: number): void {
    if (this.#count[node] > 0) return;
    const [left, right] = [this.#child[2 * node], this.#child[2 * node + 1]];
    if (left !== NONE && right !== NONE) return;
    const side = parent === NONE ? 0 : this.#child[2 * parent] === node ? 0 : 1;
    const only = left !== NONE ? left : right;
    if (only === NONE) {
      this.#link(parent, side, NONE);
      this.#free.push(node);
    } else if (parent !== NONE && this.#runLength[node] + this.#runLength[only] <= 32) {
      this.#run[only] = this.#run[node] | (this.#run[only] >>> this.#runLength[node]);
      this.#runLength[only] += this.#runLength[node];
      this.#link(parent, side, only);
      this.#free.push(node);
    }
  }
}
