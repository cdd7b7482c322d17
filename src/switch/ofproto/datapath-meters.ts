import type { Datapath, MeterConfig, MeterCounts } from '../../datapath/types.ts';

/** Hands out the numbers of a datapath's meters to all bridges on it: the lowest that is free. */
export class DatapathMeters {
  readonly #datapath: Datapath;
  readonly #used = new Set<number>();
  /** All below are taken. */
  #next = 0;

  constructor(datapath: Datapath) {
    this.#datapath = datapath;
  }

  /** Makes a meter and gives its number. @throws WeftError `bad-meter` */
  add(config: MeterConfig): number {
    let number = this.#next;
    while (this.#used.has(number)) number++;
    this.#datapath.meterSet(number, config);
    this.#used.add(number);
    this.#next = number + 1;
    return number;
  }

  /** Replaces a meter: full buckets, counters 0. */
  set(number: number, config: MeterConfig): void {
    this.#datapath.meterSet(number, config);
  }

  delete(number: number): void {
    this.#datapath.meterDelete(number);
    this.#used.delete(number);
    this.#next = Math.min(this.#next, number);
  }

  counts(number: number): MeterCounts {
    return this.#datapath.meterCounts(number);
  }

  get size(): number {
    return this.#used.size;
  }
}
