/** How many rules have which priority, and which is the highest: a heap over the distinct ones. */
export class PriorityCounts {
  readonly #counts = new Map<number, number>();
  readonly #heap: number[] = [];

  /** The highest priority, or -Infinity. */
  get max(): number {
    const heap = this.#heap;
    while (heap.length > 0 && !this.#counts.has(heap[0])) this.#pop();
    return heap.length > 0 ? heap[0] : Number.NEGATIVE_INFINITY;
  }

  add(priority: number): void {
    const count = this.#counts.get(priority) ?? 0;
    this.#counts.set(priority, count + 1);
    if (count === 0) this.#push(priority);
  }

  remove(priority: number): void {
    const count = this.#counts.get(priority) ?? 0;
    if (count > 1) this.#counts.set(priority, count - 1);
    else this.#counts.delete(priority);
    // Priorities that came back while an old entry was still in the heap are in it twice; rebuild
    // it before they add up.
    if (this.#heap.length > 2 * this.#counts.size + 16) {
      this.#heap.length = 0;
      this.#heap.push(...[...this.#counts.keys()].sort((a, b) => b - a));
    }
  }

  #push(priority: number): void {
    const heap = this.#heap;
    let i = heap.length;
    heap.push(priority);
    while (i > 0) {
      const up = (i - 1) >> 1;
      if (heap[up] >= priority) break;
      heap[i] = heap[up];
      i = up;
    }
    heap[i] = priority;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && heap[child + 1] > heap[child]) child++;
      if (heap[child] <= last) break;
      heap[i] = heap[child];
      i = child;
    }
    heap[i] = last;
  }
}
