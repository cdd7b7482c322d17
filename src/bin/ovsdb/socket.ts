/** Real sockets as the streams, connectors and listeners that the OVSDB layer works with. */
import { chmodSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { isAbsolute, join } from 'node:path';
import type { TLSSocket, Server as TlsServer } from 'node:tls';
import type { ModuleLog } from '../../base/log.ts';
import type { ByteHandler, ByteStream, Connector, RpcChannel } from '../../ovsdb/rpc/channel.ts';
import { StreamChannel } from '../../ovsdb/rpc/stream.ts';
import type { Listener, Transports } from '../../ovsdb/server/remote.ts';
import { reasonOf } from '../daemon/vlog-sinks.ts';
import { type TlsNames, tlsFingerprint, tlsOptions } from './tls.ts';

const DEFAULT_PORT = 6640;
const CONNECT_TIMEOUT_MS = 10_000;
/** Where replies pile up because the peer does not read them, no more requests of it are read. */
const MAX_BACKLOG = 1 << 18;

/** A socket whose writes of one turn of the event loop leave as one. */
class SocketStream implements ByteStream {
  readonly #socket: Socket;
  readonly #gated: boolean;
  #handler: ByteHandler | undefined;
  #pending: Uint8Array[] = [];
  #closed = false;
  #error: string | undefined;

  constructor(socket: Socket, gated: boolean) {
    this.#socket = socket;
    this.#gated = gated;
  }

  get backlog(): number {
    return this.#socket.writableLength;
  }

  write(bytes: Uint8Array): void {
    if (this.#closed) return;
    this.#pending.push(bytes);
    if (this.#pending.length === 1) process.nextTick(() => this.#flush());
  }

  #flush(): void {
    const pending = this.#pending;
    this.#pending = [];
    if (pending.length === 0 || this.#socket.destroyed) return;
    const bytes = pending.length === 1 ? pending[0] : Buffer.concat(pending);
    this.#socket.write(bytes, () => {
      if (this.#socket.writableLength > 0 || this.#closed) return;
      if (this.#gated) this.#socket.resume();
      this.#handler?.onDrain();
    });
    if (this.#gated && this.#socket.writableLength > MAX_BACKLOG) this.#socket.pause();
  }

  close(): void {
    if (this.#closed) return;
    this.#flush();
    this.#closed = true;
    this.#socket.end();
    // A peer that neither reads nor closes is not waited for.
    const socket = this.#socket;
    setTimeout(() => socket.destroy(), 1000).unref();
  }

  receive(handler: ByteHandler): void {
    this.#handler = handler;
    const socket = this.#socket;
    socket.on('data', (bytes) => handler.onBytes(bytes));
    socket.on('error', (error) => {
      this.#error = reasonOf(error);
    });
    socket.on('end', () => handler.onClose('End of file'));
    socket.on('close', () => handler.onClose(this.#error ?? 'End of file'));
  }
}

/** Wraps a connected socket. `gated`: read no more requests while replies pile up. */
export function socketChannel(socket: Socket, gated: boolean): RpcChannel {
  socket.setNoDelay(true);
  return new StreamChannel(new SocketStream(socket, gated));
}

interface TcpAddress {
  readonly host: string;
  readonly port: number;
}

/** "127.0.0.1:6640", "[::1]:6640", "host". */
function tcpAddress(text: string): TcpAddress {
  const match = /^(?:\[([^\]]+)\]|([^:]+))(?::([0-9]+))?$/.exec(text);
  if (match === null) throw new Error(`"${text}" is not HOST:PORT`);
  return { host: match[1] ?? match[2], port: match[3] === undefined ? DEFAULT_PORT : Number(match[3]) };
}

/** "6640", "6640:127.0.0.1", "0:[::1]", "". */
function passiveAddress(text: string): TcpAddress {
  const match = /^([0-9]*)(?::(?:\[([^\]]+)\]|([^:]+)))?$/.exec(text);
  if (match === null) throw new Error(`"${text}" is not PORT[:HOST]`);
  return { port: match[1] === '' ? DEFAULT_PORT : Number(match[1]), host: match[2] ?? match[3] ?? '0.0.0.0' };
}

function split(target: string): { method: string; rest: string } {
  const colon = target.indexOf(':');
  return colon < 0
    ? { method: target, rest: '' }
    : { method: target.slice(0, colon), rest: target.slice(colon + 1) };
}

/** The name of a peer for the log. */
function peerName(method: 'tcp' | 'ssl', socket: Socket): string {
  const host = socket.remoteAddress ?? '?';
  return `${method}:${host.includes(':') ? `[${host}]` : host}:${socket.remotePort}`;
}

/** The name in the certificate that the peer showed. */
function commonName(socket: Socket): string | undefined {
  if (!('getPeerCertificate' in socket)) return undefined;
  const name = (socket as TLSSocket).getPeerCertificate().subject?.CN;
  return Array.isArray(name) ? name[0] : name;
}

const PASSIVE = new Set(['punix', 'ptcp', 'pssl']);
const ACTIVE = new Set(['unix', 'tcp', 'ssl']);

const NO_TLS: TlsNames = {
  privateKey: undefined,
  certificate: undefined,
  caCert: undefined,
  peerCaCert: undefined,
  protocols: undefined,
  ciphers: undefined,
};

/**
 * Opens `unix:`, `tcp:`, `ssl:` targets and their passive forms. Relative socket names are in `runDir`.
 * `tls` is asked at every opening which files to use.
 */
export class SocketTransports implements Transports {
  readonly #runDir: string;
  readonly #log: ModuleLog;
  readonly #tlsLog: ModuleLog;
  readonly #tls: () => TlsNames;
  /** Listening servers, each with the settings that it was last given. */
  readonly #tlsServers = new Map<TlsServer, string>();
  /** Every client on a unix socket gets a number, for the log. */
  #unixClients = 0;

  /**
   * @param log told of listening sockets
   * @param tlsLog told of handshakes
   */
  constructor(runDir: string, log: ModuleLog, tls: () => TlsNames = () => NO_TLS, tlsLog: ModuleLog = log) {
    this.#runDir = runDir;
    this.#log = log;
    this.#tlsLog = tlsLog;
    this.#tls = tls;
  }

  kind(target: string): 'passive' | 'active' | 'unknown' {
    const { method } = split(target);
    return PASSIVE.has(method) ? 'passive' : ACTIVE.has(method) ? 'active' : 'unknown';
  }

  needsProbes(target: string): boolean {
    const { method } = split(target);
    return method !== 'unix' && method !== 'punix';
  }

  #path(rest: string): string {
    return isAbsolute(rest) ? rest : join(this.#runDir, rest);
  }

  connector(target: string): Connector {
    return {
      name: target,
      needsProbes: this.needsProbes(target),
      connect: () => this.#connect(target),
    };
  }

  async #connect(target: string): Promise<RpcChannel> {
    const { method, rest } = split(target);
    const { socket, ready } = await this.#dial(method, rest);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => socket.destroy(new Error('Connection timed out')), CONNECT_TIMEOUT_MS);
      socket.once(ready, () => {
        clearTimeout(timer);
        socket.removeAllListeners('error');
        resolve(socketChannel(socket, false));
      });
      socket.once('error', (error) => {
        clearTimeout(timer);
        reject(new Error(reasonOf(error), { cause: error }));
      });
    });
  }

  async #dial(method: string, rest: string): Promise<{ socket: Socket; ready: string }> {
    if (method === 'unix') return { socket: connect(this.#path(rest)), ready: 'connect' };
    if (method === 'tcp') return { socket: connect(tcpAddress(rest)), ready: 'connect' };
    if (method !== 'ssl') throw new Error(`${method}: unknown connection method`);
    const tls = await import('node:tls');
    // Certificates say who may take part, not which host has which name.
    const options = { ...tlsOptions(this.#tls()), ...tcpAddress(rest), checkServerIdentity: () => undefined };
    return { socket: tls.connect(options), ready: 'secureConnect' };
  }

  async #server(method: string, accept: (socket: Socket) => void): Promise<Server | TlsServer> {
    if (method !== 'pssl') return createServer(accept);
    const tls = await import('node:tls');
    const warnings = this.#tlsLog.limited(10, 5);
    const server = tls.createServer(tlsOptions(this.#tls()), (socket) => {
      const name = socket.servername;
      if (name) this.#tlsLog.dbg(() => `connection indicated server name ${name}`);
      accept(socket);
    });
    this.#tlsServers.set(server, tlsFingerprint(this.#tls()));
    server.on('close', () => this.#tlsServers.delete(server));
    server.on('tlsClientError', (error, socket) =>
      warnings.warn(`${peerName('ssl', socket)}: TLS handshake failed: ${error.message}`),
    );
    return server;
  }

  /** Has listeners take over certificates that changed. Connections that stand keep theirs. */
  refreshTls(): void {
    if (this.#tlsServers.size === 0) return;
    try {
      const names = this.#tls();
      const fingerprint = tlsFingerprint(names);
      for (const [server, before] of this.#tlsServers) {
        if (before === fingerprint) continue;
        server.setSecureContext(tlsOptions(names));
        this.#tlsServers.set(server, fingerprint);
      }
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.#tlsLog.dbg(`certificates stay as they were: ${why}`);
    }
  }

  async listen(
    target: string,
    _dscp: number | undefined,
    onChannel: (channel: RpcChannel, peer: string, id?: string) => void,
  ): Promise<Listener> {
    const { method, rest } = split(target);
    const unix = method === 'punix';
    const path = unix ? this.#path(rest) : '';
    const server = await this.#server(method, (socket) => {
      const peer = unix ? `unix#${this.#unixClients++}` : peerName(method === 'pssl' ? 'ssl' : 'tcp', socket);
      onChannel(socketChannel(socket, true), peer, commonName(socket));
    });
    return new Promise((resolve, reject) => {
      server.once('error', (error) => reject(new Error(reasonOf(error), { cause: error })));
      const listening = (): void => {
        server.on('error', (error) => this.#log.warn(`${target}: accept failed: ${reasonOf(error)}`));
        const address = server.address();
        const port = typeof address === 'object' && address !== null ? address.port : undefined;
        if (unix) chmodSync(path, 0o700);
        else if (/^0(:|$)/.test(rest)) this.#log.info(`${target}: listening on port ${port}`);
        resolve({ port, close: () => server.close() });
      };
      if (unix) {
        rmSync(path, { force: true });
        server.listen(path, listening);
      } else {
        server.listen({ ...passiveAddress(rest), exclusive: true }, listening);
      }
    });
  }
}
