import { OFPR_ACTION, OFPR_EXPLICIT_MISS } from '../../openflow/constants.ts';
import type { XlateContext } from './context.ts';
import { saveMetadata } from './frozen.ts';

export interface ControllerTarget {
  readonly maxLen: number;
  /** OFPR_* */
  readonly reason: number;
  readonly controllerId: number;
  /** Datapath meter; null: that for all controllers, if there is one. */
  readonly meter: number | null;
  readonly userdata: Uint8Array;
}

const NO_USERDATA = new Uint8Array();

export function plainController(maxLen: number, reason: number, controllerId: number): ControllerTarget {
  return { maxLen, reason, controllerId, meter: null, userdata: NO_USERDATA };
}

/** Sends the packet as it is now to the controllers, with the pipeline's state. */
export function sendToController(ctx: XlateContext, target: ControllerTarget): void {
  ctx.commit();
  // What a table-miss flow sends is an explicit miss (OpenFlow 1.3); older versions are told "action".
  const reason = target.reason === OFPR_ACTION && ctx.rule?.isTableMiss ? OFPR_EXPLICIT_MISS : target.reason;
  const id = ctx.ofproto.recircIds.allocate({
    ofproto: ctx.ofproto,
    table: ctx.table,
    metadata: saveMetadata(ctx.flow),
    stack: [...ctx.stack],
    conntracked: ctx.conntracked,
    wasMpls: ctx.wasMpls,
    mirrored: ctx.mirrored,
    actions: [],
    actionSet: [],
    userdata: target.userdata,
  });
  if (id === 0) {
    ctx.reportError('Failed to allocate recirculation id');
    ctx.error = 'no-recirculation-context';
    return;
  }
  ctx.recircs.push(id);
  const meter = target.meter ?? ctx.ofproto.controllerMeter;
  const outer = ctx.actions;
  if (meter !== null) {
    ctx.actions = [{ type: 'meter', meter }];
    outer.push({ type: 'sample', probability: 0xffffffff, actions: ctx.actions });
  }
  putControllerAction(ctx, {
    dontSend: !ctx.input.effects && ctx.input.cache === undefined,
    continuation: false,
    recircId: id,
    maxLen: target.maxLen,
    reason,
    controllerId: target.controllerId,
  });
  ctx.actions = outer;
}

export function putControllerAction(
  ctx: XlateContext,
  cookie: {
    dontSend: boolean;
    continuation: boolean;
    recircId: number;
    maxLen: number;
    reason: number;
    controllerId: number;
  },
): void {
  ctx.actions.push({
    type: 'userspace',
    pid: 0,
    cookie: { type: 'controller', ruleCookie: ctx.ruleCookie, ...cookie },
  });
}
