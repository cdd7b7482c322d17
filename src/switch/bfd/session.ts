import type { Clock, Timer } from '../../base/clock.ts';
import type { ModuleLog } from '../../base/log.ts';
import {
  BFD_DIAG_CONCATENATED_PATH_DOWN,
  BFD_DIAG_EXPIRED,
  BFD_DIAG_NONE,
  BFD_DOWN,
  BFD_FINAL,
  BFD_HEADER,
  BFD_POLL,
  BFD_UP,
  type Bfd,
  parseBfd,
} from '../../wire/bfd.ts';
import { Malformed } from '../../wire/malformed.ts';
import { Decay } from './decay.ts';
import { Forwarding } from './forwarding.ts';
import { diagText, stateText } from './names.ts';
import { nextState, type Remote, UNHEARD } from './remote.ts';
import type { BfdSettings } from './settings.ts';

export interface BfdSessionOptions {
  /** For log lines: the interface. */
  readonly name: string;
  /** Not 0, and no other session's. */
  readonly discriminator: number;
  readonly settings: BfdSettings;
  readonly clock: Clock;
  /** From 0 up to 1, for the jitter between packets. */
  readonly random: () => number;
  readonly send: (packet: Bfd) => void;
  /** Packets that the port has received up to now. */
  readonly rxPackets: () => number;
  /** Called when something that `status` tells has changed. */
  readonly onChange: () => void;
  readonly log: ModuleLog;
}

/** Everything about a session that people look at. Times are Clock.now(), whole milliseconds. */
export interface BfdSnapshot {
  readonly now: number;
  readonly forwarding: boolean;
  readonly mult: number;
  readonly cpathDown: boolean;
  readonly txInterval: number;
  readonly rxInterval: number;
  readonly detectAt: number;
  /** Infinity: when something happens. */
  readonly nextTx: number;
  readonly lastTx: number;
  readonly flags: number;
  readonly state: number;
  readonly diagnostic: number;
  readonly discriminator: number;
  readonly minTx: number;
  readonly minRx: number;
  readonly remote: Remote;
}

/** RFC 5880 6.8.3: nobody who isn't up sends more often. */
const SLOW_TX_MS = 1000;
/** A timer that comes later than this tells that packets, too, may be waiting to be read. */
const LATE_MS = 20;

/**
 * One end of a BFD session (RFC 5880, asynchronous mode, no authentication, no echo) as Open vSwitch has
 * it.
 *
 * A change of state is told at once instead of with the next periodic packet, as 6.8.7 recommends. Our
 * own poll sequence goes on over an answer to the neighbor's.
 */
export class BfdSession {
  readonly #options: BfdSessionOptions;
  readonly #log: ModuleLog;
  #settings: BfdSettings;
  #state = BFD_DOWN;
  #diagnostic = BFD_DIAG_NONE;
  #remote = UNHEARD;
  /** In use; `#settings` has what is wanted, which a poll sequence may still be bringing about. */
  #minTx: number;
  #minRx: number;
  /** What the poll sequence that is under way will put into use. */
  #poll: { readonly minTx: number; readonly minRx: number } | null = null;
  /** The neighbor polls: an answer is due. */
  #finalDue = false;
  #lastTx = 0;
  #nextTx: number;
  #detectAt = 0;
  #graceGiven = false;

  readonly #forwarding = new Forwarding();
  readonly #decay: Decay;
  /** Of the port's count of packets, what has been taken for traffic. */
  #rxSeen: number;
  #timer: Timer | null = null;
  #closed = false;

  constructor(options: BfdSessionOptions) {
    this.#options = options;
    this.#log = options.log;
    this.#settings = options.settings;
    this.#minTx = options.settings.minTx;
    this.#minRx = options.settings.minRx;
    this.#diagnostic = options.settings.cpathDown ? BFD_DIAG_CONCATENATED_PATH_DOWN : BFD_DIAG_NONE;
    this.#nextTx = this.#now;
    this.#rxSeen = options.rxPackets();
    this.#decay = new Decay(options.rxPackets);
    this.#decay.restart(this.#now, options.settings.decayMinRx);
    this.#arm();
  }

