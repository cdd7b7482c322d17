import { nullLogger } from '../../base/log.ts';
import { createInProcessDatapath, type InProcessDatapath } from '../../datapath/userspace/in-process.ts';
import type { Flow } from '../../flow/layout.ts';
import { mapField, TunnelMetadataTable } from '../../flow/tun-metadata.ts';
import { formatActions } from '../../openflow/actions/index.ts';
import type { Action } from '../../openflow/actions/types.ts';
import { PS_LIVE } from '../../openflow/constants.ts';
import type { Bucket as BucketSpec } from '../../openflow/messages/group.ts';
import { parseFlowLine } from '../../openflow/text/flow.ts';
import { ManualClock } from '../../ovsdb/testing/clock.ts';
import type { ControllerStatus, OpenFlowConfig, OpenFlowSide } from '../conn/types.ts';
import type { ZoneTimeouts } from '../conntrack/zone-timeouts.ts';
import { FlowTable } from '../ofproto/flow-table.ts';
import { Group, type GroupType } from '../ofproto/group.ts';
import type { LearnedFlow, PipelineServices } from '../ofproto/ofproto.ts';
import { Ofproto } from '../ofproto/ofproto.ts';
import { type Bundle, type BundleSettings, DEFAULT_BUNDLE, OfPort } from '../ofproto/port.ts';
import { Rule } from '../ofproto/rule.ts';
import { readTunnelOptions, type TunnelType } from '../tunnel/config.ts';
import { SlowPath, type SlowPathPacketIn } from '../upcall/slow-path.ts';
import { RecircIds } from '../xlate/frozen.ts';

/** Tables of a bridge: flows as `ovs-ofctl add-flow` takes them, learned flows as they come. */
export class TestTables implements PipelineServices {
  readonly ofproto: Ofproto;
  readonly learned: LearnedFlow[] = [];
  readonly tunnelOptions = new TunnelMetadataTable();
  readonly #tables = new Map<number, FlowTable>();
  readonly #rules = new Set<Rule>();
  readonly #groups = new Map<number, Group>();

  constructor(ofproto: Ofproto) {
    this.ofproto = ofproto;
  }

  table(id: number): FlowTable {
    let table = this.#tables.get(id);
    if (table === undefined) {
      table = new FlowTable(id);
      this.#tables.set(id, table);
    }
    return table;
  }

  addFlow(line: string): Rule {
    const mod = parseFlowLine(line, { tun: this.tunnelOptions });
    const table = mod.table === 255 ? 0 : mod.table;
    const rule = new Rule({
      table,
      priority: mod.priority,
      cookie: mod.newCookie,
      actions: mod.actions.map((action) => this.#placed(action)),
      flags: 0,
      importance: 0,
      idleTimeout: 0,
      hardTimeout: 0,
      now: this.ofproto.clock.now(),
    });
    const { classifier } = this.table(table);
    const same = classifier.find(mod.match, mod.priority, this.ofproto.version);
    if (same !== null) this.remove(same);
    classifier.insert(rule, mod.match, this.ofproto.version);
    this.#rules.add(rule);
    this.ofproto.ruleChanged(rule);
    return rule;
  }

  /** Gives tunnel options their places, as the codec does with what comes in a message. */
  #placed(action: Action): Action {
    if (action.type !== 'set_field' && action.type !== 'delete_field') return action;
    return { ...action, field: mapField(action.field, this.tunnelOptions) };
  }

  remove(rule: Rule): void {
    this.table(rule.table).classifier.remove(rule);
    this.#rules.delete(rule);
    this.ofproto.ruleChanged(rule);
  }

  get rules(): readonly Rule[] {
    return [...this.#rules];
  }

  // --- PipelineServices -----------------------------------------------------------------------------

  wantsPacketInOnMiss(): boolean {
    return false;
  }

  group(id: number): Group | undefined {
    return this.#groups.get(id);
  }

  /** Makes or replaces a group; null: takes it away. */
  setGroup(id: number, buckets: readonly BucketSpec[] | null, type: GroupType = 'all'): void {
    const selection = { method: '', param: 0n, fields: [] };
    const now = this.ofproto.clock.now();
    if (buckets === null) this.#groups.delete(id);
    else this.#groups.set(id, new Group({ id, type, buckets, selection, now }));
    this.ofproto.groupChanged(id);
  }

  /** Those of the datapath, where zones have timeouts of their own. */
  zoneTimeouts: ZoneTimeouts | null = null;
  timeoutPolicy(zone: number): string | undefined {
    return this.zoneTimeouts?.policy(zone);
  }

  datapathMeter(): null {
    return null;
  }

  learn(flow: LearnedFlow): boolean {
    this.learned.push(flow);
    return true;
  }

  describeLearned(): string {
    return '';
  }

  formatActions(actions: readonly Action[]): string {
    return formatActions(actions);
  }

  finTimeout(): void {}
}

/** One bridge of a world, with tables and ports of its own. */
export class TestBridge extends TestTables {
  readonly #world: World;

  constructor(world: World, name: string) {
    super(
      new Ofproto({
        name,
        clock: world.clock,
        log: nullLogger.module('xlate'),
        recircIds: world.recircIds,
        onChange: (change) => world.slowPath.changed(change),
      }),
    );
    this.#world = world;
    this.ofproto.attach(this);
  }

