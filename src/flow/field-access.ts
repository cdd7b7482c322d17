/**
 * Reading, writing and masking fields in flow keys and masks.
 *
 * Most fields are plain: a run of bits of the key. The others (`field.special`) are views with rules
 * of their own, the same for every user: a VLAN id that sets the CFI bit, the 16-bit in_port of
 * OpenFlow 1.0, a DSCP that shares its byte with ECN. A mapped tun_metadata field (tun-metadata.ts)
 * is a run of bits and a presence bit.
 *
 * Values are right-aligned: bit 0 is the field's least significant bit.
 */
import type { Field, Subfield } from './field.ts';
import { F } from './fields.ts';
import type { Flow } from './layout.ts';
import * as L from './layout.ts';

/** One word of a sparse list: `flow[word] = (flow[word] & ~mask) | value`. */
export interface WordWrite {
  readonly word: number;
  readonly value: number;
  readonly mask: number;
}

const VID_MASK = 0x0fff;
const PCP_SHIFT = 13;
const OF10_VLAN_NONE = 0xffff;
const ETH_TYPE_VLAN = 0x8100;

/** `bits` ones. */
export function ones(bits: number): bigint {
  return (1n << BigInt(bits)) - 1n;
}

function ones32(bits: number): number {
  return bits >= 32 ? 0xffffffff : ((1 << bits) - 1) >>> 0;
}

/** All ones in a field's OXM value: what an exact match on it has for a mask. */
export function fieldOnes(field: Field): bigint {
  return field === F.vlanVid ? 0x1fffn : ones(field.bits);
}

/** Reads `bits` (at most 32) bits that start `offset` bits into the key. */
export function readBits32(flow: Flow, offset: number, bits: number): number {
  const word = offset >>> 5;
  const end = (offset & 31) + bits;
  if (end <= 32) return (flow[word] >>> (32 - end)) & ones32(bits) & 0xffffffff;
  const low = end - 32;
  return (flow[word] << low) | (flow[word + 1] >>> (32 - low));
}

/** Writes `bits` (at most 32) bits that start `offset` bits into the key. */
export function writeBits32(flow: Flow, offset: number, bits: number, value: number): void {
  const word = offset >>> 5;
  const end = (offset & 31) + bits;
  if (end <= 32) {
    const shift = 32 - end;
    const mask = ones32(bits) << shift;
    flow[word] = (flow[word] & ~mask) | ((value << shift) & mask);
    return;
  }
  const low = end - 32;
  writeBits32(flow, offset, bits - low, value >>> low);
  writeBits32(flow, (word + 1) * 32, low, value);
}

/** Reads any number of bits of the key. */
export function readBits(flow: Flow, offset: number, bits: number): bigint {
  if (bits <= 32) return BigInt(readBits32(flow, offset, bits) >>> 0);
  let value = 0n;
  let at = offset;
  let left = bits;
  while (left > 0) {
    const n = Math.min(left, 32 - (at & 31));
    value = (value << BigInt(n)) | BigInt(readBits32(flow, at, n) >>> 0);
    at += n;
    left -= n;
  }
  return value;
}

/** Writes any number of bits of the key. */
export function writeBits(flow: Flow, offset: number, bits: number, value: bigint): void {
  let at = offset + bits;
  let left = bits;
  let rest = value;
  while (left > 0) {
    const n = Math.min(left, ((at - 1) & 31) + 1);
    at -= n;
    writeBits32(flow, at, n, Number(rest & 0xffffffffn));
    rest >>= BigInt(n);
    left -= n;
  }
}

function getTci(flow: Flow): number {
  return flow[L.W_VLAN] & 0xffff;
}

function setTci(flow: Flow, tci: number): void {
  flow[L.W_VLAN] = (flow[L.W_VLAN] & 0xffff0000) | (tci & 0xffff);
}

/** A tag that has just come into being, without a type, is an 802.1Q tag. */
function fixTpid(flow: Flow): void {
  const word = flow[L.W_VLAN];
  if ((word & 0xffff) !== 0 && word >>> 16 === 0) flow[L.W_VLAN] = (ETH_TYPE_VLAN << 16) | word;
}

/** A 16-bit OpenFlow 1.0 port number as a 32-bit one. */
export function portFrom16(port: number): number {
  return port >= 0xff00 ? (port | 0xffff0000) >>> 0 : port;
}

/** Id of tun_metadata0; the others follow. */
const F_TUN_METADATA0 = F.tunGtpuMsgtype.id + 1;

