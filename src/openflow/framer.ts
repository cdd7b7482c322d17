/**
 * Cuts a byte stream into OpenFlow messages, however the bytes come in chunks. It holds at most one
 * unfinished message, so at most 64 kB.
 */
import { OfError } from './errors.ts';
import { HEADER_LENGTH } from './raw.ts';

export class Framer {
  /** A message whose end has not come yet: the first `held` bytes; grown once its length is known. */
  private partial = new Uint8Array(HEADER_LENGTH);
  private held = 0;

  /**
   * Set once a header claims a length below 8, after which the stream's messages can no longer be told
   * apart: close the connection.
   */
  error: OfError | null = null;

  /** Bytes that wait for more. */
  get pending(): number {
    return this.held;
  }

  /**
   * Takes the stream's next bytes; returns the messages that they complete. Those that lie within `chunk` are views of its
   * memory, which must not be written to while they are in use, and which stays as long as one of them is kept.
   */
  push(chunk: Uint8Array): Uint8Array[] {
    const messages: Uint8Array[] = [];
    let at = 0;
    while (at < chunk.length && this.error === null) {
      if (this.held === 0 && chunk.length - at >= HEADER_LENGTH) {
        const length = this.lengthIn(chunk, at);
        if (length > 0 && at + length <= chunk.length) {
          messages.push(new Uint8Array(chunk.buffer, chunk.byteOffset + at, length));
          at += length;
          continue;
        }
        if (length === 0) break;
      }
      at += this.hold(chunk, at);
      if (this.held < HEADER_LENGTH) break;
      const length = this.lengthIn(this.partial, 0);
      if (length === 0) break;
      if (this.held === length) {
        messages.push(this.partial.slice(0, length));
        this.partial = new Uint8Array(HEADER_LENGTH);
        this.held = 0;
      } else if (this.partial.length < length) {
        const grown = new Uint8Array(length);
        grown.set(this.partial);
        this.partial = grown;
      }
    }
    return messages;
  }

  /** The length that the header at `at` claims; 0, and an error noted, if it cannot be. */
  private lengthIn(bytes: Uint8Array, at: number): number {
    const length = bytes[at + 2] * 256 + bytes[at + 3];
    if (length >= HEADER_LENGTH) return length;
    this.error = new OfError(
      'OFPBRC_BAD_LEN',
      `OpenFlow header claims a length of ${length}, at least ${HEADER_LENGTH}`,
    );
    return 0;
  }

  /** Moves bytes from the chunk to the partial message, as many as have room; returns how many. */
  private hold(chunk: Uint8Array, at: number): number {
    const n = Math.min(this.partial.length - this.held, chunk.length - at);
    this.partial.set(chunk.subarray(at, at + n), this.held);
    this.held += n;
    return n;
  }
}
