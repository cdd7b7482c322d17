/** A TCP connection on which numbered lines go out and must come back, each once and in order. */
import { connect, type Socket } from 'node:net';
import type { TalkOutcome } from './protocol.ts';

const INTERVAL_MS = 5;
/** How long the answers to the last lines are waited for. */
const TAIL_MS = 10_000;

export class Talk {
  readonly #socket: Socket;
  readonly #timer: NodeJS.Timeout;
  #peer: string | undefined;
  #sent = 0;
  #received = 0;
  #buffer = '';
  #error = '';
  #lastAt = 0;
  #gapMs = 0;
  #wake: () => void = () => {};

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (data) => this.#take(data.toString('latin1')));
    socket.on('error', (error) => this.#fail(error.message));
    socket.on('close', () => this.#fail('the peer closed'));
    this.#timer = setInterval(() => {
      if (this.#peer !== undefined && this.#error === '') socket.write(`${this.#sent++}\n`);
    }, INTERVAL_MS);
  }

  /** Connects; rejects if nobody answers within `ms`. */
  static open(address: string, port: number, ms: number): Promise<Talk> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: address, port });
      const timer = setTimeout(() => socket.destroy(new Error(`no connection within ${ms} ms`)), ms);
      socket.once('error', (error) => {
        clearTimeout(timer);
        reject(error);
      });
      socket.once('connect', () => {
        clearTimeout(timer);
        socket.removeAllListeners('error');
        resolve(new Talk(socket));
      });
    });
  }

  #fail(why: string): void {
    if (this.#error === '') this.#error = why;
    this.#wake();
  }

  #take(text: string): void {
    const lines = (this.#buffer + text).split('\n');
    this.#buffer = lines.pop() ?? '';
    const now = performance.now();
    for (const line of lines) {
      if (this.#peer === undefined) this.#peer = line;
      else if (line === String(this.#received)) this.#received++;
      else this.#fail(`line ${this.#received} came back as "${line.slice(0, 20)}"`);
      if (this.#lastAt > 0) this.#gapMs = Math.max(this.#gapMs, now - this.#lastAt);
      this.#lastAt = now;
    }
    this.#wake();
  }

  /** Ends the conversation when all has come back. */
  async stop(): Promise<TalkOutcome> {
    clearInterval(this.#timer);
    const until = performance.now() + TAIL_MS;
    while (this.#error === '' && this.#received < this.#sent && performance.now() < until) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 200);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    const reason =
      this.#error === '' && this.#received < this.#sent
        ? `${this.#sent - this.#received} lines never came back`
        : this.#error;
    this.#error = 'over';
    this.#socket.destroy();
    return {
      peer: this.#peer ?? '',
      sent: this.#sent,
      received: this.#received,
      gapMs: this.#gapMs,
      reason,
    };
  }
}
