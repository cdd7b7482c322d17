import { OFPP_ANY, OFPQ_ALL, UINT32_MAX, UINT64_MAX } from '../../../openflow/constants.ts';
import { OfError } from '../../../openflow/errors.ts';
import type { OfMessageOf } from '../../../openflow/message.ts';
import type { OfPort, PortQueue } from '../../ofproto/port.ts';
import type { Connection } from '../connection.ts';
import type { OpenFlowSwitch } from '../openflow-switch.ts';

interface Found {
  readonly port: OfPort;
  readonly queue: PortQueue;
}

/** The queues that a request means. @throws OfError where it means none, unless it asks for all. */
function select(side: OpenFlowSwitch, wantedPort: number, wantedQueue: number): Found[] {
  let ports = side.ofproto.ports();
  if (wantedPort !== OFPP_ANY) {
    const port = side.ofproto.port(wantedPort);
    if (port === undefined) throw new OfError('OFPQOFC_BAD_PORT', `port ${wantedPort} does not exist`);
    ports = [port];
  }
  const found = ports.flatMap((port) =>
    (port.details?.queues ?? [])
      .filter(({ queue }) => wantedQueue === OFPQ_ALL || queue === wantedQueue)
      .map((queue) => ({ port, queue })),
  );
  if (found.length === 0 && wantedQueue !== OFPQ_ALL) {
    throw new OfError('OFPQOFC_BAD_QUEUE', `no queue ${wantedQueue} there`);
  }
  return found;
}

export function handleQueueStats(
  side: OpenFlowSwitch,
  connection: Connection,
  message: OfMessageOf<'queue_stats_request'>,
): void {
  connection.send({
    kind: 'queue_stats_reply',
    ...connection.replyHeader(message),
    more: false,
    queues: select(side, message.port, message.queue).map(({ port, queue }) => ({
      port: port.ofPort,
      queue: queue.queue,
      txBytes: queue.txBytes ?? UINT64_MAX,
      txPackets: queue.txPackets ?? UINT64_MAX,
      txErrors: queue.txErrors ?? UINT64_MAX,
      durationSec: UINT32_MAX,
      durationNsec: UINT32_MAX,
    })),
  });
}

export function handleQueueConfig(
  side: OpenFlowSwitch,
  connection: Connection,
  message: OfMessageOf<'queue_get_config_request'>,
): void {
  connection.send({
    kind: 'queue_get_config_reply',
    ...connection.replyHeader(message),
    more: false,
    port: message.port,
    queues: select(side, message.port, message.queue).map(({ port, queue }) => ({
      port: port.ofPort,
      queue: queue.queue,
      minRate: queue.minRate,
      maxRate: queue.maxRate,
    })),
  });
}
