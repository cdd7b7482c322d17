import type { OfMessageOf } from '../../../openflow/message.ts';
import { ASYNC_TYPES, type AsyncConfig } from '../../../openflow/messages/async.ts';
import { DEFAULT_ASYNC } from '../async.ts';
import type { Connection } from '../connection.ts';
import type { OpenFlowSwitch } from '../openflow-switch.ts';

function current(connection: Connection): AsyncConfig {
  return (
    connection.state.asyncConfig ??
    (Object.fromEntries(
      ASYNC_TYPES.map((type) => [
        type,
        { primary: DEFAULT_ASYNC.controlling[type], secondary: DEFAULT_ASYNC.secondary[type] },
      ]),
    ) as unknown as AsyncConfig)
  );
}

export function handleGetAsync(
  _side: OpenFlowSwitch,
  connection: Connection,
  message: OfMessageOf<'get_async_request'>,
): void {
  connection.send({
    kind: 'get_async_reply',
    ...connection.replyHeader(message),
    config: current(connection),
  });
}

export function handleSetAsync(
  _side: OpenFlowSwitch,
  connection: Connection,
  message: OfMessageOf<'set_async_config'>,
): void {
  connection.state.asyncConfig = { ...current(connection), ...message.config };
  // Who says what it wants to hear, listens.
  if (connection.state.missSendLen === 0) connection.state.missSendLen = 128;
}
