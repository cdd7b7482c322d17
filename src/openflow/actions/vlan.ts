import { F } from '../../flow/fields.ts';
import type { Flow } from '../../flow/layout.ts';
import { N_VLANS, VLAN_CFI, W_VLAN } from '../../flow/layout.ts';
import { OF10, OF11, OF15, type OfVersion } from '../version.ts';
import { inconsistent } from './check-field.ts';
import { type ActionCodec, type CheckState, numberForm, putNumber } from './codec.ts';
import { P_OF11_UP } from './protocols.ts';
import { putSetField } from './put-field.ts';
import { hex, parseU8, parseU16, syntaxError } from './text.ts';
import type { ActionOf } from './types.ts';
import { type ActionWriter, refuse } from './wire.ts';

const OFPAT_SET_VLAN_VID = 1;
const OFPAT_SET_VLAN_PCP = 2;
const OFPAT10_STRIP_VLAN = 3;
const OFPAT11_PUSH_VLAN = 17;
const OFPAT11_POP_VLAN = 18;
export const ETH_TYPE_8021Q = 0x8100;
const ETH_TYPE_8021AD = 0x88a8;

function isVlanType(ethertype: number): boolean {
  return ethertype === ETH_TYPE_8021Q || ethertype === ETH_TYPE_8021AD;
}

export function hasVlan(flow: Flow): boolean {
  return (flow[W_VLAN] & VLAN_CFI) !== 0;
}

export function putPushVlan(out: ActionWriter, ethertype: number = ETH_TYPE_8021Q): void {
  putNumber(out, 0, OFPAT11_PUSH_VLAN, 2, ethertype);
}

export function putStripVlan(out: ActionWriter, version: OfVersion): void {
  putNumber(out, 0, version === OF10 ? OFPAT10_STRIP_VLAN : OFPAT11_POP_VLAN, 0, 0);
}

/** The actions that OpenFlow 1.0 and 1.1 have for it. */
export function putVlanVid(out: ActionWriter, vid: number): void {
  putNumber(out, 0, OFPAT_SET_VLAN_VID, 2, vid);
}

export function putVlanPcp(out: ActionWriter, pcp: number): void {
  putNumber(out, 0, OFPAT_SET_VLAN_PCP, 1, pcp);
}

type SetVlan = ActionOf<'set_vlan_vid'> | ActionOf<'set_vlan_pcp'>;

/** OpenFlow 1.0's form of the actions pushes a tag onto packets without one; later versions say so apart. */
function putPushIfNeeded(action: SetVlan, out: ActionWriter, version: OfVersion): void {
  if (version > OF10 && action.pushIfNeeded && action.flowHasVlan !== true) putPushVlan(out);
}

function checkSetVlan(action: SetVlan, state: CheckState): boolean {
  const flowHasVlan = hasVlan(state.flow);
  if (!flowHasVlan && !action.pushIfNeeded) inconsistent(state);
  state.flow[W_VLAN] |= VLAN_CFI;
  return flowHasVlan;
}

function makeVid(vid: number, pushIfNeeded: boolean): ActionOf<'set_vlan_vid'> {
  return { type: 'set_vlan_vid', vid, pushIfNeeded };
}

function parseVid(arg: string, pushIfNeeded: boolean): ActionOf<'set_vlan_vid'> {
  const vid = parseU16(arg, 'VLAN VID');
  return vid > 0xfff ? syntaxError(`${arg}: not a valid VLAN VID`) : makeVid(vid, pushIfNeeded);
}

function decodeVid(vid: number, pushIfNeeded: boolean): ActionOf<'set_vlan_vid'> {
  return vid > 0xfff ? refuse('OFPBAC_BAD_ARGUMENT', `there is no VLAN ${vid}`) : makeVid(vid, pushIfNeeded);
}

/** `mod_vlan_vid:N` (tags packets without a tag), `set_vlan_vid:N` (packets must have one). */
export const setVlanVid: ActionCodec<ActionOf<'set_vlan_vid'>> = {
  type: 'set_vlan_vid',
  name: 'set_vlan_vid',
  words: { set_vlan_vid: (arg) => parseVid(arg, false), mod_vlan_vid: (arg) => parseVid(arg, true) },
  format: ({ vid, pushIfNeeded }) => `${pushIfNeeded ? 'mod' : 'set'}_vlan_vid:${vid}`,
  encode(action, out, { version }) {
    putPushIfNeeded(action, out, version);
    if (version <= OF11) putVlanVid(out, action.vid);
    else putSetField(out, F.vlanVid, version, BigInt(action.vid | VLAN_CFI));
  },
  wire: [
    numberForm(0, OFPAT_SET_VLAN_VID, [OF10, OF10], 2, (vid) => decodeVid(vid, true)),
    numberForm(0, OFPAT_SET_VLAN_VID, [OF11, OF15], 2, (vid) => decodeVid(vid, false)),
  ],
  check: (action, state) => ({ ...action, flowHasVlan: checkSetVlan(action, state) }),
};

