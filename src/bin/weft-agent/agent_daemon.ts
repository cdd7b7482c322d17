/** `weft agent`: the physical controller of one host, beside a switch of its own or of Open vSwitch. */
import { WeftError } from '../../base/errors.ts';
import type { Daemon, DaemonDefinition } from '../daemon/daemon.ts';
import type { OptionSpec } from '../daemon/options.ts';
import { STOCK_MODULES } from '../daemon/stock-modules.ts';
import { SocketTransports } from '../ovsdb/socket.ts';
import { VERSION } from '../vswitchd/vswitch_daemon.ts';
import { appctlOf } from './appctl.ts';
import { AGENT_OPTIONS, agentTls } from './options.ts';
import { startAgent } from './start.ts';

const DB_OPTION: OptionSpec = {
  name: 'db',
  value: 'required',
  valueName: 'REMOTE',
  help: "the host's database (default: unix:RUNDIR/db.sock)",
};

async function start(daemon: Daemon): Promise<void> {
  if (daemon.args.positional.length > 0)
    throw new WeftError('too-many-arguments', 'no arguments accepted beside options; use --help for usage');
  const transports = new SocketTransports(daemon.dirs.run, daemon.log.module('socket_util'), () =>
    agentTls(daemon),
  );
  const remote = daemon.value('db') ?? `unix:${daemon.dirs.run}/db.sock`;
  if (transports.kind(remote) !== 'active')
    throw new WeftError('bad-remote', `--db ${remote}: not a database connection`, {
      remedy: 'use unix:FILE or tcp:IP:PORT',
    });
  await startAgent(daemon, {
    database: transports.connector(remote),
    transports,
    appctl: appctlOf('ovs-vswitchd', daemon.dirs.run),
  });
}

export const daemon: DaemonDefinition = {
  program: 'weft-agent',
  version: [`weft-agent (Open vSwitch ${VERSION})`, 'Weft agent'],
  options: [DB_OPTION, ...AGENT_OPTIONS],
  usage: (dirs) => `usage: weft agent --controller REMOTE [OPTIONS]

Keeps the switch of this host as the controller of the logical networks says: the flows of its bridge, its tunnels, and the
rates of its ports. Speaks only OVSDB and OpenFlow to the switch, over the sockets in ${dirs.run}, so it works beside
ovs-vswitchd of Open vSwitch as of Weft. "weft switch --controller REMOTE" has the agent in it.

When the controller is away, or the agent ends, the switch goes on as it is.
`,
  modules: [...STOCK_MODULES, 'agent'],
  remedies: true,
  start,
};
