/**
 * When each connection's time is over: a binary heap over slots, in typed arrays, that knows where each slot stands.
 *
 * A packet moves its connection's deadline, mostly to later. The heap isn't told of that: its key is a time at which the
 * connection is to be looked at again, never later than its deadline. Only a deadline that comes nearer moves a slot.
 * So a packet of a connection costs a comparison here, and a connection that lives long comes up once in its timeout.
 */
export class ExpiryHeap {
  #slots = new Int32Array(64);
  #keys = new Float64Array(64);
  /** Place of each slot; -1: none. */
  #places = new Int32Array(64).fill(-1);
  #size = 0;

  get size(): number {
    return this.#size;
  }
  /** The slot to look at first; undefined if there is none. */
  get top(): number {
    return this.#slots[0];
  }
  /** When; Infinity if there is none. */
  get topKey(): number {
    return this.#size === 0 ? Number.POSITIVE_INFINITY : this.#keys[0];
  }

  /** The time at which a slot, which must be there, comes up. */
  keyOf(slot: number): number {
    return this.#keys[this.#places[slot]];
  }

  /** Adds a slot, or gives it another time. */
  set(slot: number, key: number): void {
    if (slot >= this.#places.length) {
      const places = new Int32Array(Math.max(slot + 1, this.#places.length * 2)).fill(-1);
      places.set(this.#places);
      this.#places = places;
    }
    let at = this.#places[slot];
    if (at < 0) {
      if (this.#size === this.#slots.length) this.#grow();
      at = this.#size++;
    }
    this.#put(at, slot, key);
    this.#settle(at);
  }

  delete(slot: number): void {
    const at = this.#places[slot];
    if (at < 0) return;
    this.#places[slot] = -1;
    const last = --this.#size;
    if (at === last) return;
    this.#put(at, this.#slots[last], this.#keys[last]);
    this.#settle(at);
  }

  #grow(): void {
    const slots = new Int32Array(this.#slots.length * 2);
    slots.set(this.#slots);
    this.#slots = slots;
    const keys = new Float64Array(slots.length);
    keys.set(this.#keys);
    this.#keys = keys;
  }

  #put(at: number, slot: number, key: number): void {
    this.#slots[at] = slot;
    this.#keys[at] = key;
    this.#places[slot] = at;
  }

  #settle(start: number): void {
    const slot = this.#slots[start];
    const key = this.#keys[start];
    let at = start;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (this.#keys[parent] <= key) break;
      this.#put(at, this.#slots[parent], this.#keys[parent]);
      at = parent;
    }
    for (;;) {
      let child = 2 * at + 1;
      if (child >= this.#size) break;
      if (child + 1 < this.#size && this.#keys[child + 1] < this.#keys[child]) child++;
      if (this.#keys[child] >= key) break;
      this.#put(at, this.#slots[child], this.#keys[child]);
      at = child;
    }
    this.#put(at, slot, key);
  }
}
