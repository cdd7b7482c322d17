import type { Field, OxmNumber, Subfield } from '../../flow/field.ts';
import { fieldByNumber, OXM_CLASS_EXPERIMENTER, oxmNumberFor } from '../../flow/fields.ts';
import { tunMetadataIndex } from '../../flow/tun-metadata.ts';
import type { OfErrorName } from '../errors.ts';
import type { DecodeContext } from './codec.ts';
import { type ActionBytes, type ActionWriter, refuse } from './wire.ts';

/**
 * OXM and NXM headers, values and subfields inside actions. (Matches have a codec of their own; actions
 * name the same troubles by other errors, and choose headers by other rules.)
 *
 * A header: class (16 bits), field (7), hasmask (1), length of what follows (8); class 0xffff is
 * followed by a 32-bit experimenter id, which `length` includes.
 */

/** No field's header claims more bytes. */
const LONGEST_VALUE = 127;

/** All ones over the bytes of a field's value: the mask of an action that sets the field whole. */
export function wholeMask(field: Field): bigint {
  return (1n << BigInt(8 * field.bytes)) - 1n;
}

export function bitMask(ofs: number, bits: number): bigint {
  return ((1n << BigInt(bits)) - 1n) << BigInt(ofs);
}

function headerWord(number: OxmNumber, hasMask: boolean, payload: number): number {
  const length = payload + (number.oxmClass === OXM_CLASS_EXPERIMENTER ? 4 : 0);
  return ((number.oxmClass << 16) | (number.field << 9) | (hasMask ? 0x100 : 0) | length) >>> 0;
}

function numberOf(field: Field, version: number): OxmNumber {
  const number = oxmNumberFor(field, version);
  if (number === null) refuse('OFPBAC_BAD_SET_TYPE', `${field.name} has no number in OpenFlow`);
  return number;
}

/** Writes the header of a field, as `version` names it; version 0: as Nicira's extensions do. */
export function putHeader(out: ActionWriter, field: Field, version: number): void {
  const number = numberOf(field, version);
  out.u32(headerWord(number, false, field.bytes));
  if (number.oxmClass === OXM_CLASS_EXPERIMENTER) out.u32(number.experimenter);
}

/** Bytes of a value of variable length without its leading zeros. */
function significantBytes(value: bigint): number {
  return value === 0n ? 0 : (value.toString(16).length + 1) >> 1;
}

/** Writes header, value and, unless it sets the field whole, mask. */
export function putEntry(
  out: ActionWriter,
  field: Field,
  version: number,
  value: bigint,
  mask: bigint,
): void {
  const number = numberOf(field, version);
  const masked = mask !== wholeMask(field);
  let bytes = field.bytes;
  if (field.variableLength) {
    bytes = Math.max(significantBytes(value), masked ? significantBytes(mask) : 0);
  }
  out.u32(headerWord(number, masked, masked ? 2 * bytes : bytes));
  if (number.oxmClass === OXM_CLASS_EXPERIMENTER) out.u32(number.experimenter);
  out.uint(value, bytes);
  if (masked) out.uint(mask, bytes);
}

/** Whether Nicira's older actions, whose fields have 32-bit headers, can name `field`. */
export function hasShortHeader(field: Field): boolean {
  const number = oxmNumberFor(field, 0);
  return number !== null && number.oxmClass !== OXM_CLASS_EXPERIMENTER;
}

/** The 32-bit header of a field in Nicira's older actions. */
export function shortHeader(field: Field): number {
  const number = oxmNumberFor(field, 0);
  if (number === null || number.oxmClass === OXM_CLASS_EXPERIMENTER) {
    refuse('OFPBAC_BAD_SET_TYPE', `this action cannot name the experimenter field ${field.name}`);
  }
  return headerWord(number, false, field.bytes);
}

/** The field that a 32-bit header names. */
export function fieldOfShortHeader(word: number, context: DecodeContext): Field {
  const hasMask = (word & 0x100) !== 0;
  const length = hasMask ? (word & 0xff) >>> 1 : word & 0xff;
  const oxmClass = word >>> 16;
  const known = oxmClass !== OXM_CLASS_EXPERIMENTER && length <= LONGEST_VALUE;
  const field = known ? fieldByNumber(oxmClass, (word >>> 9) & 0x7f) : null;
  if (field === null || (length !== field.bytes && !field.variableLength)) {
    refuse('OFPBAC_BAD_SET_TYPE', `no field has the header 0x${word.toString(16).padStart(8, '0')}`);
  }
  return mapped(field, context);
}

function mapped(field: Field, context: DecodeContext): Field {
  if (!field.variableLength || context.tunnelMetadata === null) return field;
  const own = context.tunnelMetadata.field(tunMetadataIndex(field));
  if (own === null) refuse('NXFMFC_INVALID_TLV_FIELD', `no Geneve option is mapped to ${field.name}`);
  return own;
}

export interface PulledHeader {
  readonly field: Field;
  readonly hasMask: boolean;
  /** Bytes that follow the header. */
  readonly payload: number;
  readonly next: number;
}