function makePcp(pcp: number, pushIfNeeded: boolean): ActionOf<'set_vlan_pcp'> {
  return { type: 'set_vlan_pcp', pcp, pushIfNeeded };
}

function parsePcp(arg: string, pushIfNeeded: boolean): ActionOf<'set_vlan_pcp'> {
  const pcp = parseU8(arg, 'VLAN PCP');
  return pcp > 7 ? syntaxError(`${arg}: not a valid VLAN PCP`) : makePcp(pcp, pushIfNeeded);
}

function decodePcp(pcp: number, pushIfNeeded: boolean): ActionOf<'set_vlan_pcp'> {
  return pcp > 7
    ? refuse('OFPBAC_BAD_ARGUMENT', `there is no VLAN priority ${pcp}`)
    : makePcp(pcp, pushIfNeeded);
}

/** `mod_vlan_pcp:N`, `set_vlan_pcp:N`: as with the VLAN id. */
export const setVlanPcp: ActionCodec<ActionOf<'set_vlan_pcp'>> = {
  type: 'set_vlan_pcp',
  name: 'set_vlan_pcp',
  words: { set_vlan_pcp: (arg) => parsePcp(arg, false), mod_vlan_pcp: (arg) => parsePcp(arg, true) },
  format: ({ pcp, pushIfNeeded }) => `${pushIfNeeded ? 'mod' : 'set'}_vlan_pcp:${pcp}`,
  encode(action, out, { version }) {
    putPushIfNeeded(action, out, version);
    if (version <= OF11) putVlanPcp(out, action.pcp);
    else putSetField(out, F.vlanPcp, version, BigInt(action.pcp));
  },
  wire: [
    numberForm(0, OFPAT_SET_VLAN_PCP, [OF10, OF10], 1, (pcp) => decodePcp(pcp, true)),
    numberForm(0, OFPAT_SET_VLAN_PCP, [OF11, OF15], 1, (pcp) => decodePcp(pcp, false)),
  ],
  check: (action, state) => ({ ...action, flowHasVlan: checkSetVlan(action, state) }),
};

/** `strip_vlan`, `pop_vlan`: takes the outer tag off. */
export const stripVlan: ActionCodec<ActionOf<'strip_vlan'>> = {
  type: 'strip_vlan',
  name: 'strip_vlan',
  words: { strip_vlan: () => ({ type: 'strip_vlan' }), pop_vlan: () => ({ type: 'strip_vlan', pop: true }) },
  format: ({ pop }) => (pop === true ? 'pop_vlan' : 'strip_vlan'),
  encode: (_action, out, { version }) => putStripVlan(out, version),
  wire: [
    numberForm(0, OFPAT10_STRIP_VLAN, [OF10, OF10], 0, () => ({ type: 'strip_vlan' })),
    numberForm(0, OFPAT11_POP_VLAN, [OF11, OF15], 0, () => ({ type: 'strip_vlan', pop: true })),
  ],
  check(action, state) {
    const { flow } = state;
    if (!hasVlan(flow)) inconsistent(state);
    flow.copyWithin(W_VLAN, W_VLAN + 1, W_VLAN + N_VLANS);
    flow[W_VLAN + N_VLANS - 1] = 0;
    return action;
  },
};

/** `push_vlan:0x8100` or `0x88a8`. In OpenFlow 1.0 setting the id or priority does it. */
export const pushVlan: ActionCodec<ActionOf<'push_vlan'>> = {
  type: 'push_vlan',
  name: 'push_vlan',
  words: {
    push_vlan(arg, context) {
      context.restrict(P_OF11_UP);
      const ethertype = parseU16(arg, 'ethertype');
      if (!isVlanType(ethertype)) syntaxError(`${arg}: not a valid VLAN ethertype`);
      return { type: 'push_vlan', ethertype };
    },
  },
  format: ({ ethertype }) => `push_vlan:${hex(ethertype)}`,
  encode({ ethertype }, out, { version }) {
    if (version > OF10) putPushVlan(out, ethertype);
  },
  wire: [
    numberForm(0, OFPAT11_PUSH_VLAN, [OF11, OF15], 2, (ethertype) => {
      if (!isVlanType(ethertype))
        refuse('OFPBAC_BAD_ARGUMENT', `no VLAN tag has ethertype ${hex(ethertype)}`);
      return { type: 'push_vlan', ethertype };
    }),
  ],
  check(action, { flow }) {
    if ((flow[W_VLAN + N_VLANS - 1] & VLAN_CFI) !== 0) {
      refuse('OFPBAC_BAD_TAG', `packets with ${N_VLANS} tags cannot take another`);
    }
    flow.copyWithin(W_VLAN + 1, W_VLAN, W_VLAN + N_VLANS - 1);
    flow[W_VLAN] = VLAN_CFI;
    return action;
  },
};
