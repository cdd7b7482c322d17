import type { Clock } from '../../base/clock.ts';
import type { Logger, ModuleLog } from '../../base/log.ts';
import { W_IN_PORT } from '../../flow/layout.ts';
import { Match } from '../../flow/match.ts';
import { TunnelMetadataTable } from '../../flow/tun-metadata.ts';
import { formatActions } from '../../openflow/actions/index.ts';
import type { Action } from '../../openflow/actions/types.ts';
import {
  FF_SEND_FLOW_REM,
  OFPG_ALL,
  OFPG_BUCKET_ALL,
  OFPM_ALL,
  OFPP_NORMAL,
  OFPR_EXPLICIT_MISS,
  OFPR_IMPLICIT_MISS,
  OFPR_NO_MATCH,
  OFPRR_DELETE,
} from '../../openflow/constants.ts';
import { OfError } from '../../openflow/errors.ts';
import type { OfKind, OfMessage, OfMessageOf } from '../../openflow/message.ts';
import type { AsyncType } from '../../openflow/messages/async.ts';
import type { FlowModCommand } from '../../openflow/messages/flow-mod.ts';
import { DEFAULT_SELECTION } from '../../openflow/messages/group.ts';
import { OF14 } from '../../openflow/version.ts';
import { type FlowEvent, FlowStore } from '../ofproto/flow-store.ts';
import type { Group } from '../ofproto/group.ts';
import type { GroupModFields } from '../ofproto/group-table.ts';
import { GroupTable } from '../ofproto/group-table.ts';
import { MeterTable } from '../ofproto/meter-table.ts';
import type { LearnedFlow, LookupTable, Ofproto } from '../ofproto/ofproto.ts';
import type { OfPort } from '../ofproto/port.ts';
import { FF_HIDDEN, type Rule } from '../ofproto/rule.ts';
import { changeTables } from '../ofproto/transaction.ts';
import type { SlowPath, SlowPathPacketIn } from '../upcall/slow-path.ts';
import { targetRefusal } from './allowed-targets.ts';
import { wantsAsync } from './async.ts';
import type { Connection } from './connection.ts';
import { Controllers } from './controllers.ts';
import { FlowModLog } from './flow-mod-log.ts';
import { FlowMonitors } from './flow-monitors.ts';
import { deleteMeters } from './handlers/meters.ts';
import { HANDLERS } from './handlers/registry.ts';
import { tableDesc } from './handlers/tables.ts';
import { describeLearnedFlow, learnFlow } from './learned-flows.ts';
import { flowRemovedMessage } from './messages/flow-removed.ts';
import { packetInMessage } from './messages/packet-in.ts';
import { ownFlow } from './own-flow.ts';
import { PortAnnouncer } from './port-announcer.ts';
import type { StreamProvider } from './stream.ts';
import type { ControllerConfig, ControllerStatus, OpenFlowConfig, OpenFlowSide } from './types.ts';

/** Priority above all that OpenFlow can give: flows of the switch itself. */
const FAIL_OPEN_PRIORITY = 0xf0f0f0;

/** Bundles that nobody speaks of end after so long (OpenFlow 1.5, 6.8). */
const BUNDLE_IDLE_MS = 10_000;

const ALL_GROUPS_DELETED: GroupModFields = {
  command: 'delete',
  type: 'all',
  group: OFPG_ALL,
  commandBucket: OFPG_BUCKET_ALL,
  buckets: [],
  selection: DEFAULT_SELECTION,
};

export interface OpenFlowSwitchOptions {
  readonly ofproto: Ofproto;
  readonly slowPath: SlowPath;
  readonly clock: Clock;
  readonly log: Logger;
  readonly streams: StreamProvider;
  readonly setAdminUp: (port: OfPort, up: boolean) => void;
  /** Directory of the bridge's sockets (BRIDGE.mgmt, BRIDGE.snoop). */
  readonly runDir: string;
  /** Refuses sockets outside of `runDir`; default true. */
  readonly selfConfinement?: boolean;
  /** Takes actions that only tests use. */
  readonly testMode?: boolean;
}

