import type { Match } from '../../flow/match.ts';
import type { Reader } from '../bytes.ts';
import { OFPRR_DELETE, OFPRR_METER_DELETE, UINT64_MAX } from '../constants.ts';
import { type Codec, codec, type DecodeContext, head, type MessageWriter, reject } from '../family.ts';
import type { Header } from '../header.ts';
import { readOf10Match, writeOf10Match } from '../legacy-match.ts';
import { readMatch, writeMatch } from '../match-codec.ts';
import { readNxMatch, writeNxMatch } from '../nx-match.ts';
import { readOxs, writeOxs } from '../oxs.ts';
import { OF10, OF14, OF15 } from '../version.ts';

export interface FlowRemoved extends Header {
  readonly kind: 'flow_removed';
  readonly match: Match;
  readonly cookie: bigint;
  readonly priority: number;
  /** OFPRR_* */
  readonly reason: number;
  /** 255: the message did not say. */
  readonly table: number;
  /** UINT32_MAX: unknown. */
  readonly durationSec: number;
  readonly durationNsec: number;
  readonly idleTimeout: number;
  readonly hardTimeout: number;
  /** UINT64_MAX: unknown. */
  readonly packetCount: bigint;
  readonly byteCount: bigint;
}

type Fields = Omit<FlowRemoved, keyof Header | 'kind'>;

function readOf10(r: Reader): Fields {
  const { match } = readOf10Match(r);
  const cookie = r.u64();
  const priority = r.u16();
  const reason = r.u8();
  r.skip(1);
  const durationSec = r.u32();
  const durationNsec = r.u32();
  const idleTimeout = r.u16();
  r.skip(2);
  const packetCount = r.u64();
  const byteCount = r.u64();
  return {
    match,
    cookie,
    priority,
    reason,
    table: 255,
    durationSec,
    durationNsec,
    idleTimeout,
    hardTimeout: 0,
    packetCount,
    byteCount,
  };
}

/** OpenFlow 1.1 to 1.4, and Nicira's, which puts its match's length where the hard timeout stands. */
function readOf11(r: Reader, c: DecodeContext): Fields {
  const nx = c.variant === 'nx';
  const cookie = r.u64();
  const priority = r.u16();
  const reason = r.u8();
  const table = r.u8();
  const durationSec = r.u32();
  const durationNsec = r.u32();
  const idleTimeout = r.u16();
  const hardTimeoutOrLength = r.u16();
  const packetCount = r.u64();
  const byteCount = r.u64();
  const match = nx ? readNxMatch(r, hardTimeoutOrLength, c.options) : readMatch(r, c.options);
  if (nx && r.left > 0) reject('OFPBRC_BAD_LEN', `${r.left} bytes follow the match of ${c.raw.name}`);
  return {
    match,
    cookie,
    priority,
    reason,
    // Nicira's form has the table's number plus one, so that 0 can stand for what is not known.
    table: nx ? (table === 0 ? 255 : table - 1) : table,
    durationSec,
    durationNsec,
    idleTimeout,
    hardTimeout: nx ? 0 : hardTimeoutOrLength,
    packetCount,
    byteCount,
  };
}

function readOf15(r: Reader, c: DecodeContext): Fields {
  const table = r.u8();
  const reason = r.u8();
  const priority = r.u16();
  const idleTimeout = r.u16();
  const hardTimeout = r.u16();
  const cookie = r.u64();
  const match = readMatch(r, c.options);
  const { durationSec, durationNsec, packetCount, byteCount } = readOxs(r);
  return {
    match,
    cookie,
    priority,
    reason,
    table,
    durationSec,
    durationNsec,
    idleTimeout,
    hardTimeout,
    packetCount,
    byteCount,
  };
}

function known(count: bigint): bigint {
  return count === UINT64_MAX ? 0n : count;
}

function write(m: FlowRemoved, out: MessageWriter): void {
  const { w, version, variant } = out;
  // That a meter went is a reason only since 1.4.
  const reason = m.reason === OFPRR_METER_DELETE && version < OF14 ? OFPRR_DELETE : m.reason;
  if (version >= OF15 && variant === 'std') {
    w.u8(m.table);
    w.u8(reason);
    w.u16(m.priority);
    w.u16(m.idleTimeout);
    w.u16(m.hardTimeout);
    w.u64(m.cookie);
    writeMatch(w, m.match, version);
    const { durationSec, durationNsec, packetCount, byteCount } = m;
    writeOxs(w, { durationSec, durationNsec, packetCount, byteCount });
    return;
  }
  const of10 = version === OF10 && variant === 'std';
  if (of10) writeOf10Match(w, m.match);
  w.u64(m.cookie);
  w.u16(m.priority);
  w.u8(reason);
  w.u8(of10 ? 0 : variant === 'nx' ? m.table + 1 : m.table);
  w.u32(m.durationSec);
  w.u32(m.durationNsec);
  w.u16(m.idleTimeout);
  const hardTimeoutOrLengthAt = w.length;
  w.u16(variant === 'std' && !of10 ? m.hardTimeout : 0);
  w.u64(of10 ? known(m.packetCount) : m.packetCount);
  w.u64(of10 ? known(m.byteCount) : m.byteCount);
  if (variant === 'nx') w.setU16(hardTimeoutOrLengthAt, writeNxMatch(w, m.match));
  else if (!of10) writeMatch(w, m.match, version);
}

const flowRemoved = codec(
  ['flow_removed'],
  (r, c) => {
    const nx = c.variant === 'nx';
    const fields =
      c.version === OF10 && !nx ? readOf10(r) : c.version >= OF15 && !nx ? readOf15(r, c) : readOf11(r, c);
    return { ...head(c, 'flow_removed'), ...fields };
  },
  write,
);

export const flowRemovedCodecs: readonly Codec[] = [flowRemoved];
