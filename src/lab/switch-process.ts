/** A switch of the lab: a process in a namespace, asked by OVSDB and by its control socket. */
import { type ChildProcess, type SpawnOptions, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import { WeftError } from '../base/errors.ts';
import type { Connector, RpcMessage } from '../ovsdb/index.ts';
import type { Lab } from './lab.ts';
import { type BridgePlan, SwitchDatabase } from './switch-database.ts';
import { within } from './within.ts';
import { Words } from './words.ts';

/** What the lab takes from the program that runs it. */
export interface LabServices {
  readonly clock: Clock;
  /** The words that start `weft`, to which "switch ..." is added. */
  readonly weft: readonly string[];
  /** Opens JSON-RPC connections: "unix:FILE". */
  readonly connector: (target: string) => Connector;
}

const ANSWER_MS = 15_000;
/** Where Debian's package has it. */
const STOCK_SCHEMA = '/usr/share/openvswitch/vswitch.ovsschema';

export class SwitchProcess {
  /** The process that forwards. */
  readonly process: ChildProcess;
  readonly dir: string;
  readonly database: SwitchDatabase;
  readonly #services: LabServices;

  private constructor(
    child: ChildProcess,
    dir: string,
    services: LabServices,
    database = new SwitchDatabase(services.connector(`unix:${join(dir, 'db.sock')}`), services.clock),
  ) {
    this.process = child;
    this.dir = dir;
    this.#services = services;
    this.database = database;
  }

  /**
   * Starts a switch in a namespace of the lab, with a directory of its own; resolves when it is ready.
   * `more`: further words for `weft switch`.
   */
  static async start(
    lab: Lab,
    namespace: string,
    services: LabServices,
    more: readonly string[] = [],
  ): Promise<SwitchProcess> {
    const [command, ...words] = services.weft;
    const dir = lab.directoryOf(namespace);
    const args = [...words, 'switch', '--dir', dir, '--log-file', '-vsyslog:off', ...more];
    // Interrupted it takes along what it has put into the kernel; told to terminate it would leave that to its successor.
    const child = lab.start(namespace, command, args, { stdio: ['ignore', 'ignore', 'pipe'] }, 'SIGINT');
    const said = new Words(child);
    await said.wait('the switch', () => said.text.includes('|ready: '));
    const started = new SwitchProcess(child, dir, services);
    await started.database.ready();
    return started;
  }

  /** Starts Open vSwitch's own daemons, which must be installed. */
  static async startStock(lab: Lab, namespace: string, services: LabServices): Promise<SwitchProcess> {
    const dir = lab.directoryOf(namespace);
    mkdirSync(dir, { recursive: true, mode: 0o755 });
    const file = join(dir, 'conf.db');
    const made = spawnSync('ovsdb-tool', ['create', file, STOCK_SCHEMA], { encoding: 'utf8' });
    if (made.status !== 0)
      throw new WeftError('no-stock-switch', `ovsdb-tool: ${made.error?.message ?? made.stderr.trim()}`, {
        remedy: 'install Open vSwitch: apt-get install openvswitch-switch',
      });
    const env = { ...process.env, OVS_RUNDIR: dir, OVS_LOGDIR: dir, OVS_DBDIR: dir, OVS_SYSCONFDIR: dir };
    const options: SpawnOptions = { env, stdio: ['ignore', 'ignore', 'pipe'] };
    const common = ['--pidfile', '--log-file', '-vconsole:err', '-vsyslog:off'];
    const socket = join(dir, 'db.sock');
    const remotes = [`--remote=punix:${socket}`, '--remote=db:Open_vSwitch,Open_vSwitch,manager_options'];
    const server = lab.start(namespace, 'ovsdb-server', [file, ...remotes, ...common], options);
    const database = new SwitchDatabase(services.connector(`unix:${socket}`), services.clock);
    try {
      await new Words(server).wait('ovsdb-server', () => existsSync(socket));
      await database.ready();
      const child = lab.start(namespace, 'ovs-vswitchd', [`unix:${socket}`, ...common], options);
      const control = join(dir, `ovs-vswitchd.${child.pid}.ctl`);
      await new Words(child).wait('ovs-vswitchd', () => existsSync(control));
      return new SwitchProcess(child, dir, services, database);
    } catch (error) {
      database.close();
      throw error;
    }
  }

  /** Makes a bridge with its ports, and waits until they forward. */
  addBridge(plan: BridgePlan): Promise<void> {
    return this.database.addBridge(plan);
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
      const message = await within(ANSWER_MS, reply, () => `${command}: no answer`);
      if (!('result' in message) || message.error !== null)
        throw new WeftError('switch-failed', `${command}: ${JSON.stringify(message)}`);
      return String(message.result);
    } finally {
      channel.close();
    }
  }

  close(): void {
    this.database.close();
  }
}
