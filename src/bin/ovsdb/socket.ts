/** Real sockets as the streams, connectors and listeners that the OVSDB layer works with. */
import { chmodSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { isAbsolute, join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import type { ModuleLog } from '../../base/log.ts';
import type { ByteHandler, ByteStream, Connector, RpcChannel } from '../../ovsdb/rpc/channel.ts';
import { StreamChannel } from '../../ovsdb/rpc/stream.ts';
import type { Listener, Transports } from '../../ovsdb/server/remote.ts';
import { connected } from '../connected.ts';
import { reasonOf } from '../daemon/vlog-sinks.ts';
import { peerName, TlsEndpoint } from '../tls/endpoint.ts';
import { NO_TLS, type TlsNames } from '../tls/files.ts';

const DEFAULT_PORT = 6640;
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
    // It may have ended before anybody listened.
    if (socket.destroyed) process.nextTick(() => handler.onClose('End of file'));
    socket.on('data', (bytes) => handler.onBytes(bytes));
    socket.on('error', (error) => {
      this.#error = reasonOf(error);
    });
    socket.on('end', () => handler.onClose('End of file'));
    socket.on('close', () => handler.onClose(this.#error ?? 'End of file'));
  }
}

/** Wraps a connected socket. `gated`: read no more requests while replies pile up. */
export function socketChannel(socket: Socket, gated: boolean, maxMessageBytes?: number): RpcChannel {
  socket.setNoDelay(true);
  return new StreamChannel(new SocketStream(socket, gated), maxMessageBytes);
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

/** The name in the certificate that the peer showed. */
function commonName(socket: Socket): string | undefined {
  if (!('getPeerCertificate' in socket)) return undefined;
  const name = (socket as TLSSocket).getPeerCertificate().subject?.CN;
  return Array.isArray(name) ? name[0] : name;
}

const PASSIVE = new Set(['punix', 'ptcp', 'pssl']);
const ACTIVE = new Set(['unix', 'tcp', 'ssl']);

/**
 * Opens `unix:`, `tcp:`, `ssl:` targets and their passive forms. Relative socket names are in `runDir`.
 * `tls` is asked at every connection which files to use.
 */
export class SocketTransports implements Transports {
  readonly #runDir: string;
  readonly #log: ModuleLog;
  readonly #tls: TlsEndpoint;
  readonly #maxMessageBytes: number | undefined;
  /** Every client on a unix socket gets a number, for the log. */
  #unixClients = 0;

  /**
   * @param log told of listening sockets
   * @param tlsLog told of handshakes
   * @param maxMessageBytes who sends a larger message to a listener is cut off
   */
  constructor(
    runDir: string,
    log: ModuleLog,
    tls: () => TlsNames = () => NO_TLS,
    tlsLog: ModuleLog = log,
    maxMessageBytes?: number,
  ) {
    this.#maxMessageBytes = maxMessageBytes;
    this.#runDir = runDir;
    this.#log = log;
    this.#tls = new TlsEndpoint(tls, tlsLog);
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
    return socketChannel(await this.#dial(target), false);
  }

  #dial(target: string): Promise<Socket> {
    const { method, rest } = split(target);
    if (method === 'unix') return connected(connect(this.#path(rest)), 'connect');
    if (method === 'tcp') return connected(connect(tcpAddress(rest)), 'connect');
    if (method !== 'ssl') throw new Error(`${method}: unknown connection method`);
    return this.#tls.connect(tcpAddress(rest));
  }

  #server(method: string, accept: (socket: Socket) => void): Promise<Server> {
    return method === 'pssl' ? this.#tls.server(accept) : Promise.resolve(createServer(accept));
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
      onChannel(socketChannel(socket, true, this.#maxMessageBytes), peer, commonName(socket));
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
