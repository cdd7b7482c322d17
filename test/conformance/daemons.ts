import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { readPcap } from '../../src/wire/pcap.ts';

const SCHEMA = '/usr/share/openvswitch/vswitch.ovsschema';
const COMPAT = fileURLToPath(new URL('../../compat', import.meta.url));
const DEADLINE_MS = 20_000;

export interface Finished {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * ovsdb-server and ovs-vswitchd, stock or ours, with dummy ports only and in a directory of their own:
 * no privileges needed, nothing else on the machine met. Always `stop` them.
 */
export class Daemons {
  readonly dir = mkdtempSync(join(tmpdir(), 'weft-stock-'));
  readonly #which: 'stock' | 'ours';
  readonly #env: NodeJS.ProcessEnv;
  readonly #children: ChildProcess[] = [];
  readonly #pcapSeen = new Map<string, number>();
  #control: Control | null = null;

  constructor(which: 'stock' | 'ours') {
    this.#which = which;
    const dirs = ['OVS_RUNDIR', 'OVS_LOGDIR', 'OVS_DBDIR', 'OVS_SYSCONFDIR'].map((name) => [name, this.dir]);
    this.#env = { ...process.env, ...Object.fromEntries(dirs) };
  }

  /** Starts both daemons; the switch runs with stopped time. */
  async start(): Promise<void> {
    this.must('ovsdb-tool', 'create', 'conf.db', SCHEMA);
    this.#daemon('ovsdb-server', 'conf.db', '--remote=punix:db.sock', '--unixctl=db.ctl');
    await this.#exists('db.sock');
    this.must('ovs-vsctl', '--timeout=10', '--no-wait', 'init');
    this.#daemon(
      'ovs-vswitchd',
      `unix:${this.dir}/db.sock`,
      '--enable-dummy=override',
      '--disable-system',
      '--disable-system-route',
      `--unixctl=${this.dir}/switch.ctl`,
      '-vconsole:off',
    );
    await this.#exists('switch.ctl');
    this.#control = await Control.open(join(this.dir, 'switch.ctl'));
  }

  /** A tool against these daemons. */
  run(...args: readonly string[]): Finished {
    const { status, stdout, stderr } = spawnSync(args[0], args.slice(1), {
      env: this.#env,
      cwd: this.dir,
      encoding: 'utf8',
      timeout: DEADLINE_MS,
    });
    return { status, stdout, stderr };
  }

  must(...args: readonly string[]): string {
    const { status, stdout, stderr } = this.run(...args);
    if (status !== 0) throw new Error(`${this.#which}: ${args.join(' ')}: status ${status}: ${stderr}`);
    return stdout;
  }

  /** `ovs-appctl`'s command, over the one connection that stays open; an error's text starts with "ERROR ". */
  appctl(command: string, ...args: readonly string[]): Promise<string> {
    if (this.#control === null) throw new Error(`${this.#which}: not started`);
    return this.#control.call(command, args);
  }

  /** What went out of a port since the last call, as hex. */
  sent(port: string): string[] {
    const file = join(this.dir, `${port}.pcap`);
    const packets = existsSync(file) ? readPcap(readFileSync(file)) : [];
    const seen = this.#pcapSeen.get(port) ?? 0;
    this.#pcapSeen.set(port, packets.length);
    return packets.slice(seen).map((packet) => Buffer.from(packet.bytes).toString('hex'));
  }

  stop(): void {
    this.#control?.close();
    for (const child of this.#children.reverse()) child.kill('SIGKILL');
    rmSync(this.dir, { recursive: true, force: true, maxRetries: 5 });
  }

  #daemon(name: string, ...args: readonly string[]): void {
    const command = this.#which === 'stock' ? name : join(COMPAT, name);
    this.#children.push(spawn(command, args, { env: this.#env, cwd: this.dir, stdio: 'ignore' }));
  }

  async #exists(file: string): Promise<void> {
    for (const end = Date.now() + DEADLINE_MS; !existsSync(join(this.dir, file)); await sleep(20)) {
      if (Date.now() > end) throw new Error(`${this.#which}: no ${file} after ${DEADLINE_MS} ms`);
    }
  }
}

/** Why stock and ours can't be held against each other; false: nothing is missing. */
export function stockMissing(): string | false {
  const tools = ['ovsdb-server', 'ovsdb-tool', 'ovs-vswitchd', 'ovs-vsctl', 'ovs-ofctl'];
  const missing = tools.find((tool) => spawnSync(tool, ['--version']).status !== 0);
  if (missing !== undefined) return `${missing} is not installed`;
  const version = spawnSync('ovs-vswitchd', ['--version'], { encoding: 'utf8' }).stdout.split('\n')[0];
  if (!/ 3\.1\./.test(version)) return `ovs-vswitchd is not 3.1 but "${version}"`;
  return existsSync(SCHEMA) ? false : `no ${SCHEMA}`;
}

interface Waiting {
  readonly resolve: (text: string) => void;
  readonly reject: (error: Error) => void;
}

/** A unixctl connection (JSON-RPC 1.0); calls are answered in order, one at a time. */
class Control {
  readonly #socket: Socket;
  readonly #waiting = new Map<number, Waiting>();
  #buffer = '';
  #nextId = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding('utf8');
    socket.on('data', (chunk: string) => this.#receive(chunk));
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      for (const { reject } of this.#waiting.values())
        reject(new Error('the switch closed its control connection'));
      this.#waiting.clear();
    });
  }

  static open(path: string): Promise<Control> {
    return new Promise((resolve, reject) => {
      const socket = connect(path);
      socket.once('error', reject);
      socket.once('connect', () => resolve(new Control(socket)));
    });
  }

  call(method: string, params: readonly string[]): Promise<string> {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#socket.write(JSON.stringify({ id, method, params }));
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  /** Replies follow each other without a mark in between: one ends where its braces do. */
  #receive(chunk: string): void {
    this.#buffer += chunk;
    for (let end = objectEnd(this.#buffer); end > 0; end = objectEnd(this.#buffer)) {
      const reply = JSON.parse(this.#buffer.slice(0, end)) as { id: number; result: unknown; error: unknown };
      this.#buffer = this.#buffer.slice(end);
      const waiting = this.#waiting.get(reply.id);
      this.#waiting.delete(reply.id);
      waiting?.resolve(typeof reply.error === 'string' ? `ERROR ${reply.error}` : String(reply.result));
    }
  }
}

/** Where the object that `text` starts with ends; 0: it isn't whole yet. */
function objectEnd(text: string): number {
  let depth = 0;
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    const char = text[i];
    if (quoted) {
      if (char === '\\') i++;
      else if (char === '"') quoted = false;
    } else if (char === '"') quoted = true;
    else if (char === '{') depth++;
    else if (char === '}' && --depth === 0) return i + 1;
  }
  return 0;
}
