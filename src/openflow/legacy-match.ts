/**
 * The fixed matches of OpenFlow 1.0 (40 bytes: 12 fields, a bit or a prefix length of wildcards each)
 * and OpenFlow 1.1 (88 bytes: masks for addresses and metadata, a bit for each other field).
 */
import { F } from '../flow/fields.ts';
import * as L from '../flow/layout.ts';
import { Match } from '../flow/match.ts';
import {
  ETH_TYPE_ARP,
  ETH_TYPE_IP,
  ETH_TYPE_RARP,
  IPPROTO_ICMP,
  IPPROTO_SCTP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  isMpls,
} from '../flow/prerequisites.ts';
import type { Reader, Writer } from './bytes.ts';
import { OfError } from './errors.ts';
import { setDefaultPacketType } from './nx-match.ts';
import { portFromWire16, portFromWire32, portToWire16 } from './ports.ts';

const VID_MASK = 0x0fff;
const PCP_MASK = 0xe000;
const PCP_SHIFT = 13;
const DSCP_MASK = 0xfc;

// --- OpenFlow 1.0 -------------------------------------------------------------------------------------

export const OF10_MATCH_LENGTH = 40;

const FW10_IN_PORT = 1 << 0;
const FW10_DL_VLAN = 1 << 1;
const FW10_DL_SRC = 1 << 2;
const FW10_DL_DST = 1 << 3;
const FW10_DL_TYPE = 1 << 4;
const FW10_NW_PROTO = 1 << 5;
const FW10_TP_SRC = 1 << 6;
const FW10_TP_DST = 1 << 7;
const FW10_NW_SRC_SHIFT = 8;
const FW10_NW_DST_SHIFT = 14;
const FW10_DL_VLAN_PCP = 1 << 20;
const FW10_NW_TOS = 1 << 21;
/** All wildcard bits. */
export const FW10_ALL = (1 << 22) - 1;
/** The fields that a packet without an Ethernet header lacks. */
const FW10_DATA =
  FW10_DL_VLAN |
  FW10_DL_SRC |
  FW10_DL_DST |
  FW10_DL_TYPE |
  FW10_NW_PROTO |
  FW10_TP_SRC |
  FW10_TP_DST |
  FW10_DL_VLAN_PCP |
  FW10_NW_TOS;
const VLAN_NONE_10 = 0xffff;

/** The netmask that a count of wildcarded low bits stands for; 32 and more: nothing matters. */
function netmask(count: number): number {
  const n = count & 0x3f;
  return n < 32 ? (0xffffffff << n) >>> 0 : 0;
}

/** How many low bits a netmask wildcards. */
function wildcardedBits(mask: number): number {
  return mask === 0 ? 32 : 31 - Math.clz32(mask & -mask);
}

/** An OpenFlow 1.0 match, and the wildcard bits as they stood on the wire. */
export interface Of10Match {
  readonly match: Match;
  readonly wildcards: number;
}

export function readOf10Match(r: Reader): Of10Match {
  const wildcards = r.u32() & FW10_ALL;
  const match = new Match();
  const { flow, mask } = match;
  const inPort = r.u16();
  const srcHigh = r.u16();
  const srcLow = r.u32();
  const dstHigh = r.u32();
  const dstLow = r.u16();
  const vlan = r.u16();
  const pcp = r.u8();
  r.skip(1);
  const type = r.u16();
  const tos = r.u8();
  const proto = r.u8();
  r.skip(2);
  const nwSrc = r.u32();
  const nwDst = r.u32();
  const tpSrc = r.u16();
  const tpDst = r.u16();
  const want = (bit: number): boolean => (wildcards & bit) === 0;

  if (want(FW10_IN_PORT)) mask[L.W_IN_PORT] = 0xffffffff;
  if (want(FW10_DL_SRC)) match.set(F.ethSrc, BigInt(srcHigh) * 0x100000000n + BigInt(srcLow));
  if (want(FW10_DL_DST)) match.set(F.ethDst, BigInt(dstHigh) * 0x10000n + BigInt(dstLow));
  if (want(FW10_DL_TYPE)) mask[L.W_ETH_TYPE] = 0xffff0000;
  if (want(FW10_NW_TOS)) mask[L.W_NW] |= DSCP_MASK << 16;
  if (want(FW10_NW_PROTO)) mask[L.W_NW] |= 0xff;
  if (want(FW10_TP_SRC)) mask[L.W_TP] |= 0xffff0000;
  if (want(FW10_TP_DST)) mask[L.W_TP] |= 0xffff;
  mask[L.W_NW_SRC] = netmask(wildcards >>> FW10_NW_SRC_SHIFT);
  mask[L.W_NW_DST] = netmask(wildcards >>> FW10_NW_DST_SHIFT);
  if (want(FW10_DL_VLAN_PCP)) mask[L.W_VLAN] |= PCP_MASK | L.VLAN_CFI;
  if (want(FW10_DL_VLAN)) mask[L.W_VLAN] |= VID_MASK | L.VLAN_CFI;

  flow[L.W_IN_PORT] = portFromWire16(inPort);
  flow[L.W_ETH_TYPE] = type << 16;
  flow[L.W_NW] = ((tos & DSCP_MASK) << 16) | proto;
  flow[L.W_NW_SRC] = nwSrc;
  flow[L.W_NW_DST] = nwDst;
  flow[L.W_TP] = (tpSrc << 16) | tpDst;
  if (want(FW10_DL_VLAN) && vlan === VLAN_NONE_10) {
    // No tag at all, whatever is said of its priority.
    mask[L.W_VLAN] = 0xffff;
  } else {
    flow[L.W_VLAN] = (vlan & VID_MASK) | ((pcp << PCP_SHIFT) & PCP_MASK) | L.VLAN_CFI;
  }
  if ((wildcards & FW10_DATA) !== FW10_DATA || mask[L.W_NW_SRC] !== 0 || mask[L.W_NW_DST] !== 0) {
    setDefaultPacketType(match);
  }
  match.zeroWildcarded();
  return { match, wildcards };
}

