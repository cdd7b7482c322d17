/**
 * How every parser of this layer is made.
 *
 * A format is a small value (`Udp`, `Ipv4`, ...) with
 * - `parseX(b, at, end)`: a checked read of the header at `at` from bytes that end at `end`. It never
 *   throws and never reads outside: it returns the value and where its payload is, or says as a
 *   {@link Malformed} what is wrong.
 * - `xLength(value)`: the bytes that its header takes.
 * - `emitX(value, b, at)`: writes the header; the caller has made room. Fields that depend on what
 *   follows (lengths, checksums, the next protocol) are optional in the value: a parser gives them as
 *   they stand, a missing one is written as 0 and filled in by `buildPacket` (packet.ts).
 *
 * Numbers are plain, addresses are bytes of their own (copies, never views of the packet).
 */
export class Malformed {
  readonly protocol: string;
  readonly reason: string;
  /** Offset in the buffer of the header that is bad. */
  readonly at: number;

  constructor(protocol: string, reason: string, at: number) {
    this.protocol = protocol;
    this.reason = reason;
    this.at = at;
  }

  toString(): string {
    return `${this.protocol} at byte ${this.at}: ${this.reason}`;
  }
}

/** A header, and the bytes that it says are its payload. */
export interface Parsed<T> {
  readonly value: T;
  /** First byte of the payload. */
  readonly next: number;
  /** End of the payload: `end`, or earlier where the header tells a length (padding follows). */
  readonly end: number;
}

/** "needs 8 bytes, has 3" */
export function tooShort(protocol: string, at: number, end: number, needed: number): Malformed {
  return new Malformed(protocol, `needs ${needed} bytes, has ${Math.max(0, end - at)}`, at);
}
