import type { Clock, Timer } from '../../base/clock.ts';
import type { ModuleLog } from '../../base/log.ts';
import { encodeMessage } from '../../openflow/codec.ts';
import type { CodecOptions } from '../../openflow/message.ts';
import { OF15 } from '../../openflow/version.ts';
import { Connection, type ConnectionHandler } from './connection.ts';
import type { ByteStream, Listener, StreamProvider } from './stream.ts';
import type { ControllerConfig, ControllerStatus } from './types.ts';

interface Active {
  config: ControllerConfig;
  connection: Connection | null;
  backoff: number;
  timer: Timer | null;
  connecting: boolean;
  stopped: boolean;
  lastError: string;
  since: number;
}

interface Passive {
  readonly target: string;
  config: ControllerConfig | null;
  listener: Listener | null;
  failed: string;
  closed: boolean;
  readonly connections: Set<Connection>;
}

/** Connections that one listening service may have at once. */
const MAX_SERVICE_CONNECTIONS = 64;
/** Bits of the versions from 1.0 to 1.5. */
const ALL_VERSIONS = 0x7e;
const MIN_BACKOFF_MS = 1000;
/** Of a management connection, which no row configures: Open vSwitch's number. */
const MANAGEMENT_PROBE_MS = 60_000;

export interface ControllersOptions {
  readonly bridge: string;
  readonly streams: StreamProvider;
  readonly clock: Clock;
  readonly log: ModuleLog;
  /** Every message in words, at level dbg. */
  readonly wireLog: ModuleLog;
  readonly handler: ConnectionHandler;
  readonly codec?: CodecOptions;
  readonly onStatus: () => void;
  /** Control socket for management tools; snoop socket: every message of the primary controllers. */
  readonly services: { readonly management: string; readonly snoop: string };
}

/**
 * The connections of one bridge: to its primary controllers, kept up with growing pauses between
 * attempts; from whoever connects to a service it listens on, the management socket among them; and
 * snoopers, which hear what the controllers hear and say nothing.
 */
export class Controllers {
  readonly #options: ControllersOptions;
  readonly #active = new Map<string, Active>();
  readonly #passive = new Map<string, Passive>();
  readonly #snoopers = new Set<ByteStream>();
  #snoopListener: Listener | null = null;
  #versions = 0;
  #closed = false;

  constructor(options: ControllersOptions) {
    this.#options = options;
  }