/** Writes what of a match OpenFlow 1.0 can say; the rest is left out. */
export function writeOf10Match(w: Writer, { flow, mask }: Match): void {
  let wild =
    (wildcardedBits(mask[L.W_NW_SRC]) << FW10_NW_SRC_SHIFT) |
    (wildcardedBits(mask[L.W_NW_DST]) << FW10_NW_DST_SHIFT);
  const ethDstMask = mask[L.W_ETH] !== 0 || mask[L.W_ETH + 1] >>> 16 !== 0;
  const ethSrcMask = (mask[L.W_ETH + 1] & 0xffff) !== 0 || mask[L.W_ETH + 2] !== 0;
  if (mask[L.W_IN_PORT] === 0) wild |= FW10_IN_PORT;
  if (mask[L.W_ETH_TYPE] === 0) wild |= FW10_DL_TYPE;
  if ((mask[L.W_NW] & 0xff) === 0) wild |= FW10_NW_PROTO;
  if ((mask[L.W_NW] & (DSCP_MASK << 16)) === 0) wild |= FW10_NW_TOS;
  if (mask[L.W_TP] >>> 16 === 0) wild |= FW10_TP_SRC;
  if ((mask[L.W_TP] & 0xffff) === 0) wild |= FW10_TP_DST;
  if (!ethSrcMask) wild |= FW10_DL_SRC;
  if (!ethDstMask) wild |= FW10_DL_DST;

  let vlan = 0;
  let pcp = 0;
  const tci = flow[L.W_VLAN] & 0xffff;
  const tciMask = mask[L.W_VLAN] & 0xffff;
  if (tciMask === 0) {
    wild |= FW10_DL_VLAN | FW10_DL_VLAN_PCP;
  } else if ((tciMask & L.VLAN_CFI) !== 0 && (tci & L.VLAN_CFI) === 0) {
    vlan = VLAN_NONE_10;
  } else {
    if ((tciMask & VID_MASK) === 0) wild |= FW10_DL_VLAN;
    else vlan = tci & VID_MASK;
    if ((tciMask & PCP_MASK) === 0) wild |= FW10_DL_VLAN_PCP;
    else pcp = tci >>> PCP_SHIFT;
  }
  w.u32(wild);
  w.u16(portToWire16(flow[L.W_IN_PORT]));
  w.u16(flow[L.W_ETH + 1] & 0xffff);
  w.u32(flow[L.W_ETH + 2]);
  w.u32(flow[L.W_ETH]);
  w.u16(flow[L.W_ETH + 1] >>> 16);
  w.u16(vlan);
  w.u8(pcp);
  w.u8(0);
  w.u16(flow[L.W_ETH_TYPE] >>> 16);
  w.u8((flow[L.W_NW] >>> 16) & DSCP_MASK);
  w.u8(flow[L.W_NW] & 0xff);
  w.u16(0);
  w.u32(flow[L.W_NW_SRC]);
  w.u32(flow[L.W_NW_DST]);
  w.u32(flow[L.W_TP]);
}

// --- OpenFlow 1.1 -------------------------------------------------------------------------------------

export const OF11_MATCH_LENGTH = 88;

