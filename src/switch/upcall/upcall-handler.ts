import type { Clock } from '../../base/clock.ts';
import type { Logger, ModuleLog } from '../../base/log.ts';
import { formatKey } from '../../datapath/text/index.ts';
import type { Datapath, MegaflowId, Upcall } from '../../datapath/types.ts';
import { formatFlow } from '../../flow/flow-text.ts';
import { type Flow, W_IN_PORT, W_TCP_FLAGS } from '../../flow/layout.ts';
import { toHex } from '../../wire/bytes.ts';
import type { Ofproto } from '../ofproto/ofproto.ts';
import { hasTunnelDestination } from '../tunnel/ports.ts';
import { clearConntrackFields } from '../xlate/context.ts';
import { savedInPort } from '../xlate/frozen.ts';
import { ERROR_TEXT, renderTrace, TraceSink } from '../xlate/report.ts';
import type { CacheEntry, TrafficStats, XlateError } from '../xlate/types.ts';
import type { ChangeLog } from './change-log.ts';
import { isSubsetMask, Megaflow } from './megaflow.ts';
import type { MegaflowStore } from './megaflow-store.ts';
import type { Origin, Translator } from './translator.ts';

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

export interface UpcallHandlerOptions {
  readonly datapath: Datapath;
  readonly translator: Translator;
  readonly megaflows: MegaflowStore;
  readonly changes: ChangeLog;
  readonly clock: Clock;
  readonly log: Logger;
  /** Sends a packet that a `controller` action or a table miss asked for to the controllers. */
  readonly packetIn: (packetIn: SlowPathPacketIn) => void;
}

/** Deals with the packets that come up from a datapath. */
export class UpcallHandler {
  readonly #datapath: Datapath;
  readonly #translator: Translator;
  readonly #megaflows: MegaflowStore;
  readonly #changes: ChangeLog;
  readonly #clock: Clock;
  readonly #packetIn: UpcallHandlerOptions['packetIn'];
  readonly #log: ModuleLog;
  /** What Open vSwitch's datapath logs of each upcall. */
  readonly #netdevLog: ModuleLog;
  readonly counts = { upcalls: 0, failed: 0 };
  /** Drops everything. */
  holding = false;

  constructor(options: UpcallHandlerOptions) {
    this.#datapath = options.datapath;
    this.#translator = options.translator;
    this.#megaflows = options.megaflows;
    this.#changes = options.changes;
    this.#clock = options.clock;
    this.#packetIn = options.packetIn;
    this.#log = options.log.module('ofproto_dpif_upcall').limited(5, 5);
    this.#netdevLog = options.log.module('dpif_netdev').limited(600, 600);
  }

