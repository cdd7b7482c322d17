import type { TunnelMetadataMap } from '../../flow/tun-metadata.ts';
import { be16, be32 } from '../big-endian.ts';
import { NX_VENDOR, OF10, OF11, OF15, type OfVersion, ONF_VENDOR } from '../version.ts';
import { inActionSet } from './action-set.ts';
import type { DecodeContext, EncodeContext, FormatContext, Outer, ParseContext } from './codec.ts';
import {
  OFPIT_APPLY_ACTIONS,
  OFPIT_CLEAR_ACTIONS,
  OFPIT_EXPERIMENTER,
  OFPIT_GOTO_TABLE,
  OFPIT_WRITE_ACTIONS,
  OFPIT_WRITE_METADATA,
  OFPIT13_METER,
} from './instructions.ts';
import { P_ANY, P_OF15_UP } from './protocols.ts';
import { codecOf, parserOf, wireFormOf } from './registry.ts';
import { keyValues, type NameMap, parsePort, syntaxError } from './text.ts';
import type { Action } from './types.ts';
import {
  ALL_INSTRUCTIONS,
  type Allowed,
  APPLY_AND_METER,
  APPLY_ONLY,
  findViolation,
  instructionOf,
} from './verify.ts';
import { ActionBytes, ActionWriter, ALIGN, OFPAT_VENDOR, refuse } from './wire.ts';

/**
 * Lists of actions and instructions: to and from text, to and from the wire.
 *
 * Lists nest (clone, ct, write_actions), at most {@link MAX_DEPTH} deep, and what a message or a text
 * can hold bounds their length: {@link MAX_SIZE} bytes, with each action taking some.
 */

/** Deepest nesting of lists that is read. */
export const MAX_DEPTH = 100;
/** Most bytes that the actions of one list may take up. */
export const MAX_SIZE = 0xffff;
/** What each action takes up at least. */
const ACTION_SIZE = 16;

// --- Text -----------------------------------------------------------------------------------------------

export interface ActionTextOptions {
  /** Names of ports and tables, beside their numbers. */
  readonly ports?: NameMap | null;
  readonly tables?: NameMap | null;
}

export interface ParsedActions {
  readonly actions: readonly Action[];
  /** Flow formats (protocols.ts) that can carry the actions. */
  readonly protocols: number;
}

class Parser implements ParseContext {
  readonly ports: NameMap | null;
  readonly tables: NameMap | null;
  protocols = P_ANY;
  private depth = 0;

  constructor(options: ActionTextOptions) {
    this.ports = options.ports ?? null;
    this.tables = options.tables ?? null;
  }

  restrict(protocols: number): void {
    this.protocols &= protocols;
  }

  nested(text: string, outer: Outer): readonly Action[] {
    return this.parse(text, false, outer);
  }

  parse(text: string, instructions: boolean, outer: Outer): readonly Action[] {
    if (this.depth >= MAX_DEPTH) syntaxError('Action nested too deeply');
    this.depth++;
    const actions: Action[] = [];
    let size = 0;
    let drop = false;
    for (const { key, value } of keyValues(text)) {
      const action = this.parseOne(key, value);
      if (action === null) {
        drop = true;
        continue;
      }
      if (action.type === 'meter' && !instructions) this.restrict(P_OF15_UP);
      actions.push(action);
      size += sizeOf(action);
      if (size > MAX_SIZE) syntaxError('input too big');
    }
    this.depth--;
    if (drop && actions.length > 0) {
      syntaxError('"drop" must not be accompanied by any other action or instruction');
    }
    const allowed = instructions ? ALL_INSTRUCTIONS : APPLY_AND_METER;
    const violation = findViolation(actions, OF11, allowed, outer);
    if (violation !== null) syntaxError(violation.message);
    return actions;
  }

  /** One action; null: drop. */
  private parseOne(key: string, value: string): Action | null {
    const parse = parserOf(key);
    if (parse !== undefined) return parse(value, this);
    const word = key.toLowerCase();
    if (word === 'drop') return null;
    if (word === 'apply_actions') syntaxError('apply_actions is the default instruction');
    const port = parsePort(key, this.ports);
    return port === null ? syntaxError(`unknown action ${key}`) : { type: 'output', port, maxLen: 0 };
  }
}