  /** A port on the datapath, in a bundle of its own. */
  addPort(ofPort: number, settings: Partial<BundleSettings> = {}): OfPort {
    const name = `${this.ofproto.name}-p${ofPort}`;
    const dpPort = this.#world.datapath.portAdd({ name, type: 'dummy' });
    const port = this.#add(ofPort, name, 'dummy', dpPort, settings);
    this.#world.slowPath.attachPort(dpPort, port);
    return port;
  }

  /** A tunnel by the options that a database would give it. */
  addTunnel(ofPort: number, type: TunnelType, options: Record<string, string>): OfPort {
    const name = `${this.ofproto.name}-t${ofPort}`;
    const { config } = readTunnelOptions(name, type, new Map(Object.entries(options)));
    const { tunnels } = this.#world.slowPath;
    const port = this.#add(ofPort, name, type, tunnels.acquire(config), {});
    port.tunnel = config;
    tunnels.add(port);
    return port;
  }

  removePort(port: OfPort): void {
    const { bundle, dpPort } = port;
    this.ofproto.leaveBundle(port);
    if (bundle !== null && bundle.ports.length === 0) this.ofproto.removeBundle(bundle);
    const { slowPath, datapath } = this.#world;
    if (port.tunnel !== null) slowPath.tunnels.remove(port);
    else if (dpPort !== null) slowPath.detachPort(dpPort);
    this.ofproto.removePort(port);
    if (dpPort === null) return;
    if (port.tunnel !== null) slowPath.tunnels.release(dpPort);
    else datapath.portDelete(dpPort);
  }

  /** One end of a patch; `World.join` puts two together. */
  addPatch(ofPort: number, settings: Partial<BundleSettings> = {}): OfPort {
    return this.#add(ofPort, `${this.ofproto.name}-patch${ofPort}`, 'patch', null, settings);
  }

  #add(
    ofPort: number,
    name: string,
    type: string,
    dpPort: number | null,
    settings: Partial<BundleSettings>,
  ): OfPort {
    const mac = Uint8Array.of(2, 0, 0, 0, 0, ofPort);
    const port = new OfPort(this.ofproto, { ofPort, name, type, dpPort, mac, created: 0 });
    port.state = PS_LIVE;
    this.ofproto.addPort(port);
    const bundle: Bundle = this.ofproto.addBundle(name);
    bundle.settings = { ...DEFAULT_BUNDLE, ...settings };
    this.ofproto.joinBundle(port, bundle);
    return port;
  }
}

/** A datapath with its slow path and bridges, in a process and time of its own. */
export class World {
  readonly clock = new ManualClock();
  readonly recircIds = new RecircIds(this.clock);
  readonly datapath: InProcessDatapath = createInProcessDatapath({
    clock: this.clock,
    random: () => 0.25,
    log: nullLogger,
  });
  readonly packetIns: SlowPathPacketIn[] = [];
  readonly #deferred: (() => void)[] = [];
  readonly slowPath = new SlowPath({
    datapath: this.datapath,
    recircIds: this.recircIds,
    clock: this.clock,
    log: nullLogger,
    defer: (fn) => void this.#deferred.push(fn),
    packetIn: (packetIn) =>
      void this.packetIns.push({ ...packetIn, packet: packetIn.packet.slice(), flow: packetIn.flow.slice() }),
  });

  bridge(name: string): TestBridge {
    return new TestBridge(this, name);
  }

  join(a: OfPort, b: OfPort): void {
    a.peer = b;
    b.peer = a;
    for (const port of [a, b]) port.ofproto.portChanged(port);
  }

  /** Takes a wire between two patch ports away. */
  part(end: OfPort): void {
    for (const port of [end.peer, end]) {
      if (port === null) continue;
      port.peer = null;
      port.ofproto.portChanged(port);
    }
  }

  /** Runs what was put off, and what that puts off: revalidation above all. */
  settle(): void {
    for (let turn = 0; this.#deferred.length > 0; turn++) {
      if (turn > 10_000) throw new Error('deferred work never ends');
      this.#deferred.shift()?.();
    }
  }

  /** Runs one piece of what was put off; false: there is none. */
  step(): boolean {
    const next = this.#deferred.shift();
    next?.();
    return next !== undefined;
  }

  send(port: OfPort, packet: Uint8Array, metadata?: Flow): void {
    this.datapath.dummyPort(port.name).receive(packet, metadata);
  }

  /** Collects what leaves by a port from now on. */
  sniff(port: OfPort): Uint8Array[] {
    const packets: Uint8Array[] = [];
    this.datapath.dummyPort(port.name).onTransmit((packet) => packets.push(packet));
    return packets;
  }
}

/** The OpenFlow side of a bridge of the database, without connections. */
export class TestSide extends TestTables implements OpenFlowSide {
  config: OpenFlowConfig | null = null;
  readonly events: string[] = [];
  readonly packetIns: SlowPathPacketIn[] = [];

  configure(config: OpenFlowConfig): void {
    this.config = config;
  }
  portAdded(port: OfPort): void {
    this.events.push(`add ${port.name} ${port.ofPort}`);
  }
  portModified(port: OfPort): void {
    this.events.push(`modify ${port.name} ${port.ofPort}`);
  }
  portRemoved(port: OfPort): void {
    this.events.push(`remove ${port.name} ${port.ofPort}`);
  }
  packetIn(packetIn: SlowPathPacketIn): void {
    this.packetIns.push({ ...packetIn, packet: packetIn.packet.slice(), flow: packetIn.flow.slice() });
  }
  controllerStatus(): readonly ControllerStatus[] {
    return [];
  }
  onStatus(): void {}
  expire(): void {}
  close(): void {}
}
