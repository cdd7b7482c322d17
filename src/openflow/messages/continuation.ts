import { readActions, readInstructions, writeActions, writeInstructions } from '../action-lists.ts';
import type { Action } from '../actions/types.ts';
import { Reader, Writer } from '../bytes.ts';
import type { CodecOptions } from '../message.ts';
import {
  nestedPayload,
  propertyU32,
  propertyU64,
  readProperties,
  unknownProperty,
  writeProperty,
} from '../properties.ts';
import { OF15, type OfVersion } from '../version.ts';

/** What a switch must know to go on with a paused packet. Private to the switch that sent it. */
export interface Continuation {
  /** UUID of the bridge, 16 bytes. */
  readonly bridge: Uint8Array;
  /** Values pushed, bottom first, each with the bytes that it takes. */
  readonly stack: readonly Uint8Array[];
  /** Mirrors that already have the packet, a bit each. */
  readonly mirrors: number;
  readonly conntracked: boolean;
  /** What remains to do, first that of the innermost resubmit. */
  readonly actions: readonly ActionGroup[];
  readonly actionSet: readonly Action[];
  /** Datapath port of the packet; 0: none. */
  readonly odpPort: number;
}

/** Actions that remain of one flow, whose table and cookie further packet-ins will name. */
export interface ActionGroup {
  readonly table: number;
  readonly cookie: bigint;
  readonly actions: readonly Action[];
}

const BRIDGE = 0x8000;
const STACK = 0x8001;
const MIRRORS = 0x8002;
const CONNTRACKED = 0x8003;
const TABLE_ID = 0x8004;
const COOKIE = 0x8005;
const ACTIONS = 0x8006;
const ACTION_SET = 0x8007;
const ODP_PORT = 0x8008;
/** One instruction, in the words of OpenFlow 1.5. Not Open vSwitch's: its continuations have actions only. */
const INSTRUCTION = 0x8009;
const UUID_LENGTH = 16;

/**
 * The bytes of a continuation, for a packet-in. `version` is the connection's: the controller sends
 * them back unread, on a connection that may speak another.
 */
export function encodeContinuation(state: Continuation, version: OfVersion): Uint8Array {
  const w = new Writer();
  if (state.bridge.some((b) => b !== 0)) writeProperty(w, BRIDGE, () => w.put(state.bridge));
  for (const value of state.stack.toReversed()) writeProperty(w, STACK, () => w.put(value));
  if (state.mirrors !== 0) writeProperty(w, MIRRORS, () => w.u32(state.mirrors));
  if (state.conntracked) writeProperty(w, CONNTRACKED, () => {});
  let table = 0;
  let cookie = 0n;
  for (const group of state.actions) {
    if (group.table !== table) {
      table = group.table;
      writeProperty(w, TABLE_ID, () => w.u8(group.table));
    }
    if (group.cookie !== cookie) {
      cookie = group.cookie;
      writeProperty(w, COOKIE, () => w.u64(group.cookie), true);
    }
    writeRemaining(w, group.actions, version);
  }
  if (state.actionSet.length > 0) {
    writeProperty(w, ACTION_SET, () => writeActions(w, state.actionSet, version), true);
  }
  if (state.odpPort !== 0) writeProperty(w, ODP_PORT, () => w.u32(state.odpPort));
  return w.slice();
}

/**
 * What remains of one flow, in its order. An instruction among a list of actions would be read as another action, or not at
 * all, so that each stands by itself; whether a meter is one depends on the version, so that it counts as one.
 */
function writeRemaining(w: Writer, actions: readonly Action[], version: OfVersion): void {
  let run: Action[] = [];
  const endRun = () => {
    if (run.length > 0) writeProperty(w, ACTIONS, () => writeActions(w, run, version), true);
    run = [];
  };
  for (const action of actions) {
    if (!isInstruction(action)) {
      run.push(action);
      continue;
    }
    endRun();
    writeProperty(w, INSTRUCTION, () => writeInstructions(w, [action], OF15), true);
  }
  endRun();
}

function isInstruction({ type }: Action): boolean {
  switch (type) {
    case 'goto_table':
    case 'write_metadata':
    case 'write_actions':
    case 'clear_actions':
    case 'meter':
      return true;
    default:
      return false;
  }
}

/** Reads what {@link encodeContinuation} wrote. Throws OfError for anything else. */
export function decodeContinuation(
  bytes: Uint8Array,
  version: OfVersion,
  options: CodecOptions = {},
): Continuation {
  const context = { version, options };
  const stack: Uint8Array[] = [];
  const groups: ActionGroup[] = [];
  let bridge = new Uint8Array(UUID_LENGTH);
  let mirrors = 0;
  let conntracked = false;
  let table = 0;
  let cookie = 0n;
  let actionSet: readonly Action[] = [];
  let odpPort = 0;
  for (const property of readProperties(new Reader(bytes, 'OFPBPC_BAD_LEN'))) {
    const { payload } = property;
    switch (property.experimenter === 0 ? property.type : -1) {
      case BRIDGE:
        bridge = new Uint8Array(payload.read(UUID_LENGTH));
        break;
      case STACK:
        stack.unshift(payload.rest());
        break;
      case MIRRORS:
        mirrors = propertyU32(property);
        break;
      case CONNTRACKED:
        conntracked = true;
        break;
      case TABLE_ID:
        table = payload.u8();
        break;
      case COOKIE:
        cookie = propertyU64(property);
        break;
      case ACTIONS: {
        const r = nestedPayload(property);
        groups.push({ table, cookie, actions: readActions(r, r.left, context) });
        break;
      }
      case INSTRUCTION: {
        const r = nestedPayload(property);
        groups.push({ table, cookie, actions: readInstructions(r, r.left, { version: OF15, options }) });
        break;
      }
      case ACTION_SET: {
        const r = nestedPayload(property);
        actionSet = readActions(r, r.left, context);
        break;
      }
      case ODP_PORT:
        odpPort = propertyU32(property);
        break;
      default:
        throw unknownProperty(property, 'continuation');
    }
  }
  return { bridge, stack, mirrors, conntracked, actions: groups, actionSet, odpPort };
}
