/** A zone's limit; `zone` null: that of every zone without its own. */
export interface ZoneLimit {
  readonly zone: number | null;
  readonly limit: number;
  readonly count: number;
}

interface Limit {
  readonly zone: number | null;
  readonly serial: number;
  limit: number;
  count: number;
}

/**
 * How many connections a zone may have. As in Open vSwitch, a connection counts for the limit under which it was let in:
 * that of its zone, or the default one, which all zones without their own share; and a limit counts only connections that
 * began after it was set.
 */
export class ZoneLimits {
  readonly #zones = new Map<number | null, Limit>();
  readonly #bySerial = new Map<number, Limit>();
  #serial = 0;

  set(zone: number | null, limit: number): void {
    const known = this.#zones.get(zone);
    if (known !== undefined) {
      known.limit = limit;
      return;
    }
    const made: Limit = { zone, serial: ++this.#serial, limit, count: 0 };
    this.#zones.set(zone, made);
    this.#bySerial.set(made.serial, made);
  }
  /** False: there was none. */
  delete(zone: number | null): boolean {
    const known = this.#zones.get(zone);
    if (known === undefined) return false;
    this.#zones.delete(zone);
    this.#bySerial.delete(known.serial);
    return true;
  }
  get(zone: number | null): ZoneLimit | undefined {
    return this.#zones.get(zone);
  }
  list(): ZoneLimit[] {
    return [...this.#zones.values()];
  }

  /** Serial number of the limit that a new connection of the zone counts for; 0: none does; -1: it is reached. */
  admit(zone: number): number {
    if (this.#zones.size === 0) return 0;
    const limit = this.#zones.get(zone) ?? this.#zones.get(null);
    if (limit === undefined) return 0;
    return limit.count >= limit.limit ? -1 : limit.serial;
  }
  enter(serial: number): void {
    const limit = this.#bySerial.get(serial);
    if (limit !== undefined) limit.count++;
  }
  leave(serial: number): void {
    const limit = this.#bySerial.get(serial);
    if (limit !== undefined) limit.count--;
  }
}
