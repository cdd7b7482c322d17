import type { Clock } from '../../base/clock.ts';
import { WeftError } from '../../base/errors.ts';
import type { Logger, ModuleLog } from '../../base/log.ts';
import { type Flow, W_IN_PORT } from '../../flow/layout.ts';
import { DatapathConnections } from '../conntrack/connections.ts';
import { answer } from '../conntrack/control.ts';
import { ConnectionTracker } from '../conntrack/tracker.ts';
import { Packet } from '../packet/packet.ts';
import { type DummyPort, wireBytes } from '../ports/dummy.ts';
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
  PacketOffload,
  PortSpec,
  PortStats,
  Upcall,
  UserspaceCookie,
} from '../types.ts';
import { Core, type FragmentRest, type OutputPort, offloadOf, packetOf } from './core.ts';
import { Counters } from './counters.ts';
import { DatapathMeters } from './meters.ts';
import { LOCAL_PORT, PortNumbers } from './port-numbers.ts';
import { UpcallQueue } from './upcall-queue.ts';

export interface InProcessOptions {
  readonly clock: Clock;
  /** Number in [0, 1). */
  readonly random: () => number;
  readonly log: Logger;
  /** Default "dummy@ovs-dummy" and "ovs-dummy". */
  readonly type?: string;
  readonly name?: string;
  /** Default 200,000 flows, 1,024 masks. */
  readonly maxFlows?: number;
  readonly maxMasks?: number;
  /** Connections that are tracked at most; default 3,000,000. */
  readonly maxConnections?: number;
}

/** A datapath with dummy ports in the calling thread: same calls, same result, every time. */
export interface InProcessDatapath extends Datapath {
  /** @throws WeftError `no-such-port` */
  dummyPort(name: string): DummyPort;
}

export const DEFAULT_MAX_FLOWS = 200_000;
export const DEFAULT_MAX_MASKS = 1024;
const UPCALL_BYTES = 8 << 20;
const UPCALL_COUNT = 16384;
/** Packets dealt with in one outermost call, so that ports wired into a loop end at some time. */
const MAX_WORK = 65536;

/**
 * Builds a datapath whose ports are dummies, whatever their type is called. Everything happens inside
 * the calls: `DummyPort.receive` and `execute` return when all upcalls they caused have been handled,
 * one after the other, never one inside the other.
 */
export function createInProcessDatapath(options: InProcessOptions): InProcessDatapath {
  return new InProcess(options);
}

interface Waiting {
  readonly port: number;
  readonly bytes: number;
  readonly packet: Uint8Array;
  readonly flow: Flow;
  readonly cookie: UserspaceCookie | null;
  readonly offload: PacketOffload | null;
}

type Work =
  | { readonly kind: 'receive'; readonly port: Dummy; readonly packet: Uint8Array; readonly metadata?: Flow }
  | { readonly kind: 'execute'; readonly request: ExecuteRequest };

class InProcess implements InProcessDatapath {
  readonly type: string;
  readonly name: string;
  readonly features: DatapathFeatures = USERSPACE_FEATURES;
  readonly #clock: Clock;
  readonly #log: ModuleLog;
  readonly #core: Core;
  readonly connections: DatapathConnections;
  readonly #counters: Counters;
  readonly #ports = new PortNumbers<Dummy>(true);
  readonly #meters = new DatapathMeters();
  readonly #upcalls = new UpcallQueue<Waiting>(UPCALL_BYTES, UPCALL_COUNT);
  #handler: ((upcall: Upcall) => void) | null = null;
  #work: Work[] = [];
  /** The core is at work: whoever calls now comes from a hook. */
  #inCore = false;
  #draining = false;

