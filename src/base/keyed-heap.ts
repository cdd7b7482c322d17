/**
 * Members in the order of keys that change: a binary heap that knows where each member stands, so that any can
 * be moved or taken out in O(log n). A key is a pair of numbers, the second decides where the first is equal.
 * Among equals the order is arbitrary, but always the same after the same steps.
 */
export class KeyedHeap<T> {
  readonly #members: T[] = [];
  readonly #keys: number[] = [];
  readonly #seconds: number[] = [];
  readonly #places = new Map<T, number>();

  get size(): number {
    return this.#members.length;
  }

  /** The member with the lowest key. */
  get top(): T | undefined {
    return this.#members[0];
  }

  /** Its key, the first number; Infinity: there is none. */
  get topKey(): number {
    return this.#keys[0] ?? Number.POSITIVE_INFINITY;
  }

  /** The second. */
  get topSecond(): number {
    return this.#seconds[0] ?? Number.POSITIVE_INFINITY;
  }

  has(member: T): boolean {
    return this.#places.has(member);
  }

  /** The member's key, the first number. */
  key(member: T): number | undefined {
    const at = this.#places.get(member);
    return at === undefined ? undefined : this.#keys[at];
  }

  /** Adds a member, or gives it another key. */
  set(member: T, key: number, second = 0): void {
    let at = this.#places.get(member);
    if (at === undefined) {
      at = this.#members.length;
      this.#members.push(member);
      this.#keys.push(key);
      this.#seconds.push(second);
      this.#places.set(member, at);
    } else {
      this.#keys[at] = key;
      this.#seconds[at] = second;
    }
    this.#settle(at);
  }

  /** False: it was not there. */
  delete(member: T): boolean {
    const at = this.#places.get(member);
    if (at === undefined) return false;
    const last = this.#members.length - 1;
    if (at !== last) this.#swap(at, last);
    this.#members.pop();
    this.#keys.pop();
    this.#seconds.pop();
    this.#places.delete(member);
    if (at !== last) this.#settle(at);
    return true;
  }

  #before(a: number, b: number): boolean {
    const [left, right] = [this.#keys[a], this.#keys[b]];
    return left < right || (left === right && this.#seconds[a] < this.#seconds[b]);
  }

  #settle(start: number): void {
    let at = start;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#before(at, parent)) break;
      this.#swap(parent, at);
      at = parent;
    }
    if (at !== start) return;
    for (;;) {
      let first = at;
      for (let child = 2 * at + 1; child <= 2 * at + 2; child++) {
        if (child < this.#members.length && this.#before(child, first)) first = child;
      }
      if (first === at) return;
      this.#swap(first, at);
      at = first;
    }
  }

  #swap(a: number, b: number): void {
    const member = this.#members[a];
    const key = this.#keys[a];
    const second = this.#seconds[a];
    this.#members[a] = this.#members[b];
    this.#keys[a] = this.#keys[b];
    this.#seconds[a] = this.#seconds[b];
    this.#members[b] = member;
    this.#keys[b] = key;
    this.#seconds[b] = second;
    this.#places.set(this.#members[a], a);
    this.#places.set(member, b);
  }
}
