import type { Flow } from '../../flow/layout.ts';
import type { TunnelMetadataMap } from '../../flow/tun-metadata.ts';
import type { OfVersion } from '../version.ts';
import { NX_VENDOR, ONF_VENDOR } from '../version.ts';
import type { NameMap } from './text.ts';
import type { Action } from './types.ts';
import type { ActionBytes, ActionWriter } from './wire.ts';
import { roundUp8 } from './wire.ts';

/**
 * What the file of an action provides. The registry (registry.ts) puts all of them together; lists of
 * actions, which nest, are the business of list.ts, reached through the contexts.
 */
export interface ActionCodec<A extends Action = Action> {
  readonly type: A['type'];
  /** The action's name in messages. */
  readonly name: string;
  /** Words that begin it in a text, in lower case, and what reads the argument after each. */
  readonly words: Readonly<Record<string, (arg: string, context: ParseContext) => Action>>;
  format(action: A, context: FormatContext): string;
  encode(action: A, out: ActionWriter, context: EncodeContext): void;
  /** Every encoding in which it may arrive; none for instructions, which list.ts takes apart. */
  readonly wire: readonly WireForm[];
  /**
   * Whether the action suits the packets of a flow. Throws OfError if not; may take protocols off
   * `context`, and change `context.flow` as the action would change the packet for those that follow.
   * Returns the action, with notes for encoders where it has any.
   */
  check?(action: A, context: CheckState): Action;
  /** Bytes that it takes up beside a fixed share; bounds lists that are given as text. */
  size?(action: A): number;
}

/** Action inside which others stand. */
export type Outer = 'none' | 'ct' | 'clone' | 'write_actions';

export interface ParseContext {
  readonly ports: NameMap | null;
  readonly tables: NameMap | null;
  /** Says that only these flow formats (protocols.ts) can carry what has been read. */
  restrict(protocols: number): void;
  /** Reads a list of actions inside another. */
  nested(text: string, outer: Outer): readonly Action[];
}

export interface FormatContext {
  readonly ports: NameMap | null;
  readonly tables: NameMap | null;
  /** A list of actions inside another; `drop` if empty. */
  list(actions: readonly Action[]): string;
}

export interface EncodeContext {
  readonly version: OfVersion;
  list(actions: readonly Action[]): void;
}

export interface DecodeContext {
  readonly version: OfVersion;
  /** Whether debug actions are taken. */
  readonly debug: boolean;
  /** Lengths and places of tun_metadata fields, of which those without one are refused; null: longest, no place. */
  readonly tunnelMetadata: TunnelMetadataMap | null;
  nested(data: Uint8Array, outer: Outer): readonly Action[];
}

export interface CheckState {
  /** A copy of the flow's match, which actions may change. */
  readonly flow: Flow;
  readonly mask: Flow;
  /** Ports from this number on do not exist; OFPP_MAX: no such bound. */
  readonly maxPorts: number;
  /** Table of the flow; 255: none. */
  readonly table: number;
  /** 255: unknown. */
  readonly tables: number;
  /** Flow formats still usable. */
  protocols: number;
  nested(actions: readonly Action[], countProtocols: boolean): readonly Action[];
}

/** One way in which an action arrives. */
export interface WireForm {
  /** 0: a standard action. */
  readonly vendor: number;
  /** Type, or experimenter's subtype. */
  readonly type: number;
  readonly since: OfVersion;
  readonly until: OfVersion;
  readonly minLength: number;
  /** Equal to `minLength` for actions of fixed length. */
  readonly maxLength: number;
  decode(bytes: ActionBytes, context: DecodeContext): Action;
}

type Decode = WireForm['decode'];
/** First and last version. */
export type Versions = readonly [OfVersion, OfVersion];

const LONGEST = 0xfff8;

/** A standard action of `length` bytes, or of `length` and more. */
export function standardForm(
  type: number,
  versions: Versions,
  length: number,
  decode: Decode,
  variable = false,
): WireForm {
  const maxLength = variable ? LONGEST : length;
  return { vendor: 0, type, since: versions[0], until: versions[1], minLength: length, maxLength, decode };
}

/** A Nicira extension of `length` bytes, or of `length` and more. */
export function nxForm(
  type: number,
  length: number,
  decode: Decode,
  options: { variable?: boolean; versions?: Versions } = {},
): WireForm {
  const [since, until] = options.versions ?? [1, 6];
  const maxLength = options.variable === true ? LONGEST : length;
  return { vendor: NX_VENDOR, type, since, until, minLength: length, maxLength, decode };
}

export function onfForm(type: number, versions: Versions, length: number, decode: Decode): WireForm {
  const [since, until] = versions;
  return { vendor: ONF_VENDOR, type, since, until, minLength: length, maxLength: LONGEST, decode };
}

/** Where an action that is a header and one number of `bytes` bytes has it: aligned, right after the header. */
function argumentOffset(vendor: number, bytes: number): number {
  const header = vendor === 0 ? 4 : 10;
  return bytes === 0 ? header : Math.ceil(header / bytes) * bytes;
}

function argumentLength(vendor: number, bytes: number): number {
  return vendor === 0
    ? roundUp8(argumentOffset(0, bytes) + bytes)
    : Math.max(16, roundUp8(argumentOffset(vendor, bytes) + bytes));
}

/** An action that is a header and one number of up to 4 bytes (0: none). */
export function numberForm(
  vendor: number,
  type: number,
  versions: Versions,
  bytes: 0 | 1 | 2 | 4,
  make: (value: number, context: DecodeContext) => Action,
): WireForm {
  const at = argumentOffset(vendor, bytes);
  const length = argumentLength(vendor, bytes);
  const decode: Decode = (b, context) =>
    make(bytes === 0 ? 0 : bytes === 1 ? b.u8(at) : bytes === 2 ? b.u16(at) : b.u32(at), context);
  return {
    vendor,
    type,
    since: versions[0],
    until: versions[1],
    minLength: length,
    maxLength: length,
    decode,
  };
}

/** Writes what {@link numberForm} reads. */
export function putNumber(
  out: ActionWriter,
  vendor: number,
  type: number,
  bytes: 0 | 1 | 2 | 4,
  value: number,
): void {
  const start = vendor === 0 ? out.standard(type) : out.vendor(vendor, type);
  out.zeros(argumentOffset(vendor, bytes) - (vendor === 0 ? 4 : 10));
  if (bytes === 1) out.u8(value);
  else if (bytes === 2) out.u16(value);
  else if (bytes === 4) out.u32(value);
  out.end(start, argumentLength(vendor, bytes));
}

/** An action without an argument, in a text: whatever stands there is ignored. */
export function constant<A extends Action>(action: A): () => A {
  return () => action;
}
