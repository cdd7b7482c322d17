/** Whether what was asked for is live, on which hosts, and if not, why: what the API tells of every object. */
import type { KindName, Stored } from '../api-schema/kinds.ts';

/** One host and one revision. */
export interface HostRealization {
  /** systemId of the transport node. */
  readonly node: string;
  /**
   * applied: the host's switch has confirmed everything up to the revision; pending: sent, not yet confirmed;
   * failed: the switch refused it; disconnected: no agent is connected, so the host has what it had before.
   */
  readonly state: 'applied' | 'pending' | 'failed' | 'disconnected';
  /** For people, where the state is not "applied". */
  readonly reason?: string;
}

export interface Realization {
  readonly realized: boolean;
  /** One sentence where it is not: "vm1's VIF 7c... is on no host", "host3 has not confirmed revision 17 yet". */
  readonly reason?: string;
  /** The hosts that must have it. */
  readonly hosts: readonly HostRealization[];
}

export interface RevisionRealization {
  readonly revision: number;
  readonly realized: boolean;
  readonly hosts: readonly HostRealization[];
  /** From the write to the last host's confirmation, in milliseconds; absent until then. */
  readonly elapsed?: number;
}

/** A transport node as the controller sees it now. */
export interface NodeStatus {
  readonly node: string;
  readonly connected: boolean;
  /** The last revision that its switch has confirmed. */
  readonly applied: number;
  readonly vifs: readonly {
    readonly vif: string;
    readonly name: string;
    readonly port: string | undefined;
  }[];
  /** Universal flows that it has been given. */
  readonly flows: number;
}

/** A logical port's place and traffic. */
export interface PortStatus {
  readonly node: string | undefined;
  readonly rxPackets: number;
  readonly rxBytes: number;
  readonly txPackets: number;
  readonly txBytes: number;
}

export interface RealizationSource {
  of<K extends KindName>(object: Stored<K>): Realization;
  revision(revision: number): RevisionRealization;
  /** Resolves when every host has confirmed the revision, or with what is missing after `timeout` ms. */
  settled(revision: number, timeout: number): Promise<RevisionRealization>;
  node(systemId: string): NodeStatus | undefined;
  port(id: string): PortStatus | undefined;
}
