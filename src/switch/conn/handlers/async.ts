import type { OfMessageOf } from '../../../openflow/message.ts';
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

export function handleSetAsync(
  _side: OpenFlowSwitch,
  connection: Connection,
  message: OfMessageOf<'set_async_config'>,
): void {
  connection.state.asyncConfig = { ...asyncConfig(connection), ...message.config };
  // Who says what it wants to hear, listens.
  if (connection.options.kind === 'service' && connection.state.missSendLen === 0)
    connection.state.missSendLen = 128;
}
