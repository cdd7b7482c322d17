import { W_ACTSET_OUTPUT } from '../../flow/layout.ts';
import { executeActionSet } from '../../openflow/actions/action-set.ts';
import type { Action } from '../../openflow/actions/types.ts';
import { OFPP_UNSET } from '../../openflow/constants.ts';
import type { XlateContext } from './context.ts';

/** write_actions: adds to the set and keeps `actset_output` true to it. */
export function writeActions(ctx: XlateContext, actions: readonly Action[]): void {
  ctx.actionSet.push(...actions);
  const group = ctx.actionSet.some((action) => action.type === 'group');
  const output = ctx.actionSet.findLast((action) => action.type === 'output');
  ctx.flow[W_ACTSET_OUTPUT] = group || output?.type !== 'output' ? OFPP_UNSET : output.port;
}

/** Runs what the pipeline has collected, at its end. */
export function runActionSet(ctx: XlateContext): void {
  const ordered = executeActionSet(ctx.actionSet);
  ctx.actionSet = [];
  if (ordered.length === 0) return;
  ctx.inActionSet = true;
  const node = ctx.report('table', '--. Executing action set:');
  ctx.below(node, () => ctx.run(ctx, ordered, true, false));
  ctx.inActionSet = false;
}
