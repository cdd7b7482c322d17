/** Answers whether what was asked for is live, and if not, why, from what the network knows. */
import { KINDS, type KindName, type Stored } from '../../api-schema/kinds.ts';
import type { Clock } from '../../base/clock.ts';
import type {
  HostRealization,
  NodeStatus,
  PortStatus,
  Realization,
  RealizationSource,
  RevisionRealization,
} from '../realization.ts';
import { isKind } from './input-rows.ts';
import type { Network } from './network.ts';

/** Reasons name so many hosts, and count the rest. */
const NAMED = 3;

/** "web-1", or "ACL 5b..." where it has no name. */
export function nameOf(object: Stored): string {
  const { name } = object.spec as { readonly name?: string };
  return name ?? `${KINDS[object.kind].title} ${object.id}`;
}

export class NetworkRealization implements RealizationSource {
  readonly #network: Network;
  readonly #clock: Clock;

  constructor(network: Network, clock: Clock) {
    this.#network = network;
    this.#clock = clock;
  }

  of<K extends KindName>(object: Stored<K>): Realization {
    const { objects, labels, revisions, publication, fault } = this.#network;
    if (fault !== undefined && object.revision >= fault.revision)
      return {
        realized: false,
        // Not in the rules' words, which may name objects of others; the log has them.
        reason: `the rules could not take revision ${fault.revision} over (${fault.error.code})`,
        hosts: [],
      };
    if (object.revision > revisions.latest)
      return { realized: false, reason: `revision ${object.revision} is being computed`, hosts: [] };
    if (isKind(object, 'tenant')) return { realized: true, hosts: [] };
    const state = revisions.stateOf(object.revision);
    if (isKind(object, 'transport-node')) return this.#ofNode(object, state);
    const datapath = this.#datapathOf(object);
    const placed =
      isKind(object, 'logical-port') && labels.has(object.id)
        ? publication.placedSince(labels.of(object.id))
        : 0;
    const hosts =
      datapath === undefined
        ? []
        : [...publication.usersOf(datapath)].sort().map((node) => {
            // A host that only now needs it, or must learn where the port is, has it when it has that.
            const since = Math.max(state, placed, publication.neededSince(node, datapath));
            return this.#host(node, since, object.revision, false);
          });
    const missing = reasonOf(hosts);
    const reason =
      (objects.enabled(object.id) && isKind(object, 'logical-port') ? this.#unplaced(object) : undefined) ??
      missing;
    return { realized: reason === undefined, ...(reason === undefined ? {} : { reason }), hosts };
  }

  revision(revision: number): RevisionRealization {
    const { revisions, fault } = this.#network;
    const record = revisions.get(revision);
    if (revision > this.#network.revision || (fault !== undefined && revision >= fault.revision))
      return { revision, realized: false, hosts: [] };
    if (record === undefined) {
      // Too old to be remembered alone, or none of the network's (a token's): who has what was next to it has it.
      const state = revisions.stateOf(revision);
      const hosts = [...this.#network.deliveries()]
        .filter((d) => !d.has(state))
        .map((d) => this.#host(d.node, state, revision));
      return { revision, realized: hosts.length === 0, hosts };
    }
    const hosts = [...record.nodes]
      .sort()
      .map(
        (node): HostRealization =>
          record.missing.has(node) ? this.#host(node, record.state, revision) : { node, state: 'applied' },
      );
    return {
      revision,
      realized: record.doneAt !== undefined,
      hosts,
      ...(record.doneAt === undefined ? {} : { elapsed: record.doneAt - record.at }),
    };
  }

  settled(revision: number, timeout: number): Promise<RevisionRealization> {
    const now = this.revision(revision);
    if (now.realized || timeout <= 0) return Promise.resolve(now);
    return new Promise((resolve) => {
      const end = (): void => {
        stop();
        timer.cancel();
        resolve(this.revision(revision));
      };
      const stop = this.#network.onProgress(() => {
        if (this.#done(revision)) end();
      });
      const timer = this.#clock.after(timeout, end);
    });
  }

  node(systemId: string): NodeStatus | undefined {
    const { publication, revisions } = this.#network;
    const id = this.#network.nodeObject(systemId);
    if (id === undefined) return undefined;
    const delivery = this.#network.delivery(systemId);
    let flows = 0;
    for (const datapath of publication.needsOf(systemId).keys())
      flows += publication.flowsOf(datapath).length;
    return {
      node: systemId,
      connected: delivery?.session !== undefined,
      applied: delivery === undefined ? 0 : revisions.lastWith((state) => delivery.has(state)),
      vifs: this.#network.vifs(systemId).map(({ vif, name }) => ({
        vif,
        name,
        port: this.#network.portOfVif(vif),
      })),
      flows,
    };
  }

