import type { Clock, Timer } from '../../base/clock.ts';
import type { Logger, ModuleLog } from '../../base/log.ts';
import {
  formatActions,
  formatFlow as formatDpFlow,
  formatKey,
  formatUfid,
} from '../../datapath/text/index.ts';
import type { Datapath, DpAction, FlowStats, Upcall } from '../../datapath/types.ts';
import { formatFlow, maskForPacket } from '../../flow/flow-text.ts';
import {
  type Flow,
  N_VLANS,
  VLAN_CFI,
  W_CT_NW_SRC,
  W_CT_TP,
  W_ETH_TYPE,
  W_IGMP_GROUP,
  W_IN_PORT,
  W_MPLS,
  W_ND_TARGET,
  W_RECIRC_ID,
  W_TCP_FLAGS,
  W_TUN_METADATA_PRESENT,
  W_VLAN,
} from '../../flow/layout.ts';
import type { Action } from '../../openflow/actions/types.ts';
import { toHex } from '../../wire/bytes.ts';
import type { Ofproto } from '../ofproto/ofproto.ts';
import type { OfPort } from '../ofproto/port.ts';
import { type RecircIds, savedInPort } from '../xlate/frozen.ts';
import { ERROR_TEXT, renderTrace, TraceSink } from '../xlate/report.ts';
import { translate } from '../xlate/translate.ts';
import type { CacheEntry, TrafficStats, XlateError, XlateOutput } from '../xlate/types.ts';
import { described, isSubsetMask, type Megaflow, sameActions, ufidOf } from './megaflow.ts';
import { pushStats } from './push-stats.ts';

/** How the slow path keeps its megaflows; from the database's other_config. */
export interface SlowPathSettings {
  /** A megaflow without packets for so long goes (max-idle, ms). */
  readonly maxIdle: number;
  /** Most megaflows (flow-limit). */
  readonly flowLimit: number;
  /** At least so often statistics are pushed and flows looked at (max-revalidator, ms). */
  readonly maxRevalidator: number;
  /** Tags of a packet that the pipeline sees (vlan-limit); those behind are payload. */
  readonly vlanLimit: number;
}

export const DEFAULT_SETTINGS: SlowPathSettings = {
  maxIdle: 10_000,
  flowLimit: 200_000,
  maxRevalidator: 500,
  vlanLimit: 1,
};

export interface SlowPathOptions {
  readonly datapath: Datapath;
  readonly recircIds: RecircIds;
  readonly clock: Clock;
  readonly log: Logger;
  /** Runs a function soon, after what is under way: `setImmediate`. */
  readonly defer: (fn: () => void) => void;
  /** Sends a packet that a `controller` action or a table miss asked for to the controllers. */
  readonly packetIn: (packetIn: SlowPathPacketIn) => void;
}

export interface SlowPathPacketIn {
  readonly ofproto: Ofproto;
  /** Valid during the call only. */
  readonly packet: Uint8Array;
  readonly recircId: number;
  readonly reason: number;
  readonly maxLen: number;
  readonly controllerId: number;
  readonly ruleCookie: bigint;
  readonly continuation: boolean;
  /** Key of the packet, with OpenFlow ports. */
  readonly flow: Flow;
}

const VID_MASK = 0x0fff;

interface Origin {
  readonly ofproto: Ofproto;
  readonly ofPort: number;
}

/** in_port of a packet that came by none. */
const NO_PORT = 0xffffffff;

/** Megaflows revalidated before others get their turn. */
const SLICE = 200;
/** Passes over fewer than this follow each other at once. */
const FREE_PASS = 200;
/** Megaflows looked at for each millisecond of rest afterwards. */
const REST_DIVISOR = 20;

