import type { Match } from '../../flow/match.ts';
import { readActions, readInstructions, writeActions, writeInstructions } from '../action-lists.ts';
import type { Action } from '../actions/types.ts';
import { type Reader, roundUp, type Writer } from '../bytes.ts';
import {
  OFPFMF_ADD,
  OFPFMF_INITIAL,
  OFPFMF_INSTRUCTIONS,
  OFPFMF_MODIFY,
  OFPFMF_ONLY_OWN,
  OFPFMF_REMOVED,
  OFPG_ANY,
  OFPP_ANY,
  OFPTT_ALL,
} from '../constants.ts';
import {
  type Codec,
  codec,
  type DecodeContext,
  head,
  indexIn,
  type MessageWriter,
  multipartHead,
  reject,
} from '../family.ts';
import type { Header, Multipart } from '../header.ts';
import { readMatch, writeOxmMatch } from '../match-codec.ts';
import { readNxMatch, writeNxMatch } from '../nx-match.ts';
import { portFromWire16, portFromWire32, portToWire16 } from '../ports.ts';

export interface FlowMonitor {
  readonly id: number;
  /** OpenFlow 1.4 and later; before it `add`. */
  readonly command: 'add' | 'modify' | 'delete';
  /** OFPFMF_* */
  readonly flags: number;
  /** OFPP_ANY: any. */
  readonly outPort: number;
  /** OFPG_ANY: any. */
  readonly outGroup: number;
  /** OFPTT_ALL: all. */
  readonly table: number;
  readonly match: Match;
}

export interface FlowMonitorRequest extends Header, Multipart {
  readonly kind: 'flow_monitor_request';
  readonly monitors: readonly FlowMonitor[];
}

/** A change of a flow, told in full. */
export interface FullFlowUpdate {
  readonly event: 'initial' | 'added' | 'removed' | 'modified';
  /** OFPRR_* of `removed`; else 0. */
  readonly reason: number;
  readonly idleTimeout: number;
  readonly hardTimeout: number;
  readonly table: number;
  readonly priority: number;
  readonly cookie: bigint;
  readonly match: Match;
  readonly actions: readonly Action[];
}

/** One change of the flow tables. */
export type FlowUpdate =
  | FullFlowUpdate
  /** By the receiver's own request, of which this is the xid. */
  | { readonly event: 'abbrev'; readonly xid: number }
  /** OpenFlow 1.4 and later; before it messages of their own. */
  | { readonly event: 'paused' | 'resumed' };

export interface FlowMonitorReply extends Header, Multipart {
  readonly kind: 'flow_monitor_reply';
  readonly updates: readonly FlowUpdate[];
}

/** Up to OpenFlow 1.3; later ones send a flow_monitor_request with command `delete`. */
export interface FlowMonitorCancel extends Header {
  readonly kind: 'flow_monitor_cancel';
  readonly id: number;
}

const COMMANDS: readonly FlowMonitor['command'][] = ['add', 'modify', 'delete'];
const EVENT_FLAGS = OFPFMF_ADD | OFPFMF_REMOVED | OFPFMF_MODIFY;
const KNOWN_FLAGS = OFPFMF_INITIAL | EVENT_FLAGS | OFPFMF_INSTRUCTIONS | OFPFMF_ONLY_OWN;
/** Nicira's and the ONF's forms number "own" differently; the other flags are the standard's. */
const NX_OWN = 1 << 5;

function flagsFromNx(wire: number): number {
  return (wire & ~NX_OWN) | ((wire & NX_OWN) !== 0 ? OFPFMF_ONLY_OWN : 0);
}

function flagsToNx(flags: number): number {
  return (flags & 0x1f) | ((flags & OFPFMF_ONLY_OWN) !== 0 ? NX_OWN : 0);
}

function checkFlags(flags: number, wire: number): void {
  if ((flags & EVENT_FLAGS) === 0 || (flags & ~KNOWN_FLAGS) !== 0) {
    reject(
      'OFPMOFC_BAD_FLAGS',
      `flow monitor flags 0x${wire.toString(16)}: must name an event and nothing that is not known`,
    );
  }
}

function readMonitor(r: Reader, c: DecodeContext): FlowMonitor {
  return c.variant === 'std' ? readOf14Monitor(r, c) : readOldMonitor(r, c);
}

