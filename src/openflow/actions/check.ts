import type { Flow } from '../../flow/layout.ts';
import { OFPP_MAX } from '../constants.ts';
import type { CheckState } from './codec.ts';
import { P_ANY } from './protocols.ts';
import { codecOf } from './registry.ts';
import type { Action } from './types.ts';
import { refuse } from './wire.ts';

/** The flow that actions are for. */
export interface CheckContext {
  readonly match: { readonly flow: Flow; readonly mask: Flow };
  /** Ports from this number on do not exist. Default: OFPP_MAX, all may. */
  readonly maxPorts?: number;
  /** The flow's table; goto_table leads to later ones. Default: unknown. */
  readonly table?: number;
  /** Tables that there are. Default: unknown. */
  readonly tables?: number;
}

export interface CheckedActions {
  /** The actions, with notes for encoders (`flowHasVlan`, `flowProto`). */
  readonly actions: readonly Action[];
  /**
   * Flow formats (protocols.ts) in which actions and match may stand together. Only OpenFlow 1.0 allows
   * actions that do nothing to the packets that match.
   */
  readonly protocols: number;
}

function checkList(actions: readonly Action[], state: CheckState): readonly Action[] {
  return actions.map((action) => codecOf(action.type).check?.(action, state) ?? action);
}

/** State for a list of its own: its changes to the packet end with it. */
function newState(flow: Flow, mask: Flow, maxPorts: number, table: number, tables: number): CheckState {
  let copy: Flow | null = null;
  const state: CheckState = {
    // Most lists never ask.
    get flow() {
      copy ??= flow.slice();
      return copy;
    },
    mask,
    maxPorts,
    table,
    tables,
    protocols: P_ANY,
    nested(actions, countProtocols) {
      const inner = newState(state.flow, mask, maxPorts, table, tables);
      const checked = checkList(actions, inner);
      if (countProtocols) state.protocols &= inner.protocols;
      return checked;
    },
  };
  return state;
}

/**
 * Whether actions suit the flow that they are for: fields that they use exist in the packets that match,
 * ports and tables exist, tags fit.
 * @throws OfError for what no version allows (a field without its prerequisites, a bad port or table).
 */
export function checkActions(actions: readonly Action[], context: CheckContext): CheckedActions {
  const { match, maxPorts = OFPP_MAX, table = 255, tables = 255 } = context;
  const state = newState(match.flow, match.mask, maxPorts, table, tables);
  const checked = checkList(actions, state);
  return { actions: checked, protocols: state.protocols };
}

/**
 * {@link checkActions}, for a flow that must be expressible in all of `protocols`: what a switch
 * requires of the flows that a connection of that protocol adds.
 * @throws OfError also `OFPBAC_MATCH_INCONSISTENT` if it is not.
 */
export function checkConsistency(
  actions: readonly Action[],
  protocols: number,
  context: CheckContext,
): readonly Action[] {
  const checked = checkActions(actions, context);
  if ((protocols & ~checked.protocols) !== 0) {
    refuse('OFPBAC_MATCH_INCONSISTENT', "an action can have no effect on packets of the flow's match");
  }
  return checked.actions;
}
