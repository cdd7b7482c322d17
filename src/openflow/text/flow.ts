/**
 * Flows as ovs-ofctl(8) writes them: `table=0,priority=100,ip,nw_dst=10.0.0.1 actions=output:1`.
 */
import { WeftError } from '../../base/errors.ts';
import { Match } from '../../flow/match.ts';
import { formatMatch } from '../../flow/match-format.ts';
import { finishMatch, parseMatchWord, splitKeyValues } from '../../flow/match-parse.ts';
import { formatPort, parsePort } from '../../flow/port-text.ts';
import type { TunnelMetadataMap } from '../../flow/tun-metadata.ts';
import { checkActions, formatActions, parseWithProtocols } from '../actions/index.ts';
import { formatTable, parseTable, parseU16, parseU64 } from '../actions/text.ts';
import {
  DEFAULT_PRIORITY,
  FF_CHECK_OVERLAP,
  FF_NO_BYT_COUNTS,
  FF_NO_PKT_COUNTS,
  FF_RESET_COUNTS,
  FF_SEND_FLOW_REM,
  NO_BUFFER,
  OFPG_ALL,
  OFPG_ANY,
  OFPP_ANY,
  OFPTT_ALL,
  UINT64_MAX,
} from '../constants.ts';
import { OfError } from '../errors.ts';
import type { FlowModCommand, FlowModFields } from '../messages/flow-mod.ts';
import type { FlowStats, FlowStatsRequest } from '../messages/flow-stats.ts';
import { formatCount, formatDuration, type TextNames } from './common.ts';

/** Words for flags, in the order in which they are shown. */
const FLAG_WORDS: readonly (readonly [string, number])[] = [
  ['send_flow_rem', FF_SEND_FLOW_REM],
  ['check_overlap', FF_CHECK_OVERLAP],
  ['reset_counts', FF_RESET_COUNTS],
  ['no_packet_counts', FF_NO_PKT_COUNTS],
  ['no_byte_counts', FF_NO_BYT_COUNTS],
];

/** Flags by name, each followed by a blank. */
export function formatFlowFlags(flags: number): string {
  return FLAG_WORDS.filter(([, flag]) => (flags & flag) !== 0)
    .map(([word]) => `${word} `)
    .join('');
}

// --- Reading --------------------------------------------------------------------------------------------

export interface FlowParseOptions extends TextNames {
  /** The switch's table of tunnel options; without it the match finds places for them. */
  readonly tun?: TunnelMetadataMap | null;
}

/** What a flow text may say depends on what it is for; `request` is a question about flows. */
export type FlowTextKind = FlowModCommand | 'request';

/** Words that one kind of text takes and another does not know. */
interface Allowed {
  readonly outPort: boolean;
  readonly actions: boolean;
  readonly importance: boolean;
  readonly priority: boolean;
}

const ALLOWED: Readonly<Record<FlowTextKind, Allowed>> = {
  request: { outPort: true, actions: false, importance: false, priority: false },
  add: { outPort: false, actions: true, importance: true, priority: true },
  modify: { outPort: false, actions: true, importance: false, priority: true },
  modify_strict: { outPort: false, actions: true, importance: false, priority: true },
  delete: { outPort: true, actions: false, importance: false, priority: false },
  delete_strict: { outPort: true, actions: false, importance: false, priority: true },
};

/** What dumps say of a flow that is no part of it, so that they can be read back. */
const IGNORED = new Set(['duration', 'n_packets', 'n_bytes', 'idle_age', 'hard_age']);
const IGNORED_FLAGS = new Set(['no_readonly_table', 'allow_hidden_fields']);

