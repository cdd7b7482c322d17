import type { Clock } from '../base/clock.ts';

/** Failed attempts of one address at once, and how long one of them counts. */
const BURST = 20;
const PERIOD_MS = 1000;
/** Addresses remembered; of more, the oldest are forgotten. */
const MAX_ADDRESSES = 4096;

/**
 * How often somebody at an address has failed to say who they are. Slows down who tries and errs; a right token
 * gets through all the same, since several people may stand behind one address.
 */
export class Attempts {
  readonly #clock: Clock;
  /** When each address will have paid for its failures (a leaky bucket as one number). */
  readonly #paid = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Notes a failure. The result is how many seconds the address should wait; 0 while it is within its burst. */
  failed(address: string): number {
    const now = this.#clock.now();
    const paid = Math.max(this.#paid.get(address) ?? 0, now) + PERIOD_MS;
    const ahead = paid - now - BURST * PERIOD_MS;
    this.#paid.delete(address);
    // What is over the limit is refused, and not charged: or who errs much would never be heard again.
    this.#paid.set(address, ahead > 0 ? paid - PERIOD_MS : paid);
    if (this.#paid.size > MAX_ADDRESSES) this.#paid.delete(this.#paid.keys().next().value!);
    return ahead > 0 ? Math.ceil(ahead / 1000) : 0;
  }
}
