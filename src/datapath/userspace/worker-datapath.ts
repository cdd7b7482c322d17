import { deserialize } from 'node:v8';
import { Worker } from 'node:worker_threads';
import type { Clock } from '../../base/clock.ts';
import { WeftError } from '../../base/errors.ts';
import type { Logger, ModuleLog } from '../../base/log.ts';
import { EventFd } from '../../sys/event-fd.ts';
import { DatapathConnections } from '../conntrack/connections.ts';
import type { ConntrackAnswer } from '../conntrack/control.ts';
import { DEVICE_TYPES } from '../ports/device.ts';
import { TUNNEL_TYPES } from '../ports/tunnel.ts';
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
import { Counters } from './counters.ts';
import { monotonic } from './forwarder.ts';
import { DEFAULT_MAX_FLOWS, DEFAULT_MAX_MASKS, USERSPACE_FEATURES } from './in-process.ts';
import { MegaflowTable } from './megaflow-table.ts';
import * as M from './messages.ts';
import { MeterBook } from './meters.ts';
import { LOCAL_PORT, PortNumbers } from './port-numbers.ts';
import { Ring } from './ring.ts';
import { UpcallQueue } from './upcall-queue.ts';

export interface WorkerOptions {
  readonly clock: Clock;
  /** Number in [0, 1). */
  readonly random: () => number;
  readonly log: Logger;
  /** Default "netdev@ovs-netdev" and "ovs-netdev". */
  readonly type?: string;
  readonly name?: string;
  /** Default 200,000 flows, 1,024 masks. */
  readonly maxFlows?: number;
  readonly maxMasks?: number;
  /** How long an idle forwarding thread looks for packets before it sleeps; default 50. */
  readonly spinMicroseconds?: number;
  /**
   * Called once if the forwarding thread dies. The datapath is of no use afterwards (its calls throw
   * `datapath-dead`): close it, build another, and give it the ports and flows again.
   */
  readonly onFailure?: (error: Error) => void;
  /** Module that the thread runs; default: the forwarder. */
  readonly entry?: URL;
}

const COMMAND_RING = 4 << 20;
const UPCALL_RING = 4 << 20;
const QUEUE_BYTES = 8 << 20;
const QUEUE_COUNT = 16384;
/** Upcalls handled in one turn of the event loop, so that the switch does other things meanwhile. */
const UPCALLS_A_TURN = 128;
const RECORDS_A_TURN = 1024;
/** How long a call waits for the forwarding thread, which answers in microseconds unless it is stuck. */
const ANSWER_TIMEOUT_MS = 10_000;

/**
 * The userspace datapath with its own thread: the core runs there, over real devices. This side keeps
 * the books (which ports, which flows in which slot), so most calls return without asking anybody; only
 * adding or removing a port and removing flows wait for the other thread, the latter so that the
 * counters handed back are final.
 */
export function createWorkerDatapath(options: WorkerOptions): Datapath {
  return new WorkerDatapath(options);
}

