import { isFieldWild } from '../../flow/field-access.ts';
import { F } from '../../flow/fields.ts';
import * as L from '../../flow/layout.ts';
import type { Match } from '../../flow/match.ts';
import { ETH_TYPE_IP, ETH_TYPE_IPV6 } from '../../flow/prerequisites.ts';
import { readInstructions, writeInstructions } from '../action-lists.ts';
import type { Action } from '../actions/types.ts';
import type { Reader } from '../bytes.ts';
import {
  FF_CHECK_OVERLAP,
  FF_EMERG,
  FF_NO_BYT_COUNTS,
  FF_NO_PKT_COUNTS,
  FF_RESET_COUNTS,
  FF_SEND_FLOW_REM,
  OFPG_ANY,
  OFPTT_ALL,
  UINT64_MAX,
} from '../constants.ts';
import {
  type Codec,
  codec,
  type DecodeContext,
  head,
  indexIn,
  type MessageWriter,
  reject,
} from '../family.ts';
import type { Header } from '../header.ts';
import { readOf10Match, writeOf10Match } from '../legacy-match.ts';
import { readMatch, writeMatch } from '../match-codec.ts';
import { type CookieMatch, readNxMatch, writeNxMatch } from '../nx-match.ts';
import { portFromWire16, portFromWire32, portToWire16 } from '../ports.ts';
import { OF10, OF11, OF12, OF13, OF14 } from '../version.ts';

export type FlowModCommand = 'add' | 'modify' | 'modify_strict' | 'delete' | 'delete_strict';

export interface FlowModFields {
  readonly command: FlowModCommand;
  readonly match: Match;
  readonly priority: number;
  /** Affects only flows whose cookie has these bits where `cookieMask` has ones; 0/0 for add. */
  readonly cookie: bigint;
  readonly cookieMask: bigint;
  /** Cookie of a flow added or, if `modifyCookie`, modified; UINT64_MAX: none, so modify adds nothing. */
  readonly newCookie: bigint;
  readonly modifyCookie: boolean;
  /** OFPTT_ALL: the switch chooses (add) or all tables. */
  readonly table: number;
  /** Seconds; 0: never. */
  readonly idleTimeout: number;
  readonly hardTimeout: number;
  /** NO_BUFFER: none. */
  readonly bufferId: number;
  /** For delete: only flows that output there; OFPP_ANY: any. */
  readonly outPort: number;
  /** OFPG_ANY: any. */
  readonly outGroup: number;
  /** FF_* */
  readonly flags: number;
  /** Eviction precedence; OpenFlow 1.4 and later. */
  readonly importance: number;
  readonly actions: readonly Action[];
}

export interface FlowMod extends Header, FlowModFields {
  readonly kind: 'flow_mod';
}

export const FLOW_MOD_COMMANDS: readonly FlowModCommand[] = [
  'add',
  'modify',
  'modify_strict',
  'delete',
  'delete_strict',
];

/** Bit on the wire, first and last version that has it, flag here. */
const FLAGS: readonly (readonly [number, number, number, number])[] = [
  [1 << 0, OF10, 255, FF_SEND_FLOW_REM],
  [1 << 1, OF10, 255, FF_CHECK_OVERLAP],
  [1 << 2, OF10, OF10, FF_EMERG],
  [1 << 2, OF12, 255, FF_RESET_COUNTS],
  [1 << 3, OF13, 255, FF_NO_PKT_COUNTS],
  [1 << 4, OF13, 255, FF_NO_BYT_COUNTS],
];

/** Flags of a flow mod or of flow stats (`command` null). Throws OFPFMFC_BAD_FLAGS for bits not known. */
export function flowFlagsFromWire(wire: number, version: number, command: FlowModCommand | null): number {
  let rest = wire;
  let flags = 0;
  if (wire !== 0)
    for (const [bit, first, last, flag] of FLAGS) {
      if ((rest & bit) === 0 || version < first || version > last) continue;
      rest &= ~bit;
      flags |= flag;
    }
  if (rest !== 0) reject('OFPFMFC_BAD_FLAGS', `unknown flow flags 0x${rest.toString(16)}`);
  // Before the flag existed, to add a flow that is there was to reset its counts.
  if (version <= OF11 && command === 'add') flags |= FF_RESET_COUNTS;
  return flags;
}

export function flowFlagsToWire(flags: number, version: number): number {
  let wire = 0;
  for (const [bit, first, last, flag] of FLAGS) {
    if ((flags & flag) !== 0 && version >= first && version <= last) wire |= bit;
  }
  return wire;
}

