/**
 * The database server and the switch in one process, joined by a channel that copies nothing. To the stock
 * tools it looks like the two daemons: `db.sock` for `ovs-vsctl`, and for `ovs-appctl` the pidfiles and
 * control sockets of `ovs-vswitchd` and `ovsdb-server`.
 */
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { WeftError } from '../../base/errors.ts';
import { OvsdbClient } from '../../ovsdb/client/client.ts';
import { DatabaseFile, directConnector, openVSwitchSchema } from '../../ovsdb/index.ts';
import { parseSchema, schemaToJson } from '../../ovsdb/schema/schema.ts';
import type { Daemon, DaemonDefinition } from '../daemon/daemon.ts';
import { type GivenOption, parseArguments } from '../daemon/options.ts';
import { createPidfile } from '../daemon/pidfile.ts';
import { STOCK_MODULES } from '../daemon/stock-modules.ts';
import { type Commands, UnixctlServer } from '../daemon/unixctl.ts';
import { DiskFile } from '../ovsdb/file.ts';
import { SERVER_OPTIONS, type ServerDaemon, startServer } from '../ovsdb/server_daemon.ts';
import { SocketTransports } from '../ovsdb/socket.ts';
import { startSwitch, VERSION } from '../vswitchd/vswitch_daemon.ts';
import { agentTls } from '../weft-agent/options.ts';
import { startAgent } from '../weft-agent/start.ts';
import { COMBINED_OPTIONS } from './options.ts';
import { DaemonPart } from './part.ts';

/** Makes an empty database of the schema unless the file is there. */
function createDatabase(path: string): boolean {
  if (existsSync(path)) return false;
  const file = DiskFile.create(path);
  try {
    DatabaseFile.create(file, schemaToJson(parseSchema(openVSwitchSchema)));
  } finally {
    file.close();
  }
  return true;
}

/** Takes the places of both stock daemons, so that theirs and ours never run over each other. */
async function claimNames(daemon: Daemon, parts: readonly [string, Commands][]): Promise<void> {
  const files: string[] = [];
  const remove = (): void => {
    for (const file of files) rmSync(file, { force: true });
  };
  process.on('exit', remove);
  daemon.onExit(remove);
  for (const [program, commands] of parts) {
    const pidfile = join(daemon.dirs.run, `${program}.pid`);
    createPidfile(pidfile, daemon.has('overwrite-pidfile'), daemon.log.module('daemon_unix'));
    files.push(pidfile);
    const socket = join(daemon.dirs.run, `${program}.${process.pid}.ctl`);
    const unixctl = await UnixctlServer.listen(socket, commands, daemon.log, daemon.coverage);
    daemon.onExit(() => unixctl.close());
  }
}

/** The one row that `ovs-vsctl init` makes. */
async function initialise(daemon: Daemon, main: ServerDaemon): Promise<void> {
  const client = new OvsdbClient({
    schema: openVSwitchSchema,
    connector: directConnector((channel) => void main.server.accept(channel, { name: 'initialiser' })),
    clock: daemon.clock,
    log: daemon.log,
  });
  client.start();
  try {
    await client.synced();
    if (client.replica.table('Open_vSwitch').only() !== undefined) return;
    const txn = client.transaction();
    txn.insert('Open_vSwitch', {});
    await txn.commit();
  } finally {
    client.close();
  }
}

async function start(daemon: Daemon): Promise<void> {
  const { positional } = daemon.args;
  if (positional.length > 1)
    throw new WeftError('too-many-arguments', 'at most one database file accepted; use --help for usage');
  const { dirs } = daemon;
  const log = daemon.log.module('weft');
  const path = positional[0] ?? join(dirs.db, 'conf.db');
  const socket = join(dirs.run, 'db.sock');
  const options: GivenOption[] = [
    `punix:${socket}`,
    'db:Open_vSwitch,Open_vSwitch,manager_options',
    ...daemon.values('remote'),
  ].map((value) => ({ name: 'remote', value }));
  // As the start script of the stock distribution has it.
  for (const [name, column] of [
    ['private-key', 'private_key'],
    ['certificate', 'certificate'],
    ['bootstrap-ca-cert', 'ca_cert'],
  ]) {
    options.push({ name, value: `db:Open_vSwitch,SSL,${column}` });
  }
  const part = new DaemonPart(daemon, 'ovsdb-server', `ovsdb-server (Open vSwitch) ${VERSION}`, {
    options: [...parseArguments([], SERVER_OPTIONS).options, ...options],
    positional: [path],
  });
  await claimNames(daemon, [
    ['ovs-vswitchd', daemon.commands],
    ['ovsdb-server', part.commands],
  ]);
  if (createDatabase(path)) log.info(`${path}: made a new database`);
  const main = await startServer(part);
  await initialise(daemon, main);
  await startSwitch(
    daemon,
    directConnector((channel) => void main.server.accept(channel, { name: 'the switch' })),
    // Ctrl-C.
    daemon.has('detach') ? undefined : 'SIGINT',
  );
  if (daemon.has('controller'))
    await startAgent(daemon, {
      database: directConnector((channel) => void main.server.accept(channel, { name: 'the agent' })),
      transports: new SocketTransports(dirs.run, daemon.log.module('socket_util'), () => agentTls(daemon)),
      appctl: async (command, args) => {
        const { ok, text } = await daemon.commands.run(command, args);
        if (!ok) throw new WeftError('command-refused', text);
        return text;
      },
    });
  log.info(`ready: database ${path}, at unix:${socket}`);
  const tools = dirs.run === '/var/run/openvswitch' ? '' : `OVS_RUNDIR=${dirs.run} `;
  log.info(`try: ${tools}ovs-vsctl show`);
}

export const daemon: DaemonDefinition = {
  program: 'weft-switch',
  version: [`ovs-vswitchd (Open vSwitch) ${VERSION}`, 'Weft virtual switch'],
  options: COMBINED_OPTIONS,
  usage: (dirs) => `usage: weft switch [OPTIONS] [DATABASE]

One host's virtual switch: database server, OpenFlow switch and datapath in one process, for the tools of
Open vSwitch. DATABASE is made if it is not there (default: ${dirs.db}/conf.db).

Bridges with datapath_type=system (the default) forward in the kernel where that can be, else in user space, as those with
datapath_type=netdev do; the log says which, and so does "ovs-appctl weft/forwarding".

Runs until a signal; --detach puts it into the background. After SIGTERM the kernel goes on forwarding what it knows, and
the next start takes over. Ctrl-C in the foreground, and "ovs-appctl exit --cleanup", take along what the switch has
made in the kernel: devices, programs, and what is pinned.

With --controller the switch has its agent in it: see "weft agent --help".
`,
  modules: [...STOCK_MODULES, 'agent'],
  remedies: true,
  start,
};
