import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

export const VSWITCH_SCHEMA = '/usr/share/openvswitch/vswitch.ovsschema';
const PLACES = ['/usr/sbin', '/usr/local/sbin', '/usr/bin'];
const OURS = fileURLToPath(new URL('../compat', import.meta.url));

/** Why the stock daemons and tools can't be used; null: they can. */
export function stockMissing(): string | null {
  if (!existsSync(VSWITCH_SCHEMA)) return `${VSWITCH_SCHEMA} is not there`;
  for (const program of ['ovs-vswitchd', 'ovsdb-server', 'ovsdb-tool', 'ovs-ofctl']) {
    if (!PLACES.some((dir) => existsSync(join(dir, program)))) return `${program} is not installed`;
  }
  return null;
}

/** A switch and its database over the dummy datapath, in a folder of its own; the stock tools talk to it. */
export class DummySwitch {
  readonly dir = mkdtempSync(join(tmpdir(), 'weft-bench-'));
  readonly #whose: 'ours' | 'stock';
  readonly #daemons: ChildProcess[] = [];
  readonly #env = {
    ...process.env,
    OVS_RUNDIR: this.dir,
    OVS_LOGDIR: this.dir,
    OVS_DBDIR: this.dir,
    OVS_SYSCONFDIR: this.dir,
  };

  private constructor(whose: 'ours' | 'stock') {
    this.#whose = whose;
  }

  static async start(whose: 'ours' | 'stock'): Promise<DummySwitch> {
    const started = new DummySwitch(whose);
    try {
      await started.#start();
    } catch (error) {
      await started.close();
      throw error;
    }
    return started;
  }

  async #start(): Promise<void> {
    const { dir } = this;
    this.run('ovsdb-tool', 'create', join(dir, 'conf.db'), VSWITCH_SCHEMA);
    this.#daemon('ovsdb-server', join(dir, 'conf.db'), `--remote=punix:${dir}/db.sock`, '--pidfile');
    await this.#appears('db.sock');
    const dummy = ['--enable-dummy=override', '--disable-system', '-vconsole:off', '--pidfile'];
    this.#daemon('ovs-vswitchd', `unix:${dir}/db.sock`, ...dummy);
    await this.#appears('ovs-vswitchd.pid');
  }

  async close(): Promise<void> {
    for (const daemon of this.#daemons.reverse()) {
      const ended = new Promise((resolve) => daemon.once('exit', resolve));
      if (daemon.exitCode === null && daemon.kill()) await ended;
    }
    rmSync(this.dir, { recursive: true, force: true });
  }

  /** Runs one of the stock tools; gives what it prints. */
  run(program: string, ...args: string[]): string {
    return execFileSync(program, args, { env: this.#env, encoding: 'utf8', maxBuffer: 1 << 30 });
  }

  /** Memory that the switch has, VmRSS. */
  residentKb(): number {
    const pid = readFileSync(join(this.dir, 'ovs-vswitchd.pid'), 'utf8').trim();
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0);
  }

  #daemon(program: string, ...args: string[]): void {
    const path = this.#whose === 'ours' ? join(OURS, program) : program;
    this.#daemons.push(spawn(path, args, { env: this.#env, stdio: 'ignore' }));
  }

  async #appears(name: string): Promise<void> {
    for (let n = 0; n < 200; n++) {
      if (existsSync(join(this.dir, name))) return;
      await sleep(100);
    }
    throw new Error(`${this.#whose}: ${name} did not appear in ${this.dir}`);
  }
}
