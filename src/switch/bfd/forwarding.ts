import {
  BFD_DIAG_CONCATENATED_PATH_DOWN,
  BFD_DIAG_PATH_DOWN,
  BFD_DIAG_REVERSE_CONCATENATED_PATH_DOWN,
} from '../../wire/bfd.ts';

/** Traffic counts as a sign of life for at least so long. */
const TRAFFIC_MS = 2000;
/** One control packet must come in so many of the session's own intervals for traffic to count. */
const DEMAND_INTERVALS = 100;

/** Diagnostics of a neighbor whose session works but that can't forward. */
const PATH_DOWN: ReadonlySet<number> = new Set([
  BFD_DIAG_PATH_DOWN,
  BFD_DIAG_CONCATENATED_PATH_DOWN,
  BFD_DIAG_REVERSE_CONCATENATED_PATH_DOWN,
]);

/**
 * Whether a session's port forwards. Besides the session being up, two things decide: what the neighbor
 * says of the path behind it, and, where traffic counts as well (`forwarding_if_rx`), whether anything at
 * all comes in. Times are whole milliseconds of the session's clock.
 */
export class Forwarding {
  #judged = false;
  #trafficUntil = 0;
  #demandUntil = 0;
  #override: boolean | null = null;
  /** How often the judgement has changed. */
  flaps = 0;

  get value(): boolean {
    return this.#override ?? this.#judged;
  }

  /** An operator's word, which stands until it is taken back by null; not a flap. */
  override(value: boolean | null): void {
    this.#override = value;
  }

  /** True if it changed. */
  judge(now: number, up: boolean, remoteDiagnostic: number): boolean {
    if (this.#override !== null) return false;
    const alive = up || this.#trafficEnd > now;
    const judged = alive && !PATH_DOWN.has(remoteDiagnostic);
    if (judged === this.#judged) return false;
    this.#judged = judged;
    this.flaps++;
    return true;
  }

  /** Something came in; the neighbor would be missed after `detection` ms. */
  noteTraffic(now: number, detection: number): void {
    this.#trafficUntil = now + Math.max(detection, TRAFFIC_MS);
  }

  forgetTraffic(): void {
    this.#trafficUntil = 0;
  }

  noteControl(now: number, minRx: number): void {
    this.#demandUntil = now + DEMAND_INTERVALS * minRx;
  }

  /** Until when only traffic keeps the port forwarding; Infinity: something else does, or nothing. */
  end(up: boolean): number {
    return up || this.#override !== null || !this.#judged ? Number.POSITIVE_INFINITY : this.#trafficEnd;
  }

  get #trafficEnd(): number {
    return Math.min(this.#trafficUntil, this.#demandUntil);
  }
}
