import type { Clock, Timer } from '../../base/clock.ts';
import type { Counters } from '../../base/coverage.ts';
import type { Logger, ModuleLog } from '../../base/log.ts';
import { N_VLANS } from '../../flow/layout.ts';
import type { Client, OpenVSwitchSchema } from '../../ovsdb/index.ts';
import { BfdMonitors, type MonitorPacket } from '../bfd/monitors.ts';
import type { OpenFlowConfig, OpenFlowSide } from '../conn/types.ts';
import type { MacEntry } from '../ofproto/mac-table.ts';
import { Ofproto } from '../ofproto/ofproto.ts';
import type { OfPort } from '../ofproto/port.ts';
import { PreparedPacketOut } from '../upcall/packet-out.ts';
import { SlowPath } from '../upcall/slow-path.ts';
import { RecircIds } from '../xlate/frozen.ts';
import type { Backer, DatapathProvider } from './backer.ts';
import { Bridge, parseMac } from './bridge.ts';
import { type BridgeConfig, readBridges, readZoneTimeouts } from './config.ts';
import { applyMirrors } from './mirrors.ts';
import { PortNumbers } from './port-numbers.ts';
import { type StatusSource, StatusWriter } from './status.ts';

/** What the host and this build say of themselves, for the Open_vSwitch row and descriptions. */
export interface HostFacts {
  readonly version: string;
  readonly dbVersion: string;
  readonly systemType: string;
  readonly systemVersion: string;
  readonly hostname: string;
  /** Of this process. */
  readonly pid: number;
}

export interface SwitchOptions {
  readonly client: Client<OpenVSwitchSchema>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly defer: (fn: () => void) => void;
  /** From 0 up to 1. */
  readonly random: () => number;
  /** A lock of the database that must be held to act: one switch a database. None: act always. */
  readonly lock?: string;
  readonly counters?: Counters;
  readonly datapaths: DatapathProvider;
  readonly host: HostFacts;
  readonly makeOpenFlow: (ofproto: Ofproto, slowPath: SlowPath) => OpenFlowSide;
}

/** Device statistics go to the database so often (stats-update-interval, ms). */
const STATS_INTERVAL_MS = 5000;
/** Timeouts of flows and MAC entries are looked at so often. */
const EXPIRE_INTERVAL_MS = 1000;

/**
 * The switch: keeps bridges as the database asks for, and tells the database what became of it.
 *
 * A change of the database, or of a device, leads to one `reconfigure` after the current job: first all
 * that is no longer wanted goes, then what is missing is made, so that a port can move between bridges
 * in one transaction. When all is done `cur_cfg` catches up with `next_cfg`, which is what `ovs-vsctl`
 * waits for.
 */
export class Switch implements StatusSource {
  readonly monitors: BfdMonitors;
  readonly #options: SwitchOptions;
  readonly #log: ModuleLog;
  readonly #backers = new Map<string, Backer>();
  readonly #bridges = new Map<string, Bridge>();
  readonly #failed = new Map<string, string>();
  readonly #status: StatusWriter;
  readonly #timers: Timer[] = [];
  /** Ports whose monitors have news. */
  readonly #changedPorts = new Set<OfPort>();
  #scheduled = false;
  #closed = false;
  #configured = false;
  /** Flows need not be waited for (any more). */
  #restored = false;
  readonly #taken = new WeakSet<SlowPath>();
  #appliedConfig: number | null = null;
  readonly #readyWaiters: (() => void)[] = [];

