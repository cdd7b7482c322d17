import { randomUUID } from 'node:crypto';
import type { Clock } from '../../base/clock.ts';
import type { Counters } from '../../base/coverage.ts';
import type { ModuleLog } from '../../base/log.ts';
import { formatFlow } from '../../flow/flow-text.ts';
import { type Flow, FRAG_ANY, W_IN_PORT, W_NW, W_TP } from '../../flow/layout.ts';
import { formatMatch } from '../../flow/match-format.ts';
import type { TunnelMetadataTable } from '../../flow/tun-metadata.ts';
import type { Action } from '../../openflow/actions/types.ts';
import { OFPR_NO_MATCH, PC_NO_PACKET_IN } from '../../openflow/constants.ts';
import type { FragHandling } from '../../openflow/messages/switch.ts';
import type { TableMiss } from '../../openflow/messages/table.ts';
import type { RecircIds } from '../xlate/frozen.ts';
import type { CacheEntry, TrafficStats } from '../xlate/types.ts';
import {
  bridgeTag,
  type Change,
  type Dependencies,
  groupTag,
  macTag,
  portListTag,
  portTag,
  ruleChange,
  tagSeed,
} from './dependencies.ts';
import type { Group } from './group.ts';
import { type MacEntry, MacTable } from './mac-table.ts';
import { type MirrorSettings, Mirrors } from './mirror.ts';
import { Bundle, type OfPort } from './port.ts';
import { FF_HIDDEN, Rule } from './rule.ts';

/** Tables that controllers see: 0 to 253. 254 is the switch's own. */
export const N_TABLES = 254;
export const INTERNAL_TABLE = 254;

/** What translation needs of one flow table. */
export interface LookupTable {
  readonly miss: TableMiss;
  /** The best rule visible in `version`; the bits that the choice depends on are added to `wc`. */
  lookup(version: number, flow: Flow, wc: Flow | null): Rule | null;
  /** Packets that found something here, and that did not. */
  matched: number;
  missed: number;
}

/** A flow that a `learn` action asks for. */
export interface LearnedFlow {
  readonly table: number;
  readonly priority: number;
  readonly flow: Flow;
  readonly mask: Flow;
  readonly cookie: bigint;
  readonly idleTimeout: number;
  readonly hardTimeout: number;
  readonly flags: number;
  readonly actions: readonly Action[];
  /** Most flows that this action may have in its table; 0: any number. */
  readonly limit: number;
}

/** Where translation's look-up of a rule starts, and what a miss means. */
export interface LookupRequest {
  readonly inPort: number;
  readonly table: number;
  readonly mayPacketIn: boolean;
  readonly honorTableMiss: boolean;
}

/** What a look-up reads and writes of the translation that makes it. */
export interface LookupContext {
  readonly flow: Flow;
  readonly wc: Flow;
  readonly version: number;
  table: number;
  readonly stats: TrafficStats | undefined;
  remember(entry: CacheEntry): void;
  readonly dependencies: Dependencies | null;
  /** The key that the packet came with. */
  readonly input: { readonly flow: Flow };
}

/** What the OpenFlow side of a bridge (tables, connections) does for translation. */
export interface PipelineServices {
  /** Which tunnel options are which fields. */
  readonly tunnelOptions: TunnelMetadataTable;
  /** Tables 0 to 253, made when first used. */
  table(id: number): LookupTable | undefined;
  /** Whether some controller wants packets that matched nothing, by its version's default. */
  wantsPacketInOnMiss(): boolean;
  group(id: number): Group | undefined;
  datapathMeter(meter: number): number | null;
  /** Name of the datapath's timeout policy for new connections of a zone; undefined: the default one. */
  timeoutPolicy(zone: number): string | undefined;
  /** Adds or refreshes a learned flow; false if its limit is reached. */
  learn(flow: LearnedFlow): boolean;
  describeLearned(flow: LearnedFlow): string;
  formatActions(actions: readonly Action[]): string;
  finTimeout(rule: Rule, idle: number, hard: number): void;
}

export interface OfprotoOptions {
  readonly name: string;
  readonly clock: Clock;
  readonly log: ModuleLog;
  readonly recircIds: RecircIds;
  /** Where events of all bridges are counted. */
  readonly counters?: Counters;
  /** Called when forwarding decisions made earlier may be wrong now. */
  readonly onChange: (change: Change) => void;
  /** Stations that were behind a bundle which is no more: bridges that are wired to this one knew them too. */
  readonly onStationsGone?: (stations: readonly MacEntry[]) => void;
}

/**
 * One OpenFlow switch: what translation sees of a bridge. Its ports and bundles are kept by the
 * database side (`bridge/`), its tables and connections by `PipelineServices`.
 */
export class Ofproto {
  readonly uuid: string = randomUUID();
  readonly name: string;
  readonly clock: Clock;
  readonly recircIds: RecircIds;
  readonly macs: MacTable;
  readonly mirrors = new Mirrors();
  /** What its dependency tags are made of. */
  readonly seed: number;
  readonly #log: ModuleLog;
  readonly #onChange: OfprotoOptions['onChange'];
  readonly #onStationsGone: (stations: readonly MacEntry[]) => void;
  readonly #ports = new Map<number, OfPort>();
  #sortedPorts: OfPort[] = [];
  readonly #bundles = new Map<string, Bundle>();
  #services: PipelineServices | null = null;

