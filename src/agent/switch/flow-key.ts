/** Flows in the one form in which the agent compares them. */
import { formatMatch } from '../../flow/match-format.ts';
import {
  type Action,
  DEFAULT_SELECTION,
  decodeInstructions,
  encodeInstructions,
  type FlowMod,
  type FlowModFields,
  type FlowStats,
  formatActions,
  type GroupDesc,
  type GroupMod,
  OF15,
  OFPG_ANY,
  OFPG_BUCKET_ALL,
  OFPP_ANY,
  parseActions,
  parseFlow,
} from '../../openflow/index.ts';
import type { PhysicalFlow, PhysicalGroup } from '../physical-flows.ts';
import type { Request } from './channel.ts';

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

/** Actions as a switch would tell them: some are written on the wire in another way than in text. */
function actionsText(actions: readonly Action[]): string {
  return formatActions(decodeInstructions(encodeInstructions(actions, OF15), OF15));
}

/** @throws WeftError where the text is none that a switch understands */
export function tableFlow({ table, priority, match, actions }: PhysicalFlow): TableFlow {
  const text = `table=${table},priority=${priority}${match === '' ? '' : `,${match}`},actions=${actions}`;
  const fields = parseFlow(text);
  return { key: keyOf(fields), actions: actionsText(fields.actions) };
}

export function tableFlowOf(stats: FlowStats): TableFlow {
  return { key: keyOf(stats), actions: formatActions(stats.actions) };
}

export function addMod(flow: TableFlow, cookie: bigint): Request<FlowMod> {
  return { kind: 'flow_mod', ...parseFlow(`${flow.key},actions=${flow.actions}`), newCookie: cookie };
}

export function deleteMod(key: string): Request<FlowMod> {
  return { kind: 'flow_mod', ...parseFlow(key, 'delete_strict') };
}

/** What a group does, to compare. */
export function groupText({ buckets }: PhysicalGroup): string {
  return buckets.map((actions) => actionsText(parseActions(actions))).join(' | ');
}

/** undefined: it is none that the agent makes. */
export function groupTextOf({ type, buckets }: GroupDesc): string | undefined {
  return type === 'all' ? buckets.map(({ actions }) => formatActions(actions)).join(' | ') : undefined;
}

export function groupMod(
  group: number,
  buckets: readonly string[] | undefined,
  there: boolean,
): Request<GroupMod> {
  return {
    kind: 'group_mod',
    command: buckets === undefined ? 'delete' : there ? 'modify' : 'add',
    type: 'all',
    group,
    commandBucket: OFPG_BUCKET_ALL,
    buckets: (buckets ?? []).map((actions, id) => ({
      id,
      weight: 0,
      watchPort: OFPP_ANY,
      watchGroup: OFPG_ANY,
      actions: parseActions(actions),
    })),
    selection: DEFAULT_SELECTION,
  };
}
