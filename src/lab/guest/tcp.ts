/** One-way TCP streams: the receiver counts, and says at the end how much came. */
import { connect, createServer, type Server } from 'node:net';
import type { StreamOutcome } from './protocol.ts';

const CHUNK = new Uint8Array(256 * 1024).fill(0x57);
/** How long the receiver may take to say what it got. */
const REPORT_MS = 5000;

/** Takes connections: counts what each sends, and answers its end with the number. */
export function listen(port: number): Promise<Server> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    let bytes = 0;
    socket.on('data', (data) => {
      bytes += data.length;
    });
    socket.on('end', () => socket.end(`${bytes}\n`));
    socket.on('error', () => socket.destroy());
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '0.0.0.0', () => {
      server.removeListener('error', reject);
      resolve(server);
    });
  });
}

/** Sends for `ms` milliseconds; never rejects. */
export function stream(address: string, port: number, ms: number, connectMs: number): Promise<StreamOutcome> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port });
    let connected = false;
    let started = 0;
    let report = '';
    const done = (reason: string, bytes = 0): void => {
      clearTimeout(timer);
      socket.destroy();
      const seconds = connected ? (performance.now() - started) / 1000 : 0;
      resolve({ connected, reason, bytes, seconds });
    };
    let timer = setTimeout(() => done(`no connection within ${connectMs} ms`), connectMs);
    const send = (): void => {
      while (performance.now() - started < ms) if (!socket.write(CHUNK)) return;
      if (!socket.writableEnded) {
        clearTimeout(timer);
        timer = setTimeout(() => done('the receiver did not say what it got'), REPORT_MS);
        socket.end();
      }
    };
    socket.on('connect', () => {
      clearTimeout(timer);
      connected = true;
      started = performance.now();
      timer = setTimeout(() => done('the stream stalled'), ms + REPORT_MS);
      send();
    });
    socket.on('drain', send);
    socket.on('data', (text) => {
      report += text.toString();
    });
    socket.on('end', () => {
      const bytes = Number.parseInt(report, 10);
      if (bytes >= 0) done('', bytes);
      else done('the receiver closed early');
    });
    socket.on('error', (error) => done(error.message));
  });
}
