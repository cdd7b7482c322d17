import { serialize } from 'node:v8';
import { WeftError } from '../../base/errors.ts';
import type { Flow } from '../../flow/layout.ts';
import { EventFd } from '../../sys/event-fd.ts';
import { POLLERR, POLLHUP, POLLIN, POLLNVAL, PollSet } from '../../sys/poll.ts';
import { answer, type ConntrackRequest } from '../conntrack/control.ts';
import { ConnectionTracker } from '../conntrack/tracker.ts';
import { Packet } from '../packet/packet.ts';
import { DevicePort, openDevice } from '../ports/device.ts';
import { type ForwardingPort, type Next, NOTHING, SKIPPED } from '../ports/source.ts';
import { TUNNEL_TYPES, TunnelPort } from '../ports/tunnel.ts';
import type { DpAction, ExecuteRequest, MeterConfig, PortSpec } from '../types.ts';
import { Core, type FragmentRest, packetOf } from './core.ts';
import { Counters } from './counters.ts';
import * as M from './messages.ts';
import { MeterBank } from './meter-bank.ts';
import { MeterCounters } from './meter-counters.ts';
import { Ring } from './ring.ts';
import { UpcallWriter } from './upcall-writer.ts';

/** Frames taken from one port before the next has its turn. */
const BURST = 64;
/** Commands done before ports have their turn. */
const COMMANDS = 256;
/** Milliseconds. */
const SHORTEST_SPIN = 0.01;
/** Milliseconds between two looks at the kernel's drop counters. */
const STATISTICS_EVERY = 50;

/**
 * The forwarding thread: owns the devices, moves frames from them through the core to others, and takes
 * commands between bursts.
 *
 * While there is work it never sleeps. Without, it waits in poll for any device or for the eventfd by
 * which the switch's thread wakes it: an idle switch uses no processor. Waking up costs more than a few
 * looks, so before it sleeps it goes on looking for a while that adapts: it doubles when a sleep turns
 * out to have been shorter than the longest while, and halves, down to nothing, when it was longer. A
 * stream of packets keeps it looking, a packet a second costs no more than its own work.
 */
export class Forwarder implements M.CommandHandler {
  readonly #control: Int32Array;
  readonly #answer: Uint8Array;
  readonly #commands: Ring;
  readonly #upcalls: UpcallWriter;
  readonly #counters: Counters;
  readonly #core: Core;
  readonly #tracker: ConnectionTracker<FragmentRest>;
  readonly #meters: MeterBank;
  readonly #wake: EventFd;
  /** Longest time to go on looking, and how long it is now; milliseconds. */
  readonly #longestSpin: number;
  #spin = 0;
  readonly #tell: (message: M.WorkerMessage) => void;
  readonly #packet = new Packet(new Uint8Array(0));
  #ports: ForwardingPort[] = [];
  /** Ports by the devices, "NETNS IFINDEX", whose frames the host's own stack gets too. */
  readonly #copied = new Map<string, number>();
  /** Ports that sent something since the last flush; they add themselves. */
  readonly #pending: ForwardingPort[] = [];
  #polls: PollSet = new PollSet(1);
  #asks: PollSet = new PollSet(0);
  /** Descriptors in the two sets, with their ports. */
  #waited: Waited[] = [];
  #asked: Waited[] = [];
  #now = 0;
  #statisticsAt = 0;
  /** Frames came since the last look at the drop counters. */
  #statisticsStale = false;
  #processed = 0;
  #stopped = false;

