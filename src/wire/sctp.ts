import { get16, get32, put16, put32 } from './bytes.ts';
import { type Malformed, type Parsed, tooShort } from './malformed.ts';

/** SCTP common header (RFC 9260). */
export interface Sctp {
  readonly layer: 'sctp';
  readonly srcPort: number;
  readonly dstPort: number;
  readonly tag: number;
  /** CRC-32C as it stands, big-endian (see `sctpChecksumWord`). */
  readonly checksum?: number;
}

export const SCTP_HEADER = 12;
export const SCTP_CHECKSUM = 8;
const TAG = 4;

export function parseSctp(b: Uint8Array, at: number, end: number): Parsed<Sctp> | Malformed {
  if (end - at < SCTP_HEADER) return tooShort('SCTP', at, end, SCTP_HEADER);
  return {
    value: {
      layer: 'sctp',
      srcPort: get16(b, at),
      dstPort: get16(b, at + 2),
      tag: get32(b, at + TAG),
      checksum: get32(b, at + SCTP_CHECKSUM),
    },
    next: at + SCTP_HEADER,
    end,
  };
}

export function emitSctp(value: Sctp, b: Uint8Array, at: number): void {
  put16(b, at, value.srcPort);
  put16(b, at + 2, value.dstPort);
  put32(b, at + TAG, value.tag);
  put32(b, at + SCTP_CHECKSUM, value.checksum ?? 0);
}
