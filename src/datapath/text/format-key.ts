import {
  type Flow,
  FRAG_LATER,
  N_MPLS,
  N_VLANS,
  PT_ETH,
  VLAN_CFI,
  W_CT_STATE,
  W_ETH_TYPE,
  W_IGMP_GROUP,
  W_IN_PORT,
  W_MPLS,
  W_ND_OPTIONS,
  W_NW,
  W_PACKET_TYPE,
  W_TCP_FLAGS,
  W_TP,
  W_VLAN,
} from '../../flow/layout.ts';
import {
  CT_STATE_NAMES,
  getBits,
  getSmall,
  type KeyField,
  ones,
  SCALAR_ATTRS,
  STRUCT_ATTRS,
  TCP_FLAG_NAMES,
} from './attributes.ts';
import { formatFlags, formatFlagsMasked, hexOf } from './scanner.ts';
import { formatTunnel, hasTunnel, shortHex } from './tunnel.ts';
import { bytesOf, formatField } from './values.ts';

/**
 * A datapath flow as text, as `dpctl dump-flows` prints it. Which attributes there are depends on the
 * key alone (an IPv4 packet has `ipv4(...)`); the mask decides which are shown.
 */
export interface FormatOptions {
  /** Names of ports by number, for `--names`. */
  readonly portName?: (port: number) => string | undefined;
}

export interface FormatKeyOptions extends FormatOptions {
  /** All attributes and fields, also those that the mask leaves out (dump-flows -m). */
  readonly verbose?: boolean;
  /** At most so many VLAN tags. Default: both. */
  readonly maxVlanHeaders?: number;
  /** The datapath knows `nd_ext`. Default: no. */
  readonly ndExtensions?: boolean;
}

/** in_port of a key that has none. */
export const NO_PORT = 0xffffffff;

const isVlanType = (type: number): boolean => type === 0x8100 || type === 0x88a8;

/** @param mask null: exact, and all attributes are shown */
export function formatKey(key: Flow, mask: Flow | null, options: FormatKeyOptions = {}): string {
  return new KeyFormatter(key, mask, options).format();
}

class KeyFormatter {
  private readonly key: Flow;
  private readonly mask: Flow | null;
  private readonly options: FormatKeyOptions;
  private readonly verbose: boolean;
  private parts: string[] = [];

  constructor(key: Flow, mask: Flow | null, options: FormatKeyOptions) {
    this.key = key;
    this.mask = mask;
    this.options = options;
    this.verbose = options.verbose ?? mask === null;
  }

  format(): string {
    const { key, mask } = this;
    this.scalar('skb_priority');
    if (hasTunnel(key)) this.parts.push(`tunnel(${formatTunnel(key, mask, this.verbose)})`);
    for (const name of ['skb_mark', 'ct_state', 'ct_zone', 'ct_mark', 'ct_label']) this.scalar(name);
    const type = key[W_ETH_TYPE] >>> 16;
    if (((key[W_CT_STATE] >>> 16) & 0xff) !== 0) {
      if (type === 0x0800) this.struct('ct_tuple4');
      else if (type === 0x86dd) this.struct('ct_tuple6');
    }
    this.scalar('recirc_id');
    this.scalar('dp_hash');
    if (key[W_IN_PORT] !== NO_PORT) this.scalar('in_port');
    const packetTypeShown = this.struct('packet_type');
    if (key[W_PACKET_TYPE] === PT_ETH) {
      // The frame's being Ethernet has to show somewhere.
      if (!this.struct('eth') && !packetTypeShown) this.parts.push('eth()');
      this.vlans(0);
    } else {
      this.network();
    }
    return this.parts.join();
  }

  /** Tags from the `index`th on, each around what it encapsulates. */
  private vlans(index: number): void {
    const { key, mask } = this;
    const limit = Math.min(this.options.maxVlanHeaders ?? N_VLANS, N_VLANS);
    const type = key[W_ETH_TYPE] >>> 16;
    const tag = index < limit ? key[W_VLAN + index] : 0;
    const tci = tag & 0xffff;
    if (index >= limit || (tci === 0 && !isVlanType(type))) {
      this.network();
      return;
    }
    // A tag that was cut off has its TPID as EtherType.
    this.parts.push(`eth_type(${hex4(tci === 0 ? type : tag >>> 16)})`);
    const tciMask = mask === null ? 0xffff : mask[W_VLAN + index] & 0xffff;
    if (this.verbose || tciMask !== 0) this.parts.push(`vlan(${formatTci(tci, tciMask, this.verbose)})`);
    const outer = this.parts;
    this.parts = [];
    if (tci !== 0) this.vlans(index + 1);
    const inner = this.parts.join();
    this.parts = outer;
    this.parts.push(`encap(${inner})`);
  }

