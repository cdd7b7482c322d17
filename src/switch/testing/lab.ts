import { randomUUID } from 'node:crypto';
import { nullLogger } from '../../base/log.ts';
import { createInProcessDatapath, type InProcessDatapath } from '../../datapath/userspace/in-process.ts';
import { OvsdbClient } from '../../ovsdb/client/client.ts';
import { Database } from '../../ovsdb/engine/database.ts';
import type { OpenVSwitchSchema } from '../../ovsdb/index.ts';
import { directConnector } from '../../ovsdb/rpc/direct.ts';
import { openVSwitchSchema } from '../../ovsdb/schema/open_vswitch.ts';
import { parseSchema } from '../../ovsdb/schema/schema.ts';
import { Server } from '../../ovsdb/server/server.ts';
import { ManualClock, settled } from '../../ovsdb/testing/clock.ts';
import { Switch } from '../bridge/manager.ts';
import { DummyDevices } from '../device/dummy.ts';
import { TestSide } from './world.ts';

/** What a test asks of one interface; its port has the same name. */
export interface PortWish {
  readonly name: string;
  readonly type?: string;
  readonly ofport?: number;
  readonly tag?: number;
  readonly options?: Record<string, string>;
}

type Transaction = ReturnType<OvsdbClient<OpenVSwitchSchema>['transaction']>;

/** A switch that keeps itself by a database, both in this process and in a time of their own. */
export class SwitchLab {
  readonly clock = new ManualClock();
  readonly devices = new DummyDevices();
  readonly sides = new Map<string, TestSide>();
  readonly client: OvsdbClient<OpenVSwitchSchema>;
  readonly vswitch: Switch;
  datapath: InProcessDatapath | null = null;
  #bridges = 0;

  constructor() {
    const { clock } = this;
    const server = new Server({ clock, log: nullLogger, newUuid: randomUUID });
    server.addDatabase(new Database(parseSchema(openVSwitchSchema), { newUuid: randomUUID }));
    this.client = new OvsdbClient({
      schema: openVSwitchSchema,
      connector: directConnector((channel) => server.accept(channel, { name: 'test' })),
      clock,
      log: nullLogger,
    });
    this.vswitch = new Switch({
      client: this.client,
      clock,
      log: nullLogger,
      defer: (fn) => void setImmediate(fn),
      random: () => 0.5,
      datapaths: {
        types: ['dummy'],
        interfaceTypes: ['dummy', 'internal', 'patch'],
        open: () => {
          this.datapath = createInProcessDatapath({ clock, random: () => 0.5, log: nullLogger });
          return { datapath: this.datapath, devices: this.devices };
        },
      },
      host: {
        version: '3.1.0',
        dbVersion: '8.3.1',
        systemType: 'test',
        systemVersion: '1',
        hostname: 'h',
        pid: 1,
      },
      makeOpenFlow: (ofproto, slowPath) => {
        const side = new TestSide(ofproto);
        side.zoneTimeouts = slowPath.zoneTimeouts;
        this.sides.set(ofproto.name, side);
        return side;
      },
    });
  }

  async start(): Promise<void> {
    this.client.start();
    await this.client.synced();
    await this.change((txn) => void txn.insert('Open_vSwitch', {}));
  }

  async close(): Promise<void> {
    await this.vswitch.close();
    this.client.close();
  }

  /** Commits one change and waits until the switch and the database have come to rest. */
  async change(work: (txn: Transaction) => void): Promise<void> {
    const txn = this.client.transaction();
    work(txn);
    const outcome = await txn.commit();
    if (outcome.status === 'error') throw new Error(`${outcome.error}: ${outcome.details}`);
    for (let i = 0; i < 4; i++) await settled();
  }

  #root(): string {
    return this.client.replica.table('Open_vSwitch').only()?._uuid ?? '';
  }

  async addBridge(name: string, ports: readonly PortWish[] = []): Promise<TestSide> {
    await this.change((txn) => {
      const rows = [{ name, type: 'internal' }, ...ports].map((wish) => insertPort(txn, wish));
      const hwaddr = `aa:55:aa:55:01:0${this.#bridges++}`;
      const bridge = txn.insert('Bridge', {
        name,
        datapath_type: 'dummy',
        fail_mode: 'secure',
        other_config: new Map([['hwaddr', hwaddr]]),
        ports: rows,
      });
      txn.mutate('Open_vSwitch', this.#root(), 'bridges', 'insert', [bridge]);
    });
    const side = this.sides.get(name);
    if (side === undefined) throw new Error(`bridge ${name} was not made`);
    return side;
  }

  async addPort(bridge: string, wish: PortWish): Promise<void> {
    const row = this.client.replica.table('Bridge').find((b) => b.name === bridge);
    await this.change((txn) =>
      txn.mutate('Bridge', row?._uuid ?? '', 'ports', 'insert', [insertPort(txn, wish)]),
    );
  }

  async deletePort(bridge: string, name: string): Promise<void> {
    const row = this.client.replica.table('Bridge').find((b) => b.name === bridge);
    const port = this.client.replica.table('Port').find((p) => p.name === name);
    await this.change((txn) =>
      txn.mutate('Bridge', row?._uuid ?? '', 'ports', 'delete', [port?._uuid ?? '']),
    );
  }

  interfaceRow(name: string) {
    return this.client.replica.table('Interface').find((i) => i.name === name);
  }
}

function insertPort(txn: Transaction, wish: PortWish) {
  const iface = txn.insert('Interface', {
    name: wish.name,
    type: wish.type ?? 'dummy',
    options: new Map(Object.entries(wish.options ?? {})),
    ...(wish.ofport === undefined ? {} : { ofport_request: wish.ofport }),
  });
  return txn.insert('Port', {
    name: wish.name,
    interfaces: [iface],
    ...(wish.tag === undefined ? {} : { tag: wish.tag }),
  });
}
