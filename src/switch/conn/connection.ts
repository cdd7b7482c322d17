import type { Clock, Timer } from '../../base/clock.ts';
import type { ModuleLog } from '../../base/log.ts';
import { Match } from '../../flow/match.ts';
import { RequestAssembler } from '../../openflow/assembler.ts';
import {
  decodeMessage,
  decodeOrThrow,
  encodeMessage,
  errorMessage,
  errorReply,
} from '../../openflow/codec.ts';
import { OfError, type OfErrorName } from '../../openflow/errors.ts';
import { Framer } from '../../openflow/framer.ts';
import type { Variant } from '../../openflow/header.ts';
import type { CodecOptions, OfMessage } from '../../openflow/message.ts';
import type { AsyncConfig } from '../../openflow/messages/async.ts';
import type { PacketInFormat } from '../../openflow/messages/packet-in.ts';
import type { Role } from '../../openflow/messages/role.ts';
import { formatMessage } from '../../openflow/text/message.ts';
import { isOfVersion, type OfVersion } from '../../openflow/version.ts';
import { Bundles } from './bundles.ts';
import { PartJoiner } from './multipart.ts';
import { type LimiterSettings, PacketInLimiter } from './packet-in-limiter.ts';
import type { ByteStream } from './stream.ts';

const OFPT_FLOW_MOD = 14;

/** A connection of ours has this much waiting at the most before it is given up: the peer doesn't read. */
const MAX_BACKLOG = 64 * 1024 * 1024;
/** Above this, asynchronous messages are dropped. */
const ASYNC_BACKLOG = 1024 * 1024;
/** Above this, no more requests are taken until what was answered is sent. */
const REQUEST_BACKLOG = 4 * 1024 * 1024;

/** What a connection has agreed on; each connection has its own. */
export interface ConnectionState {
  role: Role;
  packetInFormat: PacketInFormat;
  controllerId: number;
  missSendLen: number;
  /** null: the defaults of the role. */
  asyncConfig: AsyncConfig | null;
  flowModTableId: boolean;
  readonly bundles: Bundles;
}

export interface ConnectionHandler {
  /** The version is agreed on. */
  onUp(connection: Connection): void;
  /** `bytes` is the whole message, for errors and logs. */
  onMessage(connection: Connection, message: OfMessage, bytes: Uint8Array): void;
  onClose(connection: Connection, reason: string): void;
  /** Nothing waits to be sent any more. */
  onDrain?(connection: Connection): void;
}

export interface ConnectionOptions {
  readonly stream: ByteStream;
  /** Its name, for the log. */
  readonly bridge: string;
  readonly kind: 'primary' | 'service';
  readonly clock: Clock;
  readonly log: ModuleLog;
  /** Gets every message in words, at level dbg. */
  readonly wireLog: ModuleLog;
  /** Bit n: wire version n is allowed. */
  readonly versions: number;
  /** What the switch's side of the codec knows, the same for all its connections. */
  readonly codec?: CodecOptions;
  /** ms without a word before the peer is asked if it is there; 0: never. */
  readonly probeInterval: number;
  readonly handler: ConnectionHandler;
  /** May change while the connection lives. */
  readonly limits: LimiterSettings & { readonly enableAsync: boolean };
  /** Sees every message, for `snoop`. */
  readonly onTraffic?: (bytes: Uint8Array, direction: 'in' | 'out') => void;
}

/** One OpenFlow connection: hello, framing, echo, and what the peer has asked for. */
export class Connection {
  readonly options: ConnectionOptions;
  readonly state: ConnectionState;
  readonly connectedAt: number;
  version: OfVersion = 1;
  up = false;
  closed = false;
  #codec: CodecOptions = {};
  /** For flow mods, which nobody keeps. */
  #flowModCodec: CodecOptions = {};
  readonly #framer = new Framer();
  readonly #assembler = new RequestAssembler();
  readonly #waiting: Uint8Array[] = [];
  readonly #parts = new PartJoiner();
  readonly #limiters: [PacketInLimiter | null, PacketInLimiter | null] = [null, null];
  #probe: Timer | null = null;
  #probing = false;
  #lastHeard: number;
  #xid = 0;
  #draining = false;

