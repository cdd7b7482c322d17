import type { OfKind, OfMessageOf } from '../../../openflow/message.ts';
import type { Connection } from '../connection.ts';
import type { OpenFlowSwitch } from '../openflow-switch.ts';
import { handleGetAsync, handleSetAsync } from './async.ts';
import { handleBarrier, handleConfig, handleDesc, handleFeatures, handleGetConfig } from './features.ts';
import { handleAggregate, handleFlowMod, handleFlowStats } from './flows.ts';
import {
  handleControllerId,
  handleFlowFormat,
  handleFlowModTableId,
  handlePacketInFormat,
} from './nicira.ts';
import { handlePacketOut } from './packet-out.ts';
import { handlePortDesc, handlePortMod, handlePortStats } from './ports.ts';
import { handleRole } from './role.ts';
import { handleTableStats } from './tables.ts';

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
  port_desc_request: handlePortDesc,
  port_stats_request: handlePortStats,
  port_mod: handlePortMod,
  packet_out: handlePacketOut,
  role_request: handleRole,
  get_async_request: handleGetAsync,
  set_async_config: handleSetAsync,
  set_flow_format: handleFlowFormat,
  flow_mod_table_id: handleFlowModTableId,
  set_packet_in_format: handlePacketInFormat,
  set_controller_id: handleControllerId,
};
