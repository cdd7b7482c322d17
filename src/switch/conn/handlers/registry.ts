import type { OfKind, OfMessageOf } from '../../../openflow/message.ts';
import type { Connection } from '../connection.ts';
import type { OpenFlowSwitch } from '../openflow-switch.ts';
import { handleGetAsync, handleSetAsync } from './async.ts';
import { handleBundleAdd, handleBundleControl } from './bundles.ts';
import { handleBarrier, handleConfig, handleDesc, handleFeatures, handleGetConfig } from './features.ts';
import { handleAggregate, handleFlowMod, handleFlowStats } from './flows.ts';
import { handleGroupDesc, handleGroupFeatures, handleGroupMod, handleGroupStats } from './groups.ts';
import { handleMeterConfig, handleMeterFeatures, handleMeterMod, handleMeterStats } from './meters.ts';
import { handleFlowMonitor, handleFlowMonitorCancel } from './monitor.ts';
import {
  handleControllerId,
  handleCtFlush,
  handleFlowFormat,
  handleFlowModTableId,
  handleIpfixStats,
  handlePacketInFormat,
} from './nicira.ts';
import { handlePacketOut } from './packet-out.ts';
import { handlePortDesc, handlePortMod, handlePortStats } from './ports.ts';
import { handleQueueConfig, handleQueueStats } from './queues.ts';
import { handleResume } from './resume.ts';
import { handleRole } from './role.ts';
import { handleTableDesc, handleTableFeatures, handleTableMod, handleTableStats } from './tables.ts';
import { handleTlvTable, handleTlvTableMod } from './tlv-table.ts';

/**
 * Carries out one kind of request. Throws OfError for what can't be done, which becomes an error reply
 * with the offending bytes.
 */
export type Handler<K extends OfKind> = (
  side: OpenFlowSwitch,
  connection: Connection,
  message: OfMessageOf<K>,
  bytes: Uint8Array,
) => void;

/** Every kind of request that a switch takes. */
export const HANDLERS: { readonly [K in OfKind]?: Handler<K> } = {
  error: () => {},
  features_request: handleFeatures,
  get_config_request: handleGetConfig,
  set_config: handleConfig,
  barrier_request: handleBarrier,
  desc_request: handleDesc,
  flow_mod: handleFlowMod,
  flow_stats_request: handleFlowStats,
  aggregate_stats_request: handleAggregate,
  table_stats_request: handleTableStats,
  table_features_request: handleTableFeatures,
  table_desc_request: handleTableDesc,
  table_mod: handleTableMod,
  group_mod: handleGroupMod,
  group_stats_request: handleGroupStats,
  group_desc_request: handleGroupDesc,
  group_features_request: handleGroupFeatures,
  meter_mod: handleMeterMod,
  meter_stats_request: handleMeterStats,
  meter_config_request: handleMeterConfig,
  meter_features_request: handleMeterFeatures,
  queue_stats_request: handleQueueStats,
  queue_get_config_request: handleQueueConfig,
  flow_monitor_request: handleFlowMonitor,
  flow_monitor_cancel: handleFlowMonitorCancel,
  bundle_control: handleBundleControl,
  bundle_add: handleBundleAdd,
  ct_flush: handleCtFlush,
  ct_flush_zone: handleCtFlush,
  ipfix_bridge_stats_request: handleIpfixStats,
  ipfix_flow_stats_request: handleIpfixStats,
  tlv_table_mod: handleTlvTableMod,
  tlv_table_request: handleTlvTable,
  port_desc_request: handlePortDesc,
  port_stats_request: handlePortStats,
  port_mod: handlePortMod,
  packet_out: handlePacketOut,
  resume: handleResume,
  role_request: handleRole,
  get_async_request: handleGetAsync,
  set_async_config: handleSetAsync,
  set_flow_format: handleFlowFormat,
  flow_mod_table_id: handleFlowModTableId,
  set_packet_in_format: handlePacketInFormat,
  set_controller_id: handleControllerId,
};