/** Nicira's form and the ONF's, which differ in port and match. */
function readOldMonitor(r: Reader, c: DecodeContext): FlowMonitor {
  const nx = c.variant === 'nx';
  const id = r.u32();
  const wire = r.u16();
  const nxPort = nx ? r.u16() : 0;
  const matchLength = r.u16();
  const port = nx ? portFromWire16(nxPort) : r.u32();
  const table = r.u8();
  const flags = flagsFromNx(wire);
  // The standard's bit for "own" is none of theirs.
  checkFlags((wire & OFPFMF_ONLY_OWN) !== 0 ? 0 : flags, wire);
  if (!r.zeros(nx ? 5 : 3)) reject('NXBRC_MUST_BE_ZERO', 'flow monitor: bytes that must be 0 are not');
  const outPort = nx ? port : portFromWire32(port);
  const match = nx ? readNxMatch(r, matchLength, c.options) : readMatch(r, c.options);
  return { id, command: 'add', flags, outPort, outGroup: OFPG_ANY, table, match };
}

function readOf14Monitor(r: Reader, c: DecodeContext): FlowMonitor {
  const id = r.u32();
  const outPort = r.u32();
  const outGroup = r.u32();
  const flags = r.u16();
  const table = r.u8();
  const number = r.u8();
  if (!(number in COMMANDS)) reject('OFPMOFC_BAD_COMMAND', `flow monitor command ${number}, at most 2`);
  const command = COMMANDS[number];
  if (command === 'delete') {
    const match = readMatch(r, c.options);
    return { id, command, flags: 0, outPort: OFPP_ANY, outGroup: OFPG_ANY, table: OFPTT_ALL, match };
  }
  checkFlags(flags, flags);
  return {
    id,
    command,
    flags,
    outPort: portFromWire32(outPort),
    outGroup,
    table,
    match: readMatch(r, c.options),
  };
}

function writeMonitor(w: Writer, m: FlowMonitor, { version, variant }: MessageWriter): void {
  w.u32(m.id);
  if (variant === 'std') {
    w.u32(m.outPort);
    w.u32(m.outGroup);
    w.u16(m.flags);
    w.u8(m.table);
    w.u8(indexIn(COMMANDS, m.command));
    writeOxmMatch(w, m.match, version);
    return;
  }
  if (m.command !== 'add') reject('OFPMOFC_BAD_COMMAND', `flow monitor ${m.command} needs OpenFlow 1.4`);
  w.u16(flagsToNx(m.flags));
  if (variant === 'nx') {
    w.u16(portToWire16(m.outPort));
    const lengthAt = w.zeros(2);
    w.u8(m.table);
    w.zeros(5);
    w.setU16(lengthAt, writeNxMatch(w, m.match));
  } else {
    const lengthAt = w.zeros(2);
    w.u32(m.outPort);
    w.u8(m.table);
    w.zeros(3);
    w.setU16(lengthAt, writeOxmMatch(w, m.match, version));
  }
}

const request = codec(
  ['flow_monitor_request'],
  (r, c) => {
    const monitors: FlowMonitor[] = [];
    while (r.left > 0) monitors.push(readMonitor(r, c));
    return { ...multipartHead(c, 'flow_monitor_request'), monitors };
  },
  ({ monitors }, out) => {
    for (const monitor of monitors) out.entry((w) => writeMonitor(w, monitor, out));
  },
);

type FullEvent = FullFlowUpdate['event'];
const OF14_EVENTS = ['initial', 'added', 'removed', 'modified', 'abbrev', 'paused', 'resumed'] as const;
const NX_EVENTS = ['added', 'removed', 'modified', 'abbrev'] as const;

function readUpdate(r: Reader, c: DecodeContext): FlowUpdate {
  const events: readonly FlowUpdate['event'][] = c.variant === 'std' ? OF14_EVENTS : NX_EVENTS;
  const length = r.u16();
  const number = r.u16();
  if (length % 8 !== 0 || length < 8 || length - 4 > r.left) {
    reject('OFPBRC_BAD_LEN', `flow update of length ${length}, ${r.left + 4} are there`);
  }
  const entry = r.sub(length - 4);
  if (!(number in events)) reject('NXBRC_FM_BAD_EVENT', `flow update of event ${number}`);
  const event = events[number];
  if (event === 'abbrev' || event === 'paused' || event === 'resumed') {
    if (length !== 8) reject('OFPBRC_BAD_LEN', `flow update ${event} of length ${length}, must be 8`);
    return event === 'abbrev' ? { event, xid: entry.u32() } : { event };
  }
  return c.variant === 'std' ? readOf14Update(entry, event, c) : readOldUpdate(entry, event, c);
}

