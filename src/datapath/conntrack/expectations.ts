import * as T from './tuple.ts';

/** A connection that another's helper foresees. */
export interface Expectation {
  /** Original tuple of the other, and its marks at that time: the new one has them for ever. */
  readonly parent: T.Tuple;
  readonly mark: number;
  readonly label: Uint32Array;
  /** Which end is translated, if the new one is translated at all: its source; and to what, as in a tuple. */
  readonly source: boolean;
  readonly address: Uint32Array;
}

/** What one connection may expect at a time, and all together: the oldest goes. */
const MOST_OF_ONE = 16;
const MOST = 65_536;

/**
 * Connections that are expected: any from a given address to a given address and port, of a protocol and zone. They may come
 * until their parent, the control connection, ends; that one has some do so does not use the expectation up, as in stock
 * Open vSwitch.
 */
export class Expectations {
  /** By the tuple, whose source port is 0. In the order of their beginning. */
  readonly #expected = new Map<string, Expectation & { readonly slot: number }>();
  /** By the slot of the parent: the names of what it expects, the oldest first. */
  readonly #names = new Map<number, string[]>();

  get size(): number {
    return this.#expected.size;
  }

  /** Whether a packet's tuple is one that is expected. */
  find(t: T.Tuple): Expectation | undefined {
    return this.#expected.size === 0 ? undefined : this.#expected.get(nameOf(t));
  }

  /** Expects `t`, unless somebody does so already. */
  add(t: T.Tuple, slot: number, expectation: Expectation): void {
    const name = nameOf(t);
    if (this.#expected.has(name)) return;
    const names = this.#names.get(slot) ?? [];
    if (names.length >= MOST_OF_ONE) this.#drop(names[0]);
    else if (this.#expected.size >= MOST) this.#drop(this.#oldest());
    this.#expected.set(name, { ...expectation, slot });
    names.push(name);
    this.#names.set(slot, names);
  }

  /** The connection in a slot ends, and expects nothing any more. */
  forget(slot: number): void {
    for (const name of this.#names.get(slot) ?? []) this.#expected.delete(name);
    this.#names.delete(slot);
  }

  #oldest(): string {
    for (const name of this.#expected.keys()) return name;
    return '';
  }

  #drop(name: string): void {
    const { slot } = this.#expected.get(name) ?? { slot: -1 };
    this.#expected.delete(name);
    const names = this.#names.get(slot);
    if (names === undefined) return;
    names.splice(names.indexOf(name), 1);
    if (names.length === 0) this.#names.delete(slot);
  }
}

/** The source port is anything. */
function nameOf(t: T.Tuple): string {
  const port = t[T.T_L4_SRC];
  t[T.T_L4_SRC] = 0;
  const name = t.join();
  t[T.T_L4_SRC] = port;
  return name;
}