  port(id: string): PortStatus | undefined {
    const object = this.#network.objects.get(id);
    if (object === undefined || !isKind(object, 'logical-port')) return undefined;
    const traffic = this.#network.traffic.port(id);
    const { rxPackets = 0, rxBytes = 0, txPackets = 0, txBytes = 0 } = traffic ?? {};
    return { node: this.#place(object), rxPackets, rxBytes, txPackets, txBytes };
  }

  #done(revision: number): boolean {
    const record = this.#network.revisions.get(revision);
    return record === undefined ? this.revision(revision).realized : record.doneAt !== undefined;
  }

  #place({ spec }: Stored<'logical-port'>): string | undefined {
    return spec.vif === undefined ? undefined : this.#network.locations.nodeOf(spec.vif);
  }

  /** The label of the switch or router whose flows an object's are. */
  #datapathOf(object: Stored): number | undefined {
    const { labels, objects } = this.#network;
    let id: string | undefined;
    if (isKind(object, 'logical-switch') || isKind(object, 'logical-router')) id = object.id;
    else if (isKind(object, 'logical-port') || isKind(object, 'address-binding')) id = object.spec.switch;
    else if (isKind(object, 'router-port') || isKind(object, 'static-route')) id = object.spec.router;
    else if (isKind(object, 'acl')) {
      const port = object.spec.port === undefined ? undefined : objects.get(object.spec.port);
      id = port !== undefined && isKind(port, 'logical-port') ? port.spec.switch : object.spec.switch;
    }
    return id !== undefined && labels.has(id) ? labels.of(id) : undefined;
  }

  #ofNode(object: Stored<'transport-node'>, state: number): Realization {
    const { systemId } = object.spec;
    const delivery = this.#network.delivery(systemId);
    if (delivery?.session === undefined)
      return {
        realized: false,
        reason: `no agent is connected as "${systemId}"`,
        hosts: [{ node: systemId, state: 'disconnected', reason: 'no agent is connected' }],
      };
    const host = this.#host(systemId, state, object.revision);
    const reason = reasonOf([host]);
    return { realized: reason === undefined, ...(reason === undefined ? {} : { reason }), hosts: [host] };
  }

  /** Why the port's VIF is nowhere. */
  #unplaced(object: Stored<'logical-port'>): string | undefined {
    const { vif } = object.spec;
    if (vif === undefined) return `no VIF is attached to ${nameOf(object)}`;
    const node = this.#network.locations.nodeOf(vif);
    if (node === undefined) return `the VIF ${vif} of ${nameOf(object)} is on no host`;
    if (this.#network.nodeObject(node) === undefined)
      return `the VIF ${vif} of ${nameOf(object)} is on ${node}, which is no transport node`;
    return undefined;
  }

  /** @param words whether to quote the switch: what it refused may be another tenant's, so only to the operator */
  #host(node: string, state: number, revision: number, words = true): HostRealization {
    const delivery = this.#network.delivery(node);
    if (delivery?.has(state) === true) return { node, state: 'applied' };
    if (delivery?.session === undefined)
      return { node, state: 'disconnected', reason: `the agent of ${node} is not connected` };
    if (delivery.failure !== undefined && delivery.failure.from <= state) {
      const { code, message } = delivery.failure;
      const why = words ? `: ${message} (${code})` : ` (${code})`;
      return { node, state: 'failed', reason: `the switch of ${node} refused it${why}` };
    }
    return { node, state: 'pending', reason: `${node} has not confirmed revision ${revision} yet` };
  }
}

function reasonOf(hosts: readonly HostRealization[]): string | undefined {
  const reasons = hosts.flatMap(({ reason }) => (reason === undefined ? [] : [reason]));
  if (reasons.length === 0) return undefined;
  const more = reasons.length - NAMED;
  return reasons.slice(0, NAMED).join('; ') + (more > 0 ? `; and ${more} more hosts` : '');
}
