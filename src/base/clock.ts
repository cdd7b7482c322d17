/** Anything that can be cancelled once. Cancelling twice, or after it fired, does nothing. */
export interface Timer {
  cancel(): void;
}

/**
 * The only source of time below `bin`. Everything that waits or measures takes a `Clock` in its
 * constructor, so that a test (or `ovs-appctl time/warp`) can stop time and move it.
 */
export interface Clock {
  /** Monotonic time in milliseconds since some fixed point; may have a fraction. Never goes back. */
  now(): number;
  /** Milliseconds since the Unix epoch. */
  wall(): number;
  /** Runs `fn` once, `ms` milliseconds from `now()`. */
  after(ms: number, fn: () => void): Timer;
}