/** Bytes that an action takes up, as {@link MAX_SIZE} counts them. */
function sizeOf(action: Action): number {
  let size = ACTION_SIZE + (codecOf(action.type).size?.(action) ?? 0);
  if ('actions' in action) for (const inner of action.actions) size += sizeOf(inner);
  return size;
}

/**
 * Reads actions as ovs-actions(7) writes them: `mod_vlan_vid:5,output:1`. Empty and `drop` are an
 * empty list. OpenFlow 1.1's instructions are not taken: see {@link parseInstructions}.
 * @throws WeftError that says what is wrong, in the words of ovs-ofctl.
 */
export function parseActions(text: string, options: ActionTextOptions = {}): readonly Action[] {
  return new Parser(options).parse(text, false, 'none');
}

/** Reads what stands after `actions=` in a flow: actions and instructions. */
export function parseInstructions(text: string, options: ActionTextOptions = {}): readonly Action[] {
  return new Parser(options).parse(text, true, 'none');
}

/** {@link parseActions} or {@link parseInstructions}, and the flow formats that can carry the result. */
export function parseWithProtocols(
  text: string,
  options: ActionTextOptions & { readonly instructions: boolean },
): ParsedActions {
  const parser = new Parser(options);
  const actions = parser.parse(text, options.instructions, 'none');
  return { actions, protocols: parser.protocols };
}

/** Writes actions as `ovs-ofctl dump-flows` does after `actions=`: `drop` for none. */
export function formatActions(actions: readonly Action[], options: ActionTextOptions = {}): string {
  const context: FormatContext = {
    ports: options.ports ?? null,
    tables: options.tables ?? null,
    list: (inner) => formatList(inner, context),
  };
  return formatList(actions, context);
}

function formatList(actions: readonly Action[], context: FormatContext): string {
  if (actions.length === 0) return 'drop';
  return actions.map((action) => codecOf(action.type).format(action, context)).join(',');
}

// --- To the wire ----------------------------------------------------------------------------------------

class Encoder implements EncodeContext {
  readonly version: OfVersion;
  readonly out: ActionWriter;

  constructor(version: OfVersion, out: ActionWriter) {
    this.version = version;
    this.out = out;
  }

  list(actions: readonly Action[]): void {
    for (const action of actions) this.one(action);
  }

  one(action: Action): void {
    codecOf(action.type).encode(action, this.out, this);
  }

  instructions(actions: readonly Action[]): void {
    const { out, version } = this;
    let i = 0;
    while (i < actions.length) {
      if (instructionOf(actions[i], version) !== 'apply_actions') {
        this.one(actions[i++]);
        continue;
      }
      const start = out.standard(OFPIT_APPLY_ACTIONS);
      out.zeros(4);
      const empty = out.length;
      for (; i < actions.length && instructionOf(actions[i], version) === 'apply_actions'; i++)
        this.one(actions[i]);
      // An instruction that applies nothing is left out.
      if (out.length === empty) out.truncate(start);
      else out.end(start);
    }
  }
}

/**
 * Writes a list of actions, each as the version's own action where it has one, else as Nicira's
 * extension. Actions that a version can't express at all (push_vlan in 1.0) are left out.
 * @throws OfError if an action would exceed 64 kB.
 */
export function encodeActions(
  actions: readonly Action[],
  version: OfVersion,
  out: ActionWriter = new ActionWriter(),
): Uint8Array {
  const encoder = new Encoder(version, out);
  encoder.list(actions);
  return encoder.out.finish();
}

/** Writes a flow's actions and instructions; in OpenFlow 1.0, which has no instructions, a list of actions. */
export function encodeInstructions(
  actions: readonly Action[],
  version: OfVersion,
  out: ActionWriter = new ActionWriter(),
): Uint8Array {
  const encoder = new Encoder(version, out);
  if (version === OF10) encoder.list(actions);
  else encoder.instructions(actions);
  return encoder.out.finish();
}