  get name(): string {
    return this.#options.name;
  }

  /** Whether the port may carry traffic. */
  get forwarding(): boolean {
    return this.#forwarding.value;
  }

  /** The `bfd_status` column. */
  get status(): Map<string, string> {
    return new Map([
      ['diagnostic', diagText(this.#diagnostic)],
      ['flap_count', String(this.#forwarding.flaps)],
      ['forwarding', String(this.forwarding)],
      ['remote_diagnostic', diagText(this.#remote.diagnostic)],
      ['remote_state', stateText(this.#remote.state)],
      ['state', stateText(this.#state)],
    ]);
  }

  get snapshot(): BfdSnapshot {
    return {
      now: this.#now,
      forwarding: this.forwarding,
      mult: this.#settings.mult,
      cpathDown: this.#settings.cpathDown,
      txInterval: this.#txInterval,
      rxInterval: this.#rxInterval,
      detectAt: this.#detectAt,
      nextTx: this.#nextTx,
      lastTx: this.#lastTx,
      flags: this.#finalDue ? BFD_FINAL : this.#poll === null ? 0 : BFD_POLL,
      state: this.#state,
      diagnostic: this.#diagnostic,
      discriminator: this.#options.discriminator,
      minTx: this.#desiredMinTx,
      minRx: this.#minRx,
      remote: this.#remote,
    };
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#timer = null;
  }

  /** Says whether the port forwards, whatever the session says; null: the session says. */
  override(forwarding: boolean | null): void {
    this.#forwarding.override(forwarding);
    this.#judge();
    this.#arm();
    this.#options.onChange();
  }

  /** Takes over other settings; intervals change once the neighbor has heard of them (6.8.3). */
  configure(settings: BfdSettings): void {
    const old = this.#settings;
    this.#settings = settings;
    const up = this.#state === BFD_UP;
    if (settings.minTx !== old.minTx && (!up || (this.#poll === null && settings.minTx < this.#minTx))) {
      this.#minTx = settings.minTx;
    }
    if (settings.minRx !== old.minRx && (!up || (this.#poll === null && settings.minRx > this.#minRx))) {
      this.#minRx = settings.minRx;
    }
    const decayChanged = settings.decayMinRx !== old.decayMinRx || settings.minRx !== old.minRx;
    if (decayChanged) {
      this.#decay.idle = false;
      this.#decay.restart(this.#now, settings.decayMinRx);
    }
    if (settings.cpathDown !== old.cpathDown) this.#setState(this.#state, BFD_DIAG_NONE);
    if (!settings.forwardingIfRx) this.#forwarding.forgetTraffic();
    else if (!old.forwardingIfRx) this.#rxSeen = this.#options.rxPackets();
    if (settings.forwardingIfRx && up && (!old.forwardingIfRx || settings.mult !== old.mult))
      this.#noteTraffic();
    if (decayChanged || settings.minTx !== old.minTx || settings.cpathDown !== old.cpathDown) {
      this.#startPoll();
    }
    this.#judge();
    this.#arm();
  }

  /** Something came in by the port. */
  traffic(): void {
    if (!this.#settings.forwardingIfRx) return;
    this.#judge();
    this.#noteTraffic();
    this.#judge();
    this.#arm();
  }

  /** Takes the UDP payload of a packet that came in for the session, from whomever. */
  receive(payload: Uint8Array, ttl: number): void {
    if (this.#closed) return;
    this.#decay.noteControl();
    // RFC 5881 5: what has passed a router is not from a neighbor.
    if (ttl !== 255) return;
    const parsed = parseBfd(payload, 0, payload.length);
    if (parsed instanceof Malformed) {
      const say = () => `${this.name}: packet discarded: ${parsed.reason}`;
      // Probes of ports have nothing in them; what has is from a neighbor that somebody should look at.
      if (payload.length < BFD_HEADER) this.#log.info(say);
      else this.#log.warn(say);
      return;
    }
    const refusal = this.#refusal(parsed.value);
    if (refusal !== null) {
      this.#log.warn(() => `${this.name}: packet discarded: ${refusal}`);
      return;
    }
    this.#judge();
    this.#accept(parsed.value);
    this.#judge();
    this.#arm();
  }

  // --- Reception (RFC 5880 6.8.6) -------------------------------------------------------------------

  #refusal(packet: Bfd): string | null {
    if (packet.auth !== undefined) return 'authenticated, but authentication is not in use';
    const { yourDiscriminator } = packet;
    if (yourDiscriminator !== 0 && yourDiscriminator !== this.#options.discriminator) {
      return `discriminator 0x${yourDiscriminator.toString(16)} is not this session's`;
    }
    return null;
  }

  #accept(packet: Bfd): void {
    const before = this.#remote;
    const remote: Remote = {
      state: packet.state,
      diagnostic: packet.diagnostic,
      flags: packet.flags,
      discriminator: packet.myDiscriminator,
      minTx: toMs(packet.desiredMinTx),
      minRx: toMs(packet.requiredMinRx),
      silent: packet.requiredMinRx === 0,
      mult: packet.detectMult,
    };
    this.#remote = remote;
    if ((packet.flags & BFD_FINAL) !== 0 && this.#poll !== null) {
      this.#minTx = this.#poll.minTx;
      this.#minRx = this.#poll.minRx;
      this.#poll = null;
    }
    if ((packet.flags & BFD_POLL) !== 0) this.#finalDue = true;
    const paceChanged = remote.minRx !== before.minRx || remote.silent !== before.silent;
    if (paceChanged && this.#nextTx > this.#now) this.#scheduleTx();
    const now = this.#now;
    this.#detectAt = now + this.#rxInterval * remote.mult;
    this.#graceGiven = false;
    if (this.#settings.forwardingIfRx) this.#forwarding.noteControl(now, this.#settings.minRx);
    const [state, diagnostic] = nextState(this.#state, packet.state, this.#diagnostic);
    this.#setState(state, diagnostic);
    if (remote.state !== before.state || remote.diagnostic !== before.diagnostic) this.#options.onChange();
  }

  // --- State ----------------------------------------------------------------------------------------

  #setState(state: number, wanted: number): void {
    const diagnostic = this.#settings.cpathDown ? BFD_DIAG_CONCATENATED_PATH_DOWN : wanted;
    if (state === this.#state && diagnostic === this.#diagnostic) return;
    const from = this.#state;
    const was = this.#diagnostic;
    this.#log.info(
      () =>
        `${this.name}: BFD state change: ${stateText(from)}->${stateText(state)} "${diagText(was)}"->"${diagText(diagnostic)}".`,
    );
    this.#state = state;
    this.#diagnostic = diagnostic;
    if (state === BFD_DOWN) {
      this.#remote = { ...UNHEARD, mult: this.#remote.mult };
      this.#poll = null;
      this.#decay.idle = false;
      this.#minTx = this.#settings.minTx;
      this.#minRx = this.#settings.minRx;
    }
    if (state === BFD_UP && from !== BFD_UP) this.#decay.restart(this.#now, this.#settings.decayMinRx);
    this.#nextTx = this.#now;
    this.#options.onChange();
  }

  /** Looks anew at whether the port forwards. */
  #judge(): void {
    const up = this.#state === BFD_UP;
    if (this.#forwarding.judge(this.#now, up, this.#remote.diagnostic)) this.#options.onChange();
  }

  #noteTraffic(): void {
    this.#forwarding.noteTraffic(this.#now, this.#rxInterval * this.#settings.mult);
  }

  /** Devices count by themselves what comes in: the only news is that the count has grown. */
  #lookForTraffic(): void {
    const received = this.#options.rxPackets();
    if (received === this.#rxSeen) return;
    this.#rxSeen = received;
    this.#noteTraffic();
  }

  // --- Intervals ------------------------------------------------------------------------------------

  get #now(): number {
    return Math.floor(this.#options.clock.now());
  }

  get #desiredMinTx(): number {
    return this.#state === BFD_UP ? this.#minTx : Math.max(this.#minTx, SLOW_TX_MS);
  }

  get #txInterval(): number {
    return Math.max(this.#desiredMinTx, this.#remote.minRx);
  }

  get #rxInterval(): number {
    return Math.max(this.#minRx, this.#remote.minTx);
  }

  get #wantedMinRx(): number {
    return this.#decay.idle ? this.#settings.decayMinRx : this.#settings.minRx;
  }

  /** Has the neighbor acknowledge the intervals that are wanted, or hear of something else at once. */
  #startPoll(): void {
    if (this.#state <= BFD_DOWN || this.#poll !== null) return;
    this.#poll = { minTx: this.#settings.minTx, minRx: this.#wantedMinRx };
    this.#nextTx = this.#now;
    this.#log.info(() => `${this.name}: Initiating poll sequence`);
  }

  // --- Time -----------------------------------------------------------------------------------------

  #arm(): void {
    this.#timer?.cancel();
    this.#timer = null;
    if (this.#closed) return;
    const at = this.#wakeAt();
    if (at === Number.POSITIVE_INFINITY) return;
    const { clock } = this.#options;
    this.#timer = clock.after(Math.max(0, at - clock.now()), () => {
      this.#timer = null;
      this.#run(this.#now - at);
    });
  }

  #wakeAt(): number {
    if (this.#finalDue) return 0;
    let at = this.#nextTx;
    if (this.#state > BFD_DOWN) at = Math.min(at, this.#detectAt);
    const up = this.#state === BFD_UP;
    if (up && this.#settings.decayMinRx > 0) at = Math.min(at, this.#decay.dueAt);
    return Math.min(at, this.#forwarding.end(up));
  }

  /** `late`: milliseconds since this was due. */
  #run(late: number): void {
    const now = this.#now;
    if (this.#state > BFD_DOWN && now >= this.#detectAt) {
      // Who was kept from reading can't say that nothing came: one turn for what is waiting.
      if (late > LATE_MS && !this.#graceGiven) {
        this.#graceGiven = true;
        this.#arm();
        return;
      }
      this.#setState(BFD_DOWN, BFD_DIAG_EXPIRED);
    }
    if (this.#settings.forwardingIfRx) this.#lookForTraffic();
    this.#judge();
    const { decayMinRx } = this.#settings;
    if (this.#state === BFD_UP && decayMinRx > 0 && now >= this.#decay.dueAt)
      this.#decay.look(now, decayMinRx);
    if (this.#minTx !== this.#settings.minTx || this.#minRx !== this.#wantedMinRx) this.#startPoll();
    if (this.#finalDue || now >= this.#nextTx) this.#transmit();
    this.#arm();
  }

  #transmit(): void {
    const flags = this.#finalDue ? BFD_FINAL : this.#poll === null ? 0 : BFD_POLL;
    const minTx = this.#poll?.minTx ?? this.#desiredMinTx;
    const packet: Bfd = {
      layer: 'bfd',
      diagnostic: this.#diagnostic,
      state: this.#state,
      flags,
      detectMult: this.#settings.mult,
      myDiscriminator: this.#options.discriminator,
      yourDiscriminator: this.#remote.discriminator,
      desiredMinTx: (this.#state === BFD_UP ? minTx : Math.max(minTx, SLOW_TX_MS)) * 1000,
      requiredMinRx: (this.#poll?.minRx ?? this.#minRx) * 1000,
      requiredMinEchoRx: 0,
    };
    this.#finalDue = false;
    this.#lastTx = this.#now;
    this.#scheduleTx();
    this.#options.send(packet);
  }

  /** Up to a quarter before the interval ends, and at least a tenth where one lost packet is one too many (6.8.7). */
  #scheduleTx(): void {
    if (this.#remote.silent) {
      this.#nextTx = Number.POSITIVE_INFINITY;
      return;
    }
    const least = this.#settings.mult === 1 ? 10 : 0;
    const percent = least + Math.floor(this.#options.random() * (26 - least));
    const interval = this.#txInterval;
    this.#nextTx = this.#lastTx + interval - Math.floor((interval * percent) / 100);
  }
}

/** Whole milliseconds, at least one. */
function toMs(us: number): number {
  return Math.max(1, Math.floor(us / 1000));
}
