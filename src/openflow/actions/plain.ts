import { W_ETH_TYPE, W_PACKET_TYPE } from '../../flow/layout.ts';
import { ETH_TYPE_NSH } from '../../flow/prerequisites.ts';
import { NX_VENDOR, OF10, OF13, OF15, type OfVersion } from '../version.ts';
import { inconsistent } from './check-field.ts';
import { type ActionCodec, type DecodeContext, numberForm, putNumber } from './codec.ts';
import { PT_NSH } from './packet-types.ts';
import type { ActionOf } from './types.ts';
import { refuse } from './wire.ts';

/** Nicira's actions that have no arguments. */
type PlainType = 'exit' | 'ct_clear' | 'dec_nsh_ttl' | 'debug_recirc' | 'debug_slow';

function codec(
  type: PlainType,
  subtype: number,
  since: OfVersion,
  admit: (context: DecodeContext) => void = () => {},
): ActionCodec<ActionOf<PlainType>> {
  const action: ActionOf<PlainType> = { type };
  return {
    type,
    name: type,
    words: { [type]: () => action },
    format: () => type,
    encode: (_action, out) => putNumber(out, NX_VENDOR, subtype, 0, 0),
    wire: [
      numberForm(NX_VENDOR, subtype, [since, OF15], 0, (_value, context) => {
        admit(context);
        return action;
      }),
    ],
  };
}

function admitDebug({ debug }: DecodeContext): void {
  if (!debug) refuse('OFPBAC_BAD_VENDOR_TYPE', 'debug actions are for switches in test mode');
}

/** `exit`: no more actions. */
export const exit = codec('exit', 17, OF10);
/** `ct_clear`: forgets what conntrack said of the packet. */
export const ctClear = codec('ct_clear', 43, OF10);
export const debugSlow = codec('debug_slow', 254, OF10, admitDebug);
export const debugRecirc = codec('debug_recirc', 255, OF10, admitDebug);

/** `dec_nsh_ttl`. */
export const decNshTtl: ActionCodec<ActionOf<PlainType>> = {
  ...codec('dec_nsh_ttl', 48, OF13),
  check(action, state) {
    const { flow } = state;
    if (flow[W_PACKET_TYPE] !== PT_NSH && flow[W_ETH_TYPE] >>> 16 !== ETH_TYPE_NSH) inconsistent(state);
    return action;
  },
};
