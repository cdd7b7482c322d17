import { existsSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { isAbsolute, join } from 'node:path';
import { WeftError } from '../../base/errors.ts';
import type { ByteStream, Listener, StreamHandler, StreamProvider } from '../../switch/conn/stream.ts';
import { connected } from '../connected.ts';
import { reasonOf } from '../daemon/vlog-sinks.ts';
import { peerName, type TlsEndpoint } from '../tls/endpoint.ts';

const OPENFLOW_PORT = 6653;

/** OpenFlow connections over real sockets: tcp, unix, ssl, ptcp, punix, pssl. */
export class SocketStreams implements StreamProvider {
  readonly #runDir: string;
  readonly #tls: TlsEndpoint;
  #unixClients = 0;

  /** Relative socket names are in `runDir`. */
  constructor(runDir: string, tls: TlsEndpoint) {
    this.#runDir = runDir;
    this.#tls = tls;
  }

  async connect(target: string): Promise<ByteStream> {
    return new SocketStream(await this.#dial(target), target);
  }

  async #dial(target: string): Promise<Socket> {
    const { method, rest } = split(target);
    if (method === 'unix') return connected(connect(this.#path(rest)), 'connect');
    if (method === 'tcp') return connected(connect(address(rest, target)), 'connect');
    if (method === 'ssl') return this.#tls.connect(address(rest, target));
    throw unknownMethod(target);
  }

  async listen(target: string, onStream: (stream: ByteStream) => void): Promise<Listener> {
    const { method, rest } = split(target);
    const path = method === 'punix' ? this.#path(rest) : null;
    const take = (socket: Socket): void => {
      const peer =
        path === null ? peerName(method === 'pssl' ? 'ssl' : 'tcp', socket) : `unix#${this.#unixClients++}`;
      onStream(new SocketStream(socket, peer));
    };
    let server: Server;
    if (method === 'pssl') server = await this.#tls.server(take);
    else if (method === 'ptcp' || path !== null) server = createServer(take);
    else throw unknownMethod(target);
    // A socket file that a killed process left behind would keep us from listening.
    if (path !== null && existsSync(path)) rmSync(path, { force: true });
    return new Promise((resolve, reject) => {
      server.once('error', (error) => reject(new Error(reasonOf(error), { cause: error })));
      server.once('listening', () => {
        server.removeAllListeners('error');
        server.on('error', () => {});
        const bound = server.address();
        resolve({
          bound:
            typeof bound === 'object' && bound !== null ? `${method}:${bound.port}:${bound.address}` : target,
          close: () => {
            server.close();
            if (path !== null) rmSync(path, { force: true });
          },
        });
      });
      if (path !== null) server.listen(path);
      else server.listen(listenAddress(rest, target));
    });
  }

  #path(file: string): string {
    return isAbsolute(file) ? file : join(this.#runDir, file);
  }
}

class SocketStream implements ByteStream {
  readonly peer: string;
  readonly #socket: Socket;
  #handler: StreamHandler | null = null;
  #closed = false;
  #reason = '';

  constructor(socket: Socket, peer: string) {
    this.#socket = socket;
    this.peer = peer;
    socket.setNoDelay(true);
    socket.pause();
    socket.on('error', (error) => {
      this.#reason = reasonOf(error);
    });
  }

  get backlog(): number {
    return this.#socket.writableLength;
  }

  send(bytes: Uint8Array): void {
    if (!this.#closed) this.#socket.write(bytes);
  }

  receive(handler: StreamHandler): void {
    this.#handler = handler;
    // It may have ended before anybody listened.
    if (this.#socket.destroyed) process.nextTick(() => this.#onClose());
    this.#socket.on('data', (bytes: Buffer) => this.#handler?.onData(bytes));
    this.#socket.on('drain', () => this.#handler?.onDrain());
    this.#socket.on('close', () => this.#onClose());
    this.#socket.resume();
  }

  #onClose(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#handler?.onClose(this.#reason);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    // What was sent still goes out, but a peer that doesn't read can't hold us.
    this.#socket.end();
    setTimeout(() => this.#socket.destroy(), 2000).unref();
  }
}

function split(target: string): { method: string; rest: string } {
  const colon = target.indexOf(':');
  return colon < 0
    ? { method: target, rest: '' }
    : { method: target.slice(0, colon), rest: target.slice(colon + 1) };
}

function unknownMethod(target: string): WeftError {
  return new WeftError('unknown-connection-method', `${target}: unknown connection method`, {
    remedy: 'use tcp:IP[:PORT], ssl:IP[:PORT], unix:FILE, ptcp:[PORT][:IP], pssl:[PORT][:IP] or punix:FILE',
  });
}

/** HOST[:PORT], HOST an IPv4 address, a name, or an IPv6 address in brackets. */
function address(rest: string, target: string): { host: string; port: number } {
  const match = /^(\[[^\]]*\]|[^:]*)(?::(\d+))?$/.exec(rest);
  if (match === null || match[1] === '') throw new WeftError('bad-address', `${target}: bad address`);
  return {
    host: match[1].replace(/^\[|\]$/g, ''),
    port: match[2] === undefined ? OPENFLOW_PORT : Number(match[2]),
  };
}

/** [PORT][:IP] */
function listenAddress(rest: string, target: string): { host: string; port: number } {
  const match = /^(\d*)(?::(.*))?$/.exec(rest);
  if (match === null) throw new WeftError('bad-address', `${target}: bad address`);
  const host = (match[2] ?? '').replace(/^\[|\]$/g, '');
  return { port: match[1] === '' ? OPENFLOW_PORT : Number(match[1]), host: host === '' ? '0.0.0.0' : host };
}
