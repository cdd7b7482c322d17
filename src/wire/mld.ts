import { get16 } from './bytes.ts';
import { type GroupRecord, parseGroupRecords } from './igmp.ts';
import { type Malformed, tooShort } from './malformed.ts';

/** Multicast listener discovery (RFC 2710, RFC 3810): ICMPv6 messages of types 130 to 132 and 143. */
export const MLD_QUERY = 130;
export const MLD_REPORT = 131;
export const MLD_DONE = 132;
export const MLD_V2_REPORT = 143;

export interface MldMessage {
  readonly type: number;
  /** Milliseconds; in version 2 queries a float code. */
  readonly maxResponse: number;
  /** 16 bytes; all zero in a general query. Version 2 reports: empty. */
  readonly group: Uint8Array;
  /** Version 2 reports only. */
  readonly records: readonly GroupRecord[];
}

export function isMld(type: number): boolean {
  return (type >= MLD_QUERY && type <= MLD_DONE) || type === MLD_V2_REPORT;
}

/** Parses from the first byte of the ICMPv6 header, whose type is one of MLD's. */
export function parseMld(b: Uint8Array, at: number, end: number): MldMessage | Malformed {
  const type = b[at];
  const needed = type === MLD_V2_REPORT ? 8 : 24;
  if (end - at < needed) return tooShort('MLD', at, end, needed);
  if (type === MLD_V2_REPORT) {
    const records = parseGroupRecords(b, at + 8, end, get16(b, at + 6), 16);
    if (!Array.isArray(records)) return records;
    return { type, maxResponse: 0, group: new Uint8Array(0), records };
  }
  return { type, maxResponse: get16(b, at + 4), group: b.slice(at + 8, at + 24), records: [] };
}