function isDelete(command: FlowModCommand): boolean {
  return command === 'delete' || command === 'delete_strict';
}

function isModify(command: FlowModCommand): boolean {
  return command === 'modify' || command === 'modify_strict';
}

function commandOf(number: number): FlowModCommand {
  if (!(number in FLOW_MOD_COMMANDS)) reject('OFPFMFC_BAD_COMMAND', `flow mod command ${number}, at most 4`);
  return FLOW_MOD_COMMANDS[number];
}

/** What stands before instructions, whose reading comes last, as do the checks of flags. */
interface Front {
  readonly fields: Omit<FlowModFields, 'actions' | 'flags'>;
  readonly wireFlags: number;
}

function readOf11FlowMod(r: Reader, c: DecodeContext): Front {
  const cookie = r.u64();
  const cookieMask = r.u64();
  const table = r.u8();
  const number = r.u8();
  const idleTimeout = r.u16();
  const hardTimeout = r.u16();
  const priority = r.u16();
  const bufferId = r.u32();
  const wirePort = r.u32();
  const outGroup = r.u32();
  const wireFlags = r.u16();
  const importance = r.u16();
  const match = readMatch(r, c.options);
  const command = commandOf(number);
  if (table === OFPTT_ALL && (c.version === OF11 || !isDelete(command))) {
    reject('OFPFMFC_BAD_TABLE_ID', `flow mod ${command} of all tables (255)`);
  }
  // OpenFlow 1.1 alone had a modify that adds where nothing matches; its cookie is the new flow's.
  const setsCookie = command === 'add' || (c.version === OF11 && isModify(command) && cookieMask === 0n);
  return {
    fields: {
      command,
      match,
      priority,
      cookie: setsCookie ? 0n : cookie,
      cookieMask: setsCookie ? 0n : cookieMask,
      newCookie: setsCookie ? cookie : UINT64_MAX,
      modifyCookie: false,
      table,
      idleTimeout,
      hardTimeout,
      bufferId,
      outPort: portFromWire32(wirePort),
      outGroup: isDelete(command) ? outGroup : OFPG_ANY,
      importance: c.version >= OF14 && command === 'add' ? importance : 0,
    },
    wireFlags,
  };
}

/** The command's number, and the table id that may stand above it. */
function splitCommand(word: number, c: DecodeContext): { number: number; table: number } {
  if (c.options.flowModTableId !== true) return { number: word, table: OFPTT_ALL };
  return { number: word & 0xff, table: word >>> 8 };
}

function readOf10FlowMod(r: Reader, c: DecodeContext): Front {
  const { match, wildcards } = readOf10Match(r);
  match.normalize();
  const newCookie = r.u64();
  const { number, table } = splitCommand(r.u16(), c);
  const idleTimeout = r.u16();
  const hardTimeout = r.u16();
  const wirePriority = r.u16();
  const bufferId = r.u32();
  const outPort = portFromWire16(r.u16());
  const wireFlags = r.u16();
  return {
    fields: {
      command: commandOf(number),
      match,
      // A flow that matches every field exactly comes before all others, says OpenFlow 1.0.
      priority: wildcards === 0 ? 0xffff : wirePriority,
      cookie: 0n,
      cookieMask: 0n,
      newCookie,
      modifyCookie: newCookie !== UINT64_MAX,
      table,
      idleTimeout,
      hardTimeout,
      bufferId,
      outPort,
      outGroup: OFPG_ANY,
      importance: 0,
    },
    wireFlags,
  };
}

function readNxFlowMod(r: Reader, c: DecodeContext): Front {
  const newCookie = r.u64();
  const { number, table } = splitCommand(r.u16(), c);
  const idleTimeout = r.u16();
  const hardTimeout = r.u16();
  const priority = r.u16();
  const bufferId = r.u32();
  const outPort = portFromWire16(r.u16());
  const wireFlags = r.u16();
  const matchLength = r.u16();
  r.skip(6);
  const cookies: CookieMatch = { cookie: 0n, cookieMask: 0n };
  const match = readNxMatch(r, matchLength, c.options, cookies);
  if (number === 0 && cookies.cookieMask !== 0n) {
    reject('NXBRC_NXM_INVALID', 'a flow mod that adds cannot match a cookie');
  }
  return {
    fields: {
      command: commandOf(number),
      match,
      priority,
      ...cookies,
      newCookie,
      modifyCookie: newCookie !== UINT64_MAX,
      table,
      idleTimeout,
      hardTimeout,
      bufferId,
      outPort,
      outGroup: OFPG_ANY,
      importance: 0,
    },
    wireFlags,
  };
}

