import { ActionWriter } from './actions/wire.ts';
import { be16, be32, be64, putBe32 } from './big-endian.ts';
import { OfError, type OfErrorName } from './errors.ts';

/**
 * Reads big-endian values from a range of bytes. Reading past the range's end throws an
 * {@link OfError}: `OFPBRC_BAD_LEN` unless another was given for this range.
 */
export class Reader {
  readonly bytes: Uint8Array;
  readonly end: number;
  pos: number;
  private readonly error: OfErrorName;

  constructor(bytes: Uint8Array, error: OfErrorName = 'OFPBRC_BAD_LEN', start = 0, end = bytes.length) {
    this.bytes = bytes;
    this.pos = start;
    this.end = end;
    this.error = error;
  }

  get left(): number {
    return this.end - this.pos;
  }

  private take(n: number): number {
    const at = this.pos;
    if (at + n > this.end) {
      throw new OfError(this.error, `${n} bytes wanted at offset ${at}, ${this.end - at} are left`);
    }
    this.pos = at + n;
    return at;
  }

  u8(): number {
    return this.bytes[this.take(1)];
  }

  u16(): number {
    return be16(this.bytes, this.take(2));
  }

  u32(): number {
    return be32(this.bytes, this.take(4));
  }

  u64(): bigint {
    return be64(this.bytes, this.take(8));
  }

  /** An unsigned number of `n` bytes. */
  uint(n: number): bigint {
    if (n === 4) return BigInt(this.u32());
    if (n === 2) return BigInt(this.u16());
    let at = this.take(n);
    let value = 0n;
    const end = at + n;
    while (at < end) {
      const step = Math.min(4, end - at);
      let word = 0;
      for (let i = 0; i < step; i++) word = word * 256 + this.bytes[at + i];
      value = (value << BigInt(8 * step)) | BigInt(word);
      at += step;
    }
    return value;
  }

  skip(n: number): void {
    this.take(n);
  }

  /** A copy of the next `n` bytes. */
  read(n: number): Uint8Array {
    const at = this.take(n);
    return new Uint8Array(this.bytes.subarray(at, at + n));
  }

  /** A copy of all bytes that are left. */
  rest(): Uint8Array {
    return this.read(this.left);
  }

  /** A reader of the next `n` bytes, which this one then has behind it. */
  sub(n: number, error: OfErrorName = this.error): Reader {
    const at = this.take(n);
    return new Reader(this.bytes, error, at, at + n);
  }

  /** Whether the next `n` bytes are all 0; skips them. */
  zeros(n: number): boolean {
    const at = this.take(n);
    for (let i = at; i < at + n; i++) if (this.bytes[i] !== 0) return false;
    return true;
  }

  /** A text in a field of `n` bytes: up to the first 0, and at most n - 1 bytes. */
  text(n: number): string {
    const at = this.take(n);
    let end = at;
    while (end < at + n - 1 && this.bytes[end] !== 0) end++;
    return utf8.decode(this.bytes.subarray(at, end));
  }
}

const utf8 = new TextDecoder('utf-8');
const toUtf8 = new TextEncoder();

/** Grows as big-endian values are appended. */
export class Writer {
  private buffer: Uint8Array;
  private actionWriter: ActionWriter | null = null;
  length = 0;

  /** Up to 64 bytes need no memory outside the heap: most replies are that short. */
  constructor(capacity = 64) {
    this.buffer = new Uint8Array(capacity);
  }

  /** Appends `n` zeros; returns where they start. */
  zeros(n: number): number {
    const at = this.length;
    const need = at + n;
    if (need > this.buffer.length) {
      const grown = new Uint8Array(Math.max(need, this.buffer.length * 2));
      grown.set(this.buffer.subarray(0, at));
      this.buffer = grown;
    }
    this.length = need;
    return at;
  }

  u8(value: number): void {
    const at = this.zeros(1);
    this.buffer[at] = value;
  }

  u16(value: number): void {
    this.setU16(this.zeros(2), value);
  }

  u32(value: number): void {
    this.setU32(this.zeros(4), value);
  }

  u64(value: bigint): void {
    const at = this.zeros(8);
    this.setU32(at, Number((value >> 32n) & 0xffffffffn));
    this.setU32(at + 4, Number(value & 0xffffffffn));
  }

  /** The low `n` bytes, at most 4, of a number of up to 32 bits. */
  number(value: number, n: number): void {
    const at = this.zeros(n);
    let rest = value;
    for (let i = n - 1; i >= 0; i--) {
      this.buffer[at + i] = rest & 0xff;
      rest >>>= 8;
    }
  }

  /** For lists of actions that are put in here when they are done; one at a time. */
  get actions(): ActionWriter {
    this.actionWriter ??= new ActionWriter();
    this.actionWriter.truncate(0);
    return this.actionWriter;
  }

  /** The low `n` bytes of a number. */
  uint(value: bigint, n: number): void {
    const at = this.zeros(n);
    let rest = value;
    for (let i = n; i > 0; ) {
      const step = Math.min(4, i);
      let word = Number(rest & 0xffffffffn);
      for (let k = 0; k < step; k++) {
        this.buffer[at + --i] = word & 0xff;
        word >>>= 8;
      }
      rest >>= 32n;
    }
  }

  put(bytes: Uint8Array): void {
    const at = this.zeros(bytes.length);
    this.buffer.set(bytes, at);
  }

  /** A text in a field of `n` bytes, cut so that a 0 follows it. Never cut within a character. */
  text(value: string, n: number): void {
    const at = this.zeros(n);
    toUtf8.encodeInto(value, this.buffer.subarray(at, at + n - 1));
  }

  /** Appends zeros until the length since `start` is a multiple of `multiple`. */
  pad(multiple: number, start = 0): void {
    const over = (this.length - start) % multiple;
    if (over > 0) this.zeros(multiple - over);
  }

  setU8(at: number, value: number): void {
    this.buffer[at] = value;
  }

  setU16(at: number, value: number): void {
    this.buffer[at] = value >>> 8;
    this.buffer[at + 1] = value;
  }

  setU32(at: number, value: number): void {
    putBe32(this.buffer, at, value);
  }

  /** Forgets all after `length`. */
  truncate(length: number): void {
    this.buffer.fill(0, length, this.length);
    this.length = length;
  }

  /** A copy of the bytes from `start` on. */
  slice(start = 0, end = this.length): Uint8Array {
    return this.buffer.slice(start, end);
  }
}

/** `n` rounded up to a multiple of `multiple`. */
export function roundUp(n: number, multiple: number): number {
  return Math.ceil(n / multiple) * multiple;
}
