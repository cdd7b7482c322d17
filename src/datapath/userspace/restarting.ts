import type { Clock, Timer } from '../../base/clock.ts';
import { WeftError } from '../../base/errors.ts';
import type { ModuleLog } from '../../base/log.ts';
import { putFlows, readFlowStats } from '../batch.ts';
import { DatapathConnections } from '../conntrack/connections.ts';
import type { ConntrackAnswer, ConntrackRequest } from '../conntrack/control.ts';
import type {
  Datapath,
  DatapathFeatures,
  DatapathPort,
  DatapathStats,
  ExecuteRequest,
  FlowStats,
  FlowStatsRows,
  MegaflowId,
  MegaflowSpec,
  MeterConfig,
  MeterCounts,
  PortSpec,
  PortStats,
  Upcall,
} from '../types.ts';

/** Pauses between attempts to start anew: the first, and the longest. */
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 10_000;
/** A datapath that lived for so long failed for a new reason. */
const HEALTHY_MS = 30_000;

const NO_FLOW_STATS: FlowStats = { packets: 0, bytes: 0, used: 0, tcpFlags: 0 };
const NO_TRAFFIC: PortStats = {
  rxPackets: 0,
  rxBytes: 0,
  rxErrors: 0,
  rxDropped: 0,
  txPackets: 0,
  txBytes: 0,
  txErrors: 0,
  txDropped: 0,
};

/** What a tracker that isn't there says. */
function nothingOf(request: ConntrackRequest): ConntrackAnswer {
  switch (request.kind) {
    case 'dump':
      return { records: new Uint32Array(0), next: -1 };
    case 'state':
      return { connections: 0, maxConnections: 0, checksTcpSequence: true };
    case 'limits':
      return [];
    case 'forget':
    case 'delete-limit':
      return false;
    default:
      return null;
  }
}

export interface RestartingOptions {
  /** Builds one; `onFailure` is called once if it dies. */
  readonly make: (onFailure: (error: Error) => void) => Datapath;
  readonly clock: Clock;
  readonly log: ModuleLog;
}

/**
 * A datapath that outlives the thread it runs in. When that dies, a new one is built and given the same
 * ports and meters under the same numbers, and the same limits and timeouts of connections; whoever keeps megaflows is told that they are gone (`setResetHandler`),
 * and installs them again as packets come up. Counters of ports and of lookups start anew. In between,
 * ports and flows can't be added (`datapath-dead`), packets are dropped, and counters read 0.
 */
export class RestartingDatapath implements Datapath {
  readonly #options: RestartingOptions;
  #inner: Datapath;
  readonly #ports = new Map<number, PortSpec>();
  readonly #meters = new Map<number, MeterConfig>();
  readonly #conntrackSettings = new Map<string, ConntrackRequest>();
  readonly connections = new DatapathConnections((request) => {
    this.#noteSetting(request);
    return this.#orElse(nothingOf(request), () => this.#inner.connections.ask(request));
  });
  #upcallHandler: ((upcall: Upcall) => void) | null = null;
  #resetHandler: (() => void) | null = null;
  #pause = FIRST_PAUSE_MS;
  #startedAt: number;
  #timer: Timer | null = null;
  #closed = false;

  constructor(options: RestartingOptions) {
    this.#options = options;
    this.#startedAt = options.clock.now();
    this.#inner = options.make((error) => this.#failed(error));
  }

  setResetHandler(handler: () => void): void {
    this.#resetHandler = handler;
  }

  #failed(error: Error): void {
    if (this.#closed) return;
    const { clock, log } = this.#options;
    if (clock.now() - this.#startedAt >= HEALTHY_MS) this.#pause = FIRST_PAUSE_MS;
    log.err(
      `${this.#inner.name}: forwarding ended (${error.message}), starting it anew in ${this.#pause} ms`,
    );
    // Before anything else asks for a flow that is no more.
    this.#resetHandler?.();
    this.#timer = clock.after(this.#pause, () => this.#restart());
    this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE_MS);
  }