/** Addresses of a connection's first packet must be of the match's own IP version. */
function checkConnectionAddresses({ flow, mask }: Match): void {
  const type = flow[L.W_ETH_TYPE] >>> 16;
  const v4 = !isFieldWild(mask, F.ctNwSrc) || !isFieldWild(mask, F.ctNwDst);
  const v6 = !isFieldWild(mask, F.ctIpv6Src) || !isFieldWild(mask, F.ctIpv6Dst);
  if ((v4 && type !== ETH_TYPE_IP) || (v6 && type !== ETH_TYPE_IPV6)) {
    reject('OFPBAC_MATCH_INCONSISTENT', 'ct_nw or ct_ipv6 addresses are matched, but not that version of IP');
  }
}

function writeOf11FlowMod(m: FlowMod, out: MessageWriter): void {
  const { w, version } = out;
  const setsCookie = m.command === 'add' || (version === OF11 && isModify(m.command) && m.cookieMask === 0n);
  w.u64(setsCookie ? m.newCookie : m.cookie & m.cookieMask);
  w.u64(m.cookieMask);
  const allTables = m.table === OFPTT_ALL && (version === OF11 || !isDelete(m.command));
  w.u8(allTables ? 0 : m.table);
  w.u8(indexIn(FLOW_MOD_COMMANDS, m.command));
  w.u16(m.idleTimeout);
  w.u16(m.hardTimeout);
  w.u16(m.priority);
  w.u32(m.bufferId);
  w.u32(m.outPort);
  w.u32(m.outGroup);
  w.u16(flowFlagsToWire(m.flags, version));
  w.u16(version >= OF14 && m.command === 'add' ? m.importance : 0);
  writeMatch(w, m.match, version);
}

function commandWord(m: FlowMod, out: MessageWriter): number {
  const number = indexIn(FLOW_MOD_COMMANDS, m.command);
  return out.options.flowModTableId === true ? number | (m.table << 8) : number;
}

function writeNxFlowMod(m: FlowMod, out: MessageWriter): void {
  const { w } = out;
  w.u64(m.newCookie);
  w.u16(commandWord(m, out));
  w.u16(m.idleTimeout);
  w.u16(m.hardTimeout);
  w.u16(m.priority);
  w.u32(m.bufferId);
  w.u16(portToWire16(m.outPort));
  w.u16(flowFlagsToWire(m.flags, out.version));
  const lengthAt = w.zeros(8);
  w.setU16(lengthAt, writeNxMatch(w, m.match, m));
}

function writeOf10FlowMod(m: FlowMod, out: MessageWriter): void {
  const { w } = out;
  writeOf10Match(w, m.match);
  w.u64(m.newCookie);
  w.u16(commandWord(m, out));
  w.u16(m.idleTimeout);
  w.u16(m.hardTimeout);
  w.u16(m.priority);
  w.u32(m.bufferId);
  w.u16(portToWire16(m.outPort));
  w.u16(flowFlagsToWire(m.flags, out.version));
}

const flowMod = codec(
  ['flow_mod'],
  (r, c) => {
    const read = c.variant === 'nx' ? readNxFlowMod : c.version === OF10 ? readOf10FlowMod : readOf11FlowMod;
    const { fields, wireFlags } = read(r, c);
    checkConnectionAddresses(fields.match);
    const actions = readInstructions(r, r.left, c);
    const flags = flowFlagsFromWire(wireFlags, c.version, fields.command);
    if ((flags & FF_EMERG) !== 0) {
      reject(
        fields.idleTimeout !== 0 || fields.hardTimeout !== 0
          ? 'OFPFMFC_BAD_EMERG_TIMEOUT'
          : 'OFPFMFC_TABLE_FULL',
        'there is no emergency flow cache',
      );
    }
    return { ...head(c, 'flow_mod'), ...fields, flags, actions };
  },
  (m, out) => {
    if (out.variant === 'nx') writeNxFlowMod(m, out);
    else if (out.version === OF10) writeOf10FlowMod(m, out);
    else writeOf11FlowMod(m, out);
    writeInstructions(out.w, m.actions, out.version);
  },
);

export const flowModCodecs: readonly Codec[] = [flowMod];
