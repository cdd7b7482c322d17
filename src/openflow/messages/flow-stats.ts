import type { Match } from '../../flow/match.ts';
import { readInstructions, writeInstructions } from '../action-lists.ts';
import type { Action } from '../actions/types.ts';
import { type Reader, roundUp, type Writer } from '../bytes.ts';
import { OFPG_ANY, UINT32_MAX, UINT64_MAX } from '../constants.ts';
import { type Codec, codec, type DecodeContext, head, kindOf, multipartHead, reject } from '../family.ts';
import type { Header, Multipart, Variant } from '../header.ts';
import { readOf10Match, writeOf10Match } from '../legacy-match.ts';
import { readMatch, writeMatch, writeOxmMatch } from '../match-codec.ts';
import { type CookieMatch, readNxMatch, writeNxMatch } from '../nx-match.ts';
import { readOxs, writeOxs } from '../oxs.ts';
import { portFromWire16, portFromWire32, portToWire16 } from '../ports.ts';
import { OF10, OF13, OF14, OF15, type OfVersion } from '../version.ts';
import { flowFlagsFromWire, flowFlagsToWire } from './flow-mod.ts';

export interface FlowStatsRequest extends Header {
  readonly kind: 'flow_stats_request' | 'aggregate_stats_request';
  readonly match: Match;
  /** Only flows whose cookie has these bits where `cookieMask` has ones. Not in 1.0's standard form. */
  readonly cookie: bigint;
  readonly cookieMask: bigint;
  /** OFPP_ANY: any. */
  readonly outPort: number;
  /** OFPG_ANY: any. */
  readonly outGroup: number;
  /** OFPTT_ALL: all. */
  readonly table: number;
}

export interface FlowStats {
  readonly match: Match;
  readonly cookie: bigint;
  readonly table: number;
  readonly priority: number;
  readonly idleTimeout: number;
  readonly hardTimeout: number;
  readonly durationSec: number;
  readonly durationNsec: number;
  /** Seconds since the last packet, and since the last change; -1: unknown. NX form only. */
  readonly idleAge: number;
  readonly hardAge: number;
  /** UINT64_MAX: unknown. */
  readonly packetCount: bigint;
  readonly byteCount: bigint;
  /** FF_*; OpenFlow 1.3 and later. */
  readonly flags: number;
  readonly importance: number;
  readonly actions: readonly Action[];
}

export interface FlowStatsReply extends Header, Multipart {
  readonly kind: 'flow_stats_reply';
  readonly flows: readonly FlowStats[];
}

export interface AggregateStatsReply extends Header, Multipart {
  readonly kind: 'aggregate_stats_reply';
  /** UINT64_MAX: unknown. */
  readonly packetCount: bigint;
  readonly byteCount: bigint;
  /** UINT32_MAX: unknown. */
  readonly flowCount: number;
}

const REQUEST_KINDS = ['flow_stats_request', 'aggregate_stats_request'] as const;

type RequestFields = Pick<
  FlowStatsRequest,
  'match' | 'cookie' | 'cookieMask' | 'outPort' | 'outGroup' | 'table'
>;

function readOf10Request(r: Reader): RequestFields {
  const { match } = readOf10Match(r);
  const table = r.u8();
  r.skip(1);
  const outPort = portFromWire16(r.u16());
  return { match, cookie: 0n, cookieMask: 0n, outPort, outGroup: OFPG_ANY, table };
}

function readNxRequest(r: Reader, c: DecodeContext): RequestFields {
  const outPort = portFromWire16(r.u16());
  const matchLength = r.u16();
  const table = r.u8();
  r.skip(3);
  const cookies: CookieMatch = { cookie: 0n, cookieMask: 0n };
  const match = readNxMatch(r, matchLength, c.options, cookies);
  if (r.left > 0) reject('OFPBRC_BAD_LEN', `${r.left} bytes follow the match of ${c.raw.name}`);
  return { match, ...cookies, outPort, outGroup: OFPG_ANY, table };
}

function readOf11Request(r: Reader, c: DecodeContext): RequestFields {
  const table = r.u8();
  r.skip(3);
  const outPort = portFromWire32(r.u32());
  const outGroup = r.u32();
  r.skip(4);
  const cookie = r.u64();
  const cookieMask = r.u64();
  const match = readMatch(r, c.options);
  return { match, cookie, cookieMask, outPort, outGroup, table };
}

const request = codec(
  REQUEST_KINDS,
  (r, c) => {
    const kind = kindOf(c, REQUEST_KINDS);
    if (c.variant === 'nx') return { ...head(c, kind), ...readNxRequest(r, c) };
    return { ...head(c, kind), ...(c.version === OF10 ? readOf10Request(r) : readOf11Request(r, c)) };
  },
  (m, { w, version, variant }) => {
    if (variant === 'nx') {
      w.u16(portToWire16(m.outPort));
      const lengthAt = w.zeros(2);
      w.u8(m.table);
      w.zeros(3);
      w.setU16(lengthAt, writeNxMatch(w, m.match, m));
    } else if (version === OF10) {
      writeOf10Match(w, m.match);
      w.u8(m.table);
      w.u8(0);
      w.u16(portToWire16(m.outPort));
    } else {
      w.u8(m.table);
      w.zeros(3);
      w.u32(m.outPort);
      w.u32(m.outGroup);
      w.u32(0);
      w.u64(m.cookie);
      w.u64(m.cookieMask);
      writeMatch(w, m.match, version);
    }
  },
);

