import type { Socket } from 'node:net';
import { reasonOf } from './daemon/vlog-sinks.ts';

const CONNECT_TIMEOUT_MS = 10_000;

/** Waits until a connection that is being made stands. Rejects with the system's reason why it does not. */
export function connected<S extends Socket>(socket: S, ready: 'connect' | 'secureConnect'): Promise<S> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => socket.destroy(new Error('Connection timed out')), CONNECT_TIMEOUT_MS);
    // Stays, lest an error that comes before the socket's user listens end the process.
    socket.on('error', (error) => {
      clearTimeout(timer);
      reject(new Error(reasonOf(error), { cause: error }));
    });
    socket.once(ready, () => {
      clearTimeout(timer);
      resolve(socket);
    });
  });
}
