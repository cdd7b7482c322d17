/**
 * The agent of one host: keeps its switch as its controller says. Everything goes through one loop: what came
 * (an update, a VIF, a restarted switch) is computed into flows, and applied as one bundle; then the next.
 *
 * Nothing is touched before the agent knows something: a switch that forwards goes on as it did until the controller, or
 * the state saved from before, says what it should do.
 */
import type { Clock, Timer } from '../base/clock.ts';
import { WeftError } from '../base/errors.ts';
import type { Logger, ModuleLog } from '../base/log.ts';
import { INTEGRATION_BRIDGE } from '../logical/layout.ts';
import type { Hello, Update } from '../logical/protocol.ts';
import type { Program } from '../nlog/index.ts';
import type { Client, Connector, OpenVSwitchSchema } from '../ovsdb/index.ts';
import { Responder } from './answers/responder.ts';
import { DesiredState, type HostView } from './desired-state.ts';
import { BridgeKeeper, type LocalVif } from './host/bridge-keeper.ts';
import { type Appctl, Requests } from './requests/requests.ts';
import { ControllerSession } from './session/controller-session.ts';
import type { AgentState, StateStore } from './session/state.ts';
import { flowStatistics, portStatistics, StatisticsReporter } from './statistics.ts';
import type { SwitchStream } from './switch/channel.ts';
import { Origins } from './switch/origins.ts';
import { SwitchLink } from './switch/switch-link.ts';

export interface AgentOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** {@link import('./physical-program.ts').loadPhysicalProgram} */
  readonly program: Program;
  /** Of {@link import('./host/bridge-keeper.ts').KEEPER_TABLES}; the agent starts and closes it. */
  readonly database: Client<OpenVSwitchSchema>;
  /** Connects to the bridge's management socket. */
  readonly connectSwitch: () => Promise<SwitchStream>;
  readonly controller: Connector;
  readonly token: string;
  readonly bridge?: string;
  /** Of a bridge that has to be made. */
  readonly datapathType?: string;
  readonly encapIp?: string;
  /** The name of a host that has none: external_ids:system-id of its database. */
  readonly newSystemId: () => string;
  /** Gives way to other work. */
  readonly pause: () => Promise<void>;
  /** Asks the switch's daemon. */
  readonly appctl: Appctl;
  /** Keeps what the controller said over a restart. */
  readonly state?: StateStore;
}

interface PendingUpdate {
  /** Whether the controller waits to hear of it. */
  readonly asked: boolean;
  readonly update: Update;
  readonly epoch: string;
  readonly arrived: number;
}

/** How long the switch may take to make tunnel ports before the flows go in without them. */
const TUNNEL_PATIENCE_MS = 5000;
/** What the switch refused is tried again after so long, unless something happens before. */
const RETRY_MS = 10_000;
/** The lock in the host's database that an agent holds. */
const LOCK = 'weft_agent';
/** Updates that may wait; the controller sends far fewer at once. */
const MAX_PENDING = 1024;

export class Agent {
  readonly #options: AgentOptions;
  readonly #log: ModuleLog;
  readonly #origins = new Origins();
  readonly #keeper: BridgeKeeper;
  readonly #link: SwitchLink;
  readonly #session: ControllerSession;
  readonly #responder: Responder;
  readonly #statistics: StatisticsReporter;
  #systemId: string | undefined;
  #saved: AgentState | undefined;
  /** undefined: the host does not know its name yet. */
  #desired: DesiredState | undefined;
  #holds: Hello['holds'];
  #epoch = '';
  #pending: PendingUpdate[] = [];
  /** The switch was (re)connected: compare everything. */
  #compareAll = false;
  #dirty = false;
  #running = false;
  #closed = false;
  #vifs: readonly LocalVif[] = [];
  #toldVifs = '';
  #retry: Timer | undefined;
  /** What the controller heard last of its updates is that one failed. */
  #toldFailure = false;
  /** The switch does not have what we know of: look at all of it anew. */
  #suspicious = false;
  /** Turns so far: whoever read the switch meanwhile may have seen the one before. */
  #turns = 0;
  #wake: (() => void) | undefined;