  constructor(options: ConnectionOptions) {
    this.options = options;
    this.connectedAt = options.clock.now();
    this.#lastHeard = this.connectedAt;
    this.state = {
      role: 'equal',
      packetInFormat: 'standard',
      controllerId: 0,
      missSendLen: options.kind === 'primary' ? 128 : 0,
      asyncConfig: null,
      flowModTableId: false,
      bundles: new Bundles(),
    };
    options.stream.receive({
      onData: (bytes) => this.#data(bytes),
      onDrain: () => {
        if (this.up && !this.closed) this.options.handler.onDrain?.(this);
        this.#process();
      },
      onClose: (reason) => this.#closed(reason),
    });
    this.#hello();
    this.#armProbe();
  }

  get peer(): string {
    return this.options.stream.peer;
  }

  /** Which bridge, and who: "br0<->unix#3". For the log. */
  get name(): string {
    return `${this.options.bridge}<->${this.peer}`;
  }

  get codecOptions(): CodecOptions {
    const { flowModTableId } = this.state;
    if (this.#codec.flowModTableId !== flowModTableId) {
      this.#codec = { ...this.options.codec, flowModTableId };
      this.#flowModCodec = { ...this.#codec, into: new Match() };
    }
    return this.#codec;
  }

  /**
   * Decodes a message that came within another. The match of a flow mod is good until the next message.
   * @throws OfError
   */
  decode(bytes: Uint8Array): OfMessage {
    return decodeOrThrow(bytes, this.#optionsFor(bytes));
  }

  #optionsFor(bytes: Uint8Array): CodecOptions {
    const { codecOptions } = this;
    return bytes[1] === OFPT_FLOW_MOD ? this.#flowModCodec : codecOptions;
  }

  /** Bytes that wait to be sent. */
  get backlog(): number {
    return this.options.stream.backlog;
  }

  /** A number for a message of our own. */
  nextXid(): number {
    this.#xid = (this.#xid + 1) >>> 0;
    return this.#xid;
  }

  // --- Sending --------------------------------------------------------------------------------------

  send(message: OfMessage): void {
    if (this.closed) return;
    for (const bytes of encodeMessage(message, this.codecOptions)) this.sendBytes(bytes);
  }

  sendBytes(bytes: Uint8Array): void {
    if (this.closed) return;
    this.options.onTraffic?.(bytes, 'out');
    this.options.wireLog.dbg(() => `${this.peer}: sent (Success): ${formatMessage(bytes).trimEnd()}`);
    this.options.stream.send(bytes);
    if (this.options.stream.backlog > MAX_BACKLOG) {
      this.options.log.warn(
        `${this.name}: closed: ${this.options.stream.backlog} bytes wait and the peer doesn't read`,
      );
      this.close('send backlog too long');
    }
  }

  sendError(error: OfError | OfErrorName, request: Uint8Array): void {
    this.sendBytes(errorReply(error, request));
  }

  /** A reply to a request: of its version, number and dialect. */
  replyHeader(request: { readonly xid: number; readonly variant?: Variant }): {
    version: OfVersion;
    xid: number;
    variant: Variant | undefined;
  } {
    return { version: this.version, xid: request.xid, variant: request.variant };
  }

  /**
   * Sends a packet-in, at the rate that is allowed. Packets that missed and packets that actions sent
   * don't take each other's place.
   */
  sendPacketIn(port: number, isMiss: boolean, message: OfMessage): void {
    const { clock, limits } = this.options;
    this.#limiters[isMiss ? 1 : 0] ??= new PacketInLimiter(clock, limits, (each) => this.send(each));
    this.#limiters[isMiss ? 1 : 0]?.push(port, message);
  }

