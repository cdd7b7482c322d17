/**
 * OpenFlow messages to bytes and back, in all versions: the registry of all families of messages.
 */

import { be16, be32 } from './big-endian.ts';
import { Reader } from './bytes.ts';
import { encodeErrorBody, OfError, type OfErrorName } from './errors.ts';
import { type Codec, codec, type DecodeContext, head, kindOf, MessageWriter } from './family.ts';
import type { CodecOptions, EmptyKind, OfKind, OfMessage, OfMessageOf } from './message.ts';
import { asyncCodecs } from './messages/async.ts';
import { bundleCodecs } from './messages/bundle.ts';
import { ctFlushCodecs } from './messages/ct-flush.ts';
import { flowModCodecs } from './messages/flow-mod.ts';
import { flowRemovedCodecs } from './messages/flow-removed.ts';
import { flowStatsCodecs } from './messages/flow-stats.ts';
import { forwardCodecs } from './messages/forward.ts';
import { groupCodecs } from './messages/group.ts';
import { groupStatsCodecs } from './messages/group-stats.ts';
import { meterCodecs } from './messages/meter.ts';
import { monitorCodecs } from './messages/monitor.ts';
import { niciraCodecs } from './messages/nicira.ts';
import { packetInCodecs } from './messages/packet-in.ts';
import { packetOutCodecs } from './messages/packet-out.ts';
import { portCodecs } from './messages/port.ts';
import { portStatsCodecs } from './messages/port-stats.ts';
import { queueCodecs } from './messages/queue.ts';
import { roleCodecs } from './messages/role.ts';
import { switchCodecs } from './messages/switch.ts';
import { symmetricCodecs } from './messages/symmetric.ts';
import { tableCodecs } from './messages/table.ts';
import { tableFeaturesCodecs } from './messages/table-features.ts';
import {
  checkLength,
  HEADER_LENGTH,
  headersLength,
  isMultipart,
  MAX_MESSAGE,
  MULTIPART_FLAGS_OFFSET,
  rawFor,
  rawOf,
} from './raw.ts';
import { isOfVersion, OF10, OF15, type OfVersion, versionName } from './version.ts';

const EMPTY_KINDS: readonly EmptyKind[] = [
  'features_request',
  'get_config_request',
  'barrier_request',
  'barrier_reply',
  'get_async_request',
  'desc_request',
  'table_stats_request',
  'table_desc_request',
  'group_features_request',
  'meter_features_request',
  'flow_monitor_paused',
  'flow_monitor_resumed',
  'flow_age',
  'tlv_table_request',
  'ipfix_bridge_stats_request',
  'ipfix_flow_stats_request',
];

const emptyCodec = codec(
  EMPTY_KINDS,
  (_, c) => head(c, kindOf(c, EMPTY_KINDS)) as OfMessageOf<EmptyKind>,
  () => {},
);

const codecs: ReadonlyMap<OfKind, Codec> = new Map(
  [
    emptyCodec,
    ...symmetricCodecs,
    ...switchCodecs,
    ...packetInCodecs,
    ...packetOutCodecs,
    ...flowModCodecs,
    ...flowRemovedCodecs,
    ...flowStatsCodecs,
    ...portCodecs,
    ...portStatsCodecs,
    ...queueCodecs,
    ...roleCodecs,
    ...asyncCodecs,
    ...bundleCodecs,
    ...niciraCodecs,
    ...ctFlushCodecs,
    ...tableCodecs,
    ...groupCodecs,
    ...groupStatsCodecs,
    ...meterCodecs,
    ...monitorCodecs,
    ...forwardCodecs,
    ...tableFeaturesCodecs,
  ].flatMap((c) => c.kinds.map((kind) => [kind, c] as const)),
);

function codecOf(kind: OfKind): Codec {
  const found = codecs.get(kind);
  if (found === undefined) throw new TypeError(`no codec for ${kind}`);
  return found;
}

/** Kinds whose header may have a version that nobody here speaks. */
const ANY_VERSION: ReadonlySet<OfKind> = new Set(['hello', 'error', 'echo_request', 'echo_reply']);

/**
 * Decodes one whole message. What is wrong with a message that is no good is returned, not thrown: an
 * error that can be sent to the peer with {@link errorReply}. Nothing else is thrown either, whatever
 * the bytes.
 */
export function decodeMessage(bytes: Uint8Array, options: CodecOptions = {}): OfMessage | OfError {
  try {
    return decode(bytes, options);
  } catch (error) {
    if (error instanceof OfError) return error;
    throw error;
  }
}

