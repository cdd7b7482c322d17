/**
 * A match: which packets a flow is for. `flow` holds values, `mask` says which bits of them matter;
 * bits of `flow` outside `mask` are 0.
 */
import { WeftError } from '../base/errors.ts';
import type { Field } from './field.ts';
import {
  fieldOnes,
  getField,
  getMask,
  isFieldWild,
  maskField,
  ones,
  portFrom16,
  setField,
  setTunMetadataPresent,
  writeBits32,
} from './field-access.ts';
import { F } from './fields.ts';
import type { Flow } from './layout.ts';
import * as L from './layout.ts';
import {
  ETH_TYPE_ARP,
  ETH_TYPE_IP,
  ETH_TYPE_IPV6,
  ETH_TYPE_MPLS,
  ETH_TYPE_MPLS_MCAST,
  ETH_TYPE_RARP,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_SCTP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  ND_ADVERT,
  ND_SOLICIT,
} from './prerequisites.ts';
import { LocalTunnelMetadata, type TunnelMetadataMap, tunMetadataIndex } from './tun-metadata.ts';

const VID_MASK = 0x0fff;
const PCP_MASK = 0xe000;

/** Fields of 8 bits that take a place of 16 in the key, all of which an exact match tests. */
const WIDENED: ReadonlySet<Field> = new Set([F.icmpType, F.icmpCode, F.icmpv6Type, F.icmpv6Code]);

export class Match {
  readonly flow: Flow;
  readonly mask: Flow;
  /** Places of tun_metadata fields; null until one is matched on and nobody has given any. */
  tun: TunnelMetadataMap | null;

  /** A match on every packet. */
  constructor(tun: TunnelMetadataMap | null = null) {
    // In one piece of memory, as making that takes longest.
    const { buffer } = new Uint32Array(2 * L.FLOW_WORDS);
    this.flow = new Uint32Array(buffer, 0, L.FLOW_WORDS);
    this.mask = new Uint32Array(buffer, 4 * L.FLOW_WORDS, L.FLOW_WORDS);
    this.tun = tun;
  }

  /** A match on packets that have `flow`'s bits where `mask` has ones. */
  static of(flow: Flow, mask: Flow, tun: TunnelMetadataMap | null = null): Match {
    const match = new Match(tun);
    match.mask.set(mask);
    for (let i = 0; i < L.FLOW_WORDS; i++) match.flow[i] = flow[i] & mask[i];
    return match;
  }

  /** Makes it a match on every packet again. */
  reset(tun: TunnelMetadataMap | null): this {
    this.flow.fill(0);
    this.mask.fill(0);
    this.tun = tun;
    return this;
  }

  clone(): Match {
    const tun = this.tun instanceof LocalTunnelMetadata ? this.tun.clone() : this.tun;
    const copy = new Match(tun);
    copy.flow.set(this.flow);
    copy.mask.set(this.mask);
    return copy;
  }

  get isCatchAll(): boolean {
    return this.mask.every((word) => word === 0);
  }

  equals(other: Match): boolean {
    return wordsEqual(this.mask, other.mask) && wordsEqual(this.flow, other.flow);
  }

  /** A 32-bit hash of values and mask. */
  hash(): number {
    let h = 0;
    for (let i = 0; i < L.FLOW_WORDS; i++) {
      const m = this.mask[i];
      if (m !== 0) h = mix(mix(mix(h, i), m), this.flow[i]);
    }
    return h >>> 0;
  }

  /** Whether a packet is one of those. */
  matches(packet: Flow): boolean {
    for (let i = 0; i < L.FLOW_WORDS; i++) {
      if (((packet[i] ^ this.flow[i]) & this.mask[i]) !== 0) return false;
    }
    return true;
  }

  /** Whether some packet is in both. */
  overlaps(other: Match): boolean {
    for (let i = 0; i < L.FLOW_WORDS; i++) {
      if (((this.flow[i] ^ other.flow[i]) & this.mask[i] & other.mask[i]) !== 0) return false;
    }
    return true;
  }

  /** Whether every packet of `other` is also one of this match, which is looser or equal. */
  covers(other: Match): boolean {
    for (let i = 0; i < L.FLOW_WORDS; i++) {
      const m = this.mask[i];
      if ((m & ~other.mask[i]) !== 0 || ((this.flow[i] ^ other.flow[i]) & m) !== 0) return false;
    }
    return true;
  }

