/** The port's traffic is watched for at least so long. */
const DECAY_MS = 2000;

/**
 * Finds out whether a port carries anything besides control packets: one that doesn't needs fewer of them
 * (`decay_min_rx`). Times are whole milliseconds of the session's clock.
 */
export class Decay {
  readonly #rxPackets: () => number;
  #before = 0;
  #controlPackets = 0;
  /** When the port will have been watched for long enough. */
  dueAt = 0;
  /** What the last look said. */
  idle = false;

  /** `rxPackets`: what the port has received up to now. */
  constructor(rxPackets: () => number) {
    this.#rxPackets = rxPackets;
  }

  /** Starts to watch. */
  restart(now: number, decayMinRx: number): void {
    this.#before = this.#rxPackets();
    this.#controlPackets = 0;
    this.dueAt = now + Math.max(decayMinRx, DECAY_MS);
  }

  noteControl(): void {
    this.#controlPackets++;
  }

  /** Looks, and starts to watch again. */
  look(now: number, decayMinRx: number): void {
    // Twice as many, as counters of devices may come late.
    this.idle = this.#rxPackets() - this.#before <= 2 * Math.max(this.#controlPackets, 1);
    this.restart(now, decayMinRx);
  }
}
