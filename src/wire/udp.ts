import { get16, put16 } from './bytes.ts';
import { Malformed, type Parsed, tooShort } from './malformed.ts';

/** UDP header (RFC 768). */
export interface Udp {
  readonly layer: 'udp';
  readonly srcPort: number;
  readonly dstPort: number;
  readonly length?: number;
  /** 0: none (IPv4 only). */
  readonly checksum?: number;
}

export const UDP_HEADER = 8;
export const UDP_CHECKSUM = 6;
const LENGTH = 4;

/**
 * In a first fragment the length goes beyond the bytes that are there: the payload ends with them.
 */
export function parseUdp(b: Uint8Array, at: number, end: number): Parsed<Udp> | Malformed {
  if (end - at < UDP_HEADER) return tooShort('UDP', at, end, UDP_HEADER);
  const length = get16(b, at + LENGTH);
  if (length < UDP_HEADER) return new Malformed('UDP', `length ${length} is below 8`, at);
  return {
    value: {
      layer: 'udp',
      srcPort: get16(b, at),
      dstPort: get16(b, at + 2),
      length,
      checksum: get16(b, at + UDP_CHECKSUM),
    },
    next: at + UDP_HEADER,
    end: Math.min(end, at + length),
  };
}

export function emitUdp(value: Udp, b: Uint8Array, at: number): void {
  put16(b, at, value.srcPort);
  put16(b, at + 2, value.dstPort);
  put16(b, at + LENGTH, value.length ?? 0);
  put16(b, at + UDP_CHECKSUM, value.checksum ?? 0);
}
