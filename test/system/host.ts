/** A scratch host for system tests: compat/ovsdb-server and compat/ovs-vswitchd in a namespace of their own. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Finished, Network, networkMissing } from '../network.ts';

export const ROOT = join(import.meta.dirname, '../..');
const SCHEMA = '/usr/share/openvswitch/vswitch.ovsschema';
/** How long anything may take on a loaded machine before it counts as not happening. */
const PATIENCE_MS = 20_000;
const LOG_LINES = 25;

/** Why the tests of this folder cannot run here; false: they can. */
export function systemMissing(...tools: readonly string[]): string | false {
  return (
    networkMissing('ovs-vsctl', 'ovs-ofctl', 'ovs-appctl', 'ovsdb-tool', ...tools) ||
    (!existsSync(SCHEMA) && `${SCHEMA} is not there`)
  );
}

/** Waits until `condition` holds, and returns what it gave; fails with `what` when it never does. */
export async function until<T>(
  what: string,
  condition: () => T | undefined | false | Promise<T | undefined | false>,
): Promise<T> {
  const end = performance.now() + PATIENCE_MS;
  for (;;) {
    const value = await condition();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > end) assert.fail(`not within ${PATIENCE_MS / 1000} s: ${what}`);
    await sleep(30);
  }
}

const processRuns = (pid: number): boolean => {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
};

export type DatapathType = 'netdev' | 'system';

type Program = 'ovsdb-server' | 'ovs-vswitchd';

export interface HostSetup {
  readonly name?: string;
  /** With Open vSwitch's own daemons. */
  readonly stock?: boolean;
  readonly datapathType?: DatapathType;
}

export class SwitchHost {
  readonly network: Network;
  readonly dir: string;
  /** Its namespace. */
  readonly ns: string;
  readonly env: NodeJS.ProcessEnv;
  /** `datapath_type` of its bridges: "netdev" forwards in user space, "system" in the kernel. */
  readonly datapathType: DatapathType;
  readonly #options: readonly string[];
  readonly #stock: boolean;
  readonly #pids = new Map<Program, number>();

  /** `options`: of the switch. */
  constructor(network: Network, options: readonly string[] = [], setup: HostSetup = {}) {
    const { name = 'host', stock = false, datapathType = 'netdev' } = setup;
    this.network = network;
    this.datapathType = datapathType;
    this.#options = options;
    this.#stock = stock;
    this.ns = network.namespace(name);
    this.dir = mkdtempSync(join(tmpdir(), 'weft-system-'));
    this.env = {
      OVS_RUNDIR: this.dir,
      OVS_LOGDIR: this.dir,
      OVS_DBDIR: this.dir,
      OVS_SYSCONFDIR: this.dir,
      OVS_SYSLOG_METHOD: 'null',
    };
  }

  path(name: string): string {
    return join(this.dir, name);
  }

  /** Runs a program in the host's namespace, whatever it ends with. */
  run(command: string, ...args: readonly string[]): Promise<Finished> {
    return this.network.run(this.ns, command, args, this.env);
  }

  /** Runs a program that must succeed, and returns its standard output. */
  async must(command: string, ...args: readonly string[]): Promise<string> {
    const { status, stdout, stderr } = await this.run(command, ...args);
    assert.equal(status, 0, `${command} ${args.join(' ')}: exit status ${status}\n${stdout}${stderr}`);
    return stdout;
  }

  vsctl(...args: readonly string[]): Promise<string> {
    return this.must('ovs-vsctl', '--timeout=20', ...args);
  }

  ofctl(...args: readonly string[]): Promise<string> {
    return this.must('ovs-ofctl', '--timeout=20', ...args);
  }

  appctl(...args: readonly string[]): Promise<string> {
    return this.must('ovs-appctl', '--timeout=20', ...args);
  }

