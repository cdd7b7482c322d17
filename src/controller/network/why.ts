/** Where flows come from: the derivation by the rules, down to the objects of the API. */
import type { Stored } from '../../api-schema/kinds.ts';
import { WeftError } from '../../base/errors.ts';
import { type Stage, stageTable } from '../../logical/layout.ts';
import type { UniversalFlow } from '../../logical/universal.ts';
import { explain, formatDerivation } from '../../nlog/index.ts';
import type { WhyAnswer, WhyRequest } from '../diagnosis.ts';
import { notFound } from '../model/draft.ts';
import { type Principal, sees } from '../model/principal.ts';
import { ModelError } from '../model/problem.ts';
import { isKind } from './input-rows.ts';
import type { Network } from './network.ts';
import { objectName } from './trace.ts';

const ANSWER_MS = 10_000;
/** Of one derivation so many lines are shown. */
const MAX_LINES = 200;
/** No host has more flows than an answer may list. */
const MAX_FLOWS = 1_000_000;

interface HostFlow {
  readonly text: string;
  readonly origin: string | undefined;
}

function flowText({ stage, priority, match, actions }: UniversalFlow): string {
  return `${stage}: priority=${priority}${match === '' ? '' : `,${match}`} actions=${actions === '' ? 'drop' : actions}`;
}

function noObject(id: string): ModelError {
  const message = `there is no object "${id.slice(0, 64)}"`;
  const remedy = 'list the objects to see their ids';
  return new ModelError('object-not-found', [{ member: '', value: id, message, remedy }]);
}

export class WhyAnswers {
  readonly #network: Network;

  constructor(network: Network) {
    this.#network = network;
  }

  async why(request: WhyRequest, principal: Principal, limit: number): Promise<readonly WhyAnswer[]> {
    return 'object' in request
      ? this.#ofObject(request.object, principal, limit)
      : this.#onHost(request.node, request.flow, principal, limit);
  }

  #ofObject(id: string, principal: Principal, limit: number): WhyAnswer[] {
    const object = this.#network.objects.get(id.toLowerCase());
    if (object === undefined || !sees(principal, object.tenant)) throw noObject(id);
    return this.#flowsOf(object)
      .slice(0, limit)
      .map((flow) => ({
        flow: flowText(flow),
        origin: objectName(this.#network, flow.origin, principal),
        derivation: this.#derivation(flow),
      }));
  }

  async #onHost(node: string, words: string, principal: Principal, limit: number): Promise<WhyAnswer[]> {
    const id = this.#network.nodeObject(node);
    // Hosts are the operator's.
    if (id === undefined || principal.role !== 'operator') throw notFound('transport-node', node);
    const session = this.#network.delivery(node)?.session;
    if (session === undefined)
      throw new WeftError('agent-gone', `the agent of ${node} is not connected`, { remedy: 'start it' });
    const flows: unknown = await session.request('flows', {}, ANSWER_MS);
    if (!Array.isArray(flows) || flows.length > MAX_FLOWS)
      throw new WeftError('agent-error', `the agent of ${node} gave an answer that is no list of flows`);
    const wanted = words.split(/[\s,]+/).filter((w) => w !== '');
    return (flows as readonly HostFlow[])
      .filter(
        ({ text }) =>
          typeof text === 'string' && wanted.every((w) => text.split(/[\s,]+/).some((t) => t === w)),
      )
      .slice(0, limit)
      .map(({ text, origin }) => {
        const universal = this.#universal(text, origin);
        return {
          node,
          flow: text,
          origin: objectName(this.#network, origin, principal),
          derivation: universal === undefined ? [] : this.#derivation(universal),
        };
      });
  }

  /**
   * The universal flow that a flow of a host was made from: by its table, priority and origin, and of several by what their
   * matches have in common with its text.
   */
  #universal(text: string, origin: string | undefined): UniversalFlow | undefined {
    const object = origin === undefined ? undefined : this.#network.objects.get(origin);
    if (object === undefined) return undefined;
    const table = Number(/\btable=(\d+)/.exec(text)?.[1] ?? 0);
    const priority = Number(/\bpriority=(\d+)/.exec(text)?.[1] ?? 32768);
    const words = new Set(text.split(/[\s,]+/));
    const alike = ({ match }: UniversalFlow): number => match.split(',').filter((w) => words.has(w)).length;
    return this.#flowsOf(object)
      .filter((f) => stageTable(f.stage as Stage) === table && f.priority === priority)
      .reduce<UniversalFlow | undefined>(
        (best, f) => (best === undefined || alike(f) > alike(best) ? f : best),
        undefined,
      );
  }

  #flowsOf(object: Stored): UniversalFlow[] {
    return this.#datapaths(object).flatMap((datapath) =>
      this.#network.publication.flowsOf(datapath).filter((f) => f.origin === object.id),
    );
  }

  /** Labels of the switches and routers that an object can have flows in. */
  #datapaths(object: Stored): number[] {
    const { labels, objects } = this.#network;
    const ids = new Set<string>();
    const visit = (o: Stored): void => {
      if (isKind(o, 'logical-switch') || isKind(o, 'logical-router')) ids.add(o.id);
      for (const value of Object.values(o.spec)) {
        const referred = typeof value === 'string' ? objects.get(value) : undefined;
        if (referred !== undefined && referred.kind !== 'tenant' && referred.id !== o.id) visit(referred);
      }
    };
    visit(object);
    // What is on a switch or router shows in the routers and switches that are joined to it, too.
    for (const id of [...ids])
      for (const referrer of objects.referrers(id)) {
        const port = objects.get(referrer);
        if (port !== undefined && isKind(port, 'router-port'))
          for (const joined of [port.spec.router, port.spec.switch]) ids.add(joined);
      }
    return [...ids].filter((id) => labels.has(id)).map((id) => labels.of(id));
  }

  #derivation({ datapath, stage, priority, match, actions, origin }: UniversalFlow): string[] {
    const row = [datapath, stage, priority, match, actions, origin];
    const lines = formatDerivation(explain(this.#network.rules.engine, 'flow', row)).split('\n');
    if (lines.length <= MAX_LINES) return lines;
    return [...lines.slice(0, MAX_LINES), `and ${lines.length - MAX_LINES} more lines`];
  }
}
