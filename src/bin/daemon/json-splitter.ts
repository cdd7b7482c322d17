import { WeftError } from '../../base/errors.ts';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const isOpen = (c: number): boolean => c === 0x7b || c === 0x5b;
const isClose = (c: number): boolean => c === 0x7d || c === 0x5d;
const isSpace = (c: number): boolean => c === 0x20 || c === 0x0a || c === 0x0d || c === 0x09;

/**
 * Cuts a byte stream into the JSON objects that follow each other in it with nothing between them, as
 * JSON-RPC over a stream sends them (RFC 7047, section 4). It only counts brackets outside strings:
 * whether a piece is JSON is for the parser to say.
 */
export class JsonSplitter {
  private readonly limit: number;
  private readonly decoder = new TextDecoder('utf-8', { fatal: true });
  private parts: Uint8Array[] = [];
  private size = 0;
  private depth = 0;
  private inString = false;
  private escaped = false;

  /** `limit`: the most bytes that one object may have. */
  constructor(limit: number) {
    this.limit = limit;
  }

  /** Takes more bytes, and gives the texts of the objects that they complete. Throws `bad-json`. */
  push(bytes: Uint8Array): string[] {
    const texts: string[] = [];
    let start = 0;
    for (let i = 0; i < bytes.length; i++) {
      const c = bytes[i];
      if (this.inString) {
        if (this.escaped) this.escaped = false;
        else if (c === BACKSLASH) this.escaped = true;
        else if (c === QUOTE) this.inString = false;
      } else if (this.depth === 0) {
        if (isSpace(c)) {
          start = i + 1;
          continue;
        }
        if (!isOpen(c))
          throw new WeftError('bad-json', `byte 0x${c.toString(16)} where a JSON object should start`);
        this.depth = 1;
      } else if (c === QUOTE) this.inString = true;
      else if (isOpen(c)) this.depth++;
      else if (isClose(c) && --this.depth === 0) {
        this.keep(bytes.subarray(start, i + 1));
        texts.push(this.take());
        start = i + 1;
      }
    }
    if (this.depth > 0) this.keep(bytes.slice(start));
    return texts;
  }

  private keep(part: Uint8Array): void {
    this.size += part.length;
    if (this.size > this.limit)
      throw new WeftError('bad-json', `JSON object of more than ${this.limit} bytes`);
    this.parts.push(part);
  }

  private take(): string {
    const whole = this.parts.length === 1 ? this.parts[0] : Buffer.concat(this.parts);
    this.parts = [];
    this.size = 0;
    try {
      return this.decoder.decode(whole);
    } catch (cause) {
      throw new WeftError('bad-json', 'JSON object is not UTF-8', { cause });
    }
  }
}
