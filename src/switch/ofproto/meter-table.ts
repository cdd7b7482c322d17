import type { MeterCounts, MeterConfig as MeterLimits } from '../../datapath/types.ts';
import { MAX_METER_BANDS, MAX_METERS } from '../../datapath/userspace/meter-counters.ts';
import {
  OFPM_ALL,
  OFPM_CONTROLLER,
  OFPM_MAX,
  OFPM_SLOWPATH,
  OFPMF_BURST,
  OFPMF_KBPS,
  OFPMF_PKTPS,
  OFPMF_STATS,
} from '../../openflow/constants.ts';
import { OfError } from '../../openflow/errors.ts';
import type { MeterConfig } from '../../openflow/messages/meter.ts';
import type { DatapathMeters } from './datapath-meters.ts';

/** OFPMF_* that mean something to a datapath. */
export const METER_FLAGS = OFPMF_KBPS | OFPMF_PKTPS | OFPMF_BURST | OFPMF_STATS;

/** One OpenFlow meter. */
export interface Meter {
  config: MeterConfig;
  /** Its number in the datapath. */
  readonly datapathMeter: number;
  /** Clock.now() ms. */
  readonly created: number;
}

/** Whether a number is of a meter that may be made. */
function isValid(meter: number): boolean {
  return (meter >= 1 && meter <= OFPM_MAX) || meter === OFPM_SLOWPATH || meter === OFPM_CONTROLLER;
}

/** A band that names no burst may burst by what it passes in a second. */
function withBursts(config: MeterConfig): MeterConfig {
  const bands = config.bands.map((band) => ({ ...band, burstSize: band.burstSize || band.rate }));
  return { ...config, bands };
}

function limitsOf({ flags, bands }: MeterConfig): MeterLimits {
  return {
    unit: (flags & OFPMF_PKTPS) === 0 ? 'kilobits' : 'packets',
    bands: bands.map(({ rate, burstSize }) => ({ rate, burst: burstSize })),
  };
}

/** The meters of one bridge. */
export class MeterTable {
  readonly #datapath: DatapathMeters;
  readonly #meters = new Map<number, Meter>();

  constructor(datapath: DatapathMeters) {
    this.#datapath = datapath;
  }

  get(id: number): Meter | undefined {
    return this.#meters.get(id);
  }

  has(id: number): boolean {
    return this.#meters.has(id);
  }

  /** What it counted. */
  counts({ datapathMeter }: Meter): MeterCounts {
    return this.#datapath.counts(datapathMeter);
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
    checkPlace(config);
    if (this.#meters.has(config.meter)) {
      throw new OfError('OFPMMFC_METER_EXISTS', `meter ${config.meter} exists`);
    }
    if (this.#datapath.size >= MAX_METERS) {
      throw new OfError('OFPMMFC_OUT_OF_METERS', `the datapath has ${MAX_METERS} meters, no more fit`);
    }
    checkLimits(config);
    const filled = withBursts(config);
    const datapathMeter = this.#datapath.add(limitsOf(filled));
    this.#meters.set(config.meter, { config: filled, datapathMeter, created: now });
  }

  /** Counters start anew. @throws OfError, and then nothing has changed. */
  modify(config: MeterConfig): void {
    checkPlace(config);
    const meter = this.#meters.get(config.meter);
    if (meter === undefined)
      throw new OfError('OFPMMFC_UNKNOWN_METER', `meter ${config.meter} does not exist`);
    checkLimits(config);
    meter.config = withBursts(config);
    this.#datapath.set(meter.datapathMeter, limitsOf(meter.config));
  }

  /** Takes a meter away, or all; gives those that went. The datapath keeps them until `release`. */
  delete(id: number): Meter[] {
    const gone = id === OFPM_ALL || this.#meters.has(id) ? this.select(id) : [];
    for (const meter of gone) this.#meters.delete(meter.config.meter);
    return gone;
  }

  /** Takes deleted meters out of the datapath, when no flow leads to them any more. */
  release(meters: readonly Meter[]): void {
    for (const { datapathMeter } of meters) this.#datapath.delete(datapathMeter);
  }
}

/** Whether there can be such a meter. */
function checkPlace(config: MeterConfig): void {
  if (!isValid(config.meter)) {
    throw new OfError('OFPMMFC_INVALID_METER', `meter 0x${config.meter.toString(16)} cannot be`);
  }
  if (config.bands.length > MAX_METER_BANDS) {
    throw new OfError('OFPMMFC_OUT_OF_BANDS', `${config.bands.length} bands, at most ${MAX_METER_BANDS}`);
  }
}

/** Whether datapaths know how to do it. */
function checkLimits({ meter, flags, bands }: MeterConfig): void {
  if ((flags & ~METER_FLAGS) !== 0) {
    throw new OfError('OFPMMFC_BAD_FLAGS', `meter ${meter} has flags 0x${flags.toString(16)}`);
  }
  for (const { type, rate } of bands) {
    if (type !== 'drop') throw new OfError('OFPMMFC_BAD_BAND', `meter ${meter} has a band of type ${type}`);
    if (rate === 0) throw new OfError('OFPMMFC_BAD_RATE', `meter ${meter} has a band of rate 0`);
  }
}
