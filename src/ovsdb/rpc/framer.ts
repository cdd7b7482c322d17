import { JsonSyntaxError, MAX_DEPTH } from './parse.ts';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

/**
 * Cuts a byte stream into JSON texts, which follow each other with nothing or space between. It counts
 * brackets and knows strings, but checks no more: that is the parser's work. It may be fed any pieces,
 * down to single bytes, and never looks at a byte twice.
 */
export class Framer {
  #maxBytes: number;
  readonly #decoder = new TextDecoder('utf-8', { fatal: true });
  #parts: Uint8Array[] = [];
  #size = 0;
  #depth = 0;
  #inString = false;
  #escaped = false;

  /** @param maxBytes the largest text that is accepted */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Takes no larger text from now on. */
  limit(maxBytes: number): void {
    this.#maxBytes = maxBytes;
  }

  /** Whether a text has begun and not ended. */
  get partial(): boolean {
    return this.#depth > 0;
  }

  /**
   * Takes the next bytes and calls `emit` for each text that they complete. Throws `JsonSyntaxError`
   * if they cannot be JSON or exceed a limit; the framer is then of no further use.
   */
  feed(bytes: Uint8Array, emit: (text: string) => void): void {
    let start = 0;
    let i = 0;
    while (i < bytes.length) {
      if (this.#depth === 0) {
        const byte = bytes[i];
        if (isSpace(byte)) {
          start = ++i;
          continue;
        }
        if (byte !== OPEN_BRACE && byte !== OPEN_BRACKET) {
          throw new JsonSyntaxError('syntax error at beginning of input');
        }
      }
      i = this.#scan(bytes, i);
      if (this.#depth === 0) {
        emit(this.#take(bytes.subarray(start, i)));
        start = i;
      }
    }
    if (this.#depth > 0 && start < bytes.length) this.#keep(bytes.slice(start));
  }

  /** Scans from `i` to the end of the text or of the bytes; gives back the position behind. */
  #scan(bytes: Uint8Array, from: number): number {
    let i = from;
    let depth = this.#depth;
    let inString = this.#inString;
    let escaped = this.#escaped;
    for (; i < bytes.length; i++) {
      const byte = bytes[i];
      if (inString) {
        if (escaped) escaped = false;
        else if (byte === BACKSLASH) escaped = true;
        else if (byte === QUOTE) inString = false;
      } else if (byte === QUOTE) {
        inString = true;
      } else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
        if (++depth > MAX_DEPTH)
          throw new JsonSyntaxError(`input exceeds maximum nesting depth ${MAX_DEPTH}`);
      } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
        if (--depth === 0) {
          i++;
          break;
        }
      }
    }
    this.#depth = depth;
    this.#inString = inString;
    this.#escaped = escaped;
    return i;
  }

  #keep(bytes: Uint8Array): void {
    this.#size += bytes.length;
    if (this.#size > this.#maxBytes) {
      throw new JsonSyntaxError(`message exceeds ${this.#maxBytes} bytes`);
    }
    this.#parts.push(bytes);
  }

  #take(last: Uint8Array): string {
    let whole = last;
    if (this.#parts.length > 0) {
      this.#keep(last);
      whole = new Uint8Array(this.#size);
      let at = 0;
      for (const part of this.#parts) {
        whole.set(part, at);
        at += part.length;
      }
      this.#parts = [];
      this.#size = 0;
    } else if (last.length > this.#maxBytes) {
      throw new JsonSyntaxError(`message exceeds ${this.#maxBytes} bytes`);
    }
    try {
      return this.#decoder.decode(whole);
    } catch {
      throw new JsonSyntaxError('message is not valid UTF-8');
    }
  }
}