/** The OpenFlow side of one bridge: its tables and groups, and the connections that read and write them. */
export class OpenFlowSwitch implements OpenFlowSide {
  readonly options: OpenFlowSwitchOptions;
  readonly ofproto: Ofproto;
  readonly slowPath: SlowPath;
  readonly flows: FlowStore;
  readonly groups = new GroupTable();
  readonly meters: MeterTable;
  readonly tlvTable = new TunnelMetadataTable();
  readonly monitors: FlowMonitors;
  readonly controllers: Controllers;
  readonly log: ModuleLog;
  config: OpenFlowConfig | null = null;
  /** Guards role requests (OpenFlow 1.5, 6.3.6); null: none seen. */
  generationId: bigint | null = null;
  #failOpen = false;
  readonly #flowMods = new Map<Connection, FlowModLog>();
  readonly #ports = new PortAnnouncer((reason, make) => this.broadcast('port_status', reason, make));
  readonly #statusListeners: (() => void)[] = [];

  constructor(options: OpenFlowSwitchOptions) {
    this.options = options;
    this.ofproto = options.ofproto;
    this.slowPath = options.slowPath;
    this.log = options.log.module('ofproto');
    this.meters = new MeterTable(options.slowPath.meters);
    this.flows = new FlowStore(options.ofproto, (events) => this.#flowEvents(events));
    this.monitors = new FlowMonitors(this.flows, this.tlvTable);
    this.controllers = new Controllers({
      codec: {
        tun: this.tlvTable,
        debugActions: options.testMode ?? false,
        oversizedFlow: () =>
          options.log
            .module('ofp_flow')
            .limited(1, 5)
            .warn(
              'Flow exceeded the maximum flow statistics reply size and was excluded from the response set',
            ),
      },
      bridge: options.ofproto.name,
      streams: options.streams,
      clock: options.clock,
      log: options.log.module('rconn'),
      wireLog: options.log.module('vconn'),
      handler: {
        onUp: () => this.#controllersChanged(),
        onMessage: (connection, message, bytes) => this.#message(connection, message, bytes),
        onClose: (connection) => {
          this.monitors.forget(connection);
          this.#flowMods.get(connection)?.flush(this.clock.now());
          this.#flowMods.delete(connection);
          this.#controllersChanged();
        },
        onDrain: (connection) => this.monitors.drained(connection),
      },
      onStatus: () => this.#notify(),
      services: {
        management: `${options.runDir}/${options.ofproto.name}.mgmt`,
        snoop: `${options.runDir}/${options.ofproto.name}.snoop`,
      },
    });
  }

  get tunnelOptions(): TunnelMetadataTable {
    return this.tlvTable;
  }

  get clock(): Clock {
    return this.options.clock;
  }

  // --- Configuration --------------------------------------------------------------------------------

  configure(config: OpenFlowConfig): void {
    const before = this.config;
    this.config = config;
    for (let id = 0; id < 254; id++) {
      const settings = config.tables.get(id);
      if (settings !== undefined) this.flows.table(id).configure(settings);
      else this.flows.existing(id)?.configure(undefined);
      this.flows.evictExcess(id);
    }
    const allowed = config.controllers.filter((c) => this.#isAllowed(c));
    this.controllers.configure(allowed, config.versions);
    const hadPrimary = before?.controllers.some((c) => c.type === 'primary') ?? false;
    const hasPrimary = config.controllers.some((c) => c.type === 'primary');
    // Who takes control finds empty tables; so does whoever is left when the controllers go.
    if (before !== null && (hadPrimary !== hasPrimary || this.#targetsChanged(before, config))) {
      if (hadPrimary !== hasPrimary) this.#flushAll();
    }
    this.#defaultFlow();
    this.#failOpenFlow();
  }

  #isAllowed({ target }: ControllerConfig): boolean {
    if (this.options.selfConfinement === false) return true;
    const refusal = targetRefusal(this.ofproto.name, this.options.runDir, target);
    if (refusal === null) return true;
    this.options.log.module('bridge').limited(1, 5).err(refusal);
    return false;
  }

  #targetsChanged(before: OpenFlowConfig, after: OpenFlowConfig): boolean {
    const targets = (c: OpenFlowConfig): string =>
      c.controllers
        .map((x) => x.target)
        .sort()
        .join();
    return targets(before) !== targets(after);
  }

  #flushAll(): void {
    this.flows.flush(true);
    deleteMeters(this, OFPM_ALL);
    changeTables(this, null, (transaction) => transaction.group(ALL_GROUPS_DELETED));
  }

