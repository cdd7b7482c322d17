/** What the switch of a host should be: all that follows from what the controller said and from what is on the host. */
import type { WeftError } from '../base/errors.ts';
import { COMMON_FLOWS } from '../logical/common-flows.ts';
import { compileCommonFlow } from '../logical/compile.ts';
import { REGISTERS, TABLES } from '../logical/layout.ts';
import type { Update } from '../logical/protocol.ts';
import type { PortRate, TunnelTo } from '../logical/universal.ts';
import type { Program } from '../nlog/index.ts';
import type { LocalVif } from './host/bridge-keeper.ts';
import { type HostChange, Physical, type PhysicalChange, type TunnelPort } from './physical.ts';
import { RowStore } from './session/rows.ts';
import { groupText } from './switch/flow-key.ts';
import type { WantedGroup, WantedState } from './switch/switch-link.ts';
import { WantedFlows } from './switch/wanted-flows.ts';

/** What the host has. */
export interface HostView {
  readonly vifs: readonly LocalVif[];
  readonly tunnels: readonly TunnelPort[];
}

/** The flow that tells of a local port's zone, see `physical-flows.ts`. */
const ZONE_KEY = new RegExp(
  `^table=${TABLES.localOutput},priority=100,${REGISTERS.outPort}=(0x[0-9a-f]+|\\d+)$`,
);
const ZONE_ACTION = new RegExp(`set_field:(0x[0-9a-f]+|\\d+)->${REGISTERS.zone}(?:,|$)`);

export class DesiredState implements WantedState {
  readonly rows = new RowStore();
  readonly flows = new WantedFlows();
  readonly #groups = new Map<number, WantedGroup>();
  readonly #meters = new Map<number, PortRate>();
  readonly #tunnels = new Map<string, TunnelTo>();
  readonly #refused = new Map<string, WeftError>();
  readonly #freshZones = new Set<number>();
  readonly #physical: Physical;
  readonly #host: string;
  readonly #pause: () => Promise<void>;
  #known = false;

  /** `pause` gives way to other work between the parts of a long job. */
  constructor(program: Program, systemId: string, pause: () => Promise<void>) {
    this.#pause = pause;
    this.#physical = new Physical({ program });
    this.#host = systemId;
  }

  /** Whether the controller, or a state saved from before, has said anything. Until then nothing is wanted. */
  get known(): boolean {
    return this.#known;
  }

  get groups(): ReadonlyMap<number, WantedGroup> {
    return this.#groups;
  }

  get meters(): ReadonlyMap<number, PortRate> {
    return this.#meters;
  }

  get tunnels(): TunnelTo[] {
    return [...this.#tunnels.values()];
  }

  /** Why it cannot be applied: rows that make no flow, or flows that no switch understands. */
  get refusal(): WeftError | undefined {
    const [refused] = this.#refused.values();
    const [bad] = this.flows.bad;
    return refused ?? bad;
  }

  /** Zones to flush before flows use them. */
  get freshZones(): Iterable<number> {
    return this.#freshZones;
  }

  zonesFlushed(): void {
    this.#freshZones.clear();
  }

  /** Ports keep the zones that they had before the agent was started anew, and with them their connections. */
  adoptZones(installed: Iterable<readonly [key: string, flow: { readonly actions: string }]>): void {
    for (const [key, { actions }] of installed) {
      const port = ZONE_KEY.exec(key)?.[1];
      const zone = ZONE_ACTION.exec(actions)?.[1];
      if (port !== undefined && zone !== undefined)
        this.#physical.adoptZone(this.#host, Number(port), Number(zone));
    }
  }

  /** Takes over what the controller says. */
  take(update: Update, view: HostView): Promise<void> {
    if (!this.#known)
      for (const flow of COMMON_FLOWS) this.flows.insert({ ...compileCommonFlow(flow), origin: undefined });
    this.#known = true;
    return this.#change(this.rows.apply(update), view);
  }

  /** Takes over what the host has. */
  observe(view: HostView): Promise<void> {
    return this.#change({}, view);
  }

  /** Ports that are here, and the OpenFlow port of each. */
  localPorts({
    vifs,
  }: Pick<HostView, 'vifs'>): { readonly port: number; readonly ofport: number; readonly name: string }[] {
    const here = new Map(usable(vifs).map((v) => [v.vif, v]));
    const ports = [];
    for (const { node, vif, port } of this.rows.table('placement')) {
      const local = node === this.#host ? here.get(vif) : undefined;
      if (local !== undefined) ports.push({ port, ofport: local.ofport, name: local.name });
    }
    return ports;
  }

  async #change(change: HostChange, { vifs, tunnels }: HostView): Promise<void> {
    const ofports = new Map<string, number>();
    for (const { vif, ofport } of usable(vifs)) if (!ofports.has(vif)) ofports.set(vif, ofport);
    await this.#merge(this.#physical.update(this.#host, { ...change, vifs: ofports, tunnels }));
  }

  async #merge({ flows, groups, meters, tunnels, refused, freshZones }: PhysicalChange): Promise<void> {
    await this.flows.apply(flows, this.#pause);
    for (const group of groups.deleted) this.#groups.delete(group.id);
    for (const group of groups.inserted) this.#groups.set(group.id, { ...group, text: groupText(group) });
    for (const meter of meters.deleted) this.#meters.delete(meter.port);
    for (const meter of meters.inserted) this.#meters.set(meter.port, meter);
    for (const tunnel of tunnels.deleted) this.#tunnels.delete(JSON.stringify(tunnel));
    for (const tunnel of tunnels.inserted) this.#tunnels.set(JSON.stringify(tunnel), tunnel);
    for (const { row } of refused.deleted) this.#refused.delete(JSON.stringify(row));
    for (const { row, error } of refused.inserted) this.#refused.set(JSON.stringify(row), error);
    for (const zone of freshZones) this.#freshZones.add(zone);
  }
}

/** VIFs that are active and have an OpenFlow port. */
function usable(vifs: readonly LocalVif[]): LocalVif[] {
  return vifs.filter((v) => v.active && v.ofport > 0);
}
