import type { Header, Multipart } from '../header.ts';
import type { ActionName } from './table-features.ts';

export interface GroupStats {
  readonly group: number;
  readonly refCount: number;
  /** UINT64_MAX: unknown. */
  readonly packetCount: bigint;
  readonly byteCount: bigint;
  /** OpenFlow 1.3 and later; UINT32_MAX: unknown. */
  readonly durationSec: number;
  readonly durationNsec: number;
  readonly buckets: readonly { readonly packetCount: bigint; readonly byteCount: bigint }[];
}

export interface GroupStatsRequest extends Header {
  readonly kind: 'group_stats_request';
  /** OFPG_ALL: all. */
  readonly group: number;
}

export interface GroupStatsReply extends Header, Multipart {
  readonly kind: 'group_stats_reply';
  readonly groups: readonly GroupStats[];
}

export interface GroupFeaturesReply extends Header, Multipart {
  readonly kind: 'group_features_reply';
  /** Bit OFPGT_* set: that type is supported. */
  readonly types: number;
  /** OFPGFC_* */
  readonly capabilities: number;
  /** For each type: how many groups, and with which actions. */
  readonly maxGroups: readonly [number, number, number, number];
  readonly actions: readonly [
    readonly ActionName[],
    readonly ActionName[],
    readonly ActionName[],
    readonly ActionName[],
  ];
}
