/**
 * The rows of the field catalogue (fields.ts): facts of ovs-fields(7) of Open vSwitch 3.1 and of OpenFlow 1.0
 * to 1.5, and each field's place in the key.
 */
import type { FieldFormat, Prerequisite } from './field.ts';
import * as L from './layout.ts';

/**
 * name, alias, bytes, bits, flags ("m" maskable, "w" writable, "s" special), format, prerequisite,
 * first word, bits from the top of that word, numbers.
 *
 * A number is written `NAME=class:field` in hexadecimal and decimal, with `.experimenter` after the
 * class and `@version` (3 = OpenFlow 1.2) after the field where that version brought it.
 */
export type FieldRow = readonly [
  string,
  string,
  number,
  number,
  string,
  FieldFormat,
  Prerequisite,
  number,
  number,
  string,
];

const range = (n: number): readonly number[] => Array.from({ length: n }, (_, i) => i);

// biome-ignore format: a row of a table
const TUN_METADATA_ROWS: readonly FieldRow[] = range(L.N_TUN_METADATA_FIELDS).map((i) =>
  [`tun_metadata${i}`, '', 124, 992, 'mws', 'hexadecimal', 'none', -1, 0, `NXM_NX_TUN_METADATA${i}=1:${40 + i}`]);
// biome-ignore format: a row of a table
const REG_ROWS: readonly FieldRow[] = range(L.N_REGS).map((i) =>
  [`reg${i}`, '', 4, 32, 'mw-', 'hexadecimal', 'none', L.W_REG + i, 0, `NXM_NX_REG${i}=1:${i}`]);
// biome-ignore format: a row of a table
const XREG_ROWS: readonly FieldRow[] = range(L.N_REGS / 2).map((i) =>
  [`xreg${i}`, '', 8, 64, 'mw-', 'hexadecimal', 'none', L.W_REG + 2 * i, 0, `OXM_OF_PKT_REG${i}=8001:${i}@4`]);
// biome-ignore format: a row of a table
const XXREG_ROWS: readonly FieldRow[] = range(L.N_REGS / 4).map((i) =>
  [`xxreg${i}`, '', 16, 128, 'mw-', 'hexadecimal', 'none', L.W_REG + 4 * i, 0, `NXM_NX_XXREG${i}=1:${111 + i}`]);

