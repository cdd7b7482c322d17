/**
 * Event counters with rates over the last 5 seconds, minute and hour, as `ovs-appctl coverage/show`
 * prints them. Counting is an addition; rates are taken by `tick()`, which the owner calls about every
 * five seconds (late calls spread what happened over the slots they missed).
 */
import type { Clock } from './clock.ts';

/** Milliseconds in one rate slot. */
export const COVERAGE_SLOT_MS = 5000;
const SLOTS_PER_MINUTE = 12;
const MINUTES = 60;
const SLOTS = SLOTS_PER_MINUTE * MINUTES;

/** Counts one kind of event. */
export interface Counter {
  readonly name: string;
  readonly total: number;
  /** Adds `n` events, one by default. */
  add(n?: number): void;
}

/** Where a part of a daemon takes its counters from; the same name gives the same counter. */
export interface Counters {
  counter(name: string): Counter;
}

class SlottedCounter implements Counter {
  readonly name: string;
  total = 0;
  private seen = 0;
  /** Events of each of the last twelve slots, and of each of the last sixty minutes. */
  private readonly slots = new Float64Array(SLOTS_PER_MINUTE);
  private readonly minutes = new Float64Array(MINUTES);

  constructor(name: string) {
    this.name = name;
  }

  add(n = 1): void {
    this.total += n;
  }

  /** Spreads what was counted since the last call over `slots` slots that begin at slot `first`. */
  close(first: number, slots: number): void {
    const fresh = this.total - this.seen;
    this.seen = this.total;
    const share = Math.floor(fresh / slots);
    for (let i = 0; i < slots; i++) {
      const slot = (first + i) % SLOTS;
      const minute = Math.floor(slot / SLOTS_PER_MINUTE);
      const count = share + (i === slots - 1 ? fresh % slots : 0);
      this.slots[slot % SLOTS_PER_MINUTE] = count;
      this.minutes[minute] = slot % SLOTS_PER_MINUTE === 0 ? count : this.minutes[minute] + count;
    }
  }

  /** Events a second over the last closed slot, minute and hour; `next` is the slot now open. */
  rates(next: number): [number, number, number] {
    const last = this.slots[(next + SLOTS_PER_MINUTE - 1) % SLOTS_PER_MINUTE];
    const sum = (values: Float64Array): number => values.reduce((a, b) => a + b, 0);
    return [(last * 1000) / COVERAGE_SLOT_MS, sum(this.slots) / 60, sum(this.minutes) / 3600];
  }
}

/** All counters of one daemon. */
export class Coverage implements Counters {
  private readonly byName = new Map<string, SlottedCounter>();
  private readonly collectors: (() => void)[] = [];
  private readonly clock: Clock;
  private slot = 0;
  private slotEnd: number;

  constructor(clock: Clock) {
    this.clock = clock;
    this.slotEnd = clock.now() + COVERAGE_SLOT_MS;
  }

  counter(name: string): Counter {
    let counter = this.byName.get(name);
    if (counter === undefined) {
      counter = new SlottedCounter(name);
      this.byName.set(name, counter);
    }
    return counter;
  }

  /** Has `collect` called before counters are read, to add what is counted elsewhere. */
  collectFrom(collect: () => void): void {
    this.collectors.push(collect);
  }

  /** How often `name` happened, or undefined if no part of the daemon counts it. */
  read(name: string): number | undefined {
    this.collect();
    return this.byName.get(name)?.total;
  }

  /** Closes the rate slots that are over. */
  tick(): void {
    const now = this.clock.now();
    if (now < this.slotEnd) return;
    this.collect();
    const slots = Math.floor((now - this.slotEnd) / COVERAGE_SLOT_MS) + 1;
    // More than an hour late: what happened before the last hour shows in no rate.
    const counted = Math.min(slots, SLOTS);
    for (const counter of this.byName.values()) counter.close(this.slot, counted);
    this.slot = (this.slot + counted) % SLOTS;
    this.slotEnd += slots * COVERAGE_SLOT_MS;
  }

  /** The report of `coverage/show`. */
  show(): string {
    this.tick();
    this.collect();
    const counters = [...this.byName.values()];
    const hit = counters.filter((c) => c.total > 0);
    const lines = [
      `Event coverage, avg rate over last: ${COVERAGE_SLOT_MS / 1000} seconds, last minute, last hour,  hash=${fingerprint(hit)}:`,
    ];
    for (const c of hit) {
      const [slot, minute, hour] = c.rates(this.slot);
      lines.push(
        `${c.name.padEnd(24)} ${slot.toFixed(1).padStart(5)}/sec ${minute.toFixed(3).padStart(9)}/sec ` +
          `${hour.toFixed(4).padStart(13)}/sec   total: ${c.total}`,
      );
    }
    lines.push(`${counters.length - hit.length} events never hit`);
    return `${lines.join('\n')}\n`;
  }

  private collect(): void {
    for (const collect of this.collectors) collect();
  }
}

/** Eight hex digits that are equal when the same events rank in the same order (FNV-1a over the names). */
function fingerprint(counters: readonly Counter[]): string {
  const ranked = [...counters].sort((a, b) => b.total - a.total || (a.name < b.name ? -1 : 1));
  let hash = 0x811c9dc5;
  for (const char of ranked.map((c) => c.name).join('\n')) {
    hash = Math.imul(hash ^ char.codePointAt(0)!, 0x01000193) >>> 0;
  }
  return hash.toString(16).padStart(8, '0');
}
