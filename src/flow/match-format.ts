/** Writes matches as ovs-ofctl does: `priority=5,tcp,in_port=1,nw_src=10.0.0.0/8,tp_dst=80`. */
import { formatEthernetMasked, formatIpv4Masked, formatIpv6Masked } from './address-text.ts';
import type { Field } from './field.ts';
import { ones, readBits, readBits32, tunMetadataPresent } from './field-access.ts';
import { formatPacketType } from './field-text.ts';
import { F, TUN_METADATA_FIELDS } from './fields.ts';
import {
  CT_STATE_NAMES,
  formatFlags,
  formatFlagsMasked,
  hex,
  TCP_FLAG_NAMES,
  TUN_FLAG_NAMES,
} from './flag-text.ts';
import type { Flow } from './layout.ts';
import * as L from './layout.ts';
import type { Match } from './match.ts';
import { formatPort, type PortNames } from './port-text.ts';
import {
  ETH_TYPE_ARP,
  ETH_TYPE_IP,
  ETH_TYPE_IPV6,
  ETH_TYPE_MPLS,
  ETH_TYPE_MPLS_MCAST,
  ETH_TYPE_NSH,
  ETH_TYPE_RARP,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_SCTP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  isIp,
} from './prerequisites.ts';
import { LocalTunnelMetadata } from './tun-metadata.ts';

export const DEFAULT_PRIORITY = 0x8000;
/** Every tunnel flag that texts name. */
const ALL_TUN_FLAGS = L.TUN_F_OAM | L.TUN_F_DF | L.TUN_F_CSUM | L.TUN_F_KEY;

export interface MatchFormatOptions {
  /** Names to show for ports. */
  readonly ports?: PortNames | null;
  /** Shown first, unless it is the default of 32768. */
  readonly priority?: number;
}

/** Collects `name=value` parts of one match. */
class Writer {
  readonly parts: string[] = [];
  readonly #flow: Flow;
  readonly #mask: Flow;

  constructor(flow: Flow, mask: Flow) {
    this.#flow = flow;
    this.#mask = mask;
  }

  put(text: string): void {
    this.parts.push(text);
  }

