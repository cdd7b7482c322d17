/** What the tests of this layer share. */
import type { Clock, Timer } from '../../base/clock.ts';

interface Entry {
  readonly due: number;
  readonly fn: () => void;
}

/** Time that moves only when told to. */
export class ManualClock implements Clock {
  #now = 0;
  readonly #timers = new Set<Entry>();

  now(): number {
    return this.#now;
  }

  wall(): number {
    return 1_600_000_000_000 + this.#now;
  }

  after(ms: number, fn: () => void): Timer {
    if (ms <= 0) {
      let canceled = false;
      queueMicrotask(() => {
        if (!canceled) fn();
      });
      return {
        cancel: () => {
          canceled = true;
        },
      };
    }
    const entry = { due: this.#now + ms, fn };
    this.#timers.add(entry);
    return { cancel: () => this.#timers.delete(entry) };
  }

  /** Moves time on, firing timers in order. */
  advance(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      const [next] = [...this.#timers].filter((t) => t.due <= end).sort((a, b) => a.due - b.due);
      if (next === undefined) break;
      this.#timers.delete(next);
      this.#now = Math.max(this.#now, next.due);
      next.fn();
    }
    this.#now = end;
  }
}

/** Resolves when everything that was under way in this process has come to rest. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
}
