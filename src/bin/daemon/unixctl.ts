/**
 * The control socket of a daemon: what `ovs-appctl` talks to. JSON-RPC 1.0 over a unix stream; the method
 * is the command, the parameters are strings, the result (or error) is a text that ends in a newline.
 */
import { existsSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import type { CommandHandler, CommandRegistry } from '../../base/command.ts';
import type { Counter, Counters } from '../../base/coverage.ts';
import { WeftError } from '../../base/errors.ts';
import type { Logger, ModuleLog } from '../../base/log.ts';
import { shortUnixPath, type UnixPath } from '../unix-path.ts';
import { JsonSplitter } from './json-splitter.ts';
import { reasonOf } from './vlog-sinks.ts';

interface Command {
  readonly usage: string | undefined;
  readonly minArgs: number;
  readonly maxArgs: number;
  readonly handler: CommandHandler;
}

interface Request {
  readonly id: unknown;
  readonly method: string;
  readonly params: readonly unknown[];
}

/** The largest request taken: packets in hexadecimal are the longest arguments there are. */
const MAX_REQUEST = 1 << 24;
/** Requests that one connection may have waiting before it is no longer read. */
const MAX_WAITING = 64;

/** The commands of a daemon, and how one is carried out. */
export class Commands implements CommandRegistry {
  private readonly byName = new Map<string, Command>();
  private readonly log: ModuleLog;

  constructor(logger: Logger) {
    this.log = logger.module('unixctl');
    this.register('list-commands', '', 0, 0, () => this.list());
    this.register('help', undefined, 0, 0, () => this.list());
  }

  register(
    name: string,
    usage: string | undefined,
    minArgs: number,
    maxArgs: number,
    handler: CommandHandler,
  ): void {
    this.byName.set(name, { usage, minArgs, maxArgs, handler });
  }

  /** The reply of `list-commands`. */
  list(): string {
    const names = [...this.byName.keys()].sort();
    const rows = names.flatMap((name) => {
      const { usage } = this.byName.get(name)!;
      return usage === undefined ? [] : [`  ${name.padEnd(23)} ${usage}\n`];
    });
    return `The available commands are:\n${rows.join('')}`;
  }

  /** Carries out one command; never throws. */
  async run(name: string, params: readonly unknown[]): Promise<{ ok: boolean; text: string }> {
    const refuse = (text: string) => ({ ok: false, text });
    const command = this.byName.get(name);
    if (command === undefined) {
      return refuse(`"${name}" is not a valid command (use "list-commands" to see a list of valid commands)`);
    }
    if (params.length < command.minArgs)
      return refuse(`"${name}" command requires at least ${command.minArgs} arguments`);
    if (params.length > command.maxArgs)
      return refuse(`"${name}" command takes at most ${command.maxArgs} arguments`);
    if (!params.every((p) => typeof p === 'string'))
      return refuse(`"${name}" command has non-string argument`);
    try {
      return { ok: true, text: (await command.handler(params)) ?? '' };
    } catch (error) {
      if (!(error instanceof WeftError)) {
        this.log.err(
          `command "${name}" failed unexpectedly: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
        );
      }
      return refuse(error instanceof Error ? error.message : String(error));
    }
  }
}

/** Reads one request; undefined if the object is none. */
function asRequest(value: unknown): Request | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { id, method, params } = value as { id?: unknown; method?: unknown; params?: unknown };
  if (typeof method !== 'string' || !Array.isArray(params) || id === undefined || id === null)
    return undefined;
  return { id, method, params };
}

/** Listens at a path and answers. One connection's requests are answered one at a time, in order. */
export class UnixctlServer {
  readonly path: string;
  private readonly commands: Commands;
  private readonly log: ModuleLog;
  private readonly warn: ModuleLog;
  private readonly received: Counter;
  private readonly replied: Counter;
  private readonly server: Server;
  private readonly connections = new Set<Socket>();
  private bound: UnixPath | undefined;

  private constructor(path: string, commands: Commands, logger: Logger, counters: Counters) {
    this.path = path;
    this.commands = commands;
    this.log = logger.module('unixctl');
    this.warn = this.log.limited(5, 5);
    this.received = counters.counter('unixctl_received');
    this.replied = counters.counter('unixctl_replied');
    this.server = createServer((socket) => this.accept(socket));
  }

  /** Starts to listen; replaces a socket that a dead process left. Rejects with the system's reason. */
  static async listen(
    path: string,
    commands: Commands,
    logger: Logger,
    counters: Counters,
  ): Promise<UnixctlServer> {
    const unixctl = new UnixctlServer(path, commands, logger, counters);
    rmSync(path, { force: true });
    try {
      unixctl.bound = shortUnixPath(path);
      await new Promise<void>((resolve, reject) => {
        unixctl.server.once('error', reject);
        unixctl.server.listen(unixctl.bound!.path, resolve);
      });
    } catch (error) {
      // libuv reports a missing directory as a missing right.
      const reason = existsSync(dirname(path)) ? reasonOf(error) : 'No such file or directory';
      throw new WeftError('unixctl', `${path}: could not initialize control socket (${reason})`, {
        cause: error,
        remedy: 'create the directory, or name another socket with --unixctl',
      });
    }
    unixctl.server.on('error', (error) =>
      unixctl.warn.warn(`punix:${path}: accept failed: ${reasonOf(error)}`),
    );
    return unixctl;
  }

  /** Stops listening, lets replies that are under way leave (at most `graceMs`), and removes the socket. */
  async close(graceMs = 200): Promise<void> {
    this.server.close();
    const flushed = [...this.connections].map(
      (socket) =>
        new Promise<void>((resolve) => {
          socket.once('close', resolve);
          socket.end();
        }),
    );
    const grace = new Promise<void>((resolve) => setTimeout(resolve, graceMs).unref());
    await Promise.race([Promise.all(flushed), grace]);
    for (const socket of this.connections) socket.destroy();
    rmSync(this.path, { force: true });
    this.bound?.release();
  }

  private accept(socket: Socket): void {
    this.connections.add(socket);
    socket.on('close', () => this.connections.delete(socket));
    // A client that goes away ends its connection and nothing else.
    socket.on('error', () => socket.destroy());
    const splitter = new JsonSplitter(MAX_REQUEST);
    const waiting: Request[] = [];
    let busy = false;
    const serve = async (): Promise<void> => {
      if (busy) return;
      busy = true;
      for (let request = waiting.shift(); request !== undefined; request = waiting.shift()) {
        await this.answer(socket, request);
        if (waiting.length < MAX_WAITING) socket.resume();
      }
      busy = false;
    };
    socket.on('data', (bytes) => {
      try {
        for (const text of splitter.push(bytes)) {
          const request = asRequest(JSON.parse(text));
          if (request === undefined)
            throw new WeftError('bad-request', 'received unexpected message, not a request');
          waiting.push(request);
        }
      } catch (error) {
        this.warn.warn(
          `unix: ${error instanceof Error ? error.message : String(error)}, closing the connection`,
        );
        socket.destroy();
        return;
      }
      if (waiting.length >= MAX_WAITING) socket.pause();
      void serve();
    });
  }

  private async answer(socket: Socket, { id, method, params }: Request): Promise<void> {
    this.received.add();
    this.log.dbg(() => `received request ${method}${JSON.stringify(params)}, id=${JSON.stringify(id)}`);
    const { ok, text } = await this.commands.run(method, params);
    const body = text === '' || text.endsWith('\n') ? text : `${text}\n`;
    this.replied.add();
    this.log.dbg(() => `replying with ${ok ? 'success' : 'error'}, id=${JSON.stringify(id)}: "${text}"`);
    if (socket.writable)
      socket.write(
        JSON.stringify(ok ? { id, result: body, error: null } : { id, result: null, error: body }),
      );
  }
}
