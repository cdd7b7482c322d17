import {
  type Flow,
  W_ARP_HA,
  W_CT_IPV6_DST,
  W_CT_IPV6_SRC,
  W_CT_LABEL,
  W_CT_MARK,
  W_CT_NW_DST,
  W_CT_NW_SRC,
  W_CT_STATE,
  W_CT_TP,
  W_DP_HASH,
  W_ETH,
  W_ETH_TYPE,
  W_IGMP_GROUP,
  W_IN_PORT,
  W_IPV6_DST,
  W_IPV6_LABEL,
  W_IPV6_SRC,
  W_ND_OPTIONS,
  W_ND_TARGET,
  W_NSH,
  W_NSH_CONTEXT,
  W_NSH_PATH,
  W_NW,
  W_NW_DST,
  W_NW_SRC,
  W_PACKET_TYPE,
  W_PKT_MARK,
  W_RECIRC_ID,
  W_SKB_PRIORITY,
  W_TCP_FLAGS,
  W_TP,
} from '../../flow/layout.ts';

/**
 * The attributes of a datapath flow text, `name(field=value/mask,...)`, and where their fields stand in
 * a flow key. VLAN tags, MPLS labels and tunnels have shapes of their own (format-key.ts, tunnel.ts).
 */

/** How a field's value and mask are written. */
export type FieldKind =
  | 'eth'
  | 'ipv4'
  | 'ipv6'
  /** Decimal value, hexadecimal mask. */
  | 'decimal'
  /** Hexadecimal, as %#x. */
  | 'hex'
  /** no, first, later. */
  | 'frag'
  /** 16 bits in text, eight in the key. */
  | 'arp-op';

export interface KeyField {
  readonly name: string;
  readonly kind: FieldKind;
  /** Offset in bits, from the most significant of word 0. */
  readonly bit: number;
  readonly bits: number;
  /** Name that is read, where it is not the one that is written. */
  readonly alias: string;
}

/** An attribute with named fields. */
export interface StructAttr {
  readonly name: string;
  readonly fields: readonly KeyField[];
}

/** An attribute that is one number. */
export interface ScalarAttr {
  readonly name: string;
  readonly bit: number;
  readonly bits: number;
}

const field = (
  name: string,
  kind: FieldKind,
  word: number,
  shift: number,
  bits: number,
  alias = name,
): KeyField => ({
  name,
  kind,
  bit: word * 32 + shift,
  bits,
  alias,
});

const PORTS: readonly KeyField[] = [
  field('src', 'decimal', W_TP, 0, 16),
  field('dst', 'decimal', W_TP, 16, 16),
];
// ICMP's type and code take the low bytes of the halves for ports.
const ICMP: readonly KeyField[] = [
  field('type', 'decimal', W_TP, 8, 8),
  field('code', 'decimal', W_TP, 24, 8),
];

const STRUCTS: readonly StructAttr[] = [
  {
    name: 'ct_tuple4',
    fields: [
      field('src', 'ipv4', W_CT_NW_SRC, 0, 32),
      field('dst', 'ipv4', W_CT_NW_DST, 0, 32),
      field('proto', 'decimal', W_CT_STATE, 8, 8),
      field('tp_src', 'decimal', W_CT_TP, 0, 16),
      field('tp_dst', 'decimal', W_CT_TP, 16, 16),
    ],
  },
  {
    name: 'ct_tuple6',
    fields: [
      field('src', 'ipv6', W_CT_IPV6_SRC, 0, 128),
      field('dst', 'ipv6', W_CT_IPV6_DST, 0, 128),
      field('proto', 'decimal', W_CT_STATE, 8, 8),
      field('src_port', 'decimal', W_CT_TP, 0, 16, 'tp_src'),
      field('dst_port', 'decimal', W_CT_TP, 16, 16, 'tp_dst'),
    ],
  },
  {
    name: 'packet_type',
    fields: [field('ns', 'decimal', W_PACKET_TYPE, 0, 16), field('id', 'hex', W_PACKET_TYPE, 16, 16)],
  },
  { name: 'eth', fields: [field('src', 'eth', W_ETH, 48, 48), field('dst', 'eth', W_ETH, 0, 48)] },
  {
    name: 'ipv4',
    fields: [
      field('src', 'ipv4', W_NW_SRC, 0, 32),
      field('dst', 'ipv4', W_NW_DST, 0, 32),
      field('proto', 'decimal', W_NW, 24, 8),
      field('tos', 'hex', W_NW, 8, 8),
      field('ttl', 'decimal', W_NW, 16, 8),
      field('frag', 'frag', W_NW, 0, 8),
    ],
  },
  {
    name: 'ipv6',
    fields: [
      field('src', 'ipv6', W_IPV6_SRC, 0, 128),
      field('dst', 'ipv6', W_IPV6_DST, 0, 128),
      field('label', 'hex', W_IPV6_LABEL, 12, 20),
      field('proto', 'decimal', W_NW, 24, 8),
      field('tclass', 'hex', W_NW, 8, 8),
      field('hlimit', 'decimal', W_NW, 16, 8),
      field('frag', 'frag', W_NW, 0, 8),
    ],
  },
  { name: 'tcp', fields: PORTS },
  { name: 'udp', fields: PORTS },
  { name: 'sctp', fields: PORTS },
  { name: 'icmp', fields: ICMP },
  { name: 'icmpv6', fields: ICMP },
  {
    name: 'arp',
    fields: [
      field('sip', 'ipv4', W_NW_SRC, 0, 32),
      field('tip', 'ipv4', W_NW_DST, 0, 32),
      field('op', 'arp-op', W_NW, 24, 8),
      field('sha', 'eth', W_ARP_HA, 0, 48),
      field('tha', 'eth', W_ARP_HA, 48, 48),
    ],
  },
  {
    name: 'nd',
    fields: [
      field('target', 'ipv6', W_ND_TARGET, 0, 128),
      field('sll', 'eth', W_ARP_HA, 0, 48),
      field('tll', 'eth', W_ARP_HA, 48, 48),
    ],
  },
  {
    name: 'nd_ext',
    fields: [
      field('nd_reserved', 'hex', W_IGMP_GROUP, 0, 32),
      field('nd_options_type', 'decimal', W_ND_OPTIONS, 0, 8),
    ],
  },
  {
    name: 'nsh',
    fields: [
      field('flags', 'decimal', W_NSH, 0, 8),
      field('ttl', 'decimal', W_NSH, 24, 8),
      field('mdtype', 'decimal', W_NSH, 8, 8),
      field('np', 'decimal', W_NSH, 16, 8),
      field('spi', 'hex', W_NSH_PATH, 0, 24),
      field('si', 'decimal', W_NSH_PATH, 24, 8),
      field('c1', 'hex', W_NSH_CONTEXT, 0, 32),
      field('c2', 'hex', W_NSH_CONTEXT + 1, 0, 32),
      field('c3', 'hex', W_NSH_CONTEXT + 2, 0, 32),
      field('c4', 'hex', W_NSH_CONTEXT + 3, 0, 32),
    ],
  },
];

