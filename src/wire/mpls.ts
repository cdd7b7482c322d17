import { get32, put32 } from './bytes.ts';
import { type Malformed, type Parsed, tooShort } from './malformed.ts';

/** One MPLS label stack entry (RFC 3032, traffic class as of RFC 5462). */
export interface Mpls {
  readonly layer: 'mpls';
  /** 20 bits. */
  readonly label: number;
  readonly tc: number;
  /** Bottom of stack: no further label. */
  readonly bos?: boolean;
  readonly ttl: number;
}

export const MPLS_HEADER = 4;

/** The label stack entry as a 32-bit word. */
export function mplsWord(value: Mpls): number {
  return ((value.label << 12) | (value.tc << 9) | (value.bos ? 0x100 : 0) | value.ttl) >>> 0;
}

export function mplsOfWord(word: number): Mpls {
  return {
    layer: 'mpls',
    label: word >>> 12,
    tc: (word >>> 9) & 7,
    bos: (word & 0x100) !== 0,
    ttl: word & 0xff,
  };
}

export function parseMpls(b: Uint8Array, at: number, end: number): Parsed<Mpls> | Malformed {
  if (end - at < MPLS_HEADER) return tooShort('MPLS', at, end, MPLS_HEADER);
  return { value: mplsOfWord(get32(b, at)), next: at + MPLS_HEADER, end };
}

export function emitMpls(value: Mpls, b: Uint8Array, at: number): void {
  put32(b, at, mplsWord(value));
}
