/**
 * The network hypervisor as one process: store, model, rules, agents' sessions and API. What it needs of the machine
 * (files, sockets, clock, randomness) comes in here, and nowhere else.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ApiServer, DEFAULT_API_PORT, type TlsFiles } from '../../api/server.ts';
import { Tokens } from '../../api/tokens.ts';
import type { KindName, SpecOf } from '../../api-schema/kinds.ts';
import { WeftError } from '../../base/errors.ts';
import { AclMatchError, compileAclMatch } from '../../controller/acl-match.ts';
import { networkRules } from '../../controller/functions.ts';
import { Model, type ModelLimits } from '../../controller/model/model.ts';
import type { Problem } from '../../controller/model/problem.ts';
import { Auditor } from '../../controller/network/auditor.ts';
import { ClaimKeeper } from '../../controller/network/claim-keeper.ts';
import { NetworkDiagnosis } from '../../controller/network/diagnosis.ts';
import { Labels } from '../../controller/network/labels.ts';
import { Network } from '../../controller/network/network.ts';
import { NetworkRealization } from '../../controller/network/realize.ts';
import { FileStore } from '../../controller/store/file-store.ts';
import type { Daemon, DaemonDefinition } from '../daemon/daemon.ts';
import { reasonOf } from '../daemon/vlog-sinks.ts';
import { DiskFile } from '../ovsdb/file.ts';
import { SocketTransports } from '../ovsdb/socket.ts';
import { NO_TLS, type TlsNames, tlsFingerprint } from '../tls/files.ts';
import { VERSION } from '../vswitchd/vswitch_daemon.ts';
import { followCertificates } from './certificates.ts';
import { registerNetworkCommands } from './commands.ts';
import { registerNetworkMetrics } from './metrics.ts';
import { CONTROLLER_OPTIONS, DEFAULT_AGENTS, DEFAULT_AUDIT_S } from './options.ts';

/** Agents say little; a stranger must not have the controller keep much. */
const MAX_AGENT_MESSAGE = 64 * 1024 * 1024;

function openStore(daemon: Daemon, path: string): FileStore {
  const file = existsSync(path) ? DiskFile.open(path) : DiskFile.create(path);
  const store = FileStore.open(file, { log: daemon.log.module('store'), clock: daemon.clock });
  daemon.onExit(() => store.close());
  return store;
}

/** The operator's token: read from its file, which is made, for its owner alone, if it is not there. */
function operatorToken(path: string): { readonly token: string; readonly made: boolean } {
  try {
    if (existsSync(path)) return { token: readFileSync(path, 'utf8').trim(), made: false };
    const token = randomBytes(32).toString('base64url');
    writeFileSync(path, `${token}\n`, { mode: 0o600, flag: 'wx' });
    return { token, made: true };
  } catch (cause) {
    throw new WeftError('token-file', `--token-file ${path}: ${reasonOf(cause)}`, {
      cause,
      remedy: 'name a file that can be read, or a place where it can be made',
    });
  }
}

/** "127.0.0.1:6680", "[::1]:6680", ":6680", "6680". */
function apiAddress(text: string): { readonly host?: string; readonly port: number } {
  const [, v6, host, port] = /^(?:(?:\[([^\]]+)\]|([^:[\]]*)):)?([0-9]{1,5})$/.exec(text) ?? [];
  if (port === undefined || Number(port) > 65_535)
    throw new WeftError('bad-option', `--api ${text}: is not HOST:PORT`, {
      remedy: `write it like 127.0.0.1:${DEFAULT_API_PORT}`,
    });
  const name = v6 ?? host;
  return { ...(name === undefined || name === '' ? {} : { host: name }), port: Number(port) };
}

/** What no ACL can be stored with: a match that does not compile. */
function refuse(kind: KindName, spec: SpecOf<KindName>): readonly Problem[] {
  if (kind !== 'acl') return [];
  try {
    compileAclMatch((spec as SpecOf<'acl'>).match);
    return [];
  } catch (error) {
    if (!(error instanceof AclMatchError)) throw error;
    const { member, value, message, remedy } = error;
    return [{ member, value, message, remedy }];
  }
}

/** Milliseconds between audits; infinite: none. */
function auditInterval(daemon: Daemon): number {
  const text = daemon.value('audit') ?? DEFAULT_AUDIT_S;
  const seconds = Number(text);
  if (!/^[0-9]{1,7}$/.test(text))
    throw new WeftError('bad-option', `--audit ${text}: is no number of seconds`, {
      remedy: `write it like ${DEFAULT_AUDIT_S}, or 0 for none`,
    });
  return seconds === 0 ? Number.POSITIVE_INFINITY : seconds * 1000;
}

/** What `--max-objects` says. */
function objectLimit(daemon: Daemon): Partial<ModelLimits> {
  const text = daemon.value('max-objects');
  if (text === undefined) return {};
  if (!/^[1-9][0-9]{0,8}$/.test(text))
    throw new WeftError('bad-option', `--max-objects ${text}: is no number of objects`, {
      remedy: 'give a whole number from 1 to 999999999',
    });
  return { objects: Number(text) };
}

