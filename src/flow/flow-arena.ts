import { type Flow, newFlow } from './layout.ts';

/** Keys that are kept for the next round; a round that wants more gets the rest made anew. */
const MAX_KEPT = 256;

/**
 * Keys for one piece of work, used again for the next: to make one takes longer than most of what is done with
 * it. Whoever owns the arena calls `reset` when nobody looks at the last round's keys any more.
 */
export class FlowArena {
  readonly #kept: Flow[] = [];
  #used = 0;

  /** A key of zeros. */
  take(): Flow {
    return this.#next()?.fill(0) ?? newFlow();
  }

  copy(flow: Flow): Flow {
    const copy = this.#next();
    if (copy === null) return flow.slice();
    copy.set(flow);
    return copy;
  }

  reset(): void {
    this.#used = 0;
  }

  #next(): Flow | null {
    if (this.#used === MAX_KEPT) return null;
    if (this.#used === this.#kept.length) this.#kept.push(newFlow());
    return this.#kept[this.#used++];
  }
}
