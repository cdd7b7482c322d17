import type { Field } from '../../../flow/field.ts';
import { getField, maskField } from '../../../flow/field-access.ts';
import { F, FIELDS } from '../../../flow/fields.ts';
import { type Flow, W_CT_STATE, W_IN_PORT, W_TUN_METADATA_PRESENT } from '../../../flow/layout.ts';
import { Match } from '../../../flow/match.ts';
import { NO_BUFFER } from '../../../openflow/constants.ts';
import type { OfMessage } from '../../../openflow/message.ts';
import type { PacketInFormat } from '../../../openflow/messages/packet-in.ts';
import type { SlowPathPacketIn } from '../../upcall/slow-path.ts';
import { type FrozenState, restoreMetadata } from '../../xlate/frozen.ts';
import type { Connection } from '../connection.ts';
import { continuationOf } from '../continuation.ts';
import type { OpenFlowSwitch } from '../openflow-switch.ts';

const VARIANTS = { standard: 'std', nxt_packet_in: 'nx', nxt_packet_in2: 'nx2' } as const satisfies Record<
  PacketInFormat,
  string
>;

/** Fields that say something of the pipeline, or of how the packet came, rather than of the packet. */
const NAMES =
  /^(tun_(id|flags|src|dst|ipv6_src|ipv6_dst|gbp_id|gbp_flags|erspan_(ver|idx|dir|hwid)|gtpu_(flags|msgtype))|metadata|reg\d+|pkt_mark|ct_(state|zone|mark|label))$/;
const METADATA_FIELDS: readonly Field[] = FIELDS.filter((field) => NAMES.test(field.name));
const CT_TUPLE_V4 = FIELDS.filter((field) => /^ct_(nw_(src|dst|proto)|tp_(src|dst))$/.test(field.name));
const CT_TUPLE_V6 = FIELDS.filter((field) => /^ct_(ipv6_(src|dst)|nw_proto|tp_(src|dst))$/.test(field.name));
const ETH_TYPE_IP = 0x0800n;
const ETH_TYPE_IPV6 = 0x86ddn;

/** What a controller gets for a packet that the pipeline sent it; null where its state is gone. */
export function packetInMessage(
  side: OpenFlowSwitch,
  connection: Connection,
  packetIn: SlowPathPacketIn,
): OfMessage | null {
  const state = side.ofproto.recircIds.get(packetIn.recircId);
  if (state === undefined) return null;
  const { packet, reason, ruleCookie, maxLen } = packetIn;
  return {
    kind: 'packet_in',
    version: connection.version,
    xid: 0,
    variant: VARIANTS[connection.state.packetInFormat],
    // The action says how much is sent; nothing is kept, so that a miss is sent whole.
    packet: packet.slice(0, Math.min(packet.length, maxLen)),
    totalLen: packet.length,
    bufferId: NO_BUFFER,
    metadata: packetMetadata(side, packetIn, state),
    reason,
    table: state.table,
    cookie: ruleCookie,
    userdata: state.userdata,
    continuation: packetIn.continuation
      ? continuationOf(state, dpPort(side, packetIn), connection.version)
      : new Uint8Array(),
  };
}

function dpPort(side: OpenFlowSwitch, { flow }: SlowPathPacketIn): number {
  return side.ofproto.port(flow[W_IN_PORT])?.dpPort ?? 0;
}

function packetMetadata(side: OpenFlowSwitch, packetIn: SlowPathPacketIn, state: FrozenState): Match {
  const flow = packetIn.flow.slice();
  restoreMetadata(state.metadata, flow);
  const metadata = new Match(side.tlvTable);
  const { mask } = metadata;
  for (const field of METADATA_FIELDS) if (getField(flow, field) !== 0n) maskField(mask, field);
  if (mask[W_CT_STATE] !== 0 && getField(mask, F.ctState) !== 0n) maskConnection(flow, mask);
  for (const { index } of side.tlvTable.options()) {
    const field = side.tlvTable.field(index);
    const word = W_TUN_METADATA_PRESENT + (index < 32 ? 1 : 0);
    const bit = 2 ** (index % 32);
    if (field === null || (flow[word] & bit) === 0) continue;
    maskField(mask, field);
    mask[word] |= bit;
  }
  mask[W_IN_PORT] = 0xffffffff;
  for (let i = 0; i < mask.length; i++) metadata.flow[i] = flow[i] & mask[i];
  return metadata;
}

/** The connection's addresses, and the type that says how to read them. */
function maskConnection(flow: Flow, mask: Flow): void {
  maskField(mask, F.ethType);
  if (getField(flow, F.ctNwProto) === 0n) return;
  const type = getField(flow, F.ethType);
  const tuple = type === ETH_TYPE_IP ? CT_TUPLE_V4 : type === ETH_TYPE_IPV6 ? CT_TUPLE_V6 : [];
  for (const field of tuple) maskField(mask, field);
}
