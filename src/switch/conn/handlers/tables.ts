import type { OfMessageOf } from '../../../openflow/message.ts';
import { N_TABLES } from '../../ofproto/ofproto.ts';
import type { Connection } from '../connection.ts';
import type { OpenFlowSwitch } from '../openflow-switch.ts';

export function handleTableStats(
  side: OpenFlowSwitch,
  connection: Connection,
  message: OfMessageOf<'table_stats_request'>,
): void {
  const tables = Array.from({ length: N_TABLES }, (_, id) => {
    const table = side.flows.existing(id);
    const matched = table?.matched ?? 0;
    return {
      table: id,
      activeCount: table?.count ?? 0,
      lookupCount: BigInt(matched + (table?.missed ?? 0)),
      matchedCount: BigInt(matched),
      features: null,
    };
  });
  connection.send({
    kind: 'table_stats_reply',
    ...connection.replyHeader(message),
    more: false,
    tables,
  });
}