const FW11_IN_PORT = 1 << 0;
const FW11_DL_VLAN = 1 << 1;
const FW11_DL_VLAN_PCP = 1 << 2;
const FW11_DL_TYPE = 1 << 3;
const FW11_NW_TOS = 1 << 4;
const FW11_NW_PROTO = 1 << 5;
const FW11_TP_SRC = 1 << 6;
const FW11_TP_DST = 1 << 7;
const FW11_MPLS_LABEL = 1 << 8;
const FW11_MPLS_TC = 1 << 9;
const VLAN_ANY_11 = 0xfffe;
const VLAN_NONE_11 = 0xffff;
const MAC_ONES = 0xffffffffffffn;
const MPLS_LABEL_SHIFT = 12;
const MPLS_TC_SHIFT = 9;

function badValue(what: string): OfError {
  return new OfError('OFPBMC_BAD_VALUE', `OpenFlow 1.1 match: ${what}`);
}

/** Reads what follows the 4-byte header (type and length) of an OpenFlow 1.1 match. */
export function readOf11Match(r: Reader): Match {
  const match = new Match();
  const inPort = r.u32();
  const wild = r.u32();
  const dlSrc = r.uint(6);
  const dlSrcMask = r.uint(6) ^ MAC_ONES;
  const dlDst = r.uint(6);
  const dlDstMask = r.uint(6) ^ MAC_ONES;
  const vlan = r.u16();
  const pcp = r.u8();
  r.skip(1);
  const type = r.u16();
  const tos = r.u8();
  const proto = r.u8();
  const nwSrc = r.u32();
  const nwSrcMask = ~r.u32() >>> 0;
  const nwDst = r.u32();
  const nwDstMask = ~r.u32() >>> 0;
  const tpSrc = r.u16();
  const tpDst = r.u16();
  const mplsLabel = r.u32();
  const mplsTc = r.u8();
  r.skip(3);
  const metadata = r.u64();
  const metadataMask = r.u64() ^ 0xffffffffffffffffn;
  const want = (bit: number): boolean => (wild & bit) === 0;

  if (want(FW11_IN_PORT)) match.setNumber(F.inPortOxm, portInMatch(inPort));
  if (dlSrcMask !== 0n || dlDstMask !== 0n) {
    match.set(F.ethSrc, dlSrc & dlSrcMask, dlSrcMask);
    match.set(F.ethDst, dlDst & dlDstMask, dlDstMask);
    setDefaultPacketType(match);
  }
  if (want(FW11_DL_VLAN)) {
    setOf11Vlan(match, vlan, want(FW11_DL_VLAN_PCP) ? pcp : null);
    setDefaultPacketType(match);
  }
  if (want(FW11_DL_TYPE)) {
    match.setNumber(F.ethType, type);
    setDefaultPacketType(match);
  }
  const matched = match.flow[L.W_ETH_TYPE] >>> 16;
  const ipv4 = matched === ETH_TYPE_IP;
  if (ipv4 && want(FW11_NW_TOS)) {
    if ((tos & ~DSCP_MASK) !== 0) throw badValue(`nw_tos is ${tos}, its low two bits must be 0`);
    match.setNumber(F.nwTos, tos);
  }
  if (ipv4 || matched === ETH_TYPE_ARP || matched === ETH_TYPE_RARP) {
    if (want(FW11_NW_PROTO)) match.setNumber(F.nwProto, proto);
    match.setNumber(F.ipSrc, (nwSrc & nwSrcMask) >>> 0, nwSrcMask);
    match.setNumber(F.ipDst, (nwDst & nwDstMask) >>> 0, nwDstMask);
  }
  if (ipv4) setOf11Ports(match, want(FW11_TP_SRC) ? tpSrc : null, want(FW11_TP_DST) ? tpDst : null);
  if (isMpls(match.flow)) {
    if (want(FW11_MPLS_LABEL)) match.setNumber(F.mplsLabel, mplsLabel & 0xfffff);
    if (want(FW11_MPLS_TC)) match.setNumber(F.mplsTc, mplsTc & 7);
  }
  match.set(F.metadata, metadata & metadataMask, metadataMask);
  return match;
}

function portInMatch(wire: number): number {
  try {
    return portFromWire32(wire);
  } catch {
    throw badValue(`in_port is 0x${wire.toString(16)}, no port can be`);
  }
}

function setOf11Vlan(match: Match, vlan: number, pcp: number | null): void {
  const { flow, mask } = match;
  if (vlan === VLAN_NONE_11) {
    mask[L.W_VLAN] = 0xffff;
    return;
  }
  if (vlan === VLAN_ANY_11) {
    flow[L.W_VLAN] = L.VLAN_CFI;
    mask[L.W_VLAN] = L.VLAN_CFI;
  } else if (vlan < 4096) {
    flow[L.W_VLAN] = L.VLAN_CFI | vlan;
    mask[L.W_VLAN] = L.VLAN_CFI | VID_MASK;
  } else {
    throw badValue(`dl_vlan is ${vlan}, at most 4095`);
  }
  if (pcp === null) return;
  if (pcp > 7) throw badValue(`dl_vlan_pcp is ${pcp}, at most 7`);
  flow[L.W_VLAN] |= pcp << PCP_SHIFT;
  mask[L.W_VLAN] |= PCP_MASK;
}

