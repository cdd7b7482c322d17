import { get16, get32, put16, put32 } from './bytes.ts';
import { Malformed, type Parsed, tooShort } from './malformed.ts';

/** IPv6 header (RFC 8200). */
export interface Ipv6 {
  readonly layer: 'ipv6';
  readonly trafficClass: number;
  /** 20 bits. */
  readonly label: number;
  readonly payloadLength?: number;
  readonly nextHeader?: number;
  readonly hopLimit: number;
  readonly src: Uint8Array;
  readonly dst: Uint8Array;
}

/** Hop-by-hop (0), routing (43) and destination options (60); AH (51), whose length counts otherwise. */
export interface Ipv6Extension {
  readonly layer: 'ipv6ext';
  readonly kind: number;
  readonly nextHeader?: number;
  /** All after the first two bytes. Length + 2 is a multiple of 8 (AH: of 4), at least 8. */
  readonly data: Uint8Array;
}

export interface Ipv6Fragment {
  readonly layer: 'ipv6frag';
  readonly nextHeader?: number;
  /** In units of 8 bytes. */
  readonly offset: number;
  readonly more: boolean;
  readonly id: number;
}

export const IPV6_HEADER = 40;
export const IPV6_FRAGMENT_HEADER = 8;
export const NEXT_HOP_BY_HOP = 0;
export const NEXT_ROUTING = 43;
export const NEXT_FRAGMENT = 44;
export const NEXT_AH = 51;
export const NEXT_NONE = 59;
export const NEXT_DESTINATION = 60;

const LENGTH = 4;
const NEXT = 6;
const HOP_LIMIT = 7;
const SRC = 8;
const DST = 24;

/** Bytes beyond the payload length are padding. Jumbograms (length 0) are not supported: no payload. */
export function parseIpv6(b: Uint8Array, at: number, end: number): Parsed<Ipv6> | Malformed {
  if (end - at < IPV6_HEADER) return tooShort('IPv6', at, end, IPV6_HEADER);
  const first = get32(b, at);
  if (first >>> 28 !== 6) return new Malformed('IPv6', `version ${first >>> 28}`, at);
  const payloadLength = get16(b, at + LENGTH);
  const next = at + IPV6_HEADER;
  if (payloadLength > end - next) {
    return new Malformed('IPv6', `payload length ${payloadLength}, but ${end - next} bytes follow`, at);
  }
  return {
    value: {
      layer: 'ipv6',
      trafficClass: (first >>> 20) & 0xff,
      label: first & 0xfffff,
      payloadLength,
      nextHeader: b[at + NEXT],
      hopLimit: b[at + HOP_LIMIT],
      src: b.slice(at + SRC, at + DST),
      dst: b.slice(at + DST, next),
    },
    next,
    end: next + payloadLength,
  };
}

export function emitIpv6(value: Ipv6, b: Uint8Array, at: number): void {
  put32(b, at, ((6 << 28) | (value.trafficClass << 20) | value.label) >>> 0);
  put16(b, at + LENGTH, value.payloadLength ?? 0);
  b[at + NEXT] = value.nextHeader ?? 0;
  b[at + HOP_LIMIT] = value.hopLimit;
  b.set(value.src, at + SRC);
  b.set(value.dst, at + DST);
}

export function isIpv6Extension(kind: number): boolean {
  return kind === NEXT_HOP_BY_HOP || kind === NEXT_ROUTING || kind === NEXT_DESTINATION || kind === NEXT_AH;
}

/** @param kind the next-header value in front */
export function parseIpv6Extension(
  b: Uint8Array,
  at: number,
  end: number,
  kind: number,
): Parsed<Ipv6Extension> | Malformed {
  if (end - at < 8) return tooShort('IPv6 extension header', at, end, 8);
  const length = kind === NEXT_AH ? (b[at + 1] + 2) * 4 : (b[at + 1] + 1) * 8;
  if (end - at < length) return tooShort('IPv6 extension header', at, end, length);
  return {
    value: { layer: 'ipv6ext', kind, nextHeader: b[at], data: b.slice(at + 2, at + length) },
    next: at + length,
    end,
  };
}

export function ipv6ExtensionLength(value: Ipv6Extension): number {
  return value.data.length + 2;
}

export function emitIpv6Extension(value: Ipv6Extension, b: Uint8Array, at: number): void {
  const length = ipv6ExtensionLength(value);
  b[at] = value.nextHeader ?? NEXT_NONE;
  b[at + 1] = value.kind === NEXT_AH ? length / 4 - 2 : length / 8 - 1;
  b.set(value.data, at + 2);
}

export function parseIpv6Fragment(b: Uint8Array, at: number, end: number): Parsed<Ipv6Fragment> | Malformed {
  if (end - at < IPV6_FRAGMENT_HEADER) return tooShort('IPv6 fragment header', at, end, IPV6_FRAGMENT_HEADER);
  const word = get16(b, at + 2);
  return {
    value: {
      layer: 'ipv6frag',
      nextHeader: b[at],
      offset: word >> 3,
      more: (word & 1) !== 0,
      id: get32(b, at + 4),
    },
    next: at + IPV6_FRAGMENT_HEADER,
    end,
  };
}

export function emitIpv6Fragment(value: Ipv6Fragment, b: Uint8Array, at: number): void {
  b[at] = value.nextHeader ?? NEXT_NONE;
  b[at + 1] = 0;
  put16(b, at + 2, (value.offset << 3) | (value.more ? 1 : 0));
  put32(b, at + 4, value.id);
}
