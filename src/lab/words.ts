import type { ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { WeftError } from '../base/errors.ts';

/** Longer than anything takes to start on a machine that has much else to do. */
const START_MS = 60_000;
/** How often a socket is looked for that is to appear. */
const LOOK_MS = 20;
/** How much of what a process said is kept, to tell why it ended. */
const LAST_WORDS = 4000;

/** What the process says at its standard error, and whether it has ended. */
export class Words {
  text = '';
  readonly #child: ChildProcess;

  constructor(child: ChildProcess) {
    this.#child = child;
    child.stderr?.on('data', (text: Buffer) => {
      this.text = `${this.text}${text.toString()}`.slice(-LAST_WORDS);
    });
  }

  /** Resolves when `ready` holds, which is looked at after each word and every 20 ms; rejects if the process ends first. */
  async wait(what: string, ready: () => boolean): Promise<void> {
    let why: string | undefined;
    this.#child.on('error', (error) => {
      why = error.message;
    });
    this.#child.on('close', () => {
      why ??= this.text.trim() || 'without a word';
    });
    const until = performance.now() + START_MS;
    while (!ready()) {
      if (why !== undefined) throw new WeftError('switch-failed', `${what} ended: ${why}`);
      if (performance.now() > until)
        throw new WeftError(
          'lab-timeout',
          `${what} is not ready after ${START_MS / 1000} s: ${this.text.trim()}`,
        );
      await sleep(LOOK_MS);
    }
  }
}
