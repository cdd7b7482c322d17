/**
 * The host's database as the agent keeps it: its bridge and its tunnel ports, and what it reads there of VIFs. Works on
 * the database of Open vSwitch as on ours. Of ports only those are touched that carry our mark.
 */
import type { Clock, Timer } from '../../base/clock.ts';
import type { ModuleLog } from '../../base/log.ts';
import type { VifReport } from '../../logical/protocol.ts';
import type { TunnelTo } from '../../logical/universal.ts';
import type { ChangeSet, Client, OpenVSwitchSchema, RowOf, Transaction } from '../../ovsdb/index.ts';
import type { TunnelPort } from '../physical.ts';

/** Columns of the database that the agent reads. */
export const KEEPER_TABLES = {
  Open_vSwitch: ['bridges', 'external_ids'],
  Bridge: ['name', 'ports', 'fail_mode', 'protocols', 'datapath_type', 'other_config', 'external_ids'],
  Port: ['name', 'interfaces', 'external_ids'],
  Interface: ['name', 'type', 'options', 'ofport', 'error', 'external_ids'],
} as const;

/** A local VIF, with its OpenFlow port; 0 or less: it has none (yet). */
export interface LocalVif extends VifReport {
  readonly ofport: number;
}

export interface BridgeKeeperOptions {
  readonly client: Client<OpenVSwitchSchema>;
  readonly clock: Clock;
  readonly log: ModuleLog;
  readonly bridge: string;
  /** For a bridge that is made; "": the switch's own choice. */
  readonly datapathType: string;
  /** options:local_ip of tunnels; undefined: external_ids:weft-encap-ip of the database, if there. */
  readonly encapIp: string | undefined;
  /** external_ids:system-id of a database that has none. */
  readonly newSystemId: () => string;
  /** Something that the agent reads has changed. */
  readonly onChange: () => void;
}

type InterfaceRow = RowOf<OpenVSwitchSchema, 'Interface'>;
type Txn = Transaction<OpenVSwitchSchema>;

/** external_ids of our tunnel ports. */
const NODE = 'weft-node';
/** external_ids of an interface whose flows are in. */
const INSTALLED = 'weft-installed';
const NAME_PREFIX = 'weft-t';
const RETRY_MS = 1000;

const keyOf = (t: TunnelTo): string => `${t.node} ${t.encapsulation} ${t.address}`;

interface OurPort {
  readonly uuid: string;
  readonly iface: InterfaceRow;
  readonly key: string;
}

export class BridgeKeeper {
  readonly #options: BridgeKeeperOptions;
  #wanted: readonly TunnelTo[] | undefined;
  /** Whether ports that are not wanted may go. */
  #prune = false;
  #installed: ReadonlySet<string> | undefined;
  #writing = false;
  #timer: Timer | undefined;
  #closed = false;

