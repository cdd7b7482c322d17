/** The configuration of a switch of the lab, by OVSDB, as `ovs-vsctl` would do it: bridges and their ports. */
import type { Clock } from '../base/clock.ts';
import { WeftError } from '../base/errors.ts';
import { nullLogger } from '../base/log.ts';
import {
  type Connector,
  type OpenVSwitchSchema,
  OvsdbClient,
  openVSwitchSchema,
  type Transaction,
} from '../ovsdb/index.ts';
import { within } from './within.ts';

/** A tunnel to another host. */
export interface TunnelPlan {
  readonly type: 'geneve' | 'vxlan';
  /** The other host's address in the network between them. */
  readonly remote: string;
  /** The VNI. */
  readonly key: number;
}

/** A port to make: an access port of VLAN `tag`, or a trunk of `trunks`; of a device of its name, or a tunnel. */
export interface PortPlan {
  readonly name: string;
  readonly tag?: number;
  readonly trunks?: readonly number[];
  readonly tunnel?: TunnelPlan;
}

/** `system` forwards in the kernel where that can be, `netdev` in user space. */
export type DatapathType = 'system' | 'netdev';

export interface BridgePlan {
  readonly name: string;
  readonly datapathType: DatapathType;
  readonly ports: readonly PortPlan[];
}

/** A machine's device, and what the host says of it to whoever asks. */
export interface VifPlan {
  readonly device: string;
  readonly vif: string;
  readonly mac: string;
  /** It is about to come here, and still somewhere else. */
  readonly inactive?: boolean;
}

const APPLY_MS = 60_000;

/** What one would type to have the same. */
export function bridgeCommands({ name: bridge, datapathType, ports }: BridgePlan): string[] {
  return [
    `ovs-vsctl add-br ${bridge} -- set bridge ${bridge} datapath_type=${datapathType}`,
    ...ports.map(({ name, tag, trunks, tunnel }) => {
      const words = [`ovs-vsctl add-port ${bridge} ${name}`];
      if (tag !== undefined) words.push(`tag=${tag}`);
      else if (trunks !== undefined) words.push(`trunks=${trunks.join(',')}`);
      if (tunnel !== undefined) {
        const { type, remote, key } = tunnel;
        words.push(`-- set interface ${name} type=${type} options:remote_ip=${remote} options:key=${key}`);
      }
      return words.join(' ');
    }),
  ];
}

const tunnelColumns = ({ type, remote, key }: TunnelPlan) => ({
  type,
  options: new Map([
    ['remote_ip', remote],
    ['key', String(key)],
  ]),
});

export class SwitchDatabase {
  readonly #client: OvsdbClient<OpenVSwitchSchema>;

  constructor(connector: Connector, clock: Clock) {
    this.#client = new OvsdbClient({ schema: openVSwitchSchema, connector, clock, log: nullLogger });
    this.#client.start();
  }

  /** Resolves when the database answers; makes its one row of Open_vSwitch if it is empty. */
  async ready(): Promise<void> {
    const client = this.#client;
    await within(APPLY_MS, client.synced(), () => 'the database does not answer');
    if (client.replica.table('Open_vSwitch').only() !== undefined) return;
    const txn = client.transaction();
    txn.insert('Open_vSwitch', {});
    await this.#commit(txn);
    await this.#until(() => client.replica.table('Open_vSwitch').only() !== undefined);
  }

