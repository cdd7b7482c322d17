import type { Subfield } from '../../flow/field.ts';
import { CS_INVALID, W_CT_STATE, W_NW } from '../../flow/layout.ts';
import { IPPROTO_TCP, IPPROTO_UDP, isIp } from '../../flow/prerequisites.ts';
import { formatSubfield, parseSubfield } from '../../flow/subfield-text.ts';
import { checkSubfield } from './check-field.ts';
import { type ActionCodec, type CheckState, type FormatContext, nxForm, type ParseContext } from './codec.ts';
import { formatNat, isPlainNat, parseNat } from './nat.ts';
import { checkedSource, fieldOfShortHeader, packOfsBits, shortHeader, unpackBits, unpackOfs } from './oxm.ts';
import { formatTable, hex, keyValues, parseTable, syntaxError, wholeInteger } from './text.ts';
import type { Action, CtAction } from './types.ts';
import { refuse } from './wire.ts';

const NXAST_CT = 35;
const COMMIT = 1 << 0;
const FORCE = 1 << 1;
const NO_RECIRC = 255;
/** Helpers by name: the port of their protocol. */
const HELPERS: ReadonlyMap<string, number> = new Map([
  ['ftp', 21],
  ['tftp', 69],
]);
const ALG_PROTOCOL: ReadonlyMap<number, number> = new Map([
  [21, IPPROTO_TCP],
  [69, IPPROTO_UDP],
]);

function parseZone(text: string): number | Subfield {
  const zone = wholeInteger(text);
  return zone !== null && zone >= 0n && zone <= 0xffffn ? Number(zone) : parseSubfield(text);
}

function parse(arg: string, context: ParseContext): CtAction {
  let commit = false;
  let force = false;
  let zone: number | Subfield = 0;
  let recircTable = NO_RECIRC;
  let alg = 0;
  const actions: Action[] = [];
  for (const { key, value } of keyValues(arg)) {
    switch (key) {
      case 'commit':
        commit = true;
        break;
      case 'force':
        force = true;
        break;
      case 'table':
        recircTable = parseTable(value, context.tables) ?? syntaxError(`unknown table ${value}`);
        if (recircTable === NO_RECIRC) syntaxError(`invalid table ${hex(recircTable)}`);
        break;
      case 'zone':
        zone = parseZone(value);
        break;
      case 'alg':
        alg = HELPERS.get(value) ?? syntaxError(`invalid conntrack helper "${value}"`);
        break;
      case 'nat':
        actions.push(parseNat(value));
        break;
      case 'exec':
        actions.push(...context.nested(value, 'ct'));
        break;
      default:
        syntaxError(`invalid argument to "ct" action: \`${key}'`);
    }
  }
  if (force && !commit) syntaxError('"force" flag requires "commit" flag.');
  return { type: 'ct', commit, force, zone, recircTable, alg, actions };
}

function format(a: CtAction, context: FormatContext): string {
  const parts: string[] = [];
  if (a.commit) parts.push('commit');
  if (a.force) parts.push('force');
  if (a.recircTable !== NO_RECIRC) parts.push(`table=${formatTable(a.recircTable, context.tables)}`);
  if (typeof a.zone !== 'number') parts.push(`zone=${formatSubfield(a.zone)}`);
  else if (a.zone !== 0) parts.push(`zone=${a.zone}`);
  const [first, ...rest] = a.actions;
  const natFirst = first?.type === 'nat';
  if (natFirst) parts.push(formatNat(first));
  const exec = natFirst ? rest : a.actions;
  if (exec.length > 0) parts.push(`exec(${context.list(exec)})`);
  if (a.alg !== 0) parts.push(`alg=${[...HELPERS].find(([, port]) => port === a.alg)?.[0] ?? a.alg}`);
  return `ct(${parts.join(',')})`;
}

function check(action: CtAction, state: CheckState): CtAction {
  const { flow } = state;
  const helped = ALG_PROTOCOL.get(action.alg);
  const invalid = ((flow[W_CT_STATE] >>> 24) & CS_INVALID) !== 0;
  if (!isIp(flow) || (invalid && action.commit) || (helped !== undefined && helped !== (flow[W_NW] & 0xff))) {
    refuse(
      'OFPBAC_MATCH_INCONSISTENT',
      "ct: the flow's match does not say that packets are ones to track in this way",
    );
  }
  if (typeof action.zone !== 'number') {
    checkSubfield(action.zone, state);
    return action;
  }
  return { ...action, actions: state.nested(action.actions, true) };
}

/** `ct(...)`: sends the packet through conntrack, and perhaps on to a table from there. */
export const ct: ActionCodec<CtAction> = {
  type: 'ct',
  name: 'ct',
  words: { ct: parse },
  format,
  encode(a, out, context) {
    const start = out.nx(NXAST_CT);
    out.u16((a.commit ? COMMIT : 0) | (a.force ? FORCE : 0));
    const { zone } = a;
    out.u32(typeof zone === 'number' ? 0 : shortHeader(zone.field));
    out.u16(typeof zone === 'number' ? zone : packOfsBits(zone));
    out.u8(a.recircTable);
    out.zeros(3);
    out.u16(a.alg);
    context.list(a.actions);
    out.end(start);
  },
  wire: [
    nxForm(
      NXAST_CT,
      24,
      (b, context) => {
        const flags = b.u16(10);
        const commit = (flags & COMMIT) !== 0;
        const force = (flags & FORCE) !== 0;
        if (force && !commit) refuse('OFPBAC_BAD_ARGUMENT', 'ct with force but without commit');
        const header = b.u32(12);
        const zoneWord = b.u16(16);
        let zone: number | Subfield = zoneWord;
        if (header !== 0) {
          zone = checkedSource(
            fieldOfShortHeader(header, context),
            unpackOfs(zoneWord),
            unpackBits(zoneWord),
          );
          if (zone.bits !== 16) refuse('OFPBAC_BAD_SET_LEN', `a zone has 16 bits, not ${zone.bits}`);
        }
        const actions = context.nested(b.data.subarray(24), 'ct');
        const needsCommit = actions.some((a) => a.type !== 'nat' || !isPlainNat(a));
        if (needsCommit && !commit) {
          refuse('OFPBAC_BAD_ARGUMENT', 'ct without commit can have no actions but nat without arguments');
        }
        return { type: 'ct', commit, force, zone, recircTable: b.u8(18), alg: b.u16(22), actions };
      },
      { variable: true },
    ),
  ],
  check,
  size: () => 16,
};
