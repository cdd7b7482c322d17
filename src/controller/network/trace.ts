/** One packet through the networks: asks the agents host by host, and joins what they say. */
import { KINDS, type KindName, type Stored } from '../../api-schema/kinds.ts';
import { WeftError } from '../../base/errors.ts';
import type { AgentRequests } from '../../logical/protocol.ts';
import type { ObjectName, TraceHop, TraceRequest, TraceResult, TraceStep } from '../diagnosis.ts';
import { notFound } from '../model/draft.ts';
import { type Principal, sees } from '../model/principal.ts';
import { isKind } from './input-rows.ts';
import type { Network } from './network.ts';
import { completePacket, packetAfter } from './packet-text.ts';

/** A flood reaches many hosts; more than so many are not asked. */
const MAX_HOPS = 32;
const ANSWER_MS = 5000;
const MAX_FLOW_TEXT = 4096;

type AgentTrace = AgentRequests['trace']['result'];

/** A packet that is to be looked at on a host. */
interface Arrival {
  readonly node: string;
  readonly params: AgentRequests['trace']['params'];
}

/** The object, as far as the asker may know of it. */
export function objectName(
  network: Network,
  id: string | undefined,
  principal: Principal,
): ObjectName | undefined {
  const object = id === undefined ? undefined : network.objects.get(id);
  if (object === undefined || !sees(principal, object.tenant)) return undefined;
  return { kind: object.kind, id: object.id, name: (object.spec as { readonly name?: string }).name };
}

/** Whether what an agent answered is a trace, all of it. */
function isTrace(answer: unknown): answer is AgentTrace {
  const fields = (value: unknown): Readonly<Record<string, unknown>> =>
    typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  const { text, steps, outputs } = fields(answer);
  if (typeof text !== 'string' || !Array.isArray(steps) || !Array.isArray(outputs)) return false;
  const isStep = (step: unknown): boolean => {
    const { table, priority, stage, match, actions, origin } = fields(step);
    return (
      [table, priority].every((n) => typeof n === 'number') &&
      [stage, match, actions, origin ?? ''].every((s) => typeof s === 'string')
    );
  };
  const isOutput = (output: unknown): boolean => {
    const { port, node, tunnelKey } = fields(output);
    return typeof port === 'number' || (typeof node === 'string' && typeof tunnelKey === 'number');
  };
  return steps.every(isStep) && outputs.every(isOutput);
}

const titled = ({ kind, id, name }: ObjectName): string => `${KINDS[kind].title} ${name ?? id}`;

export class Tracer {
  readonly #network: Network;

  constructor(network: Network) {
    this.#network = network;
  }

