/**
 * The field catalogue: one row for each field that a flow can match or an action can touch. Text
 * parsing, OXM codecs, masks and printing all derive from it. Names, numbers and rules are those of
 * ovs-fields(7) of Open vSwitch 3.1 and of OpenFlow 1.0 to 1.5.
 *
 * Access to a field's bits in a key is in field-access.ts, prerequisites in prerequisites.ts.
 */
import type { Field, OxmNumber } from './field.ts';
import { FIELD_ROWS, type FieldRow } from './field-rows.ts';
import * as L from './layout.ts';

/** Class of OXM headers that carry an experimenter id. */
export const OXM_CLASS_EXPERIMENTER = 0xffff;
/** Experimenter ids of the fields below: the ONF's, Nicira's, and the one that NSH fields use. */
export const OXM_EXPERIMENTER_ONF = 0x4f4e4600;
export const OXM_EXPERIMENTER_NICIRA = 0x2320;
export const OXM_EXPERIMENTER_NSH = 0x5ad650;

const range = (n: number): readonly number[] => Array.from({ length: n }, (_, i) => i);

function parseNumber(text: string): OxmNumber {
  const m = /^(\w+)=([0-9a-f]+)(?:\.([0-9a-f]+))?:(\d+)(?:@(\d))?$/.exec(text);
  if (m === null) throw new TypeError(`field catalogue: malformed number ${text}`);
  return {
    name: m[1],
    oxmClass: Number.parseInt(m[2], 16),
    experimenter: m[3] === undefined ? 0 : Number.parseInt(m[3], 16),
    field: Number(m[4]),
    since: m[5] === undefined ? 1 : Number(m[5]),
  };
}

function makeField(row: FieldRow, id: number): Field {
  const [name, alias, bytes, bits, flags, format, prerequisite, word, shift, numberTexts] = row;
  const numbers = numberTexts === '' ? [] : numberTexts.split(' ').map(parseNumber);
  return Object.freeze({
    id,
    name,
    alias,
    bits,
    bytes,
    offset: word < 0 ? -1 : word * 32 + shift,
    special: flags[2] === 's',
    maskable: flags[0] === 'm',
    format,
    prerequisite,
    writable: flags[1] === 'w',
    nxm: numbers.find((n) => n.oxmClass <= 1) ?? null,
    oxm: numbers.find((n) => n.oxmClass > 1) ?? null,
    numbers,
    variableLength: word < 0,
  });
}

/** Every field; a field's `id` is its index. */
export const FIELDS: readonly Field[] = FIELD_ROWS.map(makeField);

const byName = new Map<string, Field>();
const byNumber = new Map<number, Map<number, Field>>();
const byOxmName = new Map<string, Field>();
for (const field of FIELDS) {
  byName.set(field.name, field);
  if (field.alias !== '') byName.set(field.alias, field);
  for (const n of field.numbers) {
    byOxmName.set(n.name, field);
    const key = n.oxmClass * 128 + n.field;
    let experimenters = byNumber.get(key);
    if (experimenters === undefined) {
      experimenters = new Map();
      byNumber.set(key, experimenters);
    }
    experimenters.set(n.experimenter, field);
  }
}

/** The field of that name or alias ("ip_src", "nw_src"), or null. */
export function fieldByName(name: string): Field | null {
  return byName.get(name) ?? null;
}

/** The field of that NXM or OXM name ("NXM_OF_IN_PORT", "OXM_OF_IN_PORT"), or null. */
export function fieldByOxmName(name: string): Field | null {
  return byOxmName.get(name) ?? null;
}

/** The field of an OXM or NXM header; `experimenter` is 0 unless the class is 0xffff. */
export function fieldByNumber(oxmClass: number, field: number, experimenter = 0): Field | null {
  return byNumber.get(oxmClass * 128 + field)?.get(experimenter) ?? null;
}

/**
 * The header that stock Open vSwitch writes for a field in an OpenFlow version (1 = 1.0 ... 6 = 1.5;
 * 0 = NXM, which action texts use): the last of its numbers that the version has, and its first if it
 * has none. Null if the field can't be named in NXM or OXM.
 */
export function oxmNumberFor(field: Field, version: number): OxmNumber | null {
  let best: OxmNumber | null = null;
  for (const n of field.numbers) {
    if (best === null || Math.max(version, 1) >= n.since) best = n;
  }
  return best;
}

/** The name that action texts such as `move:NXM_OF_IN_PORT[]->...` give a field. */
export function fieldTextName(field: Field): string {
  return oxmNumberFor(field, 0)?.name ?? field.name;
}

function known(name: string): Field {
  const field = byName.get(name);
  if (field === undefined) throw new TypeError(`field catalogue: no field ${name}`);
  return field;
}

