import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { readPcap } from '../../wire/pcap.ts';

/**
 * A stock Open vSwitch of a test's own, to hold ours against: in a directory of its own, with dummy
 * ports only, so that it needs no privileges and meets nothing else on the machine.
 */

const SCHEMA = '/usr/share/openvswitch/vswitch.ovsschema';
const TOOLS = ['ovsdb-server', 'ovsdb-tool', 'ovs-vswitchd', 'ovs-vsctl', 'ovs-ofctl', 'ovs-appctl'];

/** Why there can't be one; false: nothing is missing. For a test's `skip`. */
export function stockMissing(): string | false {
  const missing = TOOLS.find((tool) => spawnSync(tool, ['--version']).status !== 0);
  if (missing !== undefined) return `${missing} is not installed`;
  return existsSync(SCHEMA) ? false : `no ${SCHEMA}`;
}

/** Bridge br0 with dummy ports p1 and p2 (OpenFlow ports 1 and 2). Always `stop` it. */
export class StockSwitch {
  readonly dir = mkdtempSync(join(tmpdir(), 'weft-edit-'));
  private readonly env: NodeJS.ProcessEnv;
  private readonly daemons: ChildProcess[] = [];

  constructor() {
    const dirs = ['OVS_RUNDIR', 'OVS_LOGDIR', 'OVS_DBDIR', 'OVS_SYSCONFDIR'].map((name) => [name, this.dir]);
    this.env = { ...process.env, ...Object.fromEntries(dirs) };
  }

  run(...args: readonly string[]): string {
    const result = spawnSync(args[0], args.slice(1), { env: this.env, encoding: 'utf8', cwd: this.dir });
    assert.equal(result.status, 0, `${args.join(' ')}: ${result.stderr}`);
    return result.stdout;
  }

  private daemon(...args: readonly string[]): void {
    this.daemons.push(spawn(args[0], args.slice(1), { env: this.env, cwd: this.dir, stdio: 'ignore' }));
  }

  async start(): Promise<void> {
    this.run('ovsdb-tool', 'create', 'conf.db', SCHEMA);
    this.daemon('ovsdb-server', 'conf.db', '--remote=punix:db.sock', '--unixctl=db.ctl');
    await this.exists('db.sock');
    this.run('ovs-vsctl', '--timeout=10', '--no-wait', 'init');
    this.daemon(
      'ovs-vswitchd',
      '--enable-dummy=override',
      '--disable-system',
      '--pidfile',
      `unix:${this.dir}/db.sock`,
    );
    const port = (name: string, number: number): string[] =>
      `-- add-port br0 ${name} -- set interface ${name} type=dummy ofport_request=${number} options:tx_pcap=${this.dir}/${name}.pcap`.split(
        ' ',
      );
    this.run(
      'ovs-vsctl',
      '--timeout=10',
      'add-br',
      'br0',
      '--',
      'set',
      'bridge',
      'br0',
      'datapath_type=dummy',
      'fail-mode=secure',
      ...port('p1', 1),
      ...port('p2', 2),
    );
  }

  private async exists(file: string): Promise<void> {
    for (let i = 0; i < 200 && !existsSync(join(this.dir, file)); i++) await sleep(20);
  }

  /** All that went out of a port so far, once it is `count` packets (or after 4 s). */
  async sent(port: string, count: number): Promise<Uint8Array[]> {
    const file = join(this.dir, `${port}.pcap`);
    let packets: Uint8Array[] = [];
    for (let i = 0; i < 200; i++) {
      packets = existsSync(file) ? readPcap(readFileSync(file)).map((p) => p.bytes) : [];
      if (packets.length >= count) break;
      await sleep(20);
    }
    return packets;
  }

  stop(): void {
    for (const daemon of this.daemons.reverse()) daemon.kill('SIGKILL');
    rmSync(this.dir, { recursive: true, force: true });
  }
}
