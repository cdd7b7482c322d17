/** The management commands of the database server (`ovs-appctl -t ovsdb-server ...`). */
import { WeftError } from '../../base/errors.ts';
import { OvsdbError } from '../../ovsdb/error.ts';
import type { ServerDaemon } from './server_daemon.ts';

function refuse(message: string): WeftError {
  return new WeftError('command-refused', message);
}

/** Errors of a remote's name are told without their tag, as the stock server does. */
function detailsOf(error: unknown): WeftError {
  return refuse(error instanceof OvsdbError ? (error.details ?? error.message) : String(error));
}

const lines = (items: Iterable<string>): string => [...items].map((item) => `${item}\n`).join('');

export function registerServerCommands(main: ServerDaemon): void {
  const { daemon, server, remotes, backup } = main;
  const { commands } = daemon;
  const log = daemon.log.module('ovsdb_server');

  commands.register('exit', '', 0, 0, () => {
    daemon.exit();
    return undefined;
  });
  commands.register('ovsdb-server/list-dbs', '', 0, 0, () => lines([...server.names].sort()));
  commands.register('ovsdb-server/add-db', 'DB', 1, 1, ([name]) => {
    main.openDatabase(name);
    main.saveConfig();
    backup.restart();
    main.refreshRemotes();
    return undefined;
  });
  commands.register('ovsdb-server/remove-db', 'DB', 1, 1, ([name]) => {
    if (!server.names.includes(name)) throw refuse('Failed to find the database.');
    if (name.startsWith('_')) throw refuse('Cannot remove reserved database.');
    main.closeDatabase(name, `removing ${name} database by user request`);
    main.saveConfig();
    main.refreshRemotes();
    return undefined;
  });
  commands.register('ovsdb-server/compact', '', 0, 1, ([wanted]) => {
    if (wanted?.startsWith('_')) throw refuse('cannot compact built-in databases');
    const names = [...server.databases.keys()].filter((n) =>
      wanted === undefined ? !n.startsWith('_') : n === wanted,
    );
    if (names.length === 0) throw refuse('no database by that name');
    for (const name of names) {
      log.info(`compacting ${name} database by user request`);
      main.compact(name);
    }
    return undefined;
  });
  commands.register('ovsdb-server/get-db-storage-status', 'DB', 1, 1, ([name]) => {
    if (!server.databases.has(name)) throw refuse('Failed to find the database.');
    return 'status: ok';
  });
  commands.register('cluster/status', 'DB', 1, 1, ([name]) => {
    const status = server.file(name)?.status;
    if (status === undefined) throw refuse('unknown cluster');
    return status;
  });
  commands.register('ovsdb-server/list-remotes', '', 0, 0, () => lines(remotes.names));
  commands.register('ovsdb-server/add-remote', 'REMOTE', 1, 1, async ([name]) => {
    try {
      remotes.add(name);
    } catch (error) {
      throw detailsOf(error);
    }
    main.saveConfig();
    remotes.report(await remotes.refresh());
    return undefined;
  });
  commands.register('ovsdb-server/remove-remote', 'REMOTE', 1, 1, async ([name]) => {
    if (!remotes.remove(name)) throw refuse('no such remote');
    main.saveConfig();
    remotes.report(await remotes.refresh());
    return undefined;
  });
  commands.register('ovsdb-server/reconnect', '', 0, 0, () => {
    server.reconnect(true, 'user ran ovsdb-server/reconnect');
    return undefined;
  });
  commands.register('ovsdb-server/disable-monitor-cond', '', 0, 0, () => {
    server.conditionalMonitors = false;
    server.reconnect(true, 'user ran ovsdb-server/disable-monitor-cond');
    return undefined;
  });
  registerBackupCommands(main);
  daemon.reportUsage(() => server.usage());
}

/** Replication: which server is active, and what is left out. */
function registerBackupCommands(main: ServerDaemon): void {
  const { backup } = main;
  const { commands } = main.daemon;

  commands.register('ovsdb-server/sync-status', '', 0, 0, () => backup.status);
  commands.register('ovsdb-server/set-active-ovsdb-server', '', 1, 1, ([source]) => {
    backup.source = source;
    main.saveConfig();
    return undefined;
  });
  commands.register('ovsdb-server/get-active-ovsdb-server', '', 0, 0, () => backup.source ?? '');
  commands.register('ovsdb-server/connect-active-ovsdb-server', '', 0, 0, async () => {
    if (backup.source === undefined) return 'Unable to connect: active server is not specified.\n';
    await backup.start();
    main.saveConfig();
    return undefined;
  });
  commands.register('ovsdb-server/disconnect-active-ovsdb-server', '', 0, 0, () => {
    backup.stop();
    main.saveConfig();
    return undefined;
  });
  commands.register('ovsdb-server/set-active-ovsdb-server-probe-interval', '', 1, 1, ([text]) => {
    if (!/^-?[0-9]+$/.test(text)) return 'Invalid probe interval, integer value expected';
    backup.probeInterval = Number(text);
    return undefined;
  });
  commands.register('ovsdb-server/set-sync-exclude-tables', '', 0, 1, ([text]) => {
    try {
      backup.exclude(text ?? '');
    } catch (error) {
      return error instanceof OvsdbError ? error.details : String(error);
    }
    main.saveConfig();
    return undefined;
  });
  commands.register('ovsdb-server/get-sync-exclude-tables', '', 0, 0, () => backup.excluded);
}
