import { type ActionCodec, nxForm } from './codec.ts';
import { hexBytes, parseHexBytes, syntaxError } from './text.ts';
import type { ActionOf } from './types.ts';

const NXAST_NOTE = 8;

/** `note:HEX`: bytes for whoever reads the flow. The wire rounds their number up to 6, 14, 22, ... */
export const note: ActionCodec<ActionOf<'note'>> = {
  type: 'note',
  name: 'note',
  words: {
    note(arg) {
      const data = parseHexBytes(arg);
      return data === null ? syntaxError("bad hex digit in `note' argument") : { type: 'note', data };
    },
  },
  format: ({ data }) => `note:${hexBytes(data, '.')}`,
  encode({ data }, out) {
    const start = out.nx(NXAST_NOTE);
    out.bytes(data);
    out.end(start);
  },
  wire: [nxForm(NXAST_NOTE, 16, (b) => ({ type: 'note', data: b.bytes(10, b.length) }), { variable: true })],
  size: ({ data }) => data.length,
};
