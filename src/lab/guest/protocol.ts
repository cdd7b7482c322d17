/** What a lab asks of a guest, over the channel that Node gives a child process. */

import type { Mark, Marked } from './marks.ts';

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

/** Something to ask of an address. */
export interface ProbeTarget {
  readonly probe: { readonly kind: 'ping' } | { readonly kind: 'tcp' | 'udp'; readonly port: number };
  readonly address: string;
  /** Whether to expect an answer: the guest waits longer for it, and no longer than it takes to come. */
  readonly expected: boolean;
}

/** What came of it; empty: nothing did. */
export interface ProbeOutcome {
  /** The name that the one who answered gave; pings tell none. */
  readonly by?: string;
  /** Until the answer was there. */
  readonly ms?: number;
}

/** What became of a series of pings. */
export interface SeriesOutcome {
  readonly sent: number;
  readonly lost: number;
  readonly duplicates: number;
  /** The longest time without any echo, by when the requests were sent. */
  readonly gapMs: number;
  /** Of the round trips; NaN without any. */
  readonly medianMs: number;
}

/** What became of a conversation. */
export interface TalkOutcome {
  /** Who was at the other end. */
  readonly peer: string;
  /** Lines that went out and came back. */
  readonly sent: number;
  readonly received: number;
  /** The longest time between two that came back. */
  readonly gapMs: number;
  /** Why it broke; empty: it did not. */
  readonly reason: string;
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
  /** Answers at TCP and UDP ports with its name from now on. */
  serve: { args: { name: string; tcp: readonly number[]; udp: readonly number[] }; result: null };
  /** Probes all targets at once, marked; outcomes in their order. */
  probe: {
    args: { targets: readonly ProbeTarget[]; mark: Mark; minimumMs: number; limitMs: number };
    result: ProbeOutcome[];
  };
  /** Sends frames, in hex, past its own network stack; how many went out. */
  sendRaw: { args: { frames: readonly string[] }; result: number };
  /** Begins to look for marks in what arrives at eth0. */
  watchMarks: { args: { nonce: number }; result: null };
  /** What came with which sender's mark since then, and ends it. */
  marks: { args: null; result: Record<number, Marked> };
  /** Begins to ping at a steady pace. */
  startSeries: { args: { address: string; intervalMs: number }; result: null };
  stopSeries: { args: null; result: SeriesOutcome };
  /** Connects to somebody who serves, and begins to talk. */
  startTalk: { args: { address: string; port: number; connectMs: number }; result: null };
  stopTalk: { args: null; result: TalkOutcome };
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
