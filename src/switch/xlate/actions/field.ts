import type { Field, Subfield } from '../../../flow/field.ts';
import {
  getField,
  maskField,
  maskSubfield,
  readSubfield,
  setField,
  setFieldMasked,
  setTunMetadataPresent,
  writeSubfield,
} from '../../../flow/field-access.ts';
import { formatFieldText } from '../../../flow/field-text.ts';
import { W_METADATA, W_VLAN } from '../../../flow/layout.ts';
import { prerequisitesMet } from '../../../flow/prerequisites.ts';
import { formatSubfield } from '../../../flow/subfield-text.ts';
import type { ActionOf } from '../../../openflow/actions/types.ts';
import type { XlateContext } from '../context.ts';
import type { Outcome } from './translator.ts';

/** set_field and load. A field that the packet doesn't have stays as it is. */
export function translateSetField(ctx: XlateContext, action: ActionOf<'set_field'>): Outcome {
  const { field, value, mask } = action;
  if (prerequisitesMet(field, ctx.flow, ctx.wc)) {
    seeWritten(ctx, field);
    maskField(ctx.wc, field, mask);
    setFieldMasked(ctx.flow, field, value, mask);
  } else {
    ctx.report('warn', `unmet prerequisites for ${field.name}, set_field ignored`);
  }
  return 'next';
}

/** move:SRC->DST. Where the packet lacks one of the fields, nothing moves. */
export function translateRegMove(ctx: XlateContext, action: ActionOf<'reg_move'>): Outcome {
  const { src, dst } = action;
  if (prerequisitesMet(dst.field, ctx.flow, ctx.wc) && prerequisitesMet(src.field, ctx.flow, ctx.wc)) {
    maskSubfield(ctx.wc, src);
    maskSubfield(ctx.wc, dst);
    seeWritten(ctx, dst.field);
    writeSubfield(ctx.flow, dst, readSubfield(ctx.flow, src));
  }
  // As Open vSwitch does, also of a field that the packet doesn't have.
  reportSubfield(ctx, dst);
  return 'next';
}

/**
 * Writes a result into a field. The packet's own bits there count as looked at: a packet that has the
 * value already needs no `set`, one that hasn't does.
 */
export function loadSubfield(ctx: XlateContext, dst: Subfield, value: bigint): void {
  maskSubfield(ctx.wc, dst);
  seeWritten(ctx, dst.field);
  writeSubfield(ctx.flow, dst, value);
}

function seeWritten(ctx: XlateContext, field: Field): void {
  if (field.offset >> 5 === W_VLAN) ctx.seeTakenTag();
}

export function reportSubfield(ctx: XlateContext, sf: Subfield): void {
  ctx.report('detail', () => {
    const value = readSubfield(ctx.flow, sf);
    const whole = sf.ofs === 0 && sf.bits >= sf.field.bits;
    return `${formatSubfield(sf)} is now ${whole ? formatFieldText(sf.field, value) : hex(value)}`;
  });
}

/** As C's `%#x` has it: zero without a prefix. */
const hex = (value: bigint): string => (value === 0n ? '0' : `0x${value.toString(16)}`);

/** Notes a part of a field, and what makes it exist, as looked at. */
function seeField(ctx: XlateContext, subfield: Subfield): void {
  prerequisitesMet(subfield.field, ctx.flow, ctx.wc);
  maskSubfield(ctx.wc, subfield);
}

export function translateStackPush(ctx: XlateContext, action: ActionOf<'stack_push'>): Outcome {
  const { subfield } = action;
  seeField(ctx, subfield);
  ctx.stack.push({ value: readSubfield(ctx.flow, subfield), bits: subfield.bits });
  ctx.stackBytes += Math.ceil(subfield.bits / 8) + 1;
  return 'next';
}

export function translateStackPop(ctx: XlateContext, action: ActionOf<'stack_pop'>): Outcome {
  const top = ctx.stack.pop();
  if (top === undefined) {
    ctx.reportError('stack underflow');
    return 'next';
  }
  ctx.stackBytes -= Math.ceil(top.bits / 8) + 1;
  const { subfield } = action;
  seeField(ctx, subfield);
  seeWritten(ctx, subfield.field);
  writeSubfield(ctx.flow, subfield, top.value & ((1n << BigInt(subfield.bits)) - 1n));
  reportSubfield(ctx, subfield);
  return 'next';
}

/** delete_field: only tunnel options can go. */
export function translateDeleteField(ctx: XlateContext, action: ActionOf<'delete_field'>): Outcome {
  const { field } = action;
  if (getField(ctx.flow, field) !== 0n) setField(ctx.flow, field, 0n);
  setTunMetadataPresent(ctx.flow, field, false);
  ctx.report('detail', `delete ${field.name}`);
  return 'next';
}

export function translateWriteMetadata(ctx: XlateContext, action: ActionOf<'write_metadata'>): Outcome {
  const { metadata, mask } = action;
  for (const [word, shift] of [
    [W_METADATA, 32n],
    [W_METADATA + 1, 0n],
  ] as const) {
    const bits = Number((mask >> shift) & 0xffffffffn);
    const value = Number((metadata >> shift) & 0xffffffffn);
    ctx.flow[word] = ((ctx.flow[word] & ~bits) | (value & bits)) >>> 0;
  }
  return 'next';
}