/** Reads a field of at most 32 bits. A mapped or unmapped tun_metadata field is no such field. */
export function getNumber(flow: Flow, field: Field): number {
  if (!field.special) return readBits32(flow, field.offset, field.bits) >>> 0;
  switch (field) {
    case F.inPort:
      return flow[L.W_IN_PORT] & 0xffff;
    case F.vlanVid:
      return getTci(flow) & (VID_MASK | L.VLAN_CFI);
    case F.ctState:
      return flow[L.W_CT_STATE] >>> 24;
    case F.nwTos:
      return (flow[L.W_NW] >>> 16) & 0xfc;
    case F.arpOp:
      return flow[L.W_NW] & 0xff;
    default:
      return field.offset < 0 ? 0 : readBits32(flow, field.offset, field.bits) >>> 0;
  }
}

/**
 * Writes a field of at most 32 bits into a key (not a mask: see {@link maskField}). Writing a VLAN
 * field brings a tag into being; dl_vlan 0xffff takes it away.
 */
export function setNumber(flow: Flow, field: Field, value: number): void {
  if (!field.special) {
    writeBits32(flow, field.offset, field.bits, value);
    return;
  }
  switch (field) {
    case F.inPort:
      flow[L.W_IN_PORT] = portFrom16(value & 0xffff);
      break;
    case F.vlanTci:
      setTci(flow, value);
      fixTpid(flow);
      break;
    case F.dlVlan:
      if ((value & 0xffff) === OF10_VLAN_NONE) setTci(flow, 0);
      else setTci(flow, (getTci(flow) & ~VID_MASK) | L.VLAN_CFI | (value & VID_MASK));
      fixTpid(flow);
      break;
    case F.vlanVid: {
      const mask = VID_MASK | L.VLAN_CFI;
      setTci(flow, (getTci(flow) & ~mask) | (value & mask));
      fixTpid(flow);
      break;
    }
    case F.dlVlanPcp:
    case F.vlanPcp:
      setTci(flow, (getTci(flow) & 0x1fff) | ((value & 7) << PCP_SHIFT) | L.VLAN_CFI);
      fixTpid(flow);
      break;
    case F.ctState:
      writeBits32(flow, L.W_CT_STATE * 32, 8, value);
      break;
    case F.nwTos:
      writeBits32(flow, L.W_NW * 32 + 8, 6, value >>> 2);
      break;
    case F.arpOp:
      writeBits32(flow, L.W_NW * 32 + 24, 8, value);
      break;
    default:
      setField(flow, field, BigInt(value));
  }
}

/** Reads a field of a key. An unmapped tun_metadata field reads as 0. */
export function getField(flow: Flow, field: Field): bigint {
  if (field.special && field.bits <= 32 && !field.variableLength) return BigInt(getNumber(flow, field));
  return field.offset < 0 ? 0n : readBits(flow, field.offset, field.bits);
}

/** Writes a field of a key, as {@link setNumber} does. Writing an unmapped tun_metadata field does nothing. */
export function setField(flow: Flow, field: Field, value: bigint): void {
  if (field.offset < 0) return;
  if (field.variableLength) {
    writeBits(flow, field.offset, field.bits, value);
    setTunMetadataPresent(flow, field, true);
  } else if (field.special) setNumber(flow, field, Number(value));
  else writeBits(flow, field.offset, field.bits, value);
}

/** Sets or clears the presence bit of a tun_metadata field, in a key or a mask. */
export function setTunMetadataPresent(flow: Flow, field: Field, present: boolean): void {
  const n = field.id - F_TUN_METADATA0;
  const word = L.W_TUN_METADATA_PRESENT + (n < 32 ? 1 : 0);
  if (present) flow[word] |= 1 << (n & 31);
  else flow[word] &= ~(1 << (n & 31));
}

/** Whether the presence bit of a tun_metadata field is set, in a key or a mask. */
export function tunMetadataPresent(flow: Flow, field: Field): boolean {
  const n = field.id - F_TUN_METADATA0;
  return ((flow[L.W_TUN_METADATA_PRESENT + (n < 32 ? 1 : 0)] >>> (n & 31)) & 1) !== 0;
}

/** Writes the bits of `mask` of a field of a key; bits of `value` outside it don't count. */
export function setFieldMasked(flow: Flow, field: Field, value: bigint, mask: bigint): void {
  setField(flow, field, (getField(flow, field) & ~mask) | (value & mask));
}