const SCALARS: readonly ScalarAttr[] = [
  { name: 'skb_priority', bit: W_SKB_PRIORITY * 32, bits: 32 },
  { name: 'skb_mark', bit: W_PKT_MARK * 32, bits: 32 },
  { name: 'recirc_id', bit: W_RECIRC_ID * 32, bits: 32 },
  { name: 'dp_hash', bit: W_DP_HASH * 32, bits: 32 },
  { name: 'in_port', bit: W_IN_PORT * 32, bits: 32 },
  { name: 'ct_state', bit: W_CT_STATE * 32, bits: 8 },
  { name: 'ct_zone', bit: W_CT_STATE * 32 + 16, bits: 16 },
  { name: 'ct_mark', bit: W_CT_MARK * 32, bits: 32 },
  { name: 'ct_label', bit: W_CT_LABEL * 32, bits: 128 },
  { name: 'eth_type', bit: W_ETH_TYPE * 32, bits: 16 },
  { name: 'tcp_flags', bit: W_TCP_FLAGS * 32, bits: 16 },
];

export const STRUCT_ATTRS: ReadonlyMap<string, StructAttr> = new Map(
  STRUCTS.map((attr) => [attr.name, attr]),
);
export const SCALAR_ATTRS: ReadonlyMap<string, ScalarAttr> = new Map(
  SCALARS.map((attr) => [attr.name, attr]),
);

export const CT_STATE_NAMES: readonly string[] = ['new', 'est', 'rel', 'rpl', 'inv', 'trk', 'snat', 'dnat'];
export const TCP_FLAG_NAMES: readonly string[] = [
  'fin',
  'syn',
  'rst',
  'psh',
  'ack',
  'urg',
  'ece',
  'cwr',
  'ns',
  '[200]',
  '[400]',
  '[800]',
];
/** By the bits of the flags in W_TUN_FLAGS. */
export const TUNNEL_FLAG_NAMES: readonly string[] = ['oam', 'df', 'csum', 'key'];

/** The `bits` bits from bit `bit` on, as an unsigned integer. */
export function getBits(flow: Flow, bit: number, bits: number): bigint {
  if (bits <= 32 && (bit & 31) + bits <= 32) return BigInt(getSmall(flow, bit, bits));
  let value = 0n;
  let at = bit;
  let left = bits;
  while (left > 0) {
    const take = Math.min(left, 32 - (at & 31));
    value = (value << BigInt(take)) | BigInt(getSmall(flow, at, take));
    at += take;
    left -= take;
  }
  return value;
}

/** `getBits` for bits that stand in one word. */
export function getSmall(flow: Flow, bit: number, bits: number): number {
  const word = flow[bit >> 5] >>> (32 - (bit & 31) - bits);
  return bits === 32 ? word : word & ((1 << bits) - 1);
}

export function putBits(flow: Flow, bit: number, bits: number, value: bigint): void {
  let rest = BigInt.asUintN(bits, value);
  let end = bit + bits;
  while (end > bit) {
    const from = Math.max(bit, (end - 1) & ~31);
    const take = end - from;
    const shift = 31 - ((end - 1) & 31);
    const mask = take === 32 ? 0xffffffff : (((1 << take) - 1) << shift) >>> 0;
    const part = (Number(rest & ((1n << BigInt(take)) - 1n)) << shift) >>> 0;
    const word = (end - 1) >> 5;
    flow[word] = (flow[word] & ~mask) | part;
    rest >>= BigInt(take);
    end = from;
  }
}

/** All ones in `bits` bits. */
export function ones(bits: number): bigint {
  return (1n << BigInt(bits)) - 1n;
}
