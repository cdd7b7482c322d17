/** Passes shorter than this, ms, show that there is room for more megaflows; longer than these, for fewer. */
const EASY_MS = 1000;
const LONG_MS = 1300;
const TOO_LONG_MS = 2000;
/** Never less than this, unless the database says so. */
const LOWEST = 1000;

/**
 * How many megaflows there may be: at most what is configured, and no more than one pass over all of them
 * can look at in time. The steps are Open vSwitch's (`upcall/show`, "limit"), but that it begins with the
 * whole, not with a twentieth.
 */
export class FlowLimit {
  #configured: number;
  #current: number;

  constructor(configured: number) {
    this.#configured = configured;
    this.#current = configured;
  }

  get current(): number {
    return this.#current;
  }

  /** The most that it may be (other_config:flow-limit). */
  set configured(limit: number) {
    if (limit === this.#configured) return;
    this.#configured = limit;
    this.#current = limit;
  }

  /** `upcall/set-flow-limit`: the limit from now on; passes that are fast or slow change it again. */
  set(limit: number): void {
    this.#current = Math.min(limit, this.#configured);
  }

  /** Learns from a pass over `flows` megaflows that took `ms`. */
  adapt(ms: number, flows: number): void {
    const duration = Math.max(1, ms);
    let limit = this.#current;
    if (duration > TOO_LONG_MS) limit = Math.floor((limit * 1000) / duration);
    else if (duration > LONG_MS) limit = Math.floor((limit * 3) / 4);
    else if (duration < EASY_MS && limit < (flows * 1000) / duration) limit += 1000;
    else return;
    this.#current = Math.min(this.#configured, Math.max(limit, LOWEST));
  }
}