  async startDatabase(): Promise<void> {
    if (!existsSync(this.path('conf.db')))
      await this.must('ovsdb-tool', 'create', this.path('conf.db'), SCHEMA);
    await this.#start(
      'ovsdb-server',
      `--remote=punix:${this.path('db.sock')}`,
      '--remote=db:Open_vSwitch,Open_vSwitch,manager_options',
    );
  }

  startSwitch(): Promise<void> {
    return this.#start('ovs-vswitchd', ...this.#options);
  }

  async start(): Promise<void> {
    await this.startDatabase();
    await this.vsctl('--no-wait', 'init');
    await this.startSwitch();
  }

  async #start(program: Program, ...args: readonly string[]): Promise<void> {
    const common = ['--detach', '--no-chdir', '--pidfile', '--log-file'];
    await this.must(this.#stock ? program : join(ROOT, 'compat', program), ...args, ...common);
    this.#pids.set(program, this.#readPid(program));
  }

  #readPid(program: Program): number {
    const fd = openSync(this.path(`${program}.pid`), 'r');
    try {
      const bytes = Buffer.alloc(16);
      const pid = Number.parseInt(bytes.toString('latin1', 0, readSync(fd, bytes)), 10);
      assert.ok(pid > 1, `pidfile of ${program} holds "${bytes.toString('latin1')}"`);
      return pid;
    } finally {
      closeSync(fd);
    }
  }

  pid(program: Program): number {
    return this.#pids.get(program) ?? assert.fail(`${program} was not started`);
  }

  runs(program: Program): boolean {
    return processRuns(this.pid(program));
  }

  /** Kills a daemon with SIGKILL. */
  async kill(program: Program): Promise<void> {
    const pid = this.pid(program);
    process.kill(pid, 'SIGKILL');
    await until(`${program} is gone`, () => !processRuns(pid));
  }

  /** One column of one row, as ovs-vsctl prints it. */
  async get(table: string, record: string, column: string): Promise<string> {
    return (await this.vsctl('--if-exists', 'get', table, record, column)).trim();
  }

  /** The log of a program, or what there is of it. */
  log(program: Program): string {
    const file = this.path(`${program}.log`);
    return existsSync(file) ? readFileSync(file, 'utf8') : '';
  }

  /** The last lines of both logs, for the message of a failed test. */
  lastWords(): string {
    return (['ovsdb-server', 'ovs-vswitchd'] as const)
      .map((program) => `${program}:\n${this.log(program).split('\n').slice(-LOG_LINES).join('\n')}`)
      .join('\n');
  }

  /** Ends the daemons and removes the directory. */
  close(): void {
    for (const pid of this.#pids.values()) {
      try {
        if (processRuns(pid)) process.kill(pid, 'SIGKILL');
      } catch {
        // It has just ended.
      }
    }
    rmSync(this.dir, { recursive: true, force: true });
  }
}

export interface HostTest {
  readonly options?: readonly string[];
  /** Beside the usual ones. */
  readonly tools?: readonly string[];
}

/** A test on a running scratch host, which is gone afterwards. */
export function onHost(
  title: string,
  setup: HostTest,
  body: (host: SwitchHost) => Promise<void>,
  datapathType: DatapathType = 'netdev',
): void {
  test(title, { skip: systemMissing(...(setup.tools ?? [])) }, async () => {
    const network = new Network();
    let host: SwitchHost | undefined;
    try {
      host = new SwitchHost(network, setup.options, { datapathType });
      await host.start();
      await body(host);
    } catch (error) {
      if (host !== undefined && error instanceof Error) error.message += `\n--- ${host.lastWords()}`;
      throw error;
    } finally {
      host?.close();
      network.close();
    }
  });
}

/** The same on each datapath, for what packets do. */
export function onEachDatapath(
  title: string,
  setup: HostTest,
  body: (host: SwitchHost) => Promise<void>,
): void {
  onHost(`user space: ${title}`, setup, body, 'netdev');
  onHost(`kernel: ${title}`, setup, body, 'system');
}

/** Whether some program is installed. */
export function installed(program: string): boolean {
  try {
    execFileSync('sh', ['-c', `command -v ${program}`], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
