import type { Clock, Timer } from '../../base/clock.ts';

/** Time that moves from event to event, in a fixed order: for simulations without promises. */
export class EventClock implements Clock {
  #now = 1000;
  #order = 0;
  #events: { readonly due: number; readonly order: number; readonly fn: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  wall(): number {
    return 1_600_000_000_000 + this.#now;
  }

  after(ms: number, fn: () => void): Timer {
    const event = { due: this.#now + Math.max(0, ms), order: this.#order++, fn };
    this.#events.push(event);
    return {
      cancel: () => {
        this.#events = this.#events.filter((other) => other !== event);
      },
    };
  }

  /** @throws Error where events follow each other without time passing */
  advance(ms: number): void {
    const end = this.#now + ms;
    let still = 0;
    for (;;) {
      this.#events.sort((a, b) => a.due - b.due || a.order - b.order);
      const next = this.#events[0];
      if (next === undefined || next.due > end) break;
      this.#events.shift();
      still = next.due > this.#now ? 0 : still + 1;
      if (still > 1000) throw new Error(`1000 events at ${this.#now} ms, and no end`);
      this.#now = Math.max(this.#now, next.due);
      next.fn();
    }
    this.#now = end;
  }
}
