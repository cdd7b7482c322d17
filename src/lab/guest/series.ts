/** Echo requests at a steady pace, and what became of each: for what a change of the network costs. */
import { POLLIN, PollSet } from '../../sys/poll.ts';
import { make } from '../../wire/index.ts';
import { echoRequest, familyOf, KernelLink, replySequence } from './pinger.ts';
import type { SeriesOutcome } from './protocol.ts';

/** Keeps a series apart from other pings of the same process. */
const IDENTIFIER_XOR = 0x5a5a;
/** Sequence numbers have 16 bits; a series ends by itself before they come round. */
const MAX_ECHOES = 60_000;
/** How long the last replies are waited for. */
const TAIL_MS = 1000;

export class PingSeries {
  readonly #link: KernelLink;
  readonly #address: string;
  readonly #intervalMs: number;
  readonly #poll = new PollSet(1);
  readonly #identifier = (process.pid & 0xffff) ^ IDENTIFIER_XOR;
  /** When each was sent, and its reply came; NaN: not. */
  readonly #sent: number[] = [];
  readonly #replied: number[] = [];
  readonly #over: Promise<void>;
  #duplicates = 0;
  #stopAt = Number.POSITIVE_INFINITY;

  constructor(address: string, intervalMs: number) {
    this.#address = address;
    this.#intervalMs = intervalMs;
    this.#link = new KernelLink(familyOf(address));
    this.#poll.set(0, this.#link.fd, POLLIN);
    // Fails here and now, and not in the loop, for what is no address.
    make.ip(address);
    this.#over = this.#run();
  }

  async #run(): Promise<void> {
    const started = performance.now();
    let next = started;
    for (;;) {
      const now = performance.now();
      const sending = this.#stopAt === Number.POSITIVE_INFINITY && this.#sent.length < MAX_ECHOES;
      if (!sending) {
        if (this.#stopAt === Number.POSITIVE_INFINITY) this.#stopAt = now;
        const complete = this.#replied.every((at) => !Number.isNaN(at));
        if (complete || now - this.#stopAt > TAIL_MS) return;
      }
      while (sending && next <= performance.now()) {
        this.#send();
        next += this.#intervalMs;
      }
      if (this.#poll.wait(1) > 0) this.#link.receive((message) => this.#take(message));
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  #send(): void {
    const sequence = this.#sent.length;
    this.#sent.push(performance.now());
    this.#replied.push(Number.NaN);
    this.#link.request(
      { address: this.#address, expected: true },
      echoRequest(this.#link.family, this.#identifier, sequence),
    );
  }

  #take(message: Uint8Array): void {
    const sequence = replySequence(this.#link.family, this.#identifier, message);
    if (sequence === undefined || sequence >= this.#sent.length) return;
    if (!Number.isNaN(this.#replied[sequence])) this.#duplicates++;
    else this.#replied[sequence] = performance.now();
  }

  /** Ends the series; what it has seen. */
  async stop(): Promise<SeriesOutcome> {
    if (this.#stopAt === Number.POSITIVE_INFINITY) this.#stopAt = performance.now();
    await this.#over;
    this.#poll.close();
    this.#link.close();
    const sent = this.#sent;
    const lost = this.#replied.filter((at) => Number.isNaN(at)).length;
    let gapMs = 0;
    let first = -1;
    this.#replied.forEach((at, i) => {
      if (!Number.isNaN(at)) first = -1;
      else {
        if (first < 0) first = i;
        gapMs = Math.max(gapMs, sent[i] - sent[first] + this.#intervalMs);
      }
    });
    const rtts = this.#replied
      .flatMap((at, i) => (Number.isNaN(at) ? [] : [at - sent[i]]))
      .sort((a, b) => a - b);
    return {
      sent: sent.length,
      lost,
      duplicates: this.#duplicates,
      gapMs,
      medianMs: rtts[rtts.length >> 1] ?? Number.NaN,
    };
  }
}