  handle(upcall: Upcall): void {
    this.counts.upcalls++;
    if (this.holding) return;
    this.#netdevLog.dbg(
      () =>
        `${this.#datapath.name}: ${upcall.kind} upcall:\n${formatKey(upcall.flow, null)}\n${toHex(upcall.packet)}`,
    );
    this.#translator.arena.reset();
    try {
      const origin = this.#translator.originOf(upcall.flow);
      if (upcall.kind === 'miss') this.#miss(upcall, origin);
      else this.#byAction(upcall, origin);
    } catch (error) {
      // A packet that we fail on is dropped: a stranger must not be able to stop the switch with it.
      this.counts.failed++;
      const what = error instanceof Error ? (error.stack ?? error.message) : String(error);
      this.#log.err(`packet from port ${upcall.flow[W_IN_PORT]} dropped: ${what}`);
    }
  }

  #miss(upcall: Upcall, origin: Origin | null): void {
    if (origin === null) {
      if (hasTunnelDestination(upcall.flow)) this.#translator.tunnels.complain(upcall.flow);
      this.#log.info(() => `received packet on unassociated datapath port ${upcall.flow[W_IN_PORT]}`);
      return;
    }
    const dpKey = this.#translator.arena.copy(upcall.flow);
    const cache: CacheEntry[] = [];
    const { ofproto } = origin;
    const flow = this.#translator.toOpenFlow(dpKey, origin.ofPort);
    const now = this.#clock.now();
    const stats: TrafficStats = {
      packets: 1,
      bytes: upcall.packet.length,
      used: now,
      tcpFlags: flow[W_TCP_FLAGS] >>> 16,
    };
    const { packet } = upcall;
    const dependencies = this.#translator.dependenciesOf(dpKey);
    // What the packet itself teaches counts as later: an earlier part of its translation may not know it.
    const { seq } = this.#changes;
    const effects = true;
    const out = this.#translator.translate(flow, ofproto, { packet, effects, stats, cache, dependencies });
    if (out.error !== 'ok') this.#explain(flow, ofproto, out.error);
    const mask = this.#translator.datapathMask(dpKey, out.wc, ofproto);
    const { pool } = this.#translator;
    const translation = { out, cache, dependencies, seq };
    this.#megaflows.install(new Megaflow({ ofproto, dpKey, flow, mask, translation, now, pool }));
    if (out.actions.length > 0) {
      this.#datapath.execute({
        packet: upcall.packet,
        flow: dpKey,
        actions: out.actions,
        offload: upcall.offload,
      });
    }
  }

  /**
   * Decides anew about a megaflow of an earlier process, of whose packets only the bits under the mask are known. Null
   * if it covers packets that the tables of today would tell apart.
   */
  inherit(dpKey: Flow, mask: Flow): MegaflowId | null {
    const origin = this.#translator.originOf(dpKey);
    if (origin === null) return null;
    const { ofproto } = origin;
    const cache: CacheEntry[] = [];
    const flow = this.#translator.toOpenFlow(dpKey, origin.ofPort);
    const dependencies = this.#translator.dependenciesOf(dpKey);
    const { seq } = this.#changes;
    const options = { packet: null, effects: false, cache, dependencies };
    const out = this.#translator.translate(flow, ofproto, options);
    if (!isSubsetMask(this.#translator.datapathMask(dpKey, out.wc, ofproto), mask)) {
      this.#translator.release(out.recircs);
      return null;
    }
    const translation = { out, cache, dependencies, seq };
    const { pool } = this.#translator;
    const megaflow = new Megaflow({ ofproto, dpKey, flow, mask, translation, now: this.#clock.now(), pool });
    this.#megaflows.install(megaflow);
    return megaflow.id < 0 ? null : megaflow.id;
  }

  /** Logs how a translation came to its error, as a trace would show it. */
  #explain(flow: Flow, ofproto: Ofproto, error: XlateError): void {
    this.#log.warn(() => {
      const trace = new TraceSink();
      this.#translator.translate(flow, ofproto, { packet: null, effects: false, trace });
      return `Dropped packet on bridge ${ofproto.name}:\nFlow: ${formatFlow(flow)}\n${renderTrace(trace.roots)}\nTranslation failed (${ERROR_TEXT[error]}), packet is dropped.`;
    });
  }

  #byAction(upcall: Upcall, origin: Origin | null): void {
    const cookie = upcall.userdata;
    if (cookie === null) return;
    if (cookie.type === 'slow_path') {
      if (origin === null) return;
      // Its megaflow counted the packet already: no statistics here.
      const flow = this.#translator.toOpenFlow(upcall.flow, origin.ofPort);
      const out = this.#translator.translate(flow, origin.ofproto, { packet: upcall.packet, effects: true });
      if (out.actions.length > 0) {
        const key = upcall.flow.slice();
        this.#datapath.execute({
          packet: upcall.packet,
          flow: key,
          actions: out.actions,
          offload: upcall.offload,
        });
      }
      this.#translator.release(out.recircs);
    } else if (cookie.type === 'controller' && !cookie.dontSend) {
      const state = this.#translator.recircIds.get(cookie.recircId);
      if (state === undefined) return;
      const flow = upcall.flow.slice();
      flow[W_IN_PORT] = savedInPort(state.metadata);
      // To who translated, the verdict of a `ct` before was not there yet.
      if (!state.conntracked) clearConntrackFields(flow);
      const { reason, maxLen, controllerId, ruleCookie, recircId, continuation } = cookie;
      const { ofproto } = state;
      const { packet } = upcall;
      this.#packetIn({
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
}
