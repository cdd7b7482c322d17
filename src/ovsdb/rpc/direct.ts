import type { Connector, RpcChannel, RpcHandler, RpcMessage } from './channel.ts';

/**
 * Two ends of a connection within one process. A message arrives after the current job of the event
 * loop, never within `send`, so that neither side is entered twice. Nothing is copied or serialised.
 */
class DirectEnd implements RpcChannel {
  #peer: DirectEnd | undefined;
  #handler: RpcHandler | undefined;
  #queue: RpcMessage[] = [];
  #scheduled = false;
  #closed = false;

  join(peer: DirectEnd): void {
    this.#peer = peer;
  }

  get backlog(): number {
    return this.#peer?.waiting ?? 0;
  }

  get waiting(): number {
    return this.#queue.length;
  }

  send(message: RpcMessage): void {
    if (!this.#closed) this.#peer?.deliver(message);
  }

  deliver(message: RpcMessage): void {
    this.#queue.push(message);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled || this.#handler === undefined) return;
    this.#scheduled = true;
    queueMicrotask(() => this.#flush());
  }

  #flush(): void {
    this.#scheduled = false;
    const messages = this.#queue;
    this.#queue = [];
    for (const message of messages) {
      if (this.#closed) return;
      this.#handler?.onActivity();
      this.#handler?.onMessage(message);
    }
    this.#peer?.drained();
  }

  drained(): void {
    if (!this.#closed) this.#handler?.onDrain();
  }

  receive(handler: RpcHandler): void {
    this.#handler = handler;
    if (this.#queue.length > 0) this.#schedule();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    const peer = this.#peer;
    queueMicrotask(() => peer?.closedByPeer());
    this.#handler?.onClose('connection closed');
  }

  closedByPeer(): void {
    if (this.#closed) return;
    this.#flush(); // what was sent before the end still arrives
    if (this.#closed) return;
    this.#closed = true;
    this.#handler?.onClose('End of file');
  }
}

/** The two ends of a new in-process connection. */
export function directPair(): [RpcChannel, RpcChannel] {
  const a = new DirectEnd();
  const b = new DirectEnd();
  a.join(b);
  b.join(a);
  return [a, b];
}

/** Connects to a server in this process: `accept` is the server's method that takes new channels. */
export function directConnector(accept: (channel: RpcChannel) => void): Connector {
  return {
    name: 'in-process',
    needsProbes: false,
    connect: async () => {
      const [ours, theirs] = directPair();
      accept(theirs);
      return ours;
    },
  };
}