class WorkerDatapath implements Datapath {
  readonly type: string;
  readonly name: string;
  readonly features: DatapathFeatures = USERSPACE_FEATURES;
  readonly connections = new DatapathConnections((request) => {
    this.#do(M.conntrackCommand(request));
    this.#await();
    return deserialize(this.#answered()) as ConntrackAnswer;
  });
  readonly #clock: Clock;
  readonly #log: ModuleLog;
  readonly #onFailure: ((error: Error) => void) | undefined;
  readonly #control = new Int32Array(new SharedArrayBuffer(M.CTL_WORDS * 4));
  readonly #answer = new Uint8Array(new SharedArrayBuffer(M.ANSWER_BYTES));
  readonly #commands = new Ring(COMMAND_RING);
  readonly #upcalls = new Ring(UPCALL_RING);
  readonly #counters: Counters;
  readonly #meters = new MeterBook();
  readonly #wake = EventFd.create();
  readonly #worker: Worker;
  readonly #ports = new PortNumbers<DatapathPort>(false);
  readonly #table: MegaflowTable;
  readonly #queue = new UpcallQueue<M.UpcallRecord>(QUEUE_BYTES, QUEUE_COUNT);
  /** What to add to the counters' monotonic time to get the switch's. */
  readonly #timeOffset: number;
  readonly #syncs = new Map<number, () => void>();
  #handler: ((upcall: Upcall) => void) | null = null;
  #draining = false;
  /** Upcalls that this side had no room or no handler for. */
  #lost = 0;
  /** Commands given, modulo 2^32. */
  #given = 0;
  #nextSync = 1;
  #dead: WeftError | null = null;
  #closing = false;
  #exited: Promise<void>;

  constructor(options: WorkerOptions) {
    const maxFlows = options.maxFlows ?? DEFAULT_MAX_FLOWS;
    const maxMasks = options.maxMasks ?? DEFAULT_MAX_MASKS;
    this.type = options.type ?? 'netdev@ovs-netdev';
    this.name = options.name ?? 'ovs-netdev';
    this.#clock = options.clock;
    this.#log = options.log.module('dpif_netdev').limited(60, 5);
    this.#onFailure = options.onFailure;
    const counters = new SharedArrayBuffer(Counters.bytesFor(maxFlows));
    this.#counters = new Counters(maxFlows, counters);
    this.#table = new MegaflowTable({ maxFlows, maxMasks }, 0);
    this.#timeOffset = options.clock.now() - monotonic();
    this.#ports.add({ port: LOCAL_PORT, name: this.name, type: 'tap' });
    Atomics.store(this.#control, M.CTL_MAIN_SLEEPS, 1);
    const setup: M.WorkerSetup = {
      control: this.#control.buffer as SharedArrayBuffer,
      answer: this.#answer.buffer as SharedArrayBuffer,
      counters,
      meters: this.#meters.counters.memory,
      commands: this.#commands.memory,
      upcalls: this.#upcalls.memory,
      wakeFd: this.#wake.fd,
      maxFlows,
      maxMasks,
      spinMicroseconds: options.spinMicroseconds ?? DEFAULT_SPIN,
      seed: Math.floor(options.random() * 2 ** 32),
    };
    this.#worker = new Worker(options.entry ?? WORKER, { workerData: setup, name: 'weft-forwarder' });
    this.#worker.on('message', (message: M.WorkerMessage) => this.#hear(message));
    this.#exited = new Promise((resolve) => {
      this.#worker.on('error', (error) => this.#die(error));
      this.#worker.on('exit', (code) => {
        this.#die(new Error(`the thread ended with code ${code}`));
        resolve();
      });
    });
  }

  portAdd(spec: PortSpec, wanted?: number): number {
    if (!DEVICE_TYPES.has(spec.type) && !TUNNEL_TYPES.has(spec.type)) {
      throw new WeftError(
        'bad-port-type',
        `port "${spec.name}": the userspace datapath has no type "${spec.type}"`,
        {
          remedy: `Use one of ${[...DEVICE_TYPES, ...TUNNEL_TYPES].join(', ')}.`,
        },
      );
    }
    const port = this.#ports.choose(spec, wanted);
    this.#counters.portClear(port);
    this.#do(M.portAddCommand(port, spec));
    this.#await();
    const answer = JSON.parse(new TextDecoder().decode(this.#answered())) as M.Answer;
    if (!answer.ok) throw new WeftError(answer.code, answer.message, { remedy: answer.remedy });
    this.#ports.add({ port, name: spec.name, type: spec.type });
    return port;
  }
  portDelete(port: number): void {
    this.#ports.delete(port);
    this.#do(M.portDeleteCommand(port));
    this.#await();
    this.#queue.forget(port);
  }
  ports(): readonly DatapathPort[] {
    return this.#ports.list();
  }
  portStats(port: number): PortStats {
    this.#ports.get(port);
    return this.#counters.portStats(port);
  }

  flowPut(flow: MegaflowSpec): MegaflowId {
    const there = this.#table.slotOf(flow.key, flow.mask);
    if (there >= 0) {
      this.#do(M.flowActionsCommand(there, flow.actions));
      return there;
    }
    this.#alive();
    const slot = this.#table.put(flow.key, flow.mask);
    this.#do(M.flowPutCommand(slot, flow.key, flow.mask, flow.actions));
    return slot;
  }
  flowDelete(id: MegaflowId): FlowStats {
    return this.flowDeleteAll([id])[0];
  }
  flowDeleteAll(ids: readonly MegaflowId[]): FlowStats[] {
    for (const id of ids) this.#known(id);
    for (let i = 0; i < ids.length; i += DELETE_CHUNK) {
      this.#do(M.flowDeleteCommand(ids.slice(i, i + DELETE_CHUNK)));
    }
    if (ids.length > 0) this.#await();
    return ids.map((id) => {
      this.#known(id);
      const stats = this.flowStats(id);
      this.#table.remove(id);
      this.#counters.flowClear(id);
      return stats;
    });
  }
  flowStats(id: MegaflowId): FlowStats {
    this.#known(id);
    const stats = this.#counters.flowStats(id);
    if (stats.used > 0) stats.used = Math.min(stats.used + this.#timeOffset, this.#clock.now());
    return stats;
  }
  flowStatsAll(ids: Int32Array, rows: FlowStatsRows): void {
    for (const id of ids) this.#known(id);
    this.#counters.flowStatsAll(ids, rows, this.#timeOffset, this.#clock.now());
  }
  get flowCount(): number {
    return this.#table.count;
  }
  get maskCount(): number {
    return this.#table.maskCount;
  }

  execute(request: ExecuteRequest): void {
    if (request.packet.length > MAX_PACKET) {
      throw new WeftError(
        'packet-too-long',
        `a packet of ${request.packet.length} bytes cannot be executed`,
        {
          remedy: `The longest that any device takes is ${MAX_PACKET}.`,
        },
      );
    }
    this.#do(M.executeCommand(request));
  }
  meterSet(meter: number, config: MeterConfig): void {
    this.#meters.note(meter, config);
    this.#do(M.meterSetCommand(meter, config));
    this.#await();
  }
  meterDelete(meter: number): void {
    this.#meters.forget(meter);
    this.#do(M.meterDeleteCommand(meter));
  }
  meterCounts(meter: number): MeterCounts {
    return this.#meters.counts(meter);
  }
  setUpcallHandler(handler: (upcall: Upcall) => void): void {
    this.#handler = handler;
  }
  stats(): DatapathStats {
    const totals = this.#counters.totals();
    totals.lost += this.#lost;
    return totals;
  }
  drops(): Readonly<Record<string, number>> {
    return this.#counters.drops();
  }
  flush(): Promise<void> {
    const id = this.#nextSync++;
    this.#do(M.syncCommand(id));
    return new Promise((resolve) => {
      this.#syncs.set(id, resolve);
    });
  }
  async close(): Promise<void> {
    if (this.#closing) return this.#exited;
    this.#closing = true;
    this.#handler = null;
    if (this.#dead === null) this.#do(M.stopCommand);
    await this.#exited;
    this.#wake.close();
  }

  #answered(): Uint8Array {
    return this.#answer.slice(0, Atomics.load(this.#control, M.CTL_ANSWER_LENGTH));
  }
  #known(id: MegaflowId): void {
    if (!this.#table.has(id)) throw new WeftError('no-such-flow', `the datapath has no flow ${id}`);
  }
  #alive(): void {
    if (this.#dead !== null) throw this.#dead;
  }

  /** Gives a command, waiting for room if there is none. */
  #do(write: M.Writer): void {
    this.#alive();
    if (!write(this.#commands)) {
      this.#wakeWorker();
      this.#await();
      if (!write(this.#commands)) {
        throw new WeftError('command-too-long', 'a command for the datapath exceeds its queue');
      }
    }
    this.#given = (this.#given + 1) | 0;
    this.#wakeWorker();
  }
  #wakeWorker(): void {
    if (Atomics.load(this.#control, M.CTL_WORKER_SLEEPS) === 1) this.#wake.signal();
  }

  /** Blocks until all commands given have taken effect. */
  #await(): void {
    const deadline = monotonic() + ANSWER_TIMEOUT_MS;
    Atomics.store(this.#control, M.CTL_MAIN_WAITS, 1);
    try {
      for (;;) {
        const processed = Atomics.load(this.#control, M.CTL_PROCESSED);
        if (processed === this.#given) return;
        const left = deadline - monotonic();
        if (left <= 0) break;
        Atomics.wait(this.#control, M.CTL_PROCESSED, processed, left);
      }
    } finally {
      Atomics.store(this.#control, M.CTL_MAIN_WAITS, 0);
    }
    throw new WeftError(
      'datapath-not-responding',
      `the forwarding thread of ${this.name} has not answered for ${ANSWER_TIMEOUT_MS / 1000} s`,
      { remedy: 'Restart the switch; its log may say why the thread is stuck.' },
    );
  }

  #hear(message: M.WorkerMessage): void {
    if (message.type === 'port-failed') {
      this.#log.warn(`${message.name}: the device failed: ${message.reason}`);
      return;
    }
    if (message.type === 'fault') {
      this.#log.err(
        `${this.name}: ${message.what} was dropped for a fault of the datapath: ${message.reason}`,
      );
      return;
    }
    if (message.type === 'upcalls') {
      this.#drain();
      return;
    }
    // All that was put before is in the ring by now.
    this.#take(Number.POSITIVE_INFINITY);
    while (this.#queue.length > 0) this.#handleOne();
    const resolve = this.#syncs.get(message.id);
    this.#syncs.delete(message.id);
    resolve?.();
  }

  /** Handles some upcalls now and, if more wait, the others in later turns of the event loop. */
  #drain(): void {
    if (this.#draining) return;
    this.#take(RECORDS_A_TURN);
    for (let n = 0; n < UPCALLS_A_TURN && this.#queue.length > 0; n++) this.#handleOne();
    if (this.#queue.length === 0 && this.#upcalls.empty) {
      Atomics.store(this.#control, M.CTL_MAIN_SLEEPS, 1);
      // One that came before the flag was up has woken nobody.
      if (this.#upcalls.empty) return;
      Atomics.store(this.#control, M.CTL_MAIN_SLEEPS, 0);
    }
    this.#draining = true;
    setImmediate(() => {
      this.#draining = false;
      this.#drain();
    });
  }

  /** Moves upcalls from the ring to the lines of their ports. */
  #take(limit: number): void {
    for (let n = 0; n < limit; n++) {
      const upcall = M.takeUpcall(this.#upcalls);
      if (upcall === undefined) return;
      if (!this.#queue.push(upcall)) this.#lost++;
    }
  }

  #handleOne(): void {
    const upcall = this.#queue.shift();
    if (upcall === undefined) return;
    if (this.#handler === null) {
      this.#lost++;
      return;
    }
    const { packet, flow, cookie, offload } = upcall;
    this.#handler({
      kind: cookie === null ? 'miss' : 'action',
      packet,
      flow,
      userdata: cookie,
      actions: null,
      offload,
    });
  }

  #die(cause: Error): void {
    if (this.#dead !== null) return;
    this.#dead = new WeftError(
      'datapath-dead',
      `the forwarding thread of ${this.name} is gone: ${cause.message}`,
      {
        cause,
        remedy: 'Close the datapath and build it anew.',
      },
    );
    for (const resolve of this.#syncs.values()) resolve();
    this.#syncs.clear();
    if (this.#closing) return;
    this.#log.err(this.#dead.message);
    this.#onFailure?.(this.#dead);
  }
}

const DEFAULT_SPIN = 50;
/** Slots in one delete command. */
const DELETE_CHUNK = 4096;
const MAX_PACKET = 65536 + 256;
/** Beside this file, as source or as built. */
const WORKER = import.meta.url.endsWith('.ts')
  ? new URL('./worker.ts', import.meta.url)
  : new URL('./worker.js', import.meta.url);