  /**
   * Requires `field` to have `value` in the bits of `mask` (default: all). What was required of it
   * before is forgotten. A mask of 0 wildcards the field. Prerequisites are the caller's to check.
   * @throws WeftError `bad-match-field` if a field can't be masked in this way, or tunnel metadata
   *   finds no room, in the words of ovs-ofctl.
   */
  set(field: Field, value: bigint, mask?: bigint): this {
    if (field.variableLength) return this.#setTunMetadata(field, value, mask);
    const all = fieldOnes(field);
    const bits = mask === undefined ? all : mask & all;
    if (bits === 0n && mask !== undefined) return this.wildcard(field);
    if (bits === all) return this.#setExact(field, value);
    if (!field.maskable) {
      throw new WeftError('bad-match-field', `${field.name}: invalid mask for field ${field.name}`, {
        remedy: `match on all of ${field.name} or leave it out`,
      });
    }
    if (field === F.vlanVid) this.#setVid(Number(value & bits), Number(bits));
    else if (field === F.ctState) this.#setBits(L.W_CT_STATE, 24, 0xff, Number(value), Number(bits));
    else {
      this.#clear(field);
      setField(this.flow, plainView(field), value & bits);
      maskField(this.mask, field, bits);
    }
    return this;
  }

  /** {@link set} for fields of up to 32 bits. */
  setNumber(field: Field, value: number, mask?: number): this {
    return this.set(field, BigInt(value), mask === undefined ? undefined : BigInt(mask));
  }

