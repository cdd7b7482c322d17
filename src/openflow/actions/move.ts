import type { Subfield } from '../../flow/field.ts';
import { formatSubfield, parseSubfield, parseSubfieldPrefix } from '../../flow/subfield-text.ts';
import { OF10, OF13, OF14, OF15 } from '../version.ts';
import { checkSubfield, checkTarget } from './check-field.ts';
import { type ActionCodec, type DecodeContext, nxForm, onfForm, standardForm } from './codec.ts';
import { checkedSource, checkedTarget, pullHeader, putHeader } from './oxm.ts';
import { syntaxError } from './text.ts';
import type { ActionOf } from './types.ts';
import type { ActionBytes } from './wire.ts';

const OFPAT15_COPY_FIELD = 28;
const ONFACT13_COPY_FIELD = 3200;
const NXAST_REG_MOVE = 6;

/** `SRC->DST`, of a move action and of a learn action's `load`. */
export function parseMove(text: string): { src: Subfield; dst: Subfield } {
  const { subfield: src, rest } = parseSubfieldPrefix(text);
  if (!rest.startsWith('->')) syntaxError(`${text}: missing \`->' following source`);
  const dst = parseSubfield(rest.slice(2));
  if (src.bits !== dst.bits) {
    syntaxError(`${text}: source field is ${src.bits} bits wide but destination is ${dst.bits} bits wide`);
  }
  return { src, dst };
}

/** All three forms: three numbers at `at`, two headers at `headers`. */
function decode(b: ActionBytes, context: DecodeContext, at: number, headers: number): ActionOf<'reg_move'> {
  const bits = b.u16(at);
  const srcOfs = b.u16(at + 2);
  const dstOfs = b.u16(at + 4);
  const src = pullHeader(b, headers, context);
  const dst = pullHeader(b, src.next, context);
  b.expectZero(dst.next, b.length, 'NXBRC_MUST_BE_ZERO');
  return {
    type: 'reg_move',
    src: checkedSource(src.field, srcOfs, bits),
    dst: checkedTarget(dst.field, dstOfs, bits),
  };
}

/** `move:SRC[..]->DST[..]`. */
export const regMove: ActionCodec<ActionOf<'reg_move'>> = {
  type: 'reg_move',
  name: 'move',
  words: { move: (arg) => ({ type: 'reg_move', ...parseMove(arg) }) },
  format: ({ src, dst }) => `move:${formatSubfield(src)}->${formatSubfield(dst)}`,
  encode(action, out, { version }) {
    const { src, dst } = action;
    // Nicira's form is the one that every switch before 1.5 knows; the ONF's goes to who sent it.
    const onf = version === OF13 && action.wire === 'onf';
    const standard = version >= OF15;
    const start = standard
      ? out.standard(OFPAT15_COPY_FIELD)
      : onf
        ? out.onf(ONFACT13_COPY_FIELD)
        : out.nx(NXAST_REG_MOVE);
    if (onf) out.zeros(2);
    out.u16(dst.bits);
    out.u16(src.ofs);
    out.u16(dst.ofs);
    if (standard || onf) out.zeros(2);
    const names = standard || onf ? version : 0;
    putHeader(out, src.field, names);
    putHeader(out, dst.field, names);
    out.end(start);
  },
  wire: [
    standardForm(
      OFPAT15_COPY_FIELD,
      [OF15, OF15],
      16,
      (b, c) => ({ ...decode(b, c, 4, 12), wire: 'onf' }),
      true,
    ),
    onfForm(ONFACT13_COPY_FIELD, [OF13, OF14], 24, (b, c) => ({ ...decode(b, c, 12, 20), wire: 'onf' })),
    nxForm(NXAST_REG_MOVE, 16, (b, c) => decode(b, c, 10, 16), { variable: true, versions: [OF10, OF14] }),
  ],
  check(action, state) {
    checkSubfield(action.src, state);
    checkTarget(action.dst, state);
    return action;
  },
};
