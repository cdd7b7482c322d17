import { WeftError } from '../../base/errors.ts';
import {
  type Flow,
  FRAG_LATER,
  N_MPLS,
  N_VLANS,
  newFlow,
  PT_ETH,
  VLAN_CFI,
  W_ETH_TYPE,
  W_IN_PORT,
  W_MPLS,
  W_NW,
  W_PACKET_TYPE,
  W_RECIRC_ID,
  W_TP,
  W_VLAN,
} from '../../flow/layout.ts';
import { CT_STATE_NAMES, ones, putBits, SCALAR_ATTRS, STRUCT_ATTRS, TCP_FLAG_NAMES } from './attributes.ts';
import { NO_PORT } from './format-key.ts';
import { Scanner, scanFlags } from './scanner.ts';
import { scanTunnel } from './tunnel.ts';
import { type Masked, scanField, scanNumber } from './values.ts';

/**
 * Datapath flow texts to keys and masks.
 *
 * Parsing has two steps. The text becomes a tree of attributes (`encap(...)` nests), each with the words
 * that it sets; then the tree becomes a key, for which attributes count as far as those in front of them
 * say that they belong there: `tcp(...)` needs an IP protocol of 6. How well they fit is told, since
 * Open vSwitch's users are used to texts that say a little too much or too little.
 */
export interface ParseOptions {
  /** Numbers of ports by name. */
  readonly portNumber?: (name: string) => number | undefined;
}

export interface ParseKeyOptions extends ParseOptions {
  /** At most so many VLAN tags are taken apart. Default: both. */
  readonly maxVlanHeaders?: number;
}

/**
 * 'too-little': attributes are missing that the others call for; their fields are 0. 'too-much':
 * some do not belong there and were left out.
 */
export type Fitness = 'perfect' | 'too-little' | 'too-much';

export interface ParsedKey {
  readonly key: Flow;
  /** All ones where no mask was given; 0 in attributes that are missing. */
  readonly mask: Flow;
  readonly fitness: Fitness;
}

/** One attribute as it was read. */
export interface KeyAttr {
  readonly name: string;
  /** Words of a key and of a mask that the attribute sets. */
  readonly key: Flow;
  readonly mask: Flow;
  /** `eth_type` and `vlan`: the 16 bits; their place depends on the nesting. */
  readonly value: number;
  readonly valueMask: number;
  /** `mpls`: number of labels. */
  readonly labels: number;
  /** `tunnel`: a TTL was given. */
  readonly ttl: boolean;
  /** `encap`. */
  readonly children: readonly KeyAttr[];
}

const MAX_NESTED = 32;

/**
 * @throws WeftError `bad-flow-text`: "syntax error at ..." with the text from the bad attribute on, or
 *   what is wrong with the attributes
 */
export function parseKey(text: string, options: ParseKeyOptions = {}): ParsedKey {
  const attrs = parseAttrs(text, options);
  return keyOf(attrs, options.maxVlanHeaders ?? N_VLANS);
}

function parseAttrs(text: string, options: ParseOptions): KeyAttr[] {
  const s = new Scanner(text);
  const attrs: KeyAttr[] = [];
  for (;;) {
    s.skipDelimiters();
    if (s.end) return attrs;
    const start = s.at;
    // A UFID in front is not part of the key.
    if (s.literal('ufid:')) {
      if (s.match(/[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12} ?/y) === null)
        throw syntaxError(text, start);
      s.literal(',');
      s.skipDelimiters();
    }
    const at = s.at;
    const attr = scanAttr(s, options, true);
    if (attr === null) throw syntaxError(text, at);
    attrs.push(attr);
  }
}

function syntaxError(text: string, at: number): WeftError {
  return new WeftError('bad-flow-text', `syntax error at ${text.slice(at)}`, {
    remedy:
      'write it as dpctl dump-flows prints it: in_port(1),eth(src=...,dst=...),eth_type(0x0800),ipv4(...)',
  });
}

