import type { ActionCodec } from './codec.ts';
import { formatTable, syntaxError } from './text.ts';
import type { ActionOf } from './types.ts';
import { refuse } from './wire.ts';

/** Never in a flow: a paused pipeline's way back out of a resubmit, shown in traces. */
export const unrollXlate: ActionCodec<ActionOf<'unroll_xlate'>> = {
  type: 'unroll_xlate',
  name: 'unroll_xlate',
  words: {
    unroll_xlate: () => syntaxError("UNROLL is an internal action that shouldn't be used via OpenFlow"),
  },
  format: ({ table, cookie }, { tables }) =>
    `unroll_xlate(table=${formatTable(table, tables)}, cookie=${cookie})`,
  encode: () => refuse('OFPBAC_BAD_TYPE', 'unroll_xlate has no place in OpenFlow'),
  wire: [],
  check: () => refuse('OFPBAC_BAD_TYPE', 'unroll_xlate has no place in OpenFlow'),
};
