/**
 * The physical controller's core: universal flows, placements and what is on the host in; OpenFlow flows, meters and
 * wanted tunnels out, as exact differences. No I/O.
 *
 * One engine may keep the flows of many hosts. Universal flows go through it without being kept: who wants them all, keeps
 * them; see `WantedFlows`.
 */
import { WeftError } from '../base/errors.ts';
import { type CompiledFlow, compileFlow } from '../logical/compile.ts';
import type { AgentRows, PortRate, TunnelTo, UniversalFlow } from '../logical/universal.ts';
import { type Changes, Engine, type Program, type Row, type TableChange } from '../nlog/index.ts';
import {
  acceptFlow,
  flood,
  type LocalPort,
  localFlows,
  type PhysicalFlow,
  type PhysicalGroup,
  remoteFlow,
} from './physical-flows.ts';
import { ZoneBook } from './zones.ts';

/** A tunnel that is there: the OpenFlow port that leads to a node. */
export interface TunnelPort extends TunnelTo {
  readonly ofport: number;
}

/** What happened to one host. */
export interface HostChange {
  readonly insert?: AgentRows;
  readonly delete?: AgentRows;
  /** The OpenFlow port of each active VIF, all of them; absent: as before. */
  readonly vifs?: ReadonlyMap<string, number>;
  /** All tunnels that are there; absent: as before. */
  readonly tunnels?: readonly TunnelPort[];
}

export interface Difference<T> {
  readonly inserted: T[];
  readonly deleted: T[];
}

/** A universal flow that cannot be compiled. */
export interface RefusedFlow {
  readonly row: UniversalFlow;
  readonly error: WeftError;
}

export interface PhysicalChange {
  readonly flows: Difference<PhysicalFlow>;
  readonly groups: Difference<PhysicalGroup>;
  readonly meters: Difference<PortRate>;
  readonly tunnels: Difference<TunnelTo>;
  readonly refused: Difference<RefusedFlow>;
  /** Zones that were taken: flush them before flows use them. */
  readonly freshZones: readonly number[];
}

/** What one host has told, to find the difference to what it tells next. */
class HostState {
  readonly zones = new ZoneBook();
  vifs: ReadonlyMap<string, number> = new Map();
  tunnels: ReadonlyMap<string, TunnelPort> = new Map();
}

const tunnelKey = (t: TunnelPort): string => `${t.node} ${t.encapsulation} ${t.address}`;
const vifRow = (host: string, [vif, ofport]: readonly [string, number]): Row => [host, vif, ofport];
const tunnelRow = (host: string, t: TunnelPort): Row => [host, t.node, t.encapsulation, t.address, t.ofport];

export interface PhysicalOptions {
  /** {@link import('./physical-program.ts').loadPhysicalProgram} */
  readonly program: Program;
  /** For those who compile the same flows for many hosts. */
  readonly compile?: (flow: UniversalFlow) => CompiledFlow;
  /** Of the engine. */
  readonly maxBytes?: number;
}

export class Physical {
  readonly #engine: Engine;
  readonly #compile: (flow: UniversalFlow) => CompiledFlow;
  readonly #hosts = new Map<string, HostState>();

  constructor({ program, compile = compileFlow, maxBytes }: PhysicalOptions) {
    this.#engine = new Engine(program, maxBytes === undefined ? {} : { maxBytes });
    this.#compile = compile;
  }

  /** For `explain` and `profile`. */
  get engine(): Engine {
    return this.#engine;
  }

  /** Has a port of a host get this zone, if it is free: what the host's switch has from before. */
  adoptZone(host: string, port: number, zone: number): boolean {
    return this.#host(host).zones.adopt(port, zone);
  }

  zoneOf(host: string, port: number): number | undefined {
    return this.#host(host).zones.get(port);
  }

