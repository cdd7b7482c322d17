import type { Match } from '../../flow/match.ts';
import type { Action } from '../../openflow/actions/types.ts';
import { NO_BUFFER, OFPG_ANY, OFPP_ANY } from '../../openflow/constants.ts';
import type { FlowModFields } from '../../openflow/messages/flow-mod.ts';

/** What adds a flow of the switch's own to table 0. */
export function ownFlow(
  match: Match,
  priority: number,
  actions: readonly Action[],
  flags: number,
): FlowModFields {
  return {
    command: 'add',
    match,
    priority,
    cookie: 0n,
    cookieMask: 0n,
    newCookie: 0n,
    modifyCookie: true,
    table: 0,
    idleTimeout: 0,
    hardTimeout: 0,
    bufferId: NO_BUFFER,
    outPort: OFPP_ANY,
    outGroup: OFPG_ANY,
    flags,
    importance: 0,
    actions,
  };
}
