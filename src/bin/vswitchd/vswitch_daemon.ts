import { release } from 'node:os';
import { WeftError } from '../../base/errors.ts';
import { OvsdbClient } from '../../ovsdb/client/client.ts';
import { type Connector, openVSwitchSchema } from '../../ovsdb/index.ts';
import { Switch } from '../../switch/bridge/manager.ts';
import { OpenFlowSwitch } from '../../switch/conn/openflow-switch.ts';
import type { OfPort } from '../../switch/ofproto/port.ts';
import { BPF_FS } from '../../sys/bpf-fs.ts';
import { registerClockCommands } from '../daemon/clock.ts';
import type { Daemon, DaemonDefinition } from '../daemon/daemon.ts';
import type { OptionSpec } from '../daemon/options.ts';
import { STOCK_MODULES } from '../daemon/stock-modules.ts';
import { SocketTransports } from '../ovsdb/socket.ts';
import { TlsEndpoint } from '../tls/endpoint.ts';
import type { TlsNames } from '../tls/files.ts';
import { TLS_OPTIONS, tlsNamesFrom } from '../tls/options.ts';
import { registerSwitchCommands } from './commands.ts';
import { Datapaths } from './datapaths.ts';
import { DropCounters } from './drop-counters.ts';
import { SocketStreams } from './streams.ts';

/** The Open vSwitch whose behaviour this one has. */
export const VERSION = '3.1.0';

export const SWITCH_OPTIONS: readonly OptionSpec[] = [
  {
    name: 'enable-dummy',
    value: 'optional',
    valueName: 'ARG',
    help: 'offer dummy datapaths and devices, for tests',
  },
  { name: 'disable-system', value: 'none', help: 'leave the devices of the host alone' },
  { name: 'disable-system-route', value: 'none', help: "leave the host's routing table alone" },
  { name: 'dummy-numa', value: 'required', valueName: 'LIST', help: 'accepted for compatibility' },
  { name: 'mlockall', value: 'none', help: 'accepted for compatibility' },
  { name: 'dpdk', value: 'optional', help: 'accepted for compatibility' },
  ...TLS_OPTIONS,
];

async function start(daemon: Daemon): Promise<void> {
  const [given, ...more] = daemon.args.positional;
  if (more.length > 0) {
    throw new WeftError(
      'too-many-arguments',
      `at most one non-option argument accepted; use --help for usage`,
    );
  }
  const remote = given ?? `unix:${daemon.dirs.run}/db.sock`;
  const transports = new SocketTransports(
    daemon.dirs.run,
    daemon.log.module('socket_util'),
    () => tlsNamesFrom((option) => daemon.value(option)),
    daemon.log.module('stream_ssl'),
  );
  if (transports.kind(remote) === 'unknown') {
    throw new WeftError('bad-remote', `${remote}: not a database connection`, {
      remedy: 'use unix:FILE, tcp:IP:PORT or ssl:IP:PORT',
    });
  }
  await startSwitch(daemon, transports.connector(remote));
}

/**
 * Runs the switch of the database that `connector` reaches, as a part of `daemon`. Ended by `cleanUpOn` it takes along all
 * that it has made, as `exit --cleanup` has it do.
 */
