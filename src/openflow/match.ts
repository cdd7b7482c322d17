import { type Flow, newFlow } from '../flow/layout.ts';

/**
 * What packets a flow matches: `flow`'s bits where `mask` has ones. Bits of `flow` outside `mask` are 0.
 * Also the metadata of a packet-in or packet-out: the fields that are known.
 */
export interface Match {
  readonly flow: Flow;
  readonly mask: Flow;
}

/** A match that every packet satisfies. */
export function catchallMatch(): Match {
  return { flow: newFlow(), mask: newFlow() };
}
