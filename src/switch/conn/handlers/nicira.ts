import { OfError } from '../../../openflow/errors.ts';
import type { OfMessageOf } from '../../../openflow/message.ts';
import type { Connection } from '../connection.ts';
import type { OpenFlowSwitch } from '../openflow-switch.ts';

/** Formats are understood whatever was asked for: nothing to remember. */
export function handleFlowFormat(): void {}

export function handleFlowModTableId(
  _side: OpenFlowSwitch,
  connection: Connection,
  message: OfMessageOf<'flow_mod_table_id'>,
): void {
  connection.state.flowModTableId = message.enable;
}

export function handlePacketInFormat(
  _side: OpenFlowSwitch,
  connection: Connection,
  message: OfMessageOf<'set_packet_in_format'>,
): void {
  connection.state.packetInFormat = message.format;
}

export function handleControllerId(
  _side: OpenFlowSwitch,
  connection: Connection,
  message: OfMessageOf<'set_controller_id'>,
): void {
  connection.state.controllerId = message.id;
}

/** No datapath here remembers connections: there is nothing to forget. */
export function handleCtFlush(
  _side: OpenFlowSwitch,
  _connection: Connection,
  _message: OfMessageOf<'ct_flush' | 'ct_flush_zone'>,
): void {}

/** Flows are exported by nobody yet. */
export function handleIpfixStats(
  _side: OpenFlowSwitch,
  _connection: Connection,
  message: OfMessageOf<'ipfix_bridge_stats_request' | 'ipfix_flow_stats_request'>,
): void {
  throw new OfError('NXST_NOT_CONFIGURED', `${message.kind}: IPFIX is not configured`);
}
