import { WeftError } from '../../base/errors.ts';
import type { MeterConfig, MeterCounts } from '../types.ts';
import { MeterBank } from './meter-bank.ts';
import { MAX_METER_BANDS, MAX_METERS, MeterCounters } from './meter-counters.ts';

/** Which meters there are, for whoever orders them, and what they counted. */
export class MeterBook {
  readonly counters = new MeterCounters();
  /** Bands of each. */
  readonly #bands = new Map<number, number>();

  /** @throws WeftError `bad-meter` */
  note(meter: number, { bands }: MeterConfig): void {
    if (!(meter >= 0 && meter < MAX_METERS) || bands.length > MAX_METER_BANDS) {
      throw new WeftError('bad-meter', `meter ${meter} with ${bands.length} bands is not possible`, {
        remedy: `Numbers are below ${MAX_METERS}, and bands at most ${MAX_METER_BANDS}.`,
      });
    }
    const weak = bands.find(({ rate }) => rate <= 0);
    if (weak !== undefined) {
      throw new WeftError('bad-meter', `meter ${meter} has a band of rate ${weak.rate}`, {
        remedy: 'A rate is 1 or more; drop packets that nothing of shall pass by an empty action list.',
      });
    }
    this.counters.reserve(meter);
    this.#bands.set(meter, bands.length);
  }

  forget(meter: number): void {
    this.#bands.delete(meter);
  }

  /** Zeros for one that is not there. */
  counts(meter: number): MeterCounts {
    const bands = this.#bands.get(meter);
    return bands === undefined ? { packets: 0, bytes: 0, bands: [] } : this.counters.counts(meter, bands);
  }
}

/** The meters of a datapath that forwards in the thread that orders them. */
export class DatapathMeters {
  readonly #book = new MeterBook();
  /** What the core asks. */
  readonly bank = new MeterBank(this.#book.counters);

  /** @throws WeftError `bad-meter` */
  set(meter: number, config: MeterConfig, now: number): void {
    this.#book.note(meter, config);
    this.bank.set(meter, config, now);
  }
  delete(meter: number): void {
    this.#book.forget(meter);
    this.bank.delete(meter);
  }
  counts(meter: number): MeterCounts {
    return this.#book.counts(meter);
  }
}
