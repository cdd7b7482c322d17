/**
 * The clocks of a real process: the plain one, and the one that `ovs-appctl time/stop` and `time/warp`
 * move.
 *
 * Both keep their timers in one heap and arm a single timer of Node for the earliest, so that time can
 * jump under the timers: after a jump every timer that is due runs, earliest deadline first (equal
 * deadlines in the order in which they were set), each seeing the time after the jump. That is what the
 * main loop of the stock daemons sees too: a periodic job that re-arms itself from `now()` runs once a
 * jump, however many of its periods the jump spans; only stepping (`time/warp LARGE STEP`) shows it
 * every period.
 */
import type { Clock, Timer } from '../../base/clock.ts';
import type { CommandRegistry } from '../../base/command.ts';
import { WeftError } from '../../base/errors.ts';

/** The longest delay that a timer of Node can hold. */
const MAX_DELAY_MS = 0x7fff_ffff;
/** Real time that one warp step leaves to sockets and workers, as the stock daemons do. */
const SETTLE_MS = 10;

class Entry implements Timer {
  readonly deadline: number;
  readonly order: number;
  fn: (() => void) | undefined;
  private readonly onCancel: () => void;

  constructor(deadline: number, order: number, fn: () => void, onCancel: () => void) {
    this.deadline = deadline;
    this.order = order;
    this.fn = fn;
    this.onCancel = onCancel;
  }

  cancel(): void {
    if (this.fn === undefined) return;
    this.fn = undefined;
    this.onCancel();
  }
}

const before = (a: Entry, b: Entry): boolean =>
  a.deadline < b.deadline || (a.deadline === b.deadline && a.order < b.order);

/** A binary heap of timers; cancelled ones stay until they surface or outnumber the live ones. */
class TimerHeap {
  private heap: Entry[] = [];
  private cancelled = 0;

  get top(): Entry | undefined {
    while (this.heap.length > 0 && this.heap[0].fn === undefined) {
      this.pop();
      this.cancelled--;
    }
    return this.heap[0];
  }

  noteCancelled(): void {
    this.cancelled++;
    if (this.cancelled > 64 && this.cancelled * 2 > this.heap.length) {
      const live = this.heap.filter((e) => e.fn !== undefined);
      this.heap = [];
      this.cancelled = 0;
      for (const entry of live) this.push(entry);
    }
  }

  push(entry: Entry): void {
    const { heap } = this;
    let at = heap.length;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(entry, heap[parent])) break;
      heap[at] = heap[parent];
      at = parent;
    }
    heap[at] = entry;
  }

  pop(): Entry {
    const { heap } = this;
    const first = heap[0];
    const last = heap.pop()!;
    if (heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1], heap[child])) child++;
      if (!before(heap[child], last)) break;
      heap[at] = heap[child];
      at = child;
    }
    heap[at] = last;
    return first;
  }
}

/** What a clock takes from the machine; tests give their own. */
export interface TimeSource {
  now(): number;
  wall(): number;
  setTimeout(fn: () => void, ms: number): NodeJS.Timeout;
}

const machine: TimeSource = {
  now: () => performance.now(),
  wall: () => Date.now(),
  setTimeout: (fn, ms) => setTimeout(fn, ms),
};

/** The machine's time, movable by `stop()` and `warp()`; never moved, it is just the machine's time. */
export class DaemonClock implements Clock {
  private readonly source: TimeSource;
  private readonly timers = new TimerHeap();
  private order = 0;
  /** What warps have added. */
  private offset = 0;
  /** The machine's time at which `stop()` was called. */
  private stoppedAt: number | undefined;
  private armed: NodeJS.Timeout | undefined;
  private armedFor = Number.POSITIVE_INFINITY;
  private warping = false;
  private readonly settlers: (() => Promise<void>)[] = [];

  constructor(source: TimeSource = machine) {
    this.source = source;
  }

  now(): number {
    return (this.stoppedAt ?? this.source.now()) + this.offset;
  }

