import type { Field, Subfield } from '../../flow/field.ts';
import { isValueValid, ones } from '../../flow/field-access.ts';
import { formatFieldText, parseFieldText } from '../../flow/field-text.ts';
import { F, fieldByName } from '../../flow/fields.ts';
import { VLAN_CFI, W_VLAN } from '../../flow/layout.ts';
import { prerequisitesMet } from '../../flow/prerequisites.ts';
import { formatSubfield, parseSubfield } from '../../flow/subfield-text.ts';
import { OfError } from '../errors.ts';
import { OF10, OF12, OF14, OF15, type OfVersion } from '../version.ts';
import { type ActionCodec, type DecodeContext, nxForm, type ParseContext, standardForm } from './codec.ts';
import { putSetEth } from './eth.ts';
import { putSetEcn, putSetIpv4, putSetTos } from './ip.ts';
import { putSetTp } from './l4.ts';
import {
  bitMask,
  checkedTarget,
  fieldOfShortHeader,
  hasShortHeader,
  type PulledEntry,
  pullEntry,
  putEntry,
  unpackBits,
  unpackOfs,
  wholeMask,
} from './oxm.ts';
import { protocolsOfField } from './protocols.ts';
import { NXAST_REG_LOAD, OFPAT12_SET_FIELD, putRegLoad, putSetField } from './put-field.ts';
import { hex, scanFieldInteger, splitArrow, syntaxError } from './text.ts';
import type { SetFieldAction } from './types.ts';
import { hasVlan, putPushVlan, putStripVlan, putVlanPcp, putVlanVid } from './vlan.ts';
import { type ActionBytes, type ActionWriter, refuse } from './wire.ts';

const NXAST_REG_LOAD2 = 33;
/** Bits of a subfield that one load can carry. */
const LOAD_BITS = 64;

function make(field: Field, value: bigint, mask: bigint, form: SetFieldAction['form']): SetFieldAction {
  return { type: 'set_field', field, value: value & mask, mask, form };
}

// --- Text -----------------------------------------------------------------------------------------------

/** `set_field:VALUE[/MASK]->FIELD`. */
function parseSetField(arg: string, context: ParseContext): SetFieldAction {
  const { before, after } = splitArrow(arg);
  const field = fieldByName(after);
  if (field === null) syntaxError(`${after} is not a valid OXM field name`);
  if (!field.writable) syntaxError(`${after} is read-only`);
  const { value, mask } = parseFieldText(field, before, context.ports);
  if (!isValueValid(field, value)) syntaxError(`${before} is not a valid value for field ${after}`);
  context.restrict(protocolsOfField(field));
  return make(field, value, mask, 'set_field');
}

/** `load:VALUE->FIELD[..]`. What follows the number in VALUE is ignored, as it always has been. */
function parseLoad(arg: string): SetFieldAction {
  const { after } = splitArrow(arg);
  const { field, ofs, bits } = parseSubfield(after);
  const scanned = scanFieldInteger(arg, field.bytes);
  if (scanned === null || scanned === 'range') syntaxError(`${arg}: cannot parse integer value`);
  if (scanned.value > ones(bits)) {
    const text = formatFieldText(field, scanned.value);
    syntaxError(`${arg}: value ${text} does not fit into ${bits} bits`);
  }
  return make(field, scanned.value << BigInt(ofs), bitMask(ofs, bits), 'reg_load');
}

/** The runs of ones of a mask, from the lowest on, cut to what a load can carry, with the bits to load. */
function* segments(action: SetFieldAction): Generator<{ dst: Subfield; value: bigint }> {
  const { field } = action;
  let rest = action.mask & ones(field.bits);
  let ofs = 0;
  while (rest !== 0n) {
    while ((rest & 1n) === 0n) {
      rest >>= 1n;
      ofs++;
    }
    let bits = 0;
    while ((rest & 1n) === 1n && bits < LOAD_BITS) {
      rest >>= 1n;
      bits++;
    }
    yield { dst: { field, ofs, bits }, value: (action.value >> BigInt(ofs)) & ones(bits) };
    ofs += bits;
  }
}

// --- Encodings ------------------------------------------------------------------------------------------

function encodeAsLoads(action: SetFieldAction, out: ActionWriter): void {
  if (action.form === 'reg_load2' || !hasShortHeader(action.field) || action.field.variableLength) {
    const start = out.nx(NXAST_REG_LOAD2);
    putEntry(out, action.field, 0, action.value, action.mask);
    out.end(start);
    return;
  }
  for (const { dst, value } of segments(action)) putRegLoad(out, dst, value);
}

