import { get16, put16 } from './bytes.ts';
import { Malformed, type Parsed, tooShort } from './malformed.ts';

/** IPv4 header (RFC 791). */
export interface Ipv4 {
  readonly layer: 'ipv4';
  /** DSCP (6 bits) and ECN (2 bits). */
  readonly tos: number;
  readonly totalLength?: number;
  readonly id: number;
  readonly dontFragment: boolean;
  readonly moreFragments: boolean;
  /** In units of 8 bytes. */
  readonly fragmentOffset: number;
  readonly ttl: number;
  readonly protocol?: number;
  readonly checksum?: number;
  readonly src: Uint8Array;
  readonly dst: Uint8Array;
  /** As they stand, padded to a multiple of 4; at most 40 bytes. */
  readonly options: Uint8Array;
}

export const IPV4_MIN_HEADER = 20;
export const PROTO_ICMP = 1;
export const PROTO_IGMP = 2;
export const PROTO_TCP = 6;
export const PROTO_UDP = 17;
export const PROTO_GRE = 47;
export const PROTO_ICMPV6 = 58;
export const PROTO_SCTP = 132;

const TOTAL = 2;
const ID = 4;
const FRAGMENT = 6;
const TTL = 8;
const CHECKSUM = 10;
const SRC = 12;
const DST = 16;

export function ipv4Length(value: Ipv4): number {
  return IPV4_MIN_HEADER + value.options.length;
}

/** Bytes beyond the total length are padding. The checksum is not verified: see `ipv4ChecksumOk`. */
export function parseIpv4(b: Uint8Array, at: number, end: number): Parsed<Ipv4> | Malformed {
  if (end - at < IPV4_MIN_HEADER) return tooShort('IPv4', at, end, IPV4_MIN_HEADER);
  if (b[at] >> 4 !== 4) return new Malformed('IPv4', `version ${b[at] >> 4}`, at);
  const header = (b[at] & 15) * 4;
  if (header < IPV4_MIN_HEADER) return new Malformed('IPv4', `header length ${header} is below 20`, at);
  if (end - at < header) return tooShort('IPv4', at, end, header);
  const totalLength = get16(b, at + TOTAL);
  if (totalLength < header || totalLength > end - at) {
    return new Malformed(
      'IPv4',
      `total length ${totalLength} does not fit: header ${header}, ${end - at} bytes`,
      at,
    );
  }
  const fragment = get16(b, at + FRAGMENT);
  return {
    value: {
      layer: 'ipv4',
      tos: b[at + 1],
      totalLength,
      id: get16(b, at + ID),
      dontFragment: (fragment & 0x4000) !== 0,
      moreFragments: (fragment & 0x2000) !== 0,
      fragmentOffset: fragment & 0x1fff,
      ttl: b[at + TTL],
      protocol: b[at + TTL + 1],
      checksum: get16(b, at + CHECKSUM),
      src: b.slice(at + SRC, at + DST),
      dst: b.slice(at + DST, at + IPV4_MIN_HEADER),
      options: b.slice(at + IPV4_MIN_HEADER, at + header),
    },
    next: at + header,
    end: at + totalLength,
  };
}

export function emitIpv4(value: Ipv4, b: Uint8Array, at: number): void {
  b[at] = 0x40 | (ipv4Length(value) / 4);
  b[at + 1] = value.tos;
  put16(b, at + TOTAL, value.totalLength ?? 0);
  put16(b, at + ID, value.id);
  const flags = (value.dontFragment ? 0x4000 : 0) | (value.moreFragments ? 0x2000 : 0);
  put16(b, at + FRAGMENT, flags | value.fragmentOffset);
  b[at + TTL] = value.ttl;
  b[at + TTL + 1] = value.protocol ?? 0;
  put16(b, at + CHECKSUM, value.checksum ?? 0);
  b.set(value.src, at + SRC);
  b.set(value.dst, at + DST);
  b.set(value.options, at + IPV4_MIN_HEADER);
}

/** True where an L4 header follows: in whole packets and first fragments. */
export function ipv4HasL4(value: Ipv4): boolean {
  return value.fragmentOffset === 0;
}
