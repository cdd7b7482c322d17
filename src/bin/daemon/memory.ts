import type { Clock } from '../../base/clock.ts';
import type { Logger, ModuleLog } from '../../base/log.ts';
import type { UsageReporter } from '../../base/usage.ts';

const CHECK_INTERVAL_MS = 10_000;
/** How much the process must have grown since the last report for another one. */
const GROWTH = 1.5;

/**
 * Watches how large the process is, and says so in the log after ten seconds and whenever it has grown by
 * half, together with how many there are of what it holds.
 */
export class MemoryMonitor {
  private readonly clock: Clock;
  private readonly log: ModuleLog;
  private readonly reporters: UsageReporter[] = [];
  private readonly started: number;
  private reported: { kilobytes: number; at: number } | undefined;

  constructor(clock: Clock, logger: Logger) {
    this.clock = clock;
    this.log = logger.module('memory');
    this.started = clock.now();
  }

  add(reporter: UsageReporter): void {
    this.reporters.push(reporter);
  }

  /** Checks every ten seconds from now on. */
  start(): void {
    this.clock.after(CHECK_INTERVAL_MS, () => {
      this.check(process.resourceUsage().maxRSS);
      this.start();
    });
  }

  /** Looks at the peak resident size, in kB. */
  check(kilobytes: number): void {
    const now = this.clock.now();
    const last = this.reported;
    const seconds = (since: number): string => ((now - since) / 1000).toFixed(1);
    if (last === undefined) {
      this.log.info(`${kilobytes} kB peak resident set size after ${seconds(this.started)} seconds`);
    } else if (kilobytes >= last.kilobytes * GROWTH) {
      const grown = Math.round((kilobytes / last.kilobytes - 1) * 100);
      this.log.info(
        `peak resident set size grew ${grown}% in last ${seconds(last.at)} seconds, from ${last.kilobytes} kB to ${kilobytes} kB`,
      );
    } else return;
    this.reported = { kilobytes, at: now };
    const usage = this.show();
    if (usage !== '') this.log.info(usage);
  }

  /** The reply of `memory/show`: "flows:12 ports:3", sorted by name. */
  show(): string {
    const totals = new Map<string, number>();
    for (const reporter of this.reporters) {
      for (const [name, count] of reporter()) totals.set(name, (totals.get(name) ?? 0) + count);
    }
    return [...totals.keys()]
      .sort()
      .map((name) => `${name}:${totals.get(name)}`)
      .join(' ');
  }
}