/**
 * Reads a header. `strict` is how set-field actions read theirs: what they name unknown is an error of
 * the action, and so is a length that is not the field's.
 */
function pull(b: ActionBytes, at: number, strict: boolean, context: DecodeContext): PulledHeader {
  if (b.length - at < 4) refuse('OFPBMC_BAD_LEN', `${b.length - at} bytes are too few for an OXM header`);
  const word = b.u32(at);
  const oxmClass = word >>> 16;
  const experimental = oxmClass === OXM_CLASS_EXPERIMENTER;
  if (experimental && b.length - at < 8) {
    refuse('OFPBMC_BAD_LEN', `${b.length - at} bytes are too few for an experimenter's OXM header`);
  }
  const length = word & 0xff;
  if (experimental && length < 4)
    refuse('OFPBMC_BAD_LEN', `OXM length ${length} leaves no room for the experimenter`);
  const hasMask = (word & 0x100) !== 0;
  const payload = experimental ? length - 4 : length;
  const valueBytes = hasMask ? payload >>> 1 : payload;
  const exactLength = valueBytes + (experimental ? 4 : 0);
  const experimenter = experimental ? b.u32(at + 4) : 0;
  const field =
    exactLength <= LONGEST_VALUE ? fieldByNumber(oxmClass, (word >>> 9) & 0x7f, experimenter) : null;
  if (field === null || (valueBytes !== field.bytes && !field.variableLength)) {
    const header = `0x${word.toString(16).padStart(8, '0')}`;
    if (!strict) refuse('OFPBMC_BAD_FIELD', `no field has the OXM header ${header}`);
    const error: OfErrorName =
      field !== null && exactLength > 0 ? 'OFPBAC_BAD_SET_LEN' : 'OFPBAC_BAD_SET_TYPE';
    refuse(error, `no field that can be set has the OXM header ${header}`);
  }
  return { field: mapped(field, context), hasMask, payload, next: at + (experimental ? 8 : 4) };
}

/** Reads the header of a field, without value or mask. */
export function pullHeader(
  b: ActionBytes,
  at: number,
  context: DecodeContext,
): { field: Field; next: number } {
  const header = pull(b, at, false, context);
  if (header.hasMask) refuse('OFPBMC_BAD_MASK', `the OXM header of ${header.field.name} has a mask`);
  return header;
}

export interface PulledEntry {
  readonly field: Field;
  readonly value: bigint;
  /** {@link wholeMask} where the entry has none. */
  readonly mask: bigint;
  readonly next: number;
}

/** Reads header, value and mask of a field to set. A mask where `mayMask` is false is `OFPBMC_BAD_MASK`. */
export function pullEntry(b: ActionBytes, at: number, mayMask: boolean, context: DecodeContext): PulledEntry {
  const { field, hasMask, payload, next } = pull(b, at, true, context);
  if (b.length - next < payload) {
    refuse('OFPBMC_BAD_LEN', `${field.name}: ${payload} bytes of value, but only ${b.length - next} follow`);
  }
  const width = hasMask ? payload >>> 1 : payload;
  const kept = Math.min(width, field.bytes);
  const value = b.uint(next, kept);
  if (!hasMask) return { field, value, mask: wholeMask(field), next: next + payload };
  for (let i = 0; i < width; i++) {
    if ((b.u8(next + i) & ~b.u8(next + width + i)) !== 0) {
      refuse('OFPBMC_BAD_WILDCARDS', `${field.name}: the value has ones where the mask has zeros`);
    }
  }
  if (!mayMask) refuse('OFPBMC_BAD_MASK', `${field.name}: this version's set-field has no masks`);
  return { field, value, mask: b.uint(next + width, kept), next: next + payload };
}

// --- Subfields ------------------------------------------------------------------------------------------

/** Offset and width of a subfield of up to 64 bits, in 16 bits. */
export function packOfsBits(sf: Subfield): number {
  return ((sf.ofs << 6) | ((sf.bits - 1) & 0x3f)) & 0xffff;
}

export function unpackOfs(word: number): number {
  return word >>> 6;
}

export function unpackBits(word: number): number {
  return (word & 0x3f) + 1;
}

/** A subfield to read: some bits, all of which the field has. */
export function checkedSource(field: Field, ofs: number, bits: number): Subfield {
  if (bits === 0 || ofs >= field.bits || ofs + bits > field.bits) {
    refuse(
      'OFPBAC_BAD_SET_LEN',
      `${field.name} has ${field.bits} bits: there is no [${ofs}..${ofs + bits - 1}]`,
    );
  }
  return { field, ofs, bits };
}

/** A subfield to write. */
export function checkedTarget(field: Field, ofs: number, bits: number): Subfield {
  const sf = checkedSource(field, ofs, bits);
  if (!field.writable) refuse('OFPBAC_BAD_SET_ARGUMENT', `${field.name} cannot be written`);
  return sf;
}
