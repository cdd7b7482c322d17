import { OFPP_ANY, OFPQ_ALL } from '../../../openflow/constants.ts';
import { OfError } from '../../../openflow/errors.ts';
import type { OfMessageOf } from '../../../openflow/message.ts';
import type { Connection } from '../connection.ts';
import type { OpenFlowSwitch } from '../openflow-switch.ts';

/** Ports have no queues of their own: there is nothing to tell of any, and no single one to ask for. */
function checkQueue(side: OpenFlowSwitch, port: number, queue: number): void {
  if (port !== OFPP_ANY && side.ofproto.port(port) === undefined) {
    throw new OfError('OFPQOFC_BAD_PORT', `port ${port} does not exist`);
  }
  if (queue !== OFPQ_ALL) throw new OfError('OFPQOFC_BAD_QUEUE', `port ${port} has no queue ${queue}`);
}

export function handleQueueStats(
  side: OpenFlowSwitch,
  connection: Connection,
  message: OfMessageOf<'queue_stats_request'>,
): void {
  checkQueue(side, message.port, message.queue);
  connection.send({
    kind: 'queue_stats_reply',
    ...connection.replyHeader(message),
    more: false,
    queues: [],
  });
}

export function handleQueueConfig(
  side: OpenFlowSwitch,
  connection: Connection,
  message: OfMessageOf<'queue_get_config_request'>,
): void {
  checkQueue(side, message.port, message.queue);
  connection.send({
    kind: 'queue_get_config_reply',
    ...connection.replyHeader(message),
    more: false,
    port: message.port,
    queues: [],
  });
}
