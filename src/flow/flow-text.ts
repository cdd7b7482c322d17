/** Writes whole packets' keys, and the megaflows that come of them, as `ofproto/trace` does. */
import { maskField } from './field-access.ts';
import { F } from './fields.ts';
import type { Flow } from './layout.ts';
import * as L from './layout.ts';
import { Match } from './match.ts';
import { formatMatch, type MatchFormatOptions } from './match-format.ts';
import {
  ETH_TYPE_ARP,
  ETH_TYPE_IP,
  ETH_TYPE_IPV6,
  ETH_TYPE_NSH,
  ETH_TYPE_RARP,
  ethType,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_IGMP,
  IPPROTO_SCTP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  isMpls,
  isNd,
} from './prerequisites.ts';
import type { TunnelMetadataMap } from './tun-metadata.ts';

/** Sets all bits of words `from` to `to - 1`. */
function fill(mask: Flow, from: number, to = from + 1): void {
  mask.fill(0xffffffff, from, to);
}

function maskTunnel(mask: Flow, flow: Flow): void {
  let hasDestination = flow[L.W_TUN_DST] !== 0;
  for (let i = 0; i < 4; i++) hasDestination ||= flow[L.W_TUN_IPV6_DST + i] !== 0;
  if (!hasDestination) {
    if ((flow[L.W_TUN_ID] | flow[L.W_TUN_ID + 1]) !== 0) maskField(mask, F.tunId);
    return;
  }
  if (((flow[L.W_TUN_FLAGS] >>> 16) & L.TUN_F_KEY) !== 0) maskField(mask, F.tunId);
  fill(mask, L.W_TUN_SRC, L.W_METADATA);
  const present = [L.W_TUN_METADATA_PRESENT, L.W_TUN_METADATA_PRESENT + 1];
  if (present.some((word) => flow[word] !== 0)) {
    for (const word of present) mask[word] = flow[word];
    fill(mask, L.W_TUN_METADATA, L.FLOW_WORDS);
  }
}

function maskTransport(mask: Flow, flow: Flow): void {
  const proto = flow[L.W_NW] & 0xff;
  const later = ((flow[L.W_NW] >>> 24) & L.FRAG_LATER) !== 0;
  const known = [IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP, IPPROTO_IGMP];
  if (later || !known.includes(proto)) return;
  fill(mask, L.W_TP);
  if (proto === IPPROTO_TCP) fill(mask, L.W_TCP_FLAGS);
  else if (proto === IPPROTO_IGMP) fill(mask, L.W_IGMP_GROUP);
}

/**
 * A mask of every bit that a packet like `flow` has: all of its headers, and the metadata that a
 * packet comes with, but not registers, OpenFlow metadata and other results of a translation.
 */
export function maskForPacket(flow: Flow): Flow {
  const mask = L.newFlow();
  maskTunnel(mask, flow);
  fill(mask, L.W_SKB_PRIORITY, L.W_RECIRC_ID + 1);
  mask[L.W_CT_STATE] = 0xff00ffff;
  fill(mask, L.W_CT_MARK);
  fill(mask, L.W_CT_LABEL, L.W_CT_LABEL + 4);
  fill(mask, L.W_PACKET_TYPE);
  if (flow[L.W_PACKET_TYPE] === L.PT_ETH) {
    fill(mask, L.W_ETH, L.W_ETH + 3);
    mask[L.W_ETH_TYPE] = 0xffff0000;
    for (let i = 0; i < L.N_VLANS; i++) {
      fill(mask, L.W_VLAN + i);
      if ((flow[L.W_VLAN + i] & 0xffff) === 0) break;
    }
  }
  const type = ethType(flow);
  if (type === ETH_TYPE_IP) {
    fill(mask, L.W_NW_SRC, L.W_NW_DST + 1);
    fill(mask, L.W_CT_NW_SRC, L.W_CT_NW_DST + 1);
  } else if (type === ETH_TYPE_IPV6) {
    fill(mask, L.W_IPV6_SRC, L.W_IPV6_LABEL);
    maskField(mask, F.ipv6Label);
    if (isNd(flow, mask)) fill(mask, L.W_ND_TARGET, L.W_ARP_HA + 3);
    else fill(mask, L.W_CT_IPV6_SRC, L.W_CT_IPV6_DST + 4);
  } else if (type === ETH_TYPE_ARP || type === ETH_TYPE_RARP) {
    fill(mask, L.W_NW_SRC, L.W_NW_DST + 1);
    maskField(mask, F.nwProto);
    fill(mask, L.W_ARP_HA, L.W_ARP_HA + 3);
    return mask;
  } else if (isMpls(flow)) {
    for (let i = 0; i < L.N_MPLS; i++) {
      fill(mask, L.W_MPLS + i);
      if ((flow[L.W_MPLS + i] & 0x100) !== 0) break;
    }
    return mask;
  } else if (type === ETH_TYPE_NSH) fill(mask, L.W_NSH, L.W_NSH_CONTEXT + 4);
  else return mask;
  mask[L.W_NW] = 0x03ffffff;
  maskField(mask, F.ctNwProto);
  fill(mask, L.W_CT_TP);
  maskTransport(mask, flow);
  return mask;
}

