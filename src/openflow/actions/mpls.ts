import { F } from '../../flow/fields.ts';
import { PT_ETH, W_ETH_TYPE, W_NW, W_PACKET_TYPE } from '../../flow/layout.ts';
import { isMpls } from '../../flow/prerequisites.ts';
import { NX_VENDOR, OF10, OF11, OF12, OF15, type OfVersion } from '../version.ts';
import { inconsistent } from './check-field.ts';
import {
  type ActionCodec,
  type CheckState,
  type DecodeContext,
  numberForm,
  putNumber,
  type WireForm,
} from './codec.ts';
import { putSetField } from './put-field.ts';
import { parseU8, parseU16, parseU32, syntaxError } from './text.ts';
import type { Action, ActionOf } from './types.ts';
import { type ActionWriter, refuse } from './wire.ts';

/** Each action's number in Nicira's extension of OpenFlow 1.0, its own number since 1.1, and its argument's size. */
type Numbers = readonly [nx: number, standard: number, bytes: 0 | 1 | 2 | 4];
const LABEL: Numbers = [30, 13, 4];
const TC: Numbers = [31, 14, 1];
const TTL: Numbers = [25, 15, 1];
const DEC_TTL: Numbers = [26, 16, 0];
const PUSH: Numbers = [23, 19, 2];
const POP: Numbers = [24, 20, 2];

const ETH_TYPE_MPLS = 0x8847;
const ETH_TYPE_MPLS_MCAST = 0x8848;

function forms(
  [nx, standard, bytes]: Numbers,
  make: (value: number, c: DecodeContext) => Action,
): WireForm[] {
  return [
    numberForm(NX_VENDOR, nx, [OF10, OF10], bytes, make),
    numberForm(0, standard, [OF11, OF15], bytes, make),
  ];
}

function put(out: ActionWriter, [nx, standard, bytes]: Numbers, version: OfVersion, value: number): void {
  if (version === OF10) putNumber(out, NX_VENDOR, nx, bytes, value);
  else putNumber(out, 0, standard, bytes, value);
}

function checkMpls<A extends Action>(action: A, state: CheckState): A {
  if (!isMpls(state.flow)) inconsistent(state);
  return action;
}

/** `set_mpls_label:N`. */
export const setMplsLabel: ActionCodec<ActionOf<'set_mpls_label'>> = {
  type: 'set_mpls_label',
  name: 'set_mpls_label',
  words: {
    set_mpls_label(arg) {
      if (arg === '') syntaxError('set_mpls_label: expected label.');
      const label = parseU32(arg);
      return label > 0xfffff
        ? syntaxError(`${arg}: not a valid MPLS label`)
        : { type: 'set_mpls_label', label };
    },
  },
  format: ({ label }) => `set_mpls_label(${label})`,
  encode({ label }, out, { version }) {
    if (version < OF12) put(out, LABEL, version, label);
    else putSetField(out, F.mplsLabel, version, BigInt(label));
  },
  wire: forms(LABEL, (label) => ({ type: 'set_mpls_label', label })),
  check: checkMpls,
};

/** `set_mpls_tc:N`. */
export const setMplsTc: ActionCodec<ActionOf<'set_mpls_tc'>> = {
  type: 'set_mpls_tc',
  name: 'set_mpls_tc',
  words: {
    set_mpls_tc(arg) {
      if (arg === '') syntaxError('set_mpls_tc: expected tc.');
      const tc = parseU8(arg, 'MPLS TC');
      return tc > 7 ? syntaxError(`${arg}: not a valid MPLS TC`) : { type: 'set_mpls_tc', tc };
    },
  },
  format: ({ tc }) => `set_mpls_tc(${tc})`,
  encode({ tc }, out, { version }) {
    if (version < OF12) put(out, TC, version, tc);
    else putSetField(out, F.mplsTc, version, BigInt(tc));
  },
  wire: forms(TC, (tc) => ({ type: 'set_mpls_tc', tc })),
  check: checkMpls,
};

/** `set_mpls_ttl:N`. */
export const setMplsTtl: ActionCodec<ActionOf<'set_mpls_ttl'>> = {
  type: 'set_mpls_ttl',
  name: 'set_mpls_ttl',
  words: {
    set_mpls_ttl: (arg) =>
      arg === ''
        ? syntaxError('set_mpls_ttl: expected ttl.')
        : { type: 'set_mpls_ttl', ttl: parseU8(arg, 'MPLS TTL') },
  },
  format: ({ ttl }) => `set_mpls_ttl(${ttl})`,
  encode: ({ ttl }, out, { version }) => put(out, TTL, version, ttl),
  wire: forms(TTL, (ttl) => ({ type: 'set_mpls_ttl', ttl })),
  check: checkMpls,
};

/** `dec_mpls_ttl`. */
export const decMplsTtl: ActionCodec<ActionOf<'dec_mpls_ttl'>> = {
  type: 'dec_mpls_ttl',
  name: 'dec_mpls_ttl',
  words: { dec_mpls_ttl: () => ({ type: 'dec_mpls_ttl' }) },
  format: () => 'dec_mpls_ttl',
  encode: (_action, out, { version }) => put(out, DEC_TTL, version, 0),
  wire: forms(DEC_TTL, () => ({ type: 'dec_mpls_ttl' })),
  check: checkMpls,
};

function hex4(ethertype: number): string {
  return `0x${ethertype.toString(16).padStart(4, '0')}`;
}

function setEthType(state: CheckState, ethertype: number): void {
  state.flow[W_ETH_TYPE] = (state.flow[W_ETH_TYPE] & 0xffff) | (ethertype << 16);
}

/** `push_mpls:0x8847` or `0x8848`. */
export const pushMpls: ActionCodec<ActionOf<'push_mpls'>> = {
  type: 'push_mpls',
  name: 'push_mpls',
  words: { push_mpls: (arg) => ({ type: 'push_mpls', ethertype: parseU16(arg, 'push_mpls') }) },
  format: ({ ethertype }) => `push_mpls:${hex4(ethertype)}`,
  encode: ({ ethertype }, out, { version }) => put(out, PUSH, version, ethertype),
  wire: forms(PUSH, (ethertype) => {
    if (ethertype !== ETH_TYPE_MPLS && ethertype !== ETH_TYPE_MPLS_MCAST) {
      refuse('OFPBAC_BAD_ARGUMENT', `MPLS packets do not have ethertype ${hex4(ethertype)}`);
    }
    return { type: 'push_mpls', ethertype };
  }),
  check(action, state) {
    if (state.flow[W_PACKET_TYPE] !== PT_ETH) inconsistent(state);
    setEthType(state, action.ethertype);
    // What is below the label is opaque from here on.
    state.flow[W_NW] &= ~0xff;
    return action;
  },
};

/** `pop_mpls:ETHERTYPE`: of what is below the label. */
export const popMpls: ActionCodec<ActionOf<'pop_mpls'>> = {
  type: 'pop_mpls',
  name: 'pop_mpls',
  words: { pop_mpls: (arg) => ({ type: 'pop_mpls', ethertype: parseU16(arg, 'pop_mpls') }) },
  format: ({ ethertype }) => `pop_mpls:${hex4(ethertype)}`,
  encode: ({ ethertype }, out, { version }) => put(out, POP, version, ethertype),
  wire: forms(POP, (ethertype) => ({ type: 'pop_mpls', ethertype })),
  check(action, state) {
    if (state.flow[W_PACKET_TYPE] !== PT_ETH || !isMpls(state.flow)) inconsistent(state);
    setEthType(state, action.ethertype);
    return action;
  },
};
