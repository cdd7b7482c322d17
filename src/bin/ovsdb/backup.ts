/** The server's role as a backup of another: when it replicates, and from where. */
import { formatExcluded, parseExcluded, Replication } from '../../ovsdb/server/replication.ts';
import type { Server } from '../../ovsdb/server/server.ts';
import type { Daemon } from '../daemon/daemon.ts';
import type { BackupConfig } from './saved_config.ts';
import type { SocketTransports } from './socket.ts';

const DEFAULT_PROBE_MS = 60_000;
/** How long a command waits to see whether replication works. */
const SETTLE_MS = 500;

export class Backup {
  readonly #server: Server;
  readonly #transports: SocketTransports;
  readonly #daemon: Daemon;
  source: string | undefined;
  #excluded: Map<string, Set<string>> = new Map();
  #probeInterval = DEFAULT_PROBE_MS;
  #replication: Replication | undefined;

  constructor(server: Server, transports: SocketTransports, daemon: Daemon) {
    this.#server = server;
    this.#transports = transports;
    this.#daemon = daemon;
  }

  get config(): BackupConfig {
    return { source: this.source, excluded: this.excluded, active: this.#replication === undefined };
  }

  /** Takes over a configuration. Throws `OvsdbError` if the excluded tables are not understood. */
  configure({ source, excluded, active }: BackupConfig): void {
    this.source = source;
    this.#excluded = parseExcluded(excluded ?? '');
    if (!active) void this.start();
  }

  /** Starts to replicate, from the beginning. Resolves when it is known to work or not, or after a moment. */
  async start(): Promise<void> {
    if (this.source === undefined) return;
    this.#replication?.close();
    this.#server.readOnly = true;
    const { clock, log } = this.#daemon;
    const replication = new Replication({
      server: this.#server,
      connector: this.#transports.connector(this.source),
      clock,
      log,
      excluded: this.#excluded,
      probeInterval: this.#probeInterval,
      onFailure: () => {
        if (this.#replication === replication) this.stop();
      },
    });
    this.#replication = replication;
    replication.start();
    await Promise.race([
      replication.settled(),
      new Promise((resolve) => setTimeout(resolve, SETTLE_MS).unref()),
    ]);
  }

  /** The set of databases or tables changed: a backup begins anew. */
  restart(): void {
    if (this.#replication !== undefined) void this.start();
  }

  /** Ends replication: this server takes writes from now on. */
  stop(): void {
    this.#replication?.close();
    this.#replication = undefined;
    this.#server.readOnly = false;
  }

  set probeInterval(milliseconds: number) {
    this.#probeInterval = milliseconds;
    if (this.#replication !== undefined) this.#replication.probeInterval = milliseconds;
  }

  get excluded(): string {
    return formatExcluded(this.#excluded);
  }

  exclude(text: string): void {
    this.#excluded = parseExcluded(text);
    this.restart();
  }

  get status(): string {
    if (this.#replication === undefined) return 'state: active\n';
    return `state: backup\n${this.#replication.status}`;
  }
}