  constructor(options: InProcessOptions) {
    const maxFlows = options.maxFlows ?? DEFAULT_MAX_FLOWS;
    this.type = options.type ?? 'dummy@ovs-dummy';
    this.name = options.name ?? 'ovs-dummy';
    const tracker = new ConnectionTracker<FragmentRest>(options);
    this.connections = new DatapathConnections((request) => answer(tracker, request, this.#clock.now()));
    this.#clock = options.clock;
    this.#log = options.log.module('dpif').limited(60, 5);
    this.#counters = new Counters(maxFlows);
    this.#core = new Core({
      host: {
        now: () => this.#clock.now(),
        upcall: (packet, key, cookie) => this.#queueUpcall(packet, key, cookie),
      },
      counters: this.#counters,
      maxFlows,
      maxMasks: options.maxMasks ?? DEFAULT_MAX_MASKS,
      random: options.random,
      conntrack: tracker,
      meters: this.#meters.bank,
    });
    this.portAdd({ name: this.name, type: 'dummy-internal' }, LOCAL_PORT);
  }

  portAdd(spec: PortSpec, wanted?: number): number {
    const number = this.#ports.choose(spec, wanted);
    const port = new Dummy(this, this.#counters, number, spec);
    this.#counters.portClear(number);
    this.#ports.add(port);
    this.#core.setPort(number, port);
    return number;
  }
  portDelete(number: number): void {
    this.#ports.delete(number);
    this.#core.setPort(number, undefined);
    this.#upcalls.forget(number);
  }
  ports(): readonly DatapathPort[] {
    return this.#ports.list().map(({ port, name, type }) => ({ port, name, type }));
  }
  portStats(number: number): PortStats {
    this.#ports.get(number);
    return this.#counters.portStats(number);
  }
  dummyPort(name: string): DummyPort {
    const port = this.#ports.byName(name);
    if (port === undefined) throw new WeftError('no-such-port', `the datapath has no port "${name}"`);
    return port;
  }

  flowPut(flow: MegaflowSpec): MegaflowId {
    const slot = this.#core.table.put(flow.key, flow.mask);
    this.#core.setActions(slot, flow.actions);
    return slot;
  }
  flowDelete(id: MegaflowId): FlowStats {
    const stats = this.flowStats(id);
    this.#core.deleteFlow(id);
    this.#counters.flowClear(id);
    return stats;
  }
  flowDeleteAll(ids: readonly MegaflowId[]): FlowStats[] {
    return ids.map((id) => this.flowDelete(id));
  }
  flowStats(id: MegaflowId): FlowStats {
    this.#known(id);
    return this.#counters.flowStats(id);
  }
  flowStatsAll(ids: Int32Array, rows: FlowStatsRows): void {
    for (const id of ids) this.#known(id);
    this.#counters.flowStatsAll(ids, rows, 0, this.#clock.now());
  }
  get flowCount(): number {
    return this.#core.table.count;
  }
  get maskCount(): number {
    return this.#core.table.maskCount;
  }

  execute(request: ExecuteRequest): void {
    if (this.#inCore) {
      // The caller may use its buffers for something else before their turn comes.
      this.#enqueue({
        kind: 'execute',
        request: { ...request, packet: request.packet.slice(), flow: request.flow.slice() },
      });
      return;
    }
    this.#runCore(() => this.#core.execute(packetOf(request), request.flow, request.actions));
    this.#drain();
  }
  meterSet(meter: number, config: MeterConfig): void {
    this.#meters.set(meter, config, this.#clock.now());
  }
  meterDelete(meter: number): void {
    this.#meters.delete(meter);
  }
  meterCounts(meter: number): MeterCounts {
    return this.#meters.counts(meter);
  }
  setUpcallHandler(handler: (upcall: Upcall) => void): void {
    this.#handler = handler;
  }
  stats(): DatapathStats {
    return this.#counters.totals();
  }
  drops(): Readonly<Record<string, number>> {
    return this.#counters.drops();
  }
  flush(): Promise<void> {
    return Promise.resolve();
  }
  close(): Promise<void> {
    this.#handler = null;
    return Promise.resolve();
  }

  /** A dummy port got a packet. */
  receive(port: Dummy, packet: Uint8Array, metadata?: Flow): void {
    if (this.#inCore || this.#draining) {
      this.#enqueue({ kind: 'receive', port, packet: packet.slice(), metadata: metadata?.slice() });
      return;
    }
    this.#runCore(() => this.#core.receive(port.port, Packet.copyOf(packet), metadata));
    this.#drain();
  }

  #known(id: MegaflowId): void {
    if (!this.#core.table.has(id)) throw new WeftError('no-such-flow', `the datapath has no flow ${id}`);
  }

  #enqueue(work: Work): void {
    if (this.#work.length < MAX_WORK) this.#work.push(work);
    else if (work.kind === 'receive') this.#counters.receiveDropped(work.port.port);
  }

  #runCore(step: () => void): void {
    this.#inCore = true;
    try {
      step();
    } finally {
      this.#inCore = false;
    }
  }

  /** Hands out upcalls, and what hooks and handlers sent meanwhile, until nothing is left. */
  #drain(): void {
    if (this.#draining) return;
    this.#draining = true;
    try {
      for (let done = 0; done < MAX_WORK; done++) {
        const waiting = this.#upcalls.shift();
        if (waiting !== undefined) {
          this.#handle(waiting);
          continue;
        }
        const work = this.#work.shift();
        if (work === undefined) return;
        if (work.kind === 'execute') {
          const { request } = work;
          this.#runCore(() => this.#core.execute(packetOf(request), request.flow, request.actions));
        } else if (this.#ports.byName(work.port.name) === work.port) {
          this.#runCore(() => this.#core.receive(work.port.port, Packet.copyOf(work.packet), work.metadata));
        }
      }
      this.#log.warn(
        () =>
          `${this.name}: one packet led to ${MAX_WORK} others; the ${this.#work.length} that wait are dropped (are ports wired into a loop?)`,
      );
      this.#work = [];
    } finally {
      this.#draining = false;
    }
  }

  #handle(waiting: Waiting): void {
    if (this.#handler === null) {
      this.#counters.lost();
      return;
    }
    const { packet, flow, cookie, offload } = waiting;
    this.#handler({
      kind: cookie === null ? 'miss' : 'action',
      packet,
      flow,
      userdata: cookie,
      actions: null,
      offload,
    });
  }

  #queueUpcall(packet: Packet, key: Flow, cookie: UserspaceCookie | null): boolean {
    if (this.#handler === null) return false;
    const port = key[W_IN_PORT];
    const length = packet.length - packet.cutLength;
    if (!this.#upcalls.admits(port, length)) return false;
    return this.#upcalls.push({
      port,
      bytes: length,
      packet: packet.buffer.slice(packet.start, packet.start + length),
      flow: key.slice(),
      cookie,
      offload: offloadOf(packet),
    });
  }
}

