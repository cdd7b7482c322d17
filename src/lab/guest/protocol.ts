/** What a lab asks of a guest, over the channel that Node gives a child process. */

/** Whom to ping. */
export interface PingTarget {
  readonly address: string;
  /** The VLAN whose tag the guest itself puts on, at a trunk port. */
  readonly vlan?: number;
  /** Whether to expect an answer: the guest waits longer for it, and no longer than it takes to come. */
  readonly expected: boolean;
}

export interface PingOutcome {
  readonly sent: number;
  readonly received: number;
  /** Fastest round trip in milliseconds; undefined without an answer. */
  readonly rttMs?: number;
}

/** The outcome of one TCP stream. */
export interface StreamOutcome {
  readonly connected: boolean;
  /** Why not, if not connected or cut off. */
  readonly reason: string;
  /** Bytes that the other end says it has received. */
  readonly bytes: number;
  readonly seconds: number;
}

export interface GuestOperations {
  /** Sends echo requests to all targets at once; outcomes in their order. */
  ping: {
    args: { targets: readonly PingTarget[]; minimumMs: number; limitMs: number };
    result: PingOutcome[];
  };
  /** Takes TCP connections from now on: counts the bytes of each and says at its end how many came. */
  listen: { args: { port: number }; result: null };
  /** Sends as much as it can for a while. */
  stream: { args: { address: string; port: number; ms: number; connectMs: number }; result: StreamOutcome };
  /** Begins to note whose frames arrive at eth0. */
  watch: { args: null; result: null };
  /** How many frames arrived since `watch`, by source MAC address, and ends it. */
  watched: { args: null; result: Record<string, number> };
}

export type Operation = keyof GuestOperations;

export interface GuestRequest<O extends Operation = Operation> {
  readonly id: number;
  readonly op: O;
  readonly args: GuestOperations[O]['args'];
}

export type GuestReply =
  | { readonly id: number; readonly result: GuestOperations[Operation]['result'] }
  | { readonly id: number; readonly error: string };

/** An address in a VLAN. */
export interface Presence {
  readonly vlan: number;
  readonly address: string;
}

/** What a guest is told when it starts, as its first argument, in JSON. */
export interface GuestConfig {
  /** Set at a trunk port: the guest answers ARP and pings itself, tagged. */
  readonly tagged?: { readonly mac: string; readonly presences: readonly Presence[] };
}
