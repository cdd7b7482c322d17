import type { Field } from '../../flow/field.ts';
import { F } from '../../flow/fields.ts';
import { OF10, OF11, OF12, OF15, type OfVersion } from '../version.ts';
import { type ActionCodec, standardForm } from './codec.ts';
import { putSetField } from './put-field.ts';
import { formatMac, parseMac } from './text.ts';
import type { ActionOf } from './types.ts';
import type { ActionBytes, ActionWriter } from './wire.ts';

type EthType = 'set_eth_src' | 'set_eth_dst';

const OFPAT10_SET_DL: Readonly<Record<EthType, number>> = { set_eth_src: 4, set_eth_dst: 5 };

/** The actions that OpenFlow 1.0 and 1.1 have for it. */
export function putSetEth(out: ActionWriter, type: EthType, mac: bigint, version: OfVersion): void {
  const start = out.standard(OFPAT10_SET_DL[type] - (version === OF10 ? 0 : 1));
  out.uint(mac, 6);
  out.end(start);
}

function codec(type: EthType, word: string, field: Field): ActionCodec<ActionOf<EthType>> {
  const make = (mac: bigint): ActionOf<EthType> => ({ type, mac });
  const decode = (b: ActionBytes): ActionOf<EthType> => make(b.uint(4, 6));
  return {
    type,
    name: word,
    words: { [word]: (arg) => make(parseMac(arg)) },
    format: ({ mac }) => `${word}:${formatMac(mac)}`,
    encode({ mac }, out, { version }) {
      if (version < OF12) putSetEth(out, type, mac, version);
      else putSetField(out, field, version, mac);
    },
    wire: [
      standardForm(OFPAT10_SET_DL[type], [OF10, OF10], 16, decode),
      standardForm(OFPAT10_SET_DL[type] - 1, [OF11, OF15], 16, decode),
    ],
  };
}

/** `mod_dl_src:MAC`. */
export const setEthSrc = codec('set_eth_src', 'mod_dl_src', F.ethSrc);
/** `mod_dl_dst:MAC`. */
export const setEthDst = codec('set_eth_dst', 'mod_dl_dst', F.ethDst);
