/** A switch of the lab: `weft switch` as a process in a namespace, asked by OVSDB and by its control socket. */
import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import { WeftError } from '../base/errors.ts';
import { nullLogger } from '../base/log.ts';
import {
  type Connector,
  type OpenVSwitchSchema,
  OvsdbClient,
  openVSwitchSchema,
  type RpcMessage,
} from '../ovsdb/index.ts';
import type { Lab } from './lab.ts';

/** What the lab takes from the program that runs it. */
export interface LabServices {
  readonly clock: Clock;
  /** The words that start `weft`, to which "switch ..." is added. */
  readonly weft: readonly string[];
  /** Opens JSON-RPC connections: "unix:FILE". */
  readonly connector: (target: string) => Connector;
}

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

const START_MS = 15_000;
const APPLY_MS = 15_000;
/** How much of what the switch said is kept, to tell why it ended. */
const LAST_WORDS = 4000;

/** Rejects with `message` when `promise` takes longer than `ms`. */
export async function within<T>(ms: number, promise: Promise<T>, message: () => string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new WeftError('lab-timeout', message())), ms);
    // What was waited for keeps the process alive; when nobody waits any more, this alone must not.
    timer.unref();
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

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

export class SwitchProcess {
  readonly process: ChildProcess;
  readonly dir: string;
  readonly #services: LabServices;
  readonly #client: OvsdbClient<OpenVSwitchSchema>;

  private constructor(child: ChildProcess, dir: string, services: LabServices) {
    this.process = child;
    this.dir = dir;
    this.#services = services;
    this.#client = new OvsdbClient({
      schema: openVSwitchSchema,
      connector: services.connector(`unix:${join(dir, 'db.sock')}`),
      clock: services.clock,
      log: nullLogger,
    });
  }

  /** Starts a switch in a namespace of the lab, with a directory of its own; resolves when it is ready. */
  static async start(lab: Lab, namespace: string, services: LabServices): Promise<SwitchProcess> {
    const [command, ...words] = services.weft;
    const dir = lab.directoryOf(namespace);
    const args = [...words, 'switch', '--dir', dir, '--log-file', '-vsyslog:off'];
    // Interrupted it takes along what it has put into the kernel; told to terminate it would leave that to its successor.
    const child = lab.start(namespace, command, args, { stdio: ['ignore', 'ignore', 'pipe'] }, 'SIGINT');
    let said = '';
    const ready = new Promise<void>((resolve, reject) => {
      child.stderr!.on('data', (text: Buffer) => {
        said = `${said}${text.toString()}`.slice(-LAST_WORDS);
        if (said.includes('|ready: ')) resolve();
      });
      child.on('error', (error) => reject(new WeftError('switch-failed', `${command}: ${error.message}`)));
      child.on('close', () => reject(new WeftError('switch-failed', `the switch ended: ${said.trim()}`)));
    });
    await within(START_MS, ready, () => `the switch is not ready after ${START_MS / 1000} s: ${said.trim()}`);
    return new SwitchProcess(child, dir, services);
  }

  /** Makes a bridge with its ports, and waits until they forward. */
  async addBridge({ name: bridge, datapathType, ports }: BridgePlan): Promise<void> {
    const client = this.#client;
    client.start();
    await within(APPLY_MS, client.synced(), () => 'the database does not answer');
    const root = client.replica.table('Open_vSwitch').only();
    if (root === undefined) throw new WeftError('switch-failed', 'the database has no Open_vSwitch row');
    const txn = client.transaction();
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
    txn.mutate('Open_vSwitch', root._uuid, 'bridges', 'insert', [row]);
    txn.mutate('Open_vSwitch', root._uuid, 'next_cfg', '+=', 1);
    const outcome = await txn.commit();
    if (outcome.status !== 'success') {
      const why = outcome.status === 'error' ? `${outcome.error}: ${outcome.details}` : outcome.status;
      throw new WeftError('switch-failed', `the database refused the configuration: ${why}`);
    }
    await within(APPLY_MS, this.#applied(), () => 'the switch did not apply its configuration');
    for (const { name } of [{ name: bridge }, ...ports]) {
      const iface = client.replica.table('Interface').find((i) => i.name === name);
      if (iface?.ofport === null || iface?.ofport === undefined || iface.ofport < 0)
        throw new WeftError('switch-failed', `interface ${name}: ${iface?.error ?? 'has no port number'}`);
    }
  }

  #applied(): Promise<void> {
    const client = this.#client;
    return new Promise((resolve) => {
      const look = (): boolean => {
        const root = client.replica.table('Open_vSwitch').only();
        return root !== undefined && root.next_cfg > 0 && root.cur_cfg >= root.next_cfg;
      };
      if (look()) return resolve();
      const stop = client.onChange(() => {
        if (!look()) return;
        stop();
        resolve();
      });
    });
  }

  /** What `ovs-appctl COMMAND ARGS...` would print. */
  async appctl(command: string, ...params: readonly string[]): Promise<string> {
    const target = `unix:${join(this.dir, `ovs-vswitchd.${this.process.pid}.ctl`)}`;
    const channel = await this.#services.connector(target).connect();
    const reply = new Promise<RpcMessage>((resolve, reject) => {
      channel.receive({
        onMessage: resolve,
        onClose: (reason) => reject(new WeftError('switch-failed', `${target}: ${reason}`)),
        onDrain: () => {},
        onActivity: () => {},
      });
    });
    try {
      channel.send({ id: 0, method: command, params });
      const message = await within(APPLY_MS, reply, () => `${command}: no answer`);
      if (!('result' in message) || message.error !== null)
        throw new WeftError('switch-failed', `${command}: ${JSON.stringify(message)}`);
      return String(message.result);
    } finally {
      channel.close();
    }
  }

  close(): void {
    this.#client.close();
  }
}
