import {
  OFPR_ACTION,
  OFPR_ACTION_SET,
  OFPR_EXPLICIT_MISS,
  OFPR_GROUP,
  OFPR_IMPLICIT_MISS,
  OFPR_NO_MATCH,
  OFPR_PACKET_OUT,
} from '../../openflow/constants.ts';
import type { AsyncConfig, AsyncType } from '../../openflow/messages/async.ts';
import type { Connection } from './connection.ts';

const bits = (...reasons: number[]): number => reasons.reduce((all, reason) => all | (1 << reason), 0);

const ALL_PACKET_IN = bits(
  OFPR_NO_MATCH,
  OFPR_ACTION,
  OFPR_ACTION_SET,
  OFPR_GROUP,
  OFPR_PACKET_OUT,
  OFPR_EXPLICIT_MISS,
  OFPR_IMPLICIT_MISS,
);

/** What a connection hears unless it says otherwise, by role; reasons as bits. */
export const DEFAULT_ASYNC: {
  readonly [R in 'controlling' | 'secondary']: Readonly<Record<AsyncType, number>>;
} = {
  controlling: {
    packet_in: ALL_PACKET_IN,
    port_status: 7,
    flow_removed: 0x3f,
    role_status: 0,
    table_status: 0,
    requestforward: 0,
  },
  secondary: {
    packet_in: 0,
    port_status: 7,
    flow_removed: 0,
    role_status: 0,
    table_status: 0,
    requestforward: 0,
  },
};

/** Reasons for which the connection wants messages of this type, as bits, given its role. */
export function asyncMask(connection: Connection, type: AsyncType): number {
  const secondary = connection.state.role === 'secondary';
  const config: AsyncConfig | null = connection.state.asyncConfig;
  const defaults = DEFAULT_ASYNC[secondary ? 'secondary' : 'controlling'];
  if (config === null) return defaults[type];
  const entry = config[type];
  return secondary ? entry.secondary : entry.primary;
}

/**
 * Whether a connection is to be sent a message that it did not ask for. A service's client hears nothing
 * until it has shown, by setting a length for packet-ins, that it listens.
 */
export function wantsAsync(connection: Connection, type: AsyncType, reason: number): boolean {
  if (connection.options.kind === 'service' && connection.state.missSendLen === 0) return false;
  return (asyncMask(connection, type) & (1 << reason)) !== 0;
}