/** Marks bits of a field as mattering, in a mask: all its bits unless told which. */
export function maskField(mask: Flow, field: Field, bits: bigint = fieldOnes(field)): void {
  if (field.offset < 0) return;
  if (!field.special || field.variableLength) {
    orBits(mask, field.offset, field.bits, bits);
    if (field.variableLength) setTunMetadataPresent(mask, field, true);
    return;
  }
  const b = Number(bits & 0xffffffffn);
  switch (field) {
    case F.inPort:
      mask[L.W_IN_PORT] |= (b & 0xffff) === 0xffff ? 0xffffffff : b & 0xffff;
      break;
    case F.dlVlan:
      mask[L.W_VLAN] |= L.VLAN_CFI | (b & VID_MASK);
      break;
    case F.vlanVid:
      mask[L.W_VLAN] |= b & (VID_MASK | L.VLAN_CFI);
      break;
    case F.dlVlanPcp:
    case F.vlanPcp:
      mask[L.W_VLAN] |= L.VLAN_CFI | ((b & 7) << PCP_SHIFT);
      break;
    case F.ctState:
      mask[L.W_CT_STATE] |= b << 24;
      break;
    case F.nwTos:
      mask[L.W_NW] |= (b & 0xfc) << 16;
      break;
    case F.arpOp:
      mask[L.W_NW] |= b & 0xff;
      break;
    default:
      orBits(mask, field.offset, field.bits, bits);
  }
}

function orBits(mask: Flow, offset: number, bits: number, value: bigint): void {
  writeBits(mask, offset, bits, readBits(mask, offset, bits) | value);
}

/**
 * Reads a field of a mask: which bits of its value matter. It is {@link fieldOnes} for an exact match,
 * also where the key holds fewer bits than the value has (arp_op), except for ct_state (0xff).
 */
export function getMask(mask: Flow, field: Field): bigint {
  const value = getField(mask, field);
  if (field === F.arpOp && value === 0xffn) return 0xffffn;
  if (field === F.nwTos && value === 0xfcn) return 0xffn;
  return value;
}

/** Whether no bit of a field matters. For tun_metadata: whether not even its presence does. */
export function isFieldWild(mask: Flow, field: Field): boolean {
  if (field.variableLength) return !tunMetadataPresent(mask, field);
  if (field.bits <= 32) return getNumber(mask, field) === 0;
  return isZeroAround(mask, field) || getField(mask, field) === 0n;
}

/** Whether all words are 0 that a field has a part in. */
function isZeroAround(mask: Flow, field: Field): boolean {
  if (field.special) return false;
  const end = (field.offset + field.bits - 1) >>> 5;
  for (let word = field.offset >>> 5; word <= end; word++) if (mask[word] !== 0) return false;
  return true;
}

/** Whether every bit of a field matters. */
export function isFieldExact(mask: Flow, field: Field): boolean {
  return getMask(mask, field) === (field === F.ctState ? 0xffn : fieldOnes(field));
}

/** Whether a field of a key has another value than 0, or for tun_metadata: is present. */
export function isFieldSet(flow: Flow, field: Field): boolean {
  return field.variableLength ? tunMetadataPresent(flow, field) : getField(flow, field) !== 0n;
}

/**
 * Whether a value makes sense for a field *in a masked match*: no ones where the field has no bits,
 * an NSH TTL of at most 63, an NSH mdtype of 1 or 2.
 */
export function isValueValid(field: Field, value: bigint): boolean {
  switch (field) {
    case F.nwTos:
      return (value & 3n) === 0n && value <= 0xffn;
    case F.arpOp:
      return value <= 0xffn;
    case F.vlanVid:
      return value <= 0x1fffn;
    case F.ctState:
      return value <= 0xffn;
    case F.nshTtl:
      return value <= 63n;
    case F.nshMdtype:
      return value === 1n || value === 2n;
    case F.inPortOxm:
    case F.actsetOutput:
      return value < 0xff00n || value >= 0xffffff00n;
    default:
      return value <= ones(field.bits);
  }
}

/**
 * Whether a mask, `field.bytes` wide as OXM and texts have it, is one that a match on a field may
 * have: any for maskable fields, else all ones or nothing.
 */
export function isMaskValid(field: Field, mask: bigint): boolean {
  return field.maskable || mask === 0n || mask === ones(field.bytes * 8);
}

// --- Subfields ----------------------------------------------------------------------------------------

/** Where a subfield of a plain field starts in the key, in bits. */
function subfieldOffset(sf: Subfield): number {
  return sf.field.offset + sf.field.bits - sf.ofs - sf.bits;
}

