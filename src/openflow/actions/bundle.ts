import type { Subfield } from '../../flow/field.ts';
import { F } from '../../flow/fields.ts';
import { formatSubfield, parseSubfield } from '../../flow/subfield-text.ts';
import { OFPP_CONTROLLER, OFPP_MAX, OFPP_NONE } from '../constants.ts';
import { checkTarget } from './check-field.ts';
import { type ActionCodec, type DecodeContext, nxForm, type ParseContext } from './codec.ts';
import { HASH_FIELDS, nameIn } from './hash-fields.ts';
import { checkOutputPort } from './output.ts';
import {
  checkedTarget,
  fieldOfShortHeader,
  hasShortHeader,
  packOfsBits,
  shortHeader,
  unpackBits,
  unpackOfs,
} from './oxm.ts';
import { formatPort, looseDecimal, parsePort, portFrom16, portTo16, syntaxError, Tokens } from './text.ts';
import type { BundleAction } from './types.ts';
import { type ActionBytes, refuse } from './wire.ts';

const NXAST_BUNDLE = 12;
const NXAST_BUNDLE_LOAD = 13;
const MAX_MEMBERS = 2048;
const HEADER = 32;
/** By number. */
const ALGORITHMS: readonly BundleAction['algorithm'][] = ['active_backup', 'hrw'];

/** `FIELDS,BASIS,ALGORITHM,ofport[,DST],members:PORT,...` */
function parse(arg: string, load: boolean, { ports }: ParseContext): BundleAction {
  const tokens = new Tokens(arg);
  const fieldsText = tokens.next(', ') ?? '';
  const basisText = tokens.next(', ') ?? '';
  const algorithmText = tokens.next(', ') ?? '';
  const memberType = tokens.next(', ') ?? '';
  const dstText = load ? (tokens.next(', ') ?? '') : '';
  const delimiter = tokens.next(': ');
  if (delimiter === null) syntaxError(`${arg}: not enough arguments to bundle action`);
  if (nameIn(['members', 'slaves'], delimiter) === undefined) {
    syntaxError(`${arg}: missing member delimiter, expected \`members', got \`${delimiter}'`);
  }
  const members: number[] = [];
  for (;;) {
    const member = tokens.next(', []');
    if (member === null || members.length >= MAX_MEMBERS) break;
    members.push(parsePort(member, ports) ?? syntaxError(`${member}: bad port number`));
  }
  const fields = nameIn(HASH_FIELDS, fieldsText) ?? syntaxError(`${arg}: unknown fields \`${fieldsText}'`);
  const algorithm =
    nameIn(ALGORITHMS, algorithmText) ?? syntaxError(`${arg}: unknown algorithm \`${algorithmText}'`);
  if (nameIn(['ofport'], memberType) === undefined)
    syntaxError(`${arg}: unknown member_type \`${memberType}'`);
  let dst: Subfield | null = null;
  if (load) {
    dst = parseSubfield(dstText);
    if (!hasShortHeader(dst.field)) syntaxError(`${arg}: experimenter OXM field '${dstText}' not supported`);
  }
  return { type: 'bundle', algorithm, fields, basis: looseDecimal(basisText, 16), members, dst };
}

function checkMembers(action: BundleAction, maxPorts: number): void {
  for (const member of action.members) {
    if (member !== OFPP_NONE) checkOutputPort(member, maxPorts);
    if (member === OFPP_CONTROLLER)
      refuse('OFPBAC_BAD_OUT_PORT', 'the controller cannot be member of a bundle');
  }
}

function decode(b: ActionBytes, load: boolean, context: DecodeContext): BundleAction {
  const fields = HASH_FIELDS[b.u16(12)];
  const n = b.u16(20);
  const algorithm = ALGORITHMS[b.u16(10)];
  const known = fields !== undefined && n <= MAX_MEMBERS && algorithm !== undefined;
  let dst: Subfield | null = null;
  if (load) {
    const field = fieldOfShortHeader(b.u32(24), context);
    dst = { field, ofs: unpackOfs(b.u16(22)), bits: unpackBits(b.u16(22)) };
  }
  if (b.length - HEADER < 2 * n)
    refuse('OFPBAC_BAD_LEN', `${n} members do not fit ${b.length - HEADER} bytes`);
  if (!known || b.u32(16) !== shortHeader(F.inPort) || !b.isZero(28, HEADER)) {
    refuse(
      'OFPBAC_BAD_ARGUMENT',
      'unknown fields, algorithm or member type, too many members or nonzero padding',
    );
  }
  if (dst === null) b.expectZero(22, 28, 'OFPBAC_BAD_ARGUMENT');
  else if (dst.bits < 16) refuse('OFPBAC_BAD_ARGUMENT', `${dst.bits} bits cannot hold every port number`);
  else checkedTarget(dst.field, dst.ofs, dst.bits);
  const members = Array.from({ length: n }, (_, i) => portFrom16(b.u16(HEADER + 2 * i)));
  const action: BundleAction = { type: 'bundle', algorithm, fields, basis: b.u16(14), members, dst };
  checkMembers(action, OFPP_MAX);
  return action;
}

/** `bundle(...)`: to one of several ports. `bundle_load(...)`: that port's number into a field. */
export const bundle: ActionCodec<BundleAction> = {
  type: 'bundle',
  name: 'bundle',
  words: {
    bundle: (arg, context) => parse(arg, false, context),
    bundle_load: (arg, context) => parse(arg, true, context),
  },
  format({ algorithm, fields, basis, members, dst }, { ports }) {
    const ports_ = members.map((member) => formatPort(member, ports)).join(',');
    const [word, target] = dst === null ? ['bundle', ''] : ['bundle_load', `${formatSubfield(dst)},`];
    return `${word}(${fields},${basis},${algorithm},ofport,${target}members:${ports_})`;
  },
  encode({ algorithm, fields, basis, members, dst }, out) {
    const start = out.nx(dst === null ? NXAST_BUNDLE : NXAST_BUNDLE_LOAD);
    out.u16(ALGORITHMS.indexOf(algorithm));
    out.u16(HASH_FIELDS.indexOf(fields));
    out.u16(basis);
    out.u32(shortHeader(F.inPort));
    out.u16(members.length);
    out.u16(dst === null ? 0 : packOfsBits(dst));
    out.u32(dst === null ? 0 : shortHeader(dst.field));
    out.zeros(4);
    for (const member of members) out.u16(portTo16(member));
    out.end(start);
  },
  wire: [
    nxForm(NXAST_BUNDLE, HEADER, (b, context) => decode(b, false, context), { variable: true }),
    nxForm(NXAST_BUNDLE_LOAD, HEADER, (b, context) => decode(b, true, context), { variable: true }),
  ],
  check(action, state) {
    if (action.dst !== null) checkTarget(action.dst, state);
    checkMembers(action, state.maxPorts);
    return action;
  },
  size: ({ members }) => 24 + 4 * members.length,
};
