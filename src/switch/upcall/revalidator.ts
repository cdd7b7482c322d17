import type { Clock, Timer } from '../../base/clock.ts';
import type { Logger, ModuleLog } from '../../base/log.ts';
import { newFlowStatsRows, readFlowStats } from '../../datapath/batch.ts';
import { formatFlow as formatDpFlow, formatUfid } from '../../datapath/text/index.ts';
import type { Datapath } from '../../datapath/types.ts';
import { W_IN_PORT, W_RECIRC_ID } from '../../flow/layout.ts';
import type { Change } from '../ofproto/dependencies.ts';
import type { CacheEntry } from '../xlate/types.ts';
import type { ChangeLog, ChangeSet } from './change-log.ts';
import type { FlowLimit } from './flow-limit.ts';
import { described, isSubsetMask, type Megaflow, sameActions, ufidOf, withSlowPath } from './megaflow.ts';
import type { MegaflowStore } from './megaflow-store.ts';
import type { SlowPathSettings } from './settings.ts';
import type { Translator } from './translator.ts';

export interface RevalidatorOptions {
  readonly datapath: Datapath;
  readonly translator: Translator;
  readonly megaflows: MegaflowStore;
  readonly changes: ChangeLog;
  readonly clock: Clock;
  readonly log: Logger;
  /** Runs a function soon, after what is under way: `setImmediate`. */
  readonly defer: (fn: () => void) => void;
  readonly limit: FlowLimit;
  readonly settings: () => SlowPathSettings;
}

/** Megaflows whose counters are read in one exchange. */
const BATCH = 256;
/** What is done before others get their turn: megaflows looked at, of which a translation counts for many. */
const SLICE = 1024;
const TRANSLATION = 32;
/** And no longer than this, ms. */
const SLICE_MS = 2;
/** Between two passes over changes there is this many times as long a rest, at most `maxRevalidator`. */
const REST = 4;
/** Megaflows translated again in each pass over counters though nothing is known to have changed: each in turn. */
const AUDITED = 256;
/** Passes after which whoever waits for peace is told that there is none. */
const MAX_WAIT = 8;
/** Idle time that megaflows are given while there are too many, ms. */
const CROWDED_IDLE_MS = 100;

/** One walk over all megaflows, from the last place down. */
interface Pass {
  /** Read counters, credit them, remove what is idle. */
  readonly counters: boolean;
  /** What to hold megaflows against; null: nothing changed. */
  readonly changes: ChangeSet | null;
  /** Those in places from here on have been looked at. */
  place: number;
  /** Removes all, because there are far too many. */
  readonly all: boolean;
  /** Clock.now() ms. */
  readonly started: number;
}

/**
 * Keeps megaflows true, by passes over all of them in slices, so that packets and controllers are served
 * meanwhile.
 *
 * - When something changed that megaflows may depend on (`ChangeLog`), those that it touches are translated
 *   again. One that would now be wider than what was looked at is removed, one that would do something else
 *   is changed.
 * - Every `maxRevalidator` ms the counters of all are read and credited to the rules and ports behind, and idle
 *   megaflows are removed. Some are translated again though nothing that is known of has touched
 *   them, each in its turn: should a change ever not be told of, it does not last.
 *
 * Changes that come during a pass wait for the next: a pass that has begun ends, so each megaflow has its turn
 * whatever comes.
 */
export class Revalidator {
  readonly #datapath: Datapath;
  readonly #translator: Translator;
  readonly #megaflows: MegaflowStore;
  readonly #changes: ChangeLog;
  readonly #clock: Clock;
  readonly #defer: (fn: () => void) => void;
  readonly #limit: FlowLimit;
  readonly #settings: () => SlowPathSettings;
  readonly #dpifLog: ModuleLog;
  readonly #ids = new Int32Array(BATCH);
  readonly #rows = newFlowStatsRows(BATCH);
  #pass: Pass | null = null;
  #countersDue = false;
  #paused = false;
  #scheduled = false;
  #resting: Timer | null = null;
  #timer: Timer | null = null;
  #closed = false;
  readonly #stale: Megaflow[] = [];
  readonly #changed: Megaflow[] = [];
  /** Where the next pass over counters goes on to translate megaflows that need it not. */
  #auditPlace = 0;
  #waiters: { readonly resolve: () => void; passes: number }[] = [];
  /** Time that the last pass over counters took, ms. */
  dumpDuration = 0;
  readonly counts = { passes: 0, translated: 0 };