  /** Whether there is room for messages that nobody asked for. */
  get acceptsAsync(): boolean {
    return (
      this.up &&
      !this.closed &&
      this.options.limits.enableAsync &&
      this.options.stream.backlog < ASYNC_BACKLOG
    );
  }

  close(reason: string): void {
    if (this.closed) return;
    this.options.stream.close();
    this.#closed(reason);
  }

  #closed(reason: string): void {
    if (this.closed) return;
    this.closed = true;
    this.#probe?.cancel();
    for (const limiter of this.#limiters) limiter?.close();
    this.options.handler.onClose(this, reason);
  }

  // --- Receiving ------------------------------------------------------------------------------------

  #data(bytes: Uint8Array): void {
    if (this.closed) return;
    this.#lastHeard = this.options.clock.now();
    this.#probing = false;
    this.#waiting.push(...this.#framer.push(bytes));
    this.#process();
    if (this.#framer.error !== null) {
      this.options.log
        .limited(60, 5)
        .warn(`${this.name}: ${this.#framer.error.message}, closing the connection`);
      this.close('Protocol error');
    }
  }

  #process(): void {
    if (this.#draining) return;
    this.#draining = true;
    while (!this.closed && this.options.stream.backlog < REQUEST_BACKLOG) {
      const bytes = this.#waiting.shift();
      if (bytes === undefined) break;
      this.#message(bytes);
    }
    this.#draining = false;
  }

  #message(bytes: Uint8Array): void {
    this.options.onTraffic?.(bytes, 'in');
    this.options.wireLog.dbg(() => `${this.peer}: received: ${formatMessage(bytes).trimEnd()}`);
    if (!this.up) {
      this.#negotiate(bytes);
      return;
    }
    const { log } = this.options;
    if (bytes[0] !== this.version) {
      // A hello or an echo of another version is no reason to be strict.
      const type = bytes[1];
      if (type !== 0 && type !== 2 && type !== 3 && type !== 1) {
        log
          .limited(60, 5)
          .warn(
            `${this.name}: received OpenFlow version 0x${hex2(bytes[0])} != expected ${hex2(this.version)}`,
          );
        this.sendError('OFPBRC_BAD_VERSION', bytes);
        return;
      }
    }
    try {
      for (const part of this.#assembler.push(bytes, this.options.clock.now())) this.#request(part);
    } catch (error) {
      if (!(error instanceof OfError)) throw error;
      this.sendError(error, bytes);
    }
    this.expire();
  }

  #request(bytes: Uint8Array): void {
    const { log } = this.options;
    const decoded = decodeMessage(bytes, this.#optionsFor(bytes));
    if (decoded instanceof OfError) {
      this.#parts.reset();
      log.limited(60, 20).info(`${this.name}: ${decoded.message}`);
      if (bytes[1] !== 1) this.sendError(decoded, bytes);
      return;
    }
    const message = this.#parts.join(decoded);
    if (message === null) return;
    switch (message.kind) {
      case 'hello':
        return;
      case 'echo_request':
        this.send({ ...message, kind: 'echo_reply' });
        return;
      case 'echo_reply':
        return;
      default:
        try {
          this.options.handler.onMessage(this, message, bytes);
        } catch (error) {
          if (error instanceof OfError) {
            log.limited(60, 20).info(`${this.name}: ${message.kind}: ${error.message}`);
            this.sendError(error, bytes);
          } else {
            // A fault of ours must cost this peer its connection, not everybody the switch.
            const what = error instanceof Error ? (error.stack ?? error.message) : String(error);
            log.limited(60, 20).err(`${this.name}: ${message.kind} failed, closing the connection: ${what}`);
            this.close('internal error');
          }
        }
    }
  }

  /** Gives up requests whose parts don't come. */
  expire(): void {
    if (this.#assembler.pending === 0) return;
    for (const { error, request } of this.#assembler.expire(this.options.clock.now())) {
      this.sendError(error, request);
    }
  }

  // --- Hello ----------------------------------------------------------------------------------------

  #hello(): void {
    const { versions } = this.options;
    const newest = 31 - Math.clz32(versions);
    for (const bytes of encodeMessage({
      kind: 'hello',
      version: newest as OfVersion,
      xid: this.nextXid(),
      versions,
    })) {
      this.sendBytes(bytes);
    }
  }

  #negotiate(bytes: Uint8Array): void {
    const { log, versions } = this.options;
    const hello = decodeMessage(bytes);
    if (hello instanceof OfError || hello.kind !== 'hello') {
      const what = hello instanceof OfError ? hello.message : `a ${hello.kind}`;
      log.limited(60, 5).warn(`${this.name}: expected a hello, got ${what}`);
      if (bytes[1] !== 1) {
        this.sendBytes(errorMessage(bytes[0], 0, 'OFPBRC_BAD_TYPE', bytes));
      }
      this.close('Protocol error');
      return;
    }
    const common = hello.versions & versions;
    if (common === 0) {
      const newest = 31 - Math.clz32(versions);
      const text = `We support ${versionList(versions)}, you support ${versionList(hello.versions)}, no common versions.`;
      log.warn(
        `${this.name}: version negotiation failed (we support ${versionList(versions)}, peer supports ${versionList(hello.versions)})`,
      );
      this.sendBytes(errorMessage(newest, hello.xid, 'OFPHFC_INCOMPATIBLE', new TextEncoder().encode(text)));
      this.close('version negotiation failed');
      return;
    }
    const version = 31 - Math.clz32(common);
    if (!isOfVersion(version)) {
      this.close('version negotiation failed');
      return;
    }
    this.version = version;
    this.up = true;
    this.options.wireLog.dbg(
      () =>
        `${this.peer}: negotiated OpenFlow version 0x${hex2(version)} (we support ${versionList(versions)}, peer supports ${versionList(hello.versions)})`,
    );
    this.options.handler.onUp(this);
  }

  // --- Is the peer there? ---------------------------------------------------------------------------

  #armProbe(): void {
    const { probeInterval, clock } = this.options;
    if (probeInterval <= 0) return;
    this.#probe = clock.after(probeInterval, () => {
      if (this.closed) return;
      if (clock.now() - this.#lastHeard >= probeInterval) {
        if (this.#probing || !this.up) {
          this.options.log
            .limited(60, 5)
            .err(
              `${this.name}: no response to inactivity probe after ${probeInterval / 1000} seconds, disconnecting`,
            );
          this.close('inactivity probe unanswered');
          return;
        }
        this.#probing = true;
        this.send({
          kind: 'echo_request',
          version: this.version,
          xid: 0,
          data: new Uint8Array(),
        });
      }
      this.#armProbe();
    });
  }
}

function hex2(n: number): string {
  return n.toString(16).padStart(2, '0');
}

/** "version 0x01", "version 0x06 and earlier", "versions 0x01 and 0x04", "versions 0x01, 0x04, and 0x05". */
function versionList(bits: number): string {
  const numbers: string[] = [];
  for (let v = 1; v < 31; v++) if ((bits & (1 << v)) !== 0) numbers.push(`0x${hex2(v)}`);
  if (numbers.length === 0) return 'no versions';
  if (numbers.length === 1) return `version ${numbers[0]}`;
  // All versions from 1 to the newest.
  if (((bits >>> 1) & ((bits >>> 1) + 1)) === 0) return `version ${numbers.at(-1)} and earlier`;
  if (numbers.length === 2) return `versions ${numbers[0]} and ${numbers[1]}`;
  return `versions ${numbers.slice(0, -1).join(', ')}, and ${numbers.at(-1)}`;
}
