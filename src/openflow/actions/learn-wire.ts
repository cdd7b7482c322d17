import type { Subfield } from '../../flow/field.ts';
import { ones } from '../../flow/field-access.ts';
import { type DecodeContext, nxForm, type WireForm } from './codec.ts';
import { fieldOfShortHeader, pullHeader, putHeader, shortHeader } from './oxm.ts';
import type { LearnAction, LearnSpec } from './types.ts';
import { type ActionBytes, type ActionWriter, refuse } from './wire.ts';

/**
 * The learn action's encoding. After its header stands a row of specs, each a 16-bit header, a source
 * and a destination, up to a header of 0 or the end:
 *
 *     bit 13      source: 0 a field, 1 a constant
 *     bits 12-11  destination: 0 match, 1 load, 2 output (which has a field for its source, and no more)
 *     bits 10-0   width in bits, of which 10 count
 *
 * A field is a 32-bit NXM header and a 16-bit offset; a constant as many 16-bit words as its width takes.
 */

const NXAST_LEARN = 16;
const NXAST_LEARN2 = 45;

export const LEARN_F_SEND_FLOW_REM = 1 << 0;
export const LEARN_F_DELETE_LEARNED = 1 << 1;
export const LEARN_F_WRITE_RESULT = 1 << 2;

const SRC_CONSTANT = 1 << 13;
const DST_SHIFT = 11;
const DST_MASK = 3;
const DST_MATCH = 0;
const DST_LOAD = 1;
const DST_OUTPUT = 2;
const BITS_MASK = 0x3ff;
const FIELD_LENGTH = 6;
const LEARN_HEADER = 32;
const LEARN2_HEADER = 40;

/** Bytes of a constant on the wire. */
function constantLength(bits: number): number {
  return 2 * Math.ceil(bits / 16);
}

/** Bits of a constant that count: whole bytes of them. */
function constantBits(bits: number): number {
  return 8 * Math.ceil(bits / 8);
}

function decodeSpecs(b: ActionBytes, from: number, context: DecodeContext): LearnSpec[] {
  const specs: LearnSpec[] = [];
  let at = from;
  while (at + 2 <= b.length) {
    const header = b.u16(at);
    at += 2;
    if (header === 0) break;
    const bits = header & BITS_MASK;
    const isConstant = (header & SRC_CONSTANT) !== 0;
    const kind = (header >> DST_SHIFT) & DST_MASK;
    if (kind > DST_OUTPUT || (kind === DST_OUTPUT && isConstant)) {
      refuse(
        'OFPBAC_BAD_ARGUMENT',
        `learn: spec 0x${header.toString(16)} has an unknown source or destination`,
      );
    }
    const sourceLength = isConstant ? constantLength(bits) : FIELD_LENGTH;
    const length = sourceLength + (kind === DST_OUTPUT ? 0 : FIELD_LENGTH);
    if (b.length - at < length) refuse('OFPBAC_BAD_LEN', `learn: a spec of ${length} bytes is cut off`);
    const subfield = (position: number): Subfield => ({
      field: fieldOfShortHeader(b.u32(position), context),
      ofs: b.u16(position + 4),
      bits,
    });
    if (kind === DST_OUTPUT) {
      specs.push({ kind: 'output', src: subfield(at) });
    } else {
      const src = isConstant ? b.uint(at, sourceLength) & ones(constantBits(bits)) : subfield(at);
      specs.push({ kind: kind === DST_MATCH ? 'match' : 'load', src, dst: subfield(at + sourceLength) });
    }
    at += length;
  }
  b.expectZero(at, b.length, 'OFPBAC_BAD_ARGUMENT');
  return specs;
}

function decode(b: ActionBytes, second: boolean, context: DecodeContext): LearnAction {
  if (second && b.u16(38) !== 0) refuse('NXBAC_MUST_BE_ZERO', 'learn: padding is not zero');
  b.expectZero(27, 28, 'OFPBAC_BAD_ARGUMENT');
  const table = b.u8(26);
  if (table === 255) refuse('OFPBAC_BAD_ARGUMENT', 'learn: there is no table 255');
  const flags = b.u16(24);
  const known = LEARN_F_SEND_FLOW_REM | LEARN_F_DELETE_LEARNED | (second ? LEARN_F_WRITE_RESULT : 0);
  if ((flags & ~known) !== 0) refuse('OFPBAC_BAD_ARGUMENT', `learn: unknown flags 0x${flags.toString(16)}`);
  let at = second ? LEARN2_HEADER : LEARN_HEADER;
  let resultDst: Subfield | null = null;
  if ((flags & LEARN_F_WRITE_RESULT) !== 0) {
    const { field, next } = pullHeader(b, at, context);
    if (!field.writable) refuse('OFPBAC_BAD_SET_ARGUMENT', `${field.name} cannot be written`);
    resultDst = { field, ofs: b.u16(36), bits: 1 };
    at = next;
  } else if (second && b.u16(36) !== 0) {
    refuse('OFPBAC_BAD_ARGUMENT', 'learn: an offset, but no field, for the result');
  }
  const action: LearnAction = {
    type: 'learn',
    idleTimeout: b.u16(10),
    hardTimeout: b.u16(12),
    priority: b.u16(14),
    cookie: b.u64(16),
    table,
    flags,
    finIdleTimeout: b.u16(28),
    finHardTimeout: b.u16(30),
    limit: second ? b.u32(32) : 0,
    resultDst,
    specs: decodeSpecs(b, at, context),
  };
  return second ? { ...action, wire: 2 } : action;
}

function putSubfield(out: ActionWriter, { field, ofs }: Subfield): void {
  out.u32(shortHeader(field));
  out.u16(ofs);
}

function putSpec(out: ActionWriter, spec: LearnSpec): void {
  const isConstant = typeof spec.src === 'bigint';
  const bits = spec.kind === 'output' ? spec.src.bits : spec.dst.bits;
  const kind = spec.kind === 'match' ? DST_MATCH : spec.kind === 'load' ? DST_LOAD : DST_OUTPUT;
  out.u16((isConstant ? SRC_CONSTANT : 0) | (kind << DST_SHIFT) | bits);
  if (typeof spec.src === 'bigint') out.uint(spec.src & ones(constantBits(bits)), constantLength(bits));
  else putSubfield(out, spec.src);
  if (spec.kind !== 'output') putSubfield(out, spec.dst);
}

export function encodeLearn(a: LearnAction, out: ActionWriter): void {
  const second = a.wire === 2 || a.limit !== 0 || a.resultDst !== null;
  const start = out.nx(second ? NXAST_LEARN2 : NXAST_LEARN);
  out.u16(a.idleTimeout);
  out.u16(a.hardTimeout);
  out.u16(a.priority);
  out.u64(a.cookie);
  out.u16(a.flags);
  out.u8(a.table);
  out.zeros(1);
  out.u16(a.finIdleTimeout);
  out.u16(a.finHardTimeout);
  if (second) {
    out.u32(a.limit);
    out.u16(a.resultDst?.ofs ?? 0);
    out.zeros(2);
    if (a.resultDst !== null) putHeader(out, a.resultDst.field, 0);
  }
  for (const spec of a.specs) putSpec(out, spec);
  out.end(start);
}

export const learnForms: readonly WireForm[] = [
  nxForm(NXAST_LEARN, LEARN_HEADER, (b, context) => decode(b, false, context), { variable: true }),
  nxForm(NXAST_LEARN2, LEARN2_HEADER, (b, context) => decode(b, true, context), { variable: true }),
];
