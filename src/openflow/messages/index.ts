/** The shapes of all messages, and the helpers that belong to them. */
export type * from './async.ts';
export { ASYNC_TYPES, defaultAsyncConfig } from './async.ts';
export type * from './bundle.ts';
export { BUNDLABLE } from './bundle.ts';
export type * from './continuation.ts';
export { decodeContinuation, encodeContinuation } from './continuation.ts';
export type * from './ct-flush.ts';
export { addressFamily } from './ct-flush.ts';
export type * from './flow-mod.ts';
export type * from './flow-removed.ts';
export type * from './flow-stats.ts';
export type * from './forward.ts';
export type * from './group.ts';
export { DEFAULT_SELECTION } from './group.ts';
export type * from './group-stats.ts';
export type * from './meter.ts';
export type * from './monitor.ts';
export type * from './nicira.ts';
export type * from './packet-in.ts';
export { packetInReasonToWire } from './packet-in.ts';
export type * from './packet-out.ts';
export type * from './port.ts';
export { featuresSpeed } from './port.ts';
export type * from './port-stats.ts';
export { RFC2819_COUNTERS } from './port-stats.ts';
export type * from './queue.ts';
export type * from './role.ts';
export type * from './switch.ts';
export type * from './symmetric.ts';
export {
  helloFailureText,
  highestVersion,
  negotiateVersion,
  versionList,
  versionsText,
} from './symmetric.ts';
export type * from './table.ts';
export type {
  ActionFeatures,
  ActionName,
  InstructionFeatures,
  TableFeatures,
  TableFeaturesMessage,
} from './table-features.ts';
export { NO_INSTRUCTION_FEATURES } from './table-features.ts';
