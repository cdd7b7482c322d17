import type { Match } from '../../flow/match.ts';
import type { Action } from '../actions/types.ts';
import type { Header } from '../header.ts';

export interface PacketOut extends Header {
  readonly kind: 'packet_out';
  /** Empty where `bufferId` names a packet. */
  readonly packet: Uint8Array;
  /** NO_BUFFER: none. */
  readonly bufferId: number;
  /** The input port (always given) and, from OpenFlow 1.5 on, other pipeline fields. */
  readonly metadata: Match;
  readonly actions: readonly Action[];
}