/** The actions of OpenFlow 1.0 and 1.1 that set a field whole, where there are such. */
function encodeLegacy(action: SetFieldAction, out: ActionWriter, version: OfVersion): void {
  const { field, value } = action;
  const n = value <= 0xffffffffn ? Number(value) : 0;
  switch (field) {
    case F.vlanTci:
      if ((n & VLAN_CFI) === 0) {
        putStripVlan(out, version);
        return;
      }
      if (version > OF10 && action.flowHasVlan !== true) putPushVlan(out);
      putVlanVid(out, n & 0xfff);
      putVlanPcp(out, (n >>> 13) & 7);
      return;
    case F.vlanVid:
      putVlanVid(out, n & 0xfff);
      return;
    case F.vlanPcp:
      putVlanPcp(out, n);
      return;
    case F.ethSrc:
      putSetEth(out, 'set_eth_src', value, version);
      return;
    case F.ethDst:
      putSetEth(out, 'set_eth_dst', value, version);
      return;
    case F.ipSrc:
      putSetIpv4(out, 'set_ipv4_src', n, version);
      return;
    case F.ipDst:
      putSetIpv4(out, 'set_ipv4_dst', n, version);
      return;
    case F.nwTos:
      putSetTos(out, n, version);
      return;
    case F.ipDscp:
      putSetTos(out, n << 2, version);
      return;
    case F.nwEcn:
      putSetEcn(out, n, version);
      return;
    case F.tcpSrc:
    case F.udpSrc:
      putSetTp(out, 'set_l4_src_port', n);
      return;
    case F.tcpDst:
    case F.udpDst:
      putSetTp(out, 'set_l4_dst_port', n);
      return;
    default:
      encodeAsLoads(action, out);
  }
}

function encode(action: SetFieldAction, out: ActionWriter, version: OfVersion): void {
  if (version >= OF15) putSetField(out, action.field, version, action.value, action.mask);
  else if (action.form !== 'set_field') encodeAsLoads(action, out);
  else if (version < OF12) encodeLegacy(action, out, version);
  else if (action.mask === wholeMask(action.field)) putSetField(out, action.field, version, action.value);
  else encodeAsLoads(action, out);
}

function pullForSetField(b: ActionBytes, mayMask: boolean, context: DecodeContext): PulledEntry {
  try {
    return pullEntry(b, 4, mayMask, context);
  } catch (error) {
    if (error instanceof OfError && error.ofperr === 'OFPBMC_BAD_MASK') {
      refuse('OFPBAC_BAD_SET_MASK', 'this version of OpenFlow sets fields whole, without masks');
    }
    throw error;
  }
}

function checkWritable(b: ActionBytes, { field, next }: PulledEntry): void {
  b.expectZero(next, b.length, 'OFPBAC_BAD_SET_ARGUMENT');
  if (!field.writable) refuse('OFPBAC_BAD_SET_ARGUMENT', `${field.name} cannot be written`);
}

function decodeSetField(b: ActionBytes, mayMask: boolean, context: DecodeContext): SetFieldAction {
  const entry = pullForSetField(b, mayMask, context);
  checkWritable(b, entry);
  const { field, value, mask } = entry;
  if (field === F.inPortOxm) refuse('OFPBAC_BAD_SET_ARGUMENT', 'set-field may not set in_port');
  // A VLAN id to set comes with the bit that says that a tag is there, in value and mask.
  const isTag = field !== F.vlanVid || (value & mask & BigInt(VLAN_CFI)) !== 0n;
  if (!isValueValid(field, value) || !isTag) {
    refuse('OFPBAC_BAD_SET_ARGUMENT', `${field.name} cannot be ${hex(value)}`);
  }
  return make(field, value, mask, 'set_field');
}

export const setField: ActionCodec<SetFieldAction> = {
  type: 'set_field',
  name: 'set_field',
  words: { set_field: parseSetField, load: parseLoad },
  format(action, { ports }) {
    const { field, value, mask } = action;
    if (action.form !== 'reg_load')
      return `set_field:${formatFieldText(field, value, mask, ports)}->${field.name}`;
    return Array.from(segments(action), (s) => `load:${hex(s.value)}->${formatSubfield(s.dst)}`).join(',');
  },
  encode: (action, out, { version }) => encode(action, out, version),
  wire: [
    standardForm(OFPAT12_SET_FIELD, [OF12, OF14], 8, (b, c) => decodeSetField(b, false, c), true),
    standardForm(OFPAT12_SET_FIELD, [OF15, OF15], 8, (b, c) => decodeSetField(b, true, c), true),
    nxForm(
      NXAST_REG_LOAD,
      24,
      (b, context) => {
        const word = b.u16(10);
        const field = fieldOfShortHeader(b.u32(12), context);
        const { ofs, bits } = checkedTarget(field, unpackOfs(word), unpackBits(word));
        const value = b.u64(16);
        if (value > ones(bits)) refuse('OFPBAC_BAD_ARGUMENT', `${hex(value)} does not fit ${bits} bits`);
        return make(field, value << BigInt(ofs), bitMask(ofs, bits), 'reg_load');
      },
      { versions: [OF10, OF14] },
    ),
    nxForm(
      NXAST_REG_LOAD2,
      16,
      (b, context) => {
        const entry = pullEntry(b, 10, true, context);
        checkWritable(b, entry);
        return make(entry.field, entry.value, entry.mask, 'reg_load2');
      },
      { variable: true, versions: [OF10, OF14] },
    ),
  ],
  check(action, { flow }) {
    const { field } = action;
    const flowHasVlan = hasVlan(flow);
    if (!prerequisitesMet(field, flow) || (field === F.vlanVid && !flowHasVlan)) {
      refuse('OFPBAC_MATCH_INCONSISTENT', `the flow's match lacks what ${field.name} requires`);
    }
    if (field === F.vlanTci) flow[W_VLAN] = (flow[W_VLAN] & 0xffff0000) | Number(action.value & 0xffffn);
    return { ...action, flowHasVlan };
  },
  size: ({ field }) => 2 * field.bytes,
};