  #root() {
    const root = this.#client.replica.table('Open_vSwitch').only();
    if (root === undefined) throw new WeftError('switch-failed', 'the database has no Open_vSwitch row');
    return root;
  }

  async #commit(txn: Transaction<OpenVSwitchSchema>): Promise<void> {
    const outcome = await txn.commit();
    if (outcome.status === 'success' || outcome.status === 'unchanged') return;
    const why = outcome.status === 'error' ? `${outcome.error}: ${outcome.details}` : outcome.status;
    throw new WeftError('switch-failed', `the database refused the configuration: ${why}`);
  }

  /** Commits, and waits until the switch has done as it says. */
  async #apply(txn: Transaction<OpenVSwitchSchema>): Promise<void> {
    txn.mutate('Open_vSwitch', this.#root()._uuid, 'next_cfg', '+=', 1);
    await this.#commit(txn);
    // Read only now: others count too, such as machines that are plugged at the same time.
    const goal = this.#root().next_cfg;
    await this.#until(() => this.#root().cur_cfg >= goal);
  }

  /** Waits until `look` holds of the replica. */
  async #until(look: () => boolean): Promise<void> {
    if (look()) return;
    let stop: () => void = () => {};
    const done = new Promise<void>((resolve) => {
      stop = this.#client.onChange(() => {
        if (look()) resolve();
      });
    });
    try {
      await within(APPLY_MS, done, () => 'the switch did not apply its configuration');
    } finally {
      stop();
    }
  }

  /** Waits for a bridge that somebody else makes. */
  async hasBridge(name: string): Promise<void> {
    const { replica } = this.#client;
    await this.#until(() => {
      const local = replica.table('Interface').find((row) => row.name === name);
      return local?.ofport !== null && local?.ofport !== undefined && local.ofport > 0;
    });
  }

  /** Makes a bridge with its ports, and waits until they forward. */
  async addBridge({ name: bridge, datapathType, ports }: BridgePlan): Promise<void> {
    const txn = this.#client.transaction();
    const local = txn.insert('Port', {
      name: bridge,
      interfaces: [txn.insert('Interface', { name: bridge, type: 'internal' })],
    });
    const rows = ports.map(({ name, tag, trunks, tunnel }) =>
      txn.insert('Port', {
        name,
        interfaces: [
          txn.insert('Interface', { name, ...(tunnel === undefined ? {} : tunnelColumns(tunnel)) }),
        ],
        ...(tag === undefined ? {} : { tag }),
        ...(trunks === undefined ? {} : { trunks: [...trunks] }),
      }),
    );
    const row = txn.insert('Bridge', { name: bridge, datapath_type: datapathType, ports: [local, ...rows] });
    txn.mutate('Open_vSwitch', this.#root()._uuid, 'bridges', 'insert', [row]);
    await this.#apply(txn);
    for (const { name } of [{ name: bridge }, ...ports]) this.#checkInterface(name);
  }

  #checkInterface(name: string): void {
    const iface = this.#client.replica.table('Interface').find((i) => i.name === name);
    if (iface?.ofport === null || iface?.ofport === undefined || iface.ofport < 0)
      throw new WeftError('switch-failed', `interface ${name}: ${iface?.error ?? 'has no port number'}`);
  }

  #bridge(name: string) {
    const bridge = this.#client.replica.table('Bridge').find((row) => row.name === name);
    if (bridge === undefined) throw new WeftError('switch-failed', `there is no bridge ${name}`);
    return bridge;
  }

  /** Plugs a machine's device into a bridge. */
  async plug(bridge: string, { device, vif, mac, inactive }: VifPlan): Promise<void> {
    const txn = this.#client.transaction();
    const ids = new Map([
      ['iface-id', vif],
      ['attached-mac', mac],
      ['iface-status', inactive === true ? 'inactive' : 'active'],
    ]);
    const iface = txn.insert('Interface', { name: device, external_ids: ids });
    const port = txn.insert('Port', { name: device, interfaces: [iface] });
    txn.mutate('Bridge', this.#bridge(bridge)._uuid, 'ports', 'insert', [port]);
    await this.#apply(txn);
    this.#checkInterface(device);
  }

  /** Says that a machine is here now; resolves when the database has it. */
  async activate(device: string): Promise<void> {
    const iface = this.#client.replica.table('Interface').find((row) => row.name === device);
    if (iface === undefined) throw new WeftError('switch-failed', `there is no interface ${device}`);
    const txn = this.#client.transaction();
    txn.mutate('Interface', iface._uuid, 'external_ids', 'delete', ['iface-status']);
    txn.mutate('Interface', iface._uuid, 'external_ids', 'insert', new Map([['iface-status', 'active']]));
    await this.#commit(txn);
  }

  /** Takes a device out of a bridge. */
  async unplug(bridge: string, device: string): Promise<void> {
    const port = this.#client.replica.table('Port').find((row) => row.name === device);
    if (port === undefined) return;
    const txn = this.#client.transaction();
    txn.mutate('Bridge', this.#bridge(bridge)._uuid, 'ports', 'delete', [port._uuid]);
    await this.#apply(txn);
  }

  close(): void {
    this.#client.close();
  }
}
