import { W_ACTSET_OUTPUT } from '../../../flow/layout.ts';
import { executeActionSet } from '../../../openflow/actions/action-set.ts';
import type { ActionOf } from '../../../openflow/actions/types.ts';
import { OFPP_IN_PORT, OFPP_UNSET } from '../../../openflow/constants.ts';
import { writeActions } from '../action-set.ts';
import { cloneActions } from '../clone.ts';
import type { XlateContext } from '../context.ts';
import { sendToController } from '../controller.ts';
import { tableAction } from '../table.ts';
import type { ActionPlace, Outcome } from './translator.ts';

/** resubmit: to another table, or as if by another port. A miss there is not the controllers' affair. */
export function translateResubmit(
  ctx: XlateContext,
  action: ActionOf<'resubmit'>,
  place: ActionPlace,
): Outcome {
  const internal = ctx.rule !== null && ctx.ofproto.isInternalRule(ctx.rule);
  tableAction(ctx, {
    inPort: action.inPort === OFPP_IN_PORT ? ctx.inPort : action.inPort,
    table: action.table === 255 ? ctx.table : action.table,
    mayPacketIn: internal,
    honorTableMiss: internal,
    withCt: action.withCt,
    last: place.last,
  });
  return 'skip';
}

export function translateGotoTable(
  ctx: XlateContext,
  action: ActionOf<'goto_table'>,
  place: ActionPlace,
): Outcome {
  tableAction(ctx, {
    inPort: ctx.inPort,
    table: action.table,
    mayPacketIn: true,
    honorTableMiss: true,
    last: place.last,
  });
  return 'skip';
}

/** controller(...): a copy to the controllers, or with `pause` the packet itself until one resumes it. */
export function translateController(
  ctx: XlateContext,
  action: ActionOf<'controller'>,
  _place: ActionPlace,
): Outcome {
  if (action.pause) {
    ctx.pause = action;
    ctx.triggerFreeze();
    return 'skip';
  }
  sendToController(ctx, {
    maxLen: action.maxLen,
    reason: action.reason,
    controllerId: action.controllerId,
    meter: ctx.ofproto.datapathMeter(action.meterId),
    userdata: action.userdata,
  });
  return 'next';
}

export function translateClone(ctx: XlateContext, action: ActionOf<'clone'>, place: ActionPlace): Outcome {
  cloneActions(ctx, action.actions, place.last);
  return 'next';
}

export function translateWriteActions(ctx: XlateContext, action: ActionOf<'write_actions'>): Outcome {
  writeActions(ctx, action.actions);
  reportActionSet(ctx, 'is');
  return 'next';
}

/** The set as it would run by now. */
function reportActionSet(ctx: XlateContext, verb: string): void {
  ctx.report('detail', () => {
    const ordered = executeActionSet(ctx.actionSet);
    return ordered.length === 0
      ? `action set ${verb} empty`
      : `action set ${verb}: ${ctx.ofproto.formatActions(ordered)}`;
  });
}

export function translateClearActions(ctx: XlateContext): Outcome {
  reportActionSet(ctx, 'was');
  ctx.actionSet = [];
  ctx.flow[W_ACTSET_OUTPUT] = OFPP_UNSET;
  return 'next';
}

export function translateExit(ctx: XlateContext): Outcome {
  ctx.exit = true;
  return 'next';
}

export function translateUnroll(ctx: XlateContext, action: ActionOf<'unroll_xlate'>): Outcome {
  ctx.table = action.table;
  ctx.ruleCookie = action.cookie;
  ctx.report('thaw', () => `restored state: table=${action.table}, cookie=0x${action.cookie.toString(16)}`);
  return 'next';
}

/** A conjunction's flows are never run by a lookup: something sent the packet to one of them by mistake. */
export function translateConjunction(ctx: XlateContext): Outcome {
  ctx.reportError('executing no-op conjunction action');
  return 'next';
}

export function translateNote(): Outcome {
  return 'next';
}

/** Metering is the datapath's: the pipeline goes on with the packets that are left. */
export function translateMeter(ctx: XlateContext, action: ActionOf<'meter'>): Outcome {
  const meter = ctx.ofproto.datapathMeter(action.meter);
  if (meter !== null) {
    ctx.commit();
    ctx.actions.push({ type: 'meter', meter });
  }
  return 'next';
}

/** debug_recirc: goes through the datapath once more for no other reason than to test that. */
export function translateDebugRecirc(ctx: XlateContext): Outcome {
  ctx.triggerFreeze();
  return 'skip';
}

/** debug_slow: keeps the flow in the slow path. */
export function translateDebugSlow(ctx: XlateContext): Outcome {
  ctx.needSlow('action');
  return 'next';
}
