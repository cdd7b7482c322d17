import type { Header, Multipart } from '../header.ts';

export interface QueueStats {
  readonly port: number;
  readonly queue: number;
  /** UINT64_MAX where unknown. */
  readonly txBytes: bigint;
  readonly txPackets: bigint;
  readonly txErrors: bigint;
  /** OpenFlow 1.3 and later; UINT32_MAX: unknown. */
  readonly durationSec: number;
  readonly durationNsec: number;
}

export interface QueueStatsRequest extends Header {
  readonly kind: 'queue_stats_request';
  /** OFPP_ANY: all. */
  readonly port: number;
  /** OFPQ_ALL: all. */
  readonly queue: number;
}

export interface QueueStatsReply extends Header, Multipart {
  readonly kind: 'queue_stats_reply';
  readonly queues: readonly QueueStats[];
}

export interface QueueConfig {
  readonly port: number;
  readonly queue: number;
  /** Tenths of a percent; above 1000: disabled; null: not given. */
  readonly minRate: number | null;
  readonly maxRate: number | null;
}

/** A message of its own up to OpenFlow 1.3, a multipart (queue desc) from 1.4 on. */
export interface QueueGetConfigRequest extends Header {
  readonly kind: 'queue_get_config_request';
  /** OFPP_ANY: all, from OpenFlow 1.4 on. */
  readonly port: number;
  /** OFPQ_ALL: all; before OpenFlow 1.4 always so. */
  readonly queue: number;
}

export interface QueueGetConfigReply extends Header, Multipart {
  readonly kind: 'queue_get_config_reply';
  /** The port asked for, which up to OpenFlow 1.3 is in the reply itself; OFPP_ANY: none. */
  readonly port: number;
  readonly queues: readonly QueueConfig[];
}
