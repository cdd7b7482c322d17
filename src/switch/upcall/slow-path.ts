import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { Datapath, DpAction } from '../../datapath/types.ts';
import type { Flow } from '../../flow/layout.ts';
import { ZoneTimeouts } from '../conntrack/zone-timeouts.ts';
import { DatapathMeters } from '../ofproto/datapath-meters.ts';
import { type Change, datapathPortTag, recircTag } from '../ofproto/dependencies.ts';
import type { OfPort } from '../ofproto/port.ts';
import { TunnelPorts } from '../tunnel/ports.ts';
import type { RecircIds } from '../xlate/frozen.ts';
import { ChangeLog } from './change-log.ts';
import { FlowLimit } from './flow-limit.ts';
import { limitVlans } from './key-view.ts';
import type { Megaflow } from './megaflow.ts';
import { MegaflowStore } from './megaflow-store.ts';
import { Revalidator } from './revalidator.ts';
import { DEFAULT_SETTINGS, type SlowPathSettings } from './settings.ts';
import { Translator } from './translator.ts';
import { type SlowPathPacketIn, UpcallHandler } from './upcall-handler.ts';

export type { SlowPathPacketIn } from './upcall-handler.ts';

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

/**
 * The slow path of one datapath: translates packets that have no megaflow (`UpcallHandler`), installs
 * megaflows (`MegaflowStore`), and keeps them true (`Revalidator`).
 *
 * It is the only writer of megaflows. They are disjoint: a packet that came up matches none, and its
 * megaflow covers only packets that translation can't tell from it; should an older one overlap all the
 * same (a table changed between), that one goes first.
 */
export class SlowPath {
  readonly datapath: Datapath;
  readonly recircIds: RecircIds;
  readonly tunnels: TunnelPorts;
  readonly meters: DatapathMeters;
  readonly zoneTimeouts: ZoneTimeouts;
  #settings: SlowPathSettings = DEFAULT_SETTINGS;
  readonly #limit: FlowLimit;
  readonly #translator: Translator;
  readonly #megaflows: MegaflowStore;
  readonly #upcalls: UpcallHandler;
  readonly #revalidator: Revalidator;

  constructor(options: SlowPathOptions) {
    const { datapath, recircIds, clock, log, defer, packetIn } = options;
    this.datapath = datapath;
    this.recircIds = recircIds;
    this.meters = new DatapathMeters(datapath);
    this.zoneTimeouts = new ZoneTimeouts(datapath.connections);
    this.tunnels = new TunnelPorts(datapath, log, (change) => this.changed(change));
    this.#translator = new Translator(recircIds, this.tunnels, this.#settings.vlanLimit);
    const translator = this.#translator;
    const limit = new FlowLimit(this.#settings.flowLimit);
    this.#limit = limit;
    const megaflows = new MegaflowStore({ datapath, translator, clock, log, limit });
    this.#megaflows = megaflows;
    const common = { datapath, translator, megaflows, changes: new ChangeLog(), clock, log };
    this.#upcalls = new UpcallHandler({ ...common, packetIn });
    const settings = () => this.#settings;
    this.#revalidator = new Revalidator({ ...common, defer, limit, settings });
    recircIds.onForgotten = (id) => this.changed({ tag: recircTag(id) });
    datapath.setResetHandler?.(() => this.#megaflows.forgetAll());
    datapath.setUpcallHandler((upcall) => this.#upcalls.handle(upcall));
  }

  close(): void {
    this.#revalidator.close();
    this.purge();
  }

  /** Ends, and leaves the megaflows in a datapath that goes on. */
  leave(): void {
    this.#revalidator.close();
  }

  /** While true megaflows are not looked at again, whatever changes (`revalidator/pause`). */
  set paused(paused: boolean) {
    this.#revalidator.paused = paused;
  }

  /** While true nothing is decided by the tables, for they are still being filled: what comes up is dropped. */
  set holding(holding: boolean) {
    if (holding === this.#upcalls.holding) return;
    this.#upcalls.holding = holding;
    this.#revalidator.paused = holding;
  }

  /** `upcall/disable-megaflows`: match every field that a packet has. */
  set exactOnly(exact: boolean) {
    this.#translator.exactOnly = exact;
  }

  get settings(): SlowPathSettings {
    return this.#settings;
  }

  set settings(settings: SlowPathSettings) {
    const reparse = settings.vlanLimit !== this.#settings.vlanLimit;
    this.#settings = settings;
    this.#translator.vlanLimit = settings.vlanLimit;
    this.#limit.configured = settings.flowLimit;
    if (reparse) this.purge();
    this.#revalidator.hurry();
  }

  get counts() {
    return { ...this.#upcalls.counts, ...this.#megaflows.counts, ...this.#revalidator.counts };
  }

  /** Megaflows that there may be: less than what is configured while passes over them take long. */
  get flowLimit(): number {
    return this.#limit.current;
  }

  set flowLimit(limit: number) {
    this.#limit.set(limit);
    this.#revalidator.hurry();
  }

  /** Time that the last complete pass took, ms. */
  get dumpDuration(): number {
    return this.#revalidator.dumpDuration;
  }

  // --- Ports ----------------------------------------------------------------------------------------

  attachPort(dpPort: number, port: OfPort): void {
    this.#translator.attachPort(dpPort, port);
    this.changed({ tag: datapathPortTag(dpPort) });
  }

  detachPort(dpPort: number): void {
    this.#translator.detachPort(dpPort);
    this.changed({ tag: datapathPortTag(dpPort) });
  }

  /** The ports on a datapath port: several where they are tunnels. */
  portsOn(dpPort: number): OfPort[] {
    const port = this.#translator.portAt(dpPort);
    return port === undefined ? this.tunnels.on(dpPort) : [port];
  }

  /** The port by which a packet with this datapath's key comes: its tunnel's, if it came by one; null: none. */
  receiver(dpKey: Flow): OfPort | null {
    return this.#translator.receiver(dpKey);
  }

  /** A copy of the key as the pipeline sees it, with no more tags than `vlanLimit`. */
  limitVlans(key: Flow): Flow {
    return limitVlans(key.slice(), this.#settings.vlanLimit);
  }

  // --- Megaflows ------------------------------------------------------------------------------------

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
    return this.#megaflows.adopt(packetKey, mask, actions);
  }

  /** Goes on where an earlier process left off, if it did: ports and tables are in place now. */
  takeOver(): void {
    this.datapath.takeOver?.((key, mask) => this.#upcalls.inherit(key, mask));
  }

  /** Removes one megaflow; packets of it will bring it back. */
  forget(id: number): void {
    const megaflow = this.#megaflows.get(id);
    if (megaflow !== undefined) this.#megaflows.remove([megaflow]);
  }

  /** Removes all megaflows, their last counters credited. */
  purge(): void {
    this.#megaflows.purge();
  }

  /** Tells that something has changed that megaflows may come from. */
  changed(change: Change): void {
    this.#revalidator.changed(change);
  }

  /** Has the counters of all megaflows read soon, and idle megaflows removed. */
  hurry(): void {
    this.#revalidator.hurry();
  }

  /** Resolves when every megaflow has been looked at after all changes up to now. */
  settled(): Promise<void> {
    return this.#revalidator.settled();
  }

  /** Pushes all counters now, without a look at whether the megaflows are still right. */
  pushAll(): Promise<void> {
    return this.#revalidator.pushAll();
  }
}
