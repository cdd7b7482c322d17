/**
 * An OpenFlow connection to a switch, seen from the controller's end: negotiation, requests and their replies, bundles,
 * echoes. Nothing is sent but by request; what the switch sends by itself goes to `onMessage`.
 */
import type { Clock, Timer } from '../../base/clock.ts';
import { WeftError } from '../../base/errors.ts';
import {
  decodeMessage,
  type ErrorMessage,
  encodeMessage,
  encodeOne,
  type FlowMod,
  Framer,
  type GroupMod,
  OF14,
  OF15,
  OFPBF_ATOMIC,
  OFPBF_ORDERED,
  OfError,
  type OfMessage,
  type OfVersion,
} from '../../openflow/index.ts';

/** A byte connection to a switch's management socket. */
export interface SwitchStream {
  send(bytes: Uint8Array): void;
  /** Bytes that wait to be sent. */
  readonly backlog: number;
  receive(handler: { onData(bytes: Uint8Array): void; onDrain(): void; onClose(reason: string): void }): void;
  close(): void;
}

/** A message without its version and number, which the channel adds. */
export type Request<M extends OfMessage = OfMessage> = M extends OfMessage
  ? Omit<M, 'version' | 'xid'>
  : never;

export interface ChannelOptions {
  readonly clock: Clock;
  /** Gives way to other work between the parts of a long job. */
  readonly pause: () => Promise<void>;
  readonly onMessage: (message: OfMessage) => void;
  readonly onClose: (reason: string) => void;
}

interface Waiting {
  readonly what: string;
  readonly replies: OfMessage[];
  resolve(replies: OfMessage[]): void;
  reject(error: WeftError): void;
}

const VERSIONS: readonly OfVersion[] = [OF15, OF14];
/** A switch that does not answer for so long is given up. */
const PROBE_MS = 10_000;
/** Messages encoded in one go. */
const SLICE = 200;
/** Bytes under way beyond which a long job waits. */
const MAX_BACKLOG = 1 << 20;

export class SwitchChannel {
  readonly #stream: SwitchStream;
  readonly #options: ChannelOptions;
  readonly #framer = new Framer();
  readonly #waiting = new Map<number, Waiting>();
  /** Errors that are about messages within a bundle, by their number. */
  #bundleErrors: Map<number, ErrorMessage> | undefined;
  #version: OfVersion | undefined;
  #xid = 1;
  #bundle = 1;
  #heard = false;
  #probe: Timer | undefined;
  #closed = false;
  #up: { resolve: () => void; reject: (error: WeftError) => void } | undefined;
  #drained: (() => void) | undefined;

  constructor(stream: SwitchStream, options: ChannelOptions) {
    this.#stream = stream;
    this.#options = options;
  }

