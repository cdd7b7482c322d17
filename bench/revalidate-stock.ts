import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const SCHEMA = '/usr/share/openvswitch/vswitch.ovsschema';

/** A stock switch over its dummy datapath, in a folder of its own. */
export class StockSwitch {
  readonly dir = mkdtempSync(join(tmpdir(), 'weft-bench-'));
  readonly #daemons: ChildProcess[] = [];
  readonly #env = {
    ...process.env,
    OVS_RUNDIR: this.dir,
    OVS_LOGDIR: this.dir,
    OVS_DBDIR: this.dir,
    OVS_SYSCONFDIR: this.dir,
  };

  /** Why there can be none; null: there can. */
  static missing(): string | null {
    if (!existsSync(SCHEMA)) return `${SCHEMA} is not there`;
    for (const program of ['ovs-vswitchd', 'ovsdb-server']) {
      if (!['/usr/sbin', '/usr/local/sbin', '/usr/bin'].some((dir) => existsSync(join(dir, program)))) {
        return `${program} is not installed`;
      }
    }
    return null;
  }

  async start(): Promise<void> {
    this.run('ovsdb-tool', 'create', join(this.dir, 'conf.db'), SCHEMA);
    this.#daemon(
      'ovsdb-server',
      join(this.dir, 'conf.db'),
      `--remote=punix:${this.dir}/db.sock`,
      '--pidfile',
    );
    await this.#appears('db.sock');
    this.#daemon(
      'ovs-vswitchd',
      `unix:${this.dir}/db.sock`,
      '--pidfile',
      '--enable-dummy=override',
      '--disable-system',
      '-vconsole:off',
    );
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

  #daemon(program: string, ...args: string[]): void {
    this.#daemons.push(spawn(program, args, { env: this.#env, stdio: 'ignore' }));
  }

  async #appears(name: string): Promise<void> {
    for (let n = 0; n < 100; n++) {
      if (existsSync(join(this.dir, name))) return;
      await sleep(100);
    }
    throw new Error(`stock: ${name} did not appear in ${this.dir}`);
  }
}

/** How long stock's revalidators take. */
export class StockRevalidator {
  readonly #stock: StockSwitch;

  private constructor(stock: StockSwitch) {
    this.#stock = stock;
  }

  /** Or why there can be none. */
  static async open(): Promise<StockRevalidator | string> {
    const missing = StockSwitch.missing();
    if (missing !== null) return missing;
    const stock = new StockSwitch();
    try {
      await stock.start();
    } catch (error) {
      await stock.close();
      throw error;
    }
    return new StockRevalidator(stock);
  }

  close(): Promise<void> {
    return this.#stock.close();
  }

  /** Makes `count` megaflows; ms that a pass takes, at rest and after changes. */
  async measure(count: number): Promise<{ rest: number; changed: number; flows: number }> {
    const stock = this.#stock;
    const set = ['--timeout=20', 'set', 'Open_vSwitch', '.'];
    stock.run('ovs-vsctl', ...set, 'other_config:max-idle=3600000', 'other_config:flow-limit=1000000');
    stock.run(
      'ovs-vsctl',
      '--timeout=20',
      'add-br',
      'br0',
      '--',
      'set',
      'bridge',
      'br0',
      'datapath_type=dummy',
    );
    for (const [n, name] of ['p1', 'p2'].entries()) {
      const request = `ofport_request=${n + 1}`;
      stock.run(
        'ovs-vsctl',
        '--timeout=20',
        'add-port',
        'br0',
        name,
        '--',
        'set',
        'interface',
        name,
        'type=dummy',
        request,
      );
    }
    stock.run('ovs-ofctl', 'del-flows', 'br0');
    stock.run(
      'ovs-ofctl',
      'add-flow',
      'br0',
      'table=0,priority=1,actions=set_field:7->metadata,resubmit(,1)',
    );
    stock.run('ovs-ofctl', 'add-flow', 'br0', 'table=1,priority=1,ip,actions=resubmit(,2)');
    stock.run('ovs-ofctl', 'add-flow', 'br0', 'table=2,priority=1,actions=output:2');
    stock.run('ovs-appctl', 'upcall/set-flow-limit', String(1_000_000));
    this.#addFlows(count);
    const rest = await this.#pass();
    const changed: number[] = [];
    for (let n = 0; n < 3; n++) {
      stock.run('ovs-ofctl', 'add-flow', 'br0', `table=2,priority=9,tcp,tp_dst=${n + 1},actions=drop`);
      changed.push(await this.#longestPass());
    }
    const flows = Number(/current (\d+)/.exec(this.#show())?.[1]);
    return { rest, changed: changed.sort((a, b) => a - b)[1], flows };
  }

  #addFlows(count: number): void {
    const stock = this.#stock;
    const numbers = stock.run('ovs-appctl', 'dpif/show');
    const [p1, p2] = ['p1', 'p2'].map((name) => new RegExp(`${name} \\d+/(\\d+)`).exec(numbers)?.[1]);
    const lines: string[] = [];
    for (let n = 0; n < count; n++) {
      const dst = [n >> 16, n >> 8, n].map((byte) => (byte & 0xff).toString(16).padStart(2, '0')).join(':');
      lines.push(
        `recirc_id(0),in_port(${p1}),packet_type(ns=0,id=0),eth(src=02:00:00:00:00:01,dst=02:00:00:${dst}),eth_type(0x0800),ipv4(src=10.0.0.1,dst=10.0.0.2,proto=17,tos=0,ttl=9,frag=no),udp(src=0,dst=53) ${p2}`,
      );
    }
    const file = join(stock.dir, 'flows');
    writeFileSync(file, `${lines.join('\n')}\n`);
    stock.run('ovs-appctl', 'dpctl/add-flows', 'dummy@ovs-dummy', file);
  }

  #show(): string {
    return this.#stock.run('ovs-appctl', 'upcall/show');
  }

  #duration(): number {
    return Number(/dump duration : (\d+)ms/.exec(this.#show())?.[1]);
  }

  async #pass(): Promise<number> {
    const all: number[] = [];
    for (let n = 0; n < 7; n++) {
      await sleep(1000);
      all.push(this.#duration());
    }
    return all.sort((a, b) => a - b)[3];
  }

  async #longestPass(): Promise<number> {
    let longest = 0;
    for (let n = 0; n < 40; n++) {
      await sleep(100);
      longest = Math.max(longest, this.#duration());
    }
    return longest;
  }
}
