import { OFPM_ALL, OFPM_CONTROLLER, OFPM_MAX, OFPM_SLOWPATH } from '../../openflow/constants.ts';
import { OfError } from '../../openflow/errors.ts';
import type { MeterConfig } from '../../openflow/messages/meter.ts';

/** Meters that one bridge may have, and bands that one meter may have. */
export const MAX_METERS = 65_536;
export const MAX_BANDS = 8;

/** One OpenFlow meter. */
export interface Meter {
  config: MeterConfig;
  /** Clock.now() ms. */
  readonly created: number;
}

/** Whether a number is of a meter that may be made. */
function isValid(meter: number): boolean {
  return (meter >= 1 && meter <= OFPM_MAX) || meter === OFPM_SLOWPATH || meter === OFPM_CONTROLLER;
}

/** The meters of one bridge. */
export class MeterTable {
  readonly #meters = new Map<number, Meter>();

  get(id: number): Meter | undefined {
    return this.#meters.get(id);
  }

  has(id: number): boolean {
    return this.#meters.has(id);
  }

  /** By number; all for OFPM_ALL. @throws OfError where the number is of none. */
  select(id: number): Meter[] {
    if (id === OFPM_ALL) return [...this.#meters.values()].sort((a, b) => a.config.meter - b.config.meter);
    const meter = this.#meters.get(id);
    if (meter === undefined) throw new OfError('OFPMMFC_UNKNOWN_METER', `meter ${id} does not exist`);
    return [meter];
  }

  /** @throws OfError, and then nothing has changed. */
  add(config: MeterConfig, now: number): void {
    this.#check(config);
    if (this.#meters.has(config.meter)) {
      throw new OfError('OFPMMFC_METER_EXISTS', `meter ${config.meter} exists`);
    }
    if (this.#meters.size >= MAX_METERS) {
      throw new OfError('OFPMMFC_OUT_OF_METERS', `the bridge has ${MAX_METERS} meters, no more fit`);
    }
    this.#meters.set(config.meter, { config, created: now });
  }

  /** @throws OfError, and then nothing has changed. */
  modify(config: MeterConfig): void {
    const meter = this.#meters.get(config.meter);
    this.#check(config);
    if (meter === undefined)
      throw new OfError('OFPMMFC_UNKNOWN_METER', `meter ${config.meter} does not exist`);
    meter.config = config;
  }

  /** Takes a meter away, or all; gives those that went. */
  delete(id: number): Meter[] {
    const gone = id === OFPM_ALL ? this.select(id) : this.#meters.has(id) ? this.select(id) : [];
    for (const meter of gone) this.#meters.delete(meter.config.meter);
    return gone;
  }

  #check(config: MeterConfig): void {
    if (!isValid(config.meter)) {
      throw new OfError('OFPMMFC_INVALID_METER', `meter 0x${config.meter.toString(16)} cannot be`);
    }
    if (config.bands.length > MAX_BANDS) {
      throw new OfError('OFPMMFC_OUT_OF_BANDS', `${config.bands.length} bands, at most ${MAX_BANDS}`);
    }
  }
}
