/**
 * The agent's hold on a switch's tables: connects again and again, reads what is there, and changes what differs from what
 * is wanted, all or nothing. Flows that do not carry our cookies are never touched; groups and meters of the bridge
 * are all ours.
 */
import type { Clock, Timer } from '../../base/clock.ts';
import { WeftError } from '../../base/errors.ts';
import type { ModuleLog } from '../../base/log.ts';
import { Match } from '../../flow/match.ts';
import { MAX_LABEL } from '../../logical/layout.ts';
import type { PortRate } from '../../logical/universal.ts';
import {
  type FlowMod,
  type FlowStats,
  type GroupMod,
  OFPG_ALL,
  OFPG_ANY,
  OFPM_ALL,
  OFPMF_BURST,
  OFPMF_KBPS,
  OFPP_ANY,
  OFPTT_ALL,
  type OfMessage,
  type PacketIn,
  type PortStats,
} from '../../openflow/index.ts';
import type { PhysicalGroup } from '../physical-flows.ts';
import { type Request, SwitchChannel, type SwitchStream } from './channel.ts';
import { addMod, deleteMod, groupMod, groupTextOf, tableFlowOf } from './flow-key.ts';
import { COOKIE_MARK, COOKIE_MASK, cookieOf, numberOf, type Origins } from './origins.ts';
import type { WantedFlows } from './wanted-flows.ts';

export interface SwitchLinkOptions {
  /** Opens a connection to the bridge's management socket; rejects with the reason why not. */
  readonly connect: () => Promise<SwitchStream>;
  readonly clock: Clock;
  readonly log: ModuleLog;
  readonly pause: () => Promise<void>;
  readonly origins: Origins;
  /** The switch is there, and what it has was read. */
  readonly onReady: () => void;
  readonly onPacketIn: (packetIn: PacketIn) => void;
  readonly onDown: (reason: string) => void;
}

export interface WantedGroup extends PhysicalGroup {
  /** What it does, to compare: see `groupText`. */
  readonly text: string;
}

/** What a switch should have. */
export interface WantedState {
  readonly flows: WantedFlows;
  readonly groups: ReadonlyMap<number, WantedGroup>;
  readonly meters: ReadonlyMap<number, PortRate>;
}

/** A flow as it is in the switch. */
interface Installed {
  readonly actions: string;
  readonly number: number;
  /** The origin that was counted for it; undefined also for what was there before us. */
  readonly origin: string | undefined;
}

const BACKOFF_MS = [100, 200, 500, 1000, 2000, 5000] as const;

export class SwitchLink {
  readonly #options: SwitchLinkOptions;
  #channel: SwitchChannel | undefined;
  #ready = false;
  #attempts = 0;
  #timer: Timer | undefined;
  #closed = false;
  #installed = new Map<string, Installed>();
  #groups = new Map<number, string>();
  #meters = new Map<number, PortRate>();

  constructor(options: SwitchLinkOptions) {
    this.#options = options;
  }

