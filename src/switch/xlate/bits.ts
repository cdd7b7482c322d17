import { type Flow, FRAG_LATER, VLAN_CFI, W_ETH, W_ETH_TYPE, W_NW, W_VLAN } from '../../flow/layout.ts';

/*
 * Short reads of a key, and the bits of a mask that such a read looks at. Translation must never read
 * a header field of the packet without noting it in the mask: each reader here has its `see` twin.
 */

export const ETH_TYPE_IP = 0x0800;
export const ETH_TYPE_ARP = 0x0806;
export const ETH_TYPE_VLAN = 0x8100;
export const ETH_TYPE_VLAN_8021AD = 0x88a8;
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

export const ethType = (flow: Flow): number => flow[W_ETH_TYPE] >>> 16;

export function setEthType(flow: Flow, type: number): void {
  flow[W_ETH_TYPE] = (type << 16) >>> 0;
}

export const isIpv4 = (flow: Flow): boolean => ethType(flow) === ETH_TYPE_IP;
export const isIpv6 = (flow: Flow): boolean => ethType(flow) === ETH_TYPE_IPV6;
export const isIpAny = (flow: Flow): boolean => isIpv4(flow) || isIpv6(flow);
export const isArp = (flow: Flow): boolean => ethType(flow) === ETH_TYPE_ARP;
export const isMplsType = (type: number): boolean => type === ETH_TYPE_MPLS || type === ETH_TYPE_MPLS_MCAST;
export const isVlanType = (type: number): boolean => type === ETH_TYPE_VLAN || type === ETH_TYPE_VLAN_8021AD;

export const nwProto = (flow: Flow): number => flow[W_NW] & 0xff;
export const nwTtl = (flow: Flow): number => (flow[W_NW] >>> 8) & 0xff;
export const nwTos = (flow: Flow): number => (flow[W_NW] >>> 16) & 0xff;
export const nwFrag = (flow: Flow): number => flow[W_NW] >>> 24;
export const isLaterFragment = (flow: Flow): boolean => (nwFrag(flow) & FRAG_LATER) !== 0;

export function seeProto(wc: Flow): void {
  wc[W_NW] |= 0xff;
}

export function seeTtl(wc: Flow): void {
  wc[W_NW] |= 0xff00;
}

export function seeFrag(wc: Flow): void {
  wc[W_NW] |= 0x03000000;
}

export function setTtl(flow: Flow, ttl: number): void {
  flow[W_NW] = (flow[W_NW] & ~0xff00) | (ttl << 8);
}

/** Bits `mask` of the TOS byte become those of `tos`. */
export function setTos(flow: Flow, tos: number, mask: number): void {
  flow[W_NW] = (flow[W_NW] & ~(mask << 16)) | ((tos & mask) << 16);
}

export const vlanTpid = (flow: Flow, index: number): number => flow[W_VLAN + index] >>> 16;
export const vlanTci = (flow: Flow, index: number): number => flow[W_VLAN + index] & 0xffff;
export const hasTag = (flow: Flow, index: number): boolean => (flow[W_VLAN + index] & VLAN_CFI) !== 0;

export function setVlan(flow: Flow, index: number, tpid: number, tci: number): void {
  flow[W_VLAN + index] = ((tpid << 16) | tci) >>> 0;
}

/** MAC addresses as numbers of 48 bits. */
export const ethDst = (flow: Flow): number => flow[W_ETH] * 0x10000 + (flow[W_ETH + 1] >>> 16);
export const ethSrc = (flow: Flow): number => (flow[W_ETH + 1] & 0xffff) * 2 ** 32 + flow[W_ETH + 2];

export function setEthDst(flow: Flow, mac: number): void {
  flow[W_ETH] = Math.floor(mac / 0x10000);
  flow[W_ETH + 1] = (((mac % 0x10000) << 16) | (flow[W_ETH + 1] & 0xffff)) >>> 0;
}

export function setEthSrc(flow: Flow, mac: number): void {
  flow[W_ETH + 1] = ((flow[W_ETH + 1] & 0xffff0000) | Math.floor(mac / 2 ** 32)) >>> 0;
  flow[W_ETH + 2] = mac % 2 ** 32;
}

export function seeEthDst(wc: Flow): void {
  wc[W_ETH] = 0xffffffff;
  wc[W_ETH + 1] |= 0xffff0000;
}

export function seeEthSrc(wc: Flow): void {
  wc[W_ETH + 1] |= 0x0000ffff;
  wc[W_ETH + 2] = 0xffffffff;
}

export const BROADCAST_MAC = 2 ** 48 - 1;
export const isGroupMac = (mac: number): boolean => (Math.floor(mac / 2 ** 40) & 1) !== 0;

/** Link-local group addresses that a bridge never forwards: 01:80:c2:00:00:00 to :0f, and a few vendors'. */
export function isReservedMac(mac: number): boolean {
  return RESERVED_RANGES.some(([first, last]) => mac >= first && mac <= last);
}

const RESERVED_RANGES: readonly (readonly [number, number])[] = [
  [0x0180c2000000, 0x0180c200000f],
  [0x01000ccccccc, 0x01000ccccccc],
  [0x01000ccccccd, 0x01000ccccccd],
  [0x01000ccdcdcd, 0x01000ccdcdcd],
  [0x01000c000000, 0x01000c000000],
  [0x01000cccccc0, 0x01000cccccc7],
  [0x00e02b000000, 0x00e02b000000],
  [0x00e02b000004, 0x00e02b000004],
  [0x00e02b000006, 0x00e02b000006],
];