  /** Without controllers, and unless told to be secure, a bridge is a learning switch. */
  #defaultFlow(): void {
    const config = this.config;
    if (config === null) return;
    const wanted = !this.controllers.hasPrimary && config.failMode === 'standalone';
    const table = this.flows.existing(0);
    const empty = (table?.count ?? 0) === 0;
    if (wanted && empty && !this.#hadDefault) {
      this.#hadDefault = true;
      this.flows.apply(ownFlow(new Match(), 0, [{ type: 'output', port: OFPP_NORMAL, maxLen: 0 }], 0), null);
    }
    if (!wanted) this.#hadDefault = false;
  }

  #hadDefault = false;

  /** A standalone bridge whose controllers are gone for too long does what it can by itself. */
  #failOpenFlow(): void {
    const config = this.config;
    if (config === null) return;
    const since = this.controllers.disconnectedSince();
    const probe = config.controllers.find((c) => c.type === 'primary')?.probeIntervalMs ?? 5000;
    const wanted =
      config.failMode === 'standalone' &&
      since !== null &&
      this.clock.now() - since >= 3 * Math.max(probe, 1000);
    if (wanted === this.#failOpen) return;
    this.#failOpen = wanted;
    if (wanted) {
      this.log.warn(
        `${this.ofproto.name}: could not connect to a controller for ${(3 * probe) / 1000} seconds, failing open`,
      );
      const normal: Action = { type: 'output', port: OFPP_NORMAL, maxLen: 0 };
      this.flows.apply(ownFlow(new Match(), FAIL_OPEN_PRIORITY, [normal], FF_HIDDEN), null);
    } else {
      const rule = this.flows.find(0, new Match(), FAIL_OPEN_PRIORITY);
      if (rule !== null) this.flows.remove([rule], OFPRR_DELETE);
      this.log.info(`${this.ofproto.name}: no longer in fail-open mode`);
    }
  }

  /** Whether misses go to controllers depends on who they are, and what they have asked for. */
  #noteMisses(): void {
    const wants = this.wantsPacketInOnMiss();
    if (wants === this.#wantsMisses) return;
    this.#wantsMisses = wants;
    this.ofproto.tablesChanged();
  }

  #wantsMisses = false;

  #controllersChanged(): void {
    this.#noteMisses();
    this.#failOpenFlow();
    this.#notify();
  }

  // --- Status ---------------------------------------------------------------------------------------

  controllerStatus(): readonly ControllerStatus[] {
    return this.controllers.status();
  }

  onStatus(listener: () => void): void {
    this.#statusListeners.push(listener);
  }

  #notify(): void {
    for (const listener of this.#statusListeners) listener();
  }

  // --- Ports ----------------------------------------------------------------------------------------

  portAdded(port: OfPort): void {
    this.#ports.added(port);
  }

  portModified(port: OfPort, source: Connection | null = null): void {
    this.#ports.modified(port, source);
  }

  /** Its device is about to be brought up or down, as `source` asked. */
  portConfigured(port: OfPort, config: number, source: Connection): void {
    this.#ports.configured(port, config, source);
    this.ofproto.portsChanged();
  }

  portRemoved(port: OfPort): void {
    this.#ports.removed(port);
  }

  /** A connection has sent a flow mod, which the log tells of in numbers. */
  countFlowMod(connection: Connection, command: FlowModCommand): void {
    let log = this.#flowMods.get(connection);
    if (log === undefined) {
      log = new FlowModLog(this.options.log.module('connmgr'), connection.name);
      this.#flowMods.set(connection, log);
    }
    log.count(command, this.clock.now());
  }

  /** Sends a message that nobody asked for to all connections that want its kind for this reason. */
  broadcast(type: AsyncType, reason: number, make: (connection: Connection) => OfMessage | null): void {
    for (const connection of this.controllers.connections()) {
      if (!wantsAsync(connection, type, reason) || !connection.acceptsAsync) continue;
      const message = make(connection);
      if (message !== null) connection.send(message);
    }
  }

  /** A controller brings a port up or down. */
  setAdminUp(port: OfPort, up: boolean): void {
    this.options.setAdminUp(port, up);
  }

  // --- Packets and flows ----------------------------------------------------------------------------

  packetIn(packetIn: SlowPathPacketIn): void {
    const { reason, flow, controllerId } = packetIn;
    const isMiss = reason === OFPR_NO_MATCH || reason === OFPR_EXPLICIT_MISS || reason === OFPR_IMPLICIT_MISS;
    for (const connection of this.controllers.connections()) {
      if (connection.state.controllerId !== controllerId || !connection.acceptsAsync) continue;
      if (!wantsAsync(connection, 'packet_in', reason)) continue;
      const message = packetInMessage(this, connection, packetIn);
      if (message !== null) connection.sendPacketIn(flow[W_IN_PORT], isMiss, message);
    }
  }

  #flowEvents(events: readonly FlowEvent[]): void {
    const tables = new Set<number>();
    for (const event of events) {
      tables.add(event.rule.table);
      if (event.type !== 'removed' || event.rule.isHidden || (event.rule.flags & FF_SEND_FLOW_REM) === 0)
        continue;
      const { rule, reason } = event;
      this.broadcast('flow_removed', reason, (connection) =>
        flowRemovedMessage(this, connection, rule, reason, this.clock.now()),
      );
    }
    this.monitors.report(events);
    for (const table of tables) this.#tableStatus(table);
  }

  /** Tells of a table that has filled up, or emptied, so far. */
  #tableStatus(id: number): void {
    const reason = this.flows.existing(id)?.takeVacancyEvent() ?? null;
    if (reason === null) return;
    const desc = tableDesc(this, id);
    this.broadcast('table_status', reason, (connection) =>
      connection.version < OF14
        ? null
        : { kind: 'table_status', version: connection.version, xid: 0, reason, desc },
    );
  }

  expire(): void {
    this.flows.expire();
    this.#noteMisses();
    this.#expireUnfinished();
    this.#failOpenFlow();
  }

  /** Bundles and long requests that their controllers have forgotten are not kept for ever. */
  #expireUnfinished(): void {
    const before = this.clock.now() - (this.config?.bundleIdleTimeoutMs ?? BUNDLE_IDLE_MS);
    for (const connection of this.controllers.connections()) {
      connection.expire();
      this.#flowMods.get(connection)?.tick(this.clock.now());
      for (const bundle of connection.state.bundles.expire(before)) {
        connection.sendError('OFPBFC_TIMEOUT', bundle.opener);
      }
    }
  }

  close(): void {
    this.meters.release(this.meters.delete(OFPM_ALL));
    this.controllers.close();
  }

  // --- Requests -------------------------------------------------------------------------------------

  #message(connection: Connection, message: OfMessage, bytes: Uint8Array): void {
    const handle = HANDLERS[message.kind] as
      | ((
          side: OpenFlowSwitch,
          connection: Connection,
          message: OfMessageOf<OfKind>,
          bytes: Uint8Array,
        ) => void)
      | undefined;
    if (handle === undefined) {
      throw new OfError('OFPBRC_BAD_TYPE', `a switch takes no ${message.kind}`);
    }
    handle(this, connection, message as OfMessageOf<OfKind>, bytes);
  }

  // --- For translation ------------------------------------------------------------------------------

  table(id: number): LookupTable | undefined {
    return this.flows.existing(id);
  }

  wantsPacketInOnMiss(): boolean {
    for (const connection of this.controllers.connections()) {
      if (connection.version < 4 && wantsAsync(connection, 'packet_in', 0)) return true;
    }
    return false;
  }

  groupMade(group: Group): void {
    if (group.type !== 'select') return;
    const log = this.options.log.module('ofproto_dpif');
    for (const line of group.describeSelection()) log.dbg(() => line);
  }

  group(id: number): Group | undefined {
    return this.groups.get(id);
  }

  timeoutPolicy(zone: number): string | undefined {
    return this.slowPath.zoneTimeouts.policy(zone);
  }

  datapathMeter(meter: number): number | null {
    return this.meters.get(meter)?.datapathMeter ?? null;
  }

  formatActions(actions: readonly Action[]): string {
    return formatActions(actions);
  }

  learn(flow: LearnedFlow): boolean {
    return learnFlow(this.flows, this.log, flow);
  }

  describeLearned(flow: LearnedFlow): string {
    return describeLearnedFlow(flow);
  }

  finTimeout(rule: Rule, idle: number, hard: number): void {
    const shorten = (now: number, wanted: number): number =>
      wanted === 0 ? now : now === 0 ? wanted : Math.min(now, wanted);
    rule.idleTimeout = shorten(rule.idleTimeout, idle);
    rule.hardTimeout = shorten(rule.hardTimeout, hard);
    this.flows.timeoutsChanged(rule);
  }
}
