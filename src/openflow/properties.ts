/**
 * Properties (OpenFlow 1.3 and later, section "Property Structures"; also Nicira's messages): type,
 * length, payload, zeros up to a multiple of 8. Type 0xffff is an experimenter's, whose id and own
 * type follow.
 */
import { Reader, roundUp, type Writer } from './bytes.ts';
import { OfError } from './errors.ts';

const EXPERIMENTER = 0xffff;

export interface Property {
  readonly type: number;
  /** 0: a standard property. */
  readonly experimenter: number;
  readonly expType: number;
  /** Reads the payload: what follows the header, without padding. */
  readonly payload: Reader;
}

/**
 * Reads properties up to the end of `r`. `minExperimenter` is the first type that is an experimenter's.
 * Throws OFPBPC_BAD_LEN or OFPBPC_BAD_EXPERIMENTER.
 */
export function* readProperties(
  r: Reader,
  minExperimenter = EXPERIMENTER,
  alignment = 8,
): Generator<Property> {
  while (r.left > 0) yield readProperty(r, minExperimenter, alignment);
}

function readProperty(r: Reader, minExperimenter: number, alignment: number): Property {
  const start = r.pos;
  if (r.left < 4) throw new OfError('OFPBPC_BAD_LEN', `property header cut short: ${r.left} bytes`);
  const type = r.u16();
  const length = r.u16();
  const padded = roundUp(length, alignment);
  if (length < 4 || padded - 4 > r.left) {
    throw new OfError('OFPBPC_BAD_LEN', `property ${type} of ${length} bytes, ${r.left + 4} are there`);
  }
  let experimenter = 0;
  let expType = 0;
  let header = 4;
  if (type >= minExperimenter) {
    if (length < 12)
      throw new OfError('OFPBPC_BAD_LEN', `experimenter property of ${length} bytes, at least 12`);
    experimenter = r.u32();
    expType = r.u32();
    header = 12;
    if (experimenter === 0) throw new OfError('OFPBPC_BAD_EXPERIMENTER', 'property of experimenter 0');
  }
  const payload = new Reader(r.bytes, 'OFPBPC_BAD_LEN', start + header, start + length);
  r.pos = start + padded;
  return { type, experimenter, expType, payload };
}

/** The error for a property that is not known: one error for standard types, two for experimenters'. */
export function unknownProperty(property: Property, where: string): OfError {
  if (property.experimenter === 0) {
    return new OfError('OFPBPC_BAD_TYPE', `${where}: unknown property ${property.type}`);
  }
  return new OfError(
    'OFPBPC_BAD_EXP_TYPE',
    `${where}: unknown property ${property.expType} of experimenter 0x${property.experimenter.toString(16)}`,
  );
}

/** Skips the zeros between the header and a payload that wants to stand at a multiple of 8. */
export function nestedPayload({ payload }: Property): Reader {
  payload.skip(4);
  return payload;
}

/** A 64-bit payload. */
export function propertyU64(property: Property): bigint {
  const r = nestedPayload(property);
  if (r.left !== 8) throw new OfError('OFPBPC_BAD_LEN', `property ${property.type} is not a 64-bit number`);
  return r.u64();
}

/** A 32-bit payload. */
export function propertyU32({ type, payload }: Property): number {
  if (payload.left !== 4) throw new OfError('OFPBPC_BAD_LEN', `property ${type} is not a 32-bit number`);
  return payload.u32();
}

/** Writes a property whose payload `body` writes; `nested`: 4 zeros first, so that it starts at a multiple of 8. */
export function writeProperty(w: Writer, type: number, body: () => void, nested = false): void {
  const start = w.length;
  w.u16(type);
  w.u16(0);
  if (nested) w.zeros(4);
  body();
  w.setU16(start + 2, w.length - start);
  w.pad(8, start);
}

/** Writes a 16-bit number, whose property OpenFlow pads to 8 bytes and counts the padding in. */
export function writeU16Property(w: Writer, type: number, value: number): void {
  writeProperty(w, type, () => {
    w.u16(value);
    w.u16(0);
  });
}

/** Writes an experimenter's property. */
export function writeExperimenterProperty(
  w: Writer,
  experimenter: number,
  expType: number,
  body: () => void,
  type = EXPERIMENTER,
): void {
  writeProperty(w, type, () => {
    w.u32(experimenter);
    w.u32(expType);
    body();
  });
}
