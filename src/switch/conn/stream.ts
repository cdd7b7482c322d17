/** A byte stream to an OpenFlow peer: a TCP or unix connection, or one within the process. */
export interface ByteStream {
  /** What the peer is called in logs: "tcp:127.0.0.1:6653", "unix#3". */
  readonly peer: string;
  send(bytes: Uint8Array): void;
  /** Bytes that wait to be sent. */
  readonly backlog: number;
  /** Must be called once, soon: what comes before is kept. */
  receive(handler: StreamHandler): void;
  close(): void;
}

export interface StreamHandler {
  onData(bytes: Uint8Array): void;
  /** The backlog is gone. */
  onDrain(): void;
  /** `reason` is empty for an orderly end. */
  onClose(reason: string): void;
}

export interface Listener {
  /** What it listens on, with the port that it got. */
  readonly bound: string;
  close(): void;
}

/** Makes streams; the real sockets are in `bin`. */
export interface StreamProvider {
  /** Connects to "tcp:HOST[:PORT]", "ssl:HOST[:PORT]", "unix:FILE". Rejects with the reason. */
  connect(target: string): Promise<ByteStream>;
  /** Listens on "ptcp:[PORT][:IP]", "pssl:[PORT][:IP]", "punix:FILE". Rejects with the reason. */
  listen(target: string, onStream: (stream: ByteStream) => void): Promise<Listener>;
}