  /** Version of the tables that new translations see. */
  version = 1;
  fragHandling: FragHandling = 'normal';
  forwardBpdu = false;
  /** Datapath meter for packets to controllers; null: none. */
  controllerMeter: number | null = null;
  /** The same for packets of megaflows that the slow path carries out. */
  slowPathMeter: number | null = null;
  readonly flowCollectors = new Set<number>();
  /** (port, queue) -> skb_priority, from the QoS configuration. */
  queueLookup: (ofPort: number, queue: number) => number | null = () => null;

  readonly missRule: Rule;
  readonly noPacketInRule: Rule;
  readonly dropFragsRule: Rule;

  constructor(options: OfprotoOptions) {
    this.name = options.name;
    this.clock = options.clock;
    this.recircIds = options.recircIds;
    this.#log = options.log;
    this.#onChange = options.onChange;
    this.#onStationsGone = options.onStationsGone ?? (() => {});
    this.seed = tagSeed(this.uuid);
    const { seed } = this;
    this.macs = new MacTable(options.clock, options.counters, (mac, vlan) =>
      this.#onChange({ tag: macTag(seed, mac, vlan) }),
    );
    this.missRule = this.#internalRule([
      {
        type: 'controller',
        maxLen: 0xffff,
        controllerId: 0,
        reason: OFPR_NO_MATCH,
        userdata: new Uint8Array(),
        pause: false,
        meterId: 0xffffffff,
      },
    ]);
    this.noPacketInRule = this.#internalRule([]);
    this.dropFragsRule = this.#internalRule([]);
  }

  /** Connects the tables and connections. Must be called before the first translation. */
  attach(services: PipelineServices): void {
    this.#services = services;
  }

  get services(): PipelineServices {
    if (this.#services === null)
      throw new Error(`bridge ${this.name}: translation before its tables were attached`);
    return this.#services;
  }

  // --- Ports and bundles ----------------------------------------------------------------------------

  port(ofPort: number): OfPort | undefined {
    return this.#ports.get(ofPort);
  }

  /** In the order of their numbers. */
  ports(): readonly OfPort[] {
    return this.#sortedPorts;
  }

  portByName(name: string): OfPort | undefined {
    return this.#sortedPorts.find((port) => port.name === name);
  }

  addPort(port: OfPort): void {
    this.#ports.set(port.ofPort, port);
    this.#sortPorts();
    this.portChanged(port);
  }

  removePort(port: OfPort): void {
    if (this.#ports.get(port.ofPort) !== port) return;
    this.#ports.delete(port.ofPort);
    if (port.peer !== null) {
      port.peer.peer = null;
      port.peer.ofproto.portChanged(port.peer);
    }
    port.peer = null;
    this.#sortPorts();
    this.portChanged(port);
  }

  #sortPorts(): void {
    this.#sortedPorts = [...this.#ports.values()].sort((a, b) => a.ofPort - b.ofPort);
  }

  bundles(): IterableIterator<Bundle> {
    return this.#bundles.values();
  }

  bundle(name: string): Bundle | undefined {
    return this.#bundles.get(name);
  }

  addBundle(name: string): Bundle {
    const bundle = new Bundle(name);
    this.#bundles.set(name, bundle);
    this.#onChange({ tag: portListTag(this.seed) });
    return bundle;
  }

  configureMirrors(wanted: readonly MirrorSettings[]): void {
    if (this.mirrors.configure(wanted, this.bundles())) this.portsChanged();
  }

  removeBundle(bundle: Bundle): void {
    for (const port of [...bundle.ports]) this.leaveBundle(port);
    this.#bundles.delete(bundle.name);
    const gone = this.macs.flushBundle(bundle);
    if (gone.length > 0) this.#onStationsGone(gone);
    this.#onChange({ tag: portListTag(this.seed) });
  }

  joinBundle(port: OfPort, bundle: Bundle): void {
    bundle.ports.push(port);
    port.bundle = bundle;
    this.#bundleChanged(bundle);
  }

  leaveBundle(port: OfPort): void {
    const { bundle } = port;
    if (bundle === null) return;
    this.#bundleChanged(bundle);
    bundle.ports.splice(bundle.ports.indexOf(port), 1);
    port.bundle = null;
  }

  #bundleChanged(bundle: Bundle): void {
    for (const port of bundle.ports) this.portChanged(port);
  }

  // --- What changes, for those who decided by it ------------------------------------------------------

  /** One port's configuration or state changed, or it came or went: also those who flood look at it. */
  portChanged(port: OfPort): void {
    this.#onChange({ tag: portTag(this.seed, port.ofPort) });
    this.#onChange({ tag: portListTag(this.seed) });
  }

  /** Ports, VLANs or the bridge's configuration changed: all decided before is to be looked at again. */
  portsChanged(): void {
    this.#onChange({ tag: bridgeTag(this.seed) });
  }

  /** Settings of the tables changed, or what they mean. */
  tablesChanged(): void {
    this.#onChange({ tag: bridgeTag(this.seed) });
  }

  /** A rule came, went, or has other actions. */
  ruleChanged(rule: Rule): void {
    this.#onChange(ruleChange(this.seed, rule));
  }

  groupChanged(id: number): void {
    this.#onChange({ tag: groupTag(this.seed, id) });
  }

  // --- Tables ---------------------------------------------------------------------------------------

  isInternalRule(rule: Rule): boolean {
    return rule.table === INTERNAL_TABLE;
  }

  /**
   * The rule that a packet meets, starting at a table; tables that are set to "continue" pass it on to
   * the next. `ctx.table` becomes the table where it was found. A miss gives one of the internal rules.
   */
  lookup(ctx: LookupContext, request: LookupRequest): Rule | null {
    const { flow } = ctx;
    const oldTp = flow[W_TP];
    const oldInPort = flow[W_IN_PORT];
    if ((flow[W_NW] >>> 24) & FRAG_ANY && this.fragHandling !== 'nx-match') {
      // Fragments either have no ports that anybody could match, or are not wanted at all.
      if (this.fragHandling === 'drop') return this.dropFragsRule;
      flow[W_TP] = 0;
    }
    flow[W_IN_PORT] = request.inPort;
    const rule = this.#lookupFrom(ctx, request);
    flow[W_TP] = oldTp;
    flow[W_IN_PORT] = oldInPort;
    return rule;
  }

  #lookupFrom(ctx: LookupContext, request: LookupRequest): Rule {
    let miss: TableMiss = 'continue';
    const { dependencies } = ctx;
    for (let id = request.table; id < N_TABLES; id++) {
      ctx.table = id;
      dependencies?.noteLookup(this.seed, id, ctx.flow, ctx.input.flow);
      const table = this.services.table(id);
      const rule = table?.lookup(ctx.version, ctx.flow, ctx.wc) ?? null;
      if (table !== undefined) {
        if (ctx.stats !== undefined) {
          if (rule !== null) table.matched += ctx.stats.packets;
          else table.missed += ctx.stats.packets;
        }
        ctx.remember({ type: 'table', ofproto: this, table: id, matched: rule !== null });
      }
      if (rule !== null) return rule;
      if (!request.honorTableMiss) break;
      miss = table?.miss ?? 'default';
      if (miss !== 'continue') break;
    }
    if (!request.mayPacketIn) return this.noPacketInRule;
    if (miss === 'continue' || miss === 'controller') {
      const inPort = ctx.flow[W_IN_PORT];
      dependencies?.note(portTag(this.seed, inPort));
      const port = this.#ports.get(inPort);
      if (port !== undefined && (port.config & PC_NO_PACKET_IN) === 0) return this.missRule;
    } else if (miss === 'default' && this.services.wantsPacketInOnMiss()) {
      return this.missRule;
    }
    return this.noPacketInRule;
  }

  creditRule(rule: Rule, stats: TrafficStats): void {
    rule.credit(stats.packets, stats.bytes, stats.used);
  }

  /** A TCP connection through `rule` ends if FIN or RST was among the flags. */
  finTimeout(entry: { rule: Rule; idle: number; hard: number }, tcpFlags: number): void {
    if ((tcpFlags & 0x5) !== 0) this.services.finTimeout(entry.rule, entry.idle, entry.hard);
  }

  group(id: number): Group | undefined {
    return this.services.group(id);
  }

  datapathMeter(meter: number): number | null {
    return this.services.datapathMeter(meter);
  }

  timeoutPolicy(zone: number): string | undefined {
    return this.services.timeoutPolicy(zone);
  }

  learn(flow: LearnedFlow): boolean {
    return this.services.learn(flow);
  }

  describeLearned(flow: LearnedFlow): string {
    return this.services.describeLearned(flow);
  }

  formatActions(actions: readonly Action[]): string {
    return this.services.formatActions(actions);
  }

  formatMatch(rule: Rule): string {
    return formatMatch(rule.expandMatch());
  }

  queuePriority(ofPort: number, queue: number): number | null {
    return this.queueLookup(ofPort, queue);
  }

  hasFlowCollector(set: number): boolean {
    return this.flowCollectors.has(set);
  }

  /** A mistake in the tables that a packet has met. */
  reportXlateError(text: string, flow: Flow): void {
    this.#log.warn(() => `${text} on bridge ${this.name} while processing ${formatFlow(flow)}`);
  }

  /** A packet from a tunnel that can't be taken. */
  reportTunnel(text: string): void {
    this.#log.warn(text);
  }

  #internalRule(actions: readonly Action[]): Rule {
    return new Rule({
      table: INTERNAL_TABLE,
      priority: 0,
      cookie: 0n,
      actions,
      flags: FF_HIDDEN,
      importance: 0,
      idleTimeout: 0,
      hardTimeout: 0,
      now: this.clock.now(),
    });
  }
}