  async trace(request: TraceRequest, principal: Principal): Promise<TraceResult> {
    const from = this.#port(request.from, principal);
    const to = request.to === undefined ? undefined : this.#port(request.to, principal);
    if ((request.flow ?? '').length > MAX_FLOW_TEXT)
      throw new WeftError('flow-syntax', `the packet's text is longer than ${MAX_FLOW_TEXT} characters`);
    const node = this.#place(from);
    const flow = completePacket(request.flow ?? '', {
      from: from.spec,
      ...(to === undefined ? {} : { to: to.spec }),
      ...this.#gateway(from, to),
    });
    const hops: TraceHop[] = [];
    const delivered = new Map<string, ObjectName>();
    const arrivals: Arrival[] = [{ node, params: { port: this.#network.labels.of(from.id), flow } }];
    const seen = new Set<string>();
    for (let next = arrivals.shift(); next !== undefined && hops.length < MAX_HOPS; next = arrivals.shift()) {
      const answer = await this.#ask(next);
      const after = packetAfter(answer.text, next.params.flow);
      hops.push(this.#hop(next.node, answer, principal));
      for (const output of answer.outputs) {
        if ('port' in output) {
          const name = objectName(this.#network, this.#network.labels.owner(output.port), principal);
          if (name !== undefined) delivered.set(name.id, name);
          continue;
        }
        const { node: peer, tunnelKey } = output;
        if (seen.has(`${tunnelKey} ${peer}`)) continue;
        seen.add(`${tunnelKey} ${peer}`);
        arrivals.push({ node: peer, params: { tunnelKey, from: next.node, flow: after } });
      }
    }
    const verdict = this.#verdict(hops, [...delivered.values()], arrivals.length);
    return { hops, delivered: [...delivered.values()], verdict };
  }

  #port(id: string, principal: Principal): Stored<'logical-port'> {
    const object = this.#network.objects.get(id.toLowerCase());
    if (object === undefined || !sees(principal, object.tenant) || !isKind(object, 'logical-port'))
      throw notFound('logical-port', id);
    return object;
  }

  #place({ id, spec }: Stored<'logical-port'>): string {
    const name = `port ${spec.name}`;
    if (!this.#network.objects.enabled(id))
      throw new WeftError('port-nowhere', `${name}, or what it is in, is not enabled`, {
        remedy: 'enable it',
      });
    if (spec.vif === undefined)
      throw new WeftError('port-nowhere', `no VIF is attached to ${name}`, { remedy: 'give it a VIF' });
    const node = this.#network.locations.nodeOf(spec.vif);
    if (node === undefined)
      throw new WeftError('port-nowhere', `the VIF ${spec.vif} of ${name} is on no host`, {
        remedy: 'start the machine, and see that its interface has external_ids:iface-id',
      });
    return node;
  }

  /** Where the other end is on another switch: the router port of the sender's switch, if there is one. */
  #gateway(
    from: Stored<'logical-port'>,
    to: Stored<'logical-port'> | undefined,
  ): { readonly gateway?: string } {
    if (to === undefined || to.spec.switch === from.spec.switch) return {};
    for (const id of this.#network.objects.referrers(from.spec.switch)) {
      const object = this.#network.objects.get(id);
      if (object !== undefined && isKind(object, 'router-port')) return { gateway: object.spec.mac };
    }
    return {};
  }

  async #ask({ node, params }: Arrival): Promise<AgentTrace> {
    const session = this.#network.delivery(node)?.session;
    if (session === undefined)
      throw new WeftError('agent-gone', `the agent of ${node} is not connected`, {
        remedy: 'start it; the packet cannot be followed without it',
      });
    const answer = (await session.request('trace', params, ANSWER_MS)) as unknown;
    if (!isTrace(answer))
      throw new WeftError('agent-error', `the agent of ${node} gave an answer that is no trace`);
    return answer;
  }

  #hop(node: string, { text, steps }: AgentTrace, principal: Principal): TraceHop {
    const made = steps.map(
      ({ table, stage, priority, match, actions, origin }): TraceStep => ({
        table,
        stage,
        priority,
        match,
        actions,
        origin: objectName(this.#network, origin, principal),
      }),
    );
    return { node, steps: made, ...(principal.role === 'operator' ? { text } : {}) };
  }

  #verdict(hops: readonly TraceHop[], delivered: readonly ObjectName[], unasked: number): string {
    const more = unasked > 0 ? `; ${unasked} more hosts were not asked` : '';
    if (delivered.length > 0) return `delivered to ${delivered.map(titled).join(', ')}${more}`;
    const hop = hops.at(-1);
    const step = hop?.steps.at(-1);
    if (hop === undefined || step === undefined) return 'dropped before the first flow of a logical network';
    // What an ACL decides, the stage behind it does.
    const acl = /-commit$/.test(step.stage) ? hop.steps.findLast((s) => s.origin?.kind === 'acl') : undefined;
    if (step.origin === undefined && acl?.origin !== undefined) {
      const what = this.#rejects(acl.origin) ? 'rejected' : 'dropped';
      return `${what} by ${titled(acl.origin)} (${acl.stage}) on ${hop.node}${more}`;
    }
    if (step.origin === undefined) return `dropped in ${step.stage} on ${hop.node}${more}`;
    const what = /\banswer\(/.test(step.actions) || this.#rejects(step.origin) ? 'rejected' : 'dropped';
    if (step.origin.kind === 'acl') return `${what} by ${titled(step.origin)} (${step.stage}) on ${hop.node}`;
    return `${what} in ${step.stage} on ${hop.node}, by a flow of ${titled(step.origin)}${more}`;
  }

  #rejects({ id }: { readonly id: string; readonly kind: KindName }): boolean {
    const object = this.#network.objects.get(id);
    return object !== undefined && isKind(object, 'acl') && object.spec.action === 'reject';
  }
}
