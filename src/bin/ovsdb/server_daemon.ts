import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { WeftError } from '../../base/errors.ts';
import { OvsdbError } from '../../ovsdb/error.ts';
import { openDatabase } from '../../ovsdb/file/open.ts';
import { Relay } from '../../ovsdb/server/relay.ts';
import { Remotes } from '../../ovsdb/server/remotes.ts';
import { Server } from '../../ovsdb/server/server.ts';
import type { Daemon, DaemonDefinition } from '../daemon/daemon.ts';
import type { OptionSpec } from '../daemon/options.ts';
import { TLS_OPTIONS, tlsNamesFrom } from '../tls/options.ts';
import { Backup } from './backup.ts';
import { registerServerCommands } from './commands.ts';
import { DiskFile } from './file.ts';
import { ConfigStore, type SavedConfig } from './saved_config.ts';
import { SocketTransports } from './socket.ts';

const STATUS_INTERVAL_MS = 2500;

export const SERVER_OPTIONS: readonly OptionSpec[] = [
  {
    name: 'remote',
    value: 'required',
    valueName: 'REMOTE',
    help: 'connect or listen to REMOTE (repeatable)',
  },
  { name: 'run', value: 'required', valueName: 'COMMAND', help: 'run COMMAND as subprocess then exit' },
  { name: 'sync-from', value: 'required', valueName: 'SERVER', help: 'replicate the databases of SERVER' },
  {
    name: 'sync-exclude-tables',
    value: 'required',
    valueName: 'DB:TABLE,...',
    help: 'do not replicate these tables',
  },
  { name: 'active', value: 'none', help: 'with --sync-from, start as active server' },
  { name: 'no-dbs', value: 'none', help: 'do not open a default database' },
  { name: 'disable-file-column-diff', value: 'none', help: 'write whole columns to the database file' },
  ...TLS_OPTIONS,
];

/** The running server with its files and remotes. Commands act on it. */
export class ServerDaemon {
  readonly daemon: Daemon;
  readonly server: Server;
  readonly remotes: Remotes;
  readonly backup: Backup;
  readonly #transports: SocketTransports;
  /** How each relay was asked for, by name. */
  readonly #relays = new Map<string, string>();
  readonly #store: ConfigStore | undefined;
  #refreshing = false;
  #refreshAgain = false;

  constructor(daemon: Daemon) {
    this.daemon = daemon;
    this.server = new Server({
      clock: daemon.clock,
      log: daemon.log,
      newUuid: randomUUID,
      columnDiffs: !daemon.has('disable-file-column-diff'),
    });
    this.#store = daemon.has('monitor') ? new ConfigStore(daemon.dirs.run) : undefined;
    this.#transports = new SocketTransports(
      daemon.dirs.run,
      daemon.log.module('socket_util'),
      () => tlsNamesFrom((option) => this.#fileName(option)),
      daemon.log.module('stream_ssl'),
    );
    this.backup = new Backup(this.server, this.#transports, daemon);
    this.remotes = new Remotes(this.server, this.#transports, daemon.clock, daemon.log);
  }

  /** Serves "relay:NAME:SOURCE[,SOURCE...]". */
  #openRelay(text: string): void {
    const [, name, sources] = /^relay:([^:]+):(.+)$/.exec(text) ?? [];
    if (name === undefined) throw new OvsdbError('ovsdb error', `${text}: invalid syntax`);
    const { clock, log } = this.daemon;
    const relay = new Relay(this.server, {
      name,
      sources: sources.split(',').map((source) => this.#transports.connector(source)),
      clock,
      log,
      newUuid: randomUUID,
    });
    this.server.addRelay(relay);
    this.#relays.set(name, text);
    relay.start();
  }

  /** A file name as given, or out of the column that `db:DB,TABLE,COLUMN` names. */
  #fileName(option: string): string | undefined {
    const given = this.daemon.value(option);
    return given?.startsWith('db:') ? this.remotes.firstString(given) : given;
  }

  /** Opens a database file and serves it. Throws `OvsdbError`. */
  openDatabase(name: string): void {
    if (name.startsWith('relay:')) {
      this.#openRelay(name);
      return;
    }
    if (this.#isOpen(name)) throw new OvsdbError('ovsdb error', `${name}: already open`);
    const access = DiskFile.open(name);
    try {
      const { db, file } = openDatabase(access, {
        newUuid: randomUUID,
        log: this.daemon.log.module('ovsdb_server'),
        now: this.daemon.clock.now(),
      });
      this.server.addDatabase(db, file);
    } catch (error) {
      access.close();
      throw error;
    }
  }

  #isOpen(name: string): boolean {
    if (!existsSync(name)) return false;
    const wanted = statSync(name);
    for (const dbName of this.server.databases.keys()) {
      const file = this.server.file(dbName);
      if (file === null || !existsSync(file.name)) continue;
      const open = statSync(file.name);
      if (open.dev === wanted.dev && open.ino === wanted.ino) return true;
    }
    return false;
  }

  closeDatabase(name: string, comment: string): void {
    const file = this.server.file(name);
    this.server.removeDatabase(name, comment);
    this.#relays.delete(name);
    file?.close();
  }

  /** Rewrites the file of one database. Throws `OvsdbError`. */
  compact(name: string): void {
    const db = this.server.databases.get(name);
    if (db !== undefined)
      this.server.file(name)?.compact(db, this.daemon.clock.now(), this.daemon.clock.wall());
  }

  /** Has the remotes follow the configuration soon; calls meanwhile count as one. */
  refreshRemotes(): void {
    if (this.#refreshing) {
      this.#refreshAgain = true;
      return;
    }
    this.#refreshing = true;
    void this.remotes.refresh().then((errors) => {
      this.#refreshing = false;
      this.remotes.report(errors);
      if (!this.#refreshAgain) return;
      this.#refreshAgain = false;
      this.refreshRemotes();
    });
  }

  /** What is due now and then: state of connections into the database, compaction, new attempts to listen. */
  tick(): void {
    this.remotes.writeStatus();
    this.remotes.retryFailed();
    this.refreshRemotes();
    for (const name of this.server.databases.keys()) {
      if (!this.server.file(name)?.shouldCompact(this.daemon.clock.now())) continue;
      try {
        this.compact(name);
      } catch (error) {
        this.daemon.log.module('ovsdb_server').info(error instanceof Error ? error.message : String(error));
      }
    }
    this.daemon.clock.after(STATUS_INTERVAL_MS, () => this.tick());
  }

  /** The configuration that a process before this one had when it crashed. */
  savedConfig(): SavedConfig | undefined {
    return this.#store?.load();
  }

  /** Keeps the configuration for the case that this process crashes. */
  saveConfig(): void {
    this.#store?.save({
      remotes: this.remotes.names,
      databases: this.server.names.flatMap(
        (name) => this.#relays.get(name) ?? this.server.file(name)?.name ?? [],
      ),
      backup: this.backup.config,
    });
  }