// biome-ignore format: rows of a table
export const FIELD_ROWS: readonly FieldRow[] = [
  ['dp_hash', '', 4, 32, 'm--', 'hexadecimal', 'none', L.W_DP_HASH, 0, 'NXOXM_ET_DP_HASH=ffff.2320:0 NXM_NX_DP_HASH=1:35'],
  ['recirc_id', '', 4, 32, '---', 'decimal', 'none', L.W_RECIRC_ID, 0, 'NXM_NX_RECIRC_ID=1:36'],
  ['packet_type', '', 4, 32, '---', 'packet-type', 'none', L.W_PACKET_TYPE, 0, 'OXM_OF_PACKET_TYPE=8000:44@6'],
  ['conj_id', '', 4, 32, '---', 'decimal', 'none', L.W_CONJ_ID, 0, 'NXM_NX_CONJ_ID=1:37'],
  ['tun_id', 'tunnel_id', 8, 64, 'mw-', 'hexadecimal', 'none', L.W_TUN_ID, 0, 'NXM_NX_TUN_ID=1:16 OXM_OF_TUNNEL_ID=8000:38@4'],
  ['tun_src', '', 4, 32, 'mw-', 'ipv4', 'none', L.W_TUN_SRC, 0, 'NXM_NX_TUN_IPV4_SRC=1:31'],
  ['tun_dst', '', 4, 32, 'mw-', 'ipv4', 'none', L.W_TUN_DST, 0, 'NXM_NX_TUN_IPV4_DST=1:32'],
  ['tun_ipv6_src', '', 16, 128, 'mw-', 'ipv6', 'none', L.W_TUN_IPV6_SRC, 0, 'NXM_NX_TUN_IPV6_SRC=1:109'],
  ['tun_ipv6_dst', '', 16, 128, 'mw-', 'ipv6', 'none', L.W_TUN_IPV6_DST, 0, 'NXM_NX_TUN_IPV6_DST=1:110'],
  ['tun_flags', '', 2, 1, 'mw-', 'tunnel-flags', 'none', L.W_TUN_FLAGS, 15, 'NXM_NX_TUN_FLAGS=1:104'],
  ['tun_ttl', '', 1, 8, '---', 'decimal', 'none', L.W_TUN_FLAGS, 24, ''],
  ['tun_tos', '', 1, 8, '---', 'decimal', 'none', L.W_TUN_FLAGS, 16, ''],
  ['tun_gbp_id', '', 2, 16, 'mw-', 'decimal', 'none', L.W_TUN_GBP, 0, 'NXM_NX_TUN_GBP_ID=1:38'],
  ['tun_gbp_flags', '', 1, 8, 'mw-', 'hexadecimal', 'none', L.W_TUN_GBP, 16, 'NXM_NX_TUN_GBP_FLAGS=1:39'],
  ['tun_erspan_idx', '', 4, 20, 'mw-', 'hexadecimal', 'none', L.W_TUN_ERSPAN_IDX, 12, 'NXOXM_ET_ERSPAN_IDX=ffff.2320:11'],
  ['tun_erspan_ver', '', 1, 4, 'mw-', 'decimal', 'none', L.W_TUN_GBP, 28, 'NXOXM_ET_ERSPAN_VER=ffff.2320:12'],
  ['tun_erspan_dir', '', 1, 1, 'mw-', 'decimal', 'none', L.W_TUN_ERSPAN, 7, 'NXOXM_ET_ERSPAN_DIR=ffff.2320:13'],
  ['tun_erspan_hwid', '', 1, 6, 'mw-', 'hexadecimal', 'none', L.W_TUN_ERSPAN, 10, 'NXOXM_ET_ERSPAN_HWID=ffff.2320:14'],
  ['tun_gtpu_flags', '', 1, 8, 'm--', 'hexadecimal', 'none', L.W_TUN_ERSPAN, 16, 'NXOXM_ET_GTPU_FLAGS=ffff.2320:15'],
  ['tun_gtpu_msgtype', '', 1, 8, 'm--', 'decimal', 'none', L.W_TUN_ERSPAN, 24, 'NXOXM_ET_GTPU_MSGTYPE=ffff.2320:16'],
  ...TUN_METADATA_ROWS,
  ['metadata', '', 8, 64, 'mw-', 'hexadecimal', 'none', L.W_METADATA, 0, 'OXM_OF_METADATA=8000:2@3'],
  ['in_port', '', 2, 16, '-ws', 'of10-port', 'none', L.W_IN_PORT, 0, 'NXM_OF_IN_PORT=0:0'],
  ['in_port_oxm', '', 4, 32, '-w-', 'of11-port', 'none', L.W_IN_PORT, 0, 'OXM_OF_IN_PORT=8000:0@3'],
  ['actset_output', '', 4, 32, '---', 'of11-port', 'none', L.W_ACTSET_OUTPUT, 0, 'ONFOXM_ET_ACTSET_OUTPUT=ffff.4f4e4600:43@4 OXM_OF_ACTSET_OUTPUT=8000:43@6'],
  ['skb_priority', '', 4, 32, '---', 'hexadecimal', 'none', L.W_SKB_PRIORITY, 0, ''],
  ['pkt_mark', '', 4, 32, 'mw-', 'hexadecimal', 'none', L.W_PKT_MARK, 0, 'NXM_NX_PKT_MARK=1:33'],
  ['ct_state', '', 4, 32, 'm-s', 'ct-state', 'none', L.W_CT_STATE, 0, 'NXM_NX_CT_STATE=1:105'],
  ['ct_zone', '', 2, 16, '---', 'hexadecimal', 'none', L.W_CT_STATE, 16, 'NXM_NX_CT_ZONE=1:106'],
  ['ct_mark', '', 4, 32, 'mw-', 'hexadecimal', 'none', L.W_CT_MARK, 0, 'NXM_NX_CT_MARK=1:107'],
  ['ct_label', '', 16, 128, 'mw-', 'hexadecimal', 'none', L.W_CT_LABEL, 0, 'NXM_NX_CT_LABEL=1:108'],
  ['ct_nw_proto', '', 1, 8, '---', 'decimal', 'ct', L.W_CT_STATE, 8, 'NXM_NX_CT_NW_PROTO=1:119'],
  ['ct_nw_src', '', 4, 32, 'm--', 'ipv4', 'ct', L.W_CT_NW_SRC, 0, 'NXM_NX_CT_NW_SRC=1:120'],
  ['ct_nw_dst', '', 4, 32, 'm--', 'ipv4', 'ct', L.W_CT_NW_DST, 0, 'NXM_NX_CT_NW_DST=1:121'],
  ['ct_ipv6_src', '', 16, 128, 'm--', 'ipv6', 'ct', L.W_CT_IPV6_SRC, 0, 'NXM_NX_CT_IPV6_SRC=1:122'],
  ['ct_ipv6_dst', '', 16, 128, 'm--', 'ipv6', 'ct', L.W_CT_IPV6_DST, 0, 'NXM_NX_CT_IPV6_DST=1:123'],
  ['ct_tp_src', '', 2, 16, 'm--', 'decimal', 'ct', L.W_CT_TP, 0, 'NXM_NX_CT_TP_SRC=1:124'],
  ['ct_tp_dst', '', 2, 16, 'm--', 'decimal', 'ct', L.W_CT_TP, 16, 'NXM_NX_CT_TP_DST=1:125'],
  ...REG_ROWS,
  ...XREG_ROWS,
  ...XXREG_ROWS,
  ['eth_src', 'dl_src', 6, 48, 'mw-', 'ethernet', 'ethernet', L.W_ETH, 48, 'NXM_OF_ETH_SRC=0:2 OXM_OF_ETH_SRC=8000:4@3'],
  ['eth_dst', 'dl_dst', 6, 48, 'mw-', 'ethernet', 'ethernet', L.W_ETH, 0, 'NXM_OF_ETH_DST=0:1 OXM_OF_ETH_DST=8000:3@3'],
  ['eth_type', 'dl_type', 2, 16, '---', 'hexadecimal', 'ethernet', L.W_ETH_TYPE, 0, 'NXM_OF_ETH_TYPE=0:3 OXM_OF_ETH_TYPE=8000:5@3'],
  ['vlan_tci', '', 2, 16, 'mws', 'hexadecimal', 'ethernet', L.W_VLAN, 16, 'NXM_OF_VLAN_TCI=0:4'],
  ['dl_vlan', '', 2, 12, '-ws', 'decimal', 'ethernet', L.W_VLAN, 20, ''],
  ['vlan_vid', '', 2, 12, 'mws', 'decimal', 'ethernet', L.W_VLAN, 20, 'OXM_OF_VLAN_VID=8000:6@3'],
  ['dl_vlan_pcp', '', 1, 3, '-ws', 'decimal', 'ethernet', L.W_VLAN, 16, ''],
  ['vlan_pcp', '', 1, 3, '-ws', 'decimal', 'vlan-vid', L.W_VLAN, 16, 'OXM_OF_VLAN_PCP=8000:7@3'],
  ['mpls_label', '', 4, 20, '-w-', 'decimal', 'mpls', L.W_MPLS, 0, 'OXM_OF_MPLS_LABEL=8000:34@3'],
  ['mpls_tc', '', 1, 3, '-w-', 'decimal', 'mpls', L.W_MPLS, 20, 'OXM_OF_MPLS_TC=8000:35@3'],
  ['mpls_bos', '', 1, 1, '---', 'decimal', 'mpls', L.W_MPLS, 23, 'OXM_OF_MPLS_BOS=8000:36@4'],
  ['mpls_ttl', '', 1, 8, '-w-', 'decimal', 'mpls', L.W_MPLS, 24, 'NXM_NX_MPLS_TTL=1:30'],
  ['ip_src', 'nw_src', 4, 32, 'mw-', 'ipv4', 'ipv4', L.W_NW_SRC, 0, 'NXM_OF_IP_SRC=0:7 OXM_OF_IPV4_SRC=8000:11@3'],
  ['ip_dst', 'nw_dst', 4, 32, 'mw-', 'ipv4', 'ipv4', L.W_NW_DST, 0, 'NXM_OF_IP_DST=0:8 OXM_OF_IPV4_DST=8000:12@3'],
  ['ipv6_src', '', 16, 128, 'mw-', 'ipv6', 'ipv6', L.W_IPV6_SRC, 0, 'NXM_NX_IPV6_SRC=1:19 OXM_OF_IPV6_SRC=8000:26@3'],
  ['ipv6_dst', '', 16, 128, 'mw-', 'ipv6', 'ipv6', L.W_IPV6_DST, 0, 'NXM_NX_IPV6_DST=1:20 OXM_OF_IPV6_DST=8000:27@3'],
  ['ipv6_label', '', 4, 20, 'mw-', 'hexadecimal', 'ipv6', L.W_IPV6_LABEL, 12, 'NXM_NX_IPV6_LABEL=1:27 OXM_OF_IPV6_FLABEL=8000:28@3'],
  ['nw_proto', 'ip_proto', 1, 8, '---', 'decimal', 'ip', L.W_NW, 24, 'NXM_OF_IP_PROTO=0:6 OXM_OF_IP_PROTO=8000:10@3'],
  ['nw_tos', '', 1, 8, '-ws', 'decimal', 'ip', L.W_NW, 8, 'NXM_OF_IP_TOS=0:5'],
  ['ip_dscp', '', 1, 6, '-w-', 'decimal', 'ip', L.W_NW, 8, 'OXM_OF_IP_DSCP=8000:8@3'],
  ['nw_ecn', 'ip_ecn', 1, 2, '-w-', 'decimal', 'ip', L.W_NW, 14, 'NXM_NX_IP_ECN=1:28 OXM_OF_IP_ECN=8000:9@3'],
  ['nw_ttl', '', 1, 8, '-w-', 'decimal', 'ip', L.W_NW, 16, 'NXM_NX_IP_TTL=1:29'],
  ['ip_frag', 'nw_frag', 1, 2, 'm--', 'frag', 'ip', L.W_NW, 6, 'NXM_NX_IP_FRAG=1:26'],
  ['arp_op', '', 2, 16, '-ws', 'decimal', 'arp', L.W_NW, 24, 'NXM_OF_ARP_OP=0:15 OXM_OF_ARP_OP=8000:21@3'],
  ['arp_spa', '', 4, 32, 'mw-', 'ipv4', 'arp', L.W_NW_SRC, 0, 'NXM_OF_ARP_SPA=0:16 OXM_OF_ARP_SPA=8000:22@3'],
  ['arp_tpa', '', 4, 32, 'mw-', 'ipv4', 'arp', L.W_NW_DST, 0, 'NXM_OF_ARP_TPA=0:17 OXM_OF_ARP_TPA=8000:23@3'],
  ['arp_sha', '', 6, 48, 'mw-', 'ethernet', 'arp', L.W_ARP_HA, 0, 'NXM_NX_ARP_SHA=1:17 OXM_OF_ARP_SHA=8000:24@3'],
  ['arp_tha', '', 6, 48, 'mw-', 'ethernet', 'arp', L.W_ARP_HA, 48, 'NXM_NX_ARP_THA=1:18 OXM_OF_ARP_THA=8000:25@3'],
  ['tcp_src', 'tp_src', 2, 16, 'mw-', 'decimal', 'tcp', L.W_TP, 0, 'NXM_OF_TCP_SRC=0:9 OXM_OF_TCP_SRC=8000:13@3'],
  ['tcp_dst', 'tp_dst', 2, 16, 'mw-', 'decimal', 'tcp', L.W_TP, 16, 'NXM_OF_TCP_DST=0:10 OXM_OF_TCP_DST=8000:14@3'],
  ['tcp_flags', '', 2, 12, 'm--', 'tcp-flags', 'tcp', L.W_TCP_FLAGS, 4, 'NXM_NX_TCP_FLAGS=1:34 ONFOXM_ET_TCP_FLAGS=ffff.4f4e4600:42@4 OXM_OF_TCP_FLAGS=8000:42@6'],
  ['udp_src', '', 2, 16, 'mw-', 'decimal', 'udp', L.W_TP, 0, 'NXM_OF_UDP_SRC=0:11 OXM_OF_UDP_SRC=8000:15@3'],
  ['udp_dst', '', 2, 16, 'mw-', 'decimal', 'udp', L.W_TP, 16, 'NXM_OF_UDP_DST=0:12 OXM_OF_UDP_DST=8000:16@3'],
  ['sctp_src', '', 2, 16, 'mw-', 'decimal', 'sctp', L.W_TP, 0, 'OXM_OF_SCTP_SRC=8000:17@3'],
  ['sctp_dst', '', 2, 16, 'mw-', 'decimal', 'sctp', L.W_TP, 16, 'OXM_OF_SCTP_DST=8000:18@3'],
  ['icmp_type', '', 1, 8, '-w-', 'decimal', 'icmpv4', L.W_TP, 8, 'NXM_OF_ICMP_TYPE=0:13 OXM_OF_ICMPV4_TYPE=8000:19@3'],
  ['icmp_code', '', 1, 8, '-w-', 'decimal', 'icmpv4', L.W_TP, 24, 'NXM_OF_ICMP_CODE=0:14 OXM_OF_ICMPV4_CODE=8000:20@3'],
  ['icmpv6_type', '', 1, 8, '-w-', 'decimal', 'icmpv6', L.W_TP, 8, 'NXM_NX_ICMPV6_TYPE=1:21 OXM_OF_ICMPV6_TYPE=8000:29@3'],
  ['icmpv6_code', '', 1, 8, '-w-', 'decimal', 'icmpv6', L.W_TP, 24, 'NXM_NX_ICMPV6_CODE=1:22 OXM_OF_ICMPV6_CODE=8000:30@3'],
  ['nd_target', '', 16, 128, 'mw-', 'ipv6', 'nd', L.W_ND_TARGET, 0, 'NXM_NX_ND_TARGET=1:23 OXM_OF_IPV6_ND_TARGET=8000:31@3'],
  ['nd_sll', '', 6, 48, 'mw-', 'ethernet', 'nd-solicit', L.W_ARP_HA, 0, 'NXM_NX_ND_SLL=1:24 OXM_OF_IPV6_ND_SLL=8000:32@3'],
  ['nd_tll', '', 6, 48, 'mw-', 'ethernet', 'nd-advert', L.W_ARP_HA, 48, 'NXM_NX_ND_TLL=1:25 OXM_OF_IPV6_ND_TLL=8000:33@3'],
  ['nd_reserved', '', 4, 32, '-w-', 'decimal', 'nd', L.W_IGMP_GROUP, 0, 'ERICOXM_OF_ICMPV6_ND_RESERVED=1000:1'],
  ['nd_options_type', '', 1, 8, '-w-', 'decimal', 'nd', L.W_ND_OPTIONS, 0, 'ERICOXM_OF_ICMPV6_ND_OPTIONS_TYPE=1000:2'],
  ['nsh_flags', '', 1, 8, 'mw-', 'decimal', 'nsh', L.W_NSH, 0, 'NXOXM_NSH_FLAGS=ffff.5ad650:1'],
  ['nsh_mdtype', '', 1, 8, '---', 'decimal', 'nsh', L.W_NSH, 8, 'NXOXM_NSH_MDTYPE=ffff.5ad650:2'],
  ['nsh_np', '', 1, 8, '---', 'decimal', 'nsh', L.W_NSH, 16, 'NXOXM_NSH_NP=ffff.5ad650:3'],
  ['nsh_spi', 'nsp', 4, 24, '-w-', 'hexadecimal', 'nsh', L.W_NSH_PATH, 0, 'NXOXM_NSH_SPI=ffff.5ad650:4'],
  ['nsh_si', 'nsi', 1, 8, '-w-', 'decimal', 'nsh', L.W_NSH_PATH, 24, 'NXOXM_NSH_SI=ffff.5ad650:5'],
  ['nsh_c1', 'nshc1', 4, 32, 'mw-', 'hexadecimal', 'nsh', L.W_NSH_CONTEXT, 0, 'NXOXM_NSH_C1=ffff.5ad650:6'],
  ['nsh_c2', 'nshc2', 4, 32, 'mw-', 'hexadecimal', 'nsh', L.W_NSH_CONTEXT, 32, 'NXOXM_NSH_C2=ffff.5ad650:7'],
  ['nsh_c3', 'nshc3', 4, 32, 'mw-', 'hexadecimal', 'nsh', L.W_NSH_CONTEXT, 64, 'NXOXM_NSH_C3=ffff.5ad650:8'],
  ['nsh_c4', 'nshc4', 4, 32, 'mw-', 'hexadecimal', 'nsh', L.W_NSH_CONTEXT, 96, 'NXOXM_NSH_C4=ffff.5ad650:9'],
  ['nsh_ttl', '', 1, 8, '-w-', 'decimal', 'nsh', L.W_NSH, 24, 'NXOXM_NSH_TTL=ffff.5ad650:10'],
];
