import type { RecordVisitor, RingBuffer } from '../../ebpf/ring-buffer.ts';
import { RingWaiter } from './ring-waiter.ts';

/** Records of one ring in one go, so that a flooded ring does not hold up the others. */
const RECORDS_A_GO = 32;
/** Goes through all rings in one turn of the event loop, so that the switch does other things meanwhile. */
const ROUNDS_A_TURN = 4;

export interface PumpOptions {
  readonly rings: readonly RingBuffer[];
  /** Readable when one of the rings is, or another source. */
  readonly fd: number;
  /** Takes a few packets from other sources; false: there was nothing. */
  readonly others: () => boolean;
  readonly visit: RecordVisitor;
  /** Called after each turn in which there was something. */
  readonly turned: () => void;
  /** Runs a function in the next turn of the event loop: `setImmediate`. */
  readonly defer: (fn: () => void) => void;
}

/**
 * Takes upcalls from the rings, a few from each in turn, and sleeps when all are empty. Ports share rings; a port
 * that floods its ring costs the others' upcalls one go of waiting at the most, and those on the same ring what
 * programs let it have of it.
 */
export class UpcallPump {
  readonly #options: PumpOptions;
  readonly #waiter: RingWaiter;
  #scheduled = false;
  #closed = false;

  constructor(options: PumpOptions) {
    this.#options = options;
    this.#waiter = new RingWaiter(options.fd, () => this.#schedule());
    this.#waiter.arm();
  }

  /** Takes all that is there now. */
  drainAll(): void {
    while (!this.#closed && this.#round()) this.#options.turned();
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#waiter.close();
  }

  #schedule(): void {
    if (this.#scheduled || this.#closed) return;
    this.#scheduled = true;
    this.#options.defer(() => {
      this.#scheduled = false;
      if (!this.#closed) this.#turn();
    });
  }

  #turn(): void {
    let any = false;
    for (let n = 0; n < ROUNDS_A_TURN && this.#round(); n++) any = true;
    if (any) {
      this.#options.turned();
      this.#schedule();
    } else this.#waiter.arm();
  }

  /** A few from each ring; false: there was nothing. */
  #round(): boolean {
    let any = this.#options.others();
    for (const ring of this.#options.rings) {
      if (ring.drain(this.#options.visit, RECORDS_A_GO) > 0) any = true;
    }
    return any;
  }
}
