import {
  type Flow,
  N_VLANS,
  VLAN_CFI,
  W_IPV6_DST,
  W_IPV6_SRC,
  W_NW_DST,
  W_NW_SRC,
  W_TP,
  W_VLAN,
} from '../../flow/layout.ts';
import type { HashFields } from '../../openflow/actions/types.ts';
import * as b from './bits.ts';
import type { XlateContext } from './context.ts';

/** Notes what a hash over these fields reads. */
export function seeHashFields(ctx: XlateContext, fields: HashFields): void {
  const { wc, flow } = ctx;
  const seeAddresses = (src: boolean, dst: boolean): void => {
    if (b.isIpv4(flow)) {
      if (src) wc[W_NW_SRC] = 0xffffffff;
      if (dst) wc[W_NW_DST] = 0xffffffff;
    } else if (b.isIpv6(flow)) {
      if (src) wc.fill(0xffffffff, W_IPV6_SRC, W_IPV6_SRC + 4);
      if (dst) wc.fill(0xffffffff, W_IPV6_DST, W_IPV6_DST + 4);
    }
  };
  switch (fields) {
    case 'eth_src':
      b.seeEthSrc(wc);
      break;
    case 'nw_src':
      seeAddresses(true, false);
      break;
    case 'nw_dst':
      seeAddresses(false, true);
      break;
    case 'symmetric_l3':
      seeAddresses(true, true);
      break;
    case 'symmetric_l4':
      b.seeEthSrc(wc);
      b.seeEthDst(wc);
      seeAddresses(true, true);
      if (b.isIpAny(flow)) seePorts(flow, wc, [b.IPPROTO_TCP, b.IPPROTO_SCTP]);
      for (let i = 0; i < N_VLANS; i++) wc[W_VLAN + i] |= 0x0fff | VLAN_CFI;
      break;
    case 'symmetric_l3l4':
      seeAddresses(true, true);
      if (b.isIpAny(flow)) seePorts(flow, wc, [b.IPPROTO_TCP, b.IPPROTO_SCTP]);
      break;
    case 'symmetric_l3l4+udp':
      seeAddresses(true, true);
      if (b.isIpAny(flow)) seePorts(flow, wc, [b.IPPROTO_TCP, b.IPPROTO_SCTP, b.IPPROTO_UDP]);
      break;
  }
}

function seePorts(flow: Flow, wc: Flow, protocols: readonly number[]): void {
  b.seeProto(wc);
  if (protocols.includes(b.nwProto(flow))) wc[W_TP] = 0xffffffff;
}
