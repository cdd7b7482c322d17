/** Which conntrack zone each port of a host has. */

/** Zone 0 is the host's own. */
const FIRST = 1;
const LAST = 0xffff;

/**
 * Gives zones in a circle, so that one that was given back is taken again as late as can be. What a zone holds when it is
 * taken is its last owner's: it has to be flushed first.
 */
export class ZoneBook {
  readonly #zones = new Map<number, number>();
  readonly #used = new Set<number>();
  #next = FIRST;

  get(port: number): number | undefined {
    return this.#zones.get(port);
  }

  /** What the switch says that a port has: it keeps it. False: another port has it, or it has another. */
  adopt(port: number, zone: number): boolean {
    if (zone < FIRST || zone > LAST || this.#used.has(zone) || this.#zones.has(port)) return false;
    this.#zones.set(port, zone);
    this.#used.add(zone);
    if (zone >= this.#next) this.#next = zone === LAST ? FIRST : zone + 1;
    return true;
  }

  /** A zone for a port that has none; undefined: all are taken. */
  take(port: number): number | undefined {
    if (this.#used.size > LAST - FIRST) return undefined;
    while (this.#used.has(this.#next)) this.#advance();
    const zone = this.#next;
    this.#advance();
    this.#zones.set(port, zone);
    this.#used.add(zone);
    return zone;
  }

  /** Gives the port's zone back. */
  release(port: number): number | undefined {
    const zone = this.#zones.get(port);
    if (zone === undefined) return undefined;
    this.#zones.delete(port);
    this.#used.delete(zone);
    return zone;
  }

  #advance(): void {
    this.#next = this.#next === LAST ? FIRST : this.#next + 1;
  }
}
