import type { Clock } from '../../base/clock.ts';
import type { Logger, ModuleLog } from '../../base/log.ts';
import type { Connector, RpcChannel } from '../rpc/channel.ts';
import { Reconnector } from '../rpc/reconnect.ts';
import type { Server } from './server.ts';
import type { Session } from './session.ts';

/** What takes connections. */
export interface Listener {
  /** The TCP port that it got, or undefined. */
  readonly port: number | undefined;
  close(): void;
}

/** Opens sockets. The real one is in `bin`. */
export interface Transports {
  /** Whether `target` names a place to listen at, one to connect to, or is nothing we know. */
  kind(target: string): 'passive' | 'active' | 'unknown';
  /** Rejects with an error whose message says why it cannot listen. */
  listen(
    target: string,
    dscp: number | undefined,
    onChannel: (channel: RpcChannel, peer: string, id?: string) => void,
  ): Promise<Listener>;
  connector(target: string, dscp: number | undefined): Connector;
  /** Whether the other side of `target` can vanish without a sign. */
  needsProbes(target: string): boolean;
}

export interface RemoteOptions {
  probeInterval: number;
  maxBackoff: number;
  readOnly: boolean;
  role: string;
  dscp: number | undefined;
}

/** One connection method in use. */
export class Remote {
  readonly target: string;
  readonly #server: Server;
  readonly #transports: Transports;
  readonly #log: ModuleLog;
  readonly #sessions = new Set<Session>();
  readonly #reconnector: Reconnector | undefined;
  #listener: Listener | undefined;
  #options: RemoteOptions;
  #closed = false;
  /** Resolves when listening has begun or failed. */
  readonly ready: Promise<string | undefined>;

  constructor(
    target: string,
    options: RemoteOptions,
    server: Server,
    transports: Transports,
    clock: Clock,
    log: Logger,
  ) {
    this.target = target;
    this.#options = options;
    this.#server = server;
    this.#transports = transports;
    this.#log = log.module('ovsdb_jsonrpc_server');
    if (transports.kind(target) === 'passive') {
      this.ready = this.#listen();
      return;
    }
    const connector = transports.connector(target, options.dscp);
    const reconnector = new Reconnector({
      clock,
      log: log.module('reconnect'),
      connector,
      maxBackoff: options.maxBackoff,
      onChannel: (channel) => this.#accept(channel, target, undefined, (reason) => reconnector.lost(reason)),
    });
    this.#reconnector = reconnector;
    this.ready = Promise.resolve(undefined);
    reconnector.start();
  }

  async #listen(): Promise<string | undefined> {
    try {
      const listener = await this.#transports.listen(this.target, this.#options.dscp, (channel, peer, id) =>
        this.#accept(channel, peer, id),
      );
      if (this.#closed) listener.close();
      else this.#listener = listener;
      return undefined;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }

  #accept(channel: RpcChannel, name: string, id?: string, onClose?: (reason: string) => void): void {
    const { readOnly, role, probeInterval } = this.#options;
    const session: Session | undefined = this.#server.accept(channel, {
      name,
      readOnly,
      principal: { role, id },
      probeInterval,
      onClose: (reason) => {
        if (session !== undefined) this.#sessions.delete(session);
        onClose?.(reason);
      },
    });
    if (session === undefined) onClose?.('too many clients');
    else this.#sessions.add(session);
  }

  get options(): RemoteOptions {
    return this.#options;
  }

  set options(options: RemoteOptions) {
    this.#options = options;
    if (this.#reconnector !== undefined) this.#reconnector.maxBackoff = options.maxBackoff;
    for (const session of this.#sessions) session.probeInterval = options.probeInterval;
  }

  close(): void {
    this.#closed = true;
    this.#reconnector?.stop();
    this.#listener?.close();
    for (const session of [...this.#sessions]) session.close();
    this.#log.dbg(() => `${this.target}: closed`);
  }

  get connected(): boolean {
    return this.#sessions.size > 0;
  }

  /** The `status` column of a `Manager` row. */
  status(): Map<string, string> {
    const status = new Map<string, string>();
    const put = (key: string, value: string | number | undefined): void => {
      if (value !== undefined && value !== '') status.set(key, String(value));
    };
    if (this.#reconnector === undefined) {
      put('n_connections', this.#sessions.size > 1 ? this.#sessions.size : undefined);
      put('bound_port', this.#listener?.port);
      return status;
    }
    put('state', this.#reconnector.state);
    put('sec_since_connect', this.#reconnector.secondsSinceConnect);
    put('sec_since_disconnect', this.#reconnector.secondsSinceDisconnect);
    put('last_error', this.#reconnector.lastError);
    const [session] = this.#sessions;
    if (session !== undefined) {
      put('locks_held', session.lockNames('owner').join(' '));
      put('locks_waiting', session.lockNames('waiting').join(' '));
      put('locks_lost', session.lockNames('lost').join(' '));
    }
    return status;
  }
}