  close(): void {
    this.#store?.remove();
    this.backup.stop();
    this.remotes.close();
    for (const name of this.#relays.keys()) this.server.relay(name)?.close();
    for (const name of this.server.databases.keys()) this.server.file(name)?.close();
  }
}

function runCommand(daemon: Daemon, command: string): void {
  const child = spawn('/bin/sh', ['-c', command], { stdio: 'inherit' });
  child.on('error', (error) => {
    process.stderr.write(`${daemon.program}: ${command}: process failed to start (${error.message})\n`);
    daemon.exit(1);
  });
  child.on('exit', (code, signal) => {
    if (code === 0) return daemon.exit(0);
    const how = signal === null ? `exit status ${code}` : `killed (${signal})`;
    process.stderr.write(`${daemon.program}: ${command}: child exited, ${how}\n`);
    daemon.exit(1);
  });
}

/** What the command line asks for. */
function configured(daemon: Daemon): SavedConfig {
  const names =
    daemon.args.positional.length > 0 || daemon.has('no-dbs')
      ? daemon.args.positional
      : [join(daemon.dirs.db, 'conf.db')];
  const leaves = daemon.has('detach') && !daemon.has('no-chdir');
  return {
    databases: names.map((name) => (leaves && !name.startsWith('relay:') ? resolve(name) : name)),
    remotes: daemon.values('remote'),
    backup: {
      source: daemon.value('sync-from'),
      excluded: daemon.value('sync-exclude-tables'),
      active: daemon.has('active') || !daemon.has('sync-from'),
    },
  };
}

/** Opens the databases and remotes that the daemon's arguments name, and serves them. */
export async function startServer(daemon: Daemon): Promise<ServerDaemon> {
  const main = new ServerDaemon(daemon);
  const config = main.savedConfig() ?? configured(daemon);
  for (const name of new Set(config.databases)) main.openDatabase(name);
  main.backup.configure(config.backup);
  for (const remote of config.remotes) main.remotes.addUnchecked(remote);
  const errors = await main.remotes.refresh();
  if (errors.length > 0) throw new WeftError('bad-remote', errors.join('\n'));
  registerServerCommands(main);
  main.saveConfig();
  main.server.onAnyCommit = (changes) => {
    if (main.remotes.concern(changes)) main.refreshRemotes();
  };
  main.tick();
  daemon.onExit(() => main.close());
  return main;
}

async function start(daemon: Daemon): Promise<void> {
  await startServer(daemon);
  const command = daemon.value('run');
  // Said after the terminal is left: a detached start prints nothing.
  if (command === undefined)
    setImmediate(() => daemon.log.module('ovsdb_server').info(daemonDefinition.version[0]));
  else runCommand(daemon, command);
}

const daemonDefinition: DaemonDefinition = {
  program: 'ovsdb-server',
  version: ['ovsdb-server (Open vSwitch) 3.1.0', 'Weft 0.1.0'],
  options: SERVER_OPTIONS,
  usage: (dirs) =>
    `ovsdb-server: Open vSwitch database server\nusage: ovsdb-server [OPTIONS] [DATABASE...]\nwhere each DATABASE is a database file in ovsdb format.\nThe default DATABASE, if none is given, is\n${dirs.db}/conf.db.\n`,
  modules: [
    'jsonrpc',
    'ovsdb_server',
    'ovsdb_jsonrpc_server',
    'reconnect',
    'socket_util',
    'stream_ssl',
    'ovsdb_file',
    'ovsdb_log',
    'raft',
    'transaction',
  ],
  start,
};

export { daemonDefinition as daemon };