  #restart(): void {
    const { clock, log, make } = this.#options;
    const dead = this.#inner;
    dead.close().catch((error: unknown) => log.warn(`${dead.name}: ${String(error)}`));
    this.#startedAt = clock.now();
    try {
      this.#inner = make((error) => this.#failed(error));
    } catch (error) {
      this.#failed(error instanceof Error ? error : new Error(String(error)));
      return;
    }
    if (this.#upcallHandler !== null) this.#inner.setUpcallHandler(this.#upcallHandler);
    for (const [port, spec] of this.#ports) {
      try {
        this.#inner.portAdd(spec, port);
      } catch (error) {
        log.err(`${spec.name}: not back: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
    for (const [meter, config] of this.#meters) this.meterSet(meter, config);
    for (const setting of this.#conntrackSettings.values()) this.connections.ask(setting);
    log.info(`${this.#inner.name}: forwarding again, with ${this.#ports.size} ports`);
  }

  #noteSetting(request: ConntrackRequest): void {
    const settings = this.#conntrackSettings;
    switch (request.kind) {
      case 'set-limit':
        settings.set(`limit ${request.zone}`, request);
        break;
      case 'delete-limit':
        settings.delete(`limit ${request.zone}`);
        break;
      case 'set-timeouts':
        settings.set(`timeouts ${request.name}`, request);
        break;
      case 'delete-timeouts':
        settings.delete(`timeouts ${request.name}`);
        break;
      case 'set-max-connections':
      case 'set-tcp-sequence-check':
        settings.set(request.kind, request);
    }
  }

  /** What `fn` gives, or `otherwise` while the forwarding thread is gone. */
  #orElse<T>(otherwise: T, fn: () => T): T {
    try {
      return fn();
    } catch (error) {
      if (error instanceof WeftError && error.code === 'datapath-dead') return otherwise;
      throw error;
    }
  }

  get type(): string {
    return this.#inner.type;
  }

  get name(): string {
    return this.#inner.name;
  }

  get features(): DatapathFeatures {
    return this.#inner.features;
  }

  portAdd(spec: PortSpec, wanted?: number): number {
    const port = this.#inner.portAdd(spec, wanted);
    this.#ports.set(port, spec);
    return port;
  }

  portDelete(port: number): void {
    this.#ports.delete(port);
    this.#orElse(undefined, () => this.#inner.portDelete(port));
  }

  ports(): readonly DatapathPort[] {
    return this.#inner.ports();
  }

  portStats(port: number): PortStats {
    return this.#orElse(NO_TRAFFIC, () => this.#inner.portStats(port));
  }

  flowPut(flow: MegaflowSpec): MegaflowId {
    return this.#inner.flowPut(flow);
  }

  flowDelete(id: MegaflowId): FlowStats {
    return this.#orElse(NO_FLOW_STATS, () => this.#inner.flowDelete(id));
  }

  flowDeleteAll(ids: readonly MegaflowId[]): FlowStats[] {
    return this.#orElse(
      ids.map(() => NO_FLOW_STATS),
      () => this.#inner.flowDeleteAll(ids),
    );
  }

  flowStats(id: MegaflowId): FlowStats {
    return this.#orElse(NO_FLOW_STATS, () => this.#inner.flowStats(id));
  }

  flowPutAll(flows: readonly MegaflowSpec[]): (MegaflowId | WeftError)[] {
    return putFlows(this.#inner, flows);
  }

  flowStatsAll(ids: Int32Array, rows: FlowStatsRows): void {
    const done = this.#orElse(false, () => {
      readFlowStats(this.#inner, ids, rows);
      return true;
    });
    if (done) return;
    for (const column of [rows.packets, rows.bytes, rows.used, rows.tcpFlags]) column.fill(0, 0, ids.length);
  }

  get flowCount(): number {
    return this.#inner.flowCount;
  }

  get maskCount(): number {
    return this.#inner.maskCount;
  }

  execute(packet: ExecuteRequest): void {
    this.#orElse(undefined, () => this.#inner.execute(packet));
  }

  meterSet(meter: number, config: MeterConfig): void {
    this.#meters.set(meter, config);
    this.#orElse(undefined, () => this.#inner.meterSet(meter, config));
  }

  meterDelete(meter: number): void {
    this.#meters.delete(meter);
    this.#orElse(undefined, () => this.#inner.meterDelete(meter));
  }

  meterCounts(meter: number): MeterCounts {
    return this.#inner.meterCounts(meter);
  }

  setUpcallHandler(handler: (upcall: Upcall) => void): void {
    this.#upcallHandler = handler;
    this.#inner.setUpcallHandler(handler);
  }

  stats(): DatapathStats {
    return this.#inner.stats();
  }

  drops(): Readonly<Record<string, number>> {
    return this.#inner.drops();
  }

  flush(): Promise<void> {
    return this.#inner.flush();
  }

  close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    return this.#inner.close();
  }
}