/**
 * The slow path of one datapath: translates packets that have no megaflow, installs megaflows, and keeps
 * them true.
 *
 * It is the only writer of megaflows. They are disjoint: a packet that came up matches none, and its
 * megaflow covers only packets that translation can't tell from it; should an older one overlap all the
 * same (a table changed between), that one goes first.
 *
 * Whenever tables, ports or learned addresses change, all megaflows are translated again (`revalidate`),
 * in slices, so that packets and controllers are served meanwhile. One that would now be wider than what
 * was looked at, or do something else, is changed or removed. On the way, and at least every
 * `maxRevalidator` ms, counters are pushed to the rules and ports behind, and idle megaflows removed.
 */
export class SlowPath {
  readonly datapath: Datapath;
  readonly recircIds: RecircIds;
  #settings: SlowPathSettings = DEFAULT_SETTINGS;
  /** `upcall/disable-megaflows`: match every field that a packet has. */
  exactOnly = false;
  readonly #options: SlowPathOptions;
  readonly #log: ModuleLog;
  /** What Open vSwitch's datapath, and its interface to it, log of each upcall and flow. */
  readonly #netdevLog: ModuleLog;
  readonly #dpifLog: ModuleLog;
  readonly #ports = new Map<number, OfPort>();
  readonly #megaflows = new Map<number, Megaflow>();
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
  readonly counts = { upcalls: 0, installed: 0, deleted: 0, changed: 0, refused: 0, failed: 0 };

  constructor(options: SlowPathOptions) {
    this.#options = options;
    this.#log = options.log.module('ofproto_dpif_upcall').limited(5, 5);
    this.#netdevLog = options.log.module('dpif_netdev').limited(600, 600);
    this.#dpifLog = options.log.module('dpif').limited(600, 600);
    this.datapath = options.datapath;
    this.recircIds = options.recircIds;
    options.datapath.setResetHandler?.(() => this.#forget());
    options.datapath.setUpcallHandler((upcall) => this.#handle(upcall));
    this.#arm();
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#resting?.cancel();
    this.purge();
  }

  /** While true megaflows are not looked at again, whatever changes (`revalidator/pause`). */
  set paused(paused: boolean) {
    this.#paused = paused;
    if (!paused) this.changed();
  }

  get settings(): SlowPathSettings {
    return this.#settings;
  }

  set settings(settings: SlowPathSettings) {
    const reparse = settings.vlanLimit !== this.#settings.vlanLimit;
    this.#settings = settings;
    if (reparse) this.purge();
    this.changed();
  }

  // --- Ports ----------------------------------------------------------------------------------------

  attachPort(dpPort: number, port: OfPort): void {
    this.#ports.set(dpPort, port);
    this.changed();
  }

  detachPort(dpPort: number): void {
    this.#ports.delete(dpPort);
    this.changed();
  }

  ofPort(dpPort: number): OfPort | undefined {
    return this.#ports.get(dpPort);
  }

  // --- Upcalls --------------------------------------------------------------------------------------

  #handle(upcall: Upcall): void {
    this.counts.upcalls++;
    this.#netdevLog.dbg(
      () =>
        `${this.datapath.name}: ${upcall.kind} upcall:\n${formatKey(upcall.flow, null)}\n${toHex(upcall.packet)}`,
    );
    try {
      const origin = this.#originOf(upcall.flow);
      if (upcall.kind === 'miss') this.#miss(upcall, origin);
      else this.#byAction(upcall, origin);
    } catch (error) {
      // A packet that we fail on is dropped: a stranger must not be able to stop the switch with it.
      this.counts.failed++;
      const what = error instanceof Error ? (error.stack ?? error.message) : String(error);
      this.#log.err(`packet from port ${upcall.flow[W_IN_PORT]} dropped: ${what}`);
    }
  }

