import type { DatapathStats, FlowStats, FlowStatsRows, PortStats } from '../types.ts';

/** Ports that a datapath can have; port numbers are below it. */
export const MAX_PORTS = 65536;

const PORT_FIELDS = 8;
const RX_PACKETS = 0;
const RX_BYTES = 1;
const RX_ERRORS = 2;
const RX_DROPPED = 3;
const TX_PACKETS = 4;
const TX_BYTES = 5;
const TX_ERRORS = 6;
const TX_DROPPED = 7;

/** Why the datapath itself dropped a packet, as listed by `DropCounts`. */
export const DROP_REASONS = [
  'explicit',
  'no-such-port',
  'recirculation-depth',
  'conntrack-absent',
  'conntrack',
  'meter',
  'malformed',
  'nesting-depth',
  'unsupported-action',
] as const;
export type DropReason = (typeof DROP_REASONS)[number];

const TOTALS = 5;
const TOTAL_BYTES = (TOTALS + DROP_REASONS.length) * 8;
const PORT_BYTES = MAX_PORTS * PORT_FIELDS * 8;

/**
 * All counters of one datapath, in shared memory, so that the thread that forwards writes them and any
 * other reads them with no message between. Each counter has one writer. They are doubles: exact up to
 * 2^53, and a reader never sees half of one.
 */
export class Counters {
  readonly memory: ArrayBufferLike;
  readonly maxFlows: number;
  /** Packets, bytes and time of last use (ms) of each slot. */
  readonly flows: Float64Array;
  readonly tcpFlags: Int32Array;
  readonly #ports: Float64Array;
  /** hits, missed, lost, microflowHits, masksSearched, then the drops by reason. */
  readonly #totals: Float64Array;

  /**
   * @param memory that of another thread's or process's `Counters` of the same size; none: this thread's own, which
   * the collector of garbage knows the size of, as it doesn't of shared memory
   */
  constructor(maxFlows: number, memory?: ArrayBufferLike) {
    this.maxFlows = maxFlows;
    this.memory = memory ?? new ArrayBuffer(Counters.bytesFor(maxFlows));
    this.#totals = new Float64Array(this.memory, 0, TOTALS + DROP_REASONS.length);
    this.#ports = new Float64Array(this.memory, TOTAL_BYTES, MAX_PORTS * PORT_FIELDS);
    this.flows = new Float64Array(this.memory, TOTAL_BYTES + PORT_BYTES, maxFlows * 3);
    this.tcpFlags = new Int32Array(this.memory, TOTAL_BYTES + PORT_BYTES + maxFlows * 24, maxFlows);
  }

  /** Memory that it takes. */
  static bytesFor(maxFlows: number): number {
    return TOTAL_BYTES + PORT_BYTES + maxFlows * (24 + 4);
  }

  flowHit(slot: number, bytes: number, now: number, tcpFlags: number): void {
    const at = slot * 3;
    const flows = this.flows;
    flows[at] = flows[at] + 1;
    flows[at + 1] = flows[at + 1] + bytes;
    flows[at + 2] = now;
    if (tcpFlags !== 0) this.tcpFlags[slot] = this.tcpFlags[slot] | tcpFlags;
  }
  /** Adds what was counted elsewhere. */
  flowAdd(slot: number, stats: FlowStats): void {
    const at = slot * 3;
    this.flows[at] += stats.packets;
    this.flows[at + 1] += stats.bytes;
    this.flows[at + 2] = Math.max(this.flows[at + 2], stats.used);
    this.tcpFlags[slot] |= stats.tcpFlags;
  }
  flowClear(slot: number): void {
    this.flows.fill(0, slot * 3, slot * 3 + 3);
    this.tcpFlags[slot] = 0;
  }
  flowStats(slot: number): FlowStats {
    const at = slot * 3;
    return {
      packets: this.flows[at],
      bytes: this.flows[at + 1],
      used: this.flows[at + 2],
      tcpFlags: this.tcpFlags[slot],
    };
  }