  constructor(options: AgentOptions) {
    const { clock, log, pause } = options;
    this.#options = options;
    this.#log = log.module('agent');
    this.#keeper = new BridgeKeeper({
      client: options.database,
      clock,
      log: this.#log,
      bridge: options.bridge ?? INTEGRATION_BRIDGE,
      datapathType: options.datapathType ?? '',
      encapIp: options.encapIp,
      newSystemId: options.newSystemId,
      onChange: () => this.#databaseChanged(),
    });
    this.#link = new SwitchLink({
      connect: options.connectSwitch,
      clock,
      log: this.#log,
      pause,
      origins: this.#origins,
      onReady: () => this.#switchReady(),
      onPacketIn: (packetIn) => this.#responder.packetIn(packetIn),
      onDown: () => this.#wakeUp(),
    });
    this.#responder = new Responder(clock, (request) => {
      if (this.#link.ready) this.#link.channel.send(request);
    });
    const requests = new Requests({
      bridge: options.bridge ?? INTEGRATION_BRIDGE,
      link: this.#link,
      origins: this.#origins,
      appctl: options.appctl,
      ofportOf: (port) => this.#localPorts().find((p) => p.port === port)?.ofport,
      portAt: (ofport) => this.#localPorts().find((p) => p.ofport === ofport)?.port,
      tunnels: () => this.#keeper.tunnels(),
      localIp: () => this.#keeper.localIp,
    });
    this.#statistics = new StatisticsReporter(clock, () => this.#report());
    this.#session = new ControllerSession({
      connector: options.controller,
      clock,
      log: this.#log,
      hello: () => this.#hello(),
      onWelcome: (epoch) => this.#onWelcome(epoch),
      onUpdate: (update) => this.#onUpdate(update),
      onClose: () => {
        // What was not applied is sent again, or its difference to what was.
        this.#pending = this.#pending.filter((p) => !p.asked);
      },
      onRequest: (method, params) => requests.answer(method, params),
    });
  }

  async start(): Promise<void> {
    const { database, state } = this.#options;
    this.#saved = await state?.load();
    database.lock(LOCK);
    database.start();
    await database.synced();
    await this.#alone();
    if (this.#closed) return;
    // A database that comes back has to give the lock again before its content counts.
    database.onLock((held) => {
      if (held) this.#databaseChanged();
    });
    this.#keeper.start();
    this.#link.start();
    this.#databaseChanged();
  }

  /** Two agents would undo each other's work: the second one waits for the first to end. */
  async #alone(): Promise<void> {
    const { database } = this.#options;
    // The answer to our wish for the lock came before the content.
    if (database.locked()) return;
    this.#log.warn('another agent keeps this host; waiting for it to end');
    await new Promise<void>((resolve) => {
      const stop = database.onLock((held) => {
        if (!held) return;
        stop();
        resolve();
      });
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#retry?.cancel();
    this.#session.close();
    this.#statistics.close();
    this.#link.close();
    this.#keeper.close();
    this.#wakeUp();
    this.#options.database.close();
  }

  // --- What comes ---------------------------------------------------------------------------------------

  #hello(): Omit<Hello, 'version'> | undefined {
    if (this.#systemId === undefined) return undefined;
    const { token } = this.#options;
    return {
      systemId: this.#systemId,
      token,
      ...(this.#holds === undefined ? {} : { holds: this.#holds }),
    };
  }

  #onWelcome(epoch: string): void {
    this.#log.info(`controller: connected, epoch ${epoch}`);
    this.#epoch = epoch;
    this.#toldVifs = '';
    this.#tellVifs();
  }

  #onUpdate(update: Update): void {
    if (this.#pending.length >= MAX_PENDING)
      throw new WeftError('bad-controller-message', `more than ${MAX_PENDING} updates under way`);
    this.#pending.push({ asked: true, update, epoch: this.#epoch, arrived: this.#options.clock.now() });
    this.#kick();
  }

  #databaseChanged(): void {
    if (this.#closed || !this.#options.database.locked()) return;
    if (this.#systemId === undefined) this.#begin(this.#keeper.systemId);
    this.#vifs = this.#keeper.vifs();
    this.#tellVifs();
    this.#dirty = true;
    this.#wakeUp();
    this.#kick();
  }

  /** Who we are is known. */
  #begin(systemId: string | undefined): void {
    if (systemId === undefined) return;
    this.#systemId = systemId;
    this.#desired = new DesiredState(this.#options.program, systemId, this.#options.pause);
    if (this.#link.ready) this.#desired.adoptZones(this.#link.installed);
    if (this.#saved?.systemId === systemId) this.#restore(this.#saved);
    this.#saved = undefined;
    this.#session.start();
    this.#statistics.start();
  }

  #tellVifs(): void {
    if (!this.#session.established) return;
    const vifs = this.#vifs.map(({ ofport: _, ...report }) => report);
    const text = JSON.stringify(vifs);
    if (text === this.#toldVifs) return;
    this.#toldVifs = text;
    this.#session.notify('locations', { vifs });
  }

  #switchReady(): void {
    this.#compareAll = true;
    this.#dirty = true;
    this.#desired?.adoptZones(this.#link.installed);
    this.#kick();
  }

  #restore(saved: AgentState): void {
    this.#holds = { epoch: saved.epoch, revision: saved.revision };
    this.#epoch = saved.epoch;
    this.#pending.push({
      asked: false,
      update: { revision: saved.revision, reset: true, insert: saved.rows, delete: {} },
      epoch: saved.epoch,
      arrived: this.#options.clock.now(),
    });
  }

  // --- The loop -----------------------------------------------------------------------------------------

  #kick(): void {
    if (this.#running || this.#closed) return;
    this.#running = true;
    void this.#run().finally(() => {
      this.#running = false;
    });
  }

  async #run(): Promise<void> {
    // Nothing is computed before the switch was read: ports keep their zones.
    while (!this.#closed && this.#link.ready && this.#desired !== undefined) {
      const pending = this.#pending.shift();
      const { known } = this.#desired;
      if (pending === undefined && !(this.#dirty && known)) return;
      await this.#turn(this.#desired, pending);
    }
  }

  async #turn(desired: DesiredState, pending: PendingUpdate | undefined): Promise<void> {
    this.#dirty = false;
    this.#turns++;
    const { clock } = this.#options;
    let failure: WeftError | undefined;
    try {
      if (this.#suspicious) {
        await this.#link.read();
        this.#suspicious = false;
        this.#compareAll = true;
      }
      if (pending !== undefined) {
        await desired.take(pending.update, this.#view());
        this.#holds = { epoch: pending.epoch, revision: pending.update.revision };
      }
      await this.#tunnelPorts(desired);
      await this.#apply(desired);
      failure = this.#brokenTunnel();
    } catch (error) {
      if (!(error instanceof WeftError)) throw error;
      // Without its switch an update is not refused: it waits, and all else is compared when the switch is back.
      if (!this.#link.ready || error.code === 'switch-gone') {
        this.#dirty = true;
        if (pending !== undefined) this.#pending.unshift(pending);
        return;
      }
      failure = error;
      this.#retryLater();
    }
    if (failure !== undefined) this.#log.err(`cannot apply: ${failure.message}`);
    if (pending === undefined || !pending.asked) {
      // It only hears of updates that it sends; when we connect anew, it sends what we lack, if only to hear of it.
      if (failure === undefined && this.#toldFailure) this.#session.renew();
      this.#toldFailure = this.#toldFailure && failure !== undefined;
      return;
    }
    const { revision } = pending.update;
    this.#toldFailure = failure !== undefined;
    if (failure === undefined)
      this.#session.notify('applied', { revision, elapsed: clock.now() - pending.arrived });
    else this.#session.notify('failed', { revision, code: failure.code, message: failure.message });
    this.#save(desired);
  }

  #view(): HostView {
    return { vifs: this.#vifs, tunnels: this.#keeper.tunnels() };
  }

  /** Has the switch make the tunnel ports that are missing, and waits for it, for a while. */
  async #tunnelPorts(desired: DesiredState): Promise<void> {
    const { clock } = this.#options;
    this.#keeper.want(desired.tunnels);
    const end = clock.now() + TUNNEL_PATIENCE_MS;
    while (!this.#keeper.settled && clock.now() < end && !this.#closed && this.#link.ready) {
      await new Promise<void>((resolve) => {
        const timer = clock.after(end - clock.now(), resolve);
        this.#wake = () => {
          timer.cancel();
          resolve();
        };
      });
    }
    await desired.observe(this.#view());
  }

  async #apply(desired: DesiredState): Promise<void> {
    if (desired.refusal !== undefined) throw desired.refusal;
    const { flows } = desired;
    const touched = flows.takeTouched();
    const keys = this.#compareAll ? new Set([...flows.keys(), ...this.#link.installed.keys()]) : touched;
    this.#compareAll = false;
    try {
      this.#link.flushZones(desired.freshZones);
      await this.#link.apply(desired, keys);
      // Only now it is certain that the switch has got so far.
      desired.zonesFlushed();
    } catch (error) {
      flows.giveBack(keys);
      throw error;
    }
    this.#keeper.prune();
    this.#keeper.markInstalled(new Set(this.#localPorts().map((p) => p.name)));
  }

  #localPorts(): ReturnType<DesiredState['localPorts']> {
    return this.#desired?.localPorts({ vifs: this.#vifs }) ?? [];
  }

  async #report(): Promise<void> {
    if (!this.#session.established || !this.#link.ready || this.#desired?.known !== true) return;
    try {
      const turns = this.#turns;
      const ports = await this.#link.portStats();
      const flows = await this.#link.flowStats();
      const alone = !this.#running && turns === this.#turns;
      if (alone && flows.length !== this.#link.installed.size) {
        this.#log.warn(
          `switch: has ${flows.length} flows of ours, not ${this.#link.installed.size}; somebody has changed them`,
        );
        this.#suspicious = true;
        this.#dirty = true;
        this.#kick();
      }
      const byOfport = new Map(this.#localPorts().map((p) => [p.ofport, p.port]));
      this.#session.notify('statistics', {
        ports: portStatistics(ports, (ofport) => byOfport.get(ofport)),
        flows: flowStatistics(flows, this.#origins),
      });
    } catch (error) {
      if (!(error instanceof WeftError)) throw error;
      this.#log.dbg(`no statistics: ${error.message}`);
    }
  }

  #brokenTunnel(): WeftError | undefined {
    const [broken] = this.#keeper.brokenTunnels();
    if (broken === undefined) return undefined;
    const { encapsulation, node, address } = broken.tunnel;
    return new WeftError(
      'tunnel-refused',
      `the switch cannot make the ${encapsulation} tunnel to ${node} at ${address}: ${broken.error}`,
    );
  }

  #retryLater(): void {
    this.#retry?.cancel();
    this.#retry = this.#options.clock.after(RETRY_MS, () => {
      this.#dirty = true;
      this.#kick();
    });
  }

  #wakeUp(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }

  #save({ rows }: DesiredState): void {
    if (this.#holds === undefined || this.#systemId === undefined) return;
    const systemId = this.#systemId;
    const { epoch, revision } = this.#holds;
    this.#options.state?.save(() => ({ systemId, epoch, revision, rows: rows.all() }));
  }
}
