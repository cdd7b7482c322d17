import { W_ACTSET_OUTPUT } from '../../flow/layout.ts';
import type { Action, ActionType } from '../../openflow/actions/types.ts';
import { OFPP_UNSET } from '../../openflow/constants.ts';
import type { XlateContext } from './context.ts';

/** Of these an action set keeps the last of each, and runs them in this order (OpenFlow 1.5, 5.6). */
const FIRST: readonly ActionType[] = [
  'strip_vlan',
  'pop_mpls',
  'decap',
  'encap',
  'push_mpls',
  'push_vlan',
  'dec_ttl',
  'dec_mpls_ttl',
  'dec_nsh_ttl',
];

/** All of these are kept, in the order in which they were written. */
const SETTERS: ReadonlySet<ActionType> = new Set<ActionType>([
  'set_field',
  'reg_move',
  'set_eth_src',
  'set_eth_dst',
  'set_ip_dscp',
  'set_ip_ecn',
  'set_ip_ttl',
  'set_ipv4_src',
  'set_ipv4_dst',
  'set_l4_src_port',
  'set_l4_dst_port',
  'set_mpls_label',
  'set_mpls_tc',
  'set_mpls_ttl',
  'set_tunnel',
  'set_vlan_pcp',
  'set_vlan_vid',
]);

/** An action set in the order in which it is executed; empty if it would send the packet nowhere. */
export function orderActionSet(set: readonly Action[]): Action[] {
  const last = (type: ActionType): Action[] => {
    const found = set.findLast((action) => action.type === type);
    return found === undefined ? [] : [found];
  };
  const ordered = FIRST.flatMap(last);
  ordered.push(...set.filter((action) => SETTERS.has(action.type)));
  ordered.push(...last('set_queue'));
  // A group takes precedence over output, output over resubmit.
  for (const type of ['group', 'output', 'resubmit', 'ct'] as const) {
    const end = last(type);
    if (end.length > 0) return [...ordered, ...end];
  }
  return [];
}

/** write_actions: adds to the set and keeps `actset_output` true to it. */
export function writeActions(ctx: XlateContext, actions: readonly Action[]): void {
  ctx.actionSet.push(...actions);
  const group = ctx.actionSet.some((action) => action.type === 'group');
  const output = ctx.actionSet.findLast((action) => action.type === 'output');
  ctx.flow[W_ACTSET_OUTPUT] = group || output?.type !== 'output' ? OFPP_UNSET : output.port;
}

/** Runs what the pipeline has collected, at its end. */
export function runActionSet(ctx: XlateContext): void {
  const ordered = orderActionSet(ctx.actionSet);
  ctx.actionSet = [];
  if (ordered.length === 0) return;
  ctx.inActionSet = true;
  const node = ctx.report('table', '--. Executing action set:');
  ctx.below(node, () => ctx.run(ctx, ordered, true, false));
  ctx.inActionSet = false;
}
