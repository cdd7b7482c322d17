import type { Packet } from '../packet/packet.ts';
import type { MeterConfig } from '../types.ts';
import type { Meters } from './core.ts';
import type { MeterCounters } from './meter-counters.ts';

/**
 * The meters of a datapath: token buckets, one a band.
 *
 * A bucket holds thousandths of packets, or bits: what `rate` packets/s or kbit/s put in within a millisecond is then
 * `rate` either way. It starts full, with 1000 x `burst`. A packet takes out what it is, of every band where there is
 * enough; if some band has too little, the packet is dropped and counts as that band's, the one of the highest rate where
 * there are several.
 *
 * Time counts in whole milliseconds, and a pause for no more of them than it takes to fill the slowest bucket, rounded
 * down: so a bucket refills as Open vSwitch's do, to the packet.
 */
export class MeterBank implements Meters {
  readonly #counters: MeterCounters;
  readonly #meters = new Map<number, Meter>();

  constructor(counters: MeterCounters) {
    this.#counters = counters;
  }

  /** Makes a meter or replaces it: full buckets, counters 0. There must be room for its counters. */
  set(number: number, config: MeterConfig, now: number): void {
    const bands = config.bands.map(({ rate, burst }) => ({ rate, size: burst * 1000, level: burst * 1000 }));
    const longest = Math.max(0, ...bands.map(({ rate, size }) => Math.floor(size / rate)));
    this.#meters.set(number, { packets: config.unit === 'packets', longest, used: Math.floor(now), bands });
    this.#counters.clear(number);
  }

  delete(number: number): void {
    this.#meters.delete(number);
  }

  /** A packet of a meter that is not there passes. */
  admit(number: number, packet: Packet, now: number): boolean {
    const meter = this.#meters.get(number);
    if (meter === undefined) return true;
    const millisecond = Math.floor(now);
    const passed = Math.min(Math.max(0, millisecond - meter.used), meter.longest);
    meter.used = millisecond;
    this.#counters.came(number, packet.length);
    const volume = meter.packets ? 1000 : packet.length * 8;
    let exceeded = -1;
    for (let i = 0; i < meter.bands.length; i++) {
      const band = meter.bands[i];
      band.level = Math.min(band.size, band.level + passed * band.rate);
      if (band.level >= volume) band.level -= volume;
      else if (exceeded < 0 || band.rate > meter.bands[exceeded].rate) exceeded = i;
    }
    if (exceeded < 0) return true;
    this.#counters.dropped(number, exceeded, packet.length);
    return false;
  }
}

interface Meter {
  /** Counts packets, not bits. */
  readonly packets: boolean;
  /** Milliseconds of a pause that count. */
  readonly longest: number;
  /** Millisecond of the last packet. */
  used: number;
  readonly bands: readonly Band[];
}

interface Band {
  readonly rate: number;
  /** Thousandths of packets, or bits. */
  readonly size: number;
  level: number;
}