  constructor(options: BridgeKeeperOptions) {
    this.#options = options;
    const { client } = options;
    client.onChange((changes) => this.#onChange(changes));
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  get systemId(): string | undefined {
    return this.#root()?.external_ids.get('system-id');
  }

  /** VIFs at the bridge, by name. */
  vifs(): LocalVif[] {
    const vifs: LocalVif[] = [];
    for (const { iface } of this.#interfaces()) {
      const vif = iface.external_ids.get('iface-id');
      if (vif === undefined || vif === '' || iface.external_ids.has(NODE)) continue;
      const mac = iface.external_ids.get('attached-mac');
      vifs.push({
        vif,
        name: iface.name,
        active: iface.external_ids.get('iface-status') !== 'inactive',
        ...(mac === undefined ? {} : { mac }),
        ofport: ofportOf(iface),
      });
    }
    return vifs.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Our tunnel ports that the switch has made. */
  tunnels(): TunnelPort[] {
    const ports: TunnelPort[] = [];
    const ours = this.#oursByKey();
    for (const tunnel of this.#wanted ?? []) {
      const port = ours.get(keyOf(tunnel));
      if (port !== undefined && ofportOf(port.iface) > 0 && isRight(port.iface, tunnel, this.localIp))
        ports.push({ ...tunnel, ofport: ofportOf(port.iface) });
    }
    return ports;
  }

  /** Tunnels that the switch could not make: which, and its words. */
  brokenTunnels(): { readonly tunnel: TunnelTo; readonly error: string }[] {
    const ours = this.#oursByKey();
    return (this.#wanted ?? []).flatMap((tunnel) => {
      const port = ours.get(keyOf(tunnel));
      if (port === undefined || ofportOf(port.iface) !== -1) return [];
      return [{ tunnel, error: port.iface.error ?? 'no reason given' }];
    });
  }

  /** Whether every wanted tunnel port is there, or cannot be. */
  get settled(): boolean {
    const there = this.tunnels().length + this.brokenTunnels().length;
    return !this.#writing && there === (this.#wanted?.length ?? 0);
  }

  /** Makes and mends tunnel ports; those that are too many stay until `prune`. */
  want(tunnels: readonly TunnelTo[]): void {
    this.#wanted = tunnels;
    this.#prune = false;
    this.#check();
  }

  /** Nothing uses the tunnels any more that are not wanted. */
  prune(): void {
    if (this.#wanted === undefined) return;
    this.#prune = true;
    this.#check();
  }

  /** Marks the interfaces whose flows are in, and no others. */
  markInstalled(names: ReadonlySet<string>): void {
    this.#installed = names;
    this.#check();
  }

  /** Makes sure that the bridge is there. */
  start(): void {
    this.#check();
  }

  #onChange(changes: ChangeSet<OpenVSwitchSchema>): void {
    if (
      this.#closed ||
      !(['Open_vSwitch', 'Bridge', 'Port', 'Interface'] as const).some((t) => changes.touches(t))
    )
      return;
    this.#check();
    this.#options.onChange();
  }

  #root(): RowOf<OpenVSwitchSchema, 'Open_vSwitch'> | undefined {
    return this.#options.client.replica.table('Open_vSwitch').only();
  }

  #bridge(): RowOf<OpenVSwitchSchema, 'Bridge'> | undefined {
    return this.#options.client.replica.table('Bridge').find((b) => b.name === this.#options.bridge);
  }

