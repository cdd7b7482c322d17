import type { Subfield } from '../../flow/field.ts';
import { maskSubfield, ones, writeSubfield } from '../../flow/field-access.ts';
import { formatFieldText, parseFieldValue } from '../../flow/field-text.ts';
import { newFlow } from '../../flow/layout.ts';
import { formatSubfield, parseSubfield } from '../../flow/subfield-text.ts';
import { DEFAULT_PRIORITY } from '../constants.ts';
import { checkSubfield, checkTarget } from './check-field.ts';
import type { ActionCodec, CheckState, FormatContext, ParseContext } from './codec.ts';
import {
  encodeLearn,
  LEARN_F_DELETE_LEARNED,
  LEARN_F_SEND_FLOW_REM,
  LEARN_F_WRITE_RESULT,
  learnForms,
} from './learn-wire.ts';
import { parseMove } from './move.ts';
import { hasShortHeader } from './oxm.ts';
import {
  formatTable,
  hex,
  keyValues,
  looseDecimal,
  type NameMap,
  parseTable,
  scanFieldInteger,
  scanInteger,
  syntaxError,
} from './text.ts';
import type { LearnAction, LearnSpec } from './types.ts';

/** Bytes of the widest constant that a `load` can have. */
const LOAD_BYTES = 128;

function tryParse<T>(parse: () => T): { ok: true; value: T } | { ok: false; message: string } {
  try {
    return { ok: true, value: parse() };
  } catch (error) {
    if (error instanceof Error) return { ok: false, message: error.message };
    throw error;
  }
}

function refuseExperimenter(sf: Subfield, whole: string, text: string): void {
  if (!hasShortHeader(sf.field)) syntaxError(`${whole}: experimenter OXM field '${text}' not supported`);
}

/** The constant of `FIELD[..]=VALUE`. */
function parseConstant(dst: Subfield, value: string, whole: string, ports: NameMap | null): bigint {
  if (dst.ofs === 0 && dst.bits === dst.field.bits) return parseFieldValue(dst.field, value, ports);
  const scanned = scanFieldInteger(value, dst.field.bytes);
  if (scanned === null || scanned === 'range' || scanned.tail !== '') {
    syntaxError(`${whole}: cannot parse integer value`);
  }
  if (scanned.value > ones(dst.bits)) {
    const text = formatFieldText(dst.field, scanned.value);
    syntaxError(`${whole}: value ${text} does not fit into ${dst.bits} bits`);
  }
  return scanned.value;
}

/** `FIELD[..]`, `FIELD[..]=FIELD[..]`, `FIELD[..]=VALUE`. */
function parseMatch(
  dst: Subfield,
  name: string,
  value: string,
  whole: string,
  ports: NameMap | null,
): LearnSpec {
  refuseExperimenter(dst, whole, name);
  if (value === '') return { kind: 'match', dst, src: dst };
  const src = tryParse(() => parseSubfield(value));
  if (!src.ok) {
    const constant = tryParse(() => parseConstant(dst, value, whole, ports));
    if (constant.ok) return { kind: 'match', dst, src: constant.value };
    syntaxError(
      `${whole}: ${name} value ${value} cannot be parsed as a subfield (${src.message}) ` +
        `or an immediate value (${constant.message})`,
    );
  }
  if (src.value.bits !== dst.bits) {
    // The widths stand beside each other's names, as they always have.
    syntaxError(`${whole}: bit widths of ${name} (${src.value.bits}) and ${value} (${dst.bits}) differ`);
  }
  return { kind: 'match', dst, src: src.value };
}

/** `load:VALUE->FIELD[..]`, `load:FIELD[..]->FIELD[..]`. */
function parseLoad(value: string): LearnSpec {
  const arrow = value.indexOf('->');
  if (arrow === 0) syntaxError(`load: missing source before \`->' in \`${value}'`);
  if (arrow < 0) syntaxError(`load: missing \`->' in \`${value}'`);
  const scanned = scanFieldInteger(value, LOAD_BYTES);
  if (scanned === null || scanned === 'range') return { kind: 'load', ...parseMove(value) };
  if (value.length - scanned.tail.length !== arrow) syntaxError(`load: garbage before \`->' in \`${value}'`);
  const dstText = value.slice(arrow + 2);
  const dst = parseSubfield(dstText);
  refuseExperimenter(dst, value, dstText);
  if (scanned.value > ones(dst.bits)) syntaxError(`${value}: value does not fit into ${dst.bits} bits`);
  return { kind: 'load', dst, src: scanned.value };
}

function parseSpec(name: string, value: string, whole: string, ports: NameMap | null): LearnSpec {
  const dst = tryParse(() => parseSubfield(name));
  if (dst.ok) return parseMatch(dst.value, name, value, whole, ports);
  if (name === 'load') return parseLoad(value);
  if (name === 'output') return { kind: 'output', src: parseSubfield(value) };
  return syntaxError(`${whole}: unknown keyword ${name}`);
}

function parseResult(text: string): Subfield {
  const dst = parseSubfield(text);
  if (!dst.field.writable) syntaxError(`${text} is read-only`);
  if (dst.bits !== 1) syntaxError("result_dst in 'learn' action must be a single bit");
  return dst;
}