function setOf11Ports(match: Match, src: number | null, dst: number | null): void {
  const { flow, mask } = match;
  const proto = flow[L.W_NW] & 0xff;
  const icmp = proto === IPPROTO_ICMP;
  if (!icmp && proto !== IPPROTO_TCP && proto !== IPPROTO_UDP && proto !== IPPROTO_SCTP) return;
  for (const port of [src, dst]) {
    if (icmp && port !== null && port > 0xff) {
      throw new OfError('OFPBMC_BAD_FIELD', `OpenFlow 1.1 match: ICMP type or code is ${port}, at most 255`);
    }
  }
  if (src !== null) {
    flow[L.W_TP] |= src << 16;
    mask[L.W_TP] |= 0xffff0000;
  }
  if (dst !== null) {
    flow[L.W_TP] |= dst;
    mask[L.W_TP] |= 0xffff;
  }
}

/** Writes an OpenFlow 1.1 match with its header: what of a match that version can say. */
export function writeOf11Match(w: Writer, match: Match): void {
  const { flow, mask } = match;
  let wild = 0;
  const ethSrc = match.get(F.ethSrc);
  const ethDst = match.get(F.ethDst);
  let vlan = 0;
  let pcp = 0;
  const tci = flow[L.W_VLAN] & 0xffff;
  const tciMask = mask[L.W_VLAN] & 0xffff;
  if (tciMask === 0) {
    wild |= FW11_DL_VLAN | FW11_DL_VLAN_PCP;
  } else if ((tciMask & L.VLAN_CFI) !== 0 && (tci & L.VLAN_CFI) === 0) {
    vlan = VLAN_NONE_11;
    wild |= FW11_DL_VLAN_PCP;
  } else {
    vlan = (tciMask & VID_MASK) === 0 ? VLAN_ANY_11 : tci & VID_MASK;
    if ((tciMask & PCP_MASK) === 0) wild |= FW11_DL_VLAN_PCP;
    else pcp = tci >>> PCP_SHIFT;
  }
  const labelMask = mask[L.W_MPLS] >>> MPLS_LABEL_SHIFT;
  const tcMask = (mask[L.W_MPLS] >>> MPLS_TC_SHIFT) & 7;
  if (mask[L.W_IN_PORT] === 0) wild |= FW11_IN_PORT;
  if (mask[L.W_ETH_TYPE] === 0) wild |= FW11_DL_TYPE;
  if ((mask[L.W_NW] & (DSCP_MASK << 16)) === 0) wild |= FW11_NW_TOS;
  if ((mask[L.W_NW] & 0xff) === 0) wild |= FW11_NW_PROTO;
  if (mask[L.W_TP] >>> 16 === 0) wild |= FW11_TP_SRC;
  if ((mask[L.W_TP] & 0xffff) === 0) wild |= FW11_TP_DST;
  if (labelMask === 0) wild |= FW11_MPLS_LABEL;
  if (tcMask === 0) wild |= FW11_MPLS_TC;

  w.u16(0);
  w.u16(OF11_MATCH_LENGTH);
  w.u32(flow[L.W_IN_PORT]);
  w.u32(wild);
  w.uint(ethSrc.value, 6);
  w.uint(ethSrc.mask ^ MAC_ONES, 6);
  w.uint(ethDst.value, 6);
  w.uint(ethDst.mask ^ MAC_ONES, 6);
  w.u16(vlan);
  w.u8(pcp);
  w.u8(0);
  w.u16(flow[L.W_ETH_TYPE] >>> 16);
  w.u8((flow[L.W_NW] >>> 16) & DSCP_MASK);
  w.u8(flow[L.W_NW] & 0xff);
  w.u32(flow[L.W_NW_SRC]);
  w.u32(~mask[L.W_NW_SRC] >>> 0);
  w.u32(flow[L.W_NW_DST]);
  w.u32(~mask[L.W_NW_DST] >>> 0);
  w.u32(flow[L.W_TP]);
  w.u32(labelMask === 0 ? 0 : flow[L.W_MPLS] >>> MPLS_LABEL_SHIFT);
  w.u8(tcMask === 0 ? 0 : (flow[L.W_MPLS] >>> MPLS_TC_SHIFT) & 7);
  w.zeros(3);
  w.u32(flow[L.W_METADATA]);
  w.u32(flow[L.W_METADATA + 1]);
  w.u32(~mask[L.W_METADATA] >>> 0);
  w.u32(~mask[L.W_METADATA + 1] >>> 0);
}
