import type { OpenVSwitchSchema, Replica, RowOf } from '../../ovsdb/index.ts';
import type { ControllerConfig, TableSettings } from '../conn/types.ts';
import { type BundleSettings, DEFAULT_BUNDLE, type VlanMode } from '../ofproto/port.ts';
import { type MirrorConfig, readMirrors } from './mirrors.ts';

/*
 * What the database asks for, read from the rows into plain values: no state, no side effects. The
 * manager compares it with what there is.
 */

export type Row<T extends keyof OpenVSwitchSchema['tables'] & string> = RowOf<OpenVSwitchSchema, T>;
export type Db = Replica<OpenVSwitchSchema>;

export interface InterfaceConfig {
  readonly uuid: string;
  readonly name: string;
  /** '' of the database is "system"; a bridge's own interface is "internal" whatever it says. */
  readonly type: string;
  /** Number asked for; null: any. */
  readonly ofportRequest: number | null;
  /** Number that it had before, to be kept if possible. */
  readonly ofportHint: number | null;
  readonly options: ReadonlyMap<string, string>;
  readonly bfd: ReadonlyMap<string, string>;
  readonly mac: string | null;
  readonly mtuRequest: number | null;
  /** The bridge's own port (OFPP_LOCAL). */
  readonly local: boolean;
}

export interface PortConfig {
  readonly uuid: string;
  readonly name: string;
  readonly settings: BundleSettings;
  /** DSCP (0 to 63) that packets of a queue are marked with when they leave, by queue. */
  readonly queueDscp: ReadonlyMap<number, number>;
  readonly interfaces: readonly InterfaceConfig[];
}

export interface BridgeConfig {
  readonly uuid: string;
  readonly name: string;
  /** "system", "netdev", "dummy", ... */
  readonly datapathType: string;
  readonly ports: readonly PortConfig[];
  readonly failMode: 'standalone' | 'secure';
  readonly versions: number;
  readonly controllers: readonly ControllerConfig[];
  readonly tables: ReadonlyMap<number, TableSettings>;
  readonly floodVlans: readonly number[];
  readonly mirrors: readonly MirrorConfig[];
  readonly otherConfig: ReadonlyMap<string, string>;
}

const VERSION_BITS: Readonly<Record<string, number>> = {
  OpenFlow10: 1 << 1,
  OpenFlow11: 1 << 2,
  OpenFlow12: 1 << 3,
  OpenFlow13: 1 << 4,
  OpenFlow14: 1 << 5,
  OpenFlow15: 1 << 6,
};
const ALL_VERSIONS = Object.values(VERSION_BITS).reduce((all, bit) => all | bit, 0);

/** All bridges that the database asks for, by name. Of rows that share a name the first wins. */
export function readBridges(db: Db): BridgeConfig[] {
  const root = db.table('Open_vSwitch').only();
  if (root === undefined) return [];
  const bridges = new Map<string, BridgeConfig>();
  for (const uuid of root.bridges) {
    const row = db.table('Bridge').get(uuid);
    if (row === undefined || bridges.has(row.name) || !isUsableName(row.name)) continue;
    bridges.set(row.name, readBridge(db, row));
  }
  return [...bridges.values()].sort((a, b) => compareText(a.name, b.name));
}

/** Timeouts of zones of a datapath that have their own, in seconds. */
export function readZoneTimeouts(db: Db, datapathType: string): Map<number, ReadonlyMap<string, number>> {
  const zones = new Map<number, ReadonlyMap<string, number>>();
  const uuid = db.table('Open_vSwitch').only()?.datapaths.get(datapathType);
  const datapath = uuid === undefined ? undefined : db.table('Datapath').get(uuid);
  for (const [zone, of] of datapath?.ct_zones ?? []) {
    const policy = db.table('CT_Zone').get(of)?.timeout_policy;
    const timeouts =
      policy === undefined || policy === null ? undefined : db.table('CT_Timeout_Policy').get(policy);
    if (timeouts !== undefined) zones.set(zone, timeouts.timeouts);
  }
  return zones;
}

/** A name that can't be a file's or a device's would escape the run directory. */
function isUsableName(name: string): boolean {
  return name !== '' && name !== '.' && name !== '..' && !name.includes('/');
}

function readBridge(db: Db, row: Row<'Bridge'>): BridgeConfig {
  const ports = new Map<string, PortConfig>();
  const taken = new Set<string>();
  for (const uuid of row.ports) {
    const port = db.table('Port').get(uuid);
    if (port === undefined || ports.has(port.name)) continue;
    ports.set(port.name, readPort(db, row.name, port, taken));
  }
  if (!taken.has(row.name)) ports.set(row.name, localPort(row.name));
  return {
    uuid: row._uuid,
    name: row.name,
    datapathType: row.datapath_type === '' ? 'system' : row.datapath_type,
    ports: [...ports.values()].sort((a, b) => compareText(a.name, b.name)),
    failMode: row.fail_mode === 'secure' ? 'secure' : 'standalone',
    versions:
      row.protocols.length === 0
        ? ALL_VERSIONS
        : row.protocols.reduce((all, p) => all | (VERSION_BITS[p] ?? 0), 0),
    controllers: readControllers(db, row),
    tables: readTables(db, row),
    floodVlans: row.flood_vlans,
    mirrors: readMirrors(db, row),
    otherConfig: row.other_config,
  };
}

