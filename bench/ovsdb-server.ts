import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Framer } from '../src/ovsdb/rpc/framer.ts';
import { VSWITCH_SCHEMA } from './switches.ts';

const OURS = fileURLToPath(new URL('../compat/ovsdb-server', import.meta.url));
const MAX_MESSAGE = 1 << 30;

interface Reply {
  readonly id: number | null;
  readonly result?: unknown;
  readonly error?: unknown;
}

/** A client that does as little as possible. */
export class Peer {
  /** Rows that the bench has made. */
  readonly uuids: string[] = [];
  readonly #socket: Socket;
  readonly #waiting = new Map<number, (reply: Reply) => void>();
  #nextId = 1;

  constructor(socket: Socket) {
    this.#socket = socket;
    const framer = new Framer(MAX_MESSAGE);
    socket.on('data', (bytes) =>
      framer.feed(bytes, (text) => {
        // Updates are only counted by the echo behind them.
        if (!text.startsWith('{"id":null') && !text.includes('"method"'))
          this.#answer(JSON.parse(text) as Reply);
      }),
    );
  }

  #answer(reply: Reply): void {
    if (reply.id === null) return;
    this.#waiting.get(reply.id)?.(reply);
    this.#waiting.delete(reply.id);
  }

  /** The result. Throws where the server gives an error, also one of an operation. */
  ask(method: string, params: readonly unknown[]): Promise<unknown> {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, ({ result, error }) => {
        const bad = error ?? (method === 'transact' ? failed(result) : undefined);
        if (bad === undefined) resolve(result);
        else reject(new Error(`${method}: ${JSON.stringify(bad)}`));
      });
      this.#socket.write(JSON.stringify({ method, params, id }));
    });
  }

  close(): void {
    this.#socket.destroy();
  }
}

function failed(result: unknown): unknown {
  return Array.isArray(result)
    ? result.find((one: unknown) => typeof one === 'object' && one !== null && 'error' in one)
    : undefined;
}

/** A database server of the schema of Open vSwitch, in a folder of its own. */
export class OvsdbServer {
  readonly #dir = mkdtempSync(join(tmpdir(), 'weft-bench-'));
  readonly #whose: 'ours' | 'stock';
  #child: ChildProcess | undefined;

  private constructor(whose: 'ours' | 'stock') {
    this.#whose = whose;
  }

  static async start(whose: 'ours' | 'stock'): Promise<OvsdbServer> {
    const server = new OvsdbServer(whose);
    try {
      execFileSync('ovsdb-tool', ['create', server.#path('conf.db'), VSWITCH_SCHEMA]);
      await server.#run();
    } catch (error) {
      await server.close();
      throw error;
    }
    return server;
  }

  #path(name: string): string {
    return join(this.#dir, name);
  }

  async #run(): Promise<void> {
    const program = this.#whose === 'ours' ? OURS : 'ovsdb-server';
    const args = [
      `--remote=punix:${this.#path('db.sock')}`,
      '--unixctl=none',
      '-vsyslog:off',
      '-vconsole:off',
    ];
    const env = { ...process.env, OVS_RUNDIR: this.#dir, OVS_LOGDIR: this.#dir, OVS_DBDIR: this.#dir };
    this.#child = spawn(program, [...args, this.#path('conf.db')], { env, stdio: 'ignore' });
    for (let n = 0; n < 2000; n++) {
      try {
        (await this.connect()).close();
        return;
      } catch {
        await sleep(10);
      }
    }
    throw new Error(`${this.#whose}: the server did not start`);
  }

  connect(): Promise<Peer> {
    return new Promise((resolve, reject) => {
      const socket = connect(this.#path('db.sock'));
      socket.once('error', reject);
      socket.once('connect', () => resolve(new Peer(socket)));
    });
  }

  /** Ends it and starts it again on its file; milliseconds until it answers. */
  async restart(): Promise<number> {
    await this.#end();
    rmSync(this.#path('db.sock'), { force: true });
    const start = performance.now();
    await this.#run();
    return performance.now() - start;
  }

  residentKilobytes(): number {
    const status = readFileSync(`/proc/${this.#child?.pid}/status`, 'utf8');
    return Number(/VmRSS:\s+([0-9]+)/.exec(status)?.[1]);
  }

  async #end(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    if (child.kill('SIGKILL')) await ended;
  }

  async close(): Promise<void> {
    await this.#end();
    rmSync(this.#dir, { recursive: true, force: true });
  }
}