  constructor(options: RevalidatorOptions) {
    this.#datapath = options.datapath;
    this.#translator = options.translator;
    this.#megaflows = options.megaflows;
    this.#changes = options.changes;
    this.#clock = options.clock;
    this.#defer = options.defer;
    this.#limit = options.limit;
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
    if (!paused) this.#schedule();
  }

  /** Tells that something has changed that megaflows may come from. */
  changed(change: Change): void {
    this.#changes.add(change);
    this.#schedule();
  }

  /** Has all megaflows looked at soon: their counters, and whether there are too many. */
  hurry(): void {
    this.#countersDue = true;
    this.#schedule();
  }

  /** Resolves when every megaflow has been looked at after all changes up to now. */
  async settled(): Promise<void> {
    await this.#datapath.flush();
    if (this.#paused) return;
    await new Promise<void>((resolve) => {
      this.#waiters.push({ resolve, passes: MAX_WAIT });
      this.hurry();
    });
  }

  /** Pushes all counters now, without a look at whether the megaflows are still right. */
  async pushAll(): Promise<void> {
    await this.#datapath.flush();
    for (let place = this.#megaflows.size; place > 0; place -= BATCH) {
      this.#creditAll(this.#batchBelow(place));
    }
  }

  #arm(): void {
    if (this.#closed) return;
    this.#timer = this.#clock.after(this.#settings().maxRevalidator, () => {
      this.hurry();
      this.#arm();
    });
  }

  /** Whether there is something to do now. */
  get #due(): boolean {
    if (this.#pass !== null || this.#countersDue) return true;
    return !this.#changes.empty && this.#resting === null;
  }

  #schedule(): void {
    if (this.#scheduled || this.#closed || this.#paused || !this.#due) return;
    this.#scheduled = true;
    this.#defer(() => {
      this.#scheduled = false;
      if (this.#closed || this.#paused) return;
      this.#slice();
      this.#schedule();
    });
  }

  // --- Passes -----------------------------------------------------------------------------------------

  /** As much of the pass under way, or of a new one, as others can wait for. */
  #slice(): void {
    const pass = this.#pass ?? this.#begin();
    const end = this.#clock.now() + SLICE_MS;
    for (let work = 0; work < SLICE; ) {
      const stale = this.#stale.pop();
      if (stale !== undefined) {
        this.#revalidate(stale);
        work += TRANSLATION;
      } else if (pass.place > 0) {
        work += this.#look(pass);
      } else {
        this.#flush();
        this.#end(pass);
        return;
      }
      if (this.#clock.now() >= end) break;
    }
    this.#flush();
  }

  #begin(): Pass {
    const { size } = this.#megaflows;
    const pass: Pass = {
      counters: this.#countersDue,
      changes: this.#changes.empty ? null : this.#changes.take(),
      all: size > 2 * this.#limit.current,
      place: size,
      started: this.#clock.now(),
    };
    this.#countersDue = false;
    this.#pass = pass;
    if (this.#auditPlace >= size) this.#auditPlace = 0;
    return pass;
  }

  #end(pass: Pass): void {
    this.#pass = null;
    this.counts.passes++;
    const duration = this.#clock.now() - pass.started;
    if (pass.counters) {
      this.dumpDuration = duration;
      this.#limit.adapt(duration, this.#megaflows.size);
      this.#auditPlace += AUDITED;
    }
    const quiet = this.#changes.empty && !this.#countersDue;
    const waiting = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiting) {
      if (quiet || --waiter.passes === 0) waiter.resolve();
      else this.#waiters.push(waiter);
    }
    // Who waits for peace doesn't want to wait for rests.
    if (this.#waiters.length === 0) this.#rest(duration);
  }

  /** After a pass that took long, those who change things without end leave most of the time to packets. */
  #rest(duration: number): void {
    if (this.#closed || duration === 0) return;
    this.#resting?.cancel();
    this.#resting = this.#clock.after(Math.min(REST * duration, this.#settings().maxRevalidator), () => {
      this.#resting = null;
      this.#schedule();
    });
  }

  // --- Batches ----------------------------------------------------------------------------------------

  #batchBelow(place: number): Megaflow[] {
    const batch: Megaflow[] = [];
    for (let i = Math.min(place, this.#megaflows.size) - 1; i >= Math.max(0, place - BATCH); i--) {
      batch.push(this.#megaflows.at(i));
    }
    return batch;
  }

  /** Reads counters into the rows, and credits what came. */
  #creditAll(batch: readonly Megaflow[]): void {
    for (let i = 0; i < batch.length; i++) this.#ids[i] = batch[i].id;
    readFlowStats(this.#datapath, this.#ids.subarray(0, batch.length), this.#rows);
    const { packets, bytes, used, tcpFlags } = this.#rows;
    for (let i = 0; i < batch.length; i++) {
      if (packets[i] === batch[i].packets) continue;
      const stats = { packets: packets[i], bytes: bytes[i], used: used[i], tcpFlags: tcpFlags[i] };
      this.#megaflows.credit(batch[i], stats);
    }
  }

  /** Looks at the next megaflows; those to translate are put aside. Returns how many they were. */
  #look(pass: Pass): number {
    const batch = this.#batchBelow(pass.place);
    const first = Math.max(0, pass.place - BATCH);
    pass.place = first;
    if (batch.length === 0) return 1;
    if (pass.counters) {
      this.#creditAll(batch);
      if (this.#dpifLog.enabled('dbg')) this.#logDump(batch);
      this.#expire(batch, pass.all);
    }
    const before = this.#stale.length;
    for (const megaflow of batch) {
      if (!this.#isLive(megaflow)) continue;
      const { index } = megaflow;
      const audited = pass.counters && index >= this.#auditPlace && index < this.#auditPlace + AUDITED;
      if (audited || pass.changes?.touches(megaflow)) this.#stale.push(megaflow);
    }
    // What came until now was dealt with as it was: it is credited so.
    if (!pass.counters && this.#stale.length > before) this.#creditAll(this.#stale.slice(before));
    return batch.length;
  }

  #isLive(megaflow: Megaflow): boolean {
    return this.#megaflows.get(megaflow.id) === megaflow;
  }

  /** Removes those that had no packets for too long, by the rows; or all. */
  #expire(batch: readonly Megaflow[], all: boolean): void {
    const now = this.#clock.now();
    const crowded = this.#megaflows.size > this.#limit.current;
    const maxIdle = crowded ? CROWDED_IDLE_MS : this.#settings().maxIdle;
    const { used } = this.#rows;
    this.#megaflows.remove(
      batch.filter((megaflow, i) => all || now - Math.max(used[i], megaflow.created) >= maxIdle),
    );
  }

  #logDump(batch: readonly Megaflow[]): void {
    const now = this.#clock.now();
    const { packets, bytes, used, tcpFlags } = this.#rows;
    batch.forEach((megaflow, i) => {
      this.#dpifLog.dbg(() => {
        const stats = { packets: packets[i], bytes: bytes[i], used: used[i], tcpFlags: tcpFlags[i] };
        const text = formatDpFlow({ ...described(megaflow), stats }, now, { verbose: true });
        return `${this.#datapath.type}: flow_dump ${formatUfid(ufidOf(megaflow))} ${text}`;
      });
    });
  }

  // --- Translation ------------------------------------------------------------------------------------

  #revalidate(megaflow: Megaflow): void {
    if (!this.#isLive(megaflow)) return;
    const { ofproto } = megaflow;
    const { arena } = this.#translator;
    arena.reset();
    const flow = arena.take();
    const dpKey = arena.take();
    megaflow.unpack(flow, dpKey);
    const recircId = flow[W_RECIRC_ID];
    const origin = this.#translator.originOf(dpKey);
    // Nobody sends packets to what is forgotten any more.
    const isKnown = recircId === 0 || this.#translator.recircIds.get(recircId) !== undefined;
    if (!isKnown || origin?.ofproto !== ofproto || origin.ofPort !== flow[W_IN_PORT]) {
      this.#megaflows.remove([megaflow]);
      return;
    }
    this.counts.translated++;
    const cache: CacheEntry[] = [];
    const dependencies = this.#translator.dependenciesOf(dpKey);
    const { seq } = this.#changes;
    const options = { packet: null, effects: false, cache, dependencies };
    const out = this.#translator.translate(flow, ofproto, options);
    const mask = this.#translator.datapathMask(dpKey, out.wc, ofproto);
    // Wider than what the tables now look at: some packet of it might deserve other actions.
    if (!isSubsetMask(mask, megaflow.mask)) {
      this.#translator.release(out.recircs);
      this.#megaflows.remove([megaflow]);
      return;
    }
    this.#translator.release(megaflow.recircs);
    megaflow.renew({ out, cache, dependencies, seq }, this.#translator.pool);
    const actions = withSlowPath(out, ofproto);
    if (sameActions(actions, megaflow.actions)) return;
    megaflow.actions = actions;
    this.#changed.push(megaflow);
  }

  /** Gives the datapath the actions that changed. */
  #flush(): void {
    this.#megaflows.change(this.#changed.splice(0).filter((megaflow) => this.#isLive(megaflow)));
  }
}
