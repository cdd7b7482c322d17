import { extractFlow } from '../../../datapath/packet/extract.ts';
import { Packet } from '../../../datapath/packet/packet.ts';
import { type Flow, newFlow, W_IN_PORT } from '../../../flow/layout.ts';
import { checkConsistency } from '../../../openflow/actions/index.ts';
import type { Action } from '../../../openflow/actions/types.ts';
import { NO_BUFFER, OFPP_CONTROLLER, OFPP_LOCAL, OFPP_MAX, OFPP_NONE } from '../../../openflow/constants.ts';
import { OfError } from '../../../openflow/errors.ts';
import type { OfMessageOf } from '../../../openflow/message.ts';
import { N_TABLES } from '../../ofproto/ofproto.ts';
import { checkReferences } from '../../ofproto/transaction.ts';
import { PreparedPacketOut } from '../../upcall/packet-out.ts';
import type { Connection } from '../connection.ts';
import type { OpenFlowSwitch } from '../openflow-switch.ts';
import { protocolsOf } from './flows.ts';
import { rejectIfSecondary } from './role.ts';

/** A controller sends a packet: its actions are translated and executed as if a flow had them. */
export function handlePacketOut(
  side: OpenFlowSwitch,
  connection: Connection,
  message: OfMessageOf<'packet_out'>,
): void {
  rejectIfSecondary(connection);
  preparePacketOut(side, connection, message, side.ofproto.version).send();
}

/** Ports that a bridge may have: what 16 bits can say. */
const MAX_PORTS = 0xff00;

/** Key and actions of a packet-out, or OfError. */
export function checkPacketOut(
  connection: Connection,
  message: OfMessageOf<'packet_out'>,
): { flow: Flow; actions: readonly Action[] } {
  const inPort = message.metadata.flow[W_IN_PORT];
  const reserved = inPort === OFPP_LOCAL || inPort === OFPP_NONE || inPort === OFPP_CONTROLLER;
  if ((inPort >= MAX_PORTS && inPort < OFPP_MAX) || (inPort >= OFPP_MAX && !reserved)) {
    throw new OfError('OFPBRC_BAD_PORT', `input port 0x${inPort.toString(16)}`);
  }
  if (message.bufferId !== NO_BUFFER) {
    throw new OfError('OFPBRC_BUFFER_UNKNOWN', `buffer ${message.bufferId}: none are kept`);
  }
  const flow = newFlow();
  extractFlow(new Packet(message.packet), flow);
  for (let i = 0; i < flow.length; i++) flow[i] |= message.metadata.flow[i] & message.metadata.mask[i];
  flow[W_IN_PORT] = inPort;
  const mask = newFlow().fill(0xffffffff);
  const actions = checkConsistency(message.actions, protocolsOf(connection), {
    match: { flow, mask },
    table: 0,
    tables: N_TABLES,
  });
  return { flow, actions };
}

/** Translates a packet-out as the tables are in `version`. @throws OfError. */
export function preparePacketOut(
  side: OpenFlowSwitch,
  connection: Connection,
  message: OfMessageOf<'packet_out'>,
  version: number,
): PreparedPacketOut {
  const { flow, actions } = checkPacketOut(connection, message);
  checkReferences(side, actions);
  const { ofproto, slowPath } = side;
  const prepared = new PreparedPacketOut(slowPath, {
    ofproto,
    packet: message.packet,
    flow,
    actions,
    version,
  });
  if (prepared.error !== 'ok') {
    prepared.drop();
    throw new OfError('OFPFMFC_UNKNOWN', `its actions cannot be carried out: ${prepared.error}`);
  }
  return prepared;
}
