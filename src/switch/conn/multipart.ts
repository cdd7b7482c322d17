import type { OfMessage } from '../../openflow/message.ts';
import type { FlowMonitorRequest } from '../../openflow/messages/monitor.ts';
import type { TableFeaturesMessage } from '../../openflow/messages/table-features.ts';

/** Requests whose parts say something together only. */
type Part = TableFeaturesMessage | FlowMonitorRequest;

/**
 * Makes one request of the parts of a long one, which come here in a row (the assembler keeps them until
 * the last is there, and bounds them).
 */
export class PartJoiner {
  #parts: Part[] = [];

  /** The whole request, if `message` is one or completes one; null: more is to come. */
  join(message: OfMessage): OfMessage | null {
    if (message.kind !== 'table_features_request' && message.kind !== 'flow_monitor_request') return message;
    const [first] = this.#parts;
    // What remains of a request of which some part was no good.
    if (first !== undefined && (first.xid !== message.xid || first.kind !== message.kind)) this.reset();
    this.#parts.push(message);
    if (message.more) return null;
    const whole = joined(this.#parts);
    this.reset();
    return whole;
  }

  /** A part was no good: the others go too. */
  reset(): void {
    this.#parts = [];
  }
}

function joined(parts: readonly Part[]): OfMessage {
  const [first] = parts;
  return 'tables' in first
    ? { ...first, more: false, tables: parts.flatMap((part) => ('tables' in part ? part.tables : [])) }
    : { ...first, more: false, monitors: parts.flatMap((part) => ('monitors' in part ? part.monitors : [])) };
}
