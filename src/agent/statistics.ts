/** Counters for the controller: of local ports, and of API objects by the flows that come from them. */
import type { Clock, Timer } from '../base/clock.ts';
import { STAGES, stageTable } from '../logical/layout.ts';
import type { PortStatistics, Statistics } from '../logical/protocol.ts';
import { type FlowStats, type PortStats, UINT64_MAX } from '../openflow/index.ts';
import type { Origins } from './switch/origins.ts';

const STAGE_OF_TABLE: ReadonlyMap<number, string> = new Map(STAGES.map((s) => [stageTable(s), s]));
const INTERVAL_MS = 5000;
/** Reading counters takes at most this part of the time. */
const SHARE = 0.05;

/** Counters that a switch does not know count as 0. */
const count = (n: bigint): number => (n === UINT64_MAX ? 0 : Number(n));

export function portStatistics(
  stats: readonly PortStats[],
  portAt: (ofport: number) => number | undefined,
): PortStatistics[] {
  return stats.flatMap((s) => {
    const port = portAt(s.port);
    if (port === undefined) return [];
    return [
      {
        port,
        rxPackets: count(s.rxPackets),
        rxBytes: count(s.rxBytes),
        txPackets: count(s.txPackets),
        txBytes: count(s.txBytes),
        rxDropped: count(s.rxDropped),
        txDropped: count(s.txDropped),
      },
    ];
  });
}

export function flowStatistics(stats: readonly FlowStats[], origins: Origins): Statistics['flows'] {
  const sums = new Map<string, { origin: string; stage: string; packets: number; bytes: number }>();
  for (const { cookie, table, packetCount, byteCount } of stats) {
    const origin = origins.of(cookie);
    const stage = STAGE_OF_TABLE.get(table);
    if (origin === undefined || stage === undefined) continue;
    const key = `${stage} ${origin}`;
    const sum = sums.get(key) ?? { origin, stage, packets: 0, bytes: 0 };
    sum.packets += count(packetCount);
    sum.bytes += count(byteCount);
    sums.set(key, sum);
  }
  return [...sums.values()];
}

/** Reads and reports now and then: the longer it takes, the less often. */
export class StatisticsReporter {
  readonly #clock: Clock;
  readonly #report: () => Promise<void>;
  #timer: Timer | undefined;
  #closed = false;

  constructor(clock: Clock, report: () => Promise<void>) {
    this.#clock = clock;
    this.#report = report;
  }

  start(): void {
    this.#arm(INTERVAL_MS);
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #arm(wait: number): void {
    if (this.#closed) return;
    this.#timer = this.#clock.after(wait, () => void this.#run());
  }

  async #run(): Promise<void> {
    const began = this.#clock.now();
    await this.#report();
    this.#arm(Math.max(INTERVAL_MS, (this.#clock.now() - began) / SHARE));
  }
}
