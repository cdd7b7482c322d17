import type { ModuleLog } from '../../base/log.ts';
import { Match } from '../../flow/match.ts';
import { formatMatch } from '../../flow/match-format.ts';
import { actionsEqual, formatActions } from '../../openflow/actions/index.ts';
import { FF_SEND_FLOW_REM, NO_BUFFER, OFPG_ANY, OFPP_ANY } from '../../openflow/constants.ts';
import { OfError } from '../../openflow/errors.ts';
import type { FlowStore } from '../ofproto/flow-store.ts';
import type { LearnedFlow } from '../ofproto/ofproto.ts';
import type { Rule } from '../ofproto/rule.ts';

/** Adds or refreshes the flow of a `learn` action; false where its limit is reached or the table refuses it. */
export function learnFlow(flows: FlowStore, log: ModuleLog, flow: LearnedFlow): boolean {
  const match = Match.of(flow.flow, flow.mask);
  const existing = flows.find(flow.table, match, flow.priority);
  if (existing !== null && sameLearned(existing, flow)) {
    // Traffic goes on: its life starts anew.
    existing.modified = flows.clock.now();
    return true;
  }
  if (existing === null && flow.limit > 0) {
    const cookies = flows.existing(flow.table)?.byCookie.get(flow.cookie);
    if ((cookies?.size ?? 0) >= flow.limit) return false;
  }
  try {
    flows.apply(
      {
        command: 'add',
        match,
        priority: flow.priority,
        cookie: 0n,
        cookieMask: 0n,
        newCookie: flow.cookie,
        modifyCookie: true,
        table: flow.table,
        idleTimeout: flow.idleTimeout,
        hardTimeout: flow.hardTimeout,
        bufferId: NO_BUFFER,
        outPort: OFPP_ANY,
        outGroup: OFPG_ANY,
        flags: flow.flags & FF_SEND_FLOW_REM,
        importance: 0,
        actions: flow.actions,
      },
      null,
    );
  } catch (error) {
    if (!(error instanceof OfError)) throw error;
    log.limited(60, 5).warn(`${flows.ofproto.name}: learned flow refused: ${error.message}`);
    return false;
  }
  return true;
}

function sameLearned(rule: Rule, flow: LearnedFlow): boolean {
  return (
    rule.cookie === flow.cookie &&
    rule.idleTimeout === flow.idleTimeout &&
    rule.hardTimeout === flow.hardTimeout &&
    actionsEqual(rule.actions, flow.actions)
  );
}

/** A flow that an action asks for, as traces show it. */
export function describeLearnedFlow(flow: LearnedFlow): string {
  const match = formatMatch(Match.of(flow.flow, flow.mask));
  const parts = [`table=${flow.table}`];
  if (match !== '') parts.push(match);
  parts.push(`priority=${flow.priority}`);
  if (flow.cookie !== 0n) parts.push(`cookie=0x${flow.cookie.toString(16)}`);
  if (flow.idleTimeout !== 0) parts.push(`idle=${flow.idleTimeout}`);
  if (flow.hardTimeout !== 0) parts.push(`hard=${flow.hardTimeout}`);
  if ((flow.flags & FF_SEND_FLOW_REM) !== 0) parts.push('send_flow_rem');
  parts.push(`actions=${formatActions(flow.actions) || 'drop'}`);
  return parts.join(' ');
}
