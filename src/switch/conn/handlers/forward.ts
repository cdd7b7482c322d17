import { OfError } from '../../../openflow/errors.ts';
import type { OfMessageOf } from '../../../openflow/message.ts';
import type { OfVersion } from '../../../openflow/version.ts';
import { wantsAsync } from '../async.ts';
import type { Connection } from '../connection.ts';
import type { OpenFlowSwitch } from '../openflow-switch.ts';

type Forwardable = OfMessageOf<'group_mod'> | OfMessageOf<'meter_mod'>;

/**
 * Shows a request of one controller to all others that asked for such (OpenFlow 1.5, 7.4.6); `reason` is
 * OFPRFR_*. Who speaks a version that can't say it hears nothing.
 */
export function forwardRequest(
  side: OpenFlowSwitch,
  from: Connection,
  reason: number,
  make: (version: OfVersion) => Forwardable,
): void {
  for (const connection of side.controllers.connections()) {
    if (connection === from || !connection.acceptsAsync) continue;
    if (!wantsAsync(connection, 'requestforward', reason)) continue;
    const { version } = connection;
    try {
      const request = make(version);
      connection.send({ kind: 'requestforward', version, xid: request.xid, request });
    } catch (error) {
      if (!(error instanceof OfError)) throw error;
    }
  }
}
