import type { Json } from '../json.ts';

/** One JSON-RPC 1.0 message as RFC 7047 uses it. */
export type RpcMessage =
  | { readonly method: string; readonly params: readonly Json[]; readonly id: Json }
  | { readonly result: Json; readonly error: Json; readonly id: Json };

/**
 * A two-way, ordered connection that carries whole JSON-RPC messages. Who receives a message must not
 * change it: the in-process channel hands over the sender's own objects.
 */
export interface RpcChannel {
  /** Queues a message; never throws. After `close` it does nothing. */
  send(message: RpcMessage): void;
  /** Bytes (in process: messages) queued but not yet taken by the other side. */
  readonly backlog: number;
  /** Ends the connection; `onClose` follows unless it was already called. */
  close(): void;
  /** Cuts a peer off that sends a message of more bytes; undefined: of more than usual. Nothing in process, where there are none. */
  limit?(bytes: number | undefined): void;
  /** Sets the receiver. It is set once, at once, by whoever is given the channel. */
  receive(handler: RpcHandler): void;
}

export interface RpcHandler {
  onMessage(message: RpcMessage): void;
  /** All that was queued has gone out. */
  onDrain(): void;
  /** The connection is over. `reason` is a clause for the log, such as "End of file". */
  onClose(reason: string): void;
  /** Something arrived, though perhaps not yet a whole message: the peer is alive. */
  onActivity(): void;
}

/** A byte connection, as sockets give it. The adapter in `bin` wraps `net.Socket` this way. */
export interface ByteStream {
  write(bytes: Uint8Array): void;
  /** Bytes written but not yet taken by the kernel. */
  readonly backlog: number;
  close(): void;
  receive(handler: ByteHandler): void;
}

export interface ByteHandler {
  onBytes(bytes: Uint8Array): void;
  onDrain(): void;
  onClose(reason: string): void;
}

/** Something that opens connections: a socket address, or a server in the same process. */
export interface Connector {
  /** For logs: "unix:/run/db.sock", "tcp:127.0.0.1:6640", "in-process". */
  readonly name: string;
  /** Idle connections are probed with echo requests only where the other side can vanish silently. */
  readonly needsProbes: boolean;
  /** Resolves to an open channel, or rejects with an error whose message says why not. */
  connect(): Promise<RpcChannel>;
}