function parse(arg: string, { ports, tables }: ParseContext): LearnAction {
  let a: LearnAction = {
    type: 'learn',
    idleTimeout: 0,
    hardTimeout: 0,
    priority: DEFAULT_PRIORITY,
    cookie: 0n,
    table: 1,
    flags: 0,
    finIdleTimeout: 0,
    finHardTimeout: 0,
    limit: 0,
    resultDst: null,
    specs: [],
  };
  const specs: LearnSpec[] = [];
  for (const { key, value } of keyValues(arg)) {
    switch (key) {
      case 'table':
        a = { ...a, table: parseTable(value, tables) ?? syntaxError(`unknown table "${value}"`) };
        if (a.table === 255) syntaxError(`${arg}: table id 255 not valid for \`learn' action`);
        break;
      case 'priority':
        a = { ...a, priority: looseDecimal(value, 16) };
        break;
      case 'idle_timeout':
        a = { ...a, idleTimeout: looseDecimal(value, 16) };
        break;
      case 'hard_timeout':
        a = { ...a, hardTimeout: looseDecimal(value, 16) };
        break;
      case 'fin_idle_timeout':
        a = { ...a, finIdleTimeout: looseDecimal(value, 16) };
        break;
      case 'fin_hard_timeout':
        a = { ...a, finHardTimeout: looseDecimal(value, 16) };
        break;
      case 'cookie':
        a = { ...a, cookie: BigInt.asUintN(64, scanInteger(value).value) };
        break;
      case 'send_flow_rem':
        a = { ...a, flags: a.flags | LEARN_F_SEND_FLOW_REM };
        break;
      case 'delete_learned':
        a = { ...a, flags: a.flags | LEARN_F_DELETE_LEARNED };
        break;
      case 'limit':
        a = { ...a, limit: looseDecimal(value, 32) };
        break;
      case 'result_dst':
        a = { ...a, flags: a.flags | LEARN_F_WRITE_RESULT, resultDst: parseResult(value) };
        break;
      default:
        specs.push(parseSpec(key, value, arg, ports));
    }
  }
  return { ...a, specs };
}

function formatSpec(spec: LearnSpec, ports: NameMap | null): string {
  if (spec.kind === 'output') return `output:${formatSubfield(spec.src)}`;
  const { dst, src } = spec;
  if (spec.kind === 'load') {
    return `load:${typeof src === 'bigint' ? hex(src) : formatSubfield(src)}->${formatSubfield(dst)}`;
  }
  if (typeof src === 'bigint') {
    const whole = dst.ofs === 0 && dst.bits === dst.field.bits;
    if (whole) return `${dst.field.name}=${formatFieldText(dst.field, src, undefined, ports)}`;
    return `${formatSubfield(dst)}=${hex(src)}`;
  }
  const same = src.field.id === dst.field.id && src.ofs === dst.ofs;
  return same ? formatSubfield(dst) : `${formatSubfield(dst)}=${formatSubfield(src)}`;
}

function format(a: LearnAction, { ports, tables }: FormatContext): string {
  const parts = [`table=${formatTable(a.table, tables)}`];
  if (a.idleTimeout !== 0) parts.push(`idle_timeout=${a.idleTimeout}`);
  if (a.hardTimeout !== 0) parts.push(`hard_timeout=${a.hardTimeout}`);
  if (a.finIdleTimeout !== 0) parts.push(`fin_idle_timeout=${a.finIdleTimeout}`);
  if (a.finHardTimeout !== 0) parts.push(`fin_hard_timeout=${a.finHardTimeout}`);
  if (a.priority !== DEFAULT_PRIORITY) parts.push(`priority=${a.priority}`);
  if ((a.flags & LEARN_F_SEND_FLOW_REM) !== 0) parts.push('send_flow_rem');
  if ((a.flags & LEARN_F_DELETE_LEARNED) !== 0) parts.push('delete_learned');
  if (a.cookie !== 0n) parts.push(`cookie=${hex(a.cookie)}`);
  if (a.limit !== 0) parts.push(`limit=${a.limit}`);
  if (a.resultDst !== null) parts.push(`result_dst=${formatSubfield(a.resultDst)}`);
  for (const spec of a.specs) parts.push(formatSpec(spec, ports));
  return `learn(${parts.join(',')})`;
}

/** Sources must exist in packets of this flow, what is matched or loaded in those of the learned one. */
function check(action: LearnAction, state: CheckState): LearnAction {
  const learned: CheckState = { ...state, flow: newFlow(), mask: newFlow() };
  for (const spec of action.specs) {
    if (typeof spec.src !== 'bigint') checkSubfield(spec.src, state);
    if (spec.kind === 'match') {
      checkSubfield(spec.dst, learned);
      if (typeof spec.src === 'bigint') {
        writeSubfield(learned.flow, spec.dst, spec.src);
        maskSubfield(learned.mask, spec.dst);
      }
    } else if (spec.kind === 'load') {
      checkTarget(spec.dst, learned);
    }
  }
  return action;
}

/** `learn(...)`: adds a flow made of this packet. */
export const learn: ActionCodec<LearnAction> = {
  type: 'learn',
  name: 'learn',
  words: { learn: parse },
  format,
  encode: encodeLearn,
  wire: learnForms,
  check,
  size: ({ specs }) => 48 + 48 * specs.length,
};
