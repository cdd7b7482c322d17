import { get16, put16 } from './bytes.ts';
import { Malformed, type Parsed, tooShort } from './malformed.ts';

/** First eight bytes of IGMP (RFC 1112, 2236, 3376). */
export interface Igmp {
  readonly layer: 'igmp';
  readonly type: number;
  /** Maximum response time in queries (units of 0.1 s, or a float in version 3). */
  readonly code: number;
  readonly checksum?: number;
  /** Group address; in version 3 reports: reserved (2 bytes) and the number of group records. */
  readonly group: Uint8Array;
}

export const IGMP_HEADER = 8;
export const IGMP_CHECKSUM = 2;
export const IGMP_QUERY = 0x11;
export const IGMP_V1_REPORT = 0x12;
export const IGMP_V2_REPORT = 0x16;
export const IGMP_V2_LEAVE = 0x17;
export const IGMP_V3_REPORT = 0x22;

export function parseIgmp(b: Uint8Array, at: number, end: number): Parsed<Igmp> | Malformed {
  if (end - at < IGMP_HEADER) return tooShort('IGMP', at, end, IGMP_HEADER);
  return {
    value: {
      layer: 'igmp',
      type: b[at],
      code: b[at + 1],
      checksum: get16(b, at + IGMP_CHECKSUM),
      group: b.slice(at + 4, at + 8),
    },
    next: at + IGMP_HEADER,
    end,
  };
}

export function emitIgmp(value: Igmp, b: Uint8Array, at: number): void {
  b[at] = value.type;
  b[at + 1] = value.code;
  put16(b, at + IGMP_CHECKSUM, value.checksum ?? 0);
  b.set(value.group, at + 4);
}

/** A group record of an IGMPv3 (4-byte addresses) or MLDv2 (16-byte addresses) report. */
export interface GroupRecord {
  /** 1 is-include, 2 is-exclude, 3 to-include, 4 to-exclude, 5 allow-new, 6 block-old sources. */
  readonly type: number;
  readonly group: Uint8Array;
  readonly sources: readonly Uint8Array[];
}

/**
 * The records of an IGMPv3 or MLDv2 report, from the byte after the 8-byte header.
 * @param count as the header tells it
 * @param size bytes of an address: 4 or 16
 */
export function parseGroupRecords(
  b: Uint8Array,
  from: number,
  end: number,
  count: number,
  size: 4 | 16,
): GroupRecord[] | Malformed {
  const records: GroupRecord[] = [];
  let at = from;
  for (let i = 0; i < count; i++) {
    if (end - at < 4 + size) return tooShort('group record', at, end, 4 + size);
    const nSources = get16(b, at + 2);
    const length = 4 + size + nSources * size + b[at + 1] * 4;
    if (end - at < length) {
      return new Malformed('group record', `${nSources} sources need ${length} bytes, has ${end - at}`, at);
    }
    const sources: Uint8Array[] = [];
    for (let s = 0; s < nSources; s++) {
      const p = at + 4 + size + s * size;
      sources.push(b.slice(p, p + size));
    }
    records.push({ type: b[at], group: b.slice(at + 4, at + 4 + size), sources });
    at += length;
  }
  return records;
}
