/**
 * OpenFlow 1.0 to 1.5 with the Nicira extensions: messages, matches and actions, to bytes, to text, and
 * back. No I/O here: a connection's bytes go through a {@link Framer}, each message through
 * {@link decodeMessage} and {@link encodeMessage}.
 */
export * from './actions/index.ts';
export { type DroppedRequest, RequestAssembler } from './assembler.ts';
export { decodeMessage, decodeOrThrow, encodeMessage, encodeOne, errorMessage, errorReply } from './codec.ts';
export * from './constants.ts';
export {
  type DecodedError,
  errorFromNumbers,
  errorNumbers,
  isOfErrorName,
  OF_ERRORS,
  OfError,
  type OfErrorName,
  type OfErrorNumbers,
} from './errors.ts';
export { Framer } from './framer.ts';
export type { Empty, Header, Multipart, Variant } from './header.ts';
export type { CodecOptions, EmptyKind, OfKind, OfMessage, OfMessageOf } from './message.ts';
export * from './messages/index.ts';
export { decodeOxmList } from './nx-match.ts';
export * from './text/common.ts';
export * from './text/flow.ts';
export {
  formatGroupDesc,
  formatGroupDescReply,
  formatGroupStatsReply,
  formatMeterConfig,
} from './text/groups.ts';
export { formatDecoded, formatMessage, type MessageTextOptions } from './text/message.ts';
export { formatPortConfig, formatPortDesc, formatPortFeatures, formatPortState } from './text/ports.ts';
export * from './version.ts';