class Dummy implements DummyPort, OutputPort, DatapathPort {
  readonly name: string;
  readonly type: string;
  readonly port: number;
  readonly #owner: InProcess;
  readonly #counters: Counters;
  #hook: ((packet: Uint8Array, metadata: Flow) => void) | null = null;
  #up = true;

  constructor(owner: InProcess, counters: Counters, port: number, spec: PortSpec) {
    this.#owner = owner;
    this.#counters = counters;
    this.port = port;
    this.name = spec.name;
    this.type = spec.type;
  }

  receive(packet: Uint8Array, metadata?: Flow): void {
    if (!this.#up) this.#counters.receiveDropped(this.port);
    else this.#owner.receive(this, packet, metadata);
  }
  onTransmit(hook: ((packet: Uint8Array, metadata: Flow) => void) | null): void {
    this.#hook = hook;
  }
  setUp(up: boolean): void {
    this.#up = up;
  }
  transmit(packet: Packet, length: number, key: Flow): void {
    if (!this.#up) {
      this.#counters.sendDropped(this.port);
      return;
    }
    this.#counters.sent(this.port, length);
    if (this.#hook !== null) this.#hook(wireBytes(packet, length), key.slice());
  }
}

/** What the core can do, wherever it runs. */
export const USERSPACE_FEATURES: DatapathFeatures = {
  maxVlanHeaders: 2,
  maxMplsDepth: 3,
  recirc: true,
  ct: true,
  clone: true,
  sampleNesting: 10,
  checkPktLen: true,
};
