import type { MeterCounts } from '../types.ts';

/** Meters that a datapath may have; their numbers are below it. Open vSwitch's number. */
export const MAX_METERS = 1 << 18;
/** Bands that one meter may have. Open vSwitch's number. */
export const MAX_METER_BANDS = 8;

/** Doubles of one meter: packets and bytes that came, then of each band those that it dropped. */
const STRIDE = 2 + 2 * MAX_METER_BANDS;
/** Meters that the memory grows by at a time. */
const GROWTH = 256;

/**
 * What meters counted, in memory that grows with their numbers and that threads share: the one that forwards writes,
 * another reads, and that one makes room before it orders a meter.
 */
export class MeterCounters {
  readonly memory: SharedArrayBuffer;
  readonly #cells: Float64Array;

  /** @param memory that of another thread's; none: new */
  constructor(memory?: SharedArrayBuffer) {
    this.memory = memory ?? new SharedArrayBuffer(0, { maxByteLength: MAX_METERS * STRIDE * 8 });
    this.#cells = new Float64Array(this.memory);
  }

  /** Makes room for a meter's counters. */
  reserve(meter: number): void {
    const needed = (meter + 1) * STRIDE * 8;
    if (this.memory.byteLength >= needed) return;
    this.memory.grow(Math.min(needed + GROWTH * STRIDE * 8, MAX_METERS * STRIDE * 8));
  }

  clear(meter: number): void {
    this.#cells.fill(0, meter * STRIDE, (meter + 1) * STRIDE);
  }

  /** A packet came to a meter. */
  came(meter: number, bytes: number): void {
    this.#count(meter * STRIDE, bytes);
  }
  /** A band of it dropped the packet. */
  dropped(meter: number, band: number, bytes: number): void {
    this.#count(meter * STRIDE + 2 + 2 * band, bytes);
  }
  #count(at: number, bytes: number): void {
    this.#cells[at] = this.#cells[at] + 1;
    this.#cells[at + 1] = this.#cells[at + 1] + bytes;
  }

  /** What a meter of so many bands counted. */
  counts(meter: number, bands: number): MeterCounts {
    const at = meter * STRIDE;
    return {
      packets: this.#cells[at] ?? 0,
      bytes: this.#cells[at + 1] ?? 0,
      bands: Array.from({ length: bands }, (_, i) => ({
        packets: this.#cells[at + 2 + 2 * i] ?? 0,
        bytes: this.#cells[at + 3 + 2 * i] ?? 0,
      })),
    };
  }
}
