import type { ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { WeftError } from '../base/errors.ts';
import { siblingModule } from '../sys/worker-url.ts';
import type { GuestConfig, GuestOperations, GuestReply, Operation } from './guest/protocol.ts';
import type { Lab } from './lab.ts';

interface Waiter {
  resolve(result: unknown): void;
  reject(error: Error): void;
}

/** A guest as the lab sees it: a process in the guest's namespace that does what it is asked. */
export class Guest {
  readonly name: string;
  readonly process: ChildProcess;
  readonly #waiting = new Map<number, Waiter>();
  #next = 1;
  #gone: Error | undefined;

  private constructor(name: string, child: ChildProcess) {
    this.name = name;
    this.process = child;
    child.on('message', (reply: GuestReply) => this.#take(reply));
    const gone = (why: string): void => {
      this.#gone ??= new WeftError('guest-gone', `guest ${name} ${why}`);
      for (const waiter of this.#waiting.values()) waiter.reject(this.#gone);
      this.#waiting.clear();
    };
    child.on('error', (error) => gone(`could not be started: ${error.message}`));
    child.on('exit', (code, signal) => gone(`ended (${signal ?? `exit status ${code}`})`));
  }

  /** Starts the process of a guest; resolves when it listens to us. */
  static async start(lab: Lab, name: string, config: GuestConfig = {}): Promise<Guest> {
    const main = fileURLToPath(siblingModule(import.meta.url, 'guest/main'));
    const args = [...process.execArgv, main, JSON.stringify(config)];
    const child = lab.start(name, process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
    const guest = new Guest(name, child);
    await guest.#wait(0);
    return guest;
  }

  #wait(id: number): Promise<unknown> {
    if (this.#gone !== undefined) return Promise.reject(this.#gone);
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
  }

  #take(reply: GuestReply): void {
    const waiter = this.#waiting.get(reply.id);
    this.#waiting.delete(reply.id);
    if ('error' in reply) waiter?.reject(new WeftError('guest-failed', `guest ${this.name}: ${reply.error}`));
    else waiter?.resolve(reply.result);
  }

  /** Has the guest do something; rejects with its error, or if it ends. */
  async ask<O extends Operation>(
    op: O,
    args: GuestOperations[O]['args'],
  ): Promise<GuestOperations[O]['result']> {
    const id = this.#next++;
    const result = this.#wait(id);
    this.process.send({ id, op, args });
    return (await result) as GuestOperations[O]['result'];
  }
}
