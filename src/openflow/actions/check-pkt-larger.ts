import { formatSubfield, parseSubfield } from '../../flow/subfield-text.ts';
import { type ActionCodec, nxForm } from './codec.ts';
import { checkedTarget, pullHeader, putHeader } from './oxm.ts';
import { parseU16, splitArrow, syntaxError } from './text.ts';
import type { ActionOf } from './types.ts';

const NXAST_CHECK_PKT_LARGER = 49;

/** `check_pkt_larger(N)->FIELD[BIT]`: whether the packet is larger than N bytes. */
export const checkPktLarger: ActionCodec<ActionOf<'check_pkt_larger'>> = {
  type: 'check_pkt_larger',
  name: 'check_pkt_larger',
  words: {
    check_pkt_larger(arg) {
      const { before, after } = splitArrow(arg);
      const dst = parseSubfield(after);
      if (dst.bits !== 1) syntaxError('Only 1-bit destination field is allowed');
      return { type: 'check_pkt_larger', dst, length: parseU16(before.replace(/\)$/, ''), '(null)') };
    },
  },
  format: ({ dst, length }) => `check_pkt_larger(${length})->${formatSubfield(dst)}`,
  encode({ dst, length }, out) {
    const start = out.nx(NXAST_CHECK_PKT_LARGER);
    out.u16(length);
    out.u16(dst.ofs);
    putHeader(out, dst.field, 0);
    out.end(start, 24);
  },
  wire: [
    nxForm(
      NXAST_CHECK_PKT_LARGER,
      24,
      (b, context) => {
        const { field, next } = pullHeader(b, 14, context);
        b.expectZero(next, b.length, 'NXBRC_MUST_BE_ZERO');
        return { type: 'check_pkt_larger', dst: checkedTarget(field, b.u16(12), 1), length: b.u16(10) };
      },
      { variable: true },
    ),
  ],
};
