/** TLS connections made and taken with whatever files are configured at that moment. */
import type { Socket, Server as TcpServer } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { ModuleLog } from '../../base/log.ts';
import { connected } from '../connected.ts';
import { adoptAuthority } from './authority.ts';
import { awaitedAuthority, type TlsNames, tlsFingerprint, tlsOptions } from './files.ts';

/** Handshake failures that are logged a minute, and at once. */
const WARNINGS_PER_MINUTE = 10;
const WARNING_BURST = 5;
/** Who connects and then says nothing is not waited for. */
const HANDSHAKE_TIMEOUT_MS = 10_000;

/** The name of a peer for the log: "ssl:127.0.0.1:6640", "tcp:[::1]:41234". */
export function peerName(method: 'tcp' | 'ssl', socket: Socket): string {
  const host = socket.remoteAddress ?? '?';
  return `${method}:${host.includes(':') ? `[${host}]` : host}:${socket.remotePort ?? 0}`;
}

export class TlsEndpoint {
  readonly #names: () => TlsNames;
  readonly #log: ModuleLog;

  /** `names` is asked at every connection which files to use. */
  constructor(names: () => TlsNames, log: ModuleLog) {
    this.#names = names;
    this.#log = log;
  }

  /** Rejects with `WeftError` where files are missing, with the system's reason, or with that of the handshake. */
  async connect(address: { host: string; port: number }): Promise<TLSSocket> {
    const tls = await import('node:tls');
    const names = this.#names();
    const awaited = awaitedAuthority(names);
    // Certificates say who may take part, not which host has which name.
    const options = { ...tlsOptions(names, 'client'), ...address, checkServerIdentity: () => undefined };
    const socket = await connected(tls.connect(options), 'secureConnect');
    if (awaited === undefined) return socket;
    const shown = socket.getPeerCertificate(true);
    socket.destroy();
    return adoptAuthority(shown, awaited, this.#log);
  }

  /**
   * A server that takes over files that changed, for connections to come; those that stand keep theirs. Files
   * that have become unusable change nothing. Throws `WeftError` where files are missing at the beginning.
   */
  async server(accept: (socket: TLSSocket) => void): Promise<TcpServer> {
    const tls = await import('node:tls');
    const warnings = this.#log.limited(WARNINGS_PER_MINUTE, WARNING_BURST);
    const names = this.#names();
    let before = tlsFingerprint(names);
    const options = { ...tlsOptions(names, 'server'), handshakeTimeout: HANDSHAKE_TIMEOUT_MS };
    const server = tls.createServer(options, (socket) => {
      const name = socket.servername;
      if (name) this.#log.dbg(() => `connection indicated server name ${name}`);
      accept(socket);
    });
    server.prependListener('connection', () => {
      try {
        const now = this.#names();
        const fingerprint = tlsFingerprint(now);
        if (fingerprint === before) return;
        server.setSecureContext(tlsOptions(now, 'server'));
        before = fingerprint;
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        warnings.warn(`certificates stay as they were: ${why}`);
      }
    });
    server.on('tlsClientError', (error, socket) =>
      warnings.warn(`${peerName('ssl', socket)}: TLS handshake failed: ${error.message}`),
    );
    return server;
  }
}
