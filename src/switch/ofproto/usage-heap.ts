/**
 * Whoever has most of something, found at once: a binary heap whose members' counts change by steps.
 * Among equals the order is arbitrary, but always the same after the same steps.
 */
export class UsageHeap<T> {
  readonly #members: T[] = [];
  readonly #counts: number[] = [];
  readonly #places = new Map<T, number>();

  /** The member with the highest count. */
  get top(): T | undefined {
    return this.#members[0];
  }

  count(member: T): number {
    const at = this.#places.get(member);
    return at === undefined ? 0 : this.#counts[at];
  }

  /** Changes a member's count by `delta`; at 0 it leaves the heap. */
  add(member: T, delta: number): void {
    let at = this.#places.get(member);
    if (at === undefined) {
      at = this.#members.length;
      this.#members.push(member);
      this.#counts.push(0);
      this.#places.set(member, at);
    }
    this.#counts[at] += delta;
    if (this.#counts[at] <= 0) this.#remove(at);
    else this.#settle(at);
  }

  #remove(at: number): void {
    const last = this.#members.length - 1;
    if (at !== last) this.#swap(at, last);
    const member = this.#members.pop();
    this.#counts.pop();
    if (member !== undefined) this.#places.delete(member);
    if (at !== last) this.#settle(at);
  }

  #settle(start: number): void {
    let at = start;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (this.#counts[parent] >= this.#counts[at]) break;
      this.#swap(parent, at);
      at = parent;
    }
    if (at !== start) return;
    for (;;) {
      let most = at;
      for (const child of [2 * at + 1, 2 * at + 2]) {
        if (child < this.#counts.length && this.#counts[child] > this.#counts[most]) most = child;
      }
      if (most === at) return;
      this.#swap(most, at);
      at = most;
    }
  }

  #swap(a: number, b: number): void {
    const member = this.#members[a];
    const count = this.#counts[a];
    this.#members[a] = this.#members[b];
    this.#counts[a] = this.#counts[b];
    this.#members[b] = member;
    this.#counts[b] = count;
    this.#places.set(this.#members[a], a);
    this.#places.set(member, b);
  }
}
