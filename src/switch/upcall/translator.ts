import { FlowArena } from '../../flow/flow-arena.ts';
import { type Flow, TUN_F_OAM, W_IN_PORT, W_RECIRC_ID, W_TCP_FLAGS, W_TUN_FLAGS } from '../../flow/layout.ts';
import { Dependencies, datapathPortTag, recircTag, tunnelTag } from '../ofproto/dependencies.ts';
import type { Ofproto } from '../ofproto/ofproto.ts';
import type { OfPort } from '../ofproto/port.ts';
import { optionsMask } from '../tunnel/options.ts';
import { hasTunnelDestination, remoteOf, type TunnelPorts } from '../tunnel/ports.ts';
import { type RecircIds, savedInPort } from '../xlate/frozen.ts';
import type { TraceSink } from '../xlate/report.ts';
import { translate } from '../xlate/translate.ts';
import type { CacheEntry, TrafficStats, XlateOutput } from '../xlate/types.ts';
import { toDatapathMask, toPipelineKey } from './key-view.ts';
import { FlowPool } from './packed-flow.ts';

/** The bridge and its OpenFlow port by which a packet came. */
export interface Origin {
  readonly ofproto: Ofproto;
  readonly ofPort: number;
}

export interface TranslateOptions {
  readonly packet: Uint8Array | null;
  readonly effects: boolean;
  readonly stats?: TrafficStats;
  readonly cache?: CacheEntry[];
  readonly dependencies?: Dependencies;
  readonly trace?: TraceSink;
}

/** The bridge ports behind a datapath's, and the translation of what comes by them. */
export class Translator {
  readonly recircIds: RecircIds;
  readonly pool = new FlowPool();
  /** All keys and masks that come from here are good until whoever works with them resets it for the next packet. */
  readonly arena = new FlowArena();
  readonly tunnels: TunnelPorts;
  readonly #ports = new Map<number, OfPort>();
  vlanLimit: number;
  /** `upcall/disable-megaflows`: match every field that a packet has. */
  exactOnly = false;

  constructor(recircIds: RecircIds, tunnels: TunnelPorts, vlanLimit: number) {
    this.recircIds = recircIds;
    this.tunnels = tunnels;
    this.vlanLimit = vlanLimit;
  }

  attachPort(dpPort: number, port: OfPort): void {
    this.#ports.set(dpPort, port);
  }

  detachPort(dpPort: number): void {
    this.#ports.delete(dpPort);
  }

  /** The port on a datapath port that no tunnels share. */
  portAt(dpPort: number): OfPort | undefined {
    return this.#ports.get(dpPort);
  }

  /** The port by which a packet with this datapath's key comes: its tunnel's, if it came by one; null: none. */
  receiver(dpKey: Flow): OfPort | null {
    if (hasTunnelDestination(dpKey)) return this.tunnels.receive(dpKey);
    return this.#ports.get(dpKey[W_IN_PORT]) ?? null;
  }

  /** Where a packet is: at the port by which it came, or where a controller's packet was frozen. */
  originOf(dpKey: Flow): Origin | null {
    const state = dpKey[W_RECIRC_ID] === 0 ? undefined : this.recircIds.get(dpKey[W_RECIRC_ID]);
    // The tunnel in the key may be one that the packet is about to leave by.
    const port = state !== undefined && hasTunnelDestination(dpKey) ? null : this.receiver(dpKey);
    if (port !== null) return { ofproto: port.ofproto, ofPort: port.ofPort };
    return state === undefined ? null : { ofproto: state.ofproto, ofPort: savedInPort(state.metadata) };
  }

  /** To collect what a translation depends on; what `originOf` and `translate` read here is noted already. */
  dependenciesOf(dpKey: Flow): Dependencies {
    const dependencies = new Dependencies();
    dependencies.note(datapathPortTag(dpKey[W_IN_PORT]));
    if (hasTunnelDestination(dpKey)) dependencies.note(tunnelTag(dpKey[W_IN_PORT], remoteOf(dpKey)));
    if (dpKey[W_RECIRC_ID] !== 0) dependencies.note(recircTag(dpKey[W_RECIRC_ID]));
    return dependencies;
  }

  /** A copy of the datapath's key as the pipeline sees it. */
  toOpenFlow(dpKey: Flow, ofPort: number): Flow {
    return toPipelineKey(dpKey, ofPort, this.vlanLimit, this.arena);
  }

  /** The mask of a translation of a packet with the datapath's key, as the datapath needs it. */
  datapathMask(dpKey: Flow, wc: Flow, ofproto: Ofproto): Flow {
    const mask = toDatapathMask(dpKey, wc, this.exactOnly, this.arena);
    if (hasTunnelDestination(dpKey)) {
      optionsMask(ofproto.services.tunnelOptions, dpKey, mask);
      // A packet that goes on by another tunnel takes the flag along.
      mask[W_TUN_FLAGS] |= TUN_F_OAM << 16;
    }
    return mask;
  }

  /** Translates a key with OpenFlow ports, from where its recirculation id says on. */
  translate(flow: Flow, ofproto: Ofproto, options: TranslateOptions): XlateOutput {
    const frozen = flow[W_RECIRC_ID] === 0 ? undefined : this.recircIds.get(flow[W_RECIRC_ID]);
    const { arena } = this;
    return translate({ ofproto, flow, frozen, tcpFlags: flow[W_TCP_FLAGS] >>> 16, arena, ...options });
  }

  release(recircs: readonly number[]): void {
    for (const id of recircs) this.recircIds.release(id);
  }
}
