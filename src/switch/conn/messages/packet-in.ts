import {
  N_REGS,
  W_CT_LABEL,
  W_CT_MARK,
  W_CT_STATE,
  W_IN_PORT,
  W_METADATA,
  W_PKT_MARK,
  W_REG,
  W_TUN_ID,
} from '../../../flow/layout.ts';
import { Match } from '../../../flow/match.ts';
import { NO_BUFFER, OFPR_ACTION, OFPR_NO_MATCH, UINT64_MAX } from '../../../openflow/constants.ts';
import type { OfMessage } from '../../../openflow/message.ts';
import type { SlowPathPacketIn } from '../../upcall/slow-path.ts';
import { restoreMetadata } from '../../xlate/frozen.ts';
import type { Connection } from '../connection.ts';
import type { OpenFlowSwitch } from '../openflow-switch.ts';

/** What a controller gets for a packet that the pipeline sent it; null where its state is gone. */
export function packetInMessage(
  side: OpenFlowSwitch,
  connection: Connection,
  packetIn: SlowPathPacketIn,
): OfMessage | null {
  const state = side.ofproto.recircIds.get(packetIn.recircId);
  if (state === undefined) return null;
  const flow = packetIn.flow.slice();
  restoreMetadata(state.metadata, flow);
  const metadata = new Match();
  for (const [first, n] of PIPELINE_WORDS) {
    for (let word = first; word < first + n; word++) {
      if (flow[word] === 0) continue;
      metadata.flow[word] = flow[word];
      metadata.mask[word] = 0xffffffff;
    }
  }
  metadata.flow[W_IN_PORT] = flow[W_IN_PORT];
  metadata.mask[W_IN_PORT] = 0xffffffff;
  const { packet, reason, ruleCookie } = packetIn;
  // A miss is cut to what the controller asked for; an action says itself how much it sends.
  const limit =
    reason === OFPR_ACTION
      ? packetIn.maxLen
      : reason === OFPR_NO_MATCH
        ? connection.state.missSendLen || 0xffff
        : packetIn.maxLen;
  return {
    kind: 'packet_in',
    version: connection.version,
    xid: 0,
    variant: VARIANTS[connection.state.packetInFormat],
    packet: packet.slice(0, Math.min(packet.length, limit)),
    totalLen: packet.length,
    bufferId: NO_BUFFER,
    metadata,
    reason,
    table: state.table,
    cookie: ruleCookie === UINT64_MAX ? UINT64_MAX : ruleCookie,
    userdata: state.userdata,
    continuation: new Uint8Array(),
  };
}

const VARIANTS = { standard: 'std', nxt_packet_in: 'nx', nxt_packet_in2: 'nx2' } as const;

/** Words of the key that say something of the pipeline rather than of the packet. */
const PIPELINE_WORDS: readonly (readonly [first: number, n: number])[] = [
  [W_TUN_ID, W_METADATA - W_TUN_ID],
  [W_METADATA, 2],
  [W_REG, N_REGS],
  [W_PKT_MARK, 1],
  [W_CT_STATE, 1],
  [W_CT_MARK, 1],
  [W_CT_LABEL, 4],
];
