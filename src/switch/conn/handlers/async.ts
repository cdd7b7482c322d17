import { OFPR_ACTION, OFPR14_ACTION_BITS } from '../../../openflow/constants.ts';
import type { OfMessageOf } from '../../../openflow/message.ts';
import { OF14 } from '../../../openflow/version.ts';
import { asyncConfig } from '../async.ts';
import type { Connection } from '../connection.ts';
import type { OpenFlowSwitch } from '../openflow-switch.ts';

export function handleGetAsync(
  _side: OpenFlowSwitch,
  connection: Connection,
  message: OfMessageOf<'get_async_request'>,
): void {
  connection.send({
    kind: 'get_async_reply',
    ...connection.replyHeader(message),
    config: asyncConfig(connection),
  });
}

/** Before OpenFlow 1.4 all that actions send has one reason. */
function withActions(reasons: number): number {
  return (reasons & (1 << OFPR_ACTION)) !== 0 ? reasons | OFPR14_ACTION_BITS : reasons;
}

export function handleSetAsync(
  _side: OpenFlowSwitch,
  connection: Connection,
  message: OfMessageOf<'set_async_config'>,
): void {
  const config = { ...asyncConfig(connection), ...message.config };
  const { primary, secondary } = config.packet_in;
  connection.state.asyncConfig =
    connection.version >= OF14
      ? config
      : { ...config, packet_in: { primary: withActions(primary), secondary: withActions(secondary) } };
  // Who says what it wants to hear, listens.
  if (connection.options.kind === 'service' && connection.state.missSendLen === 0)
    connection.state.missSendLen = 128;
}
