import { get16, get32, put16, put32 } from './bytes.ts';
import { type Malformed, type Parsed, tooShort } from './malformed.ts';

/** ICMP (RFC 792) or ICMPv6 (RFC 4443): both begin alike; the checksum of ICMPv6 covers a pseudo header. */
export interface Icmp {
  readonly layer: 'icmp' | 'icmpv6';
  readonly type: number;
  readonly code: number;
  readonly checksum?: number;
  /** The second word: identifier and sequence of echoes, MTU, pointer, flags of ND, or unused. */
  readonly rest: number;
}

export const ICMP_HEADER = 8;
export const ICMP_CHECKSUM = 2;

export const ICMP_ECHO_REPLY = 0;
export const ICMP_UNREACHABLE = 3;
export const ICMP_REDIRECT = 5;
export const ICMP_ECHO_REQUEST = 8;
export const ICMP_TIME_EXCEEDED = 11;
export const ICMPV6_UNREACHABLE = 1;
export const ICMPV6_PACKET_TOO_BIG = 2;
export const ICMPV6_TIME_EXCEEDED = 3;
export const ICMPV6_ECHO_REQUEST = 128;
export const ICMPV6_ECHO_REPLY = 129;

export function parseIcmp(
  b: Uint8Array,
  at: number,
  end: number,
  layer: Icmp['layer'] = 'icmp',
): Parsed<Icmp> | Malformed {
  if (end - at < ICMP_HEADER) return tooShort(layer === 'icmp' ? 'ICMP' : 'ICMPv6', at, end, ICMP_HEADER);
  return {
    value: {
      layer,
      type: b[at],
      code: b[at + 1],
      checksum: get16(b, at + ICMP_CHECKSUM),
      rest: get32(b, at + 4),
    },
    next: at + ICMP_HEADER,
    end,
  };
}

export function emitIcmp(value: Icmp, b: Uint8Array, at: number): void {
  b[at] = value.type;
  b[at + 1] = value.code;
  put16(b, at + ICMP_CHECKSUM, value.checksum ?? 0);
  put32(b, at + 4, value.rest);
}
