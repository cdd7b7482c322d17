/**
 * Counters of logical ports and of objects, over all hosts and over moves. Agents tell the counters of their devices and
 * flows; these begin at zero when a device or flow is made anew, so what was counted before is kept as a base.
 */
import { STAGES } from '../../logical/layout.ts';
import type { PortStatistics, Statistics } from '../../logical/protocol.ts';

export interface PortTraffic {
  readonly rxPackets: number;
  readonly rxBytes: number;
  readonly txPackets: number;
  readonly txBytes: number;
  readonly rxDropped: number;
  readonly txDropped: number;
}

export interface OriginTraffic {
  readonly stage: string;
  readonly packets: number;
  readonly bytes: number;
}

const PORT_COUNTERS = ['rxPackets', 'rxBytes', 'txPackets', 'txBytes', 'rxDropped', 'txDropped'] as const;
const STAGE_NAMES: ReadonlySet<string> = new Set(STAGES);
type Counts = readonly number[];

/** A sum of counters that each may begin anew. */
class Sum {
  /** What counters that have ended came to. */
  #base: number[];
  readonly #last = new Map<string, Counts>();

  constructor(width: number) {
    this.#base = new Array<number>(width).fill(0);
  }

  set(source: string, counts: Counts): void {
    const last = this.#last.get(source);
    // One that went down has begun anew, and with it all of its source.
    if (last?.some((n, i) => counts[i] < n)) this.#fold(last);
    this.#last.set(source, counts);
  }

  /** The source has no such counter any more; what it counted stays. */
  end(source: string): void {
    const last = this.#last.get(source);
    if (last === undefined) return;
    this.#fold(last);
    this.#last.delete(source);
  }

  get total(): number[] {
    const sum = [...this.#base];
    for (const counts of this.#last.values()) for (const [i, n] of counts.entries()) sum[i] += n;
    return sum;
  }

  #fold(counts: Counts): void {
    this.#base = this.#base.map((n, i) => n + counts[i]);
  }
}

/** Sums by name, each of counters of several sources. */
class Sums {
  readonly #sums = new Map<string, Map<string, Sum>>();
  readonly #ofSource = new Map<string, Map<string, Set<string>>>();
  readonly #width: number;

  constructor(width: number) {
    this.#width = width;
  }

  /** All that a source counts: what it no longer names has ended. */
  report(source: string, counters: Iterable<readonly [object: string, part: string, counts: Counts]>): void {
    const before = this.#ofSource.get(source);
    const now = new Map<string, Set<string>>();
    for (const [object, part, counts] of counters) {
      const parts = now.get(object);
      if (parts === undefined) now.set(object, new Set([part]));
      else parts.add(part);
      this.#sum(object, part).set(source, counts);
    }
    for (const [object, parts] of before ?? [])
      for (const part of parts)
        if (now.get(object)?.has(part) !== true) this.#sums.get(object)?.get(part)?.end(source);
    if (now.size === 0) this.#ofSource.delete(source);
    else this.#ofSource.set(source, now);
  }

  of(object: string): Iterable<readonly [part: string, total: Counts]> {
    return [...(this.#sums.get(object) ?? [])].map(([part, sum]) => [part, sum.total] as const);
  }

  forget(object: string): void {
    this.#sums.delete(object);
  }

  #sum(object: string, part: string): Sum {
    let parts = this.#sums.get(object);
    if (parts === undefined) {
      parts = new Map();
      this.#sums.set(object, parts);
    }
    let sum = parts.get(part);
    if (sum === undefined) {
      sum = new Sum(this.#width);
      parts.set(part, sum);
    }
    return sum;
  }
}

export class TrafficCounters {
  readonly #ports = new Sums(PORT_COUNTERS.length);
  readonly #origins = new Sums(2);

  /**
   * @param owner the object with a label; what has none is not counted
   * @param known whether there is an object with the id
   */
  report(
    node: string,
    { ports, flows }: Statistics,
    owner: (label: number) => string | undefined,
    known: (id: string) => boolean,
  ): void {
    const counted = ports.flatMap((port: PortStatistics) => {
      const id = owner(port.port);
      return id === undefined ? [] : [[id, '', PORT_COUNTERS.map((c) => port[c])] as const];
    });
    this.#ports.report(node, counted);
    this.#origins.report(
      node,
      flows
        .filter((f) => known(f.origin) && STAGE_NAMES.has(f.stage))
        .map((f) => [f.origin, f.stage, [f.packets, f.bytes]] as const),
    );
  }

  /** What a port sent (rx, as its switch sees it) and got (tx); undefined before the first report. */
  port(id: string): PortTraffic | undefined {
    for (const [, total] of this.#ports.of(id))
      return Object.fromEntries(PORT_COUNTERS.map((c, i) => [c, total[i]])) as unknown as PortTraffic;
    return undefined;
  }

  /** Packets that an object's flows let pass, changed or dropped, by stage. */
  origin(id: string): OriginTraffic[] {
    return [...this.#origins.of(id)].map(([stage, [packets, bytes]]) => ({ stage, packets, bytes }));
  }

  forget(id: string): void {
    this.#ports.forget(id);
    this.#origins.forget(id);
  }

  forgetNode(node: string): void {
    this.#ports.report(node, []);
    this.#origins.report(node, []);
  }
}