  /** All connections whose version is agreed on. */
  *connections(): IterableIterator<Connection> {
    for (const active of this.#active.values()) if (active.connection?.up) yield active.connection;
    for (const passive of this.#passive.values()) {
      for (const connection of passive.connections) if (connection.up) yield connection;
    }
  }

  get hasPrimary(): boolean {
    return this.#active.size > 0;
  }

  get anyPrimaryUp(): boolean {
    for (const active of this.#active.values()) if (active.connection?.up) return true;
    return false;
  }

  /** When the last primary connection was lost; null while one is up, or where there is none to lose. */
  disconnectedSince(): number | null {
    if (!this.hasPrimary || this.anyPrimaryUp) return null;
    let latest = 0;
    for (const active of this.#active.values()) latest = Math.max(latest, active.since);
    return latest;
  }

  configure(configs: readonly ControllerConfig[], versions: number): void {
    if (versions !== this.#versions) {
      this.#versions = versions;
      for (const connection of [...this.connections()]) {
        if ((versions & (1 << connection.version)) === 0) connection.close('version no longer allowed');
      }
    }
    const primaries = new Map<string, ControllerConfig>();
    const services = new Map<string, ControllerConfig | null>();
    for (const config of configs) {
      if (config.type === 'primary') primaries.set(config.target, config);
      else services.set(config.target, config);
    }
    services.set(`punix:${this.#options.services.management}`, null);

    for (const [target, active] of this.#active) {
      if (!primaries.has(target)) {
        this.#stop(active);
        this.#active.delete(target);
      }
    }
    for (const [target, config] of primaries) {
      const active = this.#active.get(target);
      if (active !== undefined) active.config = config;
      else this.#start(config);
    }
    for (const [target, passive] of this.#passive) {
      if (!services.has(target)) {
        this.#unlisten(passive);
        this.#passive.delete(target);
      }
    }
    for (const [target, config] of services) {
      const passive = this.#passive.get(target);
      if (passive !== undefined) passive.config = config;
      else this.#listen(target, config);
    }
    this.#listenSnoop();
  }

  status(): ControllerStatus[] {
    const now = this.#options.clock.now();
    const statuses: ControllerStatus[] = [];
    for (const active of this.#active.values()) {
      const seconds = String(Math.max(0, Math.floor((now - active.since) / 1000)));
      const connected = active.connection?.up === true;
      const status = new Map<string, string>();
      if (active.lastError !== '') status.set('last_error', active.lastError);
      status.set('state', connected ? 'ACTIVE' : active.connecting ? 'CONNECTING' : 'BACKOFF');
      status.set(connected ? 'sec_since_connect' : 'sec_since_disconnect', seconds);
      statuses.push({ uuid: active.config.uuid, connected, role: roleName(active.connection), status });
    }
    for (const passive of this.#passive.values()) {
      if (passive.config === null) continue;
      const connected = passive.connections.size > 0;
      const status = new Map<string, string>();
      if (connected) status.set('n_connections', String(passive.connections.size));
      if (passive.failed !== '') status.set('last_error', passive.failed);
      statuses.push({ uuid: passive.config.uuid, connected, role: null, status });
    }
    return statuses;
  }

  close(): void {
    this.#closed = true;
    for (const active of this.#active.values()) this.#stop(active);
    for (const passive of this.#passive.values()) this.#unlisten(passive);
    this.#snoopListener?.close();
    for (const stream of this.#snoopers) stream.close();
    this.#active.clear();
    this.#passive.clear();
  }

  // --- Active ---------------------------------------------------------------------------------------

  #start(config: ControllerConfig): void {
    const active: Active = {
      config,
      connection: null,
      backoff: 0,
      timer: null,
      connecting: false,
      stopped: false,
      lastError: '',
      since: this.#options.clock.now(),
    };
    this.#active.set(config.target, active);
    this.#connect(active);
  }

  #connect(active: Active): void {
    if (active.stopped || this.#closed) return;
    const { log, streams, bridge } = this.#options;
    const name = `${bridge}<->${active.config.target}`;
    active.timer = null;
    active.connecting = true;
    log.dbg(() => `${name}: connecting...`);
    streams.connect(active.config.target).then(
      (stream) => {
        active.connecting = false;
        if (active.stopped) {
          stream.close();
          return;
        }
        active.connection = this.#connection(stream, 'primary', () => active.config, {
          onUp: (connection) => {
            active.backoff = 0;
            active.since = this.#options.clock.now();
            log.info(`${name}: connected`);
            this.#options.handler.onUp(connection);
            this.#options.onStatus();
          },
          onClose: (connection, reason) => {
            log.info(`${name}: connection closed${reason === '' ? ' by peer' : ` (${reason})`}`);
            if (connection.up) active.since = this.#options.clock.now();
            this.#lost(active, reason === '' ? 'End of file' : reason);
            this.#options.handler.onClose(connection, reason);
            this.#options.onStatus();
          },
        });
      },
      (error: unknown) => {
        active.connecting = false;
        const reason = error instanceof Error ? error.message : String(error);
        log.limited(60, 5).info(`${name}: connection failed (${reason})`);
        this.#lost(active, reason);
        this.#options.onStatus();
      },
    );
  }

  #lost(active: Active, reason: string): void {
    active.connection = null;
    active.lastError = reason;
    if (active.stopped || this.#closed) return;
    active.backoff = Math.min(Math.max(MIN_BACKOFF_MS, active.backoff * 2), active.config.maxBackoffMs);
    active.timer = this.#options.clock.after(active.backoff, () => this.#connect(active));
  }

  #stop(active: Active): void {
    active.stopped = true;
    active.timer?.cancel();
    active.connection?.close('no longer configured');
  }

  // --- Passive --------------------------------------------------------------------------------------

  #listen(target: string, config: ControllerConfig | null): void {
    const passive: Passive = {
      target,
      config,
      listener: null,
      failed: '',
      closed: false,
      connections: new Set(),
    };
    this.#passive.set(target, passive);
    this.#options.streams
      .listen(target, (stream) => this.#accept(passive, stream))
      .then(
        (listener) => {
          if (passive.closed) listener.close();
          else passive.listener = listener;
        },
        (error: unknown) => {
          passive.failed = error instanceof Error ? error.message : String(error);
          this.#options.log.err(`${this.#options.bridge}: failed to listen on ${target}: ${passive.failed}`);
          this.#options.onStatus();
        },
      );
  }

  #accept(passive: Passive, stream: ByteStream): void {
    if (passive.closed || passive.connections.size >= MAX_SERVICE_CONNECTIONS) {
      stream.close();
      return;
    }
    const connection = this.#connection(stream, 'service', () => passive.config, {
      onUp: (up) => {
        this.#options.handler.onUp(up);
        if (passive.config !== null) this.#options.onStatus();
      },
      onClose: (closed, reason) => {
        passive.connections.delete(closed);
        this.#options.handler.onClose(closed, reason);
        if (passive.config !== null) this.#options.onStatus();
      },
    });
    if (!connection.closed) passive.connections.add(connection);
  }

  #unlisten(passive: Passive): void {
    passive.closed = true;
    passive.listener?.close();
    for (const connection of [...passive.connections]) connection.close('no longer configured');
  }

  #connection(
    stream: ByteStream,
    kind: 'primary' | 'service',
    config: () => ControllerConfig | null,
    events: Pick<ConnectionHandler, 'onUp' | 'onClose'>,
  ): Connection {
    return new Connection({
      stream,
      bridge: this.#options.bridge,
      kind,
      clock: this.#options.clock,
      log: this.#options.log,
      wireLog: this.#options.wireLog,
      versions: this.#versions,
      probeInterval: config()?.probeIntervalMs ?? (kind === 'primary' ? 5000 : MANAGEMENT_PROBE_MS),
      limits: {
        get enableAsync() {
          return config()?.enableAsync ?? true;
        },
        get rateLimit() {
          return config()?.rateLimit ?? 0;
        },
        get burstLimit() {
          return config()?.burstLimit ?? 0;
        },
        get maxQueued() {
          return config()?.maxQueued ?? 100;
        },
      },
      codec: this.#options.codec,
      handler: {
        ...events,
        onMessage: this.#options.handler.onMessage,
        onDrain: this.#options.handler.onDrain,
      },
      onTraffic: kind === 'primary' ? (bytes) => this.#snoop(bytes) : undefined,
    });
  }

  // --- Snooping -------------------------------------------------------------------------------------

  #listenSnoop(): void {
    if (this.#snoopListener !== null || this.#closed) return;
    const { snoop } = this.#options.services;
    this.#snoopListener = { bound: '', close() {} };
    this.#options.streams
      .listen(`punix:${snoop}`, (stream) => {
        this.#snoopers.add(stream);
        // Whoever listens waits for a greeting, which those that are listened to may be long in sending.
        for (const bytes of encodeMessage({ kind: 'hello', version: OF15, xid: 1, versions: ALL_VERSIONS }))
          stream.send(bytes);
        stream.receive({ onData() {}, onDrain() {}, onClose: () => void this.#snoopers.delete(stream) });
      })
      .then(
        (listener) => {
          if (this.#closed) listener.close();
          else this.#snoopListener = listener;
        },
        (error: unknown) =>
          this.#options.log.warn(`${this.#options.bridge}: no snoop socket: ${String(error)}`),
      );
  }

  #snoop(bytes: Uint8Array): void {
    for (const stream of this.#snoopers) if (stream.backlog < 1 << 20) stream.send(bytes);
  }
}

function roleName(connection: Connection | null): ControllerStatus['role'] {
  if (connection === null || !connection.up) return null;
  switch (connection.state.role) {
    case 'primary':
      return 'master';
    case 'secondary':
      return 'slave';
    default:
      return 'other';
  }
}
