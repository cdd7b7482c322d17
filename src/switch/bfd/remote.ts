import {
  BFD_ADMIN_DOWN,
  BFD_DIAG_NEIGHBOR_DOWN,
  BFD_DIAG_NONE,
  BFD_DOWN,
  BFD_INIT,
  BFD_UP,
} from '../../wire/bfd.ts';

/** What was last heard of the other end, or is assumed of it (RFC 5880 6.8.1). Intervals are milliseconds. */
export interface Remote {
  readonly state: number;
  readonly diagnostic: number;
  readonly flags: number;
  readonly discriminator: number;
  readonly minTx: number;
  readonly minRx: number;
  /** Asked for no periodic packets: a Required Min RX of 0. */
  readonly silent: boolean;
  readonly mult: number;
}

/** Before a word of the neighbor, and after its last. */
export const UNHEARD: Remote = Object.freeze({
  state: BFD_DOWN,
  diagnostic: BFD_DIAG_NONE,
  flags: 0,
  discriminator: 0,
  minTx: 0,
  minRx: 1,
  silent: false,
  mult: 0,
});

/** RFC 5880 6.8.6: the state after a packet in which the neighbor says that it is in state `heard`. */
export function nextState(
  state: number,
  heard: number,
  diagnostic: number,
): [state: number, diagnostic: number] {
  if (heard === BFD_ADMIN_DOWN) {
    return state === BFD_DOWN ? [BFD_DOWN, diagnostic] : [BFD_DOWN, BFD_DIAG_NEIGHBOR_DOWN];
  }
  switch (state) {
    case BFD_DOWN:
      if (heard === BFD_DOWN) return [BFD_INIT, diagnostic];
      return [heard === BFD_INIT ? BFD_UP : BFD_DOWN, diagnostic];
    case BFD_INIT:
      return [heard >= BFD_INIT ? BFD_UP : BFD_INIT, diagnostic];
    default:
      return heard === BFD_DOWN ? [BFD_DOWN, BFD_DIAG_NEIGHBOR_DOWN] : [state, diagnostic];
  }
}
