import type { Clock } from '../../base/clock.ts';
import type { ModuleLog } from '../../base/log.ts';
import { OFPP_LOCAL } from '../../openflow/constants.ts';
import type { Client, OpenVSwitchSchema, Transaction, ValuesOf } from '../../ovsdb/index.ts';
import type { OfPort } from '../ofproto/port.ts';
import type { Bridge, LiveInterface } from './bridge.ts';
import type { HostFacts } from './manager.ts';

/** What the status columns are written from. */
export interface StatusSource {
  readonly host: HostFacts;
  readonly datapathTypes: readonly string[];
  readonly interfaceTypes: readonly string[];
  /** `next_cfg` of the configuration that was last applied; null before the first. */
  readonly appliedConfig: number | null;
  bridges(): IterableIterator<Bridge>;
  datapathId(bridge: Bridge): bigint;
  failure(bridge: string): string | undefined;
  bfdStatus(port: OfPort): ReadonlyMap<string, string>;
}

type Txn = Transaction<OpenVSwitchSchema>;
type InterfaceValues = ValuesOf<OpenVSwitchSchema, 'Interface'>;

/**
 * Writes back what became of the configuration: interface numbers, errors and link states, bridge
 * identities, controllers' states, and `cur_cfg` when all of `next_cfg` has been applied.
 *
 * One transaction is under way at a time; what changes meanwhile goes into the next. Only columns whose
 * value differs are written, so that an idle switch is silent.
 */
export class StatusWriter {
  readonly #client: Client<OpenVSwitchSchema>;
  readonly #source: StatusSource;
  readonly #clock: Clock;
  readonly #log: ModuleLog;
  #busy = false;
  #again = false;
  #withStatistics = false;

  constructor(client: Client<OpenVSwitchSchema>, source: StatusSource, clock: Clock, log: ModuleLog) {
    this.#client = client;
    this.#source = source;
    this.#clock = clock;
    this.#log = log;
  }

  writeAll(): void {
    this.#write();
  }

  writeControllers(): void {
    this.#write();
  }

  /** As `writeAll`, with counters. */
  writeStatistics(): void {
    this.#withStatistics = true;
    this.#write();
  }

