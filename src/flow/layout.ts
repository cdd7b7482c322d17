/**
 * Where each header and metadata field stands in a flow key.
 *
 * A flow key is a `Uint32Array` of {@link FLOW_WORDS} words; a mask has the same shape, with a 1 for
 * each bit that matters. Read as one bit string, bit 0 is the most significant bit of word 0, so that
 * a field's bits stand in network order and a prefix is a run of leading ones. No field of up to 32
 * bits straddles a word; 48-bit MAC addresses take one and a half.
 *
 * Words stand in the order of the classifier's stages (metadata, L2, L3, L4), so that a stage is a
 * range of words. Tunnel metadata (Geneve options), which most packets lack, stands last: code that
 * knows that it is absent works on the first {@link FLOW_BASE_WORDS} words alone.
 *
 * Every word that a packet does not define is 0. The packed words, from most significant bit:
 */

// --- Metadata ---------------------------------------------------------------------------------------
/** 64-bit tunnel id (VNI, GRE key): two words, most significant first. */
export const W_TUN_ID = 0;
export const W_TUN_SRC = 2;
export const W_TUN_DST = 3;
export const W_TUN_IPV6_SRC = 4;
export const W_TUN_IPV6_DST = 8;
/** flags (16) | tos (8) | ttl (8). */
export const W_TUN_FLAGS = 12;
/** gbp_id (16) | gbp_flags (8) | erspan_ver (8). */
export const W_TUN_GBP = 13;
export const W_TUN_ERSPAN_IDX = 14;
/** erspan_dir (8) | erspan_hwid (8) | gtpu_flags (8) | gtpu_msgtype (8). */
export const W_TUN_ERSPAN = 15;
/** Outer UDP ports of a tunnel packet: src (16) | dst (16). */
export const W_TUN_TP = 16;
/** 64-bit OpenFlow metadata: two words, most significant first. */
export const W_METADATA = 17;
/** reg0 to reg15, a word each; xreg0 = reg0:reg1, xxreg0 = reg0:reg1:reg2:reg3. */
export const W_REG = 19;
export const N_REGS = 16;
export const W_SKB_PRIORITY = 35;
export const W_PKT_MARK = 36;
export const W_DP_HASH = 37;
/** OpenFlow port (32 bits). In keys of the datapath: the datapath's port number. */
export const W_IN_PORT = 38;
export const W_RECIRC_ID = 39;
/** ct_state (8) | ct_nw_proto (8) | ct_zone (16). */
export const W_CT_STATE = 40;
export const W_CT_MARK = 41;
export const W_PACKET_TYPE = 42;
/** 128-bit connection label: four words, most significant first. */
export const W_CT_LABEL = 43;
export const W_CONJ_ID = 47;
/** Output port of the action set (OF1.5 actset_output). */
export const W_ACTSET_OUTPUT = 48;

// --- L2 ---------------------------------------------------------------------------------------------
/** eth_dst (48) | eth_src (48) over three words. */
export const W_ETH = 49;
/** eth_type (16) | 0 (16). */
export const W_ETH_TYPE = 52;
/** Outer tag, then inner: tpid (16) | tci (16); the tci has bit 0x1000 (CFI) set if the tag is there. */
export const W_VLAN = 53;
export const N_VLANS = 2;
/** Up to three MPLS label stack entries as they stand in the packet. */
export const W_MPLS = 55;
export const N_MPLS = 3;

// --- L3 ---------------------------------------------------------------------------------------------
/** IPv4 source; for ARP its sender protocol address. */
export const W_NW_SRC = 58;
export const W_NW_DST = 59;
export const W_IPV6_SRC = 60;
export const W_IPV6_DST = 64;
/** Low 20 bits. */
export const W_IPV6_LABEL = 68;
/** nw_frag (8; bit 0 any fragment, bit 1 later fragment) | nw_tos (8) | nw_ttl (8) | nw_proto (8; ARP: opcode). */
export const W_NW = 69;
/** Original direction tuple of the connection, from conntrack. */
export const W_CT_NW_SRC = 70;
export const W_CT_NW_DST = 71;
export const W_CT_IPV6_SRC = 72;
export const W_CT_IPV6_DST = 76;

// --- L4, and what lookups leave for the end ------------------------------------------------------------
export const W_ND_TARGET = 80;
/** arp_sha or nd_sll (48) | arp_tha or nd_tll (48) over three words. */
export const W_ARP_HA = 84;
/** tcp_flags (16; low 12 bits) | 0 (16). */
export const W_TCP_FLAGS = 87;
/** nsh flags (8) | mdtype (8) | np (8) | ttl (8). */
export const W_NSH = 88;
/** nsh service path id (24) | service index (8). */
export const W_NSH_PATH = 89;
export const W_NSH_CONTEXT = 90;
/** tp_src (16; ICMP type) | tp_dst (16; ICMP code). */
export const W_TP = 94;
/** ct_tp_src (16) | ct_tp_dst (16). */
export const W_CT_TP = 95;
/** IGMP group; for ND: its 32 reserved bits. */
export const W_IGMP_GROUP = 96;
/** nd_options_type (8) | 0 (24). */
export const W_ND_OPTIONS = 97;

/** Words of a key without tunnel metadata. */
export const FLOW_BASE_WORDS = 98;

// --- Tunnel metadata --------------------------------------------------------------------------------
/** Which of tun_metadata0..63 are present: two words, field 0 is the least significant bit of the second. */
export const W_TUN_METADATA_PRESENT = 98;
/** 256 bytes that the switch's TLV table shares out among the fields. */
export const W_TUN_METADATA = 100;
export const N_TUN_METADATA_BYTES = 256;
export const N_TUN_METADATA_FIELDS = 64;

export const FLOW_WORDS = 164;

/** First word of each classifier stage after the first, and the end: metadata, L2, L3, L4. */
export const STAGE_ENDS = [W_ETH, W_NW_SRC, W_ND_TARGET, FLOW_BASE_WORDS] as const;

/** Bit of an `nw_frag` value: the packet is a fragment. */
export const FRAG_ANY = 1;
/** Bit of an `nw_frag` value: it is not the first fragment. */
export const FRAG_LATER = 2;
/** Set in a tci that stands for a tag which is there. */
export const VLAN_CFI = 0x1000;

/** Bits of the flags in {@link W_TUN_FLAGS}; matches can only test the first. */
export const TUN_F_OAM = 0x01;
export const TUN_F_DF = 0x02;
export const TUN_F_CSUM = 0x04;
export const TUN_F_KEY = 0x08;

/** Bits of ct_state. */
export const CS_NEW = 0x01;
export const CS_ESTABLISHED = 0x02;
export const CS_RELATED = 0x04;
export const CS_REPLY_DIR = 0x08;
export const CS_INVALID = 0x10;
export const CS_TRACKED = 0x20;
export const CS_SRC_NAT = 0x40;
export const CS_DST_NAT = 0x80;

/** packet_type of an Ethernet frame; others are (namespace << 16) | type. */
export const PT_ETH = 0;

/** A flow key or mask. */
export type Flow = Uint32Array;

/** A key of zeros. */
export function newFlow(): Flow {
  return new Uint32Array(FLOW_WORDS);
}
