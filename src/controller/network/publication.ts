/**
 * What the rules say, as agents are told it: each agent gets the flows and placements of the datapaths that it
 * needs, and its own tunnels and rates.
 *
 * Rows are kept once, by datapath, however many agents need them. Of the past a bounded number of changes is kept, from which
 * the difference for an agent that was away is worked out when it comes back; so nothing is kept per agent but
 * which datapaths it needs.
 */
import type { Stage } from '../../logical/layout.ts';
import type { AgentRows, Placement, PortRate, TunnelTo, UniversalFlow } from '../../logical/universal.ts';
import type { Row } from '../../nlog/index.ts';
import { GroupedRows, grouped, net, type RowChange, type RowIdentity, without } from './row-set.ts';
import type { OutputChanges } from './rule-engine.ts';

const FLOW: RowIdentity<UniversalFlow> = {
  bucket: (f) => f.match,
  key: (f) => `${f.stage} ${f.priority} ${f.origin} ${f.match} ${f.actions}`,
};
const PLACEMENT: RowIdentity<Placement> = {
  bucket: (p) => p.port,
  key: (p) => `${p.port} ${p.datapath} ${p.node} ${p.vif}`,
};
const TUNNEL: RowIdentity<TunnelTo> = {
  bucket: (t) => t.node,
  key: (t) => `${t.encapsulation} ${t.address} ${t.node}`,
};
const RATE: RowIdentity<PortRate> = {
  bucket: (r) => r.port,
  key: (r) => `${r.port} ${r.rate} ${r.burst}`,
};
const NUMBER: RowIdentity<number> = { bucket: (n) => n, key: String };

type By<K, T> = ReadonlyMap<K, RowChange<T>>;

/** What one transaction changed. */
export interface Step {
  readonly state: number;
  readonly flows: By<number, UniversalFlow>;
  readonly placements: By<number, Placement>;
  readonly needs: By<string, number>;
  readonly tunnels: By<string, TunnelTo>;
  readonly rates: By<string, PortRate>;
  /** The agents that it changes anything for. */
  readonly nodes: ReadonlySet<string>;
  /** Rows in it; what it costs to keep. */
  readonly size: number;
}

/** Rows for one agent. */
export interface AgentChange {
  readonly insert: AgentRows;
  readonly delete: AgentRows;
}

export interface PublicationOptions {
  /** So many steps of the past are kept, */
  readonly maxSteps?: number;
  /** with so many rows in all. */
  readonly maxRows?: number;
}

/** One type of table, collected for one agent. */
class Collector<T> {
  readonly inserted: T[] = [];
  readonly deleted: T[] = [];

  add({ inserted, deleted }: RowChange<T>): void {
    for (const row of inserted) this.inserted.push(row);
    for (const row of deleted) this.deleted.push(row);
  }
}

const flowOf = (r: Row): UniversalFlow => ({
  datapath: r[0] as number,
  stage: r[1] as Stage,
  priority: r[2] as number,
  match: r[3] as string,
  actions: r[4] as string,
  origin: r[5] as string,
});
const placementOf = (r: Row): Placement => ({
  port: r[0] as number,
  datapath: r[1] as number,
  vif: r[2] as string,
  node: r[3] as string,
});
const tunnelOf = (r: Row): TunnelTo => ({
  node: r[1] as string,
  encapsulation: r[2] as TunnelTo['encapsulation'],
  address: r[3] as string,
});
const rateOf = (r: Row): PortRate => ({
  port: r[0] as number,
  rate: r[1] as number,
  burst: r[2] as number,
});

/** The changes of one output table, made into `T` and put together by `group`. */
function gather<K, T>(
  changes: OutputChanges,
  table: string,
  group: (row: Row) => K,
  make: (row: Row) => T,
): Map<K, RowChange<T>> {
  const { inserted, deleted } = changes.of(table);
  const pairs = grouped(inserted, deleted, group);
  const result = new Map<K, RowChange<T>>();
  for (const [key, change] of pairs)
    result.set(key, { inserted: change.inserted.map(make), deleted: change.deleted.map(make) });
  return result;
}

function table<T>(rows: readonly T[]): readonly T[] | undefined {
  return rows.length === 0 ? undefined : rows;
}

