import { OFPCRR_PRIMARY_REQUEST, UINT64_MAX } from '../../../openflow/constants.ts';
import { OfError } from '../../../openflow/errors.ts';
import type { OfMessageOf } from '../../../openflow/message.ts';
import { OF13 } from '../../../openflow/version.ts';
import type { Connection } from '../connection.ts';
import type { OpenFlowSwitch } from '../openflow-switch.ts';

/** A secondary controller may look, not touch. */
export function rejectIfSecondary(connection: Connection): void {
  if (connection.state.role === 'secondary') {
    throw new OfError(
      'OFPBRC_IS_SECONDARY',
      'the connection has the secondary role: it may not change the switch',
    );
  }
}

export function handleRole(
  side: OpenFlowSwitch,
  connection: Connection,
  message: OfMessageOf<'role_request'>,
): void {
  const { role, generationId } = message;
  if (role !== 'nochange') {
    if (generationId !== null && (role === 'primary' || role === 'secondary')) {
      // Newer by serial number arithmetic: requests that were overtaken are refused.
      if (side.generationId !== null && BigInt.asIntN(64, generationId - side.generationId) < 0n) {
        throw new OfError(
          'OFPRRFC_STALE',
          `generation id ${generationId} is older than ${side.generationId}`,
        );
      }
      side.generationId = generationId;
    }
    if (role === 'primary' && connection.state.role !== 'primary') demoteOthers(side, connection);
    connection.state.role = role;
  }
  connection.send({
    kind: 'role_reply',
    ...connection.replyHeader(message),
    role: connection.state.role,
    generationId: side.generationId ?? UINT64_MAX,
  });
}

/** There is one primary at most. */
function demoteOthers(side: OpenFlowSwitch, primary: Connection): void {
  for (const other of side.controllers.connections()) {
    if (other === primary || other.state.role !== 'primary') continue;
    other.state.role = 'secondary';
    if (other.version >= OF13) {
      other.send({
        kind: 'role_status',
        version: other.version,
        xid: 0,
        role: 'secondary',
        reason: OFPCRR_PRIMARY_REQUEST,
        generationId: side.generationId ?? UINT64_MAX,
      });
    }
  }
}