  constructor(options: SwitchOptions) {
    this.#options = options;
    this.#log = options.log.module('bridge');
    this.#status = new StatusWriter(options.client, this, options.clock, options.log.module('bridge'));
    this.monitors = new BfdMonitors({
      clock: options.clock,
      log: options.log,
      random: options.random,
      send: (port, packet) => this.#sendFromMonitor(port, packet),
      rxPackets: (port) => this.#rxPackets(port),
      onChange: (port) => this.#monitorChanged(port),
    });
    options.client.onChange(() => this.#schedule());
    if (options.lock !== undefined) {
      options.client.onLock((held) => this.#lockChanged(held));
      options.client.lock(options.lock);
    }
    this.#every(STATS_INTERVAL_MS, () => {
      if (this.#mayAct) this.#status.writeStatistics();
    });
    this.#every(EXPIRE_INTERVAL_MS, () => this.#expire());
  }

  get host(): HostFacts {
    return this.#options.host;
  }

  get datapathTypes(): readonly string[] {
    return this.#options.datapaths.types;
  }

  get appliedConfig(): number | null {
    return this.#appliedConfig;
  }

  get interfaceTypes(): readonly string[] {
    return this.#options.datapaths.interfaceTypes;
  }

  bridges(): IterableIterator<Bridge> {
    return this.#bridges.values();
  }

  bridge(name: string): Bridge | undefined {
    return this.#bridges.get(name);
  }

  backers(): IterableIterator<Backer> {
    return this.#backers.values();
  }

  backer(type: string): Backer | undefined {
    return this.#backers.get(type);
  }

  bfdStatus(port: OfPort): ReadonlyMap<string, string> {
    return this.monitors.status(port);
  }

  /** Why a bridge that the database asks for isn't there. */
  failure(bridge: string): string | undefined {
    return this.#failed.get(bridge);
  }

  /** Resolves when the configuration of the database has been applied once. */
  ready(): Promise<void> {
    if (this.#configured) return Promise.resolve();
    return new Promise((resolve) => this.#readyWaiters.push(resolve));
  }

  /**
   * Ends. Without `cleanup` a datapath that outlives processes goes on with what it knows; all others end forwarding,
   * and with them the devices that the switch made.
   */
  async close(cleanup = true): Promise<void> {
    this.#closed = true;
    for (const timer of this.#timers) timer.cancel();
    for (const [type, { datapath, slowPath }] of this.#backers) {
      if (cleanup || datapath.leave === undefined) continue;
      this.#backers.delete(type);
      slowPath.leave();
      await datapath.leave();
    }
    for (const bridge of this.#bridges.values()) bridge.close();
    this.#bridges.clear();
    for (const backer of this.#backers.values()) {
      backer.slowPath.close();
      await backer.datapath.close();
      await backer.devices.close?.();
    }
    this.#backers.clear();
  }

  /** Takes a port out of the datapath behind the database's back: it comes back with the next change. */
  deletePort(port: OfPort): void {
    this.#bridges.get(port.ofproto.name)?.removePort(port);
  }

  /** Devices may have come, gone or changed. */
  devicesChanged(): void {
    for (const bridge of this.#bridges.values()) bridge.refreshDevices();
    this.#schedule();
  }

  // --- Configuration --------------------------------------------------------------------------------

  #schedule(): void {
    if (this.#scheduled || this.#closed) return;
    this.#scheduled = true;
    this.#options.defer(() => {
      this.#scheduled = false;
      if (!this.#closed) this.reconfigure();
    });
  }

  /** Another switch on this database has the word: ours must not pull at the same devices. */
  #lockChanged(held: boolean): void {
    if (held) {
      this.#schedule();
      return;
    }
    // In the words of Open vSwitch, which people and scripts look for.
    this.#log.err(
      `another ovs-vswitchd process is running, disabling this process (pid ${this.#options.host.pid}) until it goes away`,
    );
    for (const bridge of this.#bridges.values()) bridge.close();
    this.#bridges.clear();
    this.#closeUnusedBackers();
  }

  get #mayAct(): boolean {
    return this.#options.lock === undefined || this.#options.client.locked();
  }

  reconfigure(): void {
    // Without a connection nobody knows who has the lock: what runs goes on as it is.
    if (!this.#mayAct) return;
    const db = this.#options.client.replica;
    const root = db.table('Open_vSwitch').only();
    if (root === undefined) return;
    const wanted = readBridges(db);
    const byName = new Map(wanted.map((config) => [config.name, config]));
    for (const bridge of [...this.#bridges.values()]) {
      const config = byName.get(bridge.name);
      if (
        config === undefined ||
        config.datapathType !== bridge.config.datapathType ||
        config.uuid !== bridge.config.uuid
      ) {
        bridge.close();
        this.#bridges.delete(bridge.name);
        this.#log.info(`bridge ${bridge.name}: deleted`);
      } else {
        bridge.removeStale(config);
      }
    }
    this.#failed.clear();
    for (const config of wanted) {
      const bridge = this.#bridges.get(config.name) ?? this.#create(config);
      if (bridge === null) continue;
      bridge.apply(config);
      this.#configureBridge(bridge, config);
    }
    this.#joinPatches();
    this.#closeUnusedBackers();
    this.#configureZones();
    this.#takeOver(root.other_config.get('flow-restore-wait') === 'true');
    this.#appliedConfig = root.next_cfg;
    this.#status.writeAll();
    if (!this.#configured) {
      this.#configured = true;
      for (const waiter of this.#readyWaiters.splice(0)) waiter();
    }
  }

  /** Tells datapaths how long connections live. */
  #configureZones(): void {
    for (const backer of this.#backers.values()) {
      const timeouts = readZoneTimeouts(this.#options.client.replica, backer.type);
      if (!backer.slowPath.zoneTimeouts.configure(timeouts)) continue;
      for (const bridge of this.#bridges.values())
        if (bridge.backer === backer) bridge.ofproto.tablesChanged();
    }
  }

  /**
   * Has datapaths end what earlier processes left, now that ports are there. While flows are to be restored first
   * (other_config:flow-restore-wait, which counts at the start only), nothing is decided by the tables.
   */
  #takeOver(waiting: boolean): void {
    this.#restored ||= !waiting;
    for (const { slowPath } of this.#backers.values()) {
      slowPath.holding = !this.#restored;
      if (!this.#restored || this.#taken.has(slowPath)) continue;
      this.#taken.add(slowPath);
      slowPath.takeOver();
    }
  }

  #create(config: BridgeConfig): Bridge | null {
    let backer: Backer;
    try {
      backer = this.#openBacker(config.datapathType);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#failed.set(config.name, reason);
      this.#log.err(`failed to create bridge ${config.name}: ${reason}`);
      return null;
    }
    const ofproto: Ofproto = new Ofproto({
      name: config.name,
      clock: this.#options.clock,
      log: this.#options.log.module('ofproto_dpif_xlate'),
      recircIds: backer.slowPath.recircIds,
      counters: this.#options.counters,
      onChange: (change) => backer.slowPath.changed(change),
      onStationsGone: (stations) => this.#forget(backer, ofproto, stations),
    });
    const openflow = this.#options.makeOpenFlow(ofproto, backer.slowPath);
    ofproto.attach(openflow);
    openflow.onStatus(() => this.#status.writeControllers());
    const bridge = new Bridge({
      config,
      backer,
      ofproto,
      openflow,
      log: this.#log,
      numbers: new PortNumbers(this.#options.clock),
      monitors: this.monitors,
    });
    this.#bridges.set(config.name, bridge);
    return bridge;
  }

  /** The stations' traffic may have come through other bridges, which must not send theirs into nowhere. */
  #forget(backer: Backer, from: Ofproto, stations: readonly MacEntry[]): void {
    for (const bridge of this.#bridges.values()) {
      if (bridge.backer !== backer || bridge.ofproto === from) continue;
      for (const { mac, vlan } of stations) bridge.ofproto.macs.remove(mac, vlan);
    }
  }

  #openBacker(type: string): Backer {
    const known = this.#backers.get(type);
    if (known !== undefined) return known;
    const { datapath, devices } = this.#options.datapaths.open(type);
    const slowPath = new SlowPath({
      datapath,
      recircIds: new RecircIds(this.#options.clock),
      clock: this.#options.clock,
      log: this.#options.log,
      defer: this.#options.defer,
      packetIn: (packetIn) => this.#bridges.get(packetIn.ofproto.name)?.openflow.packetIn(packetIn),
    });
    const backer: Backer = { type, datapath, slowPath, devices };
    devices.onChange(() => this.devicesChanged());
    this.#backers.set(type, backer);
    return backer;
  }

  #closeUnusedBackers(): void {
    const used = new Set([...this.#bridges.values()].map((bridge) => bridge.backer));
    for (const [type, backer] of this.#backers) {
      if (used.has(backer)) continue;
      this.#backers.delete(type);
      backer.slowPath.close();
      Promise.all([backer.datapath.close(), backer.devices.close?.()]).catch((error: unknown) =>
        this.#log.warn(`datapath ${type}: ${String(error)}`),
      );
    }
  }

  #configureBridge(bridge: Bridge, config: BridgeConfig): void {
    const other = config.otherConfig;
    const { ofproto } = bridge;
    bridge.local?.device?.setMac(this.#localMac(bridge, config));
    bridge.refreshDevices();
    const aging = intOf(other.get('mac-aging-time'), 15, 3600) ?? 300;
    ofproto.macs.configure({
      ageingMs: aging * 1000,
      limit: intOf(other.get('mac-table-size'), 0, 1_000_000) ?? 8192,
      floodVlans: config.floodVlans,
    });
    this.#markQueues(bridge, config);
    applyMirrors(ofproto, config.mirrors, this.#log);
    const forwardBpdu = other.get('forward-bpdu') === 'true';
    if (forwardBpdu !== ofproto.forwardBpdu) {
      ofproto.forwardBpdu = forwardBpdu;
      ofproto.portsChanged();
    }
    const root = this.#options.client.replica.table('Open_vSwitch').only();
    const general = root?.other_config ?? new Map<string, string>();
    const { host } = this.#options;
    const openflow: OpenFlowConfig = {
      controllers: config.controllers,
      failMode: config.failMode,
      versions: config.versions,
      datapathId: bridge.noteDatapathId(this.datapathId(bridge)),
      maxIdleProbeMs: 5000,
      bundleIdleTimeoutMs: 1000 * (intOf(general.get('bundle-idle-timeout'), 1, 2 ** 20) ?? 10),
      tables: config.tables,
      description: {
        mfr: 'Weft',
        hw: 'Weft virtual switch',
        sw: host.version,
        serial: other.get('dp-sn') ?? 'None',
        dp: other.get('dp-desc') ?? config.name,
      },
    };
    bridge.openflow.configure(openflow);
    bridge.backer.slowPath.settings = {
      maxIdle: intOf(general.get('max-idle'), 500, 2 ** 31) ?? 10_000,
      flowLimit: intOf(general.get('flow-limit'), 0, 2 ** 31) ?? 200_000,
      maxRevalidator: intOf(general.get('max-revalidator'), 100, 2 ** 31) ?? 500,
      vlanLimit: vlanLimitOf(general.get('vlan-limit')),
    };
  }

  /**
   * Queues are told to the device by the packet's skb_priority: the handle of a class of the host's
   * qdisc ("1:<queue + 1>"), and where no host is behind, the queue's own number.
   */
  #markQueues(bridge: Bridge, config: BridgeConfig): void {
    const { ofproto } = bridge;
    const priorityOf =
      config.datapathType === 'system' && !bridge.backer.datapath.type.startsWith('dummy')
        ? (queue: number) => (queue < 0xf000 ? 0x10000 | (queue + 1) : null)
        : (queue: number) => queue;
    ofproto.queueLookup = (_port, queue) => priorityOf(queue);
    for (const port of config.ports) {
      for (const iface of port.interfaces) {
        const live = bridge.interface(iface.name)?.port;
        if (live === undefined || live === null) continue;
        const dscp = new Map<number, number>();
        for (const [queue, value] of port.queueDscp) {
          const priority = priorityOf(queue);
          if (priority !== null) dscp.set(priority, value << 2);
        }
        if (sameEntries(live.dscpByPriority, dscp)) continue;
        live.dscpByPriority = dscp;
        ofproto.portChanged(live);
      }
    }
  }

  /** The bridge's own MAC: other_config:hwaddr, else the lowest among its ports', else its device's. */
  #localMac(bridge: Bridge, config: BridgeConfig): Uint8Array {
    const asked = parseMac(config.otherConfig.get('hwaddr') ?? '');
    if (asked !== null) return asked;
    let best: Uint8Array | null = null;
    for (const live of bridge.interfaces()) {
      if (live.config.local || live.config.type === 'internal' || live.config.type === 'patch') continue;
      const mac = live.device?.mac;
      if (mac === undefined || (mac[0] & 1) !== 0 || mac.every((byte) => byte === 0)) continue;
      if (best === null || Buffer.compare(mac, best) < 0) best = mac;
    }
    return best ?? bridge.local?.device?.mac ?? new Uint8Array(6);
  }

  /** other_config:datapath-id, else the bridge's MAC address. */
  datapathId(bridge: Bridge): bigint {
    const asked = bridge.config.otherConfig.get('datapath-id');
    if (asked !== undefined) {
      const hex = asked.replace(/^0x/i, '');
      if (/^[0-9a-f]{1,16}$/i.test(hex) && !/^0+$/.test(hex) && (asked.length === 16 || hex !== asked)) {
        return BigInt(`0x${hex}`);
      }
    }
    const mac = bridge.local?.port?.mac ?? new Uint8Array(6);
    return mac.reduce((id, byte) => (id << 8n) | BigInt(byte), 0n);
  }

  /** Two patch ports that name each other become one wire. */
  #joinPatches(): void {
    const patches = new Map<string, { peer: string; port: NonNullable<ReturnType<Ofproto['port']>> }>();
    for (const bridge of this.#bridges.values()) {
      for (const live of bridge.interfaces()) {
        if (live.config.type !== 'patch' || live.port === null) continue;
        patches.set(live.config.name, { peer: live.config.options.get('peer') ?? '', port: live.port });
      }
    }
    for (const [name, { peer, port }] of patches) {
      const other = patches.get(peer);
      const found =
        other !== undefined && other.peer === name && sameDatapath(port, other.port) ? other.port : null;
      if (port.peer !== found) {
        port.peer = found;
        port.ofproto.portChanged(port);
      }
    }
  }

  // --- Monitors -------------------------------------------------------------------------------------

  #rxPackets(port: OfPort): number {
    const datapath = this.#bridges.get(port.ofproto.name)?.backer.datapath;
    if (port.dpPort === null || port.tunnel !== null || datapath === undefined)
      return port.counters.rxPackets;
    return datapath.portStats(port.dpPort).rxPackets;
  }

  #sendFromMonitor({ ofproto }: OfPort, { frame, flow, actions }: MonitorPacket): void {
    const slowPath = this.#bridges.get(ofproto.name)?.backer.slowPath;
    if (slowPath === undefined) return;
    const { version } = ofproto;
    new PreparedPacketOut(slowPath, { ofproto, packet: frame, flow, actions, version }).send();
  }

  /** Not at once: the news may have come with a packet that is still being translated. */
  #monitorChanged(port: OfPort): void {
    const waiting = this.#changedPorts.size > 0;
    this.#changedPorts.add(port);
    if (waiting) return;
    this.#options.defer(() => {
      const ports = [...this.#changedPorts];
      this.#changedPorts.clear();
      if (this.#closed) return;
      for (const changed of ports) this.#bridges.get(changed.ofproto.name)?.refreshPort(changed);
      if (this.#mayAct) this.#status.writeAll();
    });
  }

  // --- Periodic work --------------------------------------------------------------------------------

  #every(ms: number, work: () => void): void {
    const again = (): void => {
      const index = this.#timers.indexOf(timer);
      if (index >= 0) this.#timers.splice(index, 1);
      if (this.#closed) return;
      work();
      this.#every(ms, work);
    };
    const timer = this.#options.clock.after(ms, again);
    this.#timers.push(timer);
  }

  #expire(): void {
    for (const bridge of this.#bridges.values()) {
      bridge.ofproto.macs.expire();
      bridge.openflow.expire();
    }
  }
}

/** other_config:vlan-limit: one tag by default, 0 for as many as can be. */
function vlanLimitOf(text: string | undefined): number {
  const limit = intOf(text, 0, N_VLANS) ?? 1;
  return limit === 0 ? N_VLANS : limit;
}

function sameDatapath(a: { readonly ofproto: Ofproto }, b: { readonly ofproto: Ofproto }): boolean {
  return a.ofproto.recircIds === b.ofproto.recircIds;
}

function sameEntries(a: ReadonlyMap<number, number>, b: ReadonlyMap<number, number>): boolean {
  return a.size === b.size && [...a].every(([key, value]) => b.get(key) === value);
}

function intOf(text: string | undefined, min: number, max: number): number | null {
  if (text === undefined || !/^\d+$/.test(text)) return null;
  const n = Number(text);
  return Math.min(Math.max(n, min), max);
}
