import type { Clock } from '../../base/clock.ts';
import type { Logger, ModuleLog } from '../../base/log.ts';
import { formatActions, formatKey, formatUfid } from '../../datapath/text/index.ts';
import type { Datapath, DpAction, FlowStats } from '../../datapath/types.ts';
import { type Flow, W_IN_PORT } from '../../flow/layout.ts';
import type { TrafficStats } from '../xlate/types.ts';
import { described, type Megaflow, maskedKey, ufidOf } from './megaflow.ts';
import { pushStats } from './push-stats.ts';
import type { Translator } from './translator.ts';

export interface MegaflowStoreOptions {
  readonly datapath: Datapath;
  readonly translator: Translator;
  readonly clock: Clock;
  readonly log: Logger;
  /** Most megaflows at this moment. */
  readonly limit: () => number;
}

/**
 * The megaflows that one datapath has, each with what it came from. Only here are megaflows put into the
 * datapath, changed and removed; what they carried is credited on the way.
 */
export class MegaflowStore {
  readonly #datapath: Datapath;
  readonly #translator: Translator;
  readonly #clock: Clock;
  readonly #limit: () => number;
  readonly #log: ModuleLog;
  /** What Open vSwitch's datapath, and its interface to it, log of each flow. */
  readonly #netdevLog: ModuleLog;
  readonly #dpifLog: ModuleLog;
  readonly #megaflows = new Map<number, Megaflow>();
  readonly counts = { installed: 0, deleted: 0, changed: 0, refused: 0 };

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
    return this.#megaflows.size;
  }

  get(id: number): Megaflow | undefined {
    return this.#megaflows.get(id);
  }

  ids(): IterableIterator<number> {
    return this.#megaflows.keys();
  }

  values(): IterableIterator<Megaflow> {
    return this.#megaflows.values();
  }

  /** Puts it into the datapath; one that does not fit is counted, and its packets come up again. */
  install(megaflow: Megaflow): void {
    if (this.#megaflows.size >= this.#limit()) {
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
    const old = this.#megaflows.get(megaflow.id);
    if (old !== undefined) {
      // Two packets of one flow came up: the datapath goes on counting where the first's record stands.
      this.credit(old, this.#datapath.flowStats(old.id));
      const { packets, bytes, used, tcpFlags } = old;
      Object.assign(megaflow, { packets, bytes, used, tcpFlags });
      this.#translator.release(old.recircs);
    }
    this.#megaflows.set(megaflow.id, megaflow);
    this.counts.installed++;
  }

  #refuse(megaflow: Megaflow): void {
    this.counts.refused++;
    this.#translator.release(megaflow.recircs);
  }

  /**
   * Takes over a flow that an operator put into the datapath; the next revalidation makes of it what the
   * tables say. False if no bridge has its port.
   */
  adopt(packetKey: Flow, mask: Flow, actions: readonly DpAction[]): boolean {
    const tunnel = this.#translator.tunnels.list().find((port) => port.dpPort === packetKey[W_IN_PORT]);
    const origin = tunnel ?? this.#translator.originOf(packetKey);
    if (origin === null) return false;
    this.install({
      id: -1,
      ofproto: origin.ofproto,
      key: maskedKey(packetKey, mask),
      mask,
      packetKey,
      flow: this.#translator.toOpenFlow(packetKey, origin.ofPort),
      actions,
      translated: actions,
      cache: [],
      recircs: [],
      created: this.#clock.now(),
      packets: 0,
      bytes: 0,
      used: 0,
      tcpFlags: 0,
    });
    return true;
  }

  /** Gives an installed megaflow other actions. */
  change(megaflow: Megaflow, actions: readonly DpAction[]): void {
    megaflow.actions = actions;
    this.#dpifLog.dbg(() => {
      const { key, mask } = described(megaflow);
      const text = `${formatKey(key, mask, { verbose: true })}, actions:${formatActions(actions)}`;
      return `${this.#datapath.type}: put[modify] ${formatUfid(ufidOf(megaflow))} ${text}`;
    });
    this.#datapath.flowPut(megaflow);
    this.counts.changed++;
  }

  remove(megaflow: Megaflow): void {
    this.#megaflows.delete(megaflow.id);
    this.credit(megaflow, this.#datapath.flowDelete(megaflow.id));
    this.#translator.release(megaflow.recircs);
    this.counts.deleted++;
  }

  /** Removes all megaflows, their last counters credited. */
  purge(): void {
    for (const megaflow of [...this.#megaflows.values()]) this.remove(megaflow);
  }

  /** The datapath lost its megaflows: what they carried since the last push is not known any more. */
  forgetAll(): void {
    for (const megaflow of this.#megaflows.values()) {
      this.#translator.release(megaflow.recircs);
      this.counts.deleted++;
    }
    this.#megaflows.clear();
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
