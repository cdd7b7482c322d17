import type { Clock } from '../../base/clock.ts';
import { WeftError } from '../../base/errors.ts';
import type { Logger, ModuleLog } from '../../base/log.ts';
import { type Flow, newFlow } from '../../flow/layout.ts';
import { EpollSet } from '../../sys/epoll.ts';
import type { MemoryMap } from '../../sys/memory-map.ts';
import { inNetns } from '../../sys/netns.ts';
import { PacketSender } from '../../sys/packet-sender.ts';
import { DatapathConnections } from '../conntrack/connections.ts';
import { answer } from '../conntrack/control.ts';
import { ConnectionTracker } from '../conntrack/tracker.ts';
import { extractFlow } from '../packet/extract.ts';
import { DEFAULT_HEADROOM, Packet } from '../packet/packet.ts';
import type {
  Datapath,
  DatapathFeatures,
  DatapathPort,
  DatapathStats,
  DpAction,
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
import { Core, type FragmentRest, offloadOf, packetOf } from '../userspace/core.ts';
import { Counters } from '../userspace/counters.ts';
import { monotonic } from '../userspace/forwarder.ts';
import { DEFAULT_MAX_FLOWS, DEFAULT_MAX_MASKS, USERSPACE_FEATURES } from '../userspace/in-process.ts';
import { DatapathMeters } from '../userspace/meters.ts';
import { LOCAL_PORT } from '../userspace/port-numbers.ts';
import { ActionSlots, Cookies } from './action-slots.ts';
import { encodeActions } from './encode-actions.ts';
import { FixedPrograms } from './fixed-programs.ts';
import { KernelCounters } from './kernel-counters.ts';
import { KernelPorts } from './kernel-ports.ts';
import * as L from './layout.ts';
import { LookupKeeper } from './lookup-keeper.ts';
import { MAX_TABLES } from './lookup-program.ts';
import { closeMaps, createMaps, type KernelMaps } from './maps.ts';
import { MaskTables } from './mask-tables.ts';
import { restoreOffload } from './offload.ts';
import { Succession } from './succession.ts';
import { UpcallPump } from './upcall-pump.ts';
import { UpcallReader } from './upcall-record.ts';

/*
 * The datapath in the kernel.
 *
 * Programs forward what they know: the megaflows of up to `maxKernelMasks` masks, with the actions that
 * `encodeActions` can write down. Whatever else there is, this process does with the core of the userspace datapath, which
 * has every megaflow: packets without an entry in the kernel, or with an entry that says "up", come by a ring, are looked
 * up here, and go out by a packet socket. So nothing is refused and nothing is wrong, only slower, and counted:
 * `statistics()` tells how much.
 *
 * Counters of flows and ports are sums of what programs and the core counted.
 *
 * Changes take effect in order: entries of hashes are replaced whole; a new set of masks comes with a new program, which
 * takes the old one's place in the table of programs between two packets. Until then packets of a new mask come up.
 */

export interface KernelOptions {
  readonly clock: Clock;
  /** Number in [0, 1). */
  readonly random: () => number;
  readonly log: Logger;
  /** Default "system@ovs-system" and "ovs-system". */
  readonly type?: string;
  readonly name?: string;
  /** Default 200,000 flows, 1,024 masks. */
  readonly maxFlows?: number;
  readonly maxMasks?: number;
  /** Masks that programs look up; default, and at most: MAX_TABLES. */
  readonly maxKernelMasks?: number;
  /** Rings for upcalls, and bytes of each; default 16 of 1 MB. */
  readonly rings?: number;
  readonly ringBytes?: number;
  /** Network namespace of the devices, as a path; default: that of the process. */
  readonly netns?: string;
  /** Runs a function in the next turn of the event loop; default `setImmediate`. */
  readonly defer?: (fn: () => void) => void;
  /**
   * Directory of a bpf file system in which to pin what shall outlive the process, and to look for what an earlier one
   * left (pins.ts); none: forwarding ends with the process.
   */
  readonly pinRoot?: string;
}

/** What the kernel datapath can tell beyond the interface. */
export interface KernelStatistics {
  /** Masks in the program, and others in use. */
  readonly kernelMasks: number;
  readonly otherMasks: number;
  /** Flows whose actions programs can't do. */
  readonly upFlows: number;
  /** Programs made since the start. */
  readonly programs: number;
  /** Packets that came up for want of an entry, because an entry said so, because programs could not read them. */
  readonly missed: number;
  readonly up: number;
  readonly unparsed: number;
  /** Hits at the first mask tried. */
  readonly cacheHits: number;
}

export interface KernelDatapath extends Datapath {
  statistics(): KernelStatistics;
  /** Looks at a port's device again, which the kernel said has changed; null: at all of them. */
  deviceChanged(ifindex: number | null): void;
}

const RINGS = 16;
const RING_BYTES = 1 << 20;

/** @throws WeftError, SystemError where the kernel lacks something, or this process may not. */
export function createKernelDatapath(options: KernelOptions): KernelDatapath {
  const { maxFlows = DEFAULT_MAX_FLOWS, rings = RINGS, ringBytes = RING_BYTES } = options;
  const { name = 'ovs-system', netns, pinRoot } = options;
  const maps = createMaps({ maxFlows, rings, ringBytes });
  const log = options.log.module('dpif_kernel').limited(60, 5);
  const there: There = (work) => (netns === undefined ? work() : inNetns(netns, work));
  const succession = new Succession({ name, maps, log, pinRoot, there });
  try {
    return new Kernel(options, { name, maps, maxFlows, log, there, succession });
  } catch (error) {
    // Whoever forwards instead must not do it beside what an earlier process left.
    succession.close(false);
    closeMaps(maps);
    throw error;
  }
}

/** Runs something in the network namespace of the datapath. */
type There = <T>(work: () => T) => T;

interface KernelParts {
  readonly name: string;
  readonly maps: KernelMaps;
  readonly maxFlows: number;
  readonly log: ModuleLog;
  readonly there: There;
  readonly succession: Succession;
}

/** An upcall that is to be handed out, in memory that is used again. */
class Waiting {
  #bytes = new Uint8Array(2048);
  packet = this.#bytes;
  readonly flow = newFlow();
  cookie: UserspaceCookie | null = null;
  offload: PacketOffload | null = null;

  fill(packet: Packet, key: Flow, cookie: UserspaceCookie | null): void {
    const length = packet.length - packet.cutLength;
    if (length > this.#bytes.length) this.#bytes = new Uint8Array(length);
    this.packet = this.#bytes.subarray(0, length);
    this.packet.set(packet.buffer.subarray(packet.start, packet.start + length));
    this.flow.set(key);
    this.cookie = cookie;
    this.offload = offloadOf(packet);
  }

  /** Whether it is worth keeping. */
  get small(): boolean {
    return this.#bytes.length <= 2048;
  }
}

class Kernel implements KernelDatapath {
  readonly type: string;
  readonly name: string;
  readonly features: DatapathFeatures = USERSPACE_FEATURES;
  readonly #clock: Clock;
  readonly #log: ModuleLog;
  readonly #maps: KernelMaps;
  readonly #core: Core;
  readonly connections: DatapathConnections;
  readonly #counters: Counters;
  readonly #meters = new DatapathMeters();
  readonly #counterMemory: MemoryMap;
  readonly #epochMemory: MemoryMap;
  /** One word: how often an entry of a mask's table was changed or deleted. */
  readonly #epoch: Uint32Array;
  readonly #kernelCounters: KernelCounters;
  readonly #cookies = new Cookies();
  readonly #slots: ActionSlots;
  readonly #masks: MaskTables;
  readonly #ports: KernelPorts;
  readonly #fixed: FixedPrograms;
  readonly #sender: PacketSender;
  readonly #pump: UpcallPump;
  readonly #epoll = new EpollSet();
  readonly #succession: Succession;
  readonly #lookup: LookupKeeper;
  #leaving = false;
  /** Slot of each flow's action program; -1: it has none. */
  readonly #programOf: Int32Array;
  /** What an entry of each flow says. */
  readonly #kindOf: Uint8Array;
  /** What to add to the programs' monotonic time to get the switch's. */
  readonly #timeOffset: number;
  readonly #reader: UpcallReader;
  readonly #packet = new Packet(new Uint8Array(0));
  #buffer = new Uint8Array(2048);
  readonly #tunnelled = new Packet(new Uint8Array(0));
  #handler: ((upcall: Upcall) => void) | null = null;
  #waiting: Waiting[] = [];
  /** Those that were handed out. */
  readonly #spare: Waiting[] = [];
  /** An entry of a mask's table, as words and as bytes. */
  readonly #entry = new Uint32Array(L.ENTRY_SIZE / 4);
  readonly #entryBytes = new Uint8Array(this.#entry.buffer);
  #executing: ExecuteRequest[] = [];
  #inCore = false;
  #draining = false;
  #upFlows = 0;
  /** Packets that the core was given from rings. */
  #resumed = 0;
  /** Upcalls that nobody wanted. */
  #lost = 0;
  #closed = false;

  constructor(options: KernelOptions, { name, maps, maxFlows, log, there, succession }: KernelParts) {
    const { netns, clock } = options;
    this.type = options.type ?? 'system@ovs-system';
    this.name = name;
    this.#clock = clock;
    this.#log = log;
    const defer = options.defer ?? setImmediate;
    this.#timeOffset = clock.now() - monotonic();
    this.#programOf = new Int32Array(maxFlows).fill(-1);
    this.#kindOf = new Uint8Array(maxFlows);
    this.#maps = maps;
    this.#sender = there(() => new PacketSender());
    this.#counterMemory = this.#maps.counters.mmap();
    this.#epochMemory = this.#maps.epoch.mmap();
    this.#epoch = new Uint32Array(this.#epochMemory.buffer, 0, 1);
    this.#counters = new Counters(maxFlows, this.#counterMemory.buffer);
    this.#kernelCounters = new KernelCounters(this.#maps);
    this.#reader = new UpcallReader(this.#maps);
    const tracker = new ConnectionTracker<FragmentRest>(options);
    this.connections = new DatapathConnections((request) => answer(tracker, request, clock.now()));
    this.#core = new Core({
      host: {
        now: () => clock.now(),
        upcall: (packet, key, cookie) => this.#queueUpcall(packet, key, cookie),
      },
      counters: this.#counters,
      maxFlows,
      maxMasks: options.maxMasks ?? DEFAULT_MAX_MASKS,
      random: options.random,
      meters: this.#meters.bank,
      conntrack: tracker,
    });
    this.#slots = new ActionSlots(
      { set: (slot, bytes) => void this.#maps.actions.set(slot, bytes) },
      L.ACTION_SLOTS,
      this.#cookies,
      () => clock.now(),
    );
    this.#succession = succession;
    this.#masks = new MaskTables(
      { maxFlows, maxMasks: Math.min(options.maxKernelMasks ?? MAX_TABLES, MAX_TABLES) },
      (spec) => this.#succession.makeHash(spec),
      (error) => log.warn(`${name}: megaflows stay with the process: ${error.message}`),
    );
    this.#ports = new KernelPorts({
      maps: this.#maps,
      kernelCounters: this.#kernelCounters,
      counters: this.#counters,
      netns,
      sender: this.#sender,
      pins: this.#succession.pins,
      shared: this.#succession.busy,
      epoll: this.#epoll,
    });
    for (const ring of this.#maps.rings) this.#epoll.add(ring.fd);
    this.#ports.numbers.add({ port: LOCAL_PORT, name: this.name, type: 'internal' });
    this.#fixed = new FixedPrograms({
      maps: this.#maps,
      pins: this.#succession.pins,
      log,
      there,
    });
    const seed = Math.floor(options.random() * 2 ** 32) | 0;
    const { masks, counters } = { masks: this.#masks, counters: this.#kernelCounters };
    this.#lookup = new LookupKeeper({ name, maps, masks, counters, maxFlows, clock, log, defer, seed });
    this.#pump = new UpcallPump({
      rings: this.#maps.rings,
      fd: this.#epoll.fd,
      others: () => this.#takeTunnelled(),
      visit: (bytes, start, length) => this.#contain('a packet', () => this.#take(bytes, start, length)),
      turned: () => this.#lookup.turned(),
      defer,
    });
  }

  // --- What outlives the process --------------------------------------------------------------------

  takeOver(adopt: (key: Flow, mask: Flow) => MegaflowId | null): void {
    this.#succession.takeOver({
      ports: this.#ports,
      counters: this.#counters,
      timeOffset: this.#timeOffset,
      adopt,
      program: () => this.#lookup.make(),
    });
  }

  leave(): Promise<void> {
    this.#leaving = this.#succession.pins !== null;
    return this.close();
  }

  // --- Ports ----------------------------------------------------------------------------------------

  portAdd(spec: PortSpec, wanted?: number): number {
    const number = this.#ports.numbers.choose(spec, wanted);
    const port = this.#ports.add(spec, number);
    this.#core.setPort(number, port);
    return number;
  }
  portDelete(number: number): void {
    if (this.#closed) return;
    this.#ports.delete(number);
    this.#core.setPort(number, undefined);
  }
  ports(): readonly DatapathPort[] {
    return this.#ports.numbers.list().map(({ port, name, type }) => ({ port, name, type }));
  }
  portStats(number: number): PortStats {
    return this.#ports.stats(number);
  }
  deviceChanged(ifindex: number | null): void {
    if (ifindex === null) this.#ports.refreshAll();
    else this.#ports.refresh(ifindex);
  }

  // --- Megaflows ------------------------------------------------------------------------------------

  flowPut({ key, mask, actions }: MegaflowSpec): MegaflowId {
    const slot = this.#core.table.put(key, mask);
    this.#core.setActions(slot, actions);
    const before = this.#programOf[slot];
    if (this.#kindOf[slot] === L.ENTRY_UP + 1) this.#upFlows--;
    const [kind, argument] = this.#entryOf(slot, actions);
    if (kind === L.ENTRY_UP) this.#upFlows++;
    this.#entry.set([slot, kind, argument, 0]);
    const known = this.#kindOf[slot] !== 0;
    this.#kindOf[slot] = kind + 1;
    this.#masks.put(slot, key, mask, this.#entryBytes);
    if (known) this.#voidHot();
    if (before >= 0) this.#slots.give(before);
    this.#lookup.changed();
    return slot;
  }

  /** An entry is not what it was: no copy of any is good any more. */
  #voidHot(): void {
    Atomics.add(this.#epoch, 0, 1);
  }

  /** What the flow's entry says; notes its action program. */
  #entryOf(slot: number, actions: readonly DpAction[]): [kind: number, argument: number] {
    const taken: number[] = [];
    const encoded = encodeActions(actions, {
      cookie: (cookie) => {
        const number = this.#cookies.take(cookie);
        taken.push(number);
        return number;
      },
      isTunnel: (port) => this.#ports.isTunnel(port),
      branches: this.#fixed.branches,
    });
    this.#programOf[slot] = -1;
    if (encoded.kind === 'program') {
      const program = this.#slots.take(encoded.bytes, taken);
      if (program < 0) return [L.ENTRY_UP, 0];
      this.#programOf[slot] = program;
      return [L.ENTRY_PROGRAM, program];
    }
    for (const number of taken) this.#cookies.give(number);
    if (encoded.kind === 'output') return [L.ENTRY_OUTPUT, encoded.port];
    if (encoded.kind === 'drop') return [L.ENTRY_DROP, encoded.explicit ? 1 : 0];
    return [L.ENTRY_UP, 0];
  }

  flowDelete(id: MegaflowId): FlowStats {
    this.#known(id);
    this.#masks.remove(id);
    this.#voidHot();
    const stats = this.flowStats(id);
    if (this.#programOf[id] >= 0) this.#slots.give(this.#programOf[id]);
    if (this.#kindOf[id] === L.ENTRY_UP + 1) this.#upFlows--;
    this.#programOf[id] = -1;
    this.#kindOf[id] = 0;
    this.#lookup.forget(id);
    this.#core.deleteFlow(id);
    this.#counters.flowClear(id);
    this.#kernelCounters.flowClear(id);
    this.#lookup.changed();
    return stats;
  }
  flowDeleteAll(ids: readonly MegaflowId[]): FlowStats[] {
    return ids.map((id) => this.flowDelete(id));
  }
  flowStats(id: MegaflowId): FlowStats {
    this.#known(id);
    const stats = this.#kernelCounters.flowStats(id);
    const here = this.#counters.flowStats(id);
    if (stats.used > 0) stats.used = Math.min(stats.used + this.#timeOffset, this.#clock.now());
    stats.packets += here.packets;
    stats.bytes += here.bytes;
    stats.used = Math.max(stats.used, here.used);
    stats.tcpFlags |= here.tcpFlags;
    return stats;
  }
  flowStatsAll(ids: Int32Array, rows: FlowStatsRows): void {
    for (const id of ids) this.#known(id);
    const now = this.#clock.now();
    this.#counters.flowStatsAll(ids, rows, 0, now);
    this.#kernelCounters.addFlowStats(ids, rows, this.#timeOffset, now);
  }
  get flowCount(): number {
    return this.#core.table.count;
  }
  get maskCount(): number {
    return this.#core.table.maskCount;
  }
  #known(id: MegaflowId): void {
    if (!this.#core.table.has(id)) throw new WeftError('no-such-flow', `the datapath has no flow ${id}`);
  }

  // --- Packets --------------------------------------------------------------------------------------

  execute(request: ExecuteRequest): void {
    if (this.#inCore) {
      this.#executing.push({ ...request, packet: request.packet.slice(), flow: request.flow.slice() });
      return;
    }
    const { flow, actions, offload } = request;
    const packet = this.#copyOf(request.packet);
    if (offload !== undefined && offload !== null) Object.assign(packet, offload);
    this.#runCore(() => this.#core.execute(packet, flow, actions));
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

  /** A record of a ring. */
  #take(bytes: Uint8Array, start: number, length: number): void {
    const record = this.#reader.read(bytes, start, length);
    const { flow, cut } = record;
    const packet = this.#copyOf(record.packet);
    extractFlow(packet, flow);
    restoreOffload(packet, flow, record.gsoSize);
    if (record.kind === L.UPCALL_PACKET) {
      this.#resumed++;
      if (record.flowIndex === L.NO_FLOW) {
        const slot = this.#core.table.lookup(flow);
        if (slot >= 0) this.#masks.demanded(slot);
      }
      this.#runCore(() => this.#core.resume(packet, flow, record.depth));
    } else if (record.kind === L.UPCALL_ROUTE) {
      // The port may have gone meanwhile, and its number be a guest's.
      if (this.#ports.isTunnel(record.cookie)) {
        this.#ports.learnRoute(flow);
        this.#runCore(() => this.#core.send(record.cookie, packet, flow));
      }
    } else if (record.kind === L.UPCALL_EXECUTE) {
      // Its megaflow may have gone meanwhile, and the place be another's: what does not cover the packet must not have it.
      const { flowIndex, depth } = record;
      if (this.#core.table.lookup(flow) === flowIndex)
        this.#runCore(() => this.#core.perform(flowIndex, packet, flow, depth));
      else this.#runCore(() => this.#core.resume(packet, flow, depth));
    } else {
      const cookie = this.#cookies.get(record.cookie);
      packet.cutLength = cut;
      if (packet.gsoType === 0) packet.finishChecksum();
      if (cookie === undefined || !this.#queueUpcall(packet, flow, cookie)) this.#lost++;
    }
    this.#drain();
  }

  /** A few packets that the tunnels' sockets have got, because programs left them to the host. */
  #takeTunnelled(): boolean {
    let any = false;
    for (const port of this.#ports.tunnelPorts()) {
      const some = port.receive(this.#tunnelled, TUNNELLED_A_GO, (packet, metadata) => {
        this.#contain(`a packet of ${port.name}`, () => {
          this.#runCore(() => this.#core.receive(port.port, packet, metadata));
          this.#drain();
        });
      });
      if (some) any = true;
    }
    return any;
  }

  /** The packet in memory that may be written to, until the next call. */
  #copyOf(bytes: Uint8Array): Packet {
    if (this.#buffer.length < DEFAULT_HEADROOM + bytes.length)
      this.#buffer = new Uint8Array(DEFAULT_HEADROOM + bytes.length);
    this.#buffer.set(bytes, DEFAULT_HEADROOM);
    this.#packet.attach(this.#buffer, DEFAULT_HEADROOM, DEFAULT_HEADROOM + bytes.length);
    return this.#packet;
  }

  /** A packet that this datapath fails on is dropped, and nothing else harmed. */
  #contain(what: string, work: () => void): void {
    try {
      work();
    } catch (error) {
      const why = error instanceof Error ? (error.stack ?? error.message) : String(error);
      this.#log.err(`${this.name}: ${what} was dropped for a fault of the datapath: ${why}`);
    }
  }

  #runCore(step: () => void): void {
    this.#inCore = true;
    try {
      step();
    } finally {
      this.#inCore = false;
    }
  }

  /** Hands out upcalls, and does what their handlers asked for meanwhile. */
  #drain(): void {
    if (this.#draining) return;
    this.#draining = true;
    try {
      while (this.#waiting.length > 0 || this.#executing.length > 0) {
        const waiting = this.#waiting;
        this.#waiting = [];
        for (const upcall of waiting) {
          const { packet, flow, cookie, offload } = upcall;
          this.#handler?.({
            kind: cookie === null ? 'miss' : 'action',
            packet,
            flow,
            userdata: cookie,
            actions: null,
            offload,
          });
          if (upcall.small && this.#spare.length < MAX_SPARE) this.#spare.push(upcall);
        }
        const executing = this.#executing;
        this.#executing = [];
        for (const request of executing)
          this.#runCore(() => this.#core.execute(packetOf(request), request.flow, request.actions));
      }
    } finally {
      this.#draining = false;
    }
  }

  #queueUpcall(packet: Packet, key: Flow, cookie: UserspaceCookie | null): boolean {
    if (this.#handler === null || this.#waiting.length >= MAX_WAITING) return false;
    const waiting = this.#spare.pop() ?? new Waiting();
    waiting.fill(packet, key, cookie);
    this.#waiting.push(waiting);
    return true;
  }

  // --- Numbers --------------------------------------------------------------------------------------

  stats(): DatapathStats {
    const here = this.#counters.totals();
    const there = this.#kernelCounters.totals();
    // Those that are still on their way up count as missed.
    const under = Math.max(0, there.missed + there.up + there.unparsed - this.#resumed);
    return {
      hits: here.hits + there.hits,
      missed: here.missed + under,
      lost: here.lost + this.#lost + there.lost,
      microflowHits: here.microflowHits + there.cacheHits,
      masksSearched: here.masksSearched + there.masksSearched,
    };
  }
  drops(): Readonly<Record<string, number>> {
    const drops: Record<string, number> = { ...this.#counters.drops() };
    for (const [reason, count] of Object.entries(this.#kernelCounters.totals().drops)) drops[reason] += count;
    return drops;
  }
  statistics(): KernelStatistics {
    const { missed, up, unparsed, cacheHits } = this.#kernelCounters.totals();
    return {
      kernelMasks: this.#masks.placed,
      otherMasks: this.#masks.waiting,
      upFlows: this.#upFlows,
      programs: this.#lookup.made,
      missed,
      up,
      unparsed,
      cacheHits,
    };
  }

  flush(): Promise<void> {
    this.#pump.drainAll();
    this.#lookup.settle();
    return Promise.resolve();
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#handler = null;
    this.#lookup.close();
    // Now and not later, so that the next one in this very process has the directory for itself.
    this.#succession.close(this.#leaving);
    await this.#pump.close();
    if (this.#leaving) await this.#ports.leave();
    else await this.#ports.close();
    if (this.#leaving) this.#fixed.leave();
    else this.#fixed.close();
    if (!this.#leaving) this.#masks.close();
    this.#reader.close();
    this.#kernelCounters.close();
    this.#sender.close();
    this.#counterMemory.unmap();
    this.#epochMemory.unmap();
    this.#epoll.close();
    closeMaps(this.#maps);
  }
}

/** Upcalls that one packet, or one record, may lead to. */
const MAX_WAITING = 16384;
/** Packets of one tunnel port's sockets in one go. */
const TUNNELLED_A_GO = 32;
/** Of those, how many are kept to be used again. */
const MAX_SPARE = 64;
