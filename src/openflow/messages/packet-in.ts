import type { Match } from '../../flow/match.ts';
import type { Action } from '../actions/types.ts';
import type { Header } from '../header.ts';

/** How a connection wants its packet-ins. */
export type PacketInFormat = 'standard' | 'nxt_packet_in' | 'nxt_packet_in2';

export interface PacketInFields {
  /** Maybe only the first part of the packet. */
  readonly packet: Uint8Array;
  /** Bytes of the whole packet. */
  readonly totalLen: number;
  /** NO_BUFFER: none. */
  readonly bufferId: number;
  /** The input port and other pipeline fields. */
  readonly metadata: Match;
  /** OFPR_* */
  readonly reason: number;
  readonly table: number;
  /** UINT64_MAX: no flow sent it. */
  readonly cookie: bigint;
  /** From the controller action; NXT_PACKET_IN2 only. */
  readonly userdata: Uint8Array;
  /** The state of a paused packet, see {@link Continuation}; empty: not paused. NXT_PACKET_IN2 only. */
  readonly continuation: Uint8Array;
}

export interface PacketIn extends Header, PacketInFields {
  readonly kind: 'packet_in';
}

/** Sends a paused packet on its way: NXT_RESUME, with a packet-in's continuation as it came. */
export interface Resume extends Header, PacketInFields {
  readonly kind: 'resume';
}

/** What a switch must know to go on with a paused packet. Private to the switch that sent it. */
export interface Continuation {
  /** UUID of the bridge, 16 bytes. */
  readonly bridge: Uint8Array;
  /** Values pushed, bottom first, each with the bytes it takes. */
  readonly stack: readonly Uint8Array[];
  /** Mirrors that already have the packet, a bit each. */
  readonly mirrors: number;
  readonly conntracked: boolean;
  /** Of the flow that paused the packet. */
  readonly table: number;
  readonly cookie: bigint;
  /** What remains to do. */
  readonly actions: readonly Action[];
  readonly actionSet: readonly Action[];
  /** Datapath port of the packet; UINT32_MAX: none. */
  readonly odpPort: number;
}