/** Reads one flow's entry: its length, then what stands within it. */
function readFlowStats(r: Reader, c: DecodeContext): FlowStats {
  const length = r.u16();
  const least = c.variant === 'nx' ? 48 : c.version === OF10 ? 88 : c.version < OF15 ? 48 : 24;
  if (length < least || length - 2 > r.left) {
    reject('OFPBRC_BAD_LEN', `flow stats of length ${length}, at least ${least}; ${r.left + 2} are there`);
  }
  const entry = r.sub(length - 2);
  if (c.variant === 'nx') return readNxFlowStats(entry, c);
  if (c.version === OF10) return readOf10FlowStats(entry, c);
  return c.version < OF15 ? readOf11FlowStats(entry, c) : readOf15FlowStats(entry, c);
}

function readOf10FlowStats(r: Reader, c: DecodeContext): FlowStats {
  const table = r.u8();
  r.skip(1);
  const { match } = readOf10Match(r);
  const durationSec = r.u32();
  const durationNsec = r.u32();
  const priority = r.u16();
  const idleTimeout = r.u16();
  const hardTimeout = r.u16();
  r.skip(6);
  return {
    match,
    cookie: r.u64(),
    table,
    priority,
    idleTimeout,
    hardTimeout,
    durationSec,
    durationNsec,
    idleAge: -1,
    hardAge: -1,
    packetCount: r.u64(),
    byteCount: r.u64(),
    flags: 0,
    importance: 0,
    actions: readInstructions(r, r.left, c),
  };
}

function readOf11FlowStats(r: Reader, c: DecodeContext): FlowStats {
  const table = r.u8();
  r.skip(1);
  const durationSec = r.u32();
  const durationNsec = r.u32();
  const priority = r.u16();
  const idleTimeout = r.u16();
  const hardTimeout = r.u16();
  const wireFlags = r.u16();
  const importance = r.u16();
  r.skip(2);
  const cookie = r.u64();
  const packetCount = r.u64();
  const byteCount = r.u64();
  const match = readMatch(r, c.options);
  return {
    match,
    cookie,
    table,
    priority,
    idleTimeout,
    hardTimeout,
    durationSec,
    durationNsec,
    idleAge: -1,
    hardAge: -1,
    packetCount,
    byteCount,
    flags: c.version >= OF13 ? flowFlagsFromWire(wireFlags, c.version, null) : 0,
    importance: c.version >= OF14 ? importance : 0,
    actions: readInstructions(r, r.left, c),
  };
}

function readOf15FlowStats(r: Reader, c: DecodeContext): FlowStats {
  r.skip(2);
  const table = r.u8();
  r.skip(1);
  const priority = r.u16();
  const idleTimeout = r.u16();
  const hardTimeout = r.u16();
  const wireFlags = r.u16();
  const importance = r.u16();
  const cookie = r.u64();
  const match = readMatch(r, c.options);
  const flags = flowFlagsFromWire(wireFlags, c.version, null);
  const stats = readOxs(r);
  return {
    match,
    cookie,
    table,
    priority,
    idleTimeout,
    hardTimeout,
    durationSec: stats.durationSec,
    durationNsec: stats.durationNsec,
    idleAge: stats.idleAge === UINT32_MAX ? -1 : stats.idleAge,
    hardAge: -1,
    packetCount: stats.packetCount,
    byteCount: stats.byteCount,
    flags,
    importance,
    actions: readInstructions(r, r.left, c),
  };
}

function readNxFlowStats(r: Reader, c: DecodeContext): FlowStats {
  const table = r.u8();
  r.skip(1);
  const durationSec = r.u32();
  const durationNsec = r.u32();
  const priority = r.u16();
  const idleTimeout = r.u16();
  const hardTimeout = r.u16();
  const matchLength = r.u16();
  const idleAge = r.u16();
  const hardAge = r.u16();
  const cookie = r.u64();
  const packetCount = r.u64();
  const byteCount = r.u64();
  if (roundUp(matchLength, 8) > r.left) {
    reject('OFPBRC_BAD_LEN', `match of ${matchLength} bytes in flow stats, ${r.left} are left`);
  }
  const match = readNxMatch(r, matchLength, c.options);
  return {
    match,
    cookie,
    table,
    priority,
    idleTimeout,
    hardTimeout,
    durationSec,
    durationNsec,
    // One more than the age: 0 stands for what is not known.
    idleAge: idleAge - 1,
    hardAge: hardAge - 1,
    packetCount,
    byteCount,
    flags: 0,
    importance: 0,
    actions: readInstructions(r, r.left, c),
  };
}

