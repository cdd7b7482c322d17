import type { Match } from '../../flow/match.ts';
import type { Header } from '../header.ts';

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
