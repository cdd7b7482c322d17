import type { Action } from '../../openflow/actions/types.ts';
import { TRANSLATORS } from './actions/registry.ts';
import type { Outcome, Translator } from './actions/translator.ts';
import type { XlateContext } from './context.ts';
import { freezeRemaining } from './freeze.ts';

/**
 * Translates a list of actions, one after the other. If one of them freezes the translation, what is
 * left of the list goes into the frozen actions, to be done after recirculation.
 */
export function runActions(
  ctx: XlateContext,
  actions: readonly Action[],
  last: boolean,
  bucket: boolean,
): void {
  if (actions.length === 0) {
    ctx.report('action', 'drop');
    return;
  }
  for (let index = 0; index < actions.length; index++) {
    const action = actions[index];
    if (ctx.error !== 'ok') return;
    recirculateForMpls(ctx, action);
    if (ctx.exit) {
      if (ctx.freezing) freezeRemaining(ctx, actions, index);
      return;
    }
    if (ctx.tracing) ctx.report('action', ctx.ofproto.formatActions([action]));
    const isLast = last && index === actions.length - 1 && ctx.actionSet.length === 0;
    const translate = TRANSLATORS[action.type] as Translator<Action['type']>;
    const outcome: Outcome = translate(ctx, action as never, { actions, index, last: isLast, bucket });
    if (outcome === 'stop') return;
    // An action that needs the packet parsed anew before it can do its work is done again afterwards;
    // those that say `skip` have done theirs.
    if (outcome === 'next' && ctx.error === 'ok' && ctx.exit && ctx.firstFrozenAction) {
      freezeRemaining(ctx, actions, index);
      return;
    }
    if (outcome === 'skip' && ctx.exit && ctx.freezing) {
      freezeRemaining(ctx, actions, index + 1);
      return;
    }
  }
}

/**
 * After the last label is popped, only the datapath can parse what stood below. Actions that don't
 * look there may still run; any other waits for recirculation.
 */
function recirculateForMpls(ctx: XlateContext, action: Action): void {
  if (ctx.exit || !ctx.wasMpls) return;
  switch (action.type) {
    case 'output':
    case 'output_trunc':
    case 'output_reg':
    case 'enqueue':
    case 'group':
    case 'set_vlan_vid':
    case 'set_vlan_pcp':
    case 'set_eth_src':
    case 'set_eth_dst':
    case 'set_tunnel':
    case 'set_queue':
      return;
    case 'set_field':
      if (!isL3OrHigher(action.field.prerequisite)) return;
      break;
  }
  ctx.triggerFreeze();
}

function isL3OrHigher(prerequisite: string): boolean {
  return prerequisite !== 'none' && prerequisite !== 'ethernet' && prerequisite !== 'vlan-vid';
}
