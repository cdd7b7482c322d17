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