  /** Agrees on a version. @throws WeftError */
  open(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#up = { resolve, reject };
      this.#stream.receive({
        onData: (bytes) => this.#onData(bytes),
        onDrain: () => this.#onDrain(),
        onClose: (reason) => this.#end(reason === '' ? 'connection closed by the switch' : reason),
      });
      const [version] = VERSIONS;
      const versions = VERSIONS.reduce((bits, v) => bits | (1 << v), 0);
      this.#stream.send(encodeOne({ kind: 'hello', version, versions, xid: this.#nextXid() }));
      this.#armProbe();
    });
  }

  get closed(): boolean {
    return this.#closed;
  }

  close(reason = 'closed'): void {
    this.#end(reason);
  }

  /** Sends without waiting for anything. */
  send(request: Request): void {
    if (this.#closed || this.#version === undefined) return;
    for (const bytes of this.#encode(request, this.#nextXid())) this.#stream.send(bytes);
  }

  /** All parts of the reply. @throws WeftError with the switch's words, or that it is gone */
  ask(request: Request): Promise<OfMessage[]> {
    if (this.#closed)
      return Promise.reject(new WeftError('switch-gone', 'the connection to the switch is closed'));
    const xid = this.#nextXid();
    return new Promise((resolve, reject) => {
      const messages = this.#encode(request, xid);
      this.#waiting.set(xid, { what: request.kind, replies: [], resolve, reject });
      for (const bytes of messages) this.#stream.send(bytes);
    });
  }

  async barrier(): Promise<void> {
    await this.ask({ kind: 'barrier_request' });
  }

  /** For requests that a switch answers only if it refuses: a barrier behind it tells. @throws WeftError */
  async tell(request: Request): Promise<void> {
    const xid = this.#xid;
    const asked = this.ask(request);
    await Promise.race([asked, this.barrier()]);
    this.#waiting.delete(xid);
  }

  /**
   * Changes flows and groups in order, all of them or none.
   *
   * @throws WeftError `switch-refused` with the switch's words and what it is about
   */
  async bundle(
    mods: readonly Request<FlowMod | GroupMod>[],
    describe: (index: number) => string,
  ): Promise<void> {
    const flags = OFPBF_ATOMIC | OFPBF_ORDERED;
    const bundle = this.#bundle++;
    const errors = new Map<number, ErrorMessage>();
    const numbers = new Map<number, number>();
    this.#bundleErrors = errors;
    const refusal = (): WeftError | undefined => {
      for (const [xid, error] of errors) {
        const index = numbers.get(xid);
        if (index !== undefined)
          return new WeftError('switch-refused', `${errorName(error)}: ${describe(index)}`);
      }
      return undefined;
    };
    try {
      await this.ask({ kind: 'bundle_control', bundle, type: 'open_request', flags });
      for (const [index, mod] of mods.entries()) {
        if (index % SLICE === SLICE - 1) await this.#breathe();
        const xid = this.#nextXid();
        numbers.set(xid, index);
        const [message] = this.#encode(mod, xid);
        for (const bytes of this.#encode({ kind: 'bundle_add', bundle, flags, message }, xid))
          this.#stream.send(bytes);
      }
      await this.ask({ kind: 'bundle_control', bundle, type: 'commit_request', flags });
    } catch (error) {
      throw refusal() ?? error;
    } finally {
      this.#bundleErrors = undefined;
    }
    const late = refusal();
    if (late !== undefined) throw late;
  }

  async #breathe(): Promise<void> {
    await this.#options.pause();
    if (this.#closed) throw new WeftError('switch-gone', 'the connection to the switch is closed');
    if (this.#stream.backlog > MAX_BACKLOG)
      await new Promise<void>((resolve) => {
        this.#drained = resolve;
      });
  }

  #onDrain(): void {
    const resume = this.#drained;
    this.#drained = undefined;
    resume?.();
  }

  #encode(request: Request, xid: number): Uint8Array[] {
    return encodeMessage({ ...request, version: this.#version ?? OF15, xid } as OfMessage);
  }

  #nextXid(): number {
    const xid = this.#xid;
    this.#xid = xid === 0xffff_ffff ? 1 : xid + 1;
    return xid;
  }

  #onData(bytes: Uint8Array): void {
    this.#heard = true;
    for (const message of this.#framer.push(bytes)) {
      if (this.#closed) return;
      const decoded = decodeMessage(message);
      if (decoded instanceof OfError) {
        this.#onUnreadable(message, decoded);
      } else this.#onMessage(decoded);
    }
    if (this.#framer.error !== null) this.#end(this.#framer.error.message);
  }

  /** What we cannot read concerns whoever waits for it, and nobody else. */
  #onUnreadable(bytes: Uint8Array, error: OfError): void {
    const xid = new DataView(bytes.buffer, bytes.byteOffset).getUint32(4);
    const waiting = this.#waiting.get(xid);
    this.#waiting.delete(xid);
    waiting?.reject(
      new WeftError('switch-refused', `the reply to ${waiting.what} cannot be read: ${error.message}`),
    );
  }

  #onMessage(message: OfMessage): void {
    if (this.#version === undefined) {
      this.#negotiate(message);
      return;
    }
    if (message.kind === 'echo_request') {
      this.#stream.send(
        encodeOne({ kind: 'echo_reply', version: message.version, xid: message.xid, data: message.data }),
      );
      return;
    }
    if (message.kind === 'echo_reply') return;
    const waiting = this.#waiting.get(message.xid);
    if (message.kind === 'error') {
      if (waiting === undefined) {
        if (this.#bundleErrors === undefined) this.#options.onMessage(message);
        else this.#bundleErrors.set(message.xid, message);
        return;
      }
      this.#waiting.delete(message.xid);
      waiting.reject(new WeftError('switch-refused', `${waiting.what}: ${errorName(message)}`));
      return;
    }
    if (waiting === undefined || isAsync(message)) {
      this.#options.onMessage(message);
      return;
    }
    waiting.replies.push(message);
    if ('more' in message && message.more) return;
    this.#waiting.delete(message.xid);
    waiting.resolve(waiting.replies);
  }

  #negotiate(message: OfMessage): void {
    const common =
      message.kind === 'hello' ? VERSIONS.find((v) => (message.versions & (1 << v)) !== 0) : undefined;
    if (common === undefined) {
      this.#end('the switch speaks neither OpenFlow 1.5 nor 1.4: see "protocols" of its bridge');
      return;
    }
    this.#version = common;
    const up = this.#up;
    this.#up = undefined;
    up?.resolve();
  }

  #armProbe(): void {
    this.#probe = this.#options.clock.after(PROBE_MS, () => {
      if (this.#closed) return;
      if (!this.#heard) {
        this.#end(`no sign of life for ${PROBE_MS / 500} seconds`);
        return;
      }
      this.#heard = false;
      this.send({ kind: 'echo_request', data: new Uint8Array(0) });
      this.#armProbe();
    });
  }

  #end(reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#probe?.cancel();
    this.#stream.close();
    const gone = new WeftError('switch-gone', `the connection to the switch has ended: ${reason}`);
    this.#up?.reject(gone);
    this.#up = undefined;
    for (const { reject } of this.#waiting.values()) reject(gone);
    this.#waiting.clear();
    this.#onDrain();
    this.#options.onClose(reason);
  }
}

/** Messages that a switch sends by itself carry numbers of its own. */
function isAsync(message: OfMessage): boolean {
  return message.kind === 'packet_in' || message.kind === 'port_status' || message.kind === 'flow_removed';
}

function errorName({ error, numbers }: ErrorMessage): string {
  return (
    error ??
    (numbers === undefined ? 'an unknown error' : `error of type ${numbers.type}, code ${numbers.code}`)
  );
}