/** Reads some bits of a field of a key. */
export function readSubfield(flow: Flow, sf: Subfield): bigint {
  if (!sf.field.special) return readBits(flow, subfieldOffset(sf), sf.bits);
  return (getField(flow, sf.field) >> BigInt(sf.ofs)) & ones(sf.bits);
}

/** Reads a subfield of at most 32 bits. */
export function readSubfield32(flow: Flow, sf: Subfield): number {
  if (!sf.field.special) return readBits32(flow, subfieldOffset(sf), sf.bits) >>> 0;
  return Number(readSubfield(flow, sf));
}

/** Writes some bits of a field of a key. */
export function writeSubfield(flow: Flow, sf: Subfield, value: bigint): void {
  if (!sf.field.special) writeBits(flow, subfieldOffset(sf), sf.bits, value);
  else setFieldMasked(flow, sf.field, value << BigInt(sf.ofs), ones(sf.bits) << BigInt(sf.ofs));
}

/** Marks a subfield's bits as mattering. */
export function maskSubfield(mask: Flow, sf: Subfield): void {
  maskField(mask, sf.field, ones(sf.bits) << BigInt(sf.ofs));
}

/** The whole of a field. */
export function wholeField(field: Field): Subfield {
  return { field, ofs: 0, bits: field.bits };
}

// --- Compiled access ------------------------------------------------------------------------------------

/** The words that a masked write of a plain field touches. Empty if `mask` is 0. */
export function wordWrites(field: Field, value: bigint, mask: bigint): WordWrite[] {
  const writes: WordWrite[] = [];
  let at = field.offset + field.bits;
  let v = value & mask;
  let m = mask & ones(field.bits);
  let left = field.bits;
  while (left > 0) {
    const n = Math.min(left, ((at - 1) & 31) + 1);
    at -= n;
    const shift = 32 - (at & 31) - n;
    const wordMask = (Number(m & ones(n)) << shift) >>> 0;
    if (wordMask !== 0) {
      writes.unshift({ word: at >>> 5, value: (Number(v & ones(n)) << shift) >>> 0, mask: wordMask });
    }
    v >>= BigInt(n);
    m >>= BigInt(n);
    left -= n;
  }
  return writes;
}

/**
 * A function that does `setFieldMasked(flow, field, value, mask)`, with everything but the flow
 * worked out in advance. For actions that run on each translated packet.
 */
export function compileWrite(field: Field, value: bigint, mask: bigint): (flow: Flow) => void {
  if (field.special) {
    if (field.bits > 32) return (flow) => setFieldMasked(flow, field, value, mask);
    const m = Number(mask & 0xffffffffn);
    const v = Number(value & mask & 0xffffffffn);
    return (flow) => setNumber(flow, field, (getNumber(flow, field) & ~m) | v);
  }
  const writes = wordWrites(field, value, mask);
  if (writes.length === 1) {
    const { word, value: v, mask: m } = writes[0];
    if (m === 0xffffffff) {
      return (flow) => {
        flow[word] = v;
      };
    }
    const keep = ~m;
    return (flow) => {
      flow[word] = (flow[word] & keep) | v;
    };
  }
  return (flow) => {
    for (const w of writes) flow[w.word] = (flow[w.word] & ~w.mask) | w.value;
  };
}

/** A function that does `maskField(mask, field, bits)`, worked out in advance. */
export function compileMask(field: Field, bits: bigint = fieldOnes(field)): (mask: Flow) => void {
  if (field.special) return (mask) => maskField(mask, field, bits);
  const writes = wordWrites(field, bits, bits);
  if (writes.length === 1) {
    const { word, mask: m } = writes[0];
    return (mask) => {
      mask[word] |= m;
    };
  }
  return (mask) => {
    for (const w of writes) mask[w.word] |= w.mask;
  };
}

/** A function that copies one subfield into another of the same width within a key. */
export function compileMove(src: Subfield, dst: Subfield): (flow: Flow) => void {
  if (src.field.special || dst.field.special || src.bits > 32) {
    return (flow) => writeSubfield(flow, dst, readSubfield(flow, src));
  }
  const from = subfieldOffset(src);
  const to = subfieldOffset(dst);
  const bits = src.bits;
  if (bits === 32 && (from & 31) === 0 && (to & 31) === 0) {
    const a = from >>> 5;
    const b = to >>> 5;
    return (flow) => {
      flow[b] = flow[a];
    };
  }
  return (flow) => writeBits32(flow, to, bits, readBits32(flow, from, bits));
}