  /** Where a packet is: at the port by which it came, or where a controller's packet was frozen. */
  #originOf(dpKey: Flow): Origin | null {
    const port = this.#ports.get(dpKey[W_IN_PORT]);
    if (port !== undefined) return { ofproto: port.ofproto, ofPort: port.ofPort };
    const state = dpKey[W_RECIRC_ID] === 0 ? undefined : this.recircIds.get(dpKey[W_RECIRC_ID]);
    return state === undefined ? null : { ofproto: state.ofproto, ofPort: savedInPort(state.metadata) };
  }

  #miss(upcall: Upcall, origin: Origin | null): void {
    if (origin === null) {
      this.#log.info(() => `received packet on unassociated datapath port ${upcall.flow[W_IN_PORT]}`);
      return;
    }
    const dpKey = upcall.flow.slice();
    const cache: CacheEntry[] = [];
    const flow = this.#toOpenFlow(dpKey, origin.ofPort);
    const stats: TrafficStats = {
      packets: 1,
      bytes: upcall.packet.length,
      used: this.#options.clock.now(),
      tcpFlags: flow[W_TCP_FLAGS] >>> 16,
    };
    const out = this.#translate(flow, origin.ofproto, { packet: upcall.packet, effects: true, stats, cache });
    if (out.error !== 'ok') this.#explain(flow, origin.ofproto, out.error);
    const megaflow = this.#record(dpKey, flow, origin.ofproto, out, cache);
    this.#install(megaflow);
    if (out.actions.length > 0) {
      this.datapath.execute({
        packet: upcall.packet,
        flow: dpKey,
        actions: out.actions,
        offload: upcall.offload,
      });
    }
  }

  /** Logs how a translation came to its error, as a trace would show it. */
  #explain(flow: Flow, ofproto: Ofproto, error: XlateError): void {
    this.#log.warn(() => {
      const trace = new TraceSink();
      this.#translate(flow, ofproto, { packet: null, effects: false, trace });
      return `Dropped packet on bridge ${ofproto.name}:\nFlow: ${formatFlow(flow)}\n${renderTrace(trace.roots)}\nTranslation failed (${ERROR_TEXT[error]}), packet is dropped.`;
    });
  }

  #byAction(upcall: Upcall, origin: Origin | null): void {
    const cookie = upcall.userdata;
    if (cookie === null) return;
    if (cookie.type === 'slow_path') {
      if (origin === null) return;
      // Its megaflow counted the packet already: no statistics here.
      const flow = this.#toOpenFlow(upcall.flow, origin.ofPort);
      const out = this.#translate(flow, origin.ofproto, { packet: upcall.packet, effects: true });
      if (out.actions.length > 0) {
        const key = upcall.flow.slice();
        this.datapath.execute({
          packet: upcall.packet,
          flow: key,
          actions: out.actions,
          offload: upcall.offload,
        });
      }
      for (const id of out.recircs) this.recircIds.release(id);
    } else if (cookie.type === 'controller' && !cookie.dontSend) {
      const state = this.recircIds.get(cookie.recircId);
      if (state === undefined) return;
      const flow = upcall.flow.slice();
      flow[W_IN_PORT] = savedInPort(state.metadata);
      const { reason, maxLen, controllerId, ruleCookie, recircId, continuation } = cookie;
      const { ofproto } = state;
      const { packet } = upcall;
      this.#options.packetIn({
        ofproto,
        packet,
        recircId,
        reason,
        maxLen,
        controllerId,
        ruleCookie,
        continuation,
        flow,
      });
    }
  }

  /**
   * Sends a packet that a controller made, with the pipeline's fields in `flow` (OpenFlow ports), through
   * actions of its own.
   */
  packetOut(ofproto: Ofproto, packet: Uint8Array, flow: Flow, actions: readonly Action[]): void {
    const stats: TrafficStats = {
      packets: 1,
      bytes: packet.length,
      used: this.#options.clock.now(),
      tcpFlags: flow[W_TCP_FLAGS] >>> 16,
    };
    const { tcpFlags } = stats;
    const out = translate({
      ofproto,
      flow,
      packet,
      tcpFlags,
      actions,
      effects: true,
      stats,
      inPacketOut: true,
    });
    const dpKey = flow.slice();
    dpKey[W_IN_PORT] = ofproto.port(flow[W_IN_PORT])?.dpPort ?? NO_PORT;
    if (out.actions.length > 0) this.datapath.execute({ packet, flow: dpKey, actions: out.actions });
    for (const id of out.recircs) this.recircIds.release(id);
  }

  #toOpenFlow(dpKey: Flow, ofPort: number): Flow {
    const flow = this.limitVlans(dpKey);
    flow[W_IN_PORT] = ofPort;
    return flow;
  }

  /** A copy of the key as the pipeline sees it, with no more tags than `vlanLimit`. */
  limitVlans(key: Flow): Flow {
    const flow = key.slice();
    if (this.#settings.vlanLimit < N_VLANS) hideTags(flow, this.#settings.vlanLimit);
    return flow;
  }

  #translate(
    flow: Flow,
    ofproto: Ofproto,
    rest: {
      packet: Uint8Array | null;
      effects: boolean;
      stats?: TrafficStats;
      cache?: CacheEntry[];
      trace?: TraceSink;
    },
  ): XlateOutput {
    const frozen = flow[W_RECIRC_ID] === 0 ? undefined : this.recircIds.get(flow[W_RECIRC_ID]);
    return translate({ ofproto, flow, frozen, tcpFlags: flow[W_TCP_FLAGS] >>> 16, ...rest });
  }

  // --- Megaflows ------------------------------------------------------------------------------------

  #record(dpKey: Flow, flow: Flow, ofproto: Ofproto, out: XlateOutput, cache: CacheEntry[]): Megaflow {
    const mask = this.#datapathMask(dpKey, out.wc);
    const key = dpKey.slice();
    for (let i = 0; i < key.length; i++) key[i] &= mask[i];
    return {
      id: -1,
      ofproto,
      key,
      mask,
      packetKey: dpKey.slice(),
      flow,
      actions: withSlowPath(out),
      translated: out.actions,
      cache,
      recircs: out.recircs,
      created: this.#options.clock.now(),
      packets: 0,
      bytes: 0,
      used: 0,
      tcpFlags: 0,
    };
  }

  /**
   * The mask as the datapath needs it: ports whole, and always whether tags are there and of which
   * type, because the EtherType that translation always looks at stands behind them. A VLAN that nobody
   * looked at is matched too, as Open vSwitch's userspace datapath has it, so that a megaflow's
   * counters are those of one VLAN.
   */
  #datapathMask(dpKey: Flow, wc: Flow): Flow {
    const mask = this.exactOnly ? exactMask(dpKey, wc) : wc.slice();
    mask[W_IN_PORT] = 0xffffffff;
    mask[W_VLAN] |= 0xffff0000 | VLAN_CFI | ((mask[W_VLAN] & 0xffff) === 0 ? VID_MASK : 0);
    mask[W_VLAN + 1] |= 0xffff0000 | VLAN_CFI;
    return mask;
  }

  #install(megaflow: Megaflow): void {
    if (this.#megaflows.size >= this.settings.flowLimit) {
      this.counts.refused++;
      for (const id of megaflow.recircs) this.recircIds.release(id);
      return;
    }
    try {
      megaflow.id = this.datapath.flowPut(megaflow);
    } catch (error) {
      this.counts.refused++;
      this.#log.warn(() => `megaflow not installed: ${error instanceof Error ? error.message : error}`);
      for (const id of megaflow.recircs) this.recircIds.release(id);
      return;
    }
    this.#netdevLog.dbg(() => {
      const { key, mask } = described(megaflow);
      return `flow_add: ${formatUfid(ufidOf(megaflow))} mega_${formatUfid(ufidOf(megaflow))} ${formatKey(key, mask)}, actions:${formatActions(megaflow.actions)}`;
    });
    const old = this.#megaflows.get(megaflow.id);
    if (old !== undefined) {
      // Two packets of one flow came up: the datapath goes on counting where the first's record stands.
      this.#credit(old, this.datapath.flowStats(old.id));
      const { packets, bytes, used, tcpFlags } = old;
      Object.assign(megaflow, { packets, bytes, used, tcpFlags });
      for (const id of old.recircs) this.recircIds.release(id);
    }
    this.#megaflows.set(megaflow.id, megaflow);
    this.counts.installed++;
  }

  megaflows(): IterableIterator<Megaflow> {
    return this.#megaflows.values();
  }

  get count(): number {
    return this.#megaflows.size;
  }

  /**
   * Takes over a flow that an operator put into the datapath; the next revalidation makes of it what the
   * tables say. False if no bridge has its port.
   */
  adopt(packetKey: Flow, mask: Flow, actions: readonly DpAction[]): boolean {
    const origin = this.#originOf(packetKey);
    if (origin === null) return false;
    this.#install({
      id: -1,
      ofproto: origin.ofproto,
      key: packetKey.map((word, i) => word & mask[i]),
      mask,
      packetKey,
      flow: this.#toOpenFlow(packetKey, origin.ofPort),
      actions,
      translated: actions,
      cache: [],
      recircs: [],
      created: this.#options.clock.now(),
      packets: 0,
      bytes: 0,
      used: 0,
      tcpFlags: 0,
    });
    return true;
  }

  /** Removes one megaflow; packets of it will bring it back. */
  forget(id: number): void {
    const megaflow = this.#megaflows.get(id);
    if (megaflow !== undefined) this.#remove(megaflow);
  }

  /** Removes all megaflows, their last counters credited. */
  purge(): void {
    for (const megaflow of [...this.#megaflows.values()]) this.#remove(megaflow);
  }

  /** The datapath lost its megaflows: what they carried since the last push is not known any more. */
  #forget(): void {
    for (const megaflow of this.#megaflows.values()) {
      for (const id of megaflow.recircs) this.recircIds.release(id);
      this.counts.deleted++;
    }
    this.#megaflows.clear();
    this.#cursor = [];
  }

  #remove(megaflow: Megaflow): void {
    this.#megaflows.delete(megaflow.id);
    this.#credit(megaflow, this.datapath.flowDelete(megaflow.id));
    for (const id of megaflow.recircs) this.recircIds.release(id);
    this.counts.deleted++;
  }

  /** Credits what came since the last time. */
  #credit(megaflow: Megaflow, now: FlowStats): void {
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

  // --- Revalidation ---------------------------------------------------------------------------------

  /** Tells that what megaflows were made from has changed. */
  changed(): void {
    this.#dirty = true;
    this.#schedule();
  }

  #arm(): void {
    if (this.#closed) return;
    this.#timer = this.#options.clock.after(this.settings.maxRevalidator, () => {
      this.#schedule();
      this.#arm();
    });
  }

  #schedule(): void {
    if (this.#scheduled || this.#closed || this.#paused || this.#resting !== null) return;
    this.#scheduled = true;
    this.#options.defer(() => {
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
    const ms = Math.min(this.#passSize / REST_DIVISOR, this.settings.maxRevalidator);
    this.#resting = this.#options.clock.after(ms, () => {
      this.#resting = null;
      this.#schedule();
    });
  }

  #wake(): void {
    for (const waiter of this.#waiters.splice(0)) waiter();
  }

  /** Resolves when every megaflow has been looked at after all changes up to now. */
  async settled(): Promise<void> {
    await this.datapath.flush();
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
    await this.datapath.flush();
    for (const megaflow of this.#megaflows.values())
      this.#credit(megaflow, this.datapath.flowStats(megaflow.id));
  }

  #slice(): void {
    // A pass that has begun is ended before what changed meanwhile is looked at: else changes that
    // never stop would keep the first megaflows from ever having their turn.
    if (this.#cursor.length === 0) {
      this.#dirty = false;
      this.#cursor = [...this.#megaflows.keys()];
      this.#passSize = this.#cursor.length;
    }
    const batch = this.#cursor.splice(-SLICE);
    for (const id of batch) {
      const megaflow = this.#megaflows.get(id);
      if (megaflow !== undefined) this.#revalidate(megaflow);
    }
  }

  #revalidate(megaflow: Megaflow): void {
    const now = this.#options.clock.now();
    const stats = this.datapath.flowStats(megaflow.id);
    this.#dpifLog.dbg(() => {
      const text = formatDpFlow({ ...described(megaflow), stats }, now, { verbose: true });
      return `${this.datapath.type}: flow_dump ${formatUfid(ufidOf(megaflow))} ${text}`;
    });
    this.#credit(megaflow, stats);
    const crowded = this.#megaflows.size > this.settings.flowLimit;
    const maxIdle = crowded ? 100 : this.settings.maxIdle;
    if (now - Math.max(stats.used, megaflow.created) >= maxIdle) {
      this.#remove(megaflow);
      return;
    }
    const origin = this.#originOf(megaflow.packetKey);
    if (origin?.ofproto !== megaflow.ofproto || origin.ofPort !== megaflow.flow[W_IN_PORT]) {
      this.#remove(megaflow);
      return;
    }
    const cache: CacheEntry[] = [];
    const out = this.#translate(megaflow.flow, megaflow.ofproto, { packet: null, effects: false, cache });
    const mask = this.#datapathMask(megaflow.flow, out.wc);
    // Wider than what the tables now look at: some packet of it might deserve other actions.
    if (!isSubsetMask(mask, megaflow.mask)) {
      for (const id of out.recircs) this.recircIds.release(id);
      this.#remove(megaflow);
      return;
    }
    const actions = withSlowPath(out);
    for (const id of megaflow.recircs) this.recircIds.release(id);
    megaflow.recircs = out.recircs;
    megaflow.cache = cache;
    megaflow.translated = out.actions;
    if (!sameActions(actions, megaflow.actions)) {
      megaflow.actions = actions;
      this.#dpifLog.dbg(() => {
        const { key, mask } = described(megaflow);
        const text = `${formatKey(key, mask, { verbose: true })}, actions:${formatActions(actions)}`;
        return `${this.datapath.type}: put[modify] ${formatUfid(ufidOf(megaflow))} ${text}`;
      });
      this.datapath.flowPut(megaflow);
      this.counts.changed++;
    }
  }
}