export async function startSwitch(
  daemon: Daemon,
  connector: Connector,
  cleanUpOn?: NodeJS.Signals,
): Promise<void> {
  const { clock, log } = daemon;
  const client = new OvsdbClient({ schema: openVSwitchSchema, connector, clock, log });
  const dummy = daemon.has('enable-dummy')
    ? daemon.value('enable-dummy') === 'override'
      ? 'override'
      : 'yes'
    : 'no';
  const tls = new TlsEndpoint(() => tlsNames(daemon, client), log.module('stream_ssl'));
  const streams = new SocketStreams(daemon.dirs.run, tls);
  const system = !daemon.has('disable-system');
  const pinRoot = process.env.WEFT_BPFFS ?? BPF_FS;
  const datapaths = new Datapaths({ clock, log, streams, dummy, system, pinRoot });
  let cleanup = false;
  const vswitch: Switch = new Switch({
    client,
    clock,
    log,
    lock: 'ovs_vswitchd',
    defer: (fn) => void setImmediate(fn),
    random: Math.random,
    counters: daemon.coverage,
    datapaths,
    host: {
      version: VERSION,
      dbVersion: openVSwitchSchema.version,
      systemType: 'Linux',
      systemVersion: release(),
      hostname: '',
      pid: process.pid,
    },
    makeOpenFlow: (ofproto, slowPath) =>
      new OpenFlowSwitch({
        ofproto,
        slowPath,
        clock,
        log,
        streams,
        runDir: daemon.dirs.run,
        testMode: dummy !== 'no',
        setAdminUp: (port: OfPort, up: boolean) =>
          vswitch.bridge(ofproto.name)?.interface(port.name)?.device?.setAdminUp(up),
      }),
  });
  const drops = new DropCounters(daemon.coverage);
  daemon.coverage.collectFrom(() => drops.collect(Array.from(vswitch.backers(), ({ datapath }) => datapath)));
  registerSwitchCommands(daemon.commands, {
    log,
    vswitch,
    datapaths,
    clock,
    exit: (withCleanup) => {
      cleanup = withCleanup;
      daemon.exit();
    },
  });
  registerClockCommands(clock, daemon.commands);
  clock.onSettle(async () => {
    // Jobs that were put off run in the next turns; a datapath elsewhere says when it is done.
    for (const { datapath } of vswitch.backers()) await datapath.flush();
    await new Promise<void>((resolve) => setImmediate(() => setImmediate(resolve)));
  });
  daemon.onExit(async (signal) => {
    await vswitch.close(cleanup || (signal !== undefined && signal === cleanUpOn));
    client.close();
    await datapaths.close();
  });
  client.start();
  await waitForFirst(client, connector.name, log.module('ovsdb_cs'));
}

/** The files that the database names, or if it names none, the command line. */
function tlsNames(daemon: Daemon, { replica }: OvsdbClient<typeof openVSwitchSchema>): TlsNames {
  const given = tlsNamesFrom((option) => daemon.value(option));
  const uuid = replica.table('Open_vSwitch').only()?.ssl;
  const row = uuid ? replica.table('SSL').get(uuid) : undefined;
  if (row === undefined) return given;
  return {
    ...given,
    privateKey: row.private_key,
    certificate: row.certificate,
    caCert: row.ca_cert,
    bootstrap: row.bootstrap_ca_cert,
  };
}

/** The daemon is ready when it has seen the database, or failed to reach it at once. */
async function waitForFirst(
  client: OvsdbClient<typeof openVSwitchSchema>,
  remote: string,
  log: { info(text: string): void },
): Promise<void> {
  await new Promise<void>((resolve) => {
    const stop = client.onState((state) => {
      if (state === 'synced') {
        stop();
        // The switch looks at it in the next turn; after that we are ready.
        setImmediate(() => setImmediate(resolve));
      } else if (state === 'backoff') {
        stop();
        log.info(`${remote}: no database yet, trying again`);
        resolve();
      }
    });
  });
}

export const daemon: DaemonDefinition = {
  program: 'ovs-vswitchd',
  version: [`ovs-vswitchd (Open vSwitch) ${VERSION}`, 'Weft virtual switch'],
  options: SWITCH_OPTIONS,
  usage: (dirs) =>
    `ovs-vswitchd: virtual switch of Weft\nusage: ovs-vswitchd [OPTIONS] [DATABASE]\nwhere DATABASE is a socket on which ovsdb-server is listening\n      (default: "unix:${dirs.run}/db.sock").\n`,
  modules: STOCK_MODULES,
  start,
};