/** One attribute; null: syntax error. */
export function scanAttr(s: Scanner, options: ParseOptions, masks: boolean, depth = 1): KeyAttr | null {
  if (depth >= MAX_NESTED) return null;
  const head = s.match(/([a-z_0-9]+)\(/y);
  if (head === null) return null;
  const name = head[1];
  const key = newFlow();
  const mask = newFlow();
  const plain = { name, key, mask, value: 0, valueMask: 0, labels: 0, ttl: false, children: [] };
  const struct = STRUCT_ATTRS.get(name);
  if (struct !== undefined) return scanStruct(s, struct.name, key, mask, masks) ? plain : null;
  if (name === 'vlan') return scanVlan(s, plain, masks);
  if (name === 'mpls') return scanMpls(s, plain, masks);
  if (name === 'tunnel') {
    const found = scanTunnel(s, key, mask, masks);
    return found === null ? null : { ...plain, ttl: found.ttl };
  }
  if (name === 'encap') {
    const children: KeyAttr[] = [];
    for (;;) {
      s.skipDelimiters();
      if (s.end) return null;
      if (s.literal(')')) return { ...plain, children };
      const child = scanAttr(s, options, masks, depth + 1);
      if (child === null) return null;
      children.push(child);
    }
  }
  const scalar = SCALAR_ATTRS.get(name);
  if (scalar === undefined) return null;
  const found = scanScalar(s, name, scalar.bits, options, masks && name !== 'recirc_id');
  if (found === null || !s.literal(')')) return null;
  putBits(key, scalar.bit, scalar.bits, found.value);
  putBits(mask, scalar.bit, scalar.bits, found.mask);
  return name === 'eth_type'
    ? { ...plain, value: Number(found.value), valueMask: Number(found.mask) }
    : plain;
}

function scanScalar(
  s: Scanner,
  name: string,
  bits: number,
  options: ParseOptions,
  masks: boolean,
): Masked | null {
  if (name === 'ct_state' || name === 'tcp_flags') {
    const names = name === 'ct_state' ? CT_STATE_NAMES : TCP_FLAG_NAMES;
    const all = name === 'ct_state' ? 0xff : 0xfff;
    const flags = scanFlags(s, names, all, masks);
    return flags === null ? null : { value: BigInt(flags.value), mask: BigInt(flags.mask & all) };
  }
  if (name === 'in_port') {
    const number = scanNumber(s, 32, masks);
    if (number !== null) return number;
    const word = s.match(/[^)]+/y);
    const port = word === null ? undefined : options.portNumber?.(word[0]);
    return port === undefined ? null : { value: BigInt(port), mask: 0xffffffffn };
  }
  return scanNumber(s, bits, masks);
}

function scanStruct(s: Scanner, name: string, key: Flow, mask: Flow, masks: boolean): boolean {
  const { fields } = STRUCT_ATTRS.get(name)!;
  for (;;) {
    const f = fields.find((candidate) => s.literal(`${candidate.alias}=`));
    if (f === undefined) return s.literal(')');
    const found = scanField(s, f, masks);
    if (found === null) return false;
    // ARP opcodes have 16 bits in the text: the key can't hold the larger ones.
    if (f.kind === 'arp-op' && found.value > 0xffn) return false;
    putBits(key, f.bit, f.bits, found.value);
    putBits(mask, f.bit, f.bits, found.mask);
    if (!s.literal(',')) return s.literal(')');
  }
}

function scanVlan(s: Scanner, plain: KeyAttr, masks: boolean): KeyAttr | null {
  let value = VLAN_CFI;
  let valueMask = VLAN_CFI;
  for (;;) {
    const field = VLAN_FIELDS.find(([name]) => s.literal(`${name}=`));
    if (field === undefined) break;
    const [, shift, bits] = field;
    const found = scanNumber(s, 16, masks);
    if (found === null || found.value > ones(bits)) return null;
    const explicit = found.mask !== 0xffffn;
    if (explicit && found.mask > ones(bits)) return null;
    const width = Number(ones(bits)) << shift;
    value = (value & ~width) | (Number(found.value) << shift);
    valueMask = (valueMask & ~width) | (explicit ? Number(found.mask) << shift : width);
    if (!s.literal(',')) break;
  }
  return s.literal(')') ? { ...plain, value, valueMask } : null;
}

