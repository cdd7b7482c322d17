import type { ByteStream, Listener, StreamHandler, StreamProvider } from '../stream.ts';

/** One end of a stream within the process. Bytes are held back while the other end doesn't read. */
class End implements ByteStream {
  readonly peer: string;
  other: End | null = null;
  #handler: StreamHandler | null = null;
  readonly #arrived: Uint8Array[] = [];
  #reading = true;
  #closed = false;

  constructor(peer: string) {
    this.peer = peer;
  }

  get backlog(): number {
    return this.other?.pending ?? 0;
  }

  get pending(): number {
    return this.#arrived.reduce((sum, bytes) => sum + bytes.length, 0);
  }

  send(bytes: Uint8Array): void {
    if (this.#closed) return;
    this.other?.arrive(bytes.slice());
  }

  arrive(bytes: Uint8Array): void {
    this.#arrived.push(bytes);
    this.#deliver();
  }

  receive(handler: StreamHandler): void {
    this.#handler = handler;
    this.#deliver();
  }

  /** A peer that is slow: while false, nothing is taken. */
  set reading(on: boolean) {
    this.#reading = on;
    if (!on) return;
    this.#deliver();
    this.other?.drained();
  }

  drained(): void {
    this.#handler?.onDrain();
  }

  #deliver(): void {
    while (this.#reading && this.#handler !== null && this.#arrived.length > 0) {
      const bytes = this.#arrived.shift();
      if (bytes !== undefined) this.#handler.onData(bytes);
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.other?.ended();
  }

  ended(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#handler?.onClose('');
  }

  get isClosed(): boolean {
    return this.#closed;
  }
}

export type MemoryStream = End;

/** Two ends of one stream. */
export function streamPair(name: string): [End, End] {
  const a = new End(`${name}#a`);
  const b = new End(`${name}#b`);
  a.other = b;
  b.other = a;
  return [a, b];
}

/** Streams by name: what listens can be dialed, and what is connected to is accepted by the test. */
export class MemoryStreams implements StreamProvider {
  readonly #listeners = new Map<string, (stream: ByteStream) => void>();
  /** Controllers of the test: called with our end for each connection of the switch. */
  readonly controllers = new Map<string, (stream: MemoryStream) => void>();

  connect(target: string): Promise<ByteStream> {
    const accept = this.controllers.get(target);
    if (accept === undefined) return Promise.reject(new Error('Connection refused'));
    const [ours, theirs] = streamPair(target);
    accept(ours);
    return Promise.resolve(theirs);
  }

  listen(target: string, onStream: (stream: ByteStream) => void): Promise<Listener> {
    this.#listeners.set(target, onStream);
    return Promise.resolve({ bound: target, close: () => void this.#listeners.delete(target) });
  }

  /** Connects to what the switch listens on. */
  dial(target: string): MemoryStream {
    const accept = this.#listeners.get(target);
    if (accept === undefined) throw new Error(`nobody listens on ${target}`);
    const [ours, theirs] = streamPair(target);
    accept(theirs);
    return ours;
  }
}
