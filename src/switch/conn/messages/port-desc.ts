import { PC_PORT_DOWN } from '../../../openflow/constants.ts';
import { featuresSpeed, type PortDesc } from '../../../openflow/messages/port.ts';
import type { OfPort } from '../../ofproto/port.ts';

/** A port as OpenFlow describes it. */
export function portDesc(port: OfPort): PortDesc {
  return {
    port: port.ofPort,
    hwAddr: port.mac,
    name: port.name,
    config: (port.config & ~PC_PORT_DOWN) | (port.adminUp ? 0 : PC_PORT_DOWN),
    state: port.state,
    curr: port.features,
    advertised: 0,
    supported: 0,
    peer: 0,
    currSpeed: featuresSpeed(port.features),
    maxSpeed: 0,
  };
}
