/**
 * OXS (OpenFlow 1.5, section "Flow Stats Structures"): statistics of flows as a list of entries, each a
 * class, a field, a length and a value.
 */
import type { Reader, Writer } from './bytes.ts';
import { roundUp } from './bytes.ts';
import { UINT32_MAX, UINT64_MAX } from './constants.ts';
import { OfError } from './errors.ts';

const CLASS_BASIC = 0x8002;
const CLASS_EXPERIMENTER = 0xffff;
const DURATION = 0;
const IDLE_TIME = 1;
const FLOW_COUNT = 3;
const PACKET_COUNT = 4;
const BYTE_COUNT = 5;

/** What is unknown is all ones. */
export interface OxsStats {
  durationSec: number;
  durationNsec: number;
  /** Seconds. */
  idleAge: number;
  flowCount: number;
  packetCount: bigint;
  byteCount: bigint;
}

/** Reads statistics and the zeros that pad them to a multiple of 8. Entries that are not known are skipped. */
export function readOxs(r: Reader): OxsStats {
  if (r.left < 4) throw new OfError('OFPBMC_BAD_LEN', `OXS header cut short: ${r.left} bytes`);
  r.skip(2);
  const length = r.u16();
  const padded = roundUp(length, 8);
  if (length < 4 || padded - 4 > r.left) {
    throw new OfError('OFPBMC_BAD_LEN', `OXS of ${length} bytes, ${r.left + 4} are there`);
  }
  const entries = r.sub(length - 4, 'OFPBMC_BAD_LEN');
  r.skip(padded - length);
  const stats: OxsStats = {
    durationSec: UINT32_MAX,
    durationNsec: UINT32_MAX,
    idleAge: UINT32_MAX,
    flowCount: UINT32_MAX,
    packetCount: UINT64_MAX,
    byteCount: UINT64_MAX,
  };
  while (entries.left > 0) readEntry(entries, stats);
  return stats;
}

function readEntry(r: Reader, stats: OxsStats): void {
  const oxsClass = r.u16();
  const low = r.u16();
  const length = low & 0xff;
  if (oxsClass === CLASS_EXPERIMENTER && length < 4) {
    throw new OfError('OFPBMC_BAD_LEN', `experimenter OXS of length ${length}, at least 4`);
  }
  const value = r.sub(length);
  if (oxsClass !== CLASS_BASIC || (low & 0x100) !== 0) return;
  const field = low >>> 9;
  if (length === 8 && field === DURATION) {
    stats.durationSec = value.u32();
    stats.durationNsec = value.u32();
  } else if (length === 8 && field === IDLE_TIME) stats.idleAge = value.u32();
  else if (length === 8 && field === PACKET_COUNT) stats.packetCount = value.u64();
  else if (length === 8 && field === BYTE_COUNT) stats.byteCount = value.u64();
  else if (length === 4 && field === FLOW_COUNT) stats.flowCount = value.u32();
}

/** Writes what is known, padded to a multiple of 8. */
export function writeOxs(w: Writer, stats: Partial<OxsStats>): void {
  const start = w.length;
  const entry = (field: number, length: number): void => {
    w.u16(CLASS_BASIC);
    w.u16((field << 9) | length);
  };
  const { durationSec = UINT32_MAX, durationNsec = 0, idleAge = UINT32_MAX, flowCount = UINT32_MAX } = stats;
  const { packetCount = UINT64_MAX, byteCount = UINT64_MAX } = stats;
  w.u32(0);
  if (durationSec !== UINT32_MAX) {
    entry(DURATION, 8);
    w.u32(durationSec);
    w.u32(durationNsec);
  }
  if (idleAge !== UINT32_MAX) {
    entry(IDLE_TIME, 8);
    w.u32(idleAge);
    w.u32(0);
  }
  if (packetCount !== UINT64_MAX) {
    entry(PACKET_COUNT, 8);
    w.u64(packetCount);
  }
  if (byteCount !== UINT64_MAX) {
    entry(BYTE_COUNT, 8);
    w.u64(byteCount);
  }
  if (flowCount !== UINT32_MAX) {
    entry(FLOW_COUNT, 4);
    w.u32(flowCount);
  }
  w.setU16(start + 2, w.length - start);
  w.pad(8, start);
}
