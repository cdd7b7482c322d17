import {
  OFPG_MAX,
  OFPGFC_CHAINING,
  OFPGFC_SELECT_LIVENESS,
  OFPGFC_SELECT_WEIGHT,
  OFPGT_ALL,
  OFPGT_FF,
  OFPGT_INDIRECT,
  OFPGT_SELECT,
  OFPRFR_GROUP_MOD,
} from '../../../openflow/constants.ts';
import { ACTION_NAMES } from '../../../openflow/feature-bits.ts';
import type { OfMessageOf } from '../../../openflow/message.ts';
import type { Group } from '../../ofproto/group.ts';
import { changeTables } from '../../ofproto/transaction.ts';
import type { Connection } from '../connection.ts';
import type { OpenFlowSwitch } from '../openflow-switch.ts';
import { forwardRequest } from './forward.ts';
import { rejectIfSecondary } from './role.ts';

export function handleGroupMod(
  side: OpenFlowSwitch,
  connection: Connection,
  message: OfMessageOf<'group_mod'>,
): void {
  rejectIfSecondary(connection);
  changeTables(side, { connection, xid: message.xid }, (transaction) => transaction.group(message));
  forwardGroupMod(side, connection, message);
}

/** Tells the other controllers of a group mod that was carried out. */
export function forwardGroupMod(
  side: OpenFlowSwitch,
  connection: Connection,
  message: OfMessageOf<'group_mod'>,
): void {
  forwardRequest(side, connection, OFPRFR_GROUP_MOD, (version) => {
    const header = { version, xid: message.xid, variant: undefined };
    const bucketwise = message.command === 'insert_bucket' || message.command === 'remove_bucket';
    const group = side.groups.get(message.group);
    // Versions that can't change single buckets are told the group that came out.
    if (!bucketwise || group === undefined || version === 1 || version >= 6) return { ...message, ...header };
    return {
      ...message,
      ...header,
      command: 'add_or_mod',
      type: group.type,
      buckets: group.buckets,
      selection: group.given,
    };
  });
}

export function handleGroupDesc(
  side: OpenFlowSwitch,
  connection: Connection,
  message: OfMessageOf<'group_desc_request'>,
): void {
  connection.send({
    kind: 'group_desc_reply',
    ...connection.replyHeader(message),
    more: false,
    groups: side.groups.select(message.group).map((group) => ({
      type: group.type,
      group: group.id,
      buckets: group.buckets,
      selection: group.given,
    })),
  });
}

export function handleGroupStats(
  side: OpenFlowSwitch,
  connection: Connection,
  message: OfMessageOf<'group_stats_request'>,
): void {
  const now = side.clock.now();
  connection.send({
    kind: 'group_stats_reply',
    ...connection.replyHeader(message),
    more: false,
    groups: side.groups.select(message.group).map((group) => groupStats(side, group, now)),
  });
}

function groupStats(side: OpenFlowSwitch, group: Group, now: number) {
  const age = Math.max(0, now - group.created);
  return {
    group: group.id,
    refCount: side.flows.usersOfGroup(group.id).size,
    packetCount: BigInt(group.packets),
    byteCount: BigInt(group.bytes),
    durationSec: Math.floor(age / 1000),
    durationNsec: Math.floor((age % 1000) * 1e6),
    buckets: group.buckets.map((bucket) => ({
      packetCount: BigInt(bucket.packets),
      byteCount: BigInt(bucket.bytes),
    })),
  };
}

export function handleGroupFeatures(
  _side: OpenFlowSwitch,
  connection: Connection,
  message: OfMessageOf<'group_features_request'>,
): void {
  connection.send({
    kind: 'group_features_reply',
    ...connection.replyHeader(message),
    more: false,
    types: (1 << OFPGT_ALL) | (1 << OFPGT_SELECT) | (1 << OFPGT_INDIRECT) | (1 << OFPGT_FF),
    capabilities: OFPGFC_CHAINING | OFPGFC_SELECT_LIVENESS | OFPGFC_SELECT_WEIGHT,
    maxGroups: [OFPG_MAX, OFPG_MAX, OFPG_MAX, OFPG_MAX],
    actions: [ACTION_NAMES, ACTION_NAMES, ACTION_NAMES, ACTION_NAMES],
  });
}