  constructor(setup: M.WorkerSetup, tell: (message: M.WorkerMessage) => void) {
    this.#control = new Int32Array(setup.control);
    this.#answer = new Uint8Array(setup.answer);
    this.#commands = new Ring(setup.commands);
    this.#counters = new Counters(setup.maxFlows, setup.counters);
    this.#upcalls = new UpcallWriter(new Ring(setup.upcalls));
    this.#wake = EventFd.of(setup.wakeFd);
    this.#longestSpin = setup.spinMicroseconds / 1000;
    this.#tell = tell;
    this.#meters = new MeterBank(new MeterCounters(setup.meters));
    const random = seeded(setup.seed);
    this.#tracker = new ConnectionTracker<FragmentRest>({ random });
    this.#core = new Core({
      host: {
        now: () => this.#now,
        upcall: (packet, key, cookie) => this.#upcalls.put(packet, key, cookie),
      },
      counters: this.#counters,
      maxFlows: setup.maxFlows,
      maxMasks: setup.maxMasks,
      random,
      meters: this.#meters,
      conntrack: this.#tracker,
    });
    this.#rebuildPolls();
  }

  /** Works until it is told to stop. However it ends, its sockets do too: they would keep their UDP ports. */
  run(): void {
    try {
      this.#work();
    } finally {
      for (const port of this.#ports) port.close();
      this.#polls.close();
      this.#asks.close();
    }
  }

  #work(): void {
    const offset = monotonic() - performance.now();
    let idleSince = -1;
    while (!this.#stopped) {
      this.#now = performance.now() + offset;
      let work = this.#takeCommands();
      if (this.#asked.length > 0) this.#ask();
      for (const port of this.#ports) if (port.ready) work += this.#receive(port);
      while (this.#pending.length > 0) (this.#pending.pop() as ForwardingPort).flush();
      if (this.#upcalls.takeNews() && Atomics.exchange(this.#control, M.CTL_MAIN_SLEEPS, 0) === 1) {
        this.#tell({ type: 'upcalls' });
      }
      if (this.#statisticsStale && this.#now - this.#statisticsAt > STATISTICS_EVERY) this.#readStatistics();
      if (work > 0) {
        this.#statisticsStale = true;
        idleSince = -1;
        continue;
      }
      if (idleSince < 0) idleSince = this.#now;
      if (this.#now - idleSince >= this.#spin) {
        this.#sleep();
        idleSince = -1;
      }
    }
  }

  #takeCommands(): number {
    let done = 0;
    while (done < COMMANDS && !this.#stopped) {
      try {
        if (!M.takeCommand(this.#commands, this)) break;
      } catch (error) {
        // One bad command must not take the others with it.
        this.#tell({ type: 'fault', what: 'a command', reason: (error as Error).message });
      }
      done++;
      this.#processed = (this.#processed + 1) | 0;
    }
    if (done > 0) {
      Atomics.store(this.#control, M.CTL_PROCESSED, this.#processed);
      if (Atomics.load(this.#control, M.CTL_MAIN_WAITS) === 1) {
        Atomics.notify(this.#control, M.CTL_PROCESSED);
      }
    }
    return done;
  }

  #receive(port: ForwardingPort): number {
    const packet = this.#packet;
    for (let n = 0; n < BURST; n++) {
      let next: Next;
      try {
        next = port.next(packet);
      } catch (error) {
        this.#fail(port, error);
        return n;
      }
      if (next === NOTHING) return n;
      if (next === SKIPPED) continue;
      try {
        this.#core.receive(port.number, packet, port.metadata);
      } catch (error) {
        // A fault of ours; the next packet may be a better one.
        this.#counters.receiveError(port.number);
        this.#tell({ type: 'fault', what: `a packet from ${port.name}`, reason: (error as Error).message });
      }
      port.release();
    }
    return BURST;
  }

  /** Finds out which of the ports that are expensive to read have something. */
  #ask(): void {
    if (this.#asks.wait(0) <= 0) return;
    this.#asked.forEach(({ port }, i) => {
      this.#happened(port, this.#asks.happened(i));
    });
  }

  #happened(port: ForwardingPort, events: number): void {
    if (events & POLLIN) port.ready = true;
    if ((events & (POLLERR | POLLHUP | POLLNVAL)) === 0) return;
    try {
      port.takeError();
    } catch (error) {
      this.#fail(port, error);
    }
  }

  #sleep(): void {
    Atomics.store(this.#control, M.CTL_WORKER_SLEEPS, 1);
    if (this.#commands.empty) {
      const start = performance.now();
      const ready = this.#polls.wait(this.#statisticsStale ? STATISTICS_EVERY : -1);
      this.#adaptSpin(performance.now() - start);
      if (ready > 0) {
        if (this.#polls.happened(0) !== 0) this.#wake.drain();
        this.#waited.forEach(({ port }, i) => {
          const events = this.#polls.happened(i + 1);
          if (events !== 0) this.#happened(port, events);
        });
      } else {
        this.#readStatistics();
      }
    }
    Atomics.store(this.#control, M.CTL_WORKER_SLEEPS, 0);
  }

  #adaptSpin(slept: number): void {
    if (slept < this.#longestSpin) {
      this.#spin = Math.min(this.#longestSpin, Math.max(SHORTEST_SPIN, this.#spin * 2));
    } else {
      this.#spin = this.#spin / 2 < SHORTEST_SPIN ? 0 : this.#spin / 2;
    }
  }

  #rebuildPolls(): void {
    this.#polls.close();
    this.#asks.close();
    const live = this.#ports.filter((port) => !port.failed);
    this.#waited = fdsOf(live);
    this.#polls = new PollSet(this.#waited.length + 1);
    this.#polls.set(0, this.#wake.fd, POLLIN);
    this.#waited.forEach(({ fd }, i) => {
      this.#polls.set(i + 1, fd, POLLIN);
    });
    this.#asked = fdsOf(live.filter((port) => port.askFirst));
    this.#asks = new PollSet(this.#asked.length);
    this.#asked.forEach(({ fd }, i) => {
      this.#asks.set(i, fd, POLLIN);
    });
  }

  /** A device is gone; its port stays, silent, until the switch removes it. */
  #fail(port: ForwardingPort, error: unknown): void {
    port.failed = true;
    port.ready = false;
    this.#rebuildPolls();
    this.#tell({ type: 'port-failed', name: port.name, reason: (error as Error).message });
  }

  #readStatistics(): void {
    this.#statisticsAt = this.#now;
    this.#statisticsStale = false;
    for (const port of this.#ports) {
      if (port.failed) continue;
      const { received, sent } = port.takeLosses();
      if (received > 0) this.#counters.receiveDropped(port.number, received);
      if (sent > 0) this.#counters.sendError(port.number, sent);
    }
  }

  portAdd(number: number, spec: PortSpec): void {
    let result: M.Answer = { ok: true };
    try {
      const port = this.#open(number, spec);
      this.#ports = [...this.#ports, port];
      this.#core.setPort(number, port);
      this.#rebuildPolls();
    } catch (error) {
      const { code, remedy } = error instanceof WeftError ? error : { code: 'port-failed', remedy: '' };
      result = { ok: false, code, message: (error as Error).message, remedy };
    }
    this.#say(new TextEncoder().encode(JSON.stringify(result)).subarray(0, M.ANSWER_BYTES));
  }
  #say(bytes: Uint8Array): void {
    this.#answer.set(bytes);
    Atomics.store(this.#control, M.CTL_ANSWER_LENGTH, bytes.length);
  }
  #open(number: number, spec: PortSpec): ForwardingPort {
    const { name, netns = '' } = spec;
    if (TUNNEL_TYPES.has(spec.type))
      return new TunnelPort(number, spec, this.#counters, (ifindex) =>
        this.#copied.has(`${netns} ${ifindex}`),
      );
    const device = openDevice(spec);
    if (device.copiedFrom !== undefined) this.#copied.set(`${netns} ${device.copiedFrom}`, number);
    return new DevicePort(number, name, device, this.#counters, this.#pending);
  }
  portDelete(number: number): void {
    const port = this.#ports.find((p) => p.number === number);
    if (port === undefined) return;
    this.#core.setPort(number, undefined);
    this.#ports = this.#ports.filter((p) => p !== port);
    for (const [device, owner] of this.#copied) if (owner === number) this.#copied.delete(device);
    port.flush();
    const at = this.#pending.indexOf(port);
    if (at >= 0) this.#pending.splice(at, 1);
    this.#rebuildPolls();
    port.close();
  }
  flowPut(slot: number, key: Flow, mask: Flow, actions: readonly DpAction[]): void {
    this.#core.putFlow(slot, key, mask, actions);
  }
  flowActions(slot: number, actions: readonly DpAction[]): void {
    this.#core.setActions(slot, actions);
  }
  flowDelete(slot: number): void {
    this.#core.deleteFlow(slot);
  }
  meterSet(meter: number, config: MeterConfig): void {
    this.#meters.set(meter, config, this.#now);
  }
  meterDelete(meter: number): void {
    this.#meters.delete(meter);
  }
  execute(request: ExecuteRequest): void {
    this.#core.execute(packetOf(request), request.flow, request.actions);
  }
  conntrack(request: ConntrackRequest): void {
    this.#say(serialize(answer(this.#tracker, request, this.#now)));
  }
  sync(id: number): void {
    while (this.#pending.length > 0) (this.#pending.pop() as ForwardingPort).flush();
    this.#readStatistics();
    this.#tell({ type: 'synced', id });
  }
  stop(): void {
    this.#stopped = true;
  }
}

/** A descriptor and the port whose it is. */
interface Waited {
  readonly fd: number;
  readonly port: ForwardingPort;
}

const fdsOf = (ports: readonly ForwardingPort[]): Waited[] =>
  ports.flatMap((port) => port.fds.map((fd) => ({ fd, port })));

/** Milliseconds of the system's monotonic clock, the same in every thread. */
export function monotonic(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** Numbers in [0, 1) from a seed (mulberry32): for sampling, nothing secret. */
function seeded(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