  start(): void {
    if (this.#timer === undefined && this.#channel === undefined && !this.#closed) void this.#connect();
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#channel?.close();
  }

  /** Whether the switch is there and was read. */
  get ready(): boolean {
    return this.#ready;
  }

  /** @throws WeftError `switch-gone` */
  get channel(): SwitchChannel {
    if (this.#channel === undefined || !this.#ready)
      throw new WeftError('switch-gone', 'the switch is not connected', {
        remedy: 'look whether it runs, and at its log',
      });
    return this.#channel;
  }

  /** What the switch has, as the agent knows: the keys of flows, and their actions. */
  get installed(): ReadonlyMap<string, { readonly actions: string; readonly number: number }> {
    return this.#installed;
  }

  #retry(): void {
    if (this.#closed) return;
    const wait = BACKOFF_MS[Math.min(this.#attempts++, BACKOFF_MS.length - 1)];
    this.#timer = this.#options.clock.after(wait, () => {
      this.#timer = undefined;
      void this.#connect();
    });
  }

  async #connect(): Promise<void> {
    const { clock, log, pause } = this.#options;
    let channel: SwitchChannel | undefined;
    try {
      const stream = await this.#options.connect();
      if (this.#closed) {
        stream.close();
        return;
      }
      channel = new SwitchChannel(stream, {
        clock,
        pause,
        onMessage: (message) => this.#onMessage(message),
        onClose: (reason) => this.#onClose(reason),
      });
      this.#channel = channel;
      await channel.open();
      // A management connection gets no packets until it has said how much of them it wants.
      channel.send({
        kind: 'set_config',
        config: { frag: 'normal', invalidTtlToController: null, missSendLen: 0xffff },
      });
      channel.send({ kind: 'set_packet_in_format', format: 'nxt_packet_in2' });
      await this.#read(channel);
      this.#ready = true;
      this.#attempts = 0;
      log.info(`switch: connected; ${this.#installed.size} of its flows are ours`);
      this.#options.onReady();
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      (this.#attempts === 0 ? log.info : log.dbg).call(log, `switch: ${why}`);
      if (channel === undefined) this.#retry();
      else channel.close(why);
    }
  }

  #onClose(reason: string): void {
    this.#channel = undefined;
    if (this.#ready) this.#options.log.info(`switch: connection lost (${reason})`);
    this.#ready = false;
    this.#options.onDown(reason);
    this.#retry();
  }

  #onMessage(message: OfMessage): void {
    if (message.kind === 'packet_in') this.#options.onPacketIn(message);
    else if (message.kind === 'error')
      this.#options.log.warn(`switch: error ${message.error ?? 'unknown'} about no request of ours`);
  }

  /** All flows of ours, with counters. */
  async flowStats(channel = this.channel): Promise<FlowStats[]> {
    const replies = await channel.ask({
      kind: 'flow_stats_request',
      match: new Match(),
      cookie: COOKIE_MARK,
      cookieMask: COOKIE_MASK,
      outPort: OFPP_ANY,
      outGroup: OFPG_ANY,
      table: OFPTT_ALL,
    });
    return replies.flatMap((reply) => (reply.kind === 'flow_stats_reply' ? reply.flows : []));
  }

  async portStats(): Promise<PortStats[]> {
    const replies = await this.channel.ask({ kind: 'port_stats_request', port: OFPP_ANY });
    return replies.flatMap((reply) => (reply.kind === 'port_stats_reply' ? reply.ports : []));
  }

  /** Reads what the switch has. Not while changes are under way. @throws WeftError */
  read(): Promise<void> {
    return this.#read(this.channel);
  }

  async #read(channel: SwitchChannel): Promise<void> {
    const installed = new Map<string, Installed>();
    let slice = 0;
    for (const stats of await this.flowStats(channel)) {
      if (++slice % 200 === 0) await this.#options.pause();
      const number = numberOf(stats.cookie) ?? 0;
      this.#options.origins.reserve(number);
      const { key, actions } = tableFlowOf(stats);
      installed.set(key, { actions, number, origin: undefined });
    }
    const replies = await channel.ask({ kind: 'meter_config_request', meter: OFPM_ALL });
    const meters = new Map<number, PortRate>();
    for (const reply of replies)
      for (const { meter, bands } of reply.kind === 'meter_config_reply' ? reply.meters : [])
        if (meter <= MAX_LABEL)
          meters.set(meter, {
            port: meter,
            rate: bands.at(0)?.rate ?? 0,
            burst: bands.at(0)?.burstSize ?? 0,
          });
    const groups = new Map<number, string>();
    // One of another type is changed to ours before it is used.
    for (const reply of await channel.ask({ kind: 'group_desc_request', group: OFPG_ALL }))
      for (const group of reply.kind === 'group_desc_reply' ? reply.groups : [])
        groups.set(group.group, groupTextOf(group) ?? group.type);
    for (const { origin } of this.#installed.values()) this.#options.origins.release(origin);
    this.#installed = installed;
    this.#groups = groups;
    this.#meters = meters;
  }

  /** Forgets what zones hold of connections. */
  flushZones(zones: Iterable<number>): void {
    for (const zone of zones) this.channel.send({ kind: 'ct_flush_zone', zone });
  }

  /**
   * Makes the flows of `keys` in the switch what is wanted, and all groups, as one atomic bundle, and meters before and
   * after; resolves when the switch has confirmed it.
   *
   * @throws WeftError nothing has changed
   */
  async apply(wanted: WantedState, keys: Iterable<string>): Promise<number> {
    const { channel } = this;
    const { origins } = this.#options;
    const mods: Request<FlowMod | GroupMod>[] = [];
    const texts: string[] = [];
    const next = new Map<string, Installed | undefined>();
    const groups = new Map<number, string>();
    for (const { id, buckets, text } of wanted.groups.values()) {
      const there = this.#groups.get(id);
      groups.set(id, text);
      if (there === text) continue;
      mods.push(groupMod(id, buckets, there !== undefined));
      texts.push(`group ${id}: ${text}`);
    }
    let slice = 0;
    try {
      for (const key of keys) {
        if (++slice % 200 === 0) await this.#options.pause();
        const flow = wanted.flows.get(key);
        const there = this.#installed.get(key);
        if (flow === undefined) {
          if (there === undefined) continue;
          next.set(key, undefined);
          mods.push(deleteMod(key));
          texts.push(`delete ${key}`);
          continue;
        }
        const number = origins.retain(flow.origin, there?.number);
        next.set(key, { actions: flow.actions, number, origin: flow.origin });
        if (there?.actions === flow.actions && there.number === number) continue;
        mods.push(addMod(flow, cookieOf(number)));
        texts.push(`add ${key},actions=${flow.actions}`);
      }
      // A group takes the flows along that use it, so it goes last.
      for (const id of this.#groups.keys()) {
        if (groups.has(id)) continue;
        mods.push(groupMod(id, undefined, true));
        texts.push(`delete group ${id}`);
      }
      await this.#setMeters(channel, wanted.meters);
      if (mods.length > 0) await channel.bundle(mods, (index) => texts[index]);
      await channel.barrier();
      this.#options.log.dbg(() => `switch: ${mods.length} changes of flows and groups`);
    } catch (error) {
      for (const entry of next.values()) origins.release(entry?.origin);
      throw error;
    }
    for (const [key, entry] of next) {
      origins.release(this.#installed.get(key)?.origin);
      if (entry === undefined) this.#installed.delete(key);
      else this.#installed.set(key, entry);
    }
    this.#groups = groups;
    await this.#dropMeters(channel, wanted.meters);
    return mods.length;
  }

  /** Meters go before the flows that use them. */
  async #setMeters(channel: SwitchChannel, wanted: ReadonlyMap<number, PortRate>): Promise<void> {
    for (const rate of wanted.values()) {
      const there = this.#meters.get(rate.port);
      if (there?.rate === rate.rate && there.burst === rate.burst) continue;
      await channel.tell({
        kind: 'meter_mod',
        command: there === undefined ? 'add' : 'modify',
        meter: rate.port,
        flags: OFPMF_KBPS | (rate.burst > 0 ? OFPMF_BURST : 0),
        bands: [{ type: 'drop', rate: rate.rate, burstSize: rate.burst, precLevel: 0 }],
      });
      this.#meters.set(rate.port, rate);
    }
  }

  async #dropMeters(channel: SwitchChannel, wanted: ReadonlyMap<number, PortRate>): Promise<void> {
    for (const meter of [...this.#meters.keys()]) {
      if (wanted.has(meter)) continue;
      await channel.tell({ kind: 'meter_mod', command: 'delete', meter, flags: 0, bands: [] });
      this.#meters.delete(meter);
    }
  }
}
