import type { Field, Subfield } from '../../flow/field.ts';
import type { OfVersion } from '../version.ts';
import { packOfsBits, putEntry, shortHeader, wholeMask } from './oxm.ts';
import type { ActionWriter } from './wire.ts';

/** The two encodings in which many an action leaves in versions that have none of its own. */
export const OFPAT12_SET_FIELD = 25;
export const NXAST_REG_LOAD = 7;

/** OpenFlow 1.2's set-field: some bits of a field, which only 1.5 can say, or all. */
export function putSetField(
  out: ActionWriter,
  field: Field,
  version: OfVersion,
  value: bigint,
  mask: bigint = wholeMask(field),
): void {
  const start = out.standard(OFPAT12_SET_FIELD);
  putEntry(out, field, version, value, mask);
  out.end(start);
}

/** Nicira's load of up to 64 bits. */
export function putRegLoad(out: ActionWriter, dst: Subfield, value: bigint): void {
  const start = out.nx(NXAST_REG_LOAD);
  out.u16(packOfsBits(dst));
  out.u32(shortHeader(dst.field));
  out.u64(value);
  out.end(start);
}
