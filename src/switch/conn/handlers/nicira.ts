import { OfError } from '../../../openflow/errors.ts';
import type { OfMessageOf } from '../../../openflow/message.ts';
import { addressFamily } from '../../../openflow/messages/index.ts';
import { anyConnection, flushConnections, flushZone } from '../../conntrack/match.ts';
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

/** Forgets connections; that none matches is no error. */
export function handleCtFlush(
  side: OpenFlowSwitch,
  _connection: Connection,
  message: OfMessageOf<'ct_flush' | 'ct_flush_zone'>,
): void {
  const target = { datapath: side.slowPath.datapath, log: side.options.log.module('ct_dpif') };
  if (message.kind === 'ct_flush_zone') {
    flushZone(target, message.zone);
    return;
  }
  const match = anyConnection();
  match.protocol = message.ipProto;
  for (const direction of ['orig', 'reply'] as const) {
    const tuple = message[direction];
    if (tuple === null) continue;
    const { src, dst, ...numbers } = tuple;
    const family = addressFamily(src) ?? addressFamily(dst);
    if (family !== null) match.version = family === 'ipv4' ? 4 : 6;
    Object.assign(match[direction], numbers, { src: addressOf(src), dst: addressOf(dst) });
  }
  flushConnections(target, message.zone, match);
}

/** An address of a message: IPv4 stands in its last four bytes; null: it may be any. */
function addressOf(bytes: Uint8Array): Uint8Array | null {
  const family = addressFamily(bytes);
  return family === null ? null : family === 'ipv4' ? bytes.slice(12) : bytes;
}

/** Flows are exported by nobody yet. */
export function handleIpfixStats(
  _side: OpenFlowSwitch,
  _connection: Connection,
  message: OfMessageOf<'ipfix_bridge_stats_request' | 'ipfix_flow_stats_request'>,
): void {
  throw new OfError('NXST_NOT_CONFIGURED', `${message.kind}: IPFIX is not configured`);
}