  #setExact(field: Field, value: bigint): this {
    const n = Number(value & 0xffffffffn);
    switch (field) {
      case F.inPort:
        this.flow[L.W_IN_PORT] = portFrom16(n & 0xffff);
        this.mask[L.W_IN_PORT] = 0xffffffff;
        break;
      case F.dlVlan:
        if (n === 0xffff) this.#setBits(L.W_VLAN, 0, 0xffff, 0, 0xffff);
        else this.#orTci(L.VLAN_CFI | (n & VID_MASK), L.VLAN_CFI | VID_MASK);
        break;
      case F.vlanVid:
        this.#setVid(n, VID_MASK | L.VLAN_CFI);
        break;
      case F.dlVlanPcp:
      case F.vlanPcp:
        this.#orTci(L.VLAN_CFI | ((n & 7) << 13), L.VLAN_CFI | PCP_MASK);
        break;
      case F.ctState:
        this.#setBits(L.W_CT_STATE, 24, 0xff, n, 0xff);
        break;
      case F.nwTos:
        this.#setBits(L.W_NW, 16, 0xfc, n, 0xfc);
        break;
      case F.arpOp:
        this.#setBits(L.W_NW, 0, 0xff, n, 0xff);
        break;
      case F.icmpType:
      case F.icmpv6Type:
        this.#setBits(L.W_TP, 16, 0xffff, n & 0xff, 0xffff);
        break;
      case F.icmpCode:
      case F.icmpv6Code:
        this.#setBits(L.W_TP, 0, 0xffff, n & 0xff, 0xffff);
        break;
      default:
        if (!field.special && field.bits <= 32) {
          writeBits32(this.flow, field.offset, field.bits, n);
          writeBits32(this.mask, field.offset, field.bits, 0xffffffff);
          break;
        }
        setField(this.flow, plainView(field), value);
        maskField(this.mask, field);
    }
    return this;
  }

  /** Takes back what is required of a field. */
  wildcard(field: Field): this {
    switch (field) {
      case F.dlVlan:
      case F.vlanVid:
        if ((this.mask[L.W_VLAN] & PCP_MASK) !== 0) this.#setBits(L.W_VLAN, 0, VID_MASK, 0, 0);
        else this.#setBits(L.W_VLAN, 0, 0xffff, 0, 0);
        break;
      case F.dlVlanPcp:
      case F.vlanPcp:
        if ((this.mask[L.W_VLAN] & VID_MASK) !== 0) this.#setBits(L.W_VLAN, 0, PCP_MASK, 0, 0);
        else this.#setBits(L.W_VLAN, 0, 0xffff, 0, 0);
        break;
      default:
        this.#clear(field);
    }
    return this;
  }

  /** The bits of a field that matter, and their values. For tun_metadata: by the places of `tun`. */
  get(field: Field): { readonly value: bigint; readonly mask: bigint } {
    return { value: getField(this.flow, field), mask: getMask(this.mask, field) };
  }

  #clear(field: Field): void {
    if (WIDENED.has(field)) {
      const shift = field === F.icmpType || field === F.icmpv6Type ? 16 : 0;
      this.#setBits(L.W_TP, shift, 0xffff, 0, 0);
      return;
    }
    const own = L.newFlow();
    maskField(own, field);
    for (let i = 0; i < L.FLOW_WORDS; i++) {
      this.flow[i] &= ~own[i];
      this.mask[i] &= ~own[i];
    }
  }

  #setBits(word: number, shift: number, all: number, value: number, mask: number): void {
    const keep = ~(all << shift);
    this.flow[word] = (this.flow[word] & keep) | ((value & mask & all) << shift);
    this.mask[word] = (this.mask[word] & keep) | ((mask & all) << shift);
  }

  #setVid(vid: number, mask: number): void {
    this.#setBits(L.W_VLAN, 0, VID_MASK | L.VLAN_CFI, vid, mask);
  }

  /** Requires tci bits beside those that are required already. */
  #orTci(value: number, mask: number): void {
    this.flow[L.W_VLAN] = (this.flow[L.W_VLAN] & ~mask) | value;
    this.mask[L.W_VLAN] |= mask;
  }

  #setTunMetadata(field: Field, value: bigint, mask: bigint | undefined): this {
    const n = tunMetadataIndex(field);
    let place = field.offset >= 0 ? field : (this.tun?.field(n) ?? null);
    if (this.tun === null) this.tun = new LocalTunnelMetadata();
    if (place === null || (this.tun instanceof LocalTunnelMetadata && field.offset < 0)) {
      if (!(this.tun instanceof LocalTunnelMetadata)) return this;
      place = this.#allocateTunMetadata(this.tun, field, value, mask);
    }
    const bits = mask === undefined ? ones(place.bits) : mask & ones(place.bits);
    setField(this.flow, place, value & bits);
    setField(this.mask, place, bits);
    return this;
  }

  #allocateTunMetadata(
    tun: LocalTunnelMetadata,
    field: Field,
    value: bigint,
    mask: bigint | undefined,
  ): Field {
    const n = tunMetadataIndex(field);
    const masked = mask !== undefined && mask !== ones(field.bits);
    const length = Math.max(bytesOf(value), masked ? bytesOf(mask) : 0);
    if (tun.field(n) !== null) {
      throw new WeftError('bad-match-field', `field ${field.name} set multiple times`, {
        remedy: 'match on it once',
      });
    }
    const place = tun.allocate(n, length, masked);
    if (place === null) {
      throw new WeftError(
        'bad-match-field',
        `field ${field.name} exceeds maximum size for tunnel metadata (used ${tun.usedAfter(length)}, max ${L.N_TUN_METADATA_BYTES})`,
        { remedy: 'match on fewer or shorter tun_metadata fields' },
      );
    }
    return place;
  }

  /**
   * Requires a tun_metadata field to be absent. An unmapped one gets a place of no bytes.
   */
  setTunMetadataAbsent(field: Field): this {
    if (this.tun === null) this.tun = new LocalTunnelMetadata();
    const n = tunMetadataIndex(field);
    if (this.tun instanceof LocalTunnelMetadata && this.tun.field(n) === null) this.tun.allocate(n, 0, true);
    setTunMetadataPresent(this.flow, field, false);
    setTunMetadataPresent(this.mask, field, true);
    return this;
  }

  /** Whether the match is for Ethernet packets, said outright. */
  get hasDefaultPacketType(): boolean {
    return this.flow[L.W_PACKET_TYPE] === L.PT_ETH && this.mask[L.W_PACKET_TYPE] === 0xffffffff;
  }

  /** A match on a field that needs an Ethernet header, and says nothing of packet_type, is for Ethernet packets. */
  addEthernetPrerequisite(field: Field): this {
    if (field.prerequisite !== 'none' && this.mask[L.W_PACKET_TYPE] === 0)
      this.setNumber(F.packetType, L.PT_ETH);
    return this;
  }

  /** Drops bits of `flow` that `mask` doesn't have. Callers that write to either restore order with it. */
  zeroWildcarded(): this {
    for (let i = 0; i < L.FLOW_WORDS; i++) this.flow[i] &= this.mask[i];
    return this;
  }

  /**
   * Drops what is required of fields that no packet of the match has (an IP address without an IP
   * Ethernet type), as OpenFlow 1.0 wants such flows read. Returns the fields dropped, by name.
   */
  normalize(): string[] {
    const may = mayMatch(this);
    const dropped: string[] = [];
    for (const [group, fields] of NORMALIZED) {
      if (may.has(group)) continue;
      for (const field of fields) {
        if (isFieldWild(this.mask, field)) continue;
        dropped.push(field.name);
        this.#clear(field);
      }
    }
    if (!may.has('mpls')) {
      for (let i = 0; i < L.N_MPLS; i++) this.mask[L.W_MPLS + i] = 0;
      this.zeroWildcarded();
    }
    return dropped;
  }
}