/** The fields that code names one by one. */
export const F = {
  dpHash: known('dp_hash'),
  recircId: known('recirc_id'),
  packetType: known('packet_type'),
  conjId: known('conj_id'),
  tunId: known('tun_id'),
  tunSrc: known('tun_src'),
  tunDst: known('tun_dst'),
  tunIpv6Src: known('tun_ipv6_src'),
  tunIpv6Dst: known('tun_ipv6_dst'),
  tunFlags: known('tun_flags'),
  tunTtl: known('tun_ttl'),
  tunTos: known('tun_tos'),
  tunGbpId: known('tun_gbp_id'),
  tunGbpFlags: known('tun_gbp_flags'),
  tunErspanIdx: known('tun_erspan_idx'),
  tunErspanVer: known('tun_erspan_ver'),
  tunErspanDir: known('tun_erspan_dir'),
  tunErspanHwid: known('tun_erspan_hwid'),
  tunGtpuFlags: known('tun_gtpu_flags'),
  tunGtpuMsgtype: known('tun_gtpu_msgtype'),
  metadata: known('metadata'),
  inPort: known('in_port'),
  inPortOxm: known('in_port_oxm'),
  actsetOutput: known('actset_output'),
  skbPriority: known('skb_priority'),
  pktMark: known('pkt_mark'),
  ctState: known('ct_state'),
  ctZone: known('ct_zone'),
  ctMark: known('ct_mark'),
  ctLabel: known('ct_label'),
  ctNwProto: known('ct_nw_proto'),
  ctNwSrc: known('ct_nw_src'),
  ctNwDst: known('ct_nw_dst'),
  ctIpv6Src: known('ct_ipv6_src'),
  ctIpv6Dst: known('ct_ipv6_dst'),
  ctTpSrc: known('ct_tp_src'),
  ctTpDst: known('ct_tp_dst'),
  ethSrc: known('eth_src'),
  ethDst: known('eth_dst'),
  ethType: known('eth_type'),
  vlanTci: known('vlan_tci'),
  dlVlan: known('dl_vlan'),
  vlanVid: known('vlan_vid'),
  dlVlanPcp: known('dl_vlan_pcp'),
  vlanPcp: known('vlan_pcp'),
  mplsLabel: known('mpls_label'),
  mplsTc: known('mpls_tc'),
  mplsBos: known('mpls_bos'),
  mplsTtl: known('mpls_ttl'),
  ipSrc: known('ip_src'),
  ipDst: known('ip_dst'),
  ipv6Src: known('ipv6_src'),
  ipv6Dst: known('ipv6_dst'),
  ipv6Label: known('ipv6_label'),
  nwProto: known('nw_proto'),
  nwTos: known('nw_tos'),
  ipDscp: known('ip_dscp'),
  nwEcn: known('nw_ecn'),
  nwTtl: known('nw_ttl'),
  ipFrag: known('ip_frag'),
  arpOp: known('arp_op'),
  arpSpa: known('arp_spa'),
  arpTpa: known('arp_tpa'),
  arpSha: known('arp_sha'),
  arpTha: known('arp_tha'),
  tcpSrc: known('tcp_src'),
  tcpDst: known('tcp_dst'),
  tcpFlags: known('tcp_flags'),
  udpSrc: known('udp_src'),
  udpDst: known('udp_dst'),
  sctpSrc: known('sctp_src'),
  sctpDst: known('sctp_dst'),
  icmpType: known('icmp_type'),
  icmpCode: known('icmp_code'),
  icmpv6Type: known('icmpv6_type'),
  icmpv6Code: known('icmpv6_code'),
  ndTarget: known('nd_target'),
  ndSll: known('nd_sll'),
  ndTll: known('nd_tll'),
  ndReserved: known('nd_reserved'),
  ndOptionsType: known('nd_options_type'),
  nshFlags: known('nsh_flags'),
  nshMdtype: known('nsh_mdtype'),
  nshNp: known('nsh_np'),
  nshSpi: known('nsh_spi'),
  nshSi: known('nsh_si'),
  nshC1: known('nsh_c1'),
  nshC2: known('nsh_c2'),
  nshC3: known('nsh_c3'),
  nshC4: known('nsh_c4'),
  nshTtl: known('nsh_ttl'),
} as const;

export const REG_FIELDS: readonly Field[] = range(L.N_REGS).map((i) => known(`reg${i}`));
export const XREG_FIELDS: readonly Field[] = range(L.N_REGS / 2).map((i) => known(`xreg${i}`));
export const XXREG_FIELDS: readonly Field[] = range(L.N_REGS / 4).map((i) => known(`xxreg${i}`));
export const TUN_METADATA_FIELDS: readonly Field[] = range(L.N_TUN_METADATA_FIELDS).map((i) =>
  known(`tun_metadata${i}`),
);

/** Whether a field is reg0..15, xreg0..7 or xxreg0..3. */
export function isRegister(field: Field): boolean {
  return field.id >= REG_FIELDS[0].id && field.id <= XXREG_FIELDS[L.N_REGS / 4 - 1].id;
}

/**
 * Whether a field describes the packet's way rather than its content, so that a packet-out of
 * OpenFlow 1.5 may set it.
 */
export function isPipelineField(field: Field): boolean {
  return (
    (field.name.startsWith('tun_') && field !== F.tunTtl && field !== F.tunTos) ||
    field === F.metadata ||
    field === F.inPort ||
    field === F.inPortOxm ||
    field === F.packetType ||
    isRegister(field)
  );
}

/** Whether a field keeps its value while a packet is frozen for recirculation. */
export function isFrozenMetadata(field: Field): boolean {
  return (field.id >= F.tunId.id && field.id <= F.inPortOxm.id) || isRegister(field);
}
