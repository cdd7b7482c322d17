import type { MemoryMap } from '../../sys/memory-map.ts';
import type { FlowStats, FlowStatsRows, PortStats } from '../types.ts';
import { DROP_REASONS, type DropReason } from '../userspace/counters.ts';
import * as L from './layout.ts';
import type { KernelMaps } from './maps.ts';

/** The maps that are read; `totals` null: nobody asks for them. */
export type CounterMaps = Pick<KernelMaps, 'flowStats' | 'portStats' | 'shards'> & {
  readonly totals: KernelMaps['totals'] | null;
};

const WORDS = 2 ** 32;
const FLOW_WORDS32 = L.FLOW_STATS_SIZE / 4;
const PORT_WORDS32 = L.PORT_STATS_SIZE / 4;
const NS_PER_MS = 1e6;

/** Sums of the per-CPU totals. */
export interface KernelTotals {
  readonly hits: number;
  readonly missed: number;
  readonly lost: number;
  readonly cacheHits: number;
  readonly masksSearched: number;
  readonly up: number;
  readonly unparsed: number;
  readonly noProgram: number;
  readonly drops: Readonly<Record<DropReason, number>>;
}

/** What programs count, read where they write it: no system call but for the totals. */
export class KernelCounters {
  readonly #maps: CounterMaps;
  readonly #flowMemory: MemoryMap;
  readonly #portMemory: MemoryMap;
  readonly #flows: Uint32Array;
  readonly #ports: Uint32Array;

  constructor(maps: CounterMaps) {
    this.#maps = maps;
    this.#flowMemory = maps.flowStats.mmap();
    this.#portMemory = maps.portStats.mmap();
    this.#flows = new Uint32Array(this.#flowMemory.buffer);
    this.#ports = new Uint32Array(this.#portMemory.buffer);
  }

  /** `used` is in milliseconds of the monotonic clock; 0: never. */
  flowStats(slot: number): FlowStats {
    const { shards } = this.#maps;
    const m = this.#flows;
    let packets = 0;
    let bytes = 0;
    let used = 0;
    let tcpFlags = 0;
    for (let s = 0; s < shards; s++) {
      const at = (slot * shards + s) * FLOW_WORDS32;
      packets += m[at] + m[at + 1] * WORDS;
      bytes += m[at + 2] + m[at + 3] * WORDS;
      used = Math.max(used, m[at + 4] + m[at + 5] * WORDS);
      tcpFlags |= m[at + 6];
    }
    return { packets, bytes, used: used / NS_PER_MS, tcpFlags };
  }

  /**
   * Adds the counters of `slots[i]` to row i, whose time of last use becomes the later one.
   * @param timeOffset what to add to the monotonic clock's milliseconds
   */
  addFlowStats(slots: Int32Array, rows: FlowStatsRows, timeOffset: number, now: number): void {
    const { shards } = this.#maps;
    const m = this.#flows;
    for (let i = 0; i < slots.length; i++) {
      const first = slots[i] * shards * FLOW_WORDS32;
      let used = 0;
      for (let s = 0, at = first; s < shards; s++, at += FLOW_WORDS32) {
        rows.packets[i] += m[at] + m[at + 1] * WORDS;
        rows.bytes[i] += m[at + 2] + m[at + 3] * WORDS;
        used = Math.max(used, m[at + 4] + m[at + 5] * WORDS);
        rows.tcpFlags[i] |= m[at + 6];
      }
      if (used > 0) rows.used[i] = Math.max(rows.used[i], Math.min(used / NS_PER_MS + timeOffset, now));
    }
  }

  /** Packets of a flow alone. */
  flowPackets(slot: number): number {
    const { shards } = this.#maps;
    let packets = 0;
    for (let s = 0; s < shards; s++) {
      const at = (slot * shards + s) * FLOW_WORDS32;
      packets += this.#flows[at] + this.#flows[at + 1] * WORDS;
    }
    return packets;
  }

  flowClear(slot: number): void {
    const { shards } = this.#maps;
    this.#flows.fill(0, slot * shards * FLOW_WORDS32, (slot + 1) * shards * FLOW_WORDS32);
  }

  /** Adds what programs counted of the port with this index to `stats`. */
  addPortStats(index: number, stats: PortStats): void {
    const { shards } = this.#maps;
    const m = this.#ports;
    for (let s = 0; s < shards; s++) {
      const at = (index * shards + s) * PORT_WORDS32;
      const read = (offset: number): number => m[at + offset / 4] + m[at + offset / 4 + 1] * WORDS;
      stats.rxPackets += read(L.PS_RX_PACKETS);
      stats.rxBytes += read(L.PS_RX_BYTES);
      stats.rxDropped += read(L.PS_RX_DROPPED);
      stats.txPackets += read(L.PS_TX_PACKETS);
      stats.txBytes += read(L.PS_TX_BYTES);
      stats.txDropped += read(L.PS_TX_DROPPED);
      stats.txErrors += read(L.PS_TX_ERRORS);
    }
  }

  portClear(index: number): void {
    const { shards } = this.#maps;
    this.#ports.fill(0, index * shards * PORT_WORDS32, (index + 1) * shards * PORT_WORDS32);
  }

  totals(): KernelTotals {
    const perCpu = this.#maps.totals?.get(0) ?? [];
    const views = perCpu.map((bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.length));
    const sum = (offset: number): number =>
      views.reduce((total, view) => total + Number(view.getBigUint64(offset, true)), 0);
    const drops = DROP_REASONS.map((reason, i) => [reason, sum(L.T_DROPS + 8 * i)]);
    return {
      hits: sum(L.T_HITS),
      missed: sum(L.T_MISSED),
      lost: sum(L.T_LOST),
      cacheHits: sum(L.T_CACHE_HITS),
      masksSearched: sum(L.T_MASKS_SEARCHED),
      up: sum(L.T_UP),
      unparsed: sum(L.T_UNPARSED),
      noProgram: sum(L.T_NO_PROGRAM),
      drops: Object.fromEntries(drops) as Record<DropReason, number>,
    };
  }

  close(): void {
    this.#flowMemory.unmap();
    this.#portMemory.unmap();
  }
}