  /** Copies the counters of many slots; `timeOffset` is added to times of use, which stay below `now`. */
  flowStatsAll(slots: Int32Array, rows: FlowStatsRows, timeOffset: number, now: number): void {
    const { flows, tcpFlags } = this;
    for (let i = 0; i < slots.length; i++) {
      const at = slots[i] * 3;
      const used = flows[at + 2];
      rows.packets[i] = flows[at];
      rows.bytes[i] = flows[at + 1];
      rows.used[i] = used > 0 ? Math.min(used + timeOffset, now) : 0;
      rows.tcpFlags[i] = tcpFlags[slots[i]];
    }
  }

  received(port: number, bytes: number): void {
    const at = port * PORT_FIELDS;
    this.#ports[at + RX_PACKETS] = this.#ports[at + RX_PACKETS] + 1;
    this.#ports[at + RX_BYTES] = this.#ports[at + RX_BYTES] + bytes;
  }
  receiveError(port: number): void {
    const at = port * PORT_FIELDS + RX_ERRORS;
    this.#ports[at] = this.#ports[at] + 1;
  }
  receiveDropped(port: number, count = 1): void {
    const at = port * PORT_FIELDS + RX_DROPPED;
    this.#ports[at] = this.#ports[at] + count;
  }
  sent(port: number, bytes: number): void {
    const at = port * PORT_FIELDS;
    this.#ports[at + TX_PACKETS] = this.#ports[at + TX_PACKETS] + 1;
    this.#ports[at + TX_BYTES] = this.#ports[at + TX_BYTES] + bytes;
  }
  sendError(port: number, count = 1): void {
    const at = port * PORT_FIELDS + TX_ERRORS;
    this.#ports[at] = this.#ports[at] + count;
  }
  sendDropped(port: number): void {
    const at = port * PORT_FIELDS + TX_DROPPED;
    this.#ports[at] = this.#ports[at] + 1;
  }
  /** Adds what was counted elsewhere. */
  portAdd(port: number, stats: PortStats): void {
    const at = port * PORT_FIELDS;
    const p = this.#ports;
    p[at + RX_PACKETS] += stats.rxPackets;
    p[at + RX_BYTES] += stats.rxBytes;
    p[at + RX_ERRORS] += stats.rxErrors;
    p[at + RX_DROPPED] += stats.rxDropped;
    p[at + TX_PACKETS] += stats.txPackets;
    p[at + TX_BYTES] += stats.txBytes;
    p[at + TX_ERRORS] += stats.txErrors;
    p[at + TX_DROPPED] += stats.txDropped;
  }
  portClear(port: number): void {
    this.#ports.fill(0, port * PORT_FIELDS, (port + 1) * PORT_FIELDS);
  }
  portStats(port: number): PortStats {
    const at = port * PORT_FIELDS;
    const p = this.#ports;
    return {
      rxPackets: p[at + RX_PACKETS],
      rxBytes: p[at + RX_BYTES],
      rxErrors: p[at + RX_ERRORS],
      rxDropped: p[at + RX_DROPPED],
      txPackets: p[at + TX_PACKETS],
      txBytes: p[at + TX_BYTES],
      txErrors: p[at + TX_ERRORS],
      txDropped: p[at + TX_DROPPED],
    };
  }

  hit(): void {
    this.#totals[0] = this.#totals[0] + 1;
  }
  missed(): void {
    this.#totals[1] = this.#totals[1] + 1;
  }
  lost(): void {
    this.#totals[2] = this.#totals[2] + 1;
  }
  microflowHit(): void {
    this.#totals[3] = this.#totals[3] + 1;
  }
  masksSearched(total: number): void {
    this.#totals[4] = total;
  }
  drop(reason: DropReason): void {
    const at = TOTALS + DROP_REASONS.indexOf(reason);
    this.#totals[at] = this.#totals[at] + 1;
  }
  totals(): DatapathStats {
    const t = this.#totals;
    return { hits: t[0], missed: t[1], lost: t[2], microflowHits: t[3], masksSearched: t[4] };
  }
  /** Packets that the datapath dropped itself, by reason. */
  drops(): Record<DropReason, number> {
    return Object.fromEntries(DROP_REASONS.map((r, i) => [r, this.#totals[TOTALS + i]])) as Record<
      DropReason,
      number
    >;
  }
}
