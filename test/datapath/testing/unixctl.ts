import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';

interface Reply {
  readonly result: string | null;
  readonly error: string | null;
}

/** The control socket of a daemon, for tests that have more to say than there is time to start `ovs-appctl` for. */
export class Unixctl {
  readonly #socket: Socket;
  #text = '';
  #waiting: ((reply: Reply) => void) | null = null;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding('utf8');
    socket.on('close', () => this.#waiting?.({ result: null, error: 'the daemon is gone' }));
    socket.on('data', (chunk: string) => {
      this.#text += chunk;
      let reply: Reply;
      try {
        reply = JSON.parse(this.#text);
      } catch {
        return;
      }
      this.#text = '';
      this.#waiting?.(reply);
    });
  }

  /** @param dir where the daemon has its pidfile */
  static open(dir: string, daemon: string): Promise<Unixctl> {
    const pid = readFileSync(join(dir, `${daemon}.pid`), 'utf8').trim();
    const socket = connect(join(dir, `${daemon}.${pid}.ctl`));
    return new Promise((resolve, reject) => {
      socket.on('connect', () => resolve(new Unixctl(socket)));
      socket.on('error', reject);
    });
  }

  /** @throws Error with what the daemon says against it */
  async call(method: string, ...params: readonly string[]): Promise<string> {
    const replied = new Promise<Reply>((resolve) => {
      this.#waiting = resolve;
    });
    this.#socket.write(JSON.stringify({ id: 0, method, params }));
    const { result, error } = await replied;
    if (error !== null) throw new Error(`${method} ${params.join(' ')}: ${error}`);
    return result ?? '';
  }

  close(): void {
    this.#socket.destroy();
  }
}
