import type { Field } from '../../flow/field.ts';
import { F } from '../../flow/fields.ts';
import { ETH_TYPE_IP, ethType, isIp } from '../../flow/prerequisites.ts';
import { OF10, OF11, OF12, OF15, type OfVersion } from '../version.ts';
import { inconsistent } from './check-field.ts';
import { type ActionCodec, type CheckState, numberForm, putNumber } from './codec.ts';
import { putRegLoad, putSetField } from './put-field.ts';
import { formatIpv4, parseIpv4, parseU8, syntaxError } from './text.ts';
import type { ActionOf } from './types.ts';
import { type ActionWriter, refuse } from './wire.ts';

type AddressType = 'set_ipv4_src' | 'set_ipv4_dst';

const OFPAT10_SET_NW: Readonly<Record<AddressType, number>> = { set_ipv4_src: 6, set_ipv4_dst: 7 };
const OFPAT10_SET_NW_TOS = 8;
const OFPAT11_SET_NW_TOS = 7;
const OFPAT11_SET_NW_ECN = 8;
const OFPAT11_SET_NW_TTL = 23;
const DSCP_MASK = 0xfc;
const ECN_MASK = 3;

/** The actions that OpenFlow 1.0 and 1.1 have for it. */
export function putSetIpv4(out: ActionWriter, type: AddressType, ip: number, version: OfVersion): void {
  putNumber(out, 0, OFPAT10_SET_NW[type] - (version === OF10 ? 0 : 1), 4, ip);
}

export function putSetTos(out: ActionWriter, tos: number, version: OfVersion): void {
  putNumber(out, 0, version === OF10 ? OFPAT10_SET_NW_TOS : OFPAT11_SET_NW_TOS, 1, tos);
}

export function putSetEcn(out: ActionWriter, ecn: number, version: OfVersion): void {
  if (version === OF10) putRegLoad(out, { field: F.nwEcn, ofs: 0, bits: 2 }, BigInt(ecn));
  else if (version === OF11) putNumber(out, 0, OFPAT11_SET_NW_ECN, 1, ecn);
  else putSetField(out, F.nwEcn, version, BigInt(ecn));
}

function address(type: AddressType, word: string, field: Field): ActionCodec<ActionOf<AddressType>> {
  const make = (ip: number): ActionOf<AddressType> => ({ type, ip });
  return {
    type,
    name: word,
    words: { [word]: (arg) => make(parseIpv4(arg)) },
    format: ({ ip }) => `${word}:${formatIpv4(ip)}`,
    encode({ ip }, out, { version }) {
      if (version < OF12) putSetIpv4(out, type, ip, version);
      else putSetField(out, field, version, BigInt(ip));
    },
    wire: [
      numberForm(0, OFPAT10_SET_NW[type], [OF10, OF10], 4, make),
      numberForm(0, OFPAT10_SET_NW[type] - 1, [OF11, OF15], 4, make),
    ],
    check(action, state) {
      if (ethType(state.flow) !== ETH_TYPE_IP) inconsistent(state);
      return action;
    },
  };
}

/** `mod_nw_src:IP`. */
export const setIpv4Src = address('set_ipv4_src', 'mod_nw_src', F.ipSrc);
/** `mod_nw_dst:IP`. */
export const setIpv4Dst = address('set_ipv4_dst', 'mod_nw_dst', F.ipDst);

/** For actions on IPv4 and IPv6 packets. */
export function checkIp(state: CheckState): void {
  if (!isIp(state.flow)) inconsistent(state);
}

function decodeTos(dscp: number): ActionOf<'set_ip_dscp'> {
  if ((dscp & ~DSCP_MASK) !== 0) refuse('OFPBAC_BAD_ARGUMENT', `TOS ${dscp} has ECN bits`);
  return { type: 'set_ip_dscp', dscp };
}

/** `mod_nw_tos:N`: the DSCP, in its place in the TOS byte (a multiple of 4). */
export const setIpDscp: ActionCodec<ActionOf<'set_ip_dscp'>> = {
  type: 'set_ip_dscp',
  name: 'mod_nw_tos',
  words: {
    mod_nw_tos(arg) {
      const dscp = parseU8(arg, 'TOS');
      return (dscp & ~DSCP_MASK) !== 0
        ? syntaxError(`${arg}: not a valid TOS`)
        : { type: 'set_ip_dscp', dscp };
    },
  },
  format: ({ dscp }) => `mod_nw_tos:${dscp}`,
  encode({ dscp }, out, { version }) {
    if (version < OF12) putSetTos(out, dscp, version);
    else putSetField(out, F.ipDscp, version, BigInt(dscp >> 2));
  },
  wire: [
    numberForm(0, OFPAT10_SET_NW_TOS, [OF10, OF10], 1, decodeTos),
    numberForm(0, OFPAT11_SET_NW_TOS, [OF11, OF15], 1, decodeTos),
  ],
  check(action, state) {
    checkIp(state);
    return action;
  },
};

/** `mod_nw_ecn:N`. */
export const setIpEcn: ActionCodec<ActionOf<'set_ip_ecn'>> = {
  type: 'set_ip_ecn',
  name: 'mod_nw_ecn',
  words: {
    mod_nw_ecn(arg) {
      const ecn = parseU8(arg, 'ECN');
      return ecn > ECN_MASK ? syntaxError(`${arg}: not a valid ECN`) : { type: 'set_ip_ecn', ecn };
    },
  },
  format: ({ ecn }) => `mod_nw_ecn:${ecn}`,
  encode: ({ ecn }, out, { version }) => putSetEcn(out, ecn, version),
  wire: [
    numberForm(0, OFPAT11_SET_NW_ECN, [OF11, OF15], 1, (ecn) => {
      if (ecn > ECN_MASK) refuse('OFPBAC_BAD_ARGUMENT', `there is no ECN ${ecn}`);
      return { type: 'set_ip_ecn', ecn };
    }),
  ],
  check(action, state) {
    checkIp(state);
    return action;
  },
};

const makeTtl = (ttl: number): ActionOf<'set_ip_ttl'> => ({ type: 'set_ip_ttl', ttl });
const parseTtl = (arg: string): ActionOf<'set_ip_ttl'> => makeTtl(parseU8(arg, 'TTL'));

/** `mod_nw_ttl:N`. */
export const setIpTtl: ActionCodec<ActionOf<'set_ip_ttl'>> = {
  type: 'set_ip_ttl',
  name: 'mod_nw_ttl',
  words: { mod_nw_ttl: parseTtl, set_nw_ttl: parseTtl },
  format: ({ ttl }) => `mod_nw_ttl:${ttl}`,
  encode({ ttl }, out, { version }) {
    if (version === OF10) putRegLoad(out, { field: F.nwTtl, ofs: 0, bits: 8 }, BigInt(ttl));
    else putNumber(out, 0, OFPAT11_SET_NW_TTL, 1, ttl);
  },
  wire: [numberForm(0, OFPAT11_SET_NW_TTL, [OF11, OF15], 1, makeTtl)],
  check(action, state) {
    checkIp(state);
    return action;
  },
};