function agentRows(
  flow: readonly UniversalFlow[],
  placement: readonly Placement[],
  tunnel: readonly TunnelTo[],
  rate: readonly PortRate[],
): AgentRows {
  const rows: { -readonly [T in keyof AgentRows]: AgentRows[T] } = {};
  if (table(flow)) rows.flow = flow;
  if (table(placement)) rows.placement = placement;
  if (table(tunnel)) rows.tunnel = tunnel;
  if (table(rate)) rows.rate = rate;
  return rows;
}

export class Publication {
  /** The number of the present state; 0 before anything was said. */
  state = 0;
  readonly #flows = new GroupedRows<number, UniversalFlow>(FLOW);
  readonly #placements = new GroupedRows<number, Placement>(PLACEMENT);
  readonly #tunnels = new GroupedRows<string, TunnelTo>(TUNNEL);
  readonly #rates = new GroupedRows<string, PortRate>(RATE);
  /** Of each node the datapaths that it needs, each with the state since which. */
  readonly #needs = new Map<string, Map<number, number>>();
  /** The state in which a port came to its place. */
  readonly #placed = new Map<number, number>();
  readonly #users = new Map<number, Set<string>>();
  /** The last step that changed anything for a node. */
  readonly #concerned = new Map<string, number>();
  #steps: Step[] = [];
  #kept = 0;
  readonly #maxSteps: number;
  readonly #maxRows: number;

  constructor(options: PublicationOptions = {}) {
    this.#maxSteps = options.maxSteps ?? 4096;
    this.#maxRows = options.maxRows ?? 500_000;
  }

  /** Takes the changes of the rules' outputs over. Undefined if no agent will notice. */
  apply(changes: OutputChanges): Step | undefined {
    const flows = gather(changes, 'flow', (r) => r[0] as number, flowOf);
    const placements = gather(changes, 'placement', (r) => r[1] as number, placementOf);
    const needs = gather(
      changes,
      'needs',
      (r) => r[0] as string,
      (r) => r[1] as number,
    );
    const tunnels = gather(changes, 'tunnel', (r) => r[0] as string, tunnelOf);
    const rates = gather(changes, 'rate', (r) => r[3] as string, rateOf);
    const nodes = new Set<string>([...needs.keys(), ...tunnels.keys(), ...rates.keys()]);
    const next = this.state + 1;
    // Who ceases to need a datapath is in `needs`.
    this.#applyNeeds(needs, next);
    for (const { inserted, deleted } of placements.values()) {
      for (const { port } of deleted) this.#placed.delete(port);
      for (const { port } of inserted) this.#placed.set(port, next);
    }
    for (const datapath of [...flows.keys(), ...placements.keys()])
      for (const node of this.usersOf(datapath)) nodes.add(node);
    this.#flows.apply(flows);
    this.#placements.apply(placements);
    this.#tunnels.apply(tunnels);
    this.#rates.apply(rates);
    const size = [flows, placements, needs, tunnels, rates]
      .flatMap((m) => [...m.values()])
      .reduce((sum, c) => sum + c.inserted.length + c.deleted.length, 0);
    if (size === 0) return undefined;
    this.state = next;
    const step: Step = { state: this.state, flows, placements, needs, tunnels, rates, nodes, size };
    for (const node of nodes) this.#concerned.set(node, this.state);
    this.#keep(step);
    return nodes.size === 0 ? undefined : step;
  }

  /** Datapaths that a node needs. */
  needsOf(node: string): ReadonlyMap<number, number> {
    return this.#needs.get(node) ?? new Map();
  }

  /** The state since which a node needs a datapath; 0 if it does not. */
  neededSince(node: string, datapath: number): number {
    return this.#needs.get(node)?.get(datapath) ?? 0;
  }

  /** The state since which a port is where it is; 0 if it is nowhere. */
  placedSince(port: number): number {
    return this.#placed.get(port) ?? 0;
  }

  /** Nodes that need a datapath. */
  usersOf(datapath: number): ReadonlySet<string> {
    return this.#users.get(datapath) ?? new Set();
  }

  flowsOf(datapath: number): readonly UniversalFlow[] {
    return this.#flows.of(datapath);
  }

  placementsOf(datapath: number): readonly Placement[] {
    return this.#placements.of(datapath);
  }

  tunnelsOf(node: string): readonly TunnelTo[] {
    return this.#tunnels.of(node);
  }

