import { be16, be32 } from '../big-endian.ts';
import { OfError } from '../errors.ts';
import { type Codec, codec, head, indexIn, reject } from '../family.ts';
import type { Header } from '../header.ts';
import type { OfKind } from '../message.ts';
import { checkLength, HEADER_LENGTH, type RawMessage, rawOf } from '../raw.ts';

export type BundleControlType =
  | 'open_request'
  | 'open_reply'
  | 'close_request'
  | 'close_reply'
  | 'commit_request'
  | 'commit_reply'
  | 'discard_request'
  | 'discard_reply';

export interface BundleControl extends Header {
  readonly kind: 'bundle_control';
  readonly bundle: number;
  readonly type: BundleControlType;
  /** OFPBF_* */
  readonly flags: number;
}

export interface BundleAdd extends Header {
  readonly kind: 'bundle_add';
  readonly bundle: number;
  /** OFPBF_* */
  readonly flags: number;
  /**
   * The whole message that is added; its xid is this one's. To be decoded like any other. A view of the bytes that this
   * one was decoded from.
   */
  readonly message: Uint8Array;
}

export const BUNDLE_CONTROL_TYPES: readonly BundleControlType[] = [
  'open_request',
  'open_reply',
  'close_request',
  'close_reply',
  'commit_request',
  'commit_reply',
  'discard_request',
  'discard_reply',
];

const control = codec(
  ['bundle_control'],
  (r, c) => {
    const bundle = r.u32();
    const type = r.u16();
    const flags = r.u16();
    if (!(type in BUNDLE_CONTROL_TYPES))
      reject('OFPBFC_BAD_TYPE', `bundle control of type ${type}, at most 7`);
    return { ...head(c, 'bundle_control'), bundle, type: BUNDLE_CONTROL_TYPES[type], flags };
  },
  (m, { w }) => {
    w.u32(m.bundle);
    w.u16(indexIn(BUNDLE_CONTROL_TYPES, m.type));
    w.u16(m.flags);
  },
);

/** Kinds of messages that may stand in a bundle. */
export const BUNDLABLE: ReadonlySet<OfKind> = new Set(['port_mod', 'flow_mod', 'group_mod', 'packet_out']);

const add = codec(
  ['bundle_add'],
  (r, c) => {
    const bundle = r.u32();
    r.skip(2);
    const flags = r.u16();
    if (r.left < HEADER_LENGTH) reject('OFPBFC_MSG_BAD_LEN', `message in a bundle of ${r.left} bytes`);
    const inner = r.bytes.subarray(r.pos, r.end);
    if (inner[0] !== c.version) {
      reject('OFPBFC_BAD_VERSION', `message of version ${inner[0]} in a bundle of version ${c.version}`);
    }
    const length = be16(inner, 2);
    if (length < HEADER_LENGTH || length > inner.length) {
      reject('OFPBFC_MSG_BAD_LEN', `message in a bundle of length ${length}, ${inner.length} are there`);
    }
    if (be32(inner, 4) !== c.header.xid) {
      reject('OFPBFC_MSG_BAD_XID', `message of xid ${be32(inner, 4)} in a bundle add of xid ${c.header.xid}`);
    }
    const message = inner.subarray(0, length);
    checkBundlable(message, c.version);
    return { ...head(c, 'bundle_add'), bundle, flags, message };
  },
  (m, { w }) => {
    w.u32(m.bundle);
    w.u16(0);
    w.u16(m.flags);
    w.put(m.message);
  },
);

function checkBundlable(message: Uint8Array, version: number): void {
  const raw = rawIn(message, version);
  if (!BUNDLABLE.has(raw.kind)) reject('OFPBFC_MSG_UNSUP', `${raw.name} cannot stand in a bundle`);
}

/** A message that is not known cannot be bundled either. */
function rawIn(message: Uint8Array, version: number): RawMessage {
  try {
    const raw = rawOf(message);
    checkLength(raw, version, message.length);
    return raw;
  } catch (error) {
    if (error instanceof OfError) {
      throw new OfError('OFPBFC_MSG_UNSUP', error.message, { cause: error });
    }
    throw error;
  }
}

export const bundleCodecs: readonly Codec[] = [control, add];