// --- Off the wire ---------------------------------------------------------------------------------------

export interface ActionDecodeOptions {
  /** Where tunnel metadata fields lie; those that have no place are refused. Default: none needs one. */
  readonly tunnelMetadata?: TunnelMetadataMap | null;
  /** Take the debug actions. Default: no. */
  readonly debug?: boolean;
}

class Decoder implements DecodeContext {
  readonly version: OfVersion;
  readonly tunnelMetadata: TunnelMetadataMap | null;
  readonly debug: boolean;
  private depth = 0;

  constructor(version: OfVersion, options: ActionDecodeOptions) {
    this.version = version;
    this.tunnelMetadata = options.tunnelMetadata ?? null;
    this.debug = options.debug ?? false;
  }

  nested(data: Uint8Array, outer: Outer): readonly Action[] {
    return this.verified(data, APPLY_ONLY, outer === 'ct' ? 'ct' : 'none');
  }

  verified(data: Uint8Array, allowed: Allowed, outer: Outer): readonly Action[] {
    if (data.length % ALIGN !== 0) {
      refuse('OFPBRC_BAD_LEN', `actions of ${data.length} bytes: not a multiple of ${ALIGN}`);
    }
    const actions = this.list(data);
    this.verify(actions, allowed, outer);
    return actions;
  }

  verify(actions: readonly Action[], allowed: Allowed, outer: Outer): void {
    const violation = findViolation(actions, this.version, allowed, outer);
    if (violation !== null) refuse(violation.ofperr, violation.message);
  }

  list(data: Uint8Array): readonly Action[] {
    if (this.depth >= MAX_DEPTH) refuse('OFPBAC_TOO_MANY', `actions nested more than ${MAX_DEPTH} deep`);
    this.depth++;
    const actions: Action[] = [];
    let at = 0;
    while (at < data.length) {
      const length = this.measure(data, at, actions);
      at += length;
    }
    this.depth--;
    return actions;
  }

  /** Decodes the action at `at` onto `actions`; returns its length. */
  private measure(data: Uint8Array, at: number, actions: Action[]): number {
    const left = data.length - at;
    if (left < ALIGN) refuse('OFPBAC_BAD_LEN', `${left} bytes at offset ${at} are too few for an action`);
    let type = be16(data, at);
    let vendor = 0;
    if (type === OFPAT_VENDOR) {
      vendor = be32(data, at + 4);
      if (vendor !== NX_VENDOR && vendor !== ONF_VENDOR) {
        refuse('OFPBAC_BAD_VENDOR', `action at offset ${at} of unknown vendor 0x${vendor.toString(16)}`);
      }
      if (left < 16)
        refuse('OFPBAC_BAD_LEN', `${left} bytes at offset ${at} are too few for a vendor's action`);
      type = be16(data, at + 8);
    }
    const form = wireFormOf(this.version, vendor, type);
    if (form === undefined) {
      const what = vendor === 0 ? `type ${type}` : `vendor 0x${vendor.toString(16)} and subtype ${type}`;
      refuse(
        vendor === 0 ? 'OFPBAC_BAD_TYPE' : 'OFPBAC_BAD_VENDOR_TYPE',
        `unknown action at offset ${at}: ${what} in OpenFlow version ${this.version}`,
      );
    }
    const length = be16(data, at + 2);
    if (length > left || length < form.minLength || length > form.maxLength || length % ALIGN !== 0) {
      refuse(
        'OFPBAC_BAD_LEN',
        `action type ${type} at offset ${at} has length ${length}, with ${left} bytes left`,
      );
    }
    actions.push(form.decode(new ActionBytes(data.subarray(at, at + length)), this));
    return length;
  }