  bits(source: 'flow' | 'mask', field: Field): number {
    return readBits32(source === 'flow' ? this.#flow : this.#mask, field.offset, field.bits) >>> 0;
  }

  /** Hexadecimal, with a mask unless all bits matter. */
  hex(name: string, field: Field): void {
    const mask = readBits(this.#mask, field.offset, field.bits);
    if (mask === 0n) return;
    const value = hex(readBits(this.#flow, field.offset, field.bits));
    this.put(`${name}=${value}${mask === ones(field.bits) ? '' : `/${hex(mask)}`}`);
  }

  /** {@link hex} for fields whose 0 is written 0x0. */
  hex0x(name: string, field: Field): void {
    const mask = this.bits('mask', field);
    if (mask === 0) return;
    const suffix = mask === 2 ** field.bits - 1 ? '' : `/0x${mask.toString(16)}`;
    this.put(`${name}=0x${this.bits('flow', field).toString(16)}${suffix}`);
  }

  /** Decimal, but hexadecimal of at least `digits` digits with a mask. */
  decimal(name: string, field: Field, digits = 1): void {
    const mask = this.bits('mask', field);
    if (mask !== 0) this.put(`${name}=${decimalMasked(this.bits('flow', field), mask, field.bits, digits)}`);
  }

  /** Decimal without regard to the mask. */
  plain(name: string, field: Field): void {
    if (this.bits('mask', field) !== 0) this.put(`${name}=${this.bits('flow', field)}`);
  }

  ipv4(name: string, word: number): void {
    if (this.#mask[word] !== 0) this.put(`${name}=${formatIpv4Masked(this.#flow[word], this.#mask[word])}`);
  }

  ipv6(name: string, word: number): void {
    const mask = readBits(this.#mask, word * 32, 128);
    if (mask !== 0n) this.put(`${name}=${formatIpv6Masked(readBits(this.#flow, word * 32, 128), mask)}`);
  }

  ethernet(name: string, field: Field): void {
    const mask = readBits(this.#mask, field.offset, 48);
    if (mask !== 0n) {
      this.put(`${name}=${formatEthernetMasked(readBits(this.#flow, field.offset, 48), mask)}`);
    }
  }
}

function decimalMasked(value: number, mask: number, bits: number, digits: number): string {
  if (mask === 2 ** bits - 1) return String(value);
  const h = (n: number) => `0x${n.toString(16).padStart(digits, '0')}`;
  return `${h(value)}/${h(mask)}`;
}

/** A match's text, without braces; '' if it is for every packet. */
export function formatMatch(match: Match, options: MatchFormatOptions = {}): string {
  const { flow, mask } = match;
  const ports = options.ports ?? null;
  const w = new Writer(flow, mask);
  const priority = options.priority ?? DEFAULT_PRIORITY;
  if (priority !== DEFAULT_PRIORITY) w.put(`priority=${priority}`);
  formatMetadata(w, flow, mask, ports);
  const type = formatTypes(w, match);
  for (let i = 0; i < L.N_REGS; i++) {
    const m = mask[L.W_REG + i];
    if (m !== 0) w.put(`reg${i}=${hex(flow[L.W_REG + i])}${m === 0xffffffff ? '' : `/${hex(m)}`}`);
  }
  formatTunnel(w, match);
  w.hex('metadata', F.metadata);
  if (mask[L.W_IN_PORT] !== 0) w.put(`in_port=${formatPort(flow[L.W_IN_PORT], ports)}`);
  formatVlans(w, flow, mask);
  w.ethernet('dl_src', F.ethSrc);
  w.ethernet('dl_dst', F.ethDst);
  if (!type.shown && mask[L.W_ETH_TYPE] >>> 16 !== 0) w.put(`dl_type=0x${hex4(type.ethType)}`);
  formatNetwork(w, type);
  formatMpls(w, flow, mask);
  formatFrag(w, flow, mask);
  formatTransport(w, flow, type.ethType);
  const tcpFlagsMask = (mask[L.W_TCP_FLAGS] >>> 16) & 0xfff;
  if (isIp(flow) && (flow[L.W_NW] & 0xff) === IPPROTO_TCP && tcpFlagsMask !== 0) {
    const flags = (flow[L.W_TCP_FLAGS] >>> 16) & 0xfff;
    w.put(`tcp_flags=${formatFlagsMasked(TCP_FLAG_NAMES, flags, tcpFlagsMask, 0xfff)}`);
  }
  return w.parts.join(',');
}

function hex4(n: number): string {
  return n.toString(16).padStart(4, '0');
}

function formatMetadata(w: Writer, flow: Flow, mask: Flow, ports: PortNames | null): void {
  w.hex('pkt_mark', F.pktMark);
  w.hex('recirc_id', F.recircId);
  w.hex('dp_hash', F.dpHash);
  w.plain('conj_id', F.conjId);
  if (mask[L.W_SKB_PRIORITY] !== 0) w.put(`skb_priority=${hex(flow[L.W_SKB_PRIORITY])}`);
  if (mask[L.W_ACTSET_OUTPUT] !== 0) w.put(`actset_output=${formatPort(flow[L.W_ACTSET_OUTPUT], ports)}`);
  const stateMask = mask[L.W_CT_STATE] >>> 24;
  const state = flow[L.W_CT_STATE] >>> 24;
  if (stateMask === 0xff) w.put(`ct_state=${formatFlags(CT_STATE_NAMES, state)}`);
  else if (stateMask !== 0) w.put(`ct_state=${formatFlagsMasked(CT_STATE_NAMES, state, stateMask, 0xff)}`);
  w.decimal('ct_zone', F.ctZone);
  w.hex('ct_mark', F.ctMark);
  w.hex('ct_label', F.ctLabel);
  w.ipv4('ct_nw_src', L.W_CT_NW_SRC);
  w.ipv6('ct_ipv6_src', L.W_CT_IPV6_SRC);
  w.ipv4('ct_nw_dst', L.W_CT_NW_DST);
  w.ipv6('ct_ipv6_dst', L.W_CT_IPV6_DST);
  if (w.bits('mask', F.ctNwProto) !== 0) {
    w.plain('ct_nw_proto', F.ctNwProto);
    w.decimal('ct_tp_src', F.ctTpSrc);
    w.decimal('ct_tp_dst', F.ctTpDst);
  }
}

/** What the packet type, Ethernet type and protocol of a match are, and which of them its text says already. */
interface Types {
  readonly ethType: number;
  readonly shown: boolean;
  readonly protoShown: boolean;
}

const ETH_TYPE_WORDS = new Map([
  [ETH_TYPE_IP, 'ip'],
  [ETH_TYPE_IPV6, 'ipv6'],
  [ETH_TYPE_ARP, 'arp'],
  [ETH_TYPE_RARP, 'rarp'],
  [ETH_TYPE_MPLS, 'mpls'],
  [ETH_TYPE_MPLS_MCAST, 'mplsm'],
]);
const PROTO_WORDS = new Map([
  [ETH_TYPE_IP * 256 + IPPROTO_ICMP, 'icmp'],
  [ETH_TYPE_IP * 256 + IPPROTO_TCP, 'tcp'],
  [ETH_TYPE_IP * 256 + IPPROTO_UDP, 'udp'],
  [ETH_TYPE_IP * 256 + IPPROTO_SCTP, 'sctp'],
  [ETH_TYPE_IPV6 * 256 + IPPROTO_ICMPV6, 'icmp6'],
  [ETH_TYPE_IPV6 * 256 + IPPROTO_TCP, 'tcp6'],
  [ETH_TYPE_IPV6 * 256 + IPPROTO_UDP, 'udp6'],
  [ETH_TYPE_IPV6 * 256 + IPPROTO_SCTP, 'sctp6'],
]);

function formatTypes(w: Writer, match: Match): Types {
  const { flow, mask } = match;
  let ethType = flow[L.W_ETH_TYPE] >>> 16;
  const isMegaflow = mask[L.W_RECIRC_ID] !== 0;
  if (mask[L.W_PACKET_TYPE] !== 0 && (!match.hasDefaultPacketType || isMegaflow)) {
    w.put(formatPacketType(flow[L.W_PACKET_TYPE], mask[L.W_PACKET_TYPE]));
    if (flow[L.W_PACKET_TYPE] >>> 16 === 1) ethType = flow[L.W_PACKET_TYPE] & 0xffff;
  }
  if (mask[L.W_ETH_TYPE] >>> 16 === 0) return { ethType, shown: false, protoShown: false };
  if ((mask[L.W_NW] & 0xff) !== 0) {
    const proto = PROTO_WORDS.get(ethType * 256 + (flow[L.W_NW] & 0xff));
    if (proto !== undefined) {
      w.put(proto);
      return { ethType, shown: true, protoShown: true };
    }
  }
  const word = ETH_TYPE_WORDS.get(ethType);
  if (word !== undefined) w.put(word);
  return { ethType, shown: word !== undefined, protoShown: false };
}

function formatTunnel(w: Writer, match: Match): void {
  const { flow, mask } = match;
  w.hex('tun_id', F.tunId);
  w.ipv4('tun_src', L.W_TUN_SRC);
  w.ipv4('tun_dst', L.W_TUN_DST);
  w.ipv6('tun_ipv6_src', L.W_TUN_IPV6_SRC);
  w.ipv6('tun_ipv6_dst', L.W_TUN_IPV6_DST);
  w.decimal('tun_gbp_id', F.tunGbpId);
  const hexPlain = (name: string, field: Field) => {
    if (w.bits('mask', field) !== 0) w.put(`${name}=${hex(w.bits('flow', field))}`);
  };
  hexPlain('tun_gbp_flags', F.tunGbpFlags);
  if (w.bits('mask', F.tunTos) !== 0) w.put(`tun_tos=${w.bits('flow', F.tunTos).toString(16)}`);
  w.plain('tun_ttl', F.tunTtl);
  w.plain('tun_erspan_ver', F.tunErspanVer);
  const version = w.bits('flow', F.tunErspanVer);
  if (version === 1) hexPlain('tun_erspan_idx', F.tunErspanIdx);
  if (version === 2) {
    w.plain('tun_erspan_dir', F.tunErspanDir);
    hexPlain('tun_erspan_hwid', F.tunErspanHwid);
  }
  hexPlain('gtpu_flags', F.tunGtpuFlags);
  w.plain('gtpu_msgtype', F.tunGtpuMsgtype);
  const flagsMask = (mask[L.W_TUN_FLAGS] >>> 16) & ALL_TUN_FLAGS;
  if (flagsMask !== 0) {
    const flags = (flow[L.W_TUN_FLAGS] >>> 16) & ALL_TUN_FLAGS;
    w.put(`tun_flags=${formatFlagsMasked(TUN_FLAG_NAMES, flags, flagsMask, ALL_TUN_FLAGS)}`);
  }
  formatTunMetadata(w, match);
}

function formatTunMetadata(w: Writer, match: Match): void {
  if (match.tun === null) return;
  for (const [n, unplaced] of TUN_METADATA_FIELDS.entries()) {
    if (!tunMetadataPresent(match.mask, unplaced)) continue;
    const field = match.tun.field(n);
    if (field === null) continue;
    if (!tunMetadataPresent(match.flow, field)) {
      w.put(`${field.name}=NP`);
      continue;
    }
    const mask = readBits(match.mask, field.offset, field.bits);
    const all = ones(field.bits);
    const masked =
      match.tun instanceof LocalTunnelMetadata ? match.tun.wasMasked(n) : field.bits === 0 || mask !== all;
    if (masked && mask === 0n) {
      w.put(field.name);
      continue;
    }
    const value = readBits(match.flow, field.offset, field.bits);
    w.put(`${field.name}=${hex(value)}${mask === all ? '' : `/${hex(mask)}`}`);
  }
}

function formatVlans(w: Writer, flow: Flow, mask: Flow): void {
  for (let i = 0; i < L.N_VLANS; i++) {
    const m = mask[L.W_VLAN + i] & 0xffff;
    if (m === 0) break;
    const tci = flow[L.W_VLAN + i] & 0xffff;
    const suffix = i === 0 ? '' : String(i);
    const [vidMask, pcpMask] = [m & 0xfff, m & 0xe000];
    const wholeFields = (vidMask === 0 || vidMask === 0xfff) && (pcpMask === 0 || pcpMask === 0xe000);
    if ((m & tci & L.VLAN_CFI) !== 0 && wholeFields && (vidMask | pcpMask) !== 0) {
      if (vidMask !== 0) w.put(`dl_vlan${suffix}=${tci & 0xfff}`);
      if (pcpMask !== 0) w.put(`dl_vlan_pcp${suffix}=${tci >>> 13}`);
    } else if (m === 0xffff) w.put(`vlan_tci${suffix}=0x${hex4(tci)}`);
    else w.put(`vlan_tci${suffix}=0x${hex4(tci)}/0x${hex4(m)}`);
  }
}

function formatNetwork(w: Writer, { ethType, protoShown }: Types): void {
  const isArp = ethType === ETH_TYPE_ARP || ethType === ETH_TYPE_RARP;
  if (ethType === ETH_TYPE_IPV6) {
    w.ipv6('ipv6_src', L.W_IPV6_SRC);
    w.ipv6('ipv6_dst', L.W_IPV6_DST);
    const mask = w.bits('mask', F.ipv6Label);
    const hex5 = (n: number) => `0x${n.toString(16).padStart(5, '0')}`;
    const suffix = mask === 0xfffff ? '' : `/${hex5(mask)}`;
    if (mask !== 0) w.put(`ipv6_label=${hex5(w.bits('flow', F.ipv6Label))}${suffix}`);
  } else if (isArp) {
    w.ipv4('arp_spa', L.W_NW_SRC);
    w.ipv4('arp_tpa', L.W_NW_DST);
  } else if (ethType === ETH_TYPE_NSH) formatNsh(w);
  else {
    w.ipv4('nw_src', L.W_NW_SRC);
    w.ipv4('nw_dst', L.W_NW_DST);
  }
  if (!protoShown) w.plain(isArp ? 'arp_op' : 'nw_proto', F.nwProto);
  if (isArp) {
    w.ethernet('arp_sha', F.arpSha);
    w.ethernet('arp_tha', F.arpTha);
  }
  if (w.bits('mask', F.ipDscp) !== 0) w.put(`nw_tos=${w.bits('flow', F.ipDscp) << 2}`);
  w.plain('nw_ecn', F.nwEcn);
  w.plain('nw_ttl', F.nwTtl);
}

function formatNsh(w: Writer): void {
  w.decimal('nsh_flags', F.nshFlags, 2);
  w.decimal('nsh_ttl', F.nshTtl, 2);
  w.decimal('nsh_mdtype', F.nshMdtype, 2);
  w.decimal('nsh_np', F.nshNp, 2);
  w.hex0x('nsh_spi', F.nshSpi);
  w.decimal('nsh_si', F.nshSi, 2);
  if (w.bits('mask', F.nshMdtype) === 0xff && w.bits('flow', F.nshMdtype) === 1) {
    for (const field of [F.nshC1, F.nshC2, F.nshC3, F.nshC4]) w.hex0x(field.name, field);
  }
}

function formatMpls(w: Writer, flow: Flow, mask: Flow): void {
  w.plain('mpls_label', F.mplsLabel);
  w.plain('mpls_tc', F.mplsTc);
  w.plain('mpls_ttl', F.mplsTtl);
  w.plain('mpls_bos', F.mplsBos);
  for (let i = 1; i < L.N_MPLS; i++) {
    const m = mask[L.W_MPLS + i];
    if (m !== 0) w.put(`mpls_lse${i}=${decimalMasked(flow[L.W_MPLS + i], m, 32, 8)}`);
  }
}

function formatFrag(w: Writer, flow: Flow, mask: Flow): void {
  const any = ((flow[L.W_NW] >>> 24) & L.FRAG_ANY) !== 0;
  const later = ((flow[L.W_NW] >>> 24) & L.FRAG_LATER) !== 0;
  switch ((mask[L.W_NW] >>> 24) & (L.FRAG_ANY | L.FRAG_LATER)) {
    case L.FRAG_ANY | L.FRAG_LATER:
      if (any) w.put(`nw_frag=${later ? 'later' : 'first'}`);
      else w.put(`nw_frag=${later ? '<error>' : 'no'}`);
      break;
    case L.FRAG_ANY:
      w.put(`nw_frag=${any ? 'yes' : 'no'}`);
      break;
    case L.FRAG_LATER:
      w.put(`nw_frag=${later ? 'later' : 'not_later'}`);
      break;
  }
}

function formatTransport(w: Writer, flow: Flow, ethType: number): void {
  const proto = flow[L.W_NW] & 0xff;
  const isIcmpv6 = ethType === ETH_TYPE_IPV6 && proto === IPPROTO_ICMPV6;
  const isIcmp = isIcmpv6 || (ethType === ETH_TYPE_IP && proto === IPPROTO_ICMP);
  w.decimal(isIcmp ? 'icmp_type' : 'tp_src', F.tcpSrc);
  w.decimal(isIcmp ? 'icmp_code' : 'tp_dst', F.tcpDst);
  if (!isIcmpv6) return;
  w.ipv6('nd_target', L.W_ND_TARGET);
  w.ethernet('nd_sll', F.ndSll);
  w.ethernet('nd_tll', F.ndTll);
  w.decimal('nd_reserved', F.ndReserved, 8);
  w.decimal('nd_options_type', F.ndOptionsType);
}
