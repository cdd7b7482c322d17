import { KeyedHeap } from '../../base/keyed-heap.ts';

/** Whoever has most of something, found at once. Among equals the order is arbitrary. */
export class UsageHeap<T> {
  readonly #heap = new KeyedHeap<T>();

  /** The member with the highest count. */
  get top(): T | undefined {
    return this.#heap.top;
  }

  count(member: T): number {
    return -(this.#heap.key(member) ?? 0);
  }

  /** Changes a member's count by `delta`; at 0 it leaves the heap. */
  add(member: T, delta: number): void {
    const count = this.count(member) + delta;
    if (count <= 0) this.#heap.delete(member);
    else this.#heap.set(member, -count);
  }
}