/** A field that may be written into a match's values without the side effects that a packet's has. */
function plainView(field: Field): Field {
  return field.special ? { ...field, special: false } : field;
}

function bytesOf(value: bigint): number {
  let bytes = 0;
  for (let rest = value; rest > 0n; rest >>= 8n) bytes++;
  return bytes;
}

function wordsEqual(a: Flow, b: Flow): boolean {
  for (let i = 0; i < L.FLOW_WORDS; i++) if (a[i] !== b[i]) return false;
  return true;
}

function mix(h: number, word: number): number {
  let x = Math.imul(h ^ word, 0x9e3779b1);
  x ^= x >>> 15;
  return Math.imul(x, 0x85ebca77) ^ (x >>> 13);
}

type Group =
  | 'ethernet'
  | 'nw-addr'
  | 'tp'
  | 'nw-proto'
  | 'ip'
  | 'arp-sha'
  | 'arp-tha'
  | 'ipv6'
  | 'nd-target'
  | 'mpls';

const NORMALIZED: readonly (readonly [Group, readonly Field[]])[] = [
  ['ethernet', [F.ethSrc, F.ethDst]],
  ['nw-addr', [F.ipSrc, F.ipDst]],
  ['tp', [F.tcpSrc, F.tcpDst]],
  ['nw-proto', [F.nwProto]],
  ['ip', [F.nwTos, F.nwEcn, F.nwTtl]],
  ['arp-sha', [F.arpSha]],
  ['arp-tha', [F.arpTha]],
  ['ipv6', [F.ipv6Src, F.ipv6Dst, F.ipv6Label]],
  ['nd-target', [F.ndTarget]],
  ['mpls', [F.mplsLabel, F.mplsTc, F.mplsBos, F.mplsTtl]],
];

/** The groups of fields that packets of a match can have. */
function mayMatch(match: Match): Set<Group> {
  const { flow, mask } = match;
  const may = new Set<Group>();
  let type = 0;
  if (mask[L.W_PACKET_TYPE] === 0 || match.hasDefaultPacketType) {
    may.add('ethernet');
    type = flow[L.W_ETH_TYPE] >>> 16;
  } else if (mask[L.W_PACKET_TYPE] === 0xffffffff && flow[L.W_PACKET_TYPE] >>> 16 === 1) {
    type = flow[L.W_PACKET_TYPE] & 0xffff;
  }
  const add = (...groups: Group[]) => {
    for (const g of groups) may.add(g);
  };
  const proto = flow[L.W_NW] & 0xff;
  const hasPorts = proto === IPPROTO_TCP || proto === IPPROTO_UDP || proto === IPPROTO_SCTP;
  if (type === ETH_TYPE_IP) {
    add('nw-proto', 'ip', 'nw-addr');
    if (hasPorts || proto === IPPROTO_ICMP) add('tp');
  } else if (type === ETH_TYPE_IPV6) {
    add('nw-proto', 'ip', 'ipv6');
    if (hasPorts || proto === IPPROTO_ICMPV6) add('tp');
    if (proto === IPPROTO_ICMPV6) {
      const icmpType = flow[L.W_TP] >>> 16;
      if (icmpType === ND_SOLICIT) add('nd-target', 'arp-sha');
      else if (icmpType === ND_ADVERT) add('nd-target', 'arp-tha');
    }
  } else if (type === ETH_TYPE_ARP || type === ETH_TYPE_RARP) {
    add('nw-proto', 'nw-addr', 'arp-sha', 'arp-tha');
  } else if (type === ETH_TYPE_MPLS || type === ETH_TYPE_MPLS_MCAST) add('mpls');
  return may;
}
