import type { Clock, Timer } from '../../base/clock.ts';
import type { Logger, ModuleLog } from '../../base/log.ts';
import { formatFlow as formatDpFlow, formatUfid } from '../../datapath/text/index.ts';
import type { Datapath } from '../../datapath/types.ts';
import { W_IN_PORT } from '../../flow/layout.ts';
import type { CacheEntry } from '../xlate/types.ts';
import { described, isSubsetMask, type Megaflow, sameActions, ufidOf, withSlowPath } from './megaflow.ts';
import type { MegaflowStore } from './megaflow-store.ts';
import type { SlowPathSettings } from './settings.ts';
import type { Translator } from './translator.ts';

export interface RevalidatorOptions {
  readonly datapath: Datapath;
  readonly translator: Translator;
  readonly megaflows: MegaflowStore;
  readonly clock: Clock;
  readonly log: Logger;
  /** Runs a function soon, after what is under way: `setImmediate`. */
  readonly defer: (fn: () => void) => void;
  readonly settings: () => SlowPathSettings;
}

/** Megaflows revalidated before others get their turn. */
const SLICE = 200;
/** Passes over fewer than this follow each other at once. */
const FREE_PASS = 200;
/** Megaflows looked at for each millisecond of rest afterwards. */
const REST_DIVISOR = 20;

/**
 * Keeps megaflows true. Whenever tables, ports or learned addresses change, all megaflows are translated
 * again, in slices, so that packets and controllers are served meanwhile. One that would now be wider than
 * what was looked at, or do something else, is changed or removed. On the way, and at least every
 * `maxRevalidator` ms, counters are pushed to the rules and ports behind, and idle megaflows removed.
 */
export class Revalidator {
  readonly #datapath: Datapath;
  readonly #translator: Translator;
  readonly #megaflows: MegaflowStore;
  readonly #clock: Clock;
  readonly #defer: (fn: () => void) => void;
  readonly #settings: () => SlowPathSettings;
  readonly #dpifLog: ModuleLog;
  #dirty = false;
  #paused = false;
  #scheduled = false;
  #cursor: number[] = [];
  /** Megaflows in the pass that is under way or was the last. */
  #passSize = 0;
  #resting: Timer | null = null;
  #timer: Timer | null = null;
  #closed = false;
  readonly #waiters: (() => void)[] = [];
  /** Time that the last complete pass took, ms. */
  dumpDuration = 0;

  constructor(options: RevalidatorOptions) {
    this.#datapath = options.datapath;
    this.#translator = options.translator;
    this.#megaflows = options.megaflows;
    this.#clock = options.clock;
    this.#defer = options.defer;
    this.#settings = options.settings;
    this.#dpifLog = options.log.module('dpif').limited(600, 600);
    this.#arm();
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#resting?.cancel();
  }

  /** While true megaflows are not looked at again, whatever changes. */
  set paused(paused: boolean) {
    this.#paused = paused;
    if (!paused) this.changed();
  }

  /** Tells that what megaflows were made from has changed. */
  changed(): void {
    this.#dirty = true;
    this.#schedule();
  }

  /** The megaflows of the pass under way are gone. */
  reset(): void {
    this.#cursor = [];
  }

  /** Resolves when every megaflow has been looked at after all changes up to now. */
  async settled(): Promise<void> {
    await this.#datapath.flush();
    if (this.#paused) return;
    this.#dirty = true;
    this.#resting?.cancel();
    this.#resting = null;
    await new Promise<void>((resolve) => {
      this.#waiters.push(resolve);
      this.#schedule();
    });
  }

  /** Pushes all counters now, without a look at whether the megaflows are still right. */
  async pushAll(): Promise<void> {
    await this.#datapath.flush();
    for (const megaflow of this.#megaflows.values())
      this.#megaflows.credit(megaflow, this.#datapath.flowStats(megaflow.id));
  }

  #arm(): void {
    if (this.#closed) return;
    this.#timer = this.#clock.after(this.#settings().maxRevalidator, () => {
      this.#schedule();
      this.#arm();
    });
  }

  #schedule(): void {
    if (this.#scheduled || this.#closed || this.#paused || this.#resting !== null) return;
    this.#scheduled = true;
    this.#defer(() => {
      this.#scheduled = false;
      if (this.#closed) return;
      this.#slice();
      if (this.#cursor.length > 0) {
        this.#schedule();
        return;
      }
      if (!this.#dirty) {
        this.#wake();
        return;
      }
      if (this.#waiters.length === 0) this.#rest();
      this.#schedule();
    });
  }

  /**
   * After a pass over many megaflows the next one waits in proportion, so that changes without end
   * (new stations, say) leave most of the time for packets.
   */
  #rest(): void {
    if (this.#passSize < FREE_PASS) return;
    const ms = Math.min(this.#passSize / REST_DIVISOR, this.#settings().maxRevalidator);
    this.#resting = this.#clock.after(ms, () => {
      this.#resting = null;
      this.#schedule();
    });
  }

  #wake(): void {
    for (const waiter of this.#waiters.splice(0)) waiter();
  }

  #slice(): void {
    // A pass that has begun is ended before what changed meanwhile is looked at: else changes that
    // never stop would keep the first megaflows from ever having their turn.
    if (this.#cursor.length === 0) {
      this.#dirty = false;
      this.#cursor = [...this.#megaflows.ids()];
      this.#passSize = this.#cursor.length;
    }
    const batch = this.#cursor.splice(-SLICE);
    for (const id of batch) {
      const megaflow = this.#megaflows.get(id);
      if (megaflow !== undefined) this.#revalidate(megaflow);
    }
  }

  #revalidate(megaflow: Megaflow): void {
    const now = this.#clock.now();
    const settings = this.#settings();
    const stats = this.#datapath.flowStats(megaflow.id);
    this.#dpifLog.dbg(() => {
      const text = formatDpFlow({ ...described(megaflow), stats }, now, { verbose: true });
      return `${this.#datapath.type}: flow_dump ${formatUfid(ufidOf(megaflow))} ${text}`;
    });
    this.#megaflows.credit(megaflow, stats);
    const crowded = this.#megaflows.size > settings.flowLimit;
    const maxIdle = crowded ? 100 : settings.maxIdle;
    if (now - Math.max(stats.used, megaflow.created) >= maxIdle) {
      this.#megaflows.remove(megaflow);
      return;
    }
    const origin = this.#translator.originOf(megaflow.packetKey);
    if (origin?.ofproto !== megaflow.ofproto || origin.ofPort !== megaflow.flow[W_IN_PORT]) {
      this.#megaflows.remove(megaflow);
      return;
    }
    const cache: CacheEntry[] = [];
    const { flow, ofproto } = megaflow;
    const out = this.#translator.translate(flow, ofproto, { packet: null, effects: false, cache });
    const mask = this.#translator.datapathMask(megaflow.packetKey, out.wc, ofproto);
    // Wider than what the tables now look at: some packet of it might deserve other actions.
    if (!isSubsetMask(mask, megaflow.mask)) {
      this.#translator.release(out.recircs);
      this.#megaflows.remove(megaflow);
      return;
    }
    this.#translator.release(megaflow.recircs);
    megaflow.recircs = out.recircs;
    megaflow.cache = cache;
    megaflow.translated = out.actions;
    const actions = withSlowPath(out);
    if (!sameActions(actions, megaflow.actions)) this.#megaflows.change(megaflow, actions);
  }
}