/** {@link decodeMessage} for those who rather catch: throws the OfError. */
export function decodeOrThrow(bytes: Uint8Array, options: CodecOptions = {}): OfMessage {
  return decode(bytes, options);
}

function decode(bytes: Uint8Array, options: CodecOptions, nestable = true): OfMessage {
  const raw = rawOf(bytes);
  const version = bytes[0];
  const length = be16(bytes, 2);
  if (length !== bytes.length) {
    throw new OfError(
      'OFPBRC_BAD_LEN',
      `header claims a length of ${length}, ${bytes.length} bytes are there`,
    );
  }
  if (!isOfVersion(version) && !ANY_VERSION.has(raw.kind)) {
    throw new OfError('OFPBRC_BAD_VERSION', `${raw.name} of ${versionName(version)}`);
  }
  checkLength(raw, version, length);
  // A version that is not known keeps its number in the header; its few messages are like the latest's.
  const known: OfVersion = isOfVersion(version) ? version : OF15;
  const context: DecodeContext = {
    version: known,
    variant: raw.variant,
    header: { version: version as OfVersion, xid: be32(bytes, 4), variant: raw.variant },
    raw,
    more: isMultipart(raw) && (be16(bytes, MULTIPART_FLAGS_OFFSET) & 1) !== 0,
    options,
    nested: (inner, kinds) => decodeNested(inner, kinds, { ...options, into: undefined }, nestable),
  };
  return codecOf(raw.kind).decode(new Reader(bytes, 'OFPBRC_BAD_LEN', headersLength(raw, version)), context);
}

/** A message within a message; within that, no further one. */
function decodeNested<K extends OfKind>(
  bytes: Uint8Array,
  kinds: readonly K[],
  options: CodecOptions,
  nestable: boolean,
): OfMessageOf<K> {
  if (!nestable) throw new OfError('OFPBRC_BAD_TYPE', 'a message within a message within a message');
  const message = decode(bytes, options, false);
  if (!kinds.some((kind) => kind === message.kind)) {
    throw new OfError('OFPBFC_MSG_UNSUP', `a ${message.kind} stands where only ${kinds.join(', ')} can`);
  }
  return message as OfMessageOf<K>;
}

/**
 * Encodes a message. A multipart body of more than 64 kB becomes several messages, of which all but the
 * last say that more follow; everything else is one.
 * @throws OfError where the version or variant has no such message, or it would exceed 64 kB.
 */
export function encodeMessage(message: OfMessage, options: CodecOptions = {}): Uint8Array[] {
  const { version, kind, variant, xid } = message;
  const raw = rawFor(version, kind, variant);
  if (raw === null) {
    const which = variant === undefined ? kind : `${variant} ${kind}`;
    throw new OfError('OFPBRC_BAD_TYPE', `${versionName(version)} has no ${which}`);
  }
  const out = new MessageWriter(raw, version as OfVersion, xid, options, (inner) =>
    encodeOne(inner, options),
  );
  codecOf(kind).encode(message, out);
  return out.finish('more' in message && message.more);
}

/** Encodes a message that fits into one. */
export function encodeOne(message: OfMessage, options: CodecOptions = {}): Uint8Array {
  const messages = encodeMessage(message, options);
  if (messages.length !== 1) {
    throw new OfError('OFPBRC_BAD_LEN', `${message.kind} takes ${messages.length} messages, not one`);
  }
  return messages[0];
}

/**
 * The error message that answers `request`, of which at least the first 8 bytes must be there: of its
 * version and xid, with as much of it as fits.
 */
export function errorReply(error: OfError | OfErrorName, request: Uint8Array): Uint8Array {
  const name = typeof error === 'string' ? error : error.ofperr;
  const view = new DataView(request.buffer, request.byteOffset, request.byteLength);
  const version = isOfVersion(request[0]) ? request[0] : OF10;
  return errorMessage(version, view.getUint32(4), name, request);
}

/** An error message with other data than a request: a text that tells why a hello failed. */
export function errorMessage(version: number, xid: number, name: OfErrorName, data: Uint8Array): Uint8Array {
  const body = encodeErrorBody(version, name, data);
  const bytes = new Uint8Array(HEADER_LENGTH + body.length);
  const view = new DataView(bytes.buffer);
  bytes[0] = isOfVersion(version) ? version : OF10;
  bytes[1] = 1;
  view.setUint16(2, Math.min(bytes.length, MAX_MESSAGE));
  view.setUint32(4, xid);
  bytes.set(body, HEADER_LENGTH);
  return bytes;
}
