/**
 * What a packet, or a match, must be for a field to exist in it. Testing a packet looks at header
 * bits, so each test can be told to record what it looked at.
 */
import type { Field, Prerequisite } from './field.ts';
import type { Flow } from './layout.ts';
import * as L from './layout.ts';

export const ETH_TYPE_IP = 0x0800;
export const ETH_TYPE_ARP = 0x0806;
export const ETH_TYPE_RARP = 0x8035;
export const ETH_TYPE_IPV6 = 0x86dd;
export const ETH_TYPE_MPLS = 0x8847;
export const ETH_TYPE_MPLS_MCAST = 0x8848;
export const ETH_TYPE_NSH = 0x894f;
export const IPPROTO_ICMP = 1;
export const IPPROTO_IGMP = 2;
export const IPPROTO_TCP = 6;
export const IPPROTO_UDP = 17;
export const IPPROTO_ICMPV6 = 58;
export const IPPROTO_SCTP = 132;
export const ND_SOLICIT = 135;
export const ND_ADVERT = 136;
/** Namespace of packet_type whose types are Ethernet types. */
const PT_NS_ETHERTYPE = 1;

/** The Ethernet type of a packet, also of one without an Ethernet header. */
export function ethType(flow: Flow): number {
  const packetType = flow[L.W_PACKET_TYPE];
  if (packetType !== L.PT_ETH && packetType >>> 16 === PT_NS_ETHERTYPE) return packetType & 0xffff;
  return flow[L.W_ETH_TYPE] >>> 16;
}

export function isEthernet(flow: Flow, wc: Flow | null): boolean {
  if (wc !== null) wc[L.W_PACKET_TYPE] = 0xffffffff;
  return flow[L.W_PACKET_TYPE] === L.PT_ETH;
}

export function isVlan(flow: Flow, wc: Flow | null): boolean {
  if (!isEthernet(flow, wc)) return false;
  if (wc !== null) wc[L.W_VLAN] |= L.VLAN_CFI;
  return (flow[L.W_VLAN] & L.VLAN_CFI) !== 0;
}

export function isIp(flow: Flow): boolean {
  const type = ethType(flow);
  return type === ETH_TYPE_IP || type === ETH_TYPE_IPV6;
}

export function isMpls(flow: Flow): boolean {
  const type = ethType(flow);
  return type === ETH_TYPE_MPLS || type === ETH_TYPE_MPLS_MCAST;
}

/** Whether a packet is IPv4 or IPv6 with a protocol. */
export function isIpProto(flow: Flow, proto: number, wc: Flow | null): boolean {
  if (!isIp(flow)) return false;
  if (wc !== null) wc[L.W_NW] |= 0xff;
  return (flow[L.W_NW] & 0xff) === proto;
}

export function isIcmpv4(flow: Flow, wc: Flow | null): boolean {
  if (ethType(flow) !== ETH_TYPE_IP) return false;
  if (wc !== null) wc[L.W_NW] |= 0xff;
  return (flow[L.W_NW] & 0xff) === IPPROTO_ICMP;
}

export function isIcmpv6(flow: Flow, wc: Flow | null): boolean {
  if (ethType(flow) !== ETH_TYPE_IPV6) return false;
  if (wc !== null) wc[L.W_NW] |= 0xff;
  return (flow[L.W_NW] & 0xff) === IPPROTO_ICMPV6;
}

/** Whether a packet is an IPv6 neighbour solicitation or advertisement. */
export function isNd(flow: Flow, wc: Flow | null): boolean {
  if (!isIcmpv6(flow, wc)) return false;
  if (wc !== null) wc[L.W_TP] |= 0xffff;
  if ((flow[L.W_TP] & 0xffff) !== 0) return false;
  if (wc !== null) wc[L.W_TP] |= 0xffff0000;
  const type = flow[L.W_TP] >>> 16;
  return type === ND_SOLICIT || type === ND_ADVERT;
}

/** ct_state bits one of which every valid tracked packet has. */
const CS_VALID = L.CS_NEW | L.CS_ESTABLISHED | L.CS_REPLY_DIR;
/** ct_state bits any of which implies that the connection is valid. */
const CS_IMPLIES_VALID =
  L.CS_NEW | L.CS_ESTABLISHED | L.CS_RELATED | L.CS_REPLY_DIR | L.CS_SRC_NAT | L.CS_DST_NAT;

function isCtValid(flow: Flow, matchMask: Flow | null, wc: Flow | null): boolean {
  const state = flow[L.W_CT_STATE] >>> 24;
  if (matchMask !== null) {
    const explicitlyValid =
      (state & L.CS_TRACKED) !== 0 &&
      ((matchMask[L.W_CT_STATE] >>> 24) & L.CS_INVALID) !== 0 &&
      (state & L.CS_INVALID) === 0;
    return (state & CS_IMPLIES_VALID) !== 0 || explicitlyValid;
  }
  if (wc !== null) wc[L.W_CT_STATE] |= CS_VALID << 24;
  return (state & CS_VALID) !== 0;
}

function isLaterFragment(flow: Flow): boolean {
  return ((flow[L.W_NW] >>> 24) & L.FRAG_LATER) !== 0;
}

function met(prerequisite: Prerequisite, flow: Flow, matchMask: Flow | null, wc: Flow | null): boolean {
  switch (prerequisite) {
    case 'none':
      return true;
    case 'ethernet':
      return isEthernet(flow, wc);
    case 'arp': {
      const type = ethType(flow);
      return type === ETH_TYPE_ARP || type === ETH_TYPE_RARP;
    }
    case 'ipv4':
      return ethType(flow) === ETH_TYPE_IP;
    case 'ipv6':
      return ethType(flow) === ETH_TYPE_IPV6;
    case 'vlan-vid':
      return isVlan(flow, wc);
    case 'mpls':
      return isMpls(flow);
    case 'ip':
      return isIp(flow);
    case 'nsh':
      return ethType(flow) === ETH_TYPE_NSH;
    case 'ct':
      return isCtValid(flow, matchMask, wc);
    case 'tcp':
      return isIpProto(flow, IPPROTO_TCP, wc) && !isLaterFragment(flow);
    case 'udp':
      return isIpProto(flow, IPPROTO_UDP, wc) && !isLaterFragment(flow);
    case 'sctp':
      return isIpProto(flow, IPPROTO_SCTP, wc) && !isLaterFragment(flow);
    case 'icmpv4':
      return isIcmpv4(flow, wc);
    case 'icmpv6':
      return isIcmpv6(flow, wc);
    case 'nd':
      return isNd(flow, wc);
    case 'nd-solicit':
      return isNd(flow, wc) && flow[L.W_TP] >>> 16 === ND_SOLICIT;
    case 'nd-advert':
      return isNd(flow, wc) && flow[L.W_TP] >>> 16 === ND_ADVERT;
  }
}

/**
 * Whether a packet has a field. Bits that it looked at are set in `wc`, if given; the Ethernet type,
 * nw_frag and recirc_id always matter to a translation, which masks them itself at its start.
 */
export function prerequisitesMet(field: Field, flow: Flow, wc: Flow | null = null): boolean {
  return met(field.prerequisite, flow, null, wc);
}

/** Whether every packet of a match (`flow` under `mask`) has a field. */
export function matchPrerequisitesMet(field: Field, flow: Flow, mask: Flow): boolean {
  return met(field.prerequisite, flow, mask, null);
}