const VLAN_FIELDS: readonly (readonly [name: string, shift: number, bits: number])[] = [
  ['vid', 0, 12],
  ['pcp', 13, 3],
  ['cfi', 12, 1],
];
const MPLS_FIELDS: readonly (readonly [name: string, shift: number, bits: number])[] = [
  ['label', 12, 20],
  ['tc', 9, 3],
  ['ttl', 0, 8],
  ['bos', 8, 1],
];

/** A field that comes again begins the next label. */
function scanMpls(s: Scanner, plain: KeyAttr, masks: boolean): KeyAttr | null {
  let index = 0;
  let seen = new Set<string>();
  for (;;) {
    const field = MPLS_FIELDS.find(([name]) => s.literal(`${name}=`));
    if (field === undefined) break;
    const [name, shift, bits] = field;
    if (seen.has(name)) {
      seen = new Set();
      if (++index === N_MPLS) return null;
    }
    seen.add(name);
    const found = scanNumber(s, 32, masks);
    if (found === null || found.value > ones(bits)) return null;
    const explicit = found.mask !== 0xffffffffn;
    if (explicit && found.mask > ones(bits)) return null;
    putBits(plain.key, (W_MPLS + index + 1) * 32 - shift - bits, bits, found.value);
    putBits(plain.mask, (W_MPLS + index + 1) * 32 - shift - bits, bits, explicit ? found.mask : ones(bits));
    if (!s.literal(',')) break;
  }
  return s.literal(')') ? { ...plain, labels: index + 1 } : null;
}

// --- Attributes to a key ---------------------------------------------------------------------------

const METADATA = [
  'skb_priority',
  'skb_mark',
  'ct_state',
  'ct_zone',
  'ct_mark',
  'ct_label',
  'ct_tuple4',
  'ct_tuple6',
  'recirc_id',
  'dp_hash',
  'in_port',
  'packet_type',
  'eth',
] as const;

const isVlanType = (type: number): boolean => type === 0x8100 || type === 0x88a8;

function invalid(message: string): WeftError {
  return new WeftError('bad-flow-text', message);
}

/** The attributes of one level by name. */
function byName(attrs: readonly KeyAttr[]): Map<string, KeyAttr> {
  const map = new Map<string, KeyAttr>();
  for (const attr of attrs) {
    if (map.has(attr.name)) throw invalid(`duplicate ${attr.name} attribute in flow key`);
    map.set(attr.name, attr);
  }
  return map;
}

function merge(key: Flow, mask: Flow, attr: KeyAttr): void {
  for (let i = 0; i < key.length; i++) {
    key[i] |= attr.key[i];
    mask[i] |= attr.mask[i];
  }
}