  #write(): void {
    if (this.#busy) {
      this.#again = true;
      return;
    }
    if (this.#client.state !== 'synced') return;
    const txn = this.#client.transaction();
    this.#root(txn);
    for (const bridge of this.#source.bridges()) this.#bridge(txn, bridge);
    this.#withStatistics = false;
    if (txn.empty) return;
    this.#busy = true;
    txn
      .commit()
      .then((outcome) => {
        if (outcome.status === 'error')
          this.#log.warn(`status not written: ${outcome.error} (${outcome.details})`);
      })
      .catch((error: unknown) => this.#log.warn(`status not written: ${String(error)}`))
      .finally(() => {
        this.#busy = false;
        if (!this.#again) return;
        this.#again = false;
        this.#write();
      });
  }

  #root(txn: Txn): void {
    const row = this.#client.replica.table('Open_vSwitch').only();
    if (row === undefined) return;
    const { host } = this.#source;
    const values: {
      -readonly [C in keyof ValuesOf<OpenVSwitchSchema, 'Open_vSwitch'>]: ValuesOf<
        OpenVSwitchSchema,
        'Open_vSwitch'
      >[C];
    } = {};
    // Not the row's own next_cfg: that may have come after what was last applied.
    const applied = this.#source.appliedConfig;
    if (applied !== null && row.cur_cfg !== applied) values.cur_cfg = applied;
    if (row.ovs_version !== host.version) values.ovs_version = host.version;
    if (row.db_version === null && host.dbVersion !== '') values.db_version = host.dbVersion;
    if (row.system_type === null && host.systemType !== '') values.system_type = host.systemType;
    if (row.system_version === null && host.systemVersion !== '') values.system_version = host.systemVersion;
    const types = [...this.#source.datapathTypes].sort();
    if (!sameList(row.datapath_types, types)) values.datapath_types = types;
    const ifaces = [...this.#source.interfaceTypes].sort();
    if (!sameList(row.iface_types, ifaces)) values.iface_types = ifaces;
    if (Object.keys(values).length > 0) txn.update('Open_vSwitch', row._uuid, values);
  }

  #bridge(txn: Txn, bridge: Bridge): void {
    const row = this.#client.replica.table('Bridge').get(bridge.config.uuid);
    if (row === undefined) return;
    const dpid = this.#source.datapathId(bridge).toString(16).padStart(16, '0');
    if (row.datapath_id !== dpid) txn.update('Bridge', row._uuid, { datapath_id: dpid });
    if (row.datapath_version !== bridge.backer.type && row.datapath_version !== '<built-in>') {
      txn.update('Bridge', row._uuid, { datapath_version: '<built-in>' });
    }
    for (const live of bridge.interfaces()) this.#interface(txn, bridge, live);
    if (this.#withStatistics) this.#mirrors(txn, bridge);
    for (const status of bridge.openflow.controllerStatus()) {
      const controller = this.#client.replica.table('Controller').get(status.uuid);
      if (controller === undefined) continue;
      if (controller.is_connected !== status.connected) {
        txn.update('Controller', status.uuid, { is_connected: status.connected });
      }
      if (controller.role !== status.role) txn.update('Controller', status.uuid, { role: status.role });
      const same = this.#withStatistics ? sameMap : sameStatus;
      if (!same(controller.status, status.status))
        txn.update('Controller', status.uuid, { status: status.status });
    }
  }

  #mirrors(txn: Txn, bridge: Bridge): void {
    for (const { settings, packets, bytes } of bridge.ofproto.mirrors.list()) {
      const row = this.#client.replica.table('Mirror').get(settings.uuid);
      const statistics = new Map([
        ['tx_packets', packets],
        ['tx_bytes', bytes],
      ]);
      if (row !== undefined && !sameMap(row.statistics, statistics))
        txn.update('Mirror', settings.uuid, { statistics });
    }
  }

  #interface(txn: Txn, bridge: Bridge, live: LiveInterface): void {
    if (live.config.uuid === '') return;
    const row = this.#client.replica.table('Interface').get(live.config.uuid);
    if (row === undefined) return;
    const values: { -readonly [C in keyof InterfaceValues]: InterfaceValues[C] } = {};
    const { port, device } = live;
    const ofport = port === null ? -1 : port.ofPort === OFPP_LOCAL ? 65534 : port.ofPort;
    if (row.ofport !== ofport) values.ofport = ofport;
    if (row.error !== live.error) values.error = live.error;
    const admin = port === null ? null : port.adminUp ? 'up' : 'down';
    if (row.admin_state !== admin) values.admin_state = admin;
    const link = port === null ? null : port.linkUp ? 'up' : 'down';
    if (row.link_state !== link) values.link_state = link;
    const mac = port === null ? null : macText(port.mac);
    if (row.mac_in_use !== mac) values.mac_in_use = mac;
    const mtu = device?.mtu ?? null;
    if (row.mtu !== mtu) values.mtu = mtu;
    const ifindex = device === null ? null : device.ifindex;
    if (row.ifindex !== ifindex) values.ifindex = ifindex;
    const speed = device !== null && device.speed > 0 ? device.speed : null;
    if (row.link_speed !== speed) values.link_speed = speed;
    const duplex = device !== null && device.speed > 0 ? (device.fullDuplex ? 'full' : 'half') : null;
    if (row.duplex !== duplex) values.duplex = duplex;
    const resets = device === null ? null : device.linkResets;
    if (row.link_resets !== resets) values.link_resets = resets;
    const status = device?.status ?? tunnelStatus(bridge, live);
    if (!sameMap(row.status, status)) values.status = status;
    const bfd = port === null ? new Map<string, string>() : this.#source.bfdStatus(port);
    if (!sameMap(row.bfd_status, bfd)) values.bfd_status = bfd;
    if (this.#withStatistics && port !== null) {
      const statistics = statisticsOf(bridge, live);
      if (!sameMap(row.statistics, statistics)) values.statistics = statistics;
    }
    if (Object.keys(values).length > 0) txn.update('Interface', row._uuid, values);
  }

  get now(): number {
    return this.#clock.now();
  }
}

/** By which device a tunnel leaves the host, where its other end is known. */
function tunnelStatus({ backer }: Bridge, { port }: LiveInterface): Map<string, string> {
  const remote = port?.tunnel?.remote;
  if (remote === undefined || remote === 'flow') return new Map();
  const egress = backer.devices.egress?.(remote, port?.tunnel?.egressMark ?? 0) ?? null;
  if (egress === null) return new Map();
  return new Map([
    ['tunnel_egress_iface', egress.name],
    ['tunnel_egress_iface_carrier', egress.carrier ? 'up' : 'down'],
  ]);
}

function statisticsOf(bridge: Bridge, live: LiveInterface): Map<string, number> {
  const { port } = live;
  if (port === null) return new Map();
  if (port.dpPort === null || port.tunnel !== null) {
    const c = port.counters;
    return new Map([
      ['rx_bytes', c.rxBytes],
      ['rx_packets', c.rxPackets],
      ['tx_bytes', c.txBytes],
      ['tx_packets', c.txPackets],
    ]);
  }
  const s = bridge.backer.datapath.portStats(port.dpPort);
  return new Map([
    ['rx_bytes', s.rxBytes],
    ['rx_dropped', s.rxDropped],
    ['rx_errors', s.rxErrors],
    ['rx_packets', s.rxPackets],
    ['tx_bytes', s.txBytes],
    ['tx_dropped', s.txDropped],
    ['tx_errors', s.txErrors],
    ['tx_packets', s.txPackets],
  ]);
}

function sameList(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((item, i) => item === b[i]);
}

function sameMap<K, V>(a: ReadonlyMap<K, V>, b: ReadonlyMap<K, V>): boolean {
  if (a.size !== b.size) return false;
  for (const [key, value] of a) if (b.get(key) !== value) return false;
  return true;
}

/** Times go on by themselves: a status that differs only in seconds is not worth a transaction. */
function sameStatus(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean {
  const strip = (map: ReadonlyMap<string, string>): Map<string, string> =>
    new Map([...map].filter(([key]) => !key.startsWith('sec_since')));
  return sameMap(strip(a), strip(b));
}

function macText(mac: Uint8Array): string {
  return Array.from(mac, (byte) => byte.toString(16).padStart(2, '0')).join(':');
}
