/**
 * Big-endian reads and writes over bytes, and the texts of addresses. None of these checks bounds: a
 * read past the end gives 0 (a typed array yields `undefined`, which the bit operations take as 0), a
 * write past the end is lost. Callers check lengths once, at the top of a parser.
 */

export function get16(b: Uint8Array, at: number): number {
  return (b[at] << 8) | b[at + 1];
}

export function get24(b: Uint8Array, at: number): number {
  return (b[at] << 16) | (b[at + 1] << 8) | b[at + 2];
}

/** Unsigned. */
export function get32(b: Uint8Array, at: number): number {
  return ((b[at] << 24) | (b[at + 1] << 16) | (b[at + 2] << 8) | b[at + 3]) >>> 0;
}

export function put16(b: Uint8Array, at: number, value: number): void {
  b[at] = value >>> 8;
  b[at + 1] = value;
}

export function put24(b: Uint8Array, at: number, value: number): void {
  b[at] = value >>> 16;
  b[at + 1] = value >>> 8;
  b[at + 2] = value;
}

export function put32(b: Uint8Array, at: number, value: number): void {
  b[at] = value >>> 24;
  b[at + 1] = value >>> 16;
  b[at + 2] = value >>> 8;
  b[at + 3] = value;
}

/** The bytes from `from` up to `to` as one unsigned integer. */
export function getBig(b: Uint8Array, from: number, to: number): bigint {
  let value = 0n;
  for (let i = from; i < to; i++) value = (value << 8n) | BigInt(b[i]);
  return value;
}

/** Writes the low `length` bytes of `value` at `at`. */
export function putBig(b: Uint8Array, at: number, length: number, value: bigint): void {
  let rest = value;
  for (let i = length - 1; i >= 0; i--) {
    b[at + i] = Number(rest & 0xffn);
    rest >>= 8n;
  }
}

/** True where both hold the same bytes. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

export function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const out = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

const HEX = '0123456789abcdef';

/** Two lower-case hexadecimal digits a byte, with `separator` between bytes. */
export function toHex(b: Uint8Array, separator = ''): string {
  let text = '';
  for (let i = 0; i < b.length; i++) {
    if (i > 0) text += separator;
    text += HEX[b[i] >> 4] + HEX[b[i] & 15];
  }
  return text;
}

/** Reads hexadecimal digits, white space ignored. Null: an odd number of digits, or something else. */
export function fromHex(text: string): Uint8Array | null {
  const digits = text.replace(/\s+/g, '');
  if (digits.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(digits)) return null;
  const out = new Uint8Array(digits.length / 2);
  for (let i = 0; i < out.length; i++) out[i] = Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16);
  return out;
}