function readPort(db: Db, bridge: string, row: Row<'Port'>, taken: Set<string>): PortConfig {
  const interfaces: InterfaceConfig[] = [];
  for (const uuid of row.interfaces) {
    const iface = db.table('Interface').get(uuid);
    if (iface === undefined || taken.has(iface.name)) continue;
    taken.add(iface.name);
    interfaces.push(readInterface(bridge, iface));
  }
  return {
    uuid: row._uuid,
    name: row.name,
    settings: readVlan(row),
    queueDscp: readQueueDscp(db, row),
    interfaces: interfaces.sort((a, b) => compareText(a.name, b.name)),
  };
}

function readQueueDscp(db: Db, row: Row<'Port'>): Map<number, number> {
  const dscp = new Map<number, number>();
  const qos = row.qos === null ? undefined : db.table('QoS').get(row.qos);
  if (qos === undefined || qos.type === '') return dscp;
  for (const [id, uuid] of qos.queues) {
    const queue = db.table('Queue').get(uuid);
    if (queue !== undefined && queue.dscp !== null) dscp.set(id, queue.dscp & 0x3f);
  }
  return dscp;
}

function readInterface(bridge: string, row: Row<'Interface'>): InterfaceConfig {
  const local = row.name === bridge;
  return {
    uuid: row._uuid,
    name: row.name,
    type: local ? 'internal' : row.type === '' ? 'system' : row.type,
    ofportRequest: row.ofport_request,
    ofportHint: row.ofport !== null && row.ofport > 0 ? row.ofport : null,
    options: row.options,
    bfd: row.bfd,
    mac: row.mac,
    mtuRequest: row.mtu_request,
    local,
  };
}

/** A bridge always has its own port, also where the database names none. */
function localPort(bridge: string): PortConfig {
  return {
    uuid: '',
    name: bridge,
    settings: DEFAULT_BUNDLE,
    queueDscp: new Map(),
    interfaces: [
      {
        uuid: '',
        name: bridge,
        type: 'internal',
        ofportRequest: null,
        ofportHint: null,
        options: new Map(),
        bfd: new Map(),
        mac: null,
        mtuRequest: null,
        local: true,
      },
    ],
  };
}

/** VLAN mode as vswitchd.conf.db(5) has it: `vlan_mode`, else "access" where there is a tag. */
function readVlan(row: Row<'Port'>): BundleSettings {
  const mode: VlanMode =
    (row.vlan_mode as VlanMode | null) ?? (row.tag !== null && row.tag >= 0 ? 'access' : 'trunk');
  const tag = row.tag !== null && row.tag >= 0 && row.tag <= 4095 ? row.tag : 0;
  const priority = row.other_config.get('priority-tags');
  return {
    vlanMode: mode,
    vlan: mode === 'trunk' ? 0 : tag,
    trunks: trunkBits(mode, tag, row.trunks),
    cvlans: mode === 'dot1q-tunnel' && row.cvlans.length > 0 ? vlanBits(row.cvlans) : null,
    qinqEthertype: row.other_config.get('qinq-ethtype') === '802.1q' ? 0x8100 : 0x88a8,
    priorityTags:
      priority === 'always'
        ? 'always'
        : priority === 'true' || priority === 'if-nonzero'
          ? 'if-nonzero'
          : 'no',
    protected: row.protected,
  };
}

/** VLANs that the port carries tagged, or null for all. */
function trunkBits(mode: VlanMode, tag: number, trunks: readonly number[]): Uint8Array | null {
  if (mode === 'access' || mode === 'dot1q-tunnel') return null;
  const listed = trunks.length > 0 ? vlanBits(trunks) : null;
  if (mode === 'trunk' || tag === 0) return listed;
  // The native VLAN is always carried; what has no tag belongs to it, so VLAN 0 is not.
  const bits = listed ?? new Uint8Array(512).fill(0xff);
  bits[tag >> 3] |= 1 << (tag & 7);
  bits[0] &= ~1;
  return bits;
}

function vlanBits(vlans: readonly number[]): Uint8Array {
  const bits = new Uint8Array(512);
  for (const vlan of vlans) if (vlan >= 0 && vlan < 4096) bits[vlan >> 3] |= 1 << (vlan & 7);
  return bits;
}

function readControllers(db: Db, row: Row<'Bridge'>): ControllerConfig[] {
  const controllers: ControllerConfig[] = [];
  for (const uuid of row.controller) {
    const c = db.table('Controller').get(uuid);
    if (c === undefined) continue;
    const passive =
      c.target.startsWith('ptcp:') || c.target.startsWith('punix:') || c.target.startsWith('pssl:');
    controllers.push({
      uuid,
      target: c.target,
      maxBackoffMs: Math.max(1000, c.max_backoff ?? 8000),
      probeIntervalMs: c.inactivity_probe ?? 5000,
      band: c.connection_mode === 'in-band' ? 'in-band' : 'out-of-band',
      enableAsync: c.enable_async_messages ?? true,
      rateLimit: c.controller_rate_limit ?? 0,
      burstLimit: c.controller_burst_limit ?? 0,
      maxQueued: c.controller_queue_size ?? 100,
      type: c.type === 'service' || (c.type === null && passive) ? 'service' : 'primary',
    });
  }
  return controllers;
}

function readTables(db: Db, row: Row<'Bridge'>): Map<number, TableSettings> {
  const tables = new Map<number, TableSettings>();
  for (const [id, uuid] of row.flow_tables) {
    const table = db.table('Flow_Table').get(uuid);
    if (table === undefined) continue;
    tables.set(id, {
      name: table.name ?? '',
      flowLimit: table.flow_limit ?? Number.POSITIVE_INFINITY,
      overflow: table.overflow_policy === 'evict' ? 'evict' : 'refuse',
      groups: table.groups,
      prefixes: table.prefixes,
    });
  }
  return tables;
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
