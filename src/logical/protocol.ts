/**
 * What controller and agent say to each other: JSON-RPC messages (RFC 7047's framing, `src/ovsdb/rpc`) over TCP,
 * TLS or a unix socket; the agent dials. Each notification has one parameter, an object of the type below.
 *
 *     agent       hello ->                          who I am, and what I have already
 *     controller          <- welcome
 *     controller          <- update                 all of it (reset), or what changed
 *     agent       applied | failed ->               for each update, once the switch has confirmed it
 *     agent       locations ->                      all VIFs of this host, whenever they change
 *     agent       statistics ->                     now and then
 *     both        requests with an id, such as trace: see AgentRequests
 *     both        echo, when idle
 *
 * An update is one transaction: it is applied to the switch as one atomic bundle, or not at all. A connection
 * that is lost loses nothing: the agent goes on with what it has, and says in the next hello which
 * revision of which epoch that is; the controller then sends the difference or, if it cannot, all.
 */
import type { AgentRows } from './universal.ts';

export const PROTOCOL_VERSION = 1;

/** The port that controllers listen on for agents unless told otherwise. */
export const DEFAULT_AGENT_PORT = 6650;

/** A VIF as the host's database shows it. */
export interface VifReport {
  /** external_ids:iface-id */
  readonly vif: string;
  /** external_ids:attached-mac, if given. */
  readonly mac?: string;
  /** The interface's name on the host. */
  readonly name: string;
  /** external_ids:iface-status is not "inactive": an inactive one is about to come here, and not yet the port's place. */
  readonly active: boolean;
}

export interface Hello {
  readonly version: number;
  readonly systemId: string;
  readonly token: string;
  /**
   * What the agent's tables are: the controller's epoch and the revision of the last update that they contain, whether
   * the switch took it or not; absent after a fresh start.
   */
  readonly holds?: { readonly epoch: string; readonly revision: number };
}

export interface Welcome {
  readonly version: number;
  /** Changes when the controller can no longer tell differences from before: it started anew. */
  readonly epoch: string;
}

export interface Update {
  /**
   * Names the state that this brings the agent to, for `applied` and the next `hello`. It counts published states, so moves
   * of VIFs too; it is not the revision of the API. Goes up with each update within an epoch.
   */
  readonly revision: number;
  /** With `reset`, `insert` is everything, and `delete` is empty. */
  readonly reset: boolean;
  readonly insert: AgentRows;
  readonly delete: AgentRows;
}

export interface Applied {
  readonly revision: number;
  /** Milliseconds from the update's arrival to the switch's confirmation. */
  readonly elapsed: number;
}

export interface Failed {
  readonly revision: number;
  readonly code: string;
  readonly message: string;
}

export interface Locations {
  readonly vifs: readonly VifReport[];
}

/** Counters of a logical port, from the device that its VIF is. */
export interface PortStatistics {
  readonly port: number;
  readonly rxPackets: number;
  readonly rxBytes: number;
  readonly txPackets: number;
  readonly txBytes: number;
  readonly rxDropped: number;
  readonly txDropped: number;
}

export interface Statistics {
  readonly ports: readonly PortStatistics[];
  /** Packets and bytes by the object that let them pass or dropped them: the universal flows' counters, summed by origin and stage. */
  readonly flows: readonly { origin: string; stage: string; packets: number; bytes: number }[];
}

/** Notifications by name. */
export interface AgentToController {
  readonly hello: Hello;
  readonly applied: Applied;
  readonly failed: Failed;
  readonly locations: Locations;
  readonly statistics: Statistics;
}
export interface ControllerToAgent {
  readonly welcome: Welcome;
  readonly update: Update;
  /** The controller ends the connection, and says why (unknown node, wrong token). */
  readonly refused: { readonly code: string; readonly message: string };
}

/** Requests that the controller sends to an agent: name -> parameter and result. */
export interface AgentRequests {
  /**
   * `ofproto/trace` of a packet that enters by a local port's VIF or by a tunnel. `flow` is in the syntax of `ovs-ofctl`,
   * without the port. The result is the switch's own text, and of every universal flow in it, its origin.
   */
  readonly trace: {
    readonly params:
      | { readonly port: number; readonly flow: string }
      | { readonly tunnelKey: number; readonly from: string; readonly flow: string };
    readonly result: {
      readonly text: string;
      readonly steps: readonly {
        table: number;
        stage: string;
        priority: number;
        match: string;
        actions: string;
        origin: string | undefined;
      }[];
      /** Where the packet goes: local ports by label, other hosts by systemId with the tunnel key. */
      readonly outputs: readonly (
        | { readonly port: number }
        | { readonly node: string; readonly tunnelKey: number }
      )[];
    };
  };
  /** The OpenFlow flows of the bridge with their counters, and the origin of each. */
  readonly flows: {
    readonly params: { readonly origin?: string };
    readonly result: readonly { readonly text: string; readonly origin: string | undefined }[];
  };
}
