import { NX_VENDOR, OF10, OF11, OF15 } from '../version.ts';
import { type ActionCodec, numberForm, nxForm, putNumber } from './codec.ts';
import { checkIp } from './ip.ts';
import { looseDecimal, syntaxError } from './text.ts';
import type { ActionOf } from './types.ts';
import { refuse, roundUp8 } from './wire.ts';

const OFPAT11_DEC_NW_TTL = 24;
const NXAST_DEC_TTL = 18;
const NXAST_DEC_TTL_CNT_IDS = 21;

const PLAIN: ActionOf<'dec_ttl'> = { type: 'dec_ttl', controllerIds: [0], explicitIds: false };

/** `dec_ttl`, `dec_ttl(ID,...)`: a packet whose TTL is spent goes to the controllers with these ids. */
export const decTtl: ActionCodec<ActionOf<'dec_ttl'>> = {
  type: 'dec_ttl',
  name: 'dec_ttl',
  words: {
    dec_ttl(arg) {
      if (arg === '') return PLAIN;
      const controllerIds = arg
        .split(/[, ]+/)
        .filter((id) => id !== '')
        .map((id) => looseDecimal(id, 16));
      if (controllerIds.length === 0) syntaxError('dec_ttl_cnt_ids: expected at least one controller id.');
      return { type: 'dec_ttl', controllerIds, explicitIds: true };
    },
  },
  format: ({ controllerIds, explicitIds }) =>
    explicitIds ? `dec_ttl(${controllerIds.join(',')})` : 'dec_ttl',
  encode({ controllerIds, explicitIds }, out, { version }) {
    if (!explicitIds && controllerIds.length === 1 && controllerIds[0] === 0) {
      if (version === OF10) putNumber(out, NX_VENDOR, NXAST_DEC_TTL, 0, 0);
      else putNumber(out, 0, OFPAT11_DEC_NW_TTL, 0, 0);
      return;
    }
    const start = out.nx(NXAST_DEC_TTL_CNT_IDS);
    out.u16(controllerIds.length);
    out.zeros(4);
    for (const id of controllerIds) out.u16(id);
    out.end(start);
  },
  wire: [
    numberForm(NX_VENDOR, NXAST_DEC_TTL, [OF10, OF10], 0, () => PLAIN),
    numberForm(0, OFPAT11_DEC_NW_TTL, [OF11, OF15], 0, () => PLAIN),
    nxForm(
      NXAST_DEC_TTL_CNT_IDS,
      16,
      (b) => {
        b.expectZero(12, 16, 'NXBRC_MUST_BE_ZERO');
        const n = b.u16(10);
        if (b.length - 16 < 2 * n)
          refuse('OFPBAC_BAD_LEN', `${n} controller ids do not fit ${b.length - 16} bytes`);
        const controllerIds = Array.from({ length: n }, (_, i) => b.u16(16 + 2 * i));
        return { type: 'dec_ttl', controllerIds, explicitIds: true };
      },
      { variable: true },
    ),
  ],
  check(action, state) {
    checkIp(state);
    return action;
  },
  size: ({ controllerIds }) => roundUp8(2 * controllerIds.length),
};
