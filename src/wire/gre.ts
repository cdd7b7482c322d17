import { get16, get32, put16, put32 } from './bytes.ts';
import { Malformed, type Parsed, tooShort } from './malformed.ts';

/** GRE header (RFC 2784, key and sequence number of RFC 2890; NVGRE of RFC 7637 is one with key). */
export interface Gre {
  readonly layer: 'gre';
  readonly protocol?: number;
  /** Undefined: absent. With `checksum: 0`, `buildPacket` fills it in. */
  readonly checksum?: number;
  readonly key?: number;
  readonly sequence?: number;
}

export const GRE_MIN_HEADER = 4;
const HAS_CHECKSUM = 0x8000;
const HAS_KEY = 0x2000;
const HAS_SEQUENCE = 0x1000;

export function greLength(value: Gre): number {
  const words = [value.checksum, value.key, value.sequence].filter((word) => word !== undefined);
  return GRE_MIN_HEADER + 4 * words.length;
}

/** Version 0 without routing only. */
export function parseGre(b: Uint8Array, at: number, end: number): Parsed<Gre> | Malformed {
  if (end - at < GRE_MIN_HEADER) return tooShort('GRE', at, end, GRE_MIN_HEADER);
  const flags = get16(b, at);
  if ((flags & 0x4007) !== 0)
    return new Malformed('GRE', `flags 0x${flags.toString(16)}: routing or version not supported`, at);
  let p = at + GRE_MIN_HEADER;
  const needed =
    GRE_MIN_HEADER +
    (flags & HAS_CHECKSUM ? 4 : 0) +
    (flags & HAS_KEY ? 4 : 0) +
    (flags & HAS_SEQUENCE ? 4 : 0);
  if (end - at < needed) return tooShort('GRE', at, end, needed);
  const word = (): number => {
    p += 4;
    return get32(b, p - 4);
  };
  const checksum = flags & HAS_CHECKSUM ? word() >>> 16 : undefined;
  const key = flags & HAS_KEY ? word() : undefined;
  const sequence = flags & HAS_SEQUENCE ? word() : undefined;
  return { value: { layer: 'gre', protocol: get16(b, at + 2), checksum, key, sequence }, next: p, end };
}

export function emitGre(value: Gre, b: Uint8Array, at: number): void {
  put16(
    b,
    at,
    (value.checksum !== undefined ? HAS_CHECKSUM : 0) |
      (value.key !== undefined ? HAS_KEY : 0) |
      (value.sequence !== undefined ? HAS_SEQUENCE : 0),
  );
  put16(b, at + 2, value.protocol ?? 0);
  let p = at + GRE_MIN_HEADER;
  if (value.checksum !== undefined) {
    put16(b, p, value.checksum);
    put16(b, p + 2, 0);
    p += 4;
  }
  for (const word of [value.key, value.sequence]) {
    if (word === undefined) continue;
    put32(b, p, word);
    p += 4;
  }
}
