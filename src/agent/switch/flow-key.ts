/** Flows in the one form in which the agent compares them. */
import { formatMatch } from '../../flow/match-format.ts';
import {
  type FlowModCommand,
  type FlowModFields,
  type FlowStats,
  formatActions,
  parseFlow,
} from '../../openflow/index.ts';
import type { PhysicalFlow } from '../physical-flows.ts';

/** A flow as it stands in a table: what tells it apart, and what it does. */
export interface TableFlow {
  /** `table=T,priority=P,MATCH`: no two flows of a switch have the same. */
  readonly key: string;
  readonly actions: string;
}

function keyOf(flow: Pick<FlowModFields, 'table' | 'priority' | 'match'>): string {
  // The priority's own text would be left out where it is the usual one.
  const match = formatMatch(flow.match, {});
  return `table=${flow.table},priority=${flow.priority}${match === '' ? '' : `,${match}`}`;
}

/** @throws WeftError where the text is none that a switch understands */
export function tableFlow({ table, priority, match, actions }: PhysicalFlow): TableFlow {
  const text = `table=${table},priority=${priority}${match === '' ? '' : `,${match}`},actions=${actions}`;
  const fields = parseFlow(text);
  return { key: keyOf(fields), actions: formatActions(fields.actions) };
}

export function tableFlowOf(stats: FlowStats): TableFlow {
  return { key: keyOf(stats), actions: formatActions(stats.actions) };
}

export function addMod(flow: TableFlow, cookie: bigint): FlowModFields {
  return { ...parseFlow(`${flow.key},actions=${flow.actions}`), newCookie: cookie };
}

export function deleteMod(key: string): FlowModFields {
  const command: FlowModCommand = 'delete_strict';
  return parseFlow(key, command);
}
