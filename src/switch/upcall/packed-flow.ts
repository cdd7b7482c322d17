import { FLOW_WORDS, type Flow, newFlow } from '../../flow/layout.ts';
import type { Noted } from '../ofproto/dependencies.ts';

/*
 * Megaflows are many, and what each remembers of its packet is a key of 164 words of which a dozen are
 * not zero, and a mask that it shares with thousands. Kept whole they would take most of the memory.
 */

/** Which words of a key are not zero. */
interface Shape {
  readonly words: readonly number[];
  /** By word: where its value is; -1: it is zero. */
  readonly places: Int16Array;
}

/** A flow key in little room. */
export class PackedFlow {
  readonly #shape: Shape;
  readonly #values: readonly number[];

  constructor(shape: Shape, values: readonly number[]) {
    this.#shape = shape;
    this.#values = values;
  }

  /** One word. */
  word(word: number): number {
    const place = this.#shape.places[word];
    return place < 0 ? 0 : this.#values[place];
  }

  /** The whole key, the caller's own, or written to a key of zeros. */
  unpack(flow: Flow = newFlow()): Flow {
    const { words } = this.#shape;
    const values = this.#values;
    for (let i = 0; i < words.length; i++) flow[words[i]] = values[i];
    return flow;
  }
}

/** Distinct shapes and masks that are shared; beyond, each is kept for itself until the pool is emptied. */
const MAX_SHARED = 4096;

/** Packs keys, and finds what is equal. */
export class FlowPool {
  readonly #shapes = new Map<string, Shape>();
  readonly #masks = new Map<number, Flow[]>();
  readonly #lists = new Map<string, readonly number[]>();
  #maskCount = 0;

  pack(flow: Flow): PackedFlow {
    const words: number[] = [];
    const values: number[] = [];
    for (let word = 0; word < FLOW_WORDS; word++) {
      if (flow[word] === 0) continue;
      words.push(word);
      values.push(flow[word]);
    }
    return new PackedFlow(this.#shapeOf(words), values);
  }

  #shapeOf(words: readonly number[]): Shape {
    const name = String.fromCharCode(...words);
    let shape = this.#shapes.get(name);
    if (shape !== undefined) return shape;
    if (this.#shapes.size >= MAX_SHARED) this.#shapes.clear();
    const places = new Int16Array(FLOW_WORDS).fill(-1);
    for (let i = 0; i < words.length; i++) places[words[i]] = i;
    shape = { words, places };
    this.#shapes.set(name, shape);
    return shape;
  }

  /** What was noted, without room to grow; lists that megaflows mostly have in common are one. */
  keep({ tags, tables, rewritten }: Noted): Noted {
    return { tags: tags.slice(), tables: this.#listOf(tables), rewritten: this.#listOf(rewritten) };
  }

  #listOf(numbers: readonly number[]): readonly number[] {
    const name = numbers.join();
    let list = this.#lists.get(name);
    if (list !== undefined) return list;
    if (this.#lists.size >= MAX_SHARED) this.#lists.clear();
    list = numbers.slice();
    this.#lists.set(name, list);
    return list;
  }

  /** A mask equal to this one that nobody may change. */
  share(mask: Flow): Flow {
    let hash = 0;
    for (let word = 0; word < FLOW_WORDS; word++) {
      if (mask[word] !== 0) hash = Math.imul(hash ^ mask[word], 0x9e3779b1) + word;
    }
    const alike = this.#masks.get(hash);
    const known = alike?.find((other) => sameWords(other, mask));
    if (known !== undefined) return known;
    if (this.#maskCount >= MAX_SHARED) {
      this.#masks.clear();
      this.#maskCount = 0;
    }
    const own = mask.slice();
    const list = this.#masks.get(hash);
    if (list === undefined) this.#masks.set(hash, [own]);
    else list.push(own);
    this.#maskCount++;
    return own;
  }
}

function sameWords(a: Flow, b: Flow): boolean {
  for (let word = 0; word < FLOW_WORDS; word++) if (a[word] !== b[word]) return false;
  return true;
}
