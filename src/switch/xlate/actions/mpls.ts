import { N_MPLS, W_MPLS } from '../../../flow/layout.ts';
import type { ActionOf } from '../../../openflow/actions/types.ts';
import { OFPR_INVALID_TTL } from '../../../openflow/constants.ts';
import * as b from '../bits.ts';
import type { XlateContext } from '../context.ts';
import { plainController, sendToController } from '../controller.ts';
import * as mpls from '../mpls.ts';
import type { Outcome } from './translator.ts';

export function translatePushMpls(ctx: XlateContext, action: ActionOf<'push_mpls'>): Outcome {
  const n = mpls.countMpls(ctx.flow, ctx.wc);
  if (n === 0) {
    // What was set above L2 must reach the packet before the labels hide it.
    ctx.commit();
  } else if (n >= N_MPLS) {
    if (ctx.input.packet !== null)
      ctx.reportError(
        `dropping packet on which an MPLS push action can't be performed as it would have more MPLS LSEs than the ${N_MPLS} supported.`,
      );
    ctx.error = 'too-many-mpls-labels';
    return 'stop';
  }
  mpls.pushMpls(ctx.flow, n, action.ethertype, ctx.wc, true);
  return 'next';
}

export function translatePopMpls(ctx: XlateContext, action: ActionOf<'pop_mpls'>): Outcome {
  const n = mpls.countMpls(ctx.flow, ctx.wc);
  if (mpls.popMpls(ctx.flow, n, action.ethertype, ctx.wc)) {
    if (!b.isMplsType(action.ethertype)) ctx.wasMpls = true;
  } else if (n >= N_MPLS) {
    if (ctx.input.packet !== null)
      ctx.reportError(
        `dropping packet on which an MPLS pop action can't be performed as it has more MPLS LSEs than the ${N_MPLS} supported.`,
      );
    ctx.error = 'too-many-mpls-labels';
    ctx.actions.length = 0;
  }
  return 'next';
}

export function translateSetMplsLabel(ctx: XlateContext, action: ActionOf<'set_mpls_label'>): Outcome {
  return edit(ctx, 0xfffff000, (lse) => mpls.setLseLabel(lse, action.label));
}

export function translateSetMplsTc(ctx: XlateContext, action: ActionOf<'set_mpls_tc'>): Outcome {
  return edit(ctx, 0x00000e00, (lse) => mpls.setLseTc(lse, action.tc));
}

export function translateSetMplsTtl(ctx: XlateContext, action: ActionOf<'set_mpls_ttl'>): Outcome {
  return edit(ctx, 0x000000ff, (lse) => mpls.setLseTtl(lse, action.ttl));
}

function edit(ctx: XlateContext, mask: number, change: (lse: number) => number): Outcome {
  if (!b.isMplsType(b.ethType(ctx.flow))) return 'next';
  ctx.wc[W_MPLS] |= mask;
  ctx.flow[W_MPLS] = change(ctx.flow[W_MPLS]);
  return 'next';
}

export function translateDecMplsTtl(ctx: XlateContext): Outcome {
  if (!b.isMplsType(b.ethType(ctx.flow))) return 'next';
  ctx.wc[W_MPLS] |= 0xff;
  const ttl = mpls.lseTtl(ctx.flow[W_MPLS]);
  if (ttl > 1) {
    ctx.flow[W_MPLS] = mpls.setLseTtl(ctx.flow[W_MPLS], ttl - 1);
    return 'next';
  }
  sendToController(ctx, plainController(0xffff, OFPR_INVALID_TTL, 0));
  ctx.report('warn', 'MPLS decrement TTL exception');
  return 'stop';
}