/** What goes into the datapath: the actions, or the order to ask each time. */
function withSlowPath(out: XlateOutput): readonly DpAction[] {
  if (out.slow.size === 0) return out.actions;
  const [reason] = out.slow;
  return [{ type: 'userspace', pid: 0, cookie: { type: 'slow_path', reason } }];
}

/** Every bit that a packet of this key can have. */
function exactMask(key: Flow, wc: Flow): Flow {
  const mask = maskForPacket(key);
  for (let i = 0; i < key.length; i++) mask[i] |= wc[i];
  return mask;
}

/** Words of what stands behind the EtherType. */
const NETWORK_WORDS: readonly (readonly [first: number, end: number])[] = [
  [W_MPLS, W_CT_NW_SRC],
  [W_ND_TARGET, W_CT_TP],
  [W_IGMP_GROUP, W_TUN_METADATA_PRESENT],
];

/** Takes tags from the `limit`th on for what a packet without VLAN support has there: an EtherType. */
function hideTags(flow: Flow, limit: number): void {
  if ((flow[W_VLAN + limit] & VLAN_CFI) === 0) return;
  flow[W_ETH_TYPE] = flow[W_VLAN + limit] & 0xffff0000;
  flow.fill(0, W_VLAN + limit, W_VLAN + N_VLANS);
  for (const [first, end] of NETWORK_WORDS) flow.fill(0, first, end);
}
