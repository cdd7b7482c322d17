import { existsSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { isAbsolute, join } from 'node:path';
import { WeftError } from '../../base/errors.ts';
import type { ByteStream, Listener, StreamHandler, StreamProvider } from '../../switch/conn/stream.ts';
import { reasonOf } from '../daemon/vlog-sinks.ts';

const OPENFLOW_PORT = 6653;
const CONNECT_TIMEOUT_MS = 10_000;

/** OpenFlow connections over real sockets: tcp, unix, ptcp, punix. */
export class SocketStreams implements StreamProvider {
  readonly #runDir: string;
  #unixClients = 0;

  constructor(runDir: string) {
    this.#runDir = runDir;
  }

  connect(target: string): Promise<ByteStream> {
    const { method, rest } = split(target);
    let socket: Socket;
    if (method === 'unix') socket = connect(this.#path(rest));
    else if (method === 'tcp') socket = connect(address(rest, target));
    else return Promise.reject(unknownMethod(target));
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => socket.destroy(new Error('Connection timed out')), CONNECT_TIMEOUT_MS);
      socket.once('connect', () => {
        clearTimeout(timer);
        socket.removeAllListeners('error');
        resolve(new SocketStream(socket, target));
      });
      socket.once('error', (error) => {
        clearTimeout(timer);
        reject(new Error(reasonOf(error), { cause: error }));
      });
    });
  }

  listen(target: string, onStream: (stream: ByteStream) => void): Promise<Listener> {
    const { method, rest } = split(target);
    const path = method === 'punix' ? this.#path(rest) : null;
    if (path === null && method !== 'ptcp') return Promise.reject(unknownMethod(target));
    const server: Server = createServer((socket) => {
      const peer =
        path === null
          ? `tcp:${socket.remoteAddress ?? '?'}:${socket.remotePort ?? 0}`
          : `unix#${this.#unixClients++}`;
      onStream(new SocketStream(socket, peer));
    });
    // A socket file that a killed process left behind would keep us from listening.
    if (path !== null && existsSync(path)) rmSync(path, { force: true });
    return new Promise((resolve, reject) => {
      server.once('error', (error) => reject(new Error(reasonOf(error), { cause: error })));
      server.once('listening', () => {
        server.removeAllListeners('error');
        server.on('error', () => {});
        const bound = server.address();
        resolve({
          bound: typeof bound === 'object' && bound !== null ? `ptcp:${bound.port}:${bound.address}` : target,
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
    this.#socket.on('data', (bytes: Buffer) => this.#handler?.onData(bytes));
    this.#socket.on('drain', () => this.#handler?.onDrain());
    this.#socket.on('close', () => {
      if (this.#closed) return;
      this.#closed = true;
      this.#handler?.onClose(this.#reason);
    });
    this.#socket.resume();
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
    remedy: 'use tcp:IP[:PORT], unix:FILE, ptcp:[PORT][:IP] or punix:FILE',
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
