import type { Counters } from '../../base/coverage.ts';
import type { Datapath } from '../../datapath/types.ts';

/** What Open vSwitch calls the counters of the reasons that it has as well. */
const KNOWN_NAMES: Readonly<Record<string, string>> = {
  explicit: 'drop_action_of_pipeline',
  'no-such-port': 'datapath_drop_invalid_port',
  'recirculation-depth': 'datapath_drop_recirc_error',
  meter: 'datapath_drop_meter',
  malformed: 'datapath_drop_rx_invalid_packet',
};
/** Packets that had to come up, and for which there was no room. */
const LOST = 'datapath_drop_upcall_error';

/**
 * Carries over what datapaths dropped into the daemon's event counters: where `KNOWN_NAMES` has no name,
 * "datapath_drop_" and the reason. Counts stay when a datapath goes.
 */
export class DropCounters {
  readonly #counters: Counters;
  /** What was carried over from each, by name of the event counter. */
  readonly #carried = new WeakMap<Datapath, Map<string, number>>();

  constructor(counters: Counters) {
    this.#counters = counters;
    for (const name of [...Object.values(KNOWN_NAMES), LOST]) counters.counter(name);
  }

  /** Adds what `datapaths` dropped since the last call. */
  collect(datapaths: Iterable<Datapath>): void {
    for (const datapath of datapaths) {
      const carried = this.#carried.get(datapath) ?? new Map<string, number>();
      this.#carried.set(datapath, carried);
      this.#carry(carried, LOST, datapath.stats().lost);
      for (const [reason, count] of Object.entries(datapath.drops()))
        this.#carry(carried, nameOf(reason), count);
    }
  }

  #carry(carried: Map<string, number>, name: string, count: number): void {
    const before = carried.get(name) ?? 0;
    // A datapath that had to be started anew counts from 0 again.
    this.#counters.counter(name).add(count < before ? count : count - before);
    carried.set(name, count);
  }
}

function nameOf(reason: string): string {
  return KNOWN_NAMES[reason] ?? `datapath_drop_${reason.replaceAll('-', '_')}`;
}
