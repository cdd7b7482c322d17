/** Questions about the network as it is now: what happens to a packet, and where a flow comes from. */
import type { KindName } from '../api-schema/kinds.ts';
import type { Principal } from './model/principal.ts';

export interface TraceRequest {
  /** UUID of the logical port whose machine sends the packet. */
  readonly from: string;
  /** UUID of the logical port it is meant for; gives the addresses that `flow` leaves out. */
  readonly to?: string;
  /** Fields of the packet in the syntax of `ovs-ofctl`, such as "tcp,tcp_dst=80"; no in_port. */
  readonly flow?: string;
}

/** An object of the API, as far as the asker may know of it. */
export interface ObjectName {
  readonly kind: KindName;
  readonly id: string;
  readonly name: string | undefined;
}

/** One flow that the packet met. */
export interface TraceStep {
  readonly table: number;
  /** The stage of the logical pipeline, or what the table is for. */
  readonly stage: string;
  readonly priority: number;
  readonly match: string;
  readonly actions: string;
  /** What the flow comes from. */
  readonly origin: ObjectName | undefined;
}

/** What the packet met on one host. */
export interface TraceHop {
  /** systemId of the transport node. */
  readonly node: string;
  readonly steps: readonly TraceStep[];
  /** The switch's own words (`ofproto/trace`); for the operator only. */
  readonly text?: string;
}

export interface TraceResult {
  /** In the order in which the packet comes to them. */
  readonly hops: readonly TraceHop[];
  /** The logical ports that get the packet. */
  readonly delivered: readonly ObjectName[];
  /** One sentence: who gets it, or where and by what it was dropped. */
  readonly verdict: string;
}

/** Of an object: what it has become. Of a flow on a host: where it comes from. */
export type WhyRequest =
  | { readonly object: string }
  /** `flow`: words that the flow's text has, such as "table=12" or "nw_dst=10.0.0.5". */
  | { readonly node: string; readonly flow: string };

export interface WhyAnswer {
  /** The host, where it is about one. */
  readonly node?: string;
  /** The flow, universal or of the host. */
  readonly flow: string;
  readonly origin: ObjectName | undefined;
  /** The rules and facts that it was derived from, a line each, indented by depth. */
  readonly derivation: readonly string[];
}

/** Requests reject with a `WeftError`: the host is not connected, the port is nowhere, the flow's text is wrong. */
export interface Diagnosis {
  trace(request: TraceRequest, principal: Principal): Promise<TraceResult>;
  /** At most `limit` answers. */
  why(request: WhyRequest, principal: Principal, limit: number): Promise<readonly WhyAnswer[]>;
}
