import type { Action, ActionType } from './types.ts';

/**
 * The action set of OpenFlow 1.1 and later: what write_actions gathers, and the order in which it is
 * carried out at the pipeline's end.
 */

/** Actions of which a set has only the last, in the order of their execution. */
const SLOTS: readonly ActionType[] = [
  ...(['strip_vlan', 'pop_mpls', 'decap', 'encap', 'push_mpls', 'push_vlan'] as const),
  ...(['dec_ttl', 'dec_mpls_ttl', 'dec_nsh_ttl'] as const),
];

/** Actions one of which ends the set, and without which it does nothing: the one latest in this list wins. */
const FINALS: readonly ActionType[] = ['ct', 'ct_clear', 'resubmit', 'output', 'group'];

/** Actions that are carried out in the order in which they were written, after the slots. */
const SETTERS: ReadonlySet<ActionType> = new Set<ActionType>([
  ...(['set_field', 'reg_move', 'set_eth_dst', 'set_eth_src', 'set_ip_dscp', 'set_ip_ecn'] as const),
  ...(['set_ip_ttl', 'set_ipv4_dst', 'set_ipv4_src', 'set_l4_dst_port', 'set_l4_src_port'] as const),
  ...(['set_mpls_label', 'set_mpls_tc', 'set_mpls_ttl', 'set_queue', 'set_tunnel'] as const),
  ...(['set_vlan_pcp', 'set_vlan_vid'] as const),
]);

/** Whether an action may be written into an action set. */
export function inActionSet({ type }: Action): boolean {
  return SETTERS.has(type) || SLOTS.includes(type) || FINALS.includes(type);
}

/**
 * The list of actions that carries out an action set, given all that was written into it since it was
 * last cleared, in order. Empty where nothing in the set sends the packet anywhere.
 */
export function executeActionSet(written: readonly Action[]): readonly Action[] {
  const slots: (Action | undefined)[] = SLOTS.map(() => undefined);
  const setters: Action[] = [];
  let final: Action | null = null;
  for (const action of written) {
    const slot = SLOTS.indexOf(action.type);
    if (slot >= 0) slots[slot] = action;
    else if (SETTERS.has(action.type)) setters.push(action);
    else if (FINALS.includes(action.type)) {
      if (final === null || FINALS.indexOf(action.type) >= FINALS.indexOf(final.type)) final = action;
    }
  }
  if (final === null) return [];
  return [...slots.filter((action) => action !== undefined), ...setters, final];
}