  /** EtherType and all behind it. */
  private network(): void {
    const { key, mask } = this;
    const type = key[W_ETH_TYPE] >>> 16;
    if (type < 0x0600) {
      // Frames without EtherType: said by the mask alone (inside a tag with nothing else, not at all).
      if (mask !== null && this.parts.length > 0) this.parts.push('eth_type(0/0xffff)');
      return;
    }
    this.scalar('eth_type');
    if (isVlanType(type)) return;
    switch (type) {
      case 0x0800:
        this.struct('ipv4');
        break;
      case 0x86dd:
        this.struct('ipv6');
        break;
      case 0x0806:
      case 0x8035:
        this.struct('arp');
        break;
      case 0x8847:
      case 0x8848:
        this.mpls();
        break;
      case 0x894f:
        this.nsh();
    }
    if (type === 0x0800 || type === 0x86dd) this.transport(type);
  }

  private transport(type: number): void {
    const { key, mask } = this;
    if (((key[W_NW] >>> 24) & FRAG_LATER) !== 0) return;
    switch (key[W_NW] & 0xff) {
      case 6: {
        this.struct('tcp');
        if (key[W_TCP_FLAGS] !== 0 || (mask !== null && mask[W_TCP_FLAGS] !== 0)) this.scalar('tcp_flags');
        return;
      }
      case 17:
        this.struct('udp');
        return;
      case 132:
        this.struct('sctp');
        return;
      case 1:
        if (type === 0x0800) this.struct('icmp');
        return;
      case 58:
        if (type === 0x86dd) this.icmpv6();
    }
  }

  private icmpv6(): void {
    const { key, mask } = this;
    this.struct('icmpv6');
    const icmpType = key[W_TP] >>> 16;
    if ((icmpType !== 135 && icmpType !== 136) || (key[W_TP] & 0xffff) !== 0) return;
    // Only a match on the whole of type and code makes sure that these fields are there.
    const known = mask === null || (mask[W_TP] & 0x00ff00ff) === 0x00ff00ff;
    this.struct('nd', known ? mask : new Uint32Array(mask.length));
    if (this.options.ndExtensions && (key[W_IGMP_GROUP] !== 0 || key[W_ND_OPTIONS] !== 0)) {
      if (mask === null || this.verbose || mask[W_IGMP_GROUP] !== 0 || mask[W_ND_OPTIONS] !== 0) {
        this.parts.push(`nd_ext(${formatNdExtensions(key, mask, this.verbose)})`);
      }
    }
  }

  private mpls(): void {
    const { key, mask } = this;
    const n = countLabels(key);
    if (n === 0) return;
    const lses = [...key.subarray(W_MPLS, W_MPLS + n)];
    const masks = mask === null ? null : [...mask.subarray(W_MPLS, W_MPLS + n)];
    if (this.verbose || masks === null || masks.some((m) => m !== 0))
      this.parts.push(`mpls(${formatMpls(lses, masks)})`);
  }

  private nsh(): void {
    const { key, mask } = this;
    this.parts.push(`nsh(${formatNsh(key, mask)})`);
  }

  /** Appends an attribute with fields, unless the mask hides it. */
  private struct(name: string, mask: Flow | null = this.mask): boolean {
    const { fields } = STRUCT_ATTRS.get(name)!;
    if (!this.verbose && mask !== null && fields.every((f) => fieldMask(f, mask) === 0n)) return false;
    this.parts.push(`${name}(${formatFields(fields, this.key, mask, this.verbose)})`);
    return true;
  }

  private scalar(name: string): void {
    const { bit, bits } = SCALAR_ATTRS.get(name)!;
    const value = getBits(this.key, bit, bits);
    const mask = this.mask === null ? null : getBits(this.mask, bit, bits);
    if (mask === 0n && !this.verbose) return;
    this.parts.push(`${name}(${formatScalar(name, value, mask, this.verbose, this.options)})`);
  }
}

function hex4(value: number): string {
  return `0x${value.toString(16).padStart(4, '0')}`;
}

/** How many labels of the stack a key has. */
export function countLabels(key: Flow): number {
  let count = 0;
  for (let i = 0; i < N_MPLS; i++) {
    if ((key[W_MPLS + i] & 0x100) !== 0) return i + 1;
    if (key[W_MPLS + i] !== 0) count++;
  }
  return count;
}

/** What a mask says of a field, in the width of its text. */
function fieldMask(f: KeyField, mask: Flow): bigint {
  return getBits(mask, f.bit, f.bits);
}

/** The fields of an attribute, those that the mask leaves out only if `verbose`. */
export function formatFields(
  fields: readonly KeyField[],
  key: Flow,
  mask: Flow | null,
  verbose: boolean,
): string {
  const parts: string[] = [];
  for (const f of fields) {
    const text = formatField(
      f,
      getBits(key, f.bit, f.bits),
      mask === null ? null : fieldMask(f, mask),
      verbose,
    );
    if (text !== '') parts.push(text);
  }
  return parts.join();
}

