import type { DpAction } from '../../../datapath/types.ts';
import type { ActionOf } from '../../../openflow/actions/types.ts';
import { runActionSet } from '../action-set.ts';
import type { XlateContext } from '../context.ts';
import { finishFreezing } from '../freeze.ts';
import { loadSubfield } from './field.ts';
import type { ActionPlace, Outcome } from './translator.ts';

/**
 * check_pkt_larger(LEN)->REG: the packet's length is not in its key, so both ways of the rest of the
 * list are translated, and the datapath takes one by each packet's length.
 */
export function translateCheckPktLarger(
  ctx: XlateContext,
  action: ActionOf<'check_pkt_larger'>,
  place: ActionPlace,
): Outcome {
  const rest = place.actions.slice(place.index + 1);
  ctx.commit();
  const branch = (larger: boolean): DpAction[] => {
    const saved = {
      flow: ctx.flow,
      base: ctx.base,
      stack: ctx.stack,
      stackBytes: ctx.stackBytes,
      actionSet: ctx.actionSet,
      conntracked: ctx.conntracked,
      wasMpls: ctx.wasMpls,
      exit: ctx.exit,
      actions: ctx.actions,
    };
    ctx.flow = saved.flow.slice();
    ctx.base = saved.base.slice();
    ctx.stack = [...saved.stack];
    ctx.actionSet = [...saved.actionSet];
    ctx.actions = [];
    loadSubfield(ctx, action.dst, larger ? 1n : 0n);
    ctx.run(ctx, rest, true, false);
    if (!ctx.freezing) runActionSet(ctx);
    if (ctx.freezing) finishFreezing(ctx);
    const actions = ctx.actions;
    Object.assign(ctx, saved);
    return actions;
  };
  const greater = branch(true);
  const lessEqual = branch(false);
  ctx.actions.push({ type: 'check_pkt_len', length: action.length, greater, lessEqual });
  ctx.actionSet = [];
  return 'stop';
}
