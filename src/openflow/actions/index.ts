/** Actions and instructions of OpenFlow 1.0 to 1.5 with Open vSwitch's extensions: text, wire, checks. */
export { executeActionSet, inActionSet } from './action-set.ts';
export { type CheckContext, type CheckedActions, checkActions, checkConsistency } from './check.ts';
export { NO_METER } from './controller.ts';
export { LEARN_F_DELETE_LEARNED, LEARN_F_SEND_FLOW_REM, LEARN_F_WRITE_RESULT } from './learn-wire.ts';
export {
  type ActionDecodeOptions,
  type ActionTextOptions,
  decodeActions,
  decodeInstructions,
  encodeActions,
  encodeInstructions,
  formatActions,
  MAX_DEPTH,
  MAX_SIZE,
  type ParsedActions,
  parseActions,
  parseInstructions,
  parseWithProtocols,
} from './list.ts';
export * from './packet-types.ts';
export * from './protocols.ts';
export { actionsEqual, actionsOutputToGroup, actionsOutputToPort, flattenActions, meterOf } from './query.ts';
export { ActionSyntaxError, keyValues, type NameMap } from './text.ts';
export type * from './types.ts';
export { type InstructionName, instructionOf } from './verify.ts';