  instructions(data: Uint8Array): readonly Action[] {
    const found = this.findInstructions(data);
    const actions: Action[] = [];
    const meter = found[OFPIT13_METER];
    if (meter !== undefined) actions.push({ type: 'meter', meter: meter.u32(4) });
    const apply = found[OFPIT_APPLY_ACTIONS];
    if (apply !== undefined) for (const action of this.list(apply.data.subarray(ALIGN))) actions.push(action);
    if (found[OFPIT_CLEAR_ACTIONS] !== undefined) actions.push({ type: 'clear_actions' });
    const write = found[OFPIT_WRITE_ACTIONS];
    if (write !== undefined) {
      const inner = this.list(write.data.subarray(ALIGN));
      const bad = inner.find((action) => !inActionSet(action));
      if (bad !== undefined)
        refuse('OFPBAC_BAD_TYPE', `${codecOf(bad.type).name} has no place in an action set`);
      actions.push({ type: 'write_actions', actions: inner });
    }
    const metadata = found[OFPIT_WRITE_METADATA];
    if (metadata !== undefined) {
      actions.push({ type: 'write_metadata', metadata: metadata.u64(8), mask: metadata.u64(16) });
    }
    const goto = found[OFPIT_GOTO_TABLE];
    if (goto !== undefined) actions.push({ type: 'goto_table', table: goto.u8(4) });
    this.verify(actions, ALL_INSTRUCTIONS, 'none');
    return actions;
  }

  /** The instructions by number; each may stand there once. */
  private findInstructions(data: Uint8Array): (ActionBytes | undefined)[] {
    if (data.length % ALIGN !== 0) {
      refuse('OFPBIC_BAD_LEN', `instructions of ${data.length} bytes: not a multiple of ${ALIGN}`);
    }
    const found: (ActionBytes | undefined)[] = [];
    let at = 0;
    while (at < data.length) {
      const type = be16(data, at);
      const length = be16(data, at + 2);
      const left = data.length - at;
      if (length % ALIGN !== 0 || length < ALIGN || length > left) {
        refuse('OFPBIC_BAD_LEN', `instruction at offset ${at} has length ${length}, with ${left} bytes left`);
      }
      if (type === OFPIT_EXPERIMENTER)
        refuse('OFPBIC_BAD_EXPERIMENTER', `experimenter instruction at offset ${at}`);
      const fixed = INSTRUCTION_LENGTHS.get(type);
      if (fixed === undefined)
        refuse('OFPBIC_UNKNOWN_INST', `instruction at offset ${at} has unknown type ${type}`);
      if (fixed !== 0 && length !== fixed) {
        refuse('OFPBIC_BAD_LEN', `instruction ${type} at offset ${at} has length ${length}, not ${fixed}`);
      }
      if (type === OFPIT13_METER && this.version >= OF15) {
        refuse('OFPBIC_UNKNOWN_INST', 'meter is an action, not an instruction, since OpenFlow 1.5');
      }
      if (found[type] !== undefined)
        refuse('OFPBIC_DUP_INST', `a second instruction ${type} at offset ${at}`);
      found[type] = new ActionBytes(data.subarray(at, at + length));
      at += length;
    }
    return found;
  }
}

/** Lengths of instructions; 0: 8 and more. */
const INSTRUCTION_LENGTHS: ReadonlyMap<number, number> = new Map([
  [OFPIT_GOTO_TABLE, 8],
  [OFPIT_WRITE_METADATA, 24],
  [OFPIT_WRITE_ACTIONS, 0],
  [OFPIT_APPLY_ACTIONS, 0],
  [OFPIT_CLEAR_ACTIONS, 8],
  [OFPIT13_METER, 8],
]);

/**
 * Reads the list of actions that is all of `data`, as it stands in a packet-out or a bucket.
 * @throws OfError that names the error for the peer.
 */
export function decodeActions(
  data: Uint8Array,
  version: OfVersion,
  options: ActionDecodeOptions = {},
): readonly Action[] {
  return new Decoder(version, options).verified(data, APPLY_AND_METER, 'none');
}

/** Reads a flow's instructions; in OpenFlow 1.0, a list of actions. Their order on the wire doesn't matter. */
export function decodeInstructions(
  data: Uint8Array,
  version: OfVersion,
  options: ActionDecodeOptions = {},
): readonly Action[] {
  const decoder = new Decoder(version, options);
  return version === OF10 ? decoder.verified(data, ALL_INSTRUCTIONS, 'none') : decoder.instructions(data);
}