function keyOf(attrs: readonly KeyAttr[], maxVlans: number): ParsedKey {
  const key = newFlow();
  const mask = newFlow();
  let level = byName(attrs);
  const expected = new Set<string>();
  for (const name of METADATA) {
    const attr = level.get(name);
    if (attr === undefined) continue;
    merge(key, mask, attr);
    expected.add(name);
  }
  if (!level.has('recirc_id')) mask[W_RECIRC_ID] = 0xffffffff;
  const tunnel = level.get('tunnel');
  if (tunnel !== undefined) {
    if (!tunnel.ttl) throw invalid('tunnel options missing TTL');
    merge(key, mask, tunnel);
    expected.add('tunnel');
  }
  if (!level.has('in_port')) key[W_IN_PORT] = NO_PORT;
  const type = level.get('eth_type');
  if (level.has('eth')) key[W_PACKET_TYPE] = PT_ETH;
  else if (type !== undefined) key[W_PACKET_TYPE] = 0x10000 | type.value;

  let etherType = etherTypeOf(level, expected);
  let fitness: Fitness = 'perfect';
  for (let i = 0; i < Math.min(maxVlans, N_VLANS) && isVlanType(etherType); i++) {
    const vlan = level.get('vlan');
    const encap = level.get('encap');
    expected.add('vlan').add('encap');
    fitness = fit(level, expected);
    key[W_VLAN + i] = ((etherType << 16) | (vlan?.value ?? 0)) >>> 0;
    mask[W_VLAN + i] = (0xffff0000 | (vlan?.valueMask ?? 0)) >>> 0;
    if (vlan === undefined || encap === undefined) return { key, mask, fitness: 'too-little' };
    if (vlan.value === 0) {
      // A tag that is cut off: nothing can be inside.
      key[W_VLAN + i] = 0;
      key[W_ETH_TYPE] = (etherType << 16) >>> 0;
      mask[W_ETH_TYPE] = 0xffff0000;
      return {
        key,
        mask,
        fitness: fitness === 'perfect' && encap.children.length > 0 ? 'too-much' : fitness,
      };
    }
    if ((vlan.value & VLAN_CFI) === 0) {
      const tci = vlan.value.toString(16).padStart(4, '0');
      throw invalid(`OVS_KEY_ATTR_VLAN 0x${tci} is nonzero but CFI bit is not set`);
    }
    level = byName(encap.children);
    expected.clear();
    etherType = etherTypeOf(level, expected);
  }
  key[W_ETH_TYPE] = (etherType << 16) >>> 0;
  mask[W_ETH_TYPE] = (level.get('eth_type')?.valueMask ?? (etherType < 0x0600 ? 0xffff : 0)) << 16;
  const short = onward(level, expected, etherType, key, mask);
  return { key, mask, fitness: short ? 'too-little' : fit(level, expected) };
}

function etherTypeOf(level: Map<string, KeyAttr>, expected: Set<string>): number {
  const attr = level.get('eth_type');
  if (attr !== undefined) {
    if (attr.value < 0x0600) throw invalid(`invalid Ethertype ${attr.value} in flow key`);
    expected.add('eth_type');
    return attr.value;
  }
  if (level.has('ipv4')) return 0x0800;
  if (level.has('ipv6')) return 0x86dd;
  return level.has('mpls') ? 0x8847 : 0x05ff;
}

function fit(level: Map<string, KeyAttr>, expected: ReadonlySet<string>): Fitness {
  for (const name of expected) if (!level.has(name)) return 'too-little';
  for (const name of level.keys()) if (!expected.has(name)) return 'too-much';
  return 'perfect';
}

/** L2.5 and behind. Returns true where the label stack has no end. */
function onward(
  level: Map<string, KeyAttr>,
  expected: Set<string>,
  type: number,
  key: Flow,
  mask: Flow,
): boolean {
  const take = (name: string): boolean => {
    expected.add(name);
    const attr = level.get(name);
    if (attr === undefined) return false;
    merge(key, mask, attr);
    return true;
  };
  switch (type) {
    case 0x8847:
    case 0x8848: {
      if (!take('mpls')) return false;
      const n = level.get('mpls')!.labels;
      for (let i = 0; i < n - 1; i++) {
        if ((key[W_MPLS + i] & 0x100) !== 0) throw invalid('MPLS BOS set in non-innermost label');
      }
      return n < N_MPLS && (key[W_MPLS + n - 1] & 0x100) === 0;
    }
    case 0x0806:
    case 0x8035:
      take('arp');
      return false;
    case 0x894f:
      take('nsh');
      return false;
    case 0x0800:
      take('ipv4');
      break;
    case 0x86dd:
      take('ipv6');
      break;
    default:
      return false;
  }
  if (((key[W_NW] >>> 24) & FRAG_LATER) !== 0) return false;
  switch (key[W_NW] & 0xff) {
    case 6:
      take('tcp');
      if (level.has('tcp_flags')) take('tcp_flags');
      break;
    case 17:
      take('udp');
      break;
    case 132:
      take('sctp');
      break;
    case 1:
      if (type === 0x0800) take('icmp');
      break;
    case 58:
      if (type === 0x86dd && take('icmpv6') && (key[W_TP] === 135 << 16 || key[W_TP] === 136 << 16)) {
        take('nd');
        if (level.has('nd_ext')) take('nd_ext');
      }
  }
  return false;
}
