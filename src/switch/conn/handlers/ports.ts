import {
  OFPP_ANY,
  PC_NO_FLOOD,
  PC_NO_FWD,
  PC_NO_PACKET_IN,
  PC_NO_RECV,
  PC_NO_RECV_STP,
  PC_PORT_DOWN,
} from '../../../openflow/constants.ts';
import { OfError } from '../../../openflow/errors.ts';
import type { OfMessageOf } from '../../../openflow/message.ts';
import type { PortStats } from '../../../openflow/messages/port-stats.ts';
import type { OfPort } from '../../ofproto/port.ts';
import type { Connection } from '../connection.ts';
import { portDesc } from '../messages/port-desc.ts';
import type { OpenFlowSwitch } from '../openflow-switch.ts';
import { rejectIfSecondary } from './role.ts';

export function handlePortDesc(
  side: OpenFlowSwitch,
  connection: Connection,
  message: OfMessageOf<'port_desc_request'>,
): void {
  const ports = selectPorts(side, message.port, false);
  connection.send({
    kind: 'port_desc_reply',
    ...connection.replyHeader(message),
    more: false,
    ports: ports.map(portDesc),
  });
}

export function handlePortStats(
  side: OpenFlowSwitch,
  connection: Connection,
  message: OfMessageOf<'port_stats_request'>,
): void {
  const ports = selectPorts(side, message.port, true).map((port) => portStats(side, port));
  connection.send({ kind: 'port_stats_reply', ...connection.replyHeader(message), more: false, ports });
}

function selectPorts(side: OpenFlowSwitch, wanted: number, mustExist: boolean): readonly OfPort[] {
  if (wanted === OFPP_ANY) return side.ofproto.ports();
  const port = side.ofproto.port(wanted);
  if (port === undefined && mustExist) throw new OfError('OFPBRC_BAD_PORT', `port ${wanted} does not exist`);
  return port === undefined ? [] : [port];
}

function portStats(side: OpenFlowSwitch, port: OfPort): PortStats {
  const c =
    port.dpPort === null || port.tunnel !== null
      ? { ...port.counters, rxErrors: 0, rxDropped: 0, txErrors: 0, txDropped: 0 }
      : side.slowPath.datapath.portStats(port.dpPort);
  const unknown = 0xffffffffffffffffn;
  const virtual = port.dpPort === null || port.tunnel !== null;
  const age = side.clock.now() - port.created;
  const uncounted = virtual || port.details?.countsErrors === false;
  const known = (n: number): bigint => (uncounted ? unknown : BigInt(n));
  return {
    port: port.ofPort,
    rxPackets: BigInt(c.rxPackets),
    txPackets: BigInt(c.txPackets),
    rxBytes: BigInt(c.rxBytes),
    txBytes: BigInt(c.txBytes),
    rxDropped: known(c.rxDropped),
    txDropped: known(c.txDropped),
    rxErrors: known(c.rxErrors),
    txErrors: known(c.txErrors),
    rxFrameErr: known(0),
    rxOverErr: known(0),
    rxCrcErr: known(0),
    collisions: known(0),
    durationSec: Math.floor(age / 1000),
    durationNsec: Math.floor((age % 1000) * 1e6),
    rfc2819: null,
    custom: port.details?.customStats ?? [],
  };
}

const CHANGEABLE = PC_PORT_DOWN | PC_NO_RECV | PC_NO_RECV_STP | PC_NO_FLOOD | PC_NO_FWD | PC_NO_PACKET_IN;

export function handlePortMod(
  side: OpenFlowSwitch,
  connection: Connection,
  message: OfMessageOf<'port_mod'>,
): void {
  rejectIfSecondary(connection);
  portMod(side, message, connection);
}

/** The port that a port mod means. @throws OfError */
export function checkPortMod(side: OpenFlowSwitch, message: OfMessageOf<'port_mod'>): OfPort {
  const port = side.ofproto.port(message.port);
  if (port === undefined) throw new OfError('OFPPMFC_BAD_PORT', `port ${message.port} does not exist`);
  if (!port.mac.every((byte, i) => byte === message.hwAddr[i])) {
    throw new OfError('OFPPMFC_BAD_HW_ADDR', `port ${port.name} has another MAC address`);
  }
  return port;
}

/** Carries out a port mod. @throws OfError */
export function portMod(side: OpenFlowSwitch, message: OfMessageOf<'port_mod'>, source: Connection): void {
  const port = checkPortMod(side, message);
  const mask = message.mask & CHANGEABLE;
  const config = (port.config & ~mask) | (message.config & mask);
  const up = (config & PC_PORT_DOWN) === 0;
  const changed = config !== port.config;
  port.config = config;
  if ((mask & PC_PORT_DOWN) !== 0 && up !== port.adminUp) {
    // What was asked for, and then what the device makes of it.
    side.portConfigured(port, config, source);
    side.setAdminUp(port, up);
    return;
  }
  if (!changed) return;
  side.ofproto.portsChanged();
  side.portModified(port, source);
}
