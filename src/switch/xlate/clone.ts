import type { DpAction } from '../../datapath/types.ts';
import type { Action, ActionType } from '../../openflow/actions/types.ts';
import { runActionSet } from './action-set.ts';
import type { XlateContext } from './context.ts';
import { finishFreezing } from './freeze.ts';

/** Actions whose effect on the packet in the datapath can't be undone by later `set` actions. */
const IRREVERSIBLE: ReadonlySet<ActionType> = new Set<ActionType>([
  'ct',
  'meter',
  'nat',
  'output_trunc',
  'encap',
  'decap',
  'dec_nsh_ttl',
]);

/**
 * Runs actions so that what follows sees the packet as it was before. Where all of them can be undone,
 * or nothing follows, they are run in place; else they go into a datapath `clone`.
 */
export function cloneActions(ctx: XlateContext, actions: readonly Action[], last: boolean): void {
  const oldStack = ctx.stack;
  const oldStackBytes = ctx.stackBytes;
  const oldActionSet = ctx.actionSet;
  const oldFlow = ctx.flow;
  ctx.stack = [...oldStack];
  ctx.actionSet = [...oldActionSet];
  ctx.flow = ctx.copy(oldFlow);

  if (last || !actions.some((action) => IRREVERSIBLE.has(action.type))) {
    runToEnd(ctx, actions, last);
  } else {
    ctx.commit();
    const oldBase = ctx.copy(ctx.base);
    const oldWasMpls = ctx.wasMpls;
    const oldConntracked = ctx.conntracked;
    const outer = ctx.actions;
    const inner: DpAction[] = [];
    ctx.actions = inner;
    runToEnd(ctx, actions, true);
    ctx.actions = outer;
    if (inner.length > 0) outer.push({ type: 'clone', actions: inner });
    ctx.conntracked = oldConntracked;
    ctx.wasMpls = oldWasMpls;
    ctx.base = oldBase;
  }

  ctx.flow = oldFlow;
  ctx.actionSet = oldActionSet;
  ctx.stack = oldStack;
  ctx.stackBytes = oldStackBytes;
}

function runToEnd(ctx: XlateContext, actions: readonly Action[], last: boolean): void {
  ctx.run(ctx, actions, last, false);
  if (!ctx.freezing) runActionSet(ctx);
  if (ctx.freezing) finishFreezing(ctx);
}
