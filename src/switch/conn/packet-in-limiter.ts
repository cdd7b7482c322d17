import type { Clock, Timer } from '../../base/clock.ts';
import type { OfMessage } from '../../openflow/message.ts';

export interface LimiterSettings {
  /** Messages a second; 0: no limit. */
  readonly rateLimit: number;
  /** Messages that may be sent at once after a quiet time; 0: as many as the rate. */
  readonly burstLimit: number;
  /** Messages that wait at the most, of all ports together. */
  readonly maxQueued: number;
}

/**
 * Holds packet-ins back to a rate (vswitchd.conf.db(5), Controller: controller_rate_limit). A token bucket
 * lets messages through; those that find it empty wait, in a queue for each input port, and go in turn, so
 * that one busy port doesn't starve the others. When too many wait, the longest queue loses its oldest.
 */
export class PacketInLimiter {
  readonly #clock: Clock;
  readonly #send: (message: OfMessage) => void;
  readonly #settings: LimiterSettings;
  /** By input port; the port whose turn is next comes first. */
  readonly #queues = new Map<number, OfMessage[]>();
  #queued = 0;
  #tokens: number;
  #filled: number;
  #timer: Timer | null = null;
  /** Messages given up since the start. */
  dropped = 0;

  constructor(clock: Clock, settings: LimiterSettings, send: (message: OfMessage) => void) {
    this.#clock = clock;
    this.#send = send;
    this.#settings = settings;
    this.#tokens = this.#burst;
    this.#filled = clock.now();
  }

  get queued(): number {
    return this.#queued;
  }

  get #burst(): number {
    const { rateLimit, burstLimit } = this.#settings;
    return Math.max(1, burstLimit || rateLimit);
  }

  /** Sends a message that is about a packet of `port`, now or later or, where too many wait, never. */
  push(port: number, message: OfMessage): void {
    if (this.#settings.rateLimit === 0 || (this.#queued === 0 && this.#takeToken())) {
      this.#send(message);
      return;
    }
    const queue = this.#queues.get(port);
    if (queue === undefined) this.#queues.set(port, [message]);
    else queue.push(message);
    this.#queued++;
    if (this.#queued > this.#settings.maxQueued) this.#dropFromLongest();
    this.#arm();
  }

  close(): void {
    this.#timer?.cancel();
    this.#queues.clear();
    this.#queued = 0;
  }

  #takeToken(): boolean {
    // Settings may change while messages wait.
    if (this.#settings.rateLimit === 0) return true;
    const now = this.#clock.now();
    const earned = ((now - this.#filled) * this.#settings.rateLimit) / 1000;
    this.#tokens = Math.min(this.#burst, this.#tokens + earned);
    this.#filled = now;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }

  #dropFromLongest(): void {
    let longest: { port: number; queue: OfMessage[] } | null = null;
    for (const [port, queue] of this.#queues) {
      if (longest === null || queue.length > longest.queue.length) longest = { port, queue };
    }
    if (longest === null) return;
    longest.queue.shift();
    if (longest.queue.length === 0) this.#queues.delete(longest.port);
    this.#queued--;
    this.dropped++;
  }

  #arm(): void {
    if (this.#timer !== null || this.#queued === 0) return;
    const wait = Math.max(1, Math.ceil(((1 - this.#tokens) * 1000) / (this.#settings.rateLimit || 1000)));
    this.#timer = this.#clock.after(wait, () => {
      this.#timer = null;
      this.#drain();
      this.#arm();
    });
  }

  /** Sends what there are tokens for, one of each port in turn. */
  #drain(): void {
    while (this.#queued > 0 && this.#takeToken()) {
      const [entry] = this.#queues;
      const [port, queue] = entry;
      this.#queues.delete(port);
      const message = queue.shift();
      if (queue.length > 0) this.#queues.set(port, queue);
      this.#queued--;
      if (message !== undefined) this.#send(message);
    }
  }
}