/** What stands between the parentheses of an attribute that is one number. */
export function formatScalar(
  name: string,
  value: bigint,
  mask: bigint | null,
  verbose: boolean,
  options: FormatOptions,
): string {
  switch (name) {
    case 'in_port': {
      if (mask !== null && mask !== 0xffffffffn) return `${value}/${hexOf(mask)}`;
      return options.portName?.(Number(value)) ?? value.toString();
    }
    case 'ct_state': {
      if (verbose) return mask === null ? hexOf(value) : `${hexOf(value)}/${hexOf(mask)}`;
      if (mask === null) return formatFlags(CT_STATE_NAMES, Number(value));
      return formatFlagsMasked(CT_STATE_NAMES, Number(value), Number(mask), 0xffffffff);
    }
    case 'ct_label': {
      const exact = mask === null || mask === ones(128);
      return `${shortHex(bytesOf(value, 16))}${exact ? '' : `/${shortHex(bytesOf(mask, 16))}`}`;
    }
    case 'tcp_flags': {
      if (mask === null || (mask & 0xfffn) === 0xfffn) return formatFlags(TCP_FLAG_NAMES, Number(value));
      return formatFlagsMasked(TCP_FLAG_NAMES, Number(value), Number(mask & 0xfffn), 0xfff);
    }
    case 'eth_type':
      return `${hex4(Number(value))}${mask === null || mask === 0xffffn ? '' : `/${hex4(Number(mask))}`}`;
    case 'ct_zone':
      return `${hexOf(value)}${mask === null || mask === 0xffffn ? '' : `/${hexOf(mask)}`}`;
    default:
      return `${hexOf(value)}${mask === null || mask === 0xffffffffn ? '' : `/${hexOf(mask)}`}`;
  }
}

/** vid, pcp and, for a tag that is not there, cfi=0. */
export function formatTci(tci: number, mask: number, verbose: boolean): string {
  const parts: string[] = [];
  const vid = tci & 0xfff;
  const pcp = tci >> 13;
  const vidMask = mask & 0xfff;
  const pcpMask = (mask >> 13) & 7;
  if (verbose || vid !== 0 || vidMask !== 0)
    parts.push(`vid=${vid}${vidMask === 0xfff ? '' : `/0x${vidMask.toString(16)}`}`);
  if (verbose || pcp !== 0 || pcpMask !== 0)
    parts.push(`pcp=${pcp}${pcpMask === 7 ? '' : `/0x${pcpMask.toString(16)}`}`);
  if ((tci & VLAN_CFI) === 0) parts.push('cfi=0');
  return parts.join();
}

/** One label stack entry. */
export function formatLse(lse: number): string {
  return `label=${lse >>> 12},tc=${(lse >>> 9) & 7},ttl=${lse & 0xff},bos=${(lse >>> 8) & 1}`;
}

export function formatMpls(lses: readonly number[], masks: readonly number[] | null): string {
  if (masks === null || masks.every((mask) => mask === 0xffffffff)) return lses.map(formatLse).join();
  return lses
    .map((lse, i) => {
      const m = masks[i];
      const label = `label=${lse >>> 12}/0x${(m >>> 12).toString(16)}`;
      const tc = `tc=${(lse >>> 9) & 7}/${((m >>> 9) & 7).toString(16)}`;
      return `${label},${tc},ttl=${lse & 0xff}/0x${(m & 0xff).toString(16)},bos=${(lse >>> 8) & 1}/${(m >>> 8) & 1}`;
    })
    .join();
}

/** Reserved bits and option type of neighbor discovery. */
export function formatNdExtensions(key: Flow, mask: Flow | null, verbose: boolean): string {
  const type = STRUCT_ATTRS.get('nd_ext')!.fields[1];
  const text = formatField(
    type,
    getBits(key, type.bit, type.bits),
    mask === null ? null : fieldMask(type, mask),
    verbose,
  );
  return `nd_reserved=0x${key[W_IGMP_GROUP].toString(16)}${text === '' ? '' : `,${text}`}`;
}

/** NSH: without a mask all fields, with one those that it has, masks in two digits. */
export function formatNsh(key: Flow, mask: Flow | null): string {
  const fields = STRUCT_ATTRS.get('nsh')!.fields;
  const hasContext = getSmall(key, fields[2].bit, 8) === 1;
  const parts: string[] = [];
  for (const f of fields) {
    const value = getBits(key, f.bit, f.bits);
    const context = f.name[0] === 'c';
    if (mask === null) {
      if (context && !hasContext) continue;
      parts.push(`${f.name}=${f.kind === 'hex' ? `0x${value.toString(16)}` : value}`);
      continue;
    }
    const m = fieldMask(f, mask);
    if (m === 0n) continue;
    if (m === ones(f.bits)) parts.push(`${f.name}=${f.kind === 'hex' ? `0x${value.toString(16)}` : value}`);
    else if (f.kind === 'hex')
      parts.push(`${f.name}=0x${value.toString(16)}/0x${m.toString(16).padStart(8, '0')}`);
    else
      parts.push(`${f.name}=0x${value.toString(16).padStart(2, '0')}/0x${m.toString(16).padStart(2, '0')}`);
  }
  return parts.join();
}