  /** Everything that a node is to have. */
  all(node: string): AgentRows {
    const datapaths = [...this.needsOf(node).keys()];
    return agentRows(
      datapaths.flatMap((d) => this.#flows.of(d)),
      datapaths.flatMap((d) => this.#placements.of(d)),
      [...this.#tunnels.of(node)],
      [...this.#rates.of(node)],
    );
  }

  /** What a node that has everything up to the step before has to be told of this one. */
  of(step: Step, node: string): AgentChange {
    return this.#difference(node, [step]);
  }

  /** What a node that has `state` must be told to have the present one; undefined if that is no longer known. */
  since(node: string, state: number): AgentChange | undefined {
    if (state > this.state) return undefined;
    if (state >= (this.#concerned.get(node) ?? 0)) return { insert: {}, delete: {} };
    const at = this.#steps.findIndex((s) => s.state > state);
    if (at < 0 || this.#steps[at].state !== state + 1) return undefined;
    return this.#difference(node, this.#steps.slice(at));
  }

  /** Between the state before the first step and now. */
  #difference(node: string, steps: readonly Step[]): AgentChange {
    const flows = new Collector<UniversalFlow>();
    const placements = new Collector<Placement>();
    const now = this.needsOf(node);
    const needed = net(changesOf(steps, 'needs', node), NUMBER);
    const come = new Set(needed.inserted);
    const touched = new Set<number>();
    for (const step of steps)
      for (const map of [step.flows, step.placements])
        if (map.size > now.size) {
          for (const d of now.keys()) if (map.has(d)) touched.add(d);
        } else for (const d of map.keys()) if (now.has(d)) touched.add(d);
    for (const d of touched) {
      if (come.has(d)) continue;
      flows.add(net(changesOf(steps, 'flows', d), FLOW));
      placements.add(net(changesOf(steps, 'placements', d), PLACEMENT));
    }
    for (const d of come) {
      flows.add({ inserted: this.#flows.of(d), deleted: [] });
      placements.add({ inserted: this.#placements.of(d), deleted: [] });
    }
    for (const d of needed.deleted) {
      flows.add({ inserted: [], deleted: before(this.#flows.of(d), changesOf(steps, 'flows', d), FLOW) });
      placements.add({
        inserted: [],
        deleted: before(this.#placements.of(d), changesOf(steps, 'placements', d), PLACEMENT),
      });
    }
    const tunnels = net(changesOf(steps, 'tunnels', node), TUNNEL);
    const rates = net(changesOf(steps, 'rates', node), RATE);
    return {
      insert: agentRows(flows.inserted, placements.inserted, tunnels.inserted, rates.inserted),
      delete: agentRows(flows.deleted, placements.deleted, tunnels.deleted, rates.deleted),
    };
  }

  #applyNeeds(needs: By<string, number>, state: number): void {
    for (const [node, { inserted, deleted }] of needs) {
      let set = this.#needs.get(node);
      if (set === undefined) {
        set = new Map();
        this.#needs.set(node, set);
      }
      for (const d of deleted) {
        set.delete(d);
        const users = this.#users.get(d);
        users?.delete(node);
        if (users?.size === 0) this.#users.delete(d);
      }
      for (const d of inserted) {
        set.set(d, state);
        const users = this.#users.get(d);
        if (users === undefined) this.#users.set(d, new Set([node]));
        else users.add(node);
      }
      if (set.size === 0) this.#needs.delete(node);
    }
  }

  #keep(step: Step): void {
    this.#steps.push(step);
    this.#kept += step.size;
    let drop = 0;
    while (
      drop < this.#steps.length &&
      (this.#kept > this.#maxRows || this.#steps.length - drop > this.#maxSteps)
    )
      this.#kept -= this.#steps[drop++].size;
    if (drop > 0) this.#steps = this.#steps.slice(drop);
  }
}

type Grouping = 'flows' | 'placements' | 'needs' | 'tunnels' | 'rates';
type RowIn<G extends Grouping> = Step[G] extends By<infer _K, infer T> ? T : never;
type KeyIn<G extends Grouping> = Step[G] extends By<infer K, infer _T> ? K : never;

function changesOf<G extends Grouping>(
  steps: readonly Step[],
  grouping: G,
  key: KeyIn<G>,
): RowChange<RowIn<G>>[] {
  return steps.flatMap((step) => {
    const map = step[grouping] as unknown as By<KeyIn<G>, RowIn<G>>;
    const change = map.get(key);
    return change === undefined ? [] : [change];
  });
}

/** The rows as they were before the changes. */
function before<T>(
  rows: readonly T[],
  changes: readonly RowChange<T>[],
  identity: RowIdentity<T>,
): readonly T[] {
  const { inserted, deleted } = net(changes, identity);
  return [...without(rows, inserted, identity), ...deleted];
}
