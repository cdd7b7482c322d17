import type { Action } from '../../openflow/actions/types.ts';
import type { XlateContext } from './context.ts';
import { putControllerAction } from './controller.ts';
import { type FrozenState, saveMetadata } from './frozen.ts';

/**
 * Freezing: translation stops here, the packet goes through the datapath once more with a number that
 * names the state saved here, and translation goes on from that state with a key parsed anew.
 */
export function finishFreezing(ctx: XlateContext): void {
  ctx.commit();
  freezeAt(ctx, 0);
}

/** Saves the state, appends the action that brings the packet back; returns the number, 0 if none is left. */
export function freezeAt(ctx: XlateContext, table: number): number {
  const state: FrozenState = {
    ofproto: ctx.ofproto,
    table,
    metadata: saveMetadata(ctx.flow),
    stack: [...ctx.stack],
    conntracked: ctx.conntracked,
    wasMpls: ctx.wasMpls,
    mirrored: ctx.mirrored,
    actions: [...ctx.frozenActions],
    actionSet: [...ctx.actionSet],
    userdata: ctx.pause?.userdata ?? new Uint8Array(),
  };
  const id = ctx.ofproto.recircIds.allocate(state);
  if (id === 0) {
    ctx.reportError('Failed to allocate recirculation id');
    ctx.error = 'no-recirculation-context';
    return 0;
  }
  ctx.recircs.push(id);
  if (ctx.pause !== null) {
    if (ctx.input.effects || ctx.input.cache !== undefined) {
      putControllerAction(ctx, {
        dontSend: false,
        continuation: true,
        recircId: id,
        maxLen: ctx.pause.maxLen,
        reason: ctx.pause.reason,
        controllerId: ctx.pause.controllerId,
      });
    }
  } else {
    if (ctx.dpHash !== null) ctx.actions.push({ type: 'hash', ...ctx.dpHash });
    ctx.actions.push({ type: 'recirc', id });
  }
  ctx.cancelFreeze();
  return id;
}

/**
 * Adds what is left of a list to the frozen actions. Before those whose messages name table and cookie
 * stands an `unroll_xlate` that restores both.
 */
export function freezeRemaining(ctx: XlateContext, actions: readonly Action[], from: number): void {
  for (let i = from; i < actions.length; i++) {
    const action = actions[i];
    switch (action.type) {
      case 'output':
      case 'output_reg':
      case 'output_trunc':
      case 'group':
      case 'controller':
      case 'dec_ttl':
      case 'dec_mpls_ttl':
      case 'dec_nsh_ttl':
        putUnroll(ctx);
        break;
      case 'resubmit':
        if (action.table === 255) putUnroll(ctx);
        break;
    }
    ctx.frozenActions.push(action);
  }
}

function putUnroll(ctx: XlateContext): void {
  let last: Action | undefined;
  for (const action of ctx.frozenActions) if (action.type === 'unroll_xlate') last = action;
  if (last?.type === 'unroll_xlate' && last.table === ctx.table && last.cookie === ctx.ruleCookie) return;
  ctx.frozenActions.push({ type: 'unroll_xlate', table: ctx.table, cookie: ctx.ruleCookie });
}
