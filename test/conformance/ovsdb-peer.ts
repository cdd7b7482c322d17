import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isJsonObject, type Json, type JsonObject, member, stringify } from '../../src/ovsdb/json.ts';
import { Framer } from '../../src/ovsdb/rpc/framer.ts';
import { parseJson } from '../../src/ovsdb/rpc/parse.ts';

const COMPAT = join(import.meta.dirname, '../../compat');
const PATIENCE_MS = 20_000;
const MAX_MESSAGE = 1 << 24;

/** Starts a database server, ours or stock, that listens on a socket in `dir`. */
export async function startOvsdbServer(
  which: 'ours' | 'stock',
  file: string,
  dir: string,
): Promise<{ socket: string; end: () => void }> {
  const socket = join(dir, `${which}.sock`);
  const program = which === 'ours' ? join(COMPAT, 'ovsdb-server') : 'ovsdb-server';
  const args = [`--remote=punix:${socket}`, '--unixctl=none', '-vconsole:off', '-vsyslog:off', file];
  const env = { ...process.env, OVS_RUNDIR: dir, OVS_LOGDIR: dir, OVS_DBDIR: dir };
  const child = spawn(program, args, { env, stdio: 'ignore' });
  const end = (): void => void child.kill('SIGKILL');
  for (const limit = Date.now() + PATIENCE_MS; !existsSync(socket); await sleep(20)) {
    if (Date.now() < limit && child.exitCode === null) continue;
    end();
    throw new Error(`${which}: ovsdb-server did not start`);
  }
  return { socket, end };
}

/** A connection to a server that hands everything over as it came. */
export class OvsdbPeer {
  readonly #socket: Socket;
  readonly #waiting = new Map<
    number,
    { resolve: (reply: JsonObject) => void; reject: (error: Error) => void }
  >();
  #updates: JsonObject[] = [];
  #nextId = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    const framer = new Framer(MAX_MESSAGE);
    socket.on('data', (bytes) => framer.feed(bytes, (text) => this.#onMessage(parseJson(text))));
    socket.on('error', () => {});
    socket.on('close', () => {
      for (const { reject } of this.#waiting.values()) reject(new Error('the server closed the connection'));
    });
  }

  static connect(path: string): Promise<OvsdbPeer> {
    return new Promise((resolve, reject) => {
      const socket = connect(path);
      socket.once('error', reject);
      socket.once('connect', () => resolve(new OvsdbPeer(socket)));
    });
  }

  #onMessage(json: Json): void {
    if (!isJsonObject(json)) return;
    const id = member(json, 'id');
    if (typeof id !== 'number') {
      this.#updates.push(json);
      return;
    }
    this.#waiting.get(id)?.resolve(json);
    this.#waiting.delete(id);
  }

  /** The whole reply, without its id. */
  async ask(method: string, params: readonly Json[]): Promise<JsonObject> {
    const id = this.#nextId++;
    const reply = await new Promise<JsonObject>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#socket.write(stringify({ method, params, id }));
    });
    const { result, error } = reply;
    return { result: result ?? null, error: error ?? null };
  }

  /** The updates since the last call. */
  async updates(): Promise<JsonObject[]> {
    await this.ask('echo', []);
    const updates = this.#updates;
    this.#updates = [];
    return updates;
  }

  close(): void {
    this.#socket.destroy();
  }
}
