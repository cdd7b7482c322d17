/** Lists of actions and instructions within messages. */
import {
  type ActionDecodeOptions,
  decodeActions,
  decodeInstructions,
  encodeActions,
  encodeInstructions,
} from './actions/index.ts';
import type { Action } from './actions/types.ts';
import type { Reader, Writer } from './bytes.ts';
import { OfError } from './errors.ts';
import type { CodecOptions } from './message.ts';
import { OF10, type OfVersion } from './version.ts';

interface Context {
  readonly version: OfVersion;
  readonly options: CodecOptions;
}

function decodeOptions({ tun, debugActions }: CodecOptions): ActionDecodeOptions {
  return { tunnelMetadata: tun ?? null, debug: debugActions ?? false };
}

function take(r: Reader, length: number, error: 'OFPBRC_BAD_LEN' | 'OFPBIC_BAD_LEN'): Uint8Array {
  if (length % 8 !== 0 || length > r.left) {
    throw new OfError(
      error,
      `actions of ${length} bytes: must be a multiple of 8 and fit into the ${r.left} that are left`,
    );
  }
  return r.read(length);
}

/** Reads a list of actions of `length` bytes: as in a packet-out or a bucket. */
export function readActions(r: Reader, length: number, { version, options }: Context): readonly Action[] {
  return decodeActions(take(r, length, 'OFPBRC_BAD_LEN'), version, decodeOptions(options));
}

/** Reads the instructions (in OpenFlow 1.0: actions) of a flow, `length` bytes. */
export function readInstructions(
  r: Reader,
  length: number,
  { version, options }: Context,
): readonly Action[] {
  const error = version === OF10 ? 'OFPBRC_BAD_LEN' : 'OFPBIC_BAD_LEN';
  return decodeInstructions(take(r, length, error), version, decodeOptions(options));
}

/** Appends a list of actions; returns its length. */
export function writeActions(w: Writer, actions: readonly Action[], version: OfVersion): number {
  const bytes = encodeActions(actions, version, w.actions);
  w.put(bytes);
  return bytes.length;
}

/** Appends a flow's instructions (in OpenFlow 1.0: actions). */
export function writeInstructions(w: Writer, actions: readonly Action[], version: OfVersion): void {
  w.put(encodeInstructions(actions, version, w.actions));
}