  /** @throws WeftError where rows are no rows; then nothing has changed */
  update(host: string, change: HostChange): PhysicalChange {
    const state = this.#host(host);
    const { vifs = state.vifs } = change;
    const tunnels =
      change.tunnels === undefined ? state.tunnels : new Map(change.tunnels.map((t) => [tunnelKey(t), t]));
    const first = this.#engine.transaction((tx) => {
      for (const [rows, act] of [
        [change.delete, (table: string, row: Row) => tx.delete(table, row)],
        [change.insert, (table: string, row: Row) => tx.insert(table, row)],
      ] as const) {
        for (const p of rows?.placement ?? []) act('placement', [host, p.port, p.datapath, p.vif, p.node]);
        for (const t of rows?.tunnel ?? []) act('tunnel', [host, t.node, t.encapsulation, t.address]);
        for (const r of rows?.rate ?? []) act('rate', [host, r.port, r.rate, r.burst]);
      }
      // Hosts have many tunnels, of which few change at a time.
      for (const vif of state.vifs) if (vifs.get(vif[0]) !== vif[1]) tx.delete('vif', vifRow(host, vif));
      for (const vif of vifs) if (state.vifs.get(vif[0]) !== vif[1]) tx.insert('vif', vifRow(host, vif));
      for (const [key, t] of state.tunnels)
        if (tunnels.get(key)?.ofport !== t.ofport) tx.delete('tunnel_port', tunnelRow(host, t));
      for (const [key, t] of tunnels)
        if (state.tunnels.get(key)?.ofport !== t.ofport) tx.insert('tunnel_port', tunnelRow(host, t));
    });
    state.vifs = vifs;
    state.tunnels = tunnels;
    const freshZones: number[] = [];
    const second = this.#assignZones(host, state, first.of('wants_zone'), freshZones);
    const result: PhysicalChange = {
      flows: { inserted: [], deleted: [] },
      groups: { inserted: [], deleted: [] },
      meters: { inserted: [], deleted: [] },
      tunnels: { inserted: [], deleted: [] },
      refused: { inserted: [], deleted: [] },
      freshZones,
    };
    for (const row of change.delete?.flow ?? []) this.#universal(row, 'deleted', result);
    for (const row of change.insert?.flow ?? []) this.#universal(row, 'inserted', result);
    collect(first, result);
    if (second === undefined) return result;
    collect(second, result);
    return {
      ...result,
      flows: net(result.flows, (f) => JSON.stringify([f.table, f.priority, f.match, f.actions, f.origin])),
      groups: net(result.groups, (g) => JSON.stringify(g)),
    };
  }

  #host(host: string): HostState {
    let state = this.#hosts.get(host);
    if (state === undefined) {
      state = new HostState();
      this.#hosts.set(host, state);
    }
    return state;
  }

  #assignZones(host: string, state: HostState, wants: TableChange, fresh: number[]): Changes | undefined {
    if (wants.inserted.length + wants.deleted.length === 0) return undefined;
    return this.#engine.transaction((tx) => {
      for (const row of wants.deleted) {
        const port = row[1] as number;
        const zone = state.zones.release(port);
        if (zone !== undefined) tx.delete('zone', [host, port, zone]);
      }
      for (const row of wants.inserted) {
        const port = row[1] as number;
        let zone = state.zones.get(port);
        if (zone === undefined) {
          zone = state.zones.take(port);
          if (zone === undefined) continue; // 65,535 ports are here: this one has to wait for a zone
          fresh.push(zone);
        }
        tx.insert('zone', [host, port, zone]);
      }
    });
  }

  #universal(row: UniversalFlow, way: 'inserted' | 'deleted', result: PhysicalChange): void {
    try {
      result.flows[way].push({ ...this.#compile(row), origin: row.origin });
    } catch (error) {
      if (!(error instanceof WeftError)) throw error;
      result.refused[way].push({ row, error });
    }
  }
}

/** Adds what a transaction changed, as flows, meters and tunnels. */
function collect(changes: Changes, result: PhysicalChange): void {
  for (const way of ['deleted', 'inserted'] as const) {
    const flows = result.flows[way];
    for (const row of changes.of('local')[way]) flows.push(...localFlows(localPort(row)));
    for (const [, ofport] of numbers(changes.of('accept')[way])) flows.push(acceptFlow(ofport));
    for (const [, port, datapath, ofport] of numbers(changes.of('remote')[way]))
      flows.push(remoteFlow(port, datapath, ofport));
    for (const row of changes.of('flood')[way]) {
      const copies = flood(row[1] as number, row[2] as readonly number[]);
      flows.push(...copies.flows);
      result.groups[way].push(...copies.groups);
    }
    for (const [, port, rate, burst] of numbers(changes.of('meter')[way]))
      result.meters[way].push({ port, rate, burst });
    for (const row of changes.of('wanted_tunnel')[way]) {
      const [, node, encapsulation, address] = row as readonly string[];
      result.tunnels[way].push({ node, encapsulation: encapsulation as TunnelTo['encapsulation'], address });
    }
  }
}

/** What the second transaction took back of the first is no difference. */
function net<T>({ inserted, deleted }: Difference<T>, text: (row: T) => string): Difference<T> {
  if (inserted.length === 0 || deleted.length === 0) return { inserted, deleted };
  const surplus = new Map<string, number>();
  for (const row of deleted) surplus.set(text(row), (surplus.get(text(row)) ?? 0) + 1);
  const stays = (row: T): boolean => {
    const n = surplus.get(text(row)) ?? 0;
    if (n > 0) surplus.set(text(row), n - 1);
    return n === 0;
  };
  const left = inserted.filter(stays);
  // Now `surplus` holds what was deleted more often than inserted.
  const gone = deleted.filter((row) => !stays(row));
  return { inserted: left, deleted: gone };
}

/** Rows whose columns but the first are numbers. */
function numbers(rows: readonly Row[]): readonly (readonly number[])[] {
  return rows as readonly (readonly number[])[];
}

function localPort(row: Row): LocalPort {
  const [, port, datapath, ofport, zone, metered] = row as readonly number[];
  return { port, datapath, ofport, zone, metered: metered === 1 };
}
