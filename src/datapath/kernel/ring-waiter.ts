import { Worker } from 'node:worker_threads';
import { EventFd } from '../../sys/event-fd.ts';
import { siblingModule } from '../../sys/worker-url.ts';

export interface WaiterSetup {
  readonly fd: number;
  readonly stop: number;
  /** One word: 1 while the main thread wants to be woken. */
  readonly armed: SharedArrayBuffer;
}

/**
 * Wakes the main thread when a descriptor has something, such as a set of rings: a thread sleeps in `poll`, since Node
 * cannot wait for one itself.
 * It looks only while it is armed, so that a busy main thread is not woken for what it will see anyway.
 */
export class RingWaiter {
  readonly #armed = new Int32Array(new SharedArrayBuffer(4));
  readonly #stop = EventFd.create();
  readonly #worker: Worker;

  /** Does not keep the process alive. */
  constructor(fd: number, onReadable: () => void) {
    const setup: WaiterSetup = {
      fd,
      stop: this.#stop.fd,
      armed: this.#armed.buffer as SharedArrayBuffer,
    };
    this.#worker = new Worker(siblingModule(import.meta.url, 'ring-waiter-worker'), {
      workerData: setup,
      name: 'weft-rings',
    });
    this.#worker.unref();
    this.#worker.on('message', onReadable);
  }

  /** Asks for one call, as soon as there is something. */
  arm(): void {
    Atomics.store(this.#armed, 0, 1);
    Atomics.notify(this.#armed, 0);
  }

  /** Resolves when the thread is gone: only then may the rings be closed. */
  async close(): Promise<void> {
    this.#worker.removeAllListeners('message');
    // Else a process with nothing else to do would end before this is done.
    this.#worker.ref();
    const ended = new Promise((resolve) => this.#worker.once('exit', resolve));
    this.#stop.signal();
    this.arm();
    await ended;
    this.#stop.close();
  }
}
