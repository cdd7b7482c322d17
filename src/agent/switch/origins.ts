/**
 * Which API object each flow comes from, as a number in its cookie. Numbers are this agent's own; the flows in the switch
 * carry them over a restart of the agent.
 *
 * A cookie is our mark in the upper half, and the number in the lower; 0 is a flow of no object. What has no such mark
 * is not ours.
 */

/** "weft" */
const MARK = 0x77656674n << 32n;
export const COOKIE_MASK = 0xffff_ffffn << 32n;
export const COOKIE_MARK = MARK;

export function cookieOf(number: number): bigint {
  return MARK | BigInt(number);
}

/** The number in a cookie; undefined: it is not ours. */
export function numberOf(cookie: bigint): number | undefined {
  return (cookie & COOKIE_MASK) === MARK ? Number(cookie & 0xffff_ffffn) : undefined;
}

export class Origins {
  readonly #numbers = new Map<string, { readonly number: number; uses: number }>();
  readonly #origins = new Map<number, string>();
  #next = 1;

  /** What a switch has from before: no new origin gets a number up to this one. */
  reserve(number: number): void {
    if (number >= this.#next) this.#next = number + 1;
  }

  /** The origin's number, for one more flow. A new origin gets `hint` if no other has that. */
  retain(origin: string | undefined, hint?: number): number {
    if (origin === undefined) return 0;
    let entry = this.#numbers.get(origin);
    if (entry === undefined) {
      const free = hint !== undefined && hint > 0 && !this.#origins.has(hint);
      const number = free ? hint : this.#next++;
      this.reserve(number);
      entry = { number, uses: 0 };
      this.#numbers.set(origin, entry);
      this.#origins.set(number, origin);
    }
    entry.uses++;
    return entry.number;
  }

  /** One flow less. */
  release(origin: string | undefined): void {
    if (origin === undefined) return;
    const entry = this.#numbers.get(origin);
    if (entry === undefined || --entry.uses > 0) return;
    this.#numbers.delete(origin);
    this.#origins.delete(entry.number);
  }

  /** The origin that a flow's cookie names. */
  of(cookie: bigint): string | undefined {
    const number = numberOf(cookie);
    return number === undefined ? undefined : this.#origins.get(number);
  }
}
