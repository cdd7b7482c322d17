import type { Reader, Writer } from '../bytes.ts';
import { UINT32_MAX } from '../constants.ts';
import { type Codec, codec, head, multipartHead, reject } from '../family.ts';
import { actionsFromBits, actionsToBits } from '../feature-bits.ts';
import type { Header, Multipart } from '../header.ts';
import { OF11, OF12 } from '../version.ts';
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

/** OpenFlow 1.1 and 1.2 tell no durations; Nicira's extension to 1.0 does. */
function hasDuration(version: number): boolean {
  return version !== OF11 && version !== OF12;
}

function readStats(r: Reader, version: number): GroupStats {
  const length = r.u16();
  const least = hasDuration(version) ? 40 : 32;
  if (length < least || length - 2 > r.left || (length - least) % 16 !== 0) {
    reject('OFPBRC_BAD_LEN', `group stats of length ${length}, at least ${least}; ${r.left + 2} are there`);
  }
  const entry = r.sub(length - 2);
  entry.skip(2);
  const group = entry.u32();
  const refCount = entry.u32();
  entry.skip(4);
  const packetCount = entry.u64();
  const byteCount = entry.u64();
  const durationSec = hasDuration(version) ? entry.u32() : UINT32_MAX;
  const durationNsec = hasDuration(version) ? entry.u32() : UINT32_MAX;
  const buckets: { packetCount: bigint; byteCount: bigint }[] = [];
  while (entry.left > 0) buckets.push({ packetCount: entry.u64(), byteCount: entry.u64() });
  return { group, refCount, packetCount, byteCount, durationSec, durationNsec, buckets };
}

function writeStats(w: Writer, s: GroupStats, version: number): void {
  const start = w.length;
  w.u32(0);
  w.u32(s.group);
  w.u32(s.refCount);
  w.u32(0);
  w.u64(s.packetCount);
  w.u64(s.byteCount);
  if (hasDuration(version)) {
    w.u32(s.durationSec);
    w.u32(s.durationNsec);
  }
  for (const bucket of s.buckets) {
    w.u64(bucket.packetCount);
    w.u64(bucket.byteCount);
  }
  w.setU16(start, w.length - start);
}

const request = codec(
  ['group_stats_request'],
  (r, c) => ({ ...head(c, 'group_stats_request'), group: r.u32() }),
  ({ group }, { w }) => {
    w.u32(group);
    w.u32(0);
  },
);

const reply = codec(
  ['group_stats_reply'],
  (r, c) => {
    const groups: GroupStats[] = [];
    while (r.left > 0) groups.push(readStats(r, c.version));
    return { ...multipartHead(c, 'group_stats_reply'), groups };
  },
  ({ groups }, out) => {
    for (const group of groups) out.entry((w) => writeStats(w, group, out.version));
  },
);

const features = codec(
  ['group_features_reply'],
  (r, c) => {
    const types = r.u32();
    const capabilities = r.u32();
    const maxGroups = [r.u32(), r.u32(), r.u32(), r.u32()] as const;
    const actions = (): ActionName[] => actionsFromBits(r.u32(), c.version);
    return {
      ...multipartHead(c, 'group_features_reply'),
      types,
      capabilities,
      maxGroups,
      actions: [actions(), actions(), actions(), actions()] as const,
    };
  },
  (m, { w, version }) => {
    w.u32(m.types);
    w.u32(m.capabilities);
    for (const max of m.maxGroups) w.u32(max);
    for (const actions of m.actions) w.u32(actionsToBits(actions, version));
  },
);

export const groupStatsCodecs: readonly Codec[] = [request, reply, features];
