/** The real server as a process of its own, on a file in a directory of its own. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nullLogger } from '../../../base/log.ts';
import { OvsdbClient } from '../../../ovsdb/client/client.ts';
import { DatabaseFile } from '../../../ovsdb/file/storage.ts';
import { openVSwitchSchema } from '../../../ovsdb/schema/open_vswitch.ts';
import { DaemonClock } from '../../daemon/clock.ts';
import { DiskFile } from '../file.ts';
import { SocketTransports } from '../socket.ts';

export const LAUNCHER = join(dirname(fileURLToPath(import.meta.url)), '../../../../compat/ovsdb-server');

export type Client = OvsdbClient<typeof openVSwitchSchema>;

/** An empty database file. */
export function createDatabaseFile(path: string): void {
  const access = DiskFile.create(path);
  DatabaseFile.create(access, JSON.parse(JSON.stringify(openVSwitchSchema)));
  access.close();
}

export class ServedDatabase {
  readonly dir: string;
  readonly file: string;
  #child: ChildProcess | undefined;
  /** What the process has said since it was last started. */
  said = '';

  /** Nothing is started yet; `dir` belongs to the caller, `file` may be elsewhere. */
  constructor(dir: string, file: string) {
    this.dir = dir;
    this.file = file;
  }

  get socket(): string {
    return join(this.dir, 'db.sock');
  }

  get control(): string {
    return join(this.dir, 'ctl');
  }

  get running(): boolean {
    return this.#child?.exitCode === null && this.#child.signalCode === null;
  }

  async start(): Promise<void> {
    const { dir } = this;
    const child = spawn(
      LAUNCHER,
      [
        `--remote=punix:${this.socket}`,
        `--unixctl=${this.control}`,
        '-vconsole:info',
        '-vsyslog:off',
        this.file,
      ],
      {
        env: { ...process.env, OVS_RUNDIR: dir, OVS_LOGDIR: dir, OVS_DBDIR: dir },
        stdio: ['ignore', 'ignore', 'pipe'],
      },
    );
    this.#child = child;
    this.said = '';
    await new Promise<void>((resolve, reject) => {
      child.stderr!.on('data', (chunk: Buffer) => {
        this.said += chunk.toString();
        if (this.said.includes('Open vSwitch')) resolve();
      });
      child.once('exit', () => reject(new Error(`the server did not start: ${this.said}`)));
    });
  }

  /** As a power failure of the process: no signal handler, no last words. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined || !this.running) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  }

  /** Whether commands can be sent: they need the stock `ovs-appctl`. */
  get commandable(): boolean {
    return ['/usr/bin/ovs-appctl', '/usr/local/bin/ovs-appctl'].some((path) => existsSync(path));
  }

  /** Runs a management command; gives its exit status and what it said. */
  command(...words: string[]): Promise<{ status: number; text: string }> {
    return new Promise((resolve) => {
      execFile('ovs-appctl', ['--timeout=20', '-t', this.control, ...words], (error, stdout, stderr) =>
        resolve({ status: error === null ? 0 : Number(error.code ?? 1), text: stdout + stderr }),
      );
    });
  }

  /** A client that has all of `QoS`. */
  async connect(): Promise<Client> {
    const transports = new SocketTransports(this.dir, nullLogger.module('x'));
    const client = new OvsdbClient({
      schema: openVSwitchSchema,
      connector: transports.connector(`unix:${this.socket}`),
      clock: new DaemonClock(),
      log: nullLogger,
      tables: { QoS: true },
    });
    client.start();
    await client.synced();
    return client;
  }
}

/** Inserts a row that must be taken. */
export async function mustInsert(client: Client, type: string, padding = 0): Promise<void> {
  const txn = client.transaction();
  txn.insert('QoS', { type, other_config: new Map([['padding', 'x'.repeat(padding)]]) });
  const outcome = await txn.commit();
  assert.equal(outcome.status, 'success', JSON.stringify(outcome));
}

export const typesOf = (client: Client): Set<string> =>
  new Set([...client.replica.table('QoS').rows()].map((row) => row.type));
