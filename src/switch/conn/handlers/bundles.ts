import { Match } from '../../../flow/match.ts';
import { OFPBF_ATOMIC } from '../../../openflow/constants.ts';
import { OfError } from '../../../openflow/errors.ts';
import type { OfMessage, OfMessageOf } from '../../../openflow/message.ts';
import type { BundleControlType } from '../../../openflow/messages/bundle.ts';
import { TablesTransaction } from '../../ofproto/transaction.ts';
import type { PreparedPacketOut } from '../../upcall/packet-out.ts';
import type { BundledMessage, BundleEntry } from '../bundles.ts';
import { readBytes } from '../byte-store.ts';
import type { Connection } from '../connection.ts';
import type { OpenFlowSwitch } from '../openflow-switch.ts';
import { checkedFlowMod } from './flows.ts';
import { forwardGroupMod } from './groups.ts';
import { checkPacketOut, preparePacketOut } from './packet-out.ts';
import { checkPortMod, portMod } from './ports.ts';
import { rejectIfSecondary } from './role.ts';

export function handleBundleControl(
  side: OpenFlowSwitch,
  connection: Connection,
  message: OfMessageOf<'bundle_control'>,
  bytes: Uint8Array,
): void {
  rejectIfSecondary(connection);
  const { bundle, flags, type } = message;
  const { bundles } = connection.state;
  const now = side.clock.now();
  let reply: BundleControlType;
  switch (type) {
    case 'open_request':
      bundles.open(bundle, flags, bytes.slice(), now);
      reply = 'open_reply';
      break;
    case 'close_request':
      bundles.close(bundle, flags, now);
      reply = 'close_reply';
      break;
    case 'commit_request':
      commit(side, connection, bundles.take(bundle, flags).entries, flags);
      reply = 'commit_reply';
      break;
    case 'discard_request':
      bundles.discard(bundle);
      reply = 'discard_reply';
      break;
    default:
      throw new OfError('OFPBFC_BAD_TYPE', `a switch takes no bundle ${type}`);
  }
  connection.send({
    kind: 'bundle_control',
    ...connection.replyHeader(message),
    bundle,
    type: reply,
    flags: 0,
  });
}

export function handleBundleAdd(
  side: OpenFlowSwitch,
  connection: Connection,
  message: OfMessageOf<'bundle_add'>,
  bytes: Uint8Array,
): void {
  rejectIfSecondary(connection);
  const inner = checked(connection, connection.decode(message.message));
  connection.state.bundles.add(message.bundle, message.flags, inner, bytes, side.clock.now());
}

/** What can be known of a message before the commit must be right when it is added. */
function checked(connection: Connection, inner: OfMessage): BundledMessage {
  switch (inner.kind) {
    case 'flow_mod': {
      const { actions } = checkedFlowMod(connection, inner);
      return { ...inner, actions, match: connection.state.bundles.compact(inner.match) };
    }
    case 'group_mod':
    case 'port_mod':
      return inner;
    case 'packet_out':
      checkPacketOut(connection, inner);
      return inner;
    default:
      throw new OfError('OFPBFC_MSG_UNSUP', `a ${inner.kind} cannot stand in a bundle`);
  }
}

/**
 * Carries out all messages, or none but for port mods, which an atomic bundle therefore can't have.
 * Messages are carried out in their order whatever the flags say.
 */
function commit(
  side: OpenFlowSwitch,
  connection: Connection,
  entries: readonly BundleEntry[],
  flags: number,
): void {
  const transaction = new TablesTransaction(side, null);
  const match = new Match(side.tlvTable);
  const packets: PreparedPacketOut[] = [];
  let current: BundleEntry | null = null;
  try {
    for (const entry of entries) {
      current = entry;
      transaction.requester = { connection, xid: entry.message.xid };
      const packet = begin({ side, connection, transaction, match, flags }, entry.message);
      if (packet !== null) packets.push(packet);
    }
  } catch (error) {
    transaction.revert();
    for (const packet of packets) packet.drop();
    if (!(error instanceof OfError) || current === null) throw error;
    // The message that failed is told first, then the bundle as a whole.
    connection.sendError(error, readBytes(current.request));
    throw new OfError('OFPBFC_MSG_FAILED', `bundle not committed: ${error.message}`, { cause: error });
  }
  transaction.commit();
  for (const { message } of entries) {
    if (message.kind === 'flow_mod') side.countFlowMod(connection, message.command);
    else if (message.kind === 'port_mod') portMod(side, message, connection);
    else if (message.kind === 'group_mod') forwardGroupMod(side, connection, message);
  }
  for (const packet of packets) packet.send();
}

interface Commit {
  readonly side: OpenFlowSwitch;
  readonly connection: Connection;
  readonly transaction: TablesTransaction;
  /** Becomes that of one flow mod after the other. */
  readonly match: Match;
  readonly flags: number;
}

function begin(
  { side, connection, transaction, match, flags }: Commit,
  message: BundledMessage,
): PreparedPacketOut | null {
  switch (message.kind) {
    case 'flow_mod':
      message.match.expandTo(match);
      transaction.flow({ ...message, match });
      return null;
    case 'group_mod':
      transaction.group(message);
      return null;
    case 'port_mod':
      if ((flags & OFPBF_ATOMIC) !== 0) {
        throw new OfError('OFPBFC_MSG_FAILED', 'port mods cannot be part of an atomic bundle');
      }
      checkPortMod(side, message);
      return null;
    case 'packet_out':
      return preparePacketOut(side, connection, message, transaction.version);
  }
}
