import type { Clock } from '../../base/clock.ts';
import type { Logger, ModuleLog } from '../../base/log.ts';
import { extractFlow } from '../../datapath/packet/extract.ts';
import { Packet } from '../../datapath/packet/packet.ts';
import { F } from '../../flow/fields.ts';
import { type Flow, newFlow, TUN_F_OAM, W_IN_PORT } from '../../flow/layout.ts';
import type { Action } from '../../openflow/actions/types.ts';
import { OFPP_NONE } from '../../openflow/constants.ts';
import { BFD_SOURCE_PORT_FIRST, BFD_SOURCE_PORTS, type Bfd } from '../../wire/bfd.ts';
import type { OfPort } from '../ofproto/port.ts';
import { buildFrame } from './frame.ts';
import { PortBfd } from './port-bfd.ts';
import { BfdSession } from './session.ts';
import { readBfdSettings } from './settings.ts';

/** A packet to be sent through a port by actions of its own. */
export interface MonitorPacket {
  readonly frame: Uint8Array;
  /** Its key, with no port of entry, so that nobody takes it for one that came in. */
  readonly flow: Flow;
  readonly actions: readonly Action[];
}

export interface BfdMonitorsOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** From 0 up to 1. */
  readonly random: () => number;
  readonly send: (port: OfPort, packet: MonitorPacket) => void;
  /** Packets that a port has received. */
  readonly rxPackets: (port: OfPort) => number;
  /** Called when a session's status, and with it perhaps the port's, has changed. */
  readonly onChange: (port: OfPort) => void;
}

/** Where control packets go that nobody gave an address: the one that Open vSwitch uses, of Nicira's block. */
const BFD_MAC = Uint8Array.of(0x00, 0x23, 0x20, 0x00, 0x00, 0x01);

/** The BFD sessions of one switch, each on its port. */
export class BfdMonitors {
  readonly #options: BfdMonitorsOptions;
  readonly #log: ModuleLog;
  readonly #ports = new Map<OfPort, PortBfd>();
  #sourcePorts = 0;

  constructor(options: BfdMonitorsOptions) {
    this.#options = options;
    // Strangers' packets may be behind many of its lines.
    this.#log = options.log.module('bfd').limited(20, 20);
  }

  /** Starts, changes or ends the session of a port as its `bfd` column says. */
  configure(port: OfPort, column: ReadonlyMap<string, string>): void {
    const running = this.#ports.get(port);
    if (running === undefined ? column.size === 0 : sameMap(running.column, column)) return;
    const settings = readBfdSettings(column, (text) => this.#log.warn(`${port.name}: ${text}`));
    if (settings === null) {
      this.remove(port);
    } else if (running !== undefined) {
      const taking =
        String(running.settings.remoteDstMac) !== String(settings.remoteDstMac) ||
        running.settings.srcIp !== settings.srcIp ||
        running.settings.checkTunnelKey !== settings.checkTunnelKey;
      running.settings = settings;
      running.column = column;
      running.session.configure(settings);
      if (taking) port.ofproto.portChanged(port);
    } else {
      this.#start(port, new Map(column), settings);
    }
  }

  remove(port: OfPort): void {
    const running = this.#ports.get(port);
    if (running === undefined) return;
    running.session.close();
    this.#ports.delete(port);
    port.monitor = null;
    port.ofproto.portChanged(port);
    this.#options.onChange(port);
  }

  /** In the order in which they were started. */
  sessions(): BfdSession[] {
    return [...this.#ports.values()].map(({ session }) => session);
  }

  session(name: string): BfdSession | undefined {
    return this.sessions().find((session) => session.name === name);
  }

  status(port: OfPort): ReadonlyMap<string, string> {
    return this.#ports.get(port)?.session.status ?? new Map();
  }

  #start(port: OfPort, column: ReadonlyMap<string, string>, settings: PortBfd['settings']): void {
    const { clock, random, rxPackets, onChange } = this.#options;
    const srcPort = BFD_SOURCE_PORT_FIRST + (this.#sourcePorts++ % BFD_SOURCE_PORTS);
    const session = new BfdSession({
      name: port.name,
      discriminator: this.#newDiscriminator(),
      settings,
      clock,
      random,
      send: (packet) => this.#send(port, packet, srcPort),
      rxPackets: () => rxPackets(port),
      onChange: () => onChange(port),
      log: this.#log,
    });
    const started = new PortBfd(session, settings, column);
    this.#ports.set(port, started);
    port.monitor = started;
    port.ofproto.portChanged(port);
    onChange(port);
  }

  /** By chance, so that strangers can't guess it (RFC 5880 6.8.1); not 0, and no other session's. */
  #newDiscriminator(): number {
    const taken = new Set(this.sessions().map((session) => session.snapshot.discriminator));
    let discriminator = 1 + Math.floor(this.#options.random() * 0xffffffff);
    while (taken.has(discriminator)) discriminator = (discriminator % 0xffffffff) + 1;
    return discriminator;
  }

  #send(port: OfPort, packet: Bfd, srcPort: number): void {
    const running = this.#ports.get(port);
    if (running === undefined) return;
    const { localSrcMac, localDstMac, srcIp, dstIp, oam } = running.settings;
    const srcMac = localSrcMac ?? port.mac;
    const frame = buildFrame(packet, { srcMac, dstMac: localDstMac ?? BFD_MAC, srcIp, dstIp, srcPort });
    const flow = newFlow();
    extractFlow(new Packet(frame), flow);
    flow[W_IN_PORT] = OFPP_NONE;
    const output: Action = { type: 'output', port: port.ofPort, maxLen: 0 };
    try {
      this.#options.send(port, { frame, flow, actions: oam ? [SET_OAM, output] : [output] });
    } catch (error) {
      this.#log.warn(
        () => `${port.name}: packet not sent: ${error instanceof Error ? error.message : error}`,
      );
    }
  }
}

const OAM = BigInt(TUN_F_OAM);
const SET_OAM: Action = { type: 'set_field', field: F.tunFlags, value: OAM, mask: OAM, form: 'set_field' };

function sameMap(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean {
  return a.size === b.size && [...a].every(([key, value]) => b.get(key) === value);
}
