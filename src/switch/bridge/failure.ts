import { WeftError } from '../../base/errors.ts';
import type { InterfaceConfig } from './config.ts';

/** Errors of a tunnel's options, with the words of their kind that Open vSwitch's log has. */
const REFUSED_OPTIONS: ReadonlyMap<string, string> = new Map([
  ['bad-tunnel-options', 'Invalid argument'],
  ['tunnel-extension-conflict', 'File exists'],
]);

/** What Interface.error says of an interface that could not be made. */
export function describeFailure(config: InterfaceConfig, error: unknown): string {
  const reason = messageOf(error);
  if (error instanceof WeftError && error.code === 'tunnel-extension-conflict')
    return `${config.name}: ${reason}`;
  if (error instanceof WeftError && error.code === 'bad-tunnel-options') return reason;
  if (error instanceof WeftError && error.code === 'no-such-device') {
    return `could not open network device ${config.name} (No such device)`;
  }
  if (
    error instanceof WeftError &&
    (error.code === 'patch-without-peer' || error.code === 'patch-to-itself')
  ) {
    return `could not set configuration (Invalid argument): ${reason}`;
  }
  return `could not add network device ${config.name} to ofproto (${reason})`;
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Whether it is the options that are wrong: the word of Open vSwitch's log for how. */
export function refusedOptions(error: unknown): string | undefined {
  return REFUSED_OPTIONS.get(error instanceof WeftError ? error.code : '');
}
