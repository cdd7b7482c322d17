import type { Match } from '../../flow/match.ts';
import type { Action } from '../actions/types.ts';
import type { Header, Multipart } from '../header.ts';

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
