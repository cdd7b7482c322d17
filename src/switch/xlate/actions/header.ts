import { W_NW_DST, W_NW_SRC, W_TP, W_TUN_ID } from '../../../flow/layout.ts';
import type { ActionOf } from '../../../openflow/actions/types.ts';
import { OFPR_INVALID_TTL } from '../../../openflow/constants.ts';
import * as b from '../bits.ts';
import type { XlateContext } from '../context.ts';
import { plainController, sendToController } from '../controller.ts';
import type { Outcome } from './translator.ts';

/* The actions of OpenFlow 1.0 and 1.1 that set one header field each. */

export function translateSetEthSrc(ctx: XlateContext, action: ActionOf<'set_eth_src'>): Outcome {
  b.seeEthSrc(ctx.wc);
  b.setEthSrc(ctx.flow, Number(action.mac));
  return 'next';
}

export function translateSetEthDst(ctx: XlateContext, action: ActionOf<'set_eth_dst'>): Outcome {
  b.seeEthDst(ctx.wc);
  b.setEthDst(ctx.flow, Number(action.mac));
  return 'next';
}

export function translateSetIpv4Src(ctx: XlateContext, action: ActionOf<'set_ipv4_src'>): Outcome {
  if (b.isIpv4(ctx.flow)) {
    ctx.wc[W_NW_SRC] = 0xffffffff;
    ctx.flow[W_NW_SRC] = action.ip;
  }
  return 'next';
}

export function translateSetIpv4Dst(ctx: XlateContext, action: ActionOf<'set_ipv4_dst'>): Outcome {
  if (b.isIpv4(ctx.flow)) {
    ctx.wc[W_NW_DST] = 0xffffffff;
    ctx.flow[W_NW_DST] = action.ip;
  }
  return 'next';
}

const DSCP_MASK = 0xfc;
const ECN_MASK = 0x03;

/** `dscp` as it stands in the TOS byte. */
export function translateSetIpDscp(ctx: XlateContext, action: ActionOf<'set_ip_dscp'>): Outcome {
  setTos(ctx, action.dscp, DSCP_MASK);
  return 'next';
}

export function translateSetIpEcn(ctx: XlateContext, action: ActionOf<'set_ip_ecn'>): Outcome {
  setTos(ctx, action.ecn, ECN_MASK);
  return 'next';
}

function setTos(ctx: XlateContext, tos: number, mask: number): void {
  if (!b.isIpAny(ctx.flow)) return;
  b.setTos(ctx.wc, 0xff, mask);
  b.setTos(ctx.flow, tos, mask);
}

export function translateSetIpTtl(ctx: XlateContext, action: ActionOf<'set_ip_ttl'>): Outcome {
  if (b.isIpAny(ctx.flow)) {
    b.seeTtl(ctx.wc);
    b.setTtl(ctx.flow, action.ttl);
  }
  return 'next';
}

/** A packet whose TTL is spent goes to the controllers that want to know, and no further in this list. */
export function translateDecTtl(ctx: XlateContext, action: ActionOf<'dec_ttl'>): Outcome {
  if (!b.isIpAny(ctx.flow)) return 'next';
  b.seeTtl(ctx.wc);
  const ttl = b.nwTtl(ctx.flow);
  if (ttl > 1) {
    b.setTtl(ctx.flow, ttl - 1);
    return 'next';
  }
  for (const id of action.controllerIds) sendToController(ctx, plainController(0xffff, OFPR_INVALID_TTL, id));
  ctx.report('warn', () => `IPv${b.isIpv4(ctx.flow) ? 4 : 6} decrement TTL exception`);
  return 'stop';
}

export function translateSetL4Src(ctx: XlateContext, action: ActionOf<'set_l4_src_port'>): Outcome {
  setPort(ctx, 16, action.port);
  return 'next';
}

export function translateSetL4Dst(ctx: XlateContext, action: ActionOf<'set_l4_dst_port'>): Outcome {
  setPort(ctx, 0, action.port);
  return 'next';
}

function setPort(ctx: XlateContext, shift: number, port: number): void {
  if (!b.isIpAny(ctx.flow) || b.isLaterFragment(ctx.flow)) return;
  b.seeProto(ctx.wc);
  const mask = 0xffff << shift;
  ctx.wc[W_TP] |= mask;
  ctx.flow[W_TP] = ((ctx.flow[W_TP] & ~mask) | (port << shift)) >>> 0;
}

export function translateSetTunnel(ctx: XlateContext, action: ActionOf<'set_tunnel'>): Outcome {
  ctx.flow[W_TUN_ID] = Number(action.id >> 32n);
  ctx.flow[W_TUN_ID + 1] = Number(action.id & 0xffffffffn);
  return 'next';
}
