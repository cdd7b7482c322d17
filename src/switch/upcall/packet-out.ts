import { type Flow, W_IN_PORT, W_TCP_FLAGS } from '../../flow/layout.ts';
import type { Action } from '../../openflow/actions/types.ts';
import type { Ofproto } from '../ofproto/ofproto.ts';
import { fieldsToOptions } from '../tunnel/options.ts';
import type { FrozenState } from '../xlate/frozen.ts';
import { translate } from '../xlate/translate.ts';
import type { CacheEntry, XlateOutput } from '../xlate/types.ts';
import { applyEntries } from './push-stats.ts';
import type { SlowPath } from './slow-path.ts';

/** in_port of a packet that came by none. */
const NO_PORT = 0xffffffff;
/** A packet that refers to a recirculation id may be on its way for so long. */
const RELEASE_MS = 1000;

/** The datapath's key for a packet that has the pipeline's `flow`. */
export function toDatapathKey(ofproto: Ofproto, flow: Flow): Flow {
  const key = flow.slice();
  key[W_IN_PORT] = ofproto.port(flow[W_IN_PORT])?.dpPort ?? NO_PORT;
  fieldsToOptions(ofproto.services.tunnelOptions, key);
  return key;
}

/** A packet that a controller made, translated but not sent yet. */
export class PreparedPacketOut {
  readonly #slowPath: SlowPath;
  readonly #ofproto: Ofproto;
  readonly #packet: Uint8Array;
  readonly #flow: Flow;
  readonly #cache: CacheEntry[] = [];
  readonly #out: XlateOutput;

  /**
   * Translates `actions` for a packet with the pipeline's fields in `flow` (OpenFlow ports), as the
   * tables are in `version`. Nothing happens yet: what the packet teaches and counts waits for `send`.
   */
  constructor(
    slowPath: SlowPath,
    request: {
      readonly ofproto: Ofproto;
      readonly packet: Uint8Array;
      readonly flow: Flow;
      /** These, or a translation that was paused, to go on with. */
      readonly actions?: readonly Action[];
      readonly frozen?: FrozenState;
      readonly version: number;
    },
  ) {
    const { ofproto, packet, flow, actions, frozen, version } = request;
    this.#slowPath = slowPath;
    this.#ofproto = ofproto;
    this.#packet = packet;
    this.#flow = flow;
    this.#out = translate({
      ofproto,
      flow,
      packet,
      tcpFlags: flow[W_TCP_FLAGS] >>> 16,
      actions,
      frozen,
      effects: false,
      cache: this.#cache,
      inPacketOut: frozen === undefined,
      version,
    });
  }

  /** Why it can't be sent; 'ok': it can. */
  get error(): XlateOutput['error'] {
    return this.#out.error;
  }

  /** Sends it, once. */
  send(): void {
    const flow = this.#flow;
    applyEntries(this.#cache, {
      packets: 1,
      bytes: this.#packet.length,
      used: this.#ofproto.clock.now(),
      tcpFlags: flow[W_TCP_FLAGS] >>> 16,
    });
    const key = toDatapathKey(this.#ofproto, flow);
    const { actions } = this.#out;
    if (actions.length > 0) this.#slowPath.datapath.execute({ packet: this.#packet, flow: key, actions });
    if (this.#out.recircs.length > 0) this.#ofproto.clock.after(RELEASE_MS, () => this.drop());
  }

  /** Gives back what it holds, instead of sending it. */
  drop(): void {
    for (const id of this.#out.recircs.splice(0)) this.#slowPath.recircIds.release(id);
  }
}
