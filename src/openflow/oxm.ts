/**
 * OXM and NXM entries (OpenFlow 1.2 and later, section "Flow Match Fields"; Nicira's extension before
 * it): a 32-bit header of class, field, mask flag and length, an experimenter id where the class is
 * 0xffff, a value, and, if flagged, a mask of the same length.
 */
import type { Field, OxmNumber } from '../flow/field.ts';
import { fieldByNumber, oxmNumberFor } from '../flow/fields.ts';
import type { Reader, Writer } from './bytes.ts';
import { OfError } from './errors.ts';

/** Class whose headers are followed by an experimenter id. */
const CLASS_EXPERIMENTER = 0xffff;

/** Version for {@link oxmNumberFor} that prefers NXM numbers. */
export const NXM = 0;

export interface OxmHeader {
  readonly oxmClass: number;
  readonly field: number;
  readonly hasMask: boolean;
  /** Bytes that follow the header and the experimenter id: value and, if flagged, mask. */
  readonly length: number;
  /** 0 unless the class is 0xffff. */
  readonly experimenter: number;
}

/** Reads a header. Throws OFPBMC_BAD_LEN where it is cut short or its length cannot be. */
export function readOxmHeader(r: Reader): OxmHeader {
  if (r.left < 4) throw new OfError('OFPBMC_BAD_LEN', `OXM header cut short: ${r.left} bytes`);
  const oxmClass = r.u16();
  const low = r.u16();
  let length = low & 0xff;
  let experimenter = 0;
  if (oxmClass === CLASS_EXPERIMENTER) {
    if (r.left < 4) throw new OfError('OFPBMC_BAD_LEN', `experimenter OXM header cut short: ${r.left} bytes`);
    if (length < 4) throw new OfError('OFPBMC_BAD_LEN', `experimenter OXM of length ${length}, at least 4`);
    experimenter = r.u32();
    length -= 4;
  }
  return { oxmClass, field: low >>> 9, hasMask: (low & 0x100) !== 0, length, experimenter };
}

/** Bytes of the value alone. */
export function oxmValueLength(header: OxmHeader): number {
  return header.hasMask ? header.length >>> 1 : header.length;
}

/** The field that a header stands for, if we know one of that number and length. */
export function oxmField(header: OxmHeader): Field | null {
  const field = fieldByNumber(header.oxmClass, header.field, header.experimenter);
  if (field === null) return null;
  return field.variableLength || oxmValueLength(header) === field.bytes ? field : null;
}

export interface OxmEntry {
  readonly header: OxmHeader;
  /** null: not known. */
  readonly field: Field | null;
  readonly value: bigint;
  /** null: none, so exact. */
  readonly mask: bigint | null;
}

/**
 * Reads an entry. Throws OFPBMC_BAD_LEN where it is cut short, OFPBMC_BAD_WILDCARDS where the value has
 * ones that the mask has not. Values of fields that are not known are read as they stand.
 */
export function readOxmEntry(r: Reader): OxmEntry {
  const header = readOxmHeader(r);
  if (header.length > r.left) {
    throw new OfError(
      'OFPBMC_BAD_LEN',
      `${oxmText(header)} calls for ${header.length} bytes, only ${r.left} follow`,
    );
  }
  const width = oxmValueLength(header);
  const value = r.uint(width);
  let mask: bigint | null = null;
  if (header.hasMask) {
    mask = r.uint(width);
    r.skip(header.length - 2 * width);
    if ((value & ~mask) !== 0n) {
      throw new OfError('OFPBMC_BAD_WILDCARDS', `${oxmText(header)} has ones outside its mask`);
    }
  }
  return { header, field: oxmField(header), value, mask };
}

/** `class:field:hasmask:length` of a header that has no better name. */
export function oxmText(h: OxmHeader): string {
  const experimenter = h.experimenter === 0 ? '' : ` of experimenter 0x${h.experimenter.toString(16)}`;
  return `OXM 0x${h.oxmClass.toString(16)}:${h.field}:${h.hasMask ? 1 : 0}:${h.length}${experimenter}`;
}

/** Writes the header of number `n` for a value of `width` bytes, followed by a mask if `hasMask`. */
export function writeOxmHeader(w: Writer, n: OxmNumber, width: number, hasMask: boolean): void {
  const experimenter = n.oxmClass === CLASS_EXPERIMENTER;
  const length = (hasMask ? 2 * width : width) + (experimenter ? 4 : 0);
  w.u16(n.oxmClass);
  w.u16((n.field << 9) | (hasMask ? 0x100 : 0) | length);
  if (experimenter) w.u32(n.experimenter);
}

/** The number that `version` ({@link NXM}: prefer Nicira's) gives a field. Throws OFPBMC_BAD_FIELD if none. */
export function fieldNumber(field: Field, version: number): OxmNumber {
  const n = oxmNumberFor(field, version);
  if (n === null) throw new OfError('OFPBMC_BAD_FIELD', `field ${field.name} has no OXM number`);
  return n;
}

/** {@link writeOxmEntry} for a field of at most 32 bits. */
export function writeOxmNumber(
  w: Writer,
  field: Field,
  version: number,
  value: number,
  mask: number | null,
): void {
  const width = field.bytes;
  writeOxmHeader(w, fieldNumber(field, version), width, mask !== null);
  w.number(value, width);
  if (mask !== null) w.number(mask, width);
}

/** Writes an entry; `mask` null: exact. */
export function writeOxmEntry(
  w: Writer,
  field: Field,
  version: number,
  value: bigint,
  mask: bigint | null,
  width: number = field.bytes,
): void {
  writeOxmHeader(w, fieldNumber(field, version), width, mask !== null);
  w.uint(value, width);
  if (mask !== null) w.uint(mask, width);
}
