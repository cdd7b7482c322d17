import type { Clock } from '../../base/clock.ts';
import type { Logger, ModuleLog } from '../../base/log.ts';
import { putFlows } from '../../datapath/batch.ts';
import { formatActions, formatKey, formatUfid } from '../../datapath/text/index.ts';
import type { Datapath, DpAction, FlowStats } from '../../datapath/types.ts';
import { type Flow, W_IN_PORT } from '../../flow/layout.ts';
import type { TrafficStats } from '../xlate/types.ts';
import type { FlowLimit } from './flow-limit.ts';
import { described, Megaflow, ufidOf } from './megaflow.ts';
import { pushStats } from './push-stats.ts';
import type { Translator } from './translator.ts';

export interface MegaflowStoreOptions {
  readonly datapath: Datapath;
  readonly translator: Translator;
  readonly clock: Clock;
  readonly log: Logger;
  readonly limit: FlowLimit;
}

/**
 * The megaflows that one datapath has, each with what it came from. Only here are megaflows put into the
 * datapath, changed and removed; what they carried is credited on the way.
 *
 * They have places from 0 up. Who walks them all goes from the last place down, and may do so in parts:
 * one that goes is replaced by the last, so none is passed over, and new ones come behind.
 */
export class MegaflowStore {
  readonly #datapath: Datapath;
  readonly #translator: Translator;
  readonly #clock: Clock;
  readonly #limit: FlowLimit;
  readonly #log: ModuleLog;
  /** What Open vSwitch's datapath, and its interface to it, log of each flow. */
  readonly #netdevLog: ModuleLog;
  readonly #dpifLog: ModuleLog;
  readonly #byId = new Map<number, Megaflow>();
  readonly #places: Megaflow[] = [];
  readonly counts = { installed: 0, deleted: 0, changed: 0, refused: 0, most: 0 };

  constructor(options: MegaflowStoreOptions) {
    this.#datapath = options.datapath;
    this.#translator = options.translator;
    this.#clock = options.clock;
    this.#limit = options.limit;
    this.#log = options.log.module('ofproto_dpif_upcall').limited(5, 5);
    this.#netdevLog = options.log.module('dpif_netdev').limited(600, 600);
    this.#dpifLog = options.log.module('dpif').limited(600, 600);
  }

  get size(): number {
    return this.#places.length;
  }

  get(id: number): Megaflow | undefined {
    return this.#byId.get(id);
  }

  at(place: number): Megaflow {
    return this.#places[place];
  }

  values(): IterableIterator<Megaflow> {
    return this.#byId.values();
  }

  /** Puts it into the datapath; one that does not fit is counted, and its packets come up again. */
  install(megaflow: Megaflow): void {
    if (this.size >= this.#limit.current) {
      this.#log.warn(() => `${this.size} megaflows are as many as the flow limit allows`);
      this.#refuse(megaflow);
      return;
    }
    try {
      megaflow.id = this.#datapath.flowPut(megaflow);
    } catch (error) {
      this.#log.warn(() => `megaflow not installed: ${error instanceof Error ? error.message : error}`);
      this.#refuse(megaflow);
      return;
    }
    this.#netdevLog.dbg(() => {
      const { key, mask } = described(megaflow);
      return `flow_add: ${formatUfid(ufidOf(megaflow))} mega_${formatUfid(ufidOf(megaflow))} ${formatKey(key, mask)}, actions:${formatActions(megaflow.actions)}`;
    });
    const old = this.#byId.get(megaflow.id);
    if (old !== undefined) {
      // Two packets of one flow came up: the datapath goes on counting where the first's record stands.
      this.credit(old, this.#datapath.flowStats(old.id));
      const { packets, bytes, used, tcpFlags, index } = old;
      Object.assign(megaflow, { packets, bytes, used, tcpFlags, index });
      this.#translator.release(old.recircs);
    } else {
      megaflow.index = this.size;
    }
    this.#places[megaflow.index] = megaflow;
    this.#byId.set(megaflow.id, megaflow);
    this.counts.installed++;
    this.counts.most = Math.max(this.counts.most, this.size);
  }

  #refuse(megaflow: Megaflow): void {
    this.counts.refused++;
    this.#translator.release(megaflow.recircs);
  }

  /**
   * Takes over a flow that an operator put into the datapath; the next revalidation makes of it what the
   * tables say. False if no bridge has its port.
   */
  adopt(dpKey: Flow, mask: Flow, actions: readonly DpAction[]): boolean {
    const [tunnel] = this.#translator.tunnels.on(dpKey[W_IN_PORT]);
    const origin = tunnel ?? this.#translator.originOf(dpKey);
    if (origin === null) return false;
    const { ofproto, ofPort } = origin;
    const flow = this.#translator.toOpenFlow(dpKey, ofPort);
    const now = this.#clock.now();
    const { pool } = this.#translator;
    this.install(new Megaflow({ ofproto, dpKey, flow, mask, translation: null, actions, now, pool }));
    return true;
  }

  /** Gives installed megaflows the actions that stand in their records. */
  change(megaflows: readonly Megaflow[]): void {
    if (megaflows.length === 0) return;
    for (const megaflow of megaflows) {
      this.#dpifLog.dbg(() => {
        const { key, mask } = described(megaflow);
        const text = `${formatKey(key, mask, { verbose: true })}, actions:${formatActions(megaflow.actions)}`;
        return `${this.#datapath.type}: put[modify] ${formatUfid(ufidOf(megaflow))} ${text}`;
      });
    }
    const results = putFlows(this.#datapath, megaflows);
    this.counts.changed += megaflows.length;
    // One that still does what it did before is worse than none.
    this.remove(megaflows.filter((_, i) => typeof results[i] !== 'number'));
  }

  /** Removes megaflows, their last counters credited. */
  remove(megaflows: readonly Megaflow[]): void {
    if (megaflows.length === 0) return;
    const stats = this.#datapath.flowDeleteAll(megaflows.map((megaflow) => megaflow.id));
    megaflows.forEach((megaflow, i) => {
      this.#drop(megaflow);
      this.credit(megaflow, stats[i]);
    });
  }

  #drop(megaflow: Megaflow): void {
    this.#byId.delete(megaflow.id);
    const last = this.#places.pop();
    if (last !== undefined && last !== megaflow) {
      this.#places[megaflow.index] = last;
      last.index = megaflow.index;
    }
    this.#translator.release(megaflow.recircs);
    this.counts.deleted++;
  }

  /** Removes all megaflows, their last counters credited. */
  purge(): void {
    this.remove([...this.#places]);
  }

  /** The datapath lost its megaflows: what they carried since the last push is not known any more. */
  forgetAll(): void {
    for (const megaflow of [...this.#places]) this.#drop(megaflow);
  }

  /** Credits what came since the last time. */
  credit(megaflow: Megaflow, now: FlowStats): void {
    const packets = now.packets - megaflow.packets;
    if (packets > 0) {
      const stats: TrafficStats = {
        packets,
        bytes: now.bytes - megaflow.bytes,
        used: now.used,
        tcpFlags: now.tcpFlags,
      };
      megaflow.packets = now.packets;
      megaflow.bytes = now.bytes;
      megaflow.used = now.used;
      megaflow.tcpFlags = now.tcpFlags;
      pushStats(megaflow, stats);
    }
  }
}