  wall(): number {
    return this.source.wall();
  }

  after(ms: number, fn: () => void): Timer {
    const entry = new Entry(this.now() + Math.max(0, ms), this.order++, fn, () =>
      this.timers.noteCancelled(),
    );
    this.timers.push(entry);
    this.arm();
    return entry;
  }

  /** Freezes `now()`; from then on only `warp` moves it. */
  stop(): void {
    // A whole number, so that what warps add up to is exact: ages are told in whole seconds of it.
    this.stoppedAt ??= Math.ceil(this.source.now());
    this.arm();
  }

  /**
   * Has `settle` awaited after each warp step: for work that the event loop does not see, such as a
   * worker thread's. It must return in bounded time.
   */
  onSettle(settle: () => Promise<void>): void {
    this.settlers.push(settle);
  }

  /**
   * Moves time forward by `total` milliseconds in steps of `step` (0 or less than `step`: one jump by
   * the amount given), and returns when what the last step set off has settled.
   */
  async warp(step: number, total = 0): Promise<void> {
    if (!(step > 0) || !(total >= 0)) throw new WeftError('invalid-msecs', 'invalid MSECS');
    if (this.warping) throw new WeftError('warp-in-progress', 'A previous warp in progress');
    this.warping = true;
    try {
      let left = total > 0 ? total : step;
      while (left > 0) {
        const jump = Math.min(left, step);
        left -= jump;
        this.offset += jump;
        await this.runDue();
        await this.settle();
      }
    } finally {
      this.warping = false;
      this.arm();
    }
  }

  private async runDue(): Promise<void> {
    // What the callbacks set for "now" waits for the next turn, so that a loop of them cannot hang a warp.
    const limit = this.order;
    for (let top = this.timers.top; top !== undefined && top.deadline <= this.now(); top = this.timers.top) {
      if (top.order >= limit) break;
      this.fire();
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
  }

  private async settle(): Promise<void> {
    this.arm();
    await new Promise<void>((resolve) => this.source.setTimeout(resolve, SETTLE_MS));
    for (const settle of this.settlers) await settle();
  }

  private fire(): void {
    const entry = this.timers.pop();
    const { fn } = entry;
    entry.fn = undefined;
    fn?.();
  }

  private arm(): void {
    const top = this.timers.top;
    const now = this.now();
    // While time stands still only timers that are due already can run.
    const wanted =
      top === undefined || (this.stoppedAt !== undefined && top.deadline > now)
        ? Number.POSITIVE_INFINITY
        : top.deadline;
    if (wanted === this.armedFor) return;
    if (this.armed !== undefined) clearTimeout(this.armed);
    this.armed = undefined;
    this.armedFor = wanted;
    if (wanted === Number.POSITIVE_INFINITY) return;
    const delay = Math.min(MAX_DELAY_MS, Math.max(0, Math.ceil(wanted - now)));
    this.armed = this.source.setTimeout(() => this.wake(), delay);
  }

  private wake(): void {
    this.armed = undefined;
    this.armedFor = Number.POSITIVE_INFINITY;
    const limit = this.order;
    const now = this.now();
    try {
      for (
        let top = this.timers.top;
        top !== undefined && top.deadline <= now && top.order < limit;
        top = this.timers.top
      ) {
        this.fire();
      }
    } finally {
      this.arm();
    }
  }
}

/** Lets `ovs-appctl` stop and warp `clock`. */
export function registerClockCommands(clock: DaemonClock, commands: CommandRegistry): void {
  commands.register('time/stop', '', 0, 0, () => {
    clock.stop();
    return undefined;
  });
  commands.register('time/warp', '[large_msecs] msecs', 1, 2, async (args) => {
    const numbers = args.map((a) => Number.parseInt(a, 10) || 0);
    await (numbers.length > 1 ? clock.warp(numbers[1], numbers[0]) : clock.warp(numbers[0]));
    return 'warped';
  });
}