/** Where a count cannot be unknown, 0 stands for it. */
function known(count: bigint): bigint {
  return count === UINT64_MAX ? 0n : count;
}

function ageToWire(age: number): number {
  return age < 0 ? 0 : Math.min(age + 1, 0xffff);
}

function writeFlowStats(w: Writer, s: FlowStats, version: OfVersion, variant: Variant): void {
  const start = w.length;
  w.u16(0);
  if (variant === 'nx') writeNxFlowStats(w, s);
  else if (version === OF10) writeOf10FlowStats(w, s);
  else if (version < OF15) writeOf11FlowStats(w, s, version);
  else writeOf15FlowStats(w, s, version);
  writeInstructions(w, s.actions, version);
  w.setU16(start, Math.min(w.length - start, 0xffff));
}

function writeOf10FlowStats(w: Writer, s: FlowStats): void {
  w.u8(s.table);
  w.u8(0);
  writeOf10Match(w, s.match);
  w.u32(s.durationSec);
  w.u32(s.durationNsec);
  w.u16(s.priority);
  w.u16(s.idleTimeout);
  w.u16(s.hardTimeout);
  w.zeros(6);
  w.u64(s.cookie);
  w.u64(known(s.packetCount));
  w.u64(known(s.byteCount));
}

function writeOf11FlowStats(w: Writer, s: FlowStats, version: OfVersion): void {
  w.u8(s.table);
  w.u8(0);
  w.u32(s.durationSec);
  w.u32(s.durationNsec);
  w.u16(s.priority);
  w.u16(s.idleTimeout);
  w.u16(s.hardTimeout);
  w.u16(version >= OF13 ? flowFlagsToWire(s.flags, version) : 0);
  w.u16(version >= OF14 ? s.importance : 0);
  w.u16(0);
  w.u64(s.cookie);
  w.u64(known(s.packetCount));
  w.u64(known(s.byteCount));
  // OXM in 1.1 too, as Open vSwitch does: that version's own match says too little.
  writeOxmMatch(w, s.match, version);
}

function writeOf15FlowStats(w: Writer, s: FlowStats, version: OfVersion): void {
  w.u16(0);
  w.u8(s.table);
  w.u8(0);
  w.u16(s.priority);
  w.u16(s.idleTimeout);
  w.u16(s.hardTimeout);
  w.u16(flowFlagsToWire(s.flags, version));
  w.u16(s.importance);
  w.u64(s.cookie);
  writeOxmMatch(w, s.match, version);
  const { durationSec, durationNsec, packetCount, byteCount } = s;
  const idleAge = s.idleAge < 0 ? UINT32_MAX : s.idleAge;
  writeOxs(w, { durationSec, durationNsec, idleAge, packetCount, byteCount });
}

function writeNxFlowStats(w: Writer, s: FlowStats): void {
  w.u8(s.table);
  w.u8(0);
  w.u32(s.durationSec);
  w.u32(s.durationNsec);
  w.u16(s.priority);
  w.u16(s.idleTimeout);
  w.u16(s.hardTimeout);
  const lengthAt = w.zeros(2);
  w.u16(ageToWire(s.idleAge));
  w.u16(ageToWire(s.hardAge));
  w.u64(s.cookie);
  w.u64(s.packetCount);
  w.u64(s.byteCount);
  w.setU16(lengthAt, writeNxMatch(w, s.match));
}

const reply = codec(
  ['flow_stats_reply'],
  (r, c) => {
    const flows: FlowStats[] = [];
    while (r.left > 0) flows.push(readFlowStats(r, c));
    return { ...multipartHead(c, 'flow_stats_reply'), flows };
  },
  ({ flows }, out) => {
    const { version, variant } = out;
    for (const flow of flows)
      out.entry((w) => writeFlowStats(w, flow, version, variant), out.options.oversizedFlow);
  },
);

const aggregate = codec(
  ['aggregate_stats_reply'],
  (r, c) => {
    if (c.version >= OF15) {
      const { packetCount, byteCount, flowCount } = readOxs(r);
      return { ...multipartHead(c, 'aggregate_stats_reply'), packetCount, byteCount, flowCount };
    }
    return {
      ...multipartHead(c, 'aggregate_stats_reply'),
      packetCount: r.u64(),
      byteCount: r.u64(),
      flowCount: r.u32(),
    };
  },
  (m, { w, version }) => {
    if (version >= OF15) {
      writeOxs(w, { packetCount: m.packetCount, byteCount: m.byteCount, flowCount: m.flowCount });
      return;
    }
    w.u64(known(m.packetCount));
    w.u64(known(m.byteCount));
    w.u32(m.flowCount);
    w.u32(0);
  },
);

export const flowStatsCodecs: readonly Codec[] = [request, reply, aggregate];
