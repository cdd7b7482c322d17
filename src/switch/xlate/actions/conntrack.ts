import type { DpAction } from '../../../datapath/types.ts';
import { getField, getMask, maskSubfield, readSubfield32 } from '../../../flow/field-access.ts';
import { F } from '../../../flow/fields.ts';
import { W_CT_LABEL, W_CT_MARK } from '../../../flow/layout.ts';
import type { ActionOf } from '../../../openflow/actions/types.ts';
import type { XlateContext } from '../context.ts';
import { freezeAt } from '../freeze.ts';
import type { Outcome } from './translator.ts';

const NO_TABLE = 255;

/** ct(...): connection tracking, and with a table a fork of the pipeline that sees its verdict. */
export function translateCt(ctx: XlateContext, action: ActionOf<'ct'>): Outcome {
  const oldMark = ctx.flow[W_CT_MARK];
  const oldLabel = ctx.flow.slice(W_CT_LABEL, W_CT_LABEL + 4);
  const oldWcMark = ctx.wc[W_CT_MARK];
  const oldWcLabel = ctx.wc.slice(W_CT_LABEL, W_CT_LABEL + 4);

  // What the packet looks like now is what is tracked.
  ctx.commit();
  let zone: number;
  if (typeof action.zone === 'number') {
    zone = action.zone;
  } else {
    zone = readSubfield32(ctx.flow, action.zone);
    maskSubfield(ctx.wc, action.zone);
  }
  // The nested actions may only set mark and label, and give NAT: found by their difference.
  ctx.ctNat = null;
  ctx.wc[W_CT_MARK] = 0;
  ctx.wc.fill(0, W_CT_LABEL, W_CT_LABEL + 4);
  ctx.run(ctx, action.actions, false, false);
  const markMask = ctx.wc[W_CT_MARK];
  const labelMask = getMask(ctx.wc, F.ctLabel);
  const nat = ctx.ctNat as ActionOf<'nat'> | null;
  const timeout = ctx.ofproto.timeoutPolicy(zone);
  const dp: DpAction = {
    type: 'ct',
    commit: action.commit,
    force: action.force,
    zone,
    mark: markMask === 0 ? null : { value: (ctx.flow[W_CT_MARK] & markMask) >>> 0, mask: markMask },
    label: labelMask === 0n ? null : { value: getField(ctx.flow, F.ctLabel) & labelMask, mask: labelMask },
    ...(action.commit && timeout !== undefined ? { timeout } : {}),
    helper: action.alg === 21 ? 'ftp' : action.alg === 69 ? 'tftp' : '',
    nat: nat === null ? null : natOf(nat),
  };
  ctx.actions.push(dp);
  ctx.ctNat = null;

  ctx.wc[W_CT_MARK] = oldWcMark;
  ctx.wc.set(oldWcLabel, W_CT_LABEL);
  if (action.recircTable !== NO_TABLE) {
    ctx.conntracked = true;
    ctx.freezing = true;
    const actions = ctx.frozenActions;
    ctx.frozenActions = [];
    fork(ctx, action.recircTable, zone, nat);
    ctx.frozenActions = actions;
  }
  ctx.flow[W_CT_MARK] = oldMark;
  ctx.flow.set(oldLabel, W_CT_LABEL);
  ctx.conntracked = false;
  ctx.clearConntrack();
  return 'next';
}

/** A copy of the packet comes back with conntrack's verdict and goes on in `table`. */
function fork(ctx: XlateContext, table: number, zone: number, nat: ActionOf<'nat'> | null): void {
  const recircId = freezeAt(ctx, table);
  if (recircId === 0 || !ctx.tracing) return;
  ctx.input.forks?.push({ recircId, flow: ctx.flow.slice(), zone, nat });
  ctx.report(
    'detail',
    `A clone of the packet is forked to recirculate. The forked pipeline will be resumed at table ${table}.`,
  );
}

function natOf(nat: ActionOf<'nat'>): {
  direction: 'none' | 'src' | 'dst';
  addressMin: Uint8Array;
  addressMax: Uint8Array;
  portMin: number;
  portMax: number;
  persistent: boolean;
  hash: boolean;
  random: boolean;
} {
  const { direction, addressMin, addressMax, portMin, portMax, persistent, hash, random } = nat;
  return { direction, addressMin, addressMax, portMin, portMax, persistent, hash, random };
}

export function translateNat(ctx: XlateContext, action: ActionOf<'nat'>): Outcome {
  ctx.ctNat = action;
  return 'next';
}

export function translateCtClear(ctx: XlateContext): Outcome {
  if (!ctx.conntracked) return 'next';
  ctx.clearConntrack();
  ctx.actions.push({ type: 'ct_clear' });
  return 'next';
}