function tlsFiles(names: TlsNames): (() => TlsFiles) | undefined {
  const { privateKey, certificate } = names;
  if (privateKey === undefined || certificate === undefined) return undefined;
  return () => ({ key: readFileSync(privateKey, 'utf8'), cert: readFileSync(certificate, 'utf8') });
}

async function start(daemon: Daemon): Promise<void> {
  const { positional } = daemon.args;
  if (positional.length > 1)
    throw new WeftError('too-many-arguments', 'at most one store accepted; use --help for usage');
  const { clock, log, dirs } = daemon;
  const own = log.module('weft');
  const path = positional[0] ?? join(dirs.db, 'controller.db');
  const tls: TlsNames = {
    ...NO_TLS,
    privateKey: daemon.value('private-key'),
    certificate: daemon.value('certificate'),
    caCert: daemon.value('ca-cert') ?? 'none',
  };

  const store = openStore(daemon, path);
  const keeper = new ClaimKeeper(openStore(daemon, `${path}.claims`), log.module('store'));
  const labels = new Labels({ clock, passed: (state) => network.allHave(state) });
  const model = await Model.load({
    store,
    newId: randomUUID,
    log: log.module('model'),
    companion: labels,
    refuse,
    limits: objectLimit(daemon),
  });
  const tokenFile = daemon.value('token-file') ?? join(dirname(path), 'operator.token');
  const operator = operatorToken(tokenFile);
  const tokens = await Tokens.load({
    store,
    model,
    clock,
    log: log.module('tokens'),
    newId: randomUUID,
    random: randomBytes,
    operatorTokens: [operator.token],
  });
  const network: Network = new Network({
    source: model,
    labels,
    rules: networkRules(),
    aclMatches: compileAclMatch,
    authority: { verify: (node, token) => tokens.verifyNode(node, token) },
    clock,
    log,
    epoch: randomUUID(),
    claims: await keeper.load(),
    claimRecords: keeper,
  });
  network.start();
  tokens.onRevoked(() => network.recheckTokens());
  daemon.onExit(async () => {
    network.stop();
    await keeper.flush();
  });
  daemon.reportUsage(() => [
    ['objects', model.size],
    ['agents', network.connected],
    ['cells', network.rules.engine.totalRows],
  ]);
  const auditor = new Auditor(network, clock, log.module('audit'), auditInterval(daemon));
  registerNetworkCommands(daemon.commands, network, auditor);

  const transports = new SocketTransports(
    dirs.run,
    log.module('agents'),
    () => tls,
    undefined,
    MAX_AGENT_MESSAGE,
  );
  const remotes = daemon.values('agents');
  for (const remote of remotes.length === 0 ? [DEFAULT_AGENTS] : remotes) {
    if (transports.kind(remote) !== 'passive')
      throw new WeftError('bad-remote', `--agents ${remote}: is no place to listen at`, {
        remedy: 'use ptcp:PORT:HOST, pssl:PORT:HOST or punix:FILE',
      });
    try {
      const listener = await transports.listen(remote, undefined, (channel, peer) =>
        network.accept(channel, { name: peer, probes: transports.needsProbes(remote) }),
      );
      daemon.onExit(() => listener.close());
    } catch (cause) {
      throw new WeftError('bad-remote', `--agents ${remote}: ${(cause as Error).message}`, { cause });
    }
  }

  const files = tlsFiles(tls);
  const api = new ApiServer({
    model,
    tokens,
    realization: new NetworkRealization(network, clock),
    diagnosis: new NetworkDiagnosis(network),
    clock,
    log,
    ...(files === undefined ? {} : { tls: files }),
  });
  registerNetworkMetrics(api.metrics, network, auditor);
  const url = await api.listen({
    ...apiAddress(daemon.value('api') ?? String(DEFAULT_API_PORT)),
    insecure: daemon.has('insecure'),
  });
  daemon.onExit(() => api.close());
  auditor.start();
  daemon.onExit(() => auditor.stop());
  if (files !== undefined) {
    const read = (): string => tlsFingerprint(tls);
    daemon.onExit(followCertificates(clock, log.module('api'), read, () => api.reloadTls()));
  }
  own.info(`ready: API at ${url}, store ${path}`);
  own.info(`${operator.made ? 'made' : 'read'} the operator's token: ${tokenFile}`);
}

export const daemon: DaemonDefinition = {
  program: 'weft-controller',
  version: [`weft-controller (Weft) ${VERSION}`],
  options: CONTROLLER_OPTIONS,
  usage: (dirs) => `usage: weft controller [OPTIONS] [STORE]

The network hypervisor: tenants' networks by a REST API, computed by rules, told to the agents of the hosts. STORE is made
if it is not there (default: ${dirs.db}/controller.db).
`,
  modules: ['weft', 'api', 'agents', 'network', 'audit', 'model', 'store', 'tokens'],
  remedies: true,
  start,
};
