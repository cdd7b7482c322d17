/** What the controller may ask an agent: see `AgentRequests` in `src/logical/protocol.ts`. */
import { WeftError } from '../../base/errors.ts';
import { STAGES, type Stage, stageTable, TABLES } from '../../logical/layout.ts';
import type { AgentRequests } from '../../logical/protocol.ts';
import { formatFlowStats } from '../../openflow/index.ts';
import type { TunnelPort } from '../physical.ts';
import type { Origins } from '../switch/origins.ts';
import type { SwitchLink } from '../switch/switch-link.ts';
import { readTrace } from './trace-text.ts';

/** Runs a command of the switch's daemon, as `ovs-appctl` does. @throws WeftError with its words */
export type Appctl = (command: string, args: readonly string[]) => Promise<string>;

export interface RequestContext {
  readonly bridge: string;
  readonly link: SwitchLink;
  readonly origins: Origins;
  readonly appctl: Appctl;
  /** The OpenFlow port of a port's VIF here; undefined: it is not here. */
  readonly ofportOf: (port: number) => number | undefined;
  /** The port here that has this OpenFlow port. */
  readonly portAt: (ofport: number) => number | undefined;
  readonly tunnels: () => readonly TunnelPort[];
  /** The host's own address in tunnels, if it was given. */
  readonly localIp: () => string | undefined;
}

type Trace = AgentRequests['trace'];
type Flows = AgentRequests['flows'];

const MAX_FLOW_TEXT = 8192;
const STAGE_NAMES: ReadonlyMap<number, string> = new Map<number, string>([
  ...STAGES.map((stage): [number, Stage] => [stageTable(stage), stage]),
  [TABLES.physicalToLogical, 'physical-to-logical'],
  [TABLES.output, 'output'],
  [TABLES.localOutput, 'local-output'],
  [TABLES.deliver, 'deliver'],
]);

export class Requests {
  readonly #context: RequestContext;

  constructor(context: RequestContext) {
    this.#context = context;
  }

  /** @throws WeftError */
  answer<M extends keyof AgentRequests>(
    method: M,
    params: AgentRequests[M]['params'],
  ): Promise<AgentRequests[M]['result']> {
    const answer: Promise<Trace['result'] | Flows['result']> =
      method === 'trace' ? this.#trace(params as Trace['params']) : this.#flows(params as Flows['params']);
    return answer as Promise<AgentRequests[M]['result']>;
  }

  async #trace(params: Trace['params']): Promise<Trace['result']> {
    const { bridge, appctl, origins, portAt } = this.#context;
    const { flow } = params;
    if (typeof flow !== 'string' || flow.length > MAX_FLOW_TEXT || /\s/.test(flow))
      throw new WeftError(
        'bad-request',
        `trace: the packet is no text of at most ${MAX_FLOW_TEXT} characters`,
      );
    const text = await appctl('ofproto/trace', [
      bridge,
      `${this.#entry(params)}${flow === '' ? '' : `,${flow}`}`,
    ]);
    const tunnels = this.#context.tunnels();
    const outputs: Trace['result']['outputs'][number][] = [];
    const read = readTrace(text);
    const steps = read.map(({ table, priority, match, actions, cookie }) => ({
      table,
      stage: STAGE_NAMES.get(table) ?? `table-${table}`,
      priority,
      match,
      actions,
      origin: cookie === undefined ? undefined : origins.of(cookie),
    }));
    for (const { ofport, tunnelKey } of read.flatMap((step) => step.outputs)) {
      const tunnel = tunnels.find((t) => t.ofport === ofport);
      const port = portAt(ofport);
      if (tunnel !== undefined) outputs.push({ node: tunnel.node, tunnelKey });
      else if (port !== undefined) outputs.push({ port });
    }
    return { text, steps, outputs };
  }

  /** Where the packet enters. */
  #entry(params: Trace['params']): string {
    const { ofportOf, tunnels, localIp } = this.#context;
    if ('port' in params) {
      const ofport = ofportOf(params.port);
      if (ofport === undefined)
        throw new WeftError('port-nowhere', `port ${params.port} has no VIF on this host`, {
          remedy: 'ask the host that its VIF is on',
        });
      return `in_port=${ofport}`;
    }
    const { tunnelKey, from } = params;
    if (!Number.isSafeInteger(tunnelKey) || tunnelKey < 0)
      throw new WeftError('bad-request', 'trace: tunnelKey is no number');
    const tunnel = tunnels().find((t) => t.node === from);
    if (tunnel === undefined)
      throw new WeftError('bad-request', `trace: there is no tunnel from "${from}" here`);
    const six = tunnel.address.includes(':');
    const local = localIp();
    const addresses = six
      ? `tun_ipv6_src=${tunnel.address}${local === undefined ? '' : `,tun_ipv6_dst=${local}`}`
      : `tun_src=${tunnel.address}${local === undefined ? '' : `,tun_dst=${local}`}`;
    return `in_port=${tunnel.ofport},tun_id=${tunnelKey},${addresses}`;
  }

  async #flows({ origin }: Flows['params']): Promise<Flows['result']> {
    const { link, origins } = this.#context;
    const flows = (await link.flowStats()).map((stats) => ({
      text: formatFlowStats(stats),
      origin: origins.of(stats.cookie),
      order: [stats.table, -stats.priority] as const,
    }));
    return flows
      .filter((f) => origin === undefined || origin === null || f.origin === origin)
      .sort((a, b) => a.order[0] - b.order[0] || a.order[1] - b.order[1])
      .map(({ text, origin: from }) => ({ text, origin: from }));
  }
}
