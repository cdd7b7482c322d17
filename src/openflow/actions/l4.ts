import type { Field } from '../../flow/field.ts';
import { F } from '../../flow/fields.ts';
import { FRAG_LATER, W_NW } from '../../flow/layout.ts';
import { IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP, isIp } from '../../flow/prerequisites.ts';
import { OF10, OF12, OF15 } from '../version.ts';
import { inconsistent } from './check-field.ts';
import { type ActionCodec, numberForm, putNumber } from './codec.ts';
import { putSetField } from './put-field.ts';
import { parseU16 } from './text.ts';
import type { ActionOf } from './types.ts';
import type { ActionWriter } from './wire.ts';

type PortType = 'set_l4_src_port' | 'set_l4_dst_port';

const OFPAT_SET_TP: Readonly<Record<PortType, number>> = { set_l4_src_port: 9, set_l4_dst_port: 10 };

/** The action that every version has, though deprecated since 1.2. */
export function putSetTp(out: ActionWriter, type: PortType, port: number): void {
  putNumber(out, 0, OFPAT_SET_TP[type], 2, port);
}

type FieldsByProtocol = Readonly<Record<number, Field>>;

function codec(
  type: PortType,
  word: string,
  what: string,
  fields: FieldsByProtocol,
): ActionCodec<ActionOf<PortType>> {
  const make = (port: number): ActionOf<PortType> => ({ type, port });
  return {
    type,
    name: word,
    words: { [word]: (arg) => make(parseU16(arg, what)) },
    format: ({ port }) => `${word}:${port}`,
    encode({ port, flowProto }, out, { version }) {
      const field = flowProto === undefined ? undefined : fields[flowProto];
      if (version >= OF12 && field !== undefined) putSetField(out, field, version, BigInt(port));
      else putSetTp(out, type, port);
    },
    wire: [numberForm(0, OFPAT_SET_TP[type], [OF10, OF15], 2, make)],
    check(action, state) {
      const nw = state.flow[W_NW];
      const flowProto = nw & 0xff;
      const later = ((nw >>> 24) & FRAG_LATER) !== 0;
      if (!isIp(state.flow) || later || fields[flowProto] === undefined) inconsistent(state);
      return { ...action, flowProto };
    },
  };
}

/** `mod_tp_src:PORT`: of TCP, UDP and SCTP packets. */
export const setL4Src = codec('set_l4_src_port', 'mod_tp_src', 'source port', {
  [IPPROTO_TCP]: F.tcpSrc,
  [IPPROTO_UDP]: F.udpSrc,
  [IPPROTO_SCTP]: F.sctpSrc,
});
/** `mod_tp_dst:PORT`. */
export const setL4Dst = codec('set_l4_dst_port', 'mod_tp_dst', 'destination port', {
  [IPPROTO_TCP]: F.tcpDst,
  [IPPROTO_UDP]: F.udpDst,
  [IPPROTO_SCTP]: F.sctpDst,
});
