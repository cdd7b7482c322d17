import { type AsyncConfig, type AsyncType, defaultAsyncConfig } from '../../openflow/messages/async.ts';
import type { Connection } from './connection.ts';

/** What a connection has asked to hear, or hears by default. */
export function asyncConfig(connection: Connection): AsyncConfig {
  return connection.state.asyncConfig ?? defaultAsyncConfig(connection.version);
}

/**
 * Whether a connection is to be sent a message that it did not ask for. A service's client hears nothing
 * until it has shown, by setting a length for packet-ins, that it listens.
 */
export function wantsAsync(connection: Connection, type: AsyncType, reason: number): boolean {
  if (connection.options.kind === 'service' && connection.state.missSendLen === 0) return false;
  const wanted = asyncConfig(connection)[type];
  const mask = connection.state.role === 'secondary' ? wanted.secondary : wanted.primary;
  return (mask & (1 << reason)) !== 0;
}