function bad(message: string): never {
  throw new WeftError('flow-syntax', message, { remedy: 'see "Flow Syntax" in ovs-ofctl(8)' });
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** The text of the actions, and what stands before it. */
function splitActions(text: string): { front: string; actions: string } {
  const at = text.indexOf('action');
  const equals = at < 0 ? -1 : text.indexOf('=', at + 1);
  if (equals < 0) bad('must specify an action');
  return { front: text.slice(0, at), actions: text.slice(equals + 1) };
}

/**
 * Reads a flow. `modify` gives a cookie only if the text does.
 * @throws WeftError `flow-syntax` and those of matches and actions, in the words of ovs-ofctl.
 */
export function parseFlow(
  text: string,
  kind: FlowTextKind = 'add',
  options: FlowParseOptions = {},
): FlowModFields {
  const allowed = ALLOWED[kind];
  const modify = kind === 'modify' || kind === 'modify_strict';
  const { front, actions } = allowed.actions ? splitActions(text) : { front: text, actions: '' };
  const match = new Match(options.tun ?? null);
  const fields: Mutable<FlowModFields> = {
    command: kind === 'request' ? 'add' : kind,
    match,
    priority: DEFAULT_PRIORITY,
    cookie: 0n,
    cookieMask: 0n,
    newCookie: modify ? UINT64_MAX : 0n,
    modifyCookie: false,
    table: OFPTT_ALL,
    idleTimeout: 0,
    hardTimeout: 0,
    bufferId: NO_BUFFER,
    outPort: OFPP_ANY,
    outGroup: OFPG_ANY,
    flags: 0,
    importance: 0,
    actions: [],
  };
  for (const { key, value } of splitKeyValues(front)) {
    const flag = allowed.actions ? FLAG_WORDS.find(([word]) => word === key) : undefined;
    if (flag !== undefined) fields.flags |= flag[1];
    else if (IGNORED_FLAGS.has(key)) continue;
    else if (!parseMatchWord(match, key, value, options)) parseWord(fields, key, value, kind, options);
  }
  finishMatch(match);
  if (modify && fields.cookieMask === 0n && fields.newCookie === UINT64_MAX) fields.newCookie = 0n;
  if (allowed.actions) fields.actions = parseFlowActions(actions, fields, options);
  return fields;
}

function parseFlowActions(
  text: string,
  fields: FlowModFields,
  options: FlowParseOptions,
): FlowModFields['actions'] {
  const parsed = parseWithProtocols(text, {
    ports: options.ports,
    tables: options.tables,
    instructions: true,
  });
  try {
    const checked = checkActions(parsed.actions, { match: fields.match, table: fields.table });
    if ((parsed.protocols & checked.protocols) === 0) {
      throw new OfError(
        'OFPBAC_MATCH_INCONSISTENT',
        'no version of OpenFlow has these actions for this match',
      );
    }
    return checked.actions;
  } catch (error) {
    if (error instanceof OfError) bad(`actions are invalid with specified match (${error.ofperr})`);
    throw error;
  }
}

function parseWord(
  fields: Mutable<FlowModFields>,
  key: string,
  value: string,
  kind: FlowTextKind,
  { ports = null, tables = null }: FlowParseOptions,
): void {
  const allowed = ALLOWED[kind];
  if (value === '') bad(`field ${key} missing value`);
  if (key === 'table') {
    fields.table = parseTable(value, tables) ?? bad(`unknown table "${value}"`);
  } else if (key === 'cookie') {
    parseCookie(fields, value, kind);
  } else if (key === 'out_port' && allowed.outPort) {
    fields.outPort = parsePort(value, ports) ?? bad(`${value} is not a valid OpenFlow port`);
  } else if (key === 'out_group' && allowed.outPort) {
    fields.outGroup = parseGroup(value) ?? bad(`${value} is not a valid OpenFlow group`);
  } else if (key === 'priority' && allowed.priority) {
    fields.priority = parseU16(value, key);
  } else if (key === 'idle_timeout' && allowed.actions) {
    fields.idleTimeout = parseU16(value, key);
  } else if (key === 'hard_timeout' && allowed.actions) {
    fields.hardTimeout = parseU16(value, key);
  } else if (key === 'importance' && allowed.importance) {
    fields.importance = parseU16(value, key);
  } else if (!IGNORED.has(key)) {
    bad(`unknown keyword ${key}`);
  }
}

function parseCookie(fields: Mutable<FlowModFields>, value: string, kind: FlowTextKind): void {
  const slash = value.indexOf('/');
  if (slash < 0) {
    if (!ALLOWED[kind].actions) {
      bad(`cannot set cookie (to match on a cookie, specify a mask, e.g. cookie=${value}/-1)`);
    }
    fields.newCookie = parseU64(value);
    fields.modifyCookie = true;
    return;
  }
  if (kind === 'add') bad('flow additions cannot use a cookie mask');
  fields.cookie = parseU64(value.slice(0, slash));
  fields.cookieMask = parseU64(value.slice(slash + 1));
}

/** A group's number, `any` or `all`; null if it is none of these. */
export function parseGroup(text: string): number | null {
  const lower = text.toLowerCase();
  if (lower === 'any') return OFPG_ANY;
  if (lower === 'all') return OFPG_ALL;
  if (!/^\+?\d+$/.test(text)) return null;
  const group = Number(text);
  return group <= 0xffffffff ? group : null;
}

/** Commands that may begin a line of a file, and what they ask for. Beginnings of them will do. */
const COMMAND_WORDS: readonly FlowModCommand[] = [
  'add',
  'delete',
  'delete_strict',
  'modify',
  'modify_strict',
];

/** Reads a line of a file of flow mods, which may begin with what to do: `delete tcp`; default `add`. */
export function parseFlowLine(line: string, options: FlowParseOptions = {}): FlowModFields {
  const text = line.replace(/^[ \t\r\n]+/, '');
  const word = /^[^, \t\r\n]*/.exec(text)?.[0] ?? '';
  const command = word === '' ? undefined : COMMAND_WORDS.find((c) => c.startsWith(word));
  return command === undefined
    ? parseFlow(text, 'add', options)
    : parseFlow(text.slice(word.length), command, options);
}

// --- Writing ----------------------------------------------------------------------------------------------

/**
 * A flow as `ovs-ofctl dump-flows` shows it; without statistics if `showStats` is false
 * (`--no-stats`).
 */
export function formatFlowStats(s: FlowStats, names: TextNames = {}, showStats = true): string {
  const { ports = null, tables = null } = names;
  let text = '';
  if (showStats || s.cookie !== 0n) text += `cookie=0x${s.cookie.toString(16)}, `;
  if (showStats) text += `duration=${formatDuration(s.durationSec, s.durationNsec)}, `;
  if (showStats || s.table !== 0 || (tables?.nameOf(s.table) ?? null) !== null) {
    text += `table=${formatTable(s.table, tables)}, `;
  }
  if (showStats) text += `n_packets=${formatCount(s.packetCount)}, n_bytes=${formatCount(s.byteCount)}, `;
  if (s.idleTimeout !== 0) text += `idle_timeout=${s.idleTimeout}, `;
  if (s.hardTimeout !== 0) text += `hard_timeout=${s.hardTimeout}, `;
  text += formatFlowFlags(s.flags);
  if (s.importance !== 0) text += `importance=${s.importance}, `;
  if (showStats && s.idleAge >= 0) text += `idle_age=${s.idleAge}, `;
  if (showStats && s.hardAge >= 0 && s.hardAge !== s.durationSec) text += `hard_age=${s.hardAge}, `;
  const match = formatMatch(s.match, { ports, priority: s.priority });
  if (match !== '') text += `${match} `;
  return `${text}actions=${formatActions(s.actions, names)}`;
}

const COMMAND_TEXTS: Readonly<Record<FlowModCommand, string>> = {
  add: 'ADD',
  modify: 'MOD',
  modify_strict: 'MOD_STRICT',
  delete: 'DEL',
  delete_strict: 'DEL_STRICT',
};

/** A flow mod as logs show it, after the message's name: `ADD table:1 priority=5,ip actions=drop`. */
export function formatFlowMod(m: FlowModFields, version: number, names: TextNames = {}): string {
  const { ports = null, tables = null } = names;
  let text = COMMAND_TEXTS[m.command];
  if (m.table !== 0 || (tables?.nameOf(m.table) ?? null) !== null) {
    text += ` table:${formatTable(m.table, tables)}`;
  }
  const match = formatMatch(m.match, { ports, priority: m.priority });
  text += match === '' ? ' ' : ` ${match} `;
  if (m.newCookie !== 0n && m.newCookie !== UINT64_MAX) text += `cookie:0x${m.newCookie.toString(16)} `;
  if (m.cookieMask !== 0n) text += `cookie:0x${m.cookie.toString(16)}/0x${m.cookieMask.toString(16)} `;
  if (m.idleTimeout !== 0) text += `idle:${m.idleTimeout} `;
  if (m.hardTimeout !== 0) text += `hard:${m.hardTimeout} `;
  if (m.importance !== 0) text += `importance:${m.importance} `;
  if (m.bufferId !== NO_BUFFER) text += `buf:0x${m.bufferId.toString(16)} `;
  if (m.outPort !== OFPP_ANY) text += `out_port:${formatPort(m.outPort, ports)} `;
  // Before 1.2 there was no such flag to show.
  text += formatFlowFlags(version <= 2 ? m.flags & ~FF_RESET_COUNTS : m.flags);
  return `${text}actions=${formatActions(m.actions, names)}`;
}

/** A request for flows as logs show it, after the message's name. */
export function formatFlowStatsRequest(m: FlowStatsRequest, names: TextNames = {}): string {
  const { ports = null, tables = null } = names;
  let text = '';
  if (m.table !== OFPTT_ALL) text += ` table=${formatTable(m.table, tables)}`;
  if (m.outPort !== OFPP_ANY) text += ` out_port=${formatPort(m.outPort, ports)}`;
  return `${text} ${formatMatch(m.match, { ports })}`;
}
