import { extractFlow } from '../../../datapath/packet/extract.ts';
import { Packet } from '../../../datapath/packet/packet.ts';
import { newFlow, W_IN_PORT } from '../../../flow/layout.ts';
import { OfError } from '../../../openflow/errors.ts';
import type { OfMessageOf } from '../../../openflow/message.ts';
import { PreparedPacketOut } from '../../upcall/packet-out.ts';
import { saveMetadata } from '../../xlate/frozen.ts';
import type { Connection } from '../connection.ts';
import { frozenOf } from '../continuation.ts';
import type { OpenFlowSwitch } from '../openflow-switch.ts';
import { rejectIfSecondary } from './role.ts';

/** A controller lets a packet go on that `controller(pause)` gave to it, maybe changed. */
export function handleResume(
  side: OpenFlowSwitch,
  connection: Connection,
  message: OfMessageOf<'resume'>,
): void {
  rejectIfSecondary(connection);
  const { ofproto, slowPath } = side;
  const { packet, metadata } = message;
  const flow = newFlow();
  extractFlow(new Packet(packet), flow);
  for (let i = 0; i < flow.length; i++) flow[i] |= metadata.flow[i] & metadata.mask[i];
  flow[W_IN_PORT] = metadata.flow[W_IN_PORT];
  const frozen = frozenOf(
    ofproto,
    message.continuation,
    saveMetadata(flow),
    connection.version,
    connection.codecOptions,
  );
  const { version } = ofproto;
  const prepared = new PreparedPacketOut(slowPath, { ofproto, packet, flow, frozen, version });
  if (prepared.error !== 'ok') {
    prepared.drop();
    throw new OfError('OFPFMFC_UNKNOWN', `the packet cannot go on: ${prepared.error}`);
  }
  prepared.send();
}
