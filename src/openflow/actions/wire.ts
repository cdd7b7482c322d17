import { be16, be32, be64 } from '../big-endian.ts';
import { OfError, type OfErrorName } from '../errors.ts';
import { NX_VENDOR, ONF_VENDOR } from '../version.ts';

/** Actions and instructions are multiples of 8 bytes long. */
export const ALIGN = 8;
/** Type that announces an experimenter's action. */
export const OFPAT_VENDOR = 0xffff;
/** Longest action or instruction. */
export const MAX_LENGTH = 0xfff8;

export function refuse(error: OfErrorName, message: string): never {
  throw new OfError(error, message);
}

export function roundUp8(n: number): number {
  return (n + 7) & ~7;
}

/** Bytes of one action, read by offset. Callers know the length: a form's minimum, checked before it is decoded. */
export class ActionBytes {
  readonly data: Uint8Array;

  constructor(data: Uint8Array) {
    this.data = data;
  }

  get length(): number {
    return this.data.length;
  }

  u8(at: number): number {
    return this.data[at];
  }

  u16(at: number): number {
    return be16(this.data, at);
  }

  u32(at: number): number {
    return be32(this.data, at);
  }

  u64(at: number): bigint {
    return be64(this.data, at);
  }

  /** Big-endian number of any length. */
  uint(at: number, bytes: number): bigint {
    return toBigInt(this.data.subarray(at, at + bytes));
  }

  /** A copy. */
  bytes(from: number, to: number): Uint8Array {
    return this.data.slice(from, to);
  }

  isZero(from: number, to: number = this.data.length): boolean {
    for (let i = from; i < to; i++) if (this.data[i] !== 0) return false;
    return true;
  }

  /** Padding and reserved bytes that must be zero. */
  expectZero(from: number, to: number, error: OfErrorName): void {
    if (!this.isZero(from, to)) refuse(error, `bytes ${from} to ${to - 1} of the action are not zero`);
  }
}

export function toBigInt(bytes: Uint8Array): bigint {
  let value = 0n;
  let i = 0;
  for (; i + 4 <= bytes.length; i += 4) {
    const word = ((bytes[i] << 24) | (bytes[i + 1] << 16) | (bytes[i + 2] << 8) | bytes[i + 3]) >>> 0;
    value = (value << 32n) | BigInt(word);
  }
  for (; i < bytes.length; i++) value = (value << 8n) | BigInt(bytes[i]);
  return value;
}

/** Grows as actions are put into it. */
export class ActionWriter {
  private buffer = new Uint8Array(256);
  private view = new DataView(this.buffer.buffer);
  private used = 0;

  get length(): number {
    return this.used;
  }

  /** What has been written; valid until the next write. */
  finish(): Uint8Array {
    return this.buffer.slice(0, this.used);
  }

  /** Makes room, perhaps in a new buffer, so that this comes before `this.buffer` is looked at. */
  private reserve(bytes: number): number {
    const at = this.used;
    const needed = at + bytes;
    if (needed > this.buffer.length) {
      const bigger = new Uint8Array(Math.max(needed, 2 * this.buffer.length));
      bigger.set(this.buffer);
      this.buffer = bigger;
      this.view = new DataView(bigger.buffer);
    }
    this.used = needed;
    return at;
  }

  u8(value: number): void {
    const at = this.reserve(1);
    this.view.setUint8(at, value);
  }

  u16(value: number): void {
    const at = this.reserve(2);
    this.view.setUint16(at, value);
  }

  u32(value: number): void {
    const at = this.reserve(4);
    this.view.setUint32(at, value);
  }

  u64(value: bigint): void {
    const at = this.reserve(8);
    this.view.setBigUint64(at, value);
  }

  /** Big-endian, of any length; higher bits are dropped. */
  uint(value: bigint, bytes: number): void {
    const at = this.reserve(bytes);
    let rest = value;
    for (let i = bytes - 1; i >= 0; i--) {
      this.buffer[at + i] = Number(rest & 0xffn);
      rest >>= 8n;
    }
  }

  bytes(data: Uint8Array): void {
    const at = this.reserve(data.length);
    this.buffer.set(data, at);
  }

  zeros(n: number): void {
    const at = this.reserve(n);
    this.buffer.fill(0, at, at + n);
  }

  /** Forgets what was written from `length` on. */
  truncate(length: number): void {
    this.used = length;
  }

  /** Starts an action of a standard type; its length is filled in by {@link end}. */
  standard(type: number): number {
    const start = this.used;
    this.u16(type);
    this.u16(0);
    return start;
  }

  /** Starts an action of an experimenter; what it holds begins after 10 bytes. */
  vendor(vendor: number, subtype: number): number {
    const start = this.standard(OFPAT_VENDOR);
    this.u32(vendor);
    this.u16(subtype);
    return start;
  }

  nx(subtype: number): number {
    return this.vendor(NX_VENDOR, subtype);
  }

  onf(subtype: number): number {
    return this.vendor(ONF_VENDOR, subtype);
  }

  /** Ends the action or instruction begun at `start`: pads it with zeros, to `length` if given, and notes its length. */
  end(start: number, length: number = roundUp8(this.used - start)): void {
    const missing = length - (this.used - start);
    if (missing > 0) this.zeros(missing);
    const total = this.used - start;
    if (total > MAX_LENGTH) {
      refuse('OFPBAC_BAD_LEN', `an action of ${total} bytes cannot be written, ${MAX_LENGTH} is the most`);
    }
    this.view.setUint16(start + 2, total);
  }

  patch16(at: number, value: number): void {
    this.view.setUint16(at, value);
  }
}
