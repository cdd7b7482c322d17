import type { OfMessage } from '../../../openflow/message.ts';
import type { Rule } from '../../ofproto/rule.ts';
import type { Connection } from '../connection.ts';
import type { OpenFlowSwitch } from '../openflow-switch.ts';

/** `reason` is OFPRR_*; `now` in Clock.now() ms. */
export function flowRemovedMessage(
  side: OpenFlowSwitch,
  connection: Connection,
  rule: Rule,
  reason: number,
  now: number,
): OfMessage {
  const age = Math.max(0, now - rule.created);
  return {
    kind: 'flow_removed',
    version: connection.version,
    xid: 0,
    match: rule.expandMatch(side.tlvTable),
    cookie: rule.cookie,
    priority: rule.priority,
    reason,
    table: rule.table,
    durationSec: Math.floor(age / 1000),
    durationNsec: Math.floor((age % 1000) * 1e6),
    idleTimeout: rule.idleTimeout,
    hardTimeout: rule.hardTimeout,
    packetCount: BigInt(rule.packets),
    byteCount: BigInt(rule.bytes),
  };
}
