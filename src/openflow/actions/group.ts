import { NX_VENDOR, OF10, OF11, OF15 } from '../version.ts';
import { type ActionCodec, numberForm, putNumber } from './codec.ts';
import { parseU32 } from './text.ts';
import type { ActionOf } from './types.ts';

const OFPAT_GROUP = 22;
const NXAST_GROUP = 40;
const make = (group: number): ActionOf<'group'> => ({ type: 'group', group });

export const group: ActionCodec<ActionOf<'group'>> = {
  type: 'group',
  name: 'group',
  words: { group: (arg) => make(parseU32(arg)) },
  format: (action) => `group:${action.group}`,
  encode(action, out, { version }) {
    if (version === OF10) putNumber(out, NX_VENDOR, NXAST_GROUP, 4, action.group);
    else putNumber(out, 0, OFPAT_GROUP, 4, action.group);
  },
  wire: [
    numberForm(NX_VENDOR, NXAST_GROUP, [OF10, OF10], 4, make),
    numberForm(0, OFPAT_GROUP, [OF11, OF15], 4, make),
  ],
};