  *#interfaces(): Iterable<{ port: string; iface: InterfaceRow }> {
    const { replica } = this.#options.client;
    for (const uuid of this.#bridge()?.ports ?? []) {
      const port = replica.table('Port').get(uuid);
      for (const id of port?.interfaces ?? []) {
        const iface = replica.table('Interface').get(id);
        if (iface !== undefined) yield { port: uuid, iface };
      }
    }
  }

  #ours(): OurPort[] {
    const ours: OurPort[] = [];
    for (const { port, iface } of this.#interfaces()) {
      const node = iface.external_ids.get(NODE);
      if (node === undefined) continue;
      const address = iface.options.get('remote_ip') ?? '';
      ours.push({ uuid: port, iface, key: `${node} ${iface.type} ${address}` });
    }
    return ours;
  }

  /** The first of each key: there are more only for a moment. */
  #oursByKey(): Map<string, OurPort> {
    const ports = new Map<string, OurPort>();
    for (const port of this.#ours()) if (!ports.has(port.key)) ports.set(port.key, port);
    return ports;
  }

  get localIp(): string | undefined {
    return this.#options.encapIp ?? this.#root()?.external_ids.get('weft-encap-ip');
  }

  /** Writes what differs from what is wanted; one transaction at a time. */
  #check(): void {
    const { client, log } = this.#options;
    if (this.#writing || this.#closed || this.#timer !== undefined || client.state !== 'synced') return;
    const txn = client.transaction();
    this.#compose(txn);
    if (txn.empty) return;
    this.#writing = true;
    void txn.commit().then((outcome) => {
      this.#writing = false;
      if (this.#closed) return;
      if (outcome.status === 'error')
        log.warn(`database: ${outcome.error}: ${outcome.details}; trying again`);
      if (outcome.status === 'success' || outcome.status === 'unchanged') {
        this.#check();
        this.#options.onChange();
        return;
      }
      // A lost connection is taken up by the client; what is still to be done is found out anew.
      this.#timer = this.#options.clock.after(RETRY_MS, () => {
        this.#timer = undefined;
        this.#check();
      });
    });
  }

  #compose(txn: Txn): void {
    const root = this.#root();
    if (root === undefined) return;
    if (!root.external_ids.has('system-id')) {
      const id = this.#options.newSystemId();
      txn.mutate('Open_vSwitch', root._uuid, 'external_ids', 'insert', new Map([['system-id', id]]));
    }
    const bridge = this.#bridge();
    if (bridge === undefined) {
      this.#addBridge(txn, root._uuid);
      return;
    }
    if (bridge.fail_mode !== 'secure') txn.update('Bridge', bridge._uuid, { fail_mode: 'secure' });
    if (bridge.other_config.get('disable-in-band') !== 'true')
      txn.mutate('Bridge', bridge._uuid, 'other_config', 'insert', new Map([['disable-in-band', 'true']]));
    if (bridge.protocols.length > 0 && !bridge.protocols.includes('OpenFlow15'))
      txn.mutate('Bridge', bridge._uuid, 'protocols', 'insert', ['OpenFlow15']);
    this.#composeTunnels(txn, bridge._uuid);
    this.#composeMarks(txn);
  }

  #addBridge(txn: Txn, root: string): void {
    const { bridge: name, datapathType, log } = this.#options;
    log.info(`database: making bridge ${name}`);
    const iface = txn.insert('Interface', { name, type: 'internal' });
    const bridge = txn.insert('Bridge', {
      name,
      fail_mode: 'secure',
      datapath_type: datapathType,
      other_config: new Map([['disable-in-band', 'true']]),
      ports: [txn.insert('Port', { name, interfaces: [iface] })],
    });
    txn.mutate('Open_vSwitch', root, 'bridges', 'insert', [bridge]);
    txn.mutate('Open_vSwitch', root, 'next_cfg', '+=', 1);
  }

  #composeTunnels(txn: Txn, bridge: string): void {
    if (this.#wanted === undefined) return;
    const ours = this.#ours();
    const seen = new Set<string>();
    const wanted = new Map(this.#wanted.map((t) => [keyOf(t), t]));
    const localIp = this.localIp;
    for (const { uuid, iface, key } of ours) {
      const tunnel = seen.has(key) ? undefined : wanted.get(key);
      if (tunnel === undefined) {
        if (this.#prune || seen.has(key)) txn.mutate('Bridge', bridge, 'ports', 'delete', [uuid]);
        continue;
      }
      seen.add(key);
      if (!isRight(iface, tunnel, localIp))
        txn.update('Interface', iface._uuid, {
          type: tunnel.encapsulation,
          options: optionsOf(tunnel, localIp),
        });
    }
    const names = this.#freeNames();
    for (const [key, tunnel] of wanted) {
      if (seen.has(key)) continue;
      const name = names.next().value;
      const iface = txn.insert('Interface', {
        name,
        type: tunnel.encapsulation,
        options: optionsOf(tunnel, localIp),
        external_ids: new Map([[NODE, tunnel.node]]),
      });
      const port = txn.insert('Port', {
        name,
        interfaces: [iface],
        external_ids: new Map([[NODE, tunnel.node]]),
      });
      txn.mutate('Bridge', bridge, 'ports', 'insert', [port]);
    }
  }

  /** Names that no port of the database has: device names are at most 15 bytes long. */
  *#freeNames(): Generator<string, never> {
    const taken = new Set<string>();
    for (const iface of this.#options.client.replica.table('Interface').rows()) taken.add(iface.name);
    for (let n = 1; ; n++) {
      const name = `${NAME_PREFIX}${n}`;
      if (!taken.has(name)) yield name;
    }
  }

  #composeMarks(txn: Txn): void {
    if (this.#installed === undefined) return;
    for (const { iface } of this.#interfaces()) {
      const marked = iface.external_ids.get(INSTALLED) === 'true';
      const installed = this.#installed.has(iface.name);
      if (installed === marked) continue;
      if (installed)
        txn.mutate('Interface', iface._uuid, 'external_ids', 'insert', new Map([[INSTALLED, 'true']]));
      else txn.mutate('Interface', iface._uuid, 'external_ids', 'delete', [INSTALLED]);
    }
  }
}

function ofportOf(iface: InterfaceRow): number {
  return iface.ofport === undefined || iface.ofport === null ? 0 : Number(iface.ofport);
}

function optionsOf({ address }: TunnelTo, localIp: string | undefined): Map<string, string> {
  const options = new Map([
    ['remote_ip', address],
    ['key', 'flow'],
  ]);
  // An address of the other family would make the tunnel impossible.
  if (localIp !== undefined && localIp.includes(':') === address.includes(':'))
    options.set('local_ip', localIp);
  return options;
}

function isRight(iface: InterfaceRow, tunnel: TunnelTo, localIp: string | undefined): boolean {
  if (iface.type !== tunnel.encapsulation) return false;
  const options = optionsOf(tunnel, localIp);
  if (options.size !== iface.options.size) return false;
  for (const [name, value] of options) if (iface.options.get(name) !== value) return false;
  return true;
}
