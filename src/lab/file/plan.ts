/** What a lab file means, with every name found and every default filled in. */
import type { KindName } from '../../api-schema/kinds.ts';
import type { SwitchKind } from './schema.ts';

/** An IP address and its prefix length. */
export interface Network {
  readonly address: string;
  readonly prefix: number;
}

export interface HostPlan {
  /** Also its systemId. */
  readonly name: string;
  readonly kind: SwitchKind;
  readonly encapsulations: readonly ('geneve' | 'vxlan' | 'gre')[];
  /** In the network between the hosts. */
  readonly underlay: Network;
}

export interface MachinePlan {
  readonly name: string;
  /** Where it starts. */
  readonly host: string;
  readonly tenant: string;
  readonly switch: string;
  readonly port: string;
  readonly vif: string;
  readonly mac: string;
  readonly addresses: readonly Network[];
  /** At most one of each family. */
  readonly gateways: readonly string[];
}

/** Something to try from one machine to another. */
export type Probe = { readonly kind: 'ping' } | { readonly kind: 'tcp' | 'udp'; readonly port: number };

export const probeText = (probe: Probe): string =>
  probe.kind === 'ping' ? 'ping' : `${probe.kind}/${probe.port}`;

/** What one machine can do with another; of what `LabPlan.probes` lists, the rest it can't. */
export interface PairPlan {
  readonly from: MachinePlan;
  readonly to: MachinePlan;
  /** As `probeText` has them. */
  readonly can: ReadonlySet<string>;
}

export interface MovePlan {
  readonly vm: MachinePlan;
  /** Host. */
  readonly to: string;
  readonly peer: MachinePlan;
  readonly tcp: number;
}

/** An object of the API, with the UUID that it shall have; those it refers to come before it. */
export interface ObjectPlan {
  readonly kind: KindName;
  readonly id: string;
  /** For people: "red/web/vm1". */
  readonly path: string;
  readonly spec: Readonly<Record<string, unknown>>;
}

export interface LabPlan {
  readonly name: string;
  readonly hosts: readonly HostPlan[];
  readonly machines: readonly MachinePlan[];
  readonly objects: readonly ObjectPlan[];
  /** Everything that is tried between every two machines. */
  readonly probes: readonly Probe[];
  /** Every ordered pair of machines. */
  readonly pairs: readonly PairPlan[];
  readonly moves: readonly MovePlan[];
}
