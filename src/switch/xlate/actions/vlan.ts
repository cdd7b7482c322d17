import { N_VLANS, VLAN_CFI, W_VLAN } from '../../../flow/layout.ts';
import type { ActionOf } from '../../../openflow/actions/types.ts';
import * as b from '../bits.ts';
import type { XlateContext } from '../context.ts';
import type { Outcome } from './translator.ts';

const VID_MASK = 0x0fff;
const PCP_MASK = 0xe000;

/** mod_vlan_vid, set_vlan_vid. */
export function translateSetVlanVid(ctx: XlateContext, action: ActionOf<'set_vlan_vid'>): Outcome {
  setTci(ctx, VID_MASK, action.vid, action.pushIfNeeded);
  return 'next';
}

/** mod_vlan_pcp, set_vlan_pcp. */
export function translateSetVlanPcp(ctx: XlateContext, action: ActionOf<'set_vlan_pcp'>): Outcome {
  setTci(ctx, PCP_MASK, action.pcp << 13, action.pushIfNeeded);
  return 'next';
}

function setTci(ctx: XlateContext, mask: number, value: number, pushIfNeeded: boolean): void {
  const { flow, wc } = ctx;
  wc[W_VLAN] |= mask | VLAN_CFI;
  if (!b.hasTag(flow, 0) && !pushIfNeeded) return;
  ctx.seeTakenTag();
  b.setVlan(
    flow,
    0,
    b.vlanTpid(flow, 0) || b.ETH_TYPE_VLAN,
    (b.vlanTci(flow, 0) & ~mask) | (value & mask) | VLAN_CFI,
  );
}

/** Tags from the outside in, as many as there are. */
function countTags(ctx: XlateContext): number {
  let n = 0;
  while (n < N_VLANS && b.hasTag(ctx.flow, n)) n++;
  return n;
}

/** strip_vlan, pop_vlan. That a tag is there at all is part of every megaflow's match. */
export function translatePopVlan(ctx: XlateContext): Outcome {
  const { flow, wc } = ctx;
  const n = countTags(ctx);
  for (let i = 1; i < n; i++) {
    wc[W_VLAN + i] = 0xffffffff;
    flow[W_VLAN + i - 1] = flow[W_VLAN + i];
  }
  if (n > 0) flow[W_VLAN + n - 1] = 0;
  return 'next';
}

/** push_vlan: a new outer tag, its VID and PCP 0 until they are set. */
export function translatePushVlan(ctx: XlateContext, action: ActionOf<'push_vlan'>): Outcome {
  const { flow, wc } = ctx;
  ctx.seeTakenTag();
  wc.fill(0xffffffff, W_VLAN, W_VLAN + countTags(ctx));
  for (let i = N_VLANS - 1; i > 0; i--) flow[W_VLAN + i] = flow[W_VLAN + i - 1];
  b.setVlan(flow, 0, action.ethertype, VLAN_CFI);
  return 'next';
}
