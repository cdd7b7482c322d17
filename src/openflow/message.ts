import type { Match } from '../flow/match.ts';
import type { TunnelMetadataMap } from '../flow/tun-metadata.ts';
import type { Empty, Header } from './header.ts';
import type { AsyncMessage } from './messages/async.ts';
import type { BundleAdd, BundleControl } from './messages/bundle.ts';
import type { CtFlush } from './messages/ct-flush.ts';
import type { FlowMod } from './messages/flow-mod.ts';
import type { FlowRemoved } from './messages/flow-removed.ts';
import type { AggregateStatsReply, FlowStatsReply, FlowStatsRequest } from './messages/flow-stats.ts';
import type { RequestForward } from './messages/forward.ts';
import type { GroupDescReply, GroupDescRequest, GroupMod } from './messages/group.ts';
import type { GroupFeaturesReply, GroupStatsReply, GroupStatsRequest } from './messages/group-stats.ts';
import type {
  MeterConfigReply,
  MeterFeaturesReply,
  MeterMod,
  MeterRequest,
  MeterStatsReply,
} from './messages/meter.ts';
import type { FlowMonitorCancel, FlowMonitorReply, FlowMonitorRequest } from './messages/monitor.ts';
import type {
  CtFlushZone,
  FlowModTableId,
  IpfixStatsReply,
  SetControllerId,
  SetFlowFormat,
  SetPacketInFormat,
  TlvTableMod,
  TlvTableReply,
} from './messages/nicira.ts';
import type { PacketIn, Resume } from './messages/packet-in.ts';
import type { PacketOut } from './messages/packet-out.ts';
import type { PortDescReply, PortDescRequest, PortMod, PortStatus } from './messages/port.ts';
import type { PortStatsReply, PortStatsRequest } from './messages/port-stats.ts';
import type {
  QueueGetConfigReply,
  QueueGetConfigRequest,
  QueueStatsReply,
  QueueStatsRequest,
} from './messages/queue.ts';
import type { RoleMessage, RoleStatus } from './messages/role.ts';
import type { ConfigMessage, DescReply, FeaturesReply } from './messages/switch.ts';
import type { Echo, ErrorMessage, Hello } from './messages/symmetric.ts';
import type { TableDescReply, TableMod, TableStatsReply, TableStatus } from './messages/table.ts';
import type { TableFeaturesMessage } from './messages/table-features.ts';

/** Messages that are nothing but a header. */
export type EmptyKind =
  | 'features_request'
  | 'get_config_request'
  | 'barrier_request'
  | 'barrier_reply'
  | 'get_async_request'
  | 'desc_request'
  | 'table_stats_request'
  | 'table_desc_request'
  | 'group_features_request'
  | 'meter_features_request'
  | 'flow_monitor_paused'
  | 'flow_monitor_resumed'
  | 'flow_age'
  | 'tlv_table_request'
  | 'ipfix_bridge_stats_request'
  | 'ipfix_flow_stats_request';

type EmptyMessage = { [K in EmptyKind]: Empty<K> }[EmptyKind];

/**
 * Any OpenFlow message, in terms that do not depend on the protocol's version: ports of 32 bits, flags
 * and reasons numbered one way, matches as flow keys with masks, actions as in `actions/types.ts`. What
 * a version cannot say is left out when encoding (or refused with an OfError where leaving it out would
 * change the meaning), and has its neutral value after decoding.
 */
export type OfMessage =
  | Hello
  | ErrorMessage
  | Echo
  | EmptyMessage
  | FeaturesReply
  | ConfigMessage
  | DescReply
  | PacketIn
  | Resume
  | PacketOut
  | FlowMod
  | FlowRemoved
  | FlowStatsRequest
  | FlowStatsReply
  | AggregateStatsReply
  | PortStatus
  | PortMod
  | PortDescRequest
  | PortDescReply
  | PortStatsRequest
  | PortStatsReply
  | QueueStatsRequest
  | QueueStatsReply
  | QueueGetConfigRequest
  | QueueGetConfigReply
  | TableMod
  | TableStatus
  | TableStatsReply
  | TableDescReply
  | TableFeaturesMessage
  | RoleMessage
  | RoleStatus
  | AsyncMessage
  | BundleControl
  | BundleAdd
  | GroupMod
  | GroupStatsRequest
  | GroupStatsReply
  | GroupDescRequest
  | GroupDescReply
  | GroupFeaturesReply
  | MeterMod
  | MeterRequest
  | MeterConfigReply
  | MeterStatsReply
  | MeterFeaturesReply
  | FlowMonitorRequest
  | FlowMonitorReply
  | FlowMonitorCancel
  | RequestForward
  | SetFlowFormat
  | FlowModTableId
  | SetPacketInFormat
  | SetControllerId
  | TlvTableMod
  | TlvTableReply
  | CtFlushZone
  | CtFlush
  | IpfixStatsReply;

export type OfKind = OfMessage['kind'];

/** The message of kind `K`. */
export type OfMessageOf<K extends OfKind> = OfMessage extends infer M
  ? M extends OfMessage
    ? K extends M['kind']
      ? M & { readonly kind: K }
      : never
    : never
  : never;

export type { Header };

/** What one connection has agreed on, beyond the version, that the codec must know. */
export interface CodecOptions {
  /** NXT_FLOW_MOD_TABLE_ID is on: OpenFlow 1.0 flow mods carry a table id. */
  readonly flowModTableId?: boolean;
  /** The switch's table of tunnel options; without it each match finds its own places for them. */
  readonly tun?: TunnelMetadataMap;
  /** Hears of flows that no reply has room for; without it there is no reply. */
  readonly oversizedFlow?: () => void;
  /**
   * What the match of the message is read into, where there is one, instead of a new one: what is decoded is then good
   * until the next is. Not for messages within messages.
   */
  readonly into?: Match;
  /** Take the debug actions, which only switches in test mode know. */
  readonly debugActions?: boolean;
}
