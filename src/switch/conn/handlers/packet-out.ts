import { extractFlow } from '../../../datapath/packet/extract.ts';
import { Packet } from '../../../datapath/packet/packet.ts';
import { newFlow, W_IN_PORT } from '../../../flow/layout.ts';
import { checkActions } from '../../../openflow/actions/index.ts';
import { NO_BUFFER, OFPP_CONTROLLER, OFPP_LOCAL, OFPP_MAX, OFPP_NONE } from '../../../openflow/constants.ts';
import { OfError } from '../../../openflow/errors.ts';
import type { OfMessageOf } from '../../../openflow/message.ts';
import { N_TABLES } from '../../ofproto/ofproto.ts';
import type { Connection } from '../connection.ts';
import type { OpenFlowSwitch } from '../openflow-switch.ts';
import { rejectIfSecondary } from './role.ts';

/** A controller sends a packet: its actions are translated and executed as if a flow had them. */
export function handlePacketOut(
  side: OpenFlowSwitch,
  connection: Connection,
  message: OfMessageOf<'packet_out'>,
): void {
  rejectIfSecondary(connection);
  if (message.bufferId !== NO_BUFFER)
    throw new OfError('OFPBRC_BUFFER_UNKNOWN', `buffer ${message.bufferId}: none are kept`);
  const inPort = message.metadata.flow[W_IN_PORT];
  if (inPort >= OFPP_MAX && inPort !== OFPP_LOCAL && inPort !== OFPP_NONE && inPort !== OFPP_CONTROLLER) {
    throw new OfError('OFPBRC_BAD_PORT', `input port 0x${inPort.toString(16)}`);
  }
  const flow = newFlow();
  extractFlow(new Packet(message.packet), flow);
  for (let i = 0; i < flow.length; i++) flow[i] |= message.metadata.flow[i] & message.metadata.mask[i];
  flow[W_IN_PORT] = inPort;
  const mask = newFlow().fill(0xffffffff);
  const { actions } = checkActions(message.actions, { match: { flow, mask }, table: 0, tables: N_TABLES });
  side.slowPath.packetOut(side.ofproto, message.packet, flow, actions);
}
