import type { OfMessageOf } from '../../../openflow/message.ts';
import type { Connection } from '../connection.ts';
import type { OpenFlowSwitch } from '../openflow-switch.ts';

export function handleFlowMonitor(
  side: OpenFlowSwitch,
  connection: Connection,
  message: OfMessageOf<'flow_monitor_request'>,
): void {
  const updates = side.monitors.request(connection, message.monitors);
  connection.send({
    kind: 'flow_monitor_reply',
    ...connection.replyHeader(message),
    more: false,
    updates,
  });
}

export function handleFlowMonitorCancel(
  side: OpenFlowSwitch,
  connection: Connection,
  message: OfMessageOf<'flow_monitor_cancel'>,
): void {
  side.monitors.cancel(connection, message.id);
}