function readOf14Update(r: Reader, event: FullEvent, c: DecodeContext): FlowUpdate {
  const table = r.u8();
  const reason = r.u8();
  const idleTimeout = r.u16();
  const hardTimeout = r.u16();
  const priority = r.u16();
  r.skip(4);
  const cookie = r.u64();
  const match = readMatch(r, c.options);
  const actions = readInstructions(r, r.left, c);
  return { event, reason, idleTimeout, hardTimeout, table, priority, cookie, match, actions };
}

function readOldUpdate(r: Reader, event: FullEvent, c: DecodeContext): FlowUpdate {
  const reason = r.u16();
  const priority = r.u16();
  const idleTimeout = r.u16();
  const hardTimeout = r.u16();
  const matchLength = r.u16();
  const table = r.u8();
  r.skip(1);
  const cookie = r.u64();
  if (roundUp(matchLength, 8) > r.left) {
    reject('OFPBRC_BAD_LEN', `match of ${matchLength} bytes in a flow update, ${r.left} are left`);
  }
  const nx = c.variant === 'nx';
  const match = nx ? readNxMatch(r, matchLength, c.options) : readMatch(r, c.options);
  const actions = nx ? readActions(r, r.left, c) : readInstructions(r, r.left, c);
  return { event, reason, idleTimeout, hardTimeout, table, priority, cookie, match, actions };
}

function writeUpdate(w: Writer, u: FlowUpdate, out: MessageWriter): void {
  const start = w.length;
  const std = out.variant === 'std';
  const event = !std && u.event === 'initial' ? 'added' : u.event;
  const events: readonly FlowUpdate['event'][] = std ? OF14_EVENTS : NX_EVENTS;
  if (!events.includes(event)) reject('NXBRC_FM_BAD_EVENT', `flow update ${event} needs OpenFlow 1.4`);
  w.u16(0);
  w.u16(events.indexOf(event));
  if (!('match' in u)) w.u32(u.event === 'abbrev' ? u.xid : 0);
  else if (std) writeOf14Update(w, u, out);
  else writeOldUpdate(w, u, out);
  w.setU16(start, w.length - start);
}

function writeOf14Update(w: Writer, u: FullFlowUpdate, { version }: MessageWriter): void {
  w.u8(u.table);
  w.u8(u.reason);
  w.u16(u.idleTimeout);
  w.u16(u.hardTimeout);
  w.u16(u.priority);
  w.u32(0);
  w.u64(u.cookie);
  writeOxmMatch(w, u.match, version);
  writeInstructions(w, u.actions, version);
}

function writeOldUpdate(w: Writer, u: FullFlowUpdate, { version, variant }: MessageWriter): void {
  w.u16(u.reason);
  w.u16(u.priority);
  w.u16(u.idleTimeout);
  w.u16(u.hardTimeout);
  const lengthAt = w.zeros(2);
  w.u8(u.table);
  w.u8(0);
  w.u64(u.cookie);
  if (variant === 'nx') {
    w.setU16(lengthAt, writeNxMatch(w, u.match));
    writeActions(w, u.actions, version);
  } else {
    w.setU16(lengthAt, writeOxmMatch(w, u.match, version));
    writeInstructions(w, u.actions, version);
  }
}

const reply = codec(
  ['flow_monitor_reply'],
  (r, c) => {
    const updates: FlowUpdate[] = [];
    while (r.left > 0) updates.push(readUpdate(r, c));
    return { ...multipartHead(c, 'flow_monitor_reply'), updates };
  },
  ({ updates }, out) => {
    for (const update of updates) out.entry((w) => writeUpdate(w, update, out));
  },
);

const cancel = codec(
  ['flow_monitor_cancel'],
  (r, c) => ({ ...head(c, 'flow_monitor_cancel'), id: r.u32() }),
  ({ id }, { w }) => w.u32(id),
);

export const monitorCodecs: readonly Codec[] = [request, reply, cancel];
