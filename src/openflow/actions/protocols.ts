import type { Field } from '../../flow/field.ts';

/**
 * Sets of flow formats, one bit each, in which a flow can be expressed: what `ovs-ofctl
 * --flow-format` chooses from. TID variants carry a table id in OpenFlow 1.0 (Nicira's extension).
 */
export const P_OF10_STD = 1 << 0;
export const P_OF10_STD_TID = 1 << 1;
export const P_OF10_NXM = 1 << 2;
export const P_OF10_NXM_TID = 1 << 3;
export const P_OF11_STD = 1 << 4;
export const P_OF12_OXM = 1 << 5;
export const P_OF13_OXM = 1 << 6;
export const P_OF14_OXM = 1 << 7;
export const P_OF15_OXM = 1 << 8;

export const P_OF10_STD_ANY = P_OF10_STD | P_OF10_STD_TID;
export const P_OF10_NXM_ANY = P_OF10_NXM | P_OF10_NXM_TID;
export const P_OF10_ANY = P_OF10_STD_ANY | P_OF10_NXM_ANY;
export const P_ANY_OXM = P_OF12_OXM | P_OF13_OXM | P_OF14_OXM | P_OF15_OXM;
export const P_OF11_UP = P_OF11_STD | P_ANY_OXM;
export const P_OF13_UP = P_OF13_OXM | P_OF14_OXM | P_OF15_OXM;
export const P_OF15_UP = P_OF15_OXM;
export const P_NXM_OF11_UP = P_OF10_NXM_ANY | P_OF11_UP;
export const P_NXM_OXM_ANY = P_OF10_NXM_ANY | P_ANY_OXM;
export const P_ANY = (1 << 9) - 1;

/** Fields that every flow format can match exactly. */
const IN_EVERY_FORMAT: ReadonlySet<string> = new Set([
  ...['in_port', 'eth_src', 'eth_dst', 'eth_type', 'dl_vlan', 'dl_vlan_pcp', 'vlan_vid'],
  ...['vlan_pcp', 'ip_src', 'ip_dst', 'nw_proto', 'nw_tos', 'ip_dscp', 'arp_op', 'arp_spa', 'arp_tpa'],
  ...['tcp_src', 'tcp_dst', 'udp_src', 'udp_dst', 'icmp_type', 'icmp_code', 'vlan_tci'],
]);
/** Fields that all but the plain OpenFlow 1.0 format can match exactly. */
const SINCE_OF11: ReadonlySet<string> = new Set([
  ...['metadata', 'in_port_oxm', 'mpls_label', 'mpls_tc', 'nw_ecn', 'sctp_src', 'sctp_dst'],
]);

/** Flow formats in which `field` can be matched or set as a whole. */
export function protocolsOfField(field: Field): number {
  if (IN_EVERY_FORMAT.has(field.name)) return P_ANY;
  if (SINCE_OF11.has(field.name)) return P_NXM_OF11_UP;
  return field.numbers.length > 0 ? P_NXM_OXM_ANY : 0;
}
