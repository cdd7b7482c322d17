/** The agent as a part of a daemon: `weft agent`, or `weft switch --controller`. */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Agent } from '../../agent/agent.ts';
import { KEEPER_TABLES } from '../../agent/host/bridge-keeper.ts';
import { loadPhysicalProgram } from '../../agent/physical-program.ts';
import type { Appctl } from '../../agent/requests/requests.ts';
import { WeftError } from '../../base/errors.ts';
import { INTEGRATION_BRIDGE } from '../../logical/layout.ts';
import { type Connector, OvsdbClient, openVSwitchSchema } from '../../ovsdb/index.ts';
import type { Daemon } from '../daemon/daemon.ts';
import { reasonOf } from '../daemon/vlog-sinks.ts';
import type { SocketTransports } from '../ovsdb/socket.ts';
import { TlsEndpoint } from '../tls/endpoint.ts';
import { NO_TLS } from '../tls/files.ts';
import { SocketStreams } from '../vswitchd/streams.ts';
import { StateFile } from './state-file.ts';

export interface AgentSetup {
  /** The host's database. */
  readonly database: Connector;
  readonly transports: SocketTransports;
  /** Asks the switch's daemon. */
  readonly appctl: Appctl;
}

function readToken(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (cause) {
    throw new WeftError('no-token', `--token-file ${path}: cannot be read: ${reasonOf(cause)}`, {
      cause,
      remedy: 'put the token there that the controller gave for this host',
    });
  }
}

/** @throws WeftError where options make no sense */
export async function startAgent(
  daemon: Daemon,
  { database, transports, appctl }: AgentSetup,
): Promise<void> {
  const { clock, log, dirs } = daemon;
  const remote = daemon.value('controller');
  if (remote === undefined)
    throw new WeftError('bad-option', 'an agent needs a controller', { remedy: 'give --controller' });
  if (transports.kind(remote) !== 'active')
    throw new WeftError('bad-remote', `--controller ${remote}: not a controller to connect to`, {
      remedy: 'use tcp:HOST:PORT, ssl:HOST:PORT or unix:FILE',
    });
  const tokenFile = daemon.value('token-file');
  const bridge = daemon.value('bridge') ?? INTEGRATION_BRIDGE;
  const streams = new SocketStreams(dirs.run, new TlsEndpoint(() => NO_TLS, log.module('stream_ssl')));
  const agentLog = log.module('agent');
  const state = new StateFile(
    daemon.value('agent-state') ?? join(dirs.db, 'weft-agent.json'),
    clock,
    agentLog,
  );
  const encapIp = daemon.value('encap-ip');
  const datapathType = daemon.value('bridge-datapath-type');
  const agent = new Agent({
    clock,
    log,
    program: loadPhysicalProgram(),
    database: new OvsdbClient({
      schema: openVSwitchSchema,
      connector: database,
      clock,
      log,
      tables: KEEPER_TABLES,
    }),
    connectSwitch: () => streams.connect(`unix:${join(dirs.run, `${bridge}.mgmt`)}`),
    controller: transports.connector(remote),
    token: tokenFile === undefined ? '' : readToken(tokenFile),
    bridge,
    ...(datapathType === undefined ? {} : { datapathType }),
    ...(encapIp === undefined ? {} : { encapIp }),
    newSystemId: () => daemon.value('system-id') ?? randomUUID(),
    appctl,
    pause: () => new Promise((resolve) => setImmediate(resolve)),
    state,
  });
  daemon.onExit(async () => {
    await agent.close();
    state.flush();
  });
  void agent.start();
}