/** ct_state bits one of which a packet of a valid connection has. */
const CT_VALID = L.CS_NEW | L.CS_ESTABLISHED | L.CS_RELATED | L.CS_REPLY_DIR | L.CS_SRC_NAT | L.CS_DST_NAT;

/**
 * Whether a packet's conntrack fields count, for printing: its state says so, or it says at least
 * that the connection is tracked and not invalid.
 */
function ctValid(flow: Flow): boolean {
  const state = flow[L.W_CT_STATE] >>> 24;
  return (state & CT_VALID) !== 0 || ((state & L.CS_TRACKED) !== 0 && (state & L.CS_INVALID) === 0);
}

/** Words of metadata that are left out of a packet's text while they are 0. */
const SILENT_ZERO: readonly number[] = [
  L.W_IN_PORT,
  L.W_SKB_PRIORITY,
  L.W_PKT_MARK,
  L.W_RECIRC_ID,
  L.W_DP_HASH,
  L.W_CT_MARK,
  ...Array.from({ length: L.N_REGS }, (_, i) => L.W_REG + i),
];

/** A packet's key as in "Flow: ..." of `ofproto/trace`: all headers, and metadata other than 0. */
export function formatFlow(
  flow: Flow,
  options: MatchFormatOptions = {},
  tun: TunnelMetadataMap | null = null,
): string {
  const mask = maskForPacket(flow);
  fill(mask, L.W_REG, L.W_REG + L.N_REGS);
  fill(mask, L.W_METADATA, L.W_METADATA + 2);
  for (const word of SILENT_ZERO) if (flow[word] === 0) mask[word] = 0;
  if (flow[L.W_CT_STATE] >>> 24 === 0) mask[L.W_CT_STATE] &= 0x00ffffff;
  if ((flow[L.W_CT_STATE] & 0xffff) === 0) mask[L.W_CT_STATE] &= 0xffff0000;
  if (flow.subarray(L.W_CT_LABEL, L.W_CT_LABEL + 4).every((word) => word === 0)) {
    mask.fill(0, L.W_CT_LABEL, L.W_CT_LABEL + 4);
  }
  if (!ctValid(flow) || (flow[L.W_CT_STATE] & 0xff0000) === 0) {
    mask[L.W_CT_STATE] &= 0xff00ffff;
    mask[L.W_CT_TP] = 0;
    const type = flow[L.W_ETH_TYPE] >>> 16;
    if (type === ETH_TYPE_IP) mask.fill(0, L.W_CT_NW_SRC, L.W_CT_NW_DST + 1);
    else if (type === ETH_TYPE_IPV6) mask.fill(0, L.W_CT_IPV6_SRC, L.W_CT_IPV6_DST + 4);
  }
  if ((flow[L.W_METADATA] | flow[L.W_METADATA + 1]) === 0) mask.fill(0, L.W_METADATA, L.W_METADATA + 2);
  return formatMatch(Match.of(flow, mask, tun), options);
}

/** A megaflow as in "Megaflow: ..." of `ofproto/trace`: the bits of `flow` that `mask` has. */
export function formatMegaflow(
  flow: Flow,
  mask: Flow,
  options: MatchFormatOptions = {},
  tun: TunnelMetadataMap | null = null,
): string {
  return formatMatch(Match.of(flow, mask, tun), options);
}
