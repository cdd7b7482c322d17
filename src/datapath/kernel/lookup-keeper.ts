import type { Clock, Timer } from '../../base/clock.ts';
import type { ModuleLog } from '../../base/log.ts';
import { Program } from '../../ebpf/program.ts';
import type { KernelCounters } from './kernel-counters.ts';
import * as L from './layout.ts';
import { lookupProgram, type MaskTable } from './lookup-program.ts';
import type { KernelMaps } from './maps.ts';
import type { MaskTables } from './mask-tables.ts';
import { upcallFunction } from './upcall.ts';

export interface LookupKeeperOptions {
  readonly name: string;
  readonly maps: KernelMaps;
  readonly masks: MaskTables;
  readonly counters: KernelCounters;
  readonly maxFlows: number;
  readonly clock: Clock;
  readonly log: ModuleLog;
  /** Runs a function in the next turn of the event loop. */
  readonly defer: (fn: () => void) => void;
  /** Makes the mask cache's hash one that nobody can guess. */
  readonly seed: number;
}

/** Between two looks at which masks deserve a place in the program. */
const RANK_MS = 1000;
/** Between two programs, unless it is urgent: so long, and so many times what the last took to make. */
const PAUSE_MS = 5;
const PAUSE_FACTOR = 5;

/**
 * Keeps PROGRAM_LOOKUP as the masks want it: makes a new program when they change, soon and one for several changes, or at
 * once where the running one must not go on; and ranks the masks by what they carry.
 */
export class LookupKeeper {
  readonly #options: LookupKeeperOptions;
  /** Packets of each flow at the last ranking. */
  readonly #ranked: Float64Array;
  #scheduled = false;
  #last = Number.NEGATIVE_INFINITY;
  /**
   * Least time to the next. A program of many masks takes tens of milliseconds, and whoever drives masks
   * must not have the process make nothing but programs.
   */
  #pause = PAUSE_MS;
  #timer: Timer | null = null;
  #closed = false;
  /** Programs made. */
  made = 0;

  constructor(options: LookupKeeperOptions) {
    this.#options = options;
    this.#ranked = new Float64Array(options.maxFlows);
    this.make();
    this.#armRanking();
  }

  /** Makes the program for the masks that there are, and puts it in place of the last one. */
  make(): void {
    const { masks, log, name, clock } = this.#options;
    const started = clock.now();
    try {
      this.#load(masks.list());
    } catch (error) {
      // Whatever the reason, an old program must not go on with flows that are gone: all packets come up.
      const why = error instanceof Error ? error.message : String(error);
      log.err(`${name}: no program for ${masks.placed} masks, packets are forwarded by the process: ${why}`);
      this.#load([]);
    }
    masks.programmed();
    this.#last = clock.now();
    this.#pause = Math.max(PAUSE_MS, PAUSE_FACTOR * (this.#last - started));
  }

  /** The masks may have changed. */
  changed(): void {
    const { masks } = this.#options;
    if (masks.urgent) this.make();
    else if (masks.dirty) this.#schedule();
  }

  /** Makes the program that is due, if one is. */
  turned(): void {
    const { masks, clock } = this.#options;
    if (masks.dirty && clock.now() - this.#last >= this.#pause) this.make();
  }

  settle(): void {
    if (this.#options.masks.dirty) this.make();
  }

  /** The flow is gone. */
  forget(slot: number): void {
    this.#ranked[slot] = 0;
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #load(tables: readonly MaskTable[]): void {
    const { maps, seed } = this.#options;
    const hot = { slots: maps.hot, epoch: maps.epoch, program: this.made + 1 };
    const code = lookupProgram({ maps, tables, upcall: upcallFunction(maps), seed, hot });
    this.made++;
    const program = Program.load({ kind: 'classifier', name: 'weft_lookup', code });
    maps.programs.set(L.PROGRAM_LOOKUP, program.fd);
    program.close();
  }

  #schedule(): void {
    if (this.#scheduled || this.#closed) return;
    this.#scheduled = true;
    const { clock, defer } = this.#options;
    const run = (): void => {
      this.#scheduled = false;
      if (!this.#closed) this.settle();
    };
    const pause = this.#last + this.#pause - clock.now();
    if (pause <= 0) defer(run);
    else clock.after(pause, run);
  }

  #armRanking(): void {
    const { clock, masks } = this.#options;
    this.#timer = clock.after(RANK_MS, () => {
      if (this.#closed) return;
      masks.rank((slots) => this.#packetsSince(slots));
      this.settle();
      this.#armRanking();
    });
  }

  /** What programs have counted for these flows since they were last asked of here. */
  #packetsSince(slots: Int32Array): number {
    let sum = 0;
    for (const slot of slots) {
      const packets = this.#options.counters.flowPackets(slot);
      sum += packets - this.#ranked[slot];
      this.#ranked[slot] = packets;
    }
    return sum;
  }
}
