/**
 * Universal flows: what logical datapaths do with packets, in a form that knows no host (NVP, section 4.3).
 * The controller computes them once for each datapath; every agent that needs the datapath gets the same.
 */
import type { Stage } from './layout.ts';

/**
 * One universal flow. `match` and `actions` are text with words of its own, which `compile.ts` lists and turns into
 * OpenFlow: {@link import('./compile.ts').compileFlow} adds the match on the datapath's label, always.
 */
export interface UniversalFlow {
  /** Label of the logical datapath. */
  readonly datapath: number;
  readonly stage: Stage;
  /** 0 to 65535; the highest that matches counts. */
  readonly priority: number;
  readonly match: string;
  readonly actions: string;
  /** UUID of the API object that the flow comes from: what `weft trace` and `weft why` name. */
  readonly origin: string;
}

/** A logical port and the host that its VIF is on; unlocated ports have no placement. */
export interface Placement {
  readonly port: number;
  readonly datapath: number;
  /** The interface's external_ids:iface-id. */
  readonly vif: string;
  /** systemId of the transport node. */
  readonly node: string;
}

/** A tunnel that a host should have: to whom, of which kind, to which address. */
export interface TunnelTo {
  readonly node: string;
  readonly encapsulation: 'geneve' | 'vxlan' | 'gre';
  readonly address: string;
}

/** The rate that a port's ingress is held to. */
export interface PortRate {
  readonly port: number;
  /** kbit/s and kbit. */
  readonly rate: number;
  readonly burst: number;
}

/** Everything that one agent is told, table by table; rows are values, told apart by all that they say. */
export interface AgentTables {
  readonly flow: UniversalFlow;
  readonly placement: Placement;
  readonly tunnel: TunnelTo;
  readonly rate: PortRate;
}
export type AgentTableName = keyof AgentTables;
export const AGENT_TABLES: readonly AgentTableName[] = ['flow', 'placement', 'tunnel', 'rate'];

/** Rows that come and go, by table. */
export type AgentRows = { readonly [T in AgentTableName]?: readonly AgentTables[T][] };
