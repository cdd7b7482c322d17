/** Datapath flows, actions, statistics and connections as text: what dpctl, dpif and ofproto/trace read and print. */

export { type ConnectionFormat, formatConnection, tcpStateName } from './connection.ts';
export {
  type DumpedFlow,
  formatFlow,
  formatFlowStats,
  formatTcpFlags,
  formatUfid,
  parseUfid,
} from './flow.ts';
export { formatActions } from './format-actions.ts';
export { type FormatKeyOptions, type FormatOptions, formatKey, NO_PORT } from './format-key.ts';
export { parseActions } from './parse-actions.ts';
export {
  type Fitness,
  type ParsedKey,
  type ParseKeyOptions,
  type ParseOptions,
  parseKey,
} from './parse-key.ts';
