import { WeftError } from '../../base/errors.ts';
import type { ModuleLog } from '../../base/log.ts';
import { OFPP_LOCAL, PS_LINK_DOWN, PS_LIVE } from '../../openflow/constants.ts';
import type { BfdMonitors } from '../bfd/monitors.ts';
import type { OpenFlowSide } from '../conn/types.ts';
import type { NetDevice } from '../device/device.ts';
import type { Ofproto } from '../ofproto/ofproto.ts';
import { OfPort } from '../ofproto/port.ts';
import { isTunnelType, readTunnelOptions, type TunnelConfig } from '../tunnel/config.ts';
import type { Backer } from './backer.ts';
import type { BridgeConfig, InterfaceConfig, PortConfig } from './config.ts';
import { describeFailure, messageOf, refusedOptions } from './failure.ts';
import type { PortNumbers } from './port-numbers.ts';

/** An interface as it runs, or why it doesn't. */
export interface LiveInterface {
  config: InterfaceConfig;
  /** Port of the database that it belongs to. */
  readonly portName: string;
  port: OfPort | null;
  device: NetDevice | null;
  /** What Interface.error says; null: all is well. */
  error: string | null;
}

const DEFAULT_MTU = 1500;

/** Types whose device the datapath makes. */
const MADE_BY_DATAPATH: ReadonlySet<string> = new Set(['internal', 'tap']);

/** Types of interface that have no device and no datapath port of their own. */
const VIRTUAL: ReadonlySet<string> = new Set(['patch']);

/**
 * One bridge of the database as it runs: brings its ports and bundles from what they are to what the
 * configuration says, and keeps what can't be done as an error on the interface, to be tried again.
 */
export class Bridge {
  readonly name: string;
  readonly backer: Backer;
  readonly ofproto: Ofproto;
  readonly openflow: OpenFlowSide;
  config: BridgeConfig;
  readonly #log: ModuleLog;
  readonly #interfaces = new Map<string, LiveInterface>();
  readonly #numbers: PortNumbers;
  /** What was wrong with an interface's options when they were last looked at. */
  readonly #refused = new Map<string, string>();
  readonly #monitors: BfdMonitors;
  #datapathId: bigint | null = null;

  constructor(options: {
    config: BridgeConfig;
    backer: Backer;
    ofproto: Ofproto;
    openflow: OpenFlowSide;
    log: ModuleLog;
    numbers: PortNumbers;
    monitors: BfdMonitors;
  }) {
    this.name = options.config.name;
    this.config = options.config;
    this.backer = options.backer;
    this.ofproto = options.ofproto;
    this.openflow = options.openflow;
    this.#log = options.log;
    this.#numbers = options.numbers;
    this.#monitors = options.monitors;
  }

  /** Gives the id that it is known by to controllers back, and tells of it in the log where it is another than before. */
  noteDatapathId(id: bigint): bigint {
    if (id !== this.#datapathId) {
      this.#log.info(`bridge ${this.name}: using datapath ID ${id.toString(16).padStart(16, '0')}`);
      this.#datapathId = id;
    }
    return id;
  }

  interfaces(): IterableIterator<LiveInterface> {
    return this.#interfaces.values();
  }

  interface(name: string): LiveInterface | undefined {
    return this.#interfaces.get(name);
  }

  get local(): LiveInterface | undefined {
    return this.#interfaces.get(this.name);
  }

  // --- Towards the configuration --------------------------------------------------------------------

  /** Removes what the configuration no longer has, or has changed beyond recognition. */
  removeStale(config: BridgeConfig): void {
    const wanted = new Map<string, { iface: InterfaceConfig; port: PortConfig }>();
    for (const port of config.ports)
      for (const iface of port.interfaces) wanted.set(iface.name, { iface, port });
    const claims = this.#claims(wanted.values());
    for (const live of [...this.#interfaces.values()]) {
      const want = wanted.get(live.config.name);
      if (
        want === undefined ||
        want.iface.type !== live.config.type ||
        want.port.name !== live.portName ||
        want.iface.uuid !== live.config.uuid ||
        mustRenumber(claims, want.iface, live) ||
        (live.device !== null && this.backer.devices.isGone(live.device)) ||
        !sameOptions(want.iface, live.config)
      ) {
        this.#removeInterface(live);
      }
    }
  }

  /** Who gets each number that is asked for: its holder if that asks for it, else the first to ask. */
  #claims(wanted: Iterable<{ iface: InterfaceConfig }>): Map<number, string> {
    const claims = new Map<number, string>();
    for (const { iface } of wanted) {
      const number = iface.local ? null : iface.ofportRequest;
      if (number === null) continue;
      const holds = this.#interfaces.get(iface.name)?.port?.ofPort === number;
      if (holds || !claims.has(number)) claims.set(number, iface.name);
    }
    return claims;
  }

  /** Adds what is missing and brings every setting up to date. */
  apply(config: BridgeConfig): void {
    this.config = config;
    const missing: { port: PortConfig; iface: InterfaceConfig }[] = [];
    const retuned: { port: PortConfig; iface: InterfaceConfig }[] = [];
    for (const port of config.ports) {
      for (const iface of port.interfaces) {
        const live = this.#interfaces.get(iface.name);
        const before = live?.config;
        if (live !== undefined) live.config = iface;
        if (live === undefined || live.port === null) missing.push({ port, iface });
        else if (
          live.port.tunnel !== null &&
          before !== undefined &&
          !sameMap(before.options, iface.options)
        ) {
          retuned.push({ port, iface });
        }
      }
    }
    missing.push(...this.#retune(retuned));
    // Numbers that were asked for by name go before those that any number will do.
    missing.sort((a, b) => rank(a.iface) - rank(b.iface));
    for (const { port, iface } of missing) this.#addInterface(port, iface);
    this.#joinBundles(config);
    for (const live of this.#interfaces.values()) this.#configureDevice(live);
    this.#followMtu();
  }

  /** Whether some interface could not be made: worth another try when devices come. */
  get hasErrors(): boolean {
    for (const live of this.#interfaces.values()) if (live.error !== null) return true;
    return false;
  }

  /** Reads what devices say of themselves; tells controllers what changed. */
  refreshDevices(): void {
    for (const live of this.#interfaces.values()) this.#refresh(live);
  }

  /** The same for one port. */
  refreshPort(port: OfPort): void {
    const live = this.#interfaces.get(port.name);
    if (live?.port === port) this.#refresh(live);
  }

  #refresh(live: LiveInterface): void {
    if (live.port === null || !this.#readDevice(live)) return;
    this.openflow.portModified(live.port);
    this.ofproto.portChanged(live.port);
  }

  /** Ends one port, whatever the configuration says. */
  removePort(port: OfPort): void {
    const live = this.#interfaces.get(port.name);
    if (live?.port === port) this.#removeInterface(live);
  }

  close(): void {
    for (const live of [...this.#interfaces.values()]) this.#removeInterface(live);
    this.openflow.close();
  }

  // --- Interfaces -----------------------------------------------------------------------------------

  #addInterface(portConfig: PortConfig, config: InterfaceConfig): void {
    const live: LiveInterface = { config, portName: portConfig.name, port: null, device: null, error: null };
    this.#interfaces.set(config.name, live);
    let dpPort: number | null = null;
    let tunnel: TunnelConfig | null = null;
    const giveBack = (): void => {
      live.device?.close();
      live.device = null;
      if (dpPort === null) return;
      if (tunnel === null) this.backer.datapath.portDelete(dpPort);
      else this.backer.slowPath.tunnels.release(dpPort);
    };
    try {
      if (isTunnelType(config.type)) {
        const reading = readTunnelOptions(config.name, config.type, config.options);
        for (const warning of reading.warnings) this.#log.limited(60, 20).warn(warning);
        tunnel = reading.config;
        dpPort = this.backer.slowPath.tunnels.acquire(tunnel);
      } else if (!VIRTUAL.has(config.type)) {
        // A tap comes into being with its port; any other device must be there before.
        const spec = { name: config.name, type: config.type, options: config.options };
        if (MADE_BY_DATAPATH.has(config.type)) dpPort = this.backer.datapath.portAdd(spec);
        live.device = this.backer.devices.open(config);
        dpPort ??= this.backer.datapath.portAdd(spec);
      } else {
        checkPatch(config);
      }
    } catch (error) {
      giveBack();
      live.error = describeFailure(config, error);
      this.#complain(config.name, live.error, refusedOptions(error));
      return;
    }
    // Only now, so that a device that isn't there takes no number.
    const numbered = config.local
      ? OFPP_LOCAL
      : this.#numbers.allocate(config.ofportRequest, config.ofportHint);
    if (numbered === null) {
      live.error = 'no OpenFlow port number is left';
      giveBack();
      return;
    }
    this.#refused.delete(config.name);
    const { clock } = this.ofproto;
    const mac = live.device?.mac ?? virtualMac(numbered);
    const port = new OfPort(this.ofproto, {
      ofPort: numbered,
      name: config.name,
      type: config.type,
      dpPort,
      mac,
      created: clock.now(),
    });
    port.tunnel = tunnel;
    try {
      if (tunnel !== null) this.backer.slowPath.tunnels.add(port);
    } catch (error) {
      giveBack();
      this.#numbers.release(numbered);
      live.error = describeFailure(config, error);
      this.#log.limited(60, 20).warn(live.error);
      return;
    }
    live.port = port;
    live.port.details = live.device?.details ?? null;
    // The bridge's own and other internal devices are for the host's administrator to bring up.
    if (config.type !== 'internal') live.device?.setAdminUp(true);
    this.#monitors.configure(live.port, config.bfd);
    this.#readDevice(live);
    this.ofproto.addPort(live.port);
    if (dpPort !== null && tunnel === null) this.backer.slowPath.attachPort(dpPort, live.port);
    this.openflow.portAdded(live.port);
    this.#log.info(`bridge ${this.name}: added interface ${config.name} on port ${numberText(numbered)}`);
  }

  /** Logs why an interface could not be made: each time that it is tried, but what is wrong with options once. */
  #complain(name: string, error: string, refusal: string | undefined): void {
    if (refusal !== undefined && this.#refused.get(name) === error) return;
    const log = this.#log.limited(60, 20);
    for (const line of error.split('\n')) log.warn(line);
    if (refusal === undefined) return;
    this.#refused.set(name, error);
    log.warn(`${name}: could not set configuration (${refusal})`);
  }

  /**
   * Gives running tunnels other options: the port stays, for controllers and flows. Returns those that can't
   * have them, removed, to be made anew, which says why.
   */
  #retune<T extends { readonly iface: InterfaceConfig }>(wanted: readonly T[]): T[] {
    const { tunnels } = this.backer.slowPath;
    const live = wanted.flatMap((want) => {
      const found = this.#interfaces.get(want.iface.name);
      return found === undefined || found.port === null ? [] : [{ want, live: found, port: found.port }];
    });
    // All at once give up what they took, so that two can change places.
    for (const { port } of live) tunnels.remove(port);
    const failed = live.filter(({ want: { iface }, port }) => {
      if (!isTunnelType(iface.type)) return true;
      try {
        const { config, warnings } = readTunnelOptions(iface.name, iface.type, iface.options);
        for (const warning of warnings) this.#log.limited(60, 20).warn(warning);
        const dpPort = tunnels.acquire(config);
        if (port.dpPort !== null) tunnels.release(port.dpPort);
        port.dpPort = dpPort;
        port.tunnel = config;
        tunnels.add(port);
        return false;
      } catch {
        return true;
      }
    });
    for (const each of failed) this.#removeInterface(each.live);
    if (live.length > 0) this.ofproto.portsChanged();
    return failed.map(({ want }) => want);
  }

  #removeInterface(live: LiveInterface): void {
    this.#interfaces.delete(live.config.name);
    const { port } = live;
    if (port !== null) {
      this.#monitors.remove(port);
      const { bundle } = port;
      if (bundle !== null) {
        this.ofproto.leaveBundle(port);
        if (bundle.ports.length === 0) this.ofproto.removeBundle(bundle);
      }
      const { datapath, slowPath } = this.backer;
      if (port.tunnel !== null) slowPath.tunnels.remove(port);
      else if (port.dpPort !== null) slowPath.detachPort(port.dpPort);
      this.ofproto.removePort(port);
      this.openflow.portRemoved(port);
      if (port.dpPort !== null) {
        if (port.tunnel !== null) slowPath.tunnels.release(port.dpPort);
        else datapath.portDelete(port.dpPort);
      }
      if (port.ofPort !== OFPP_LOCAL) this.#numbers.release(port.ofPort);
      this.#log.info(
        `bridge ${this.name}: deleted interface ${live.config.name} on port ${numberText(port.ofPort)}`,
      );
    }
    live.device?.close();
  }

  #joinBundles(config: BridgeConfig): void {
    const names = new Set(config.ports.map((port) => port.name));
    for (const bundle of [...this.ofproto.bundles()]) {
      if (!names.has(bundle.name)) this.ofproto.removeBundle(bundle);
    }
    for (const wanted of config.ports) {
      const members = wanted.interfaces.flatMap((iface) => this.#interfaces.get(iface.name)?.port ?? []);
      let bundle = this.ofproto.bundle(wanted.name);
      if (members.length === 0) {
        if (bundle !== undefined) this.ofproto.removeBundle(bundle);
        continue;
      }
      bundle ??= this.ofproto.addBundle(wanted.name);
      if (JSON.stringify(settingsKey(bundle.settings)) !== JSON.stringify(settingsKey(wanted.settings))) {
        bundle.settings = wanted.settings;
        this.ofproto.macs.flushBundle(bundle);
        this.ofproto.portsChanged();
      }
      for (const port of [...bundle.ports]) {
        if (members.includes(port)) continue;
        this.ofproto.leaveBundle(port);
      }
      for (const port of members) {
        if (port.bundle === bundle) continue;
        this.ofproto.joinBundle(port, bundle);
      }
    }
  }

  /** Internal devices send no longer packets than the bridge's narrowest port takes, unless they are told to. */
  #followMtu(): void {
    let narrowest = Number.POSITIVE_INFINITY;
    for (const { config, device } of this.#interfaces.values()) {
      if (device !== null && config.type !== 'internal') narrowest = Math.min(narrowest, device.mtu);
    }
    const mtu = narrowest === Number.POSITIVE_INFINITY ? DEFAULT_MTU : narrowest;
    for (const live of this.#interfaces.values()) {
      const { config, device, port } = live;
      if (config.type !== 'internal' || config.mtuRequest !== null || device === null || port === null)
        continue;
      if (device.mtu === mtu) continue;
      this.#setMtu(live, mtu);
      if (this.#readDevice(live)) this.openflow.portModified(port);
    }
  }

  #setMtu({ config, device }: LiveInterface, mtu: number): void {
    try {
      device?.setMtu(mtu);
    } catch (error) {
      this.#log.warn(`${config.name}: MTU ${mtu} not set: ${messageOf(error)}`);
    }
  }

  #configureDevice(live: LiveInterface): void {
    const { device, config, port } = live;
    if (port !== null) this.#monitors.configure(port, config.bfd);
    if (device === null || port === null) return;
    const mac = config.mac === null ? null : parseMac(config.mac);
    if (mac !== null && config.type === 'internal' && !config.local) device.setMac(mac);
    if (config.mtuRequest !== null && config.mtuRequest !== device.mtu) {
      this.#setMtu(live, config.mtuRequest);
    }
    device.configure?.(config.options);
    if (this.#readDevice(live)) this.openflow.portModified(port);
  }

  /** True if the port changed by what the device says now. */
  #readDevice(live: LiveInterface): boolean {
    const { device, port } = live;
    if (port === null) return false;
    const before = `${port.mac}|${port.mtu}|${port.adminUp}|${port.linkUp}|${port.state}`;
    if (device !== null) {
      port.mac = device.mac;
      port.mtu = device.mtu;
      port.adminUp = device.adminUp;
      port.linkUp = device.carrier;
    }
    const carries = port.linkUp && (port.monitor?.forwarding ?? true);
    port.state &= ~(PS_LINK_DOWN | PS_LIVE);
    port.state |= (port.linkUp ? 0 : PS_LINK_DOWN) | (carries ? PS_LIVE : 0);
    return before !== `${port.mac}|${port.mtu}|${port.adminUp}|${port.linkUp}|${port.state}`;
  }
}

function rank(iface: InterfaceConfig): number {
  return iface.local ? 0 : iface.ofportRequest !== null ? 1 : iface.ofportHint !== null ? 2 : 3;
}

/** Whether a port must go so that it, or another, gets the number that is its due. */
function mustRenumber(
  claims: ReadonlyMap<number, string>,
  want: InterfaceConfig,
  live: LiveInterface,
): boolean {
  if (want.local || live.port === null) return false;
  const { ofPort } = live.port;
  const request = want.ofportRequest;
  if (request !== null && request !== ofPort && claims.get(request) === want.name) return true;
  const owner = claims.get(ofPort);
  return owner !== undefined && owner !== want.name;
}

/** Options that a running port can't take over: it is made anew. */
function sameOptions(a: InterfaceConfig, b: InterfaceConfig): boolean {
  if (a.type === 'patch' || a.type === 'dummy' || a.type === 'dummy-pmd' || isTunnelType(a.type)) return true;
  return sameMap(a.options, b.options);
}

function sameMap(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean {
  return a.size === b.size && [...a].every(([key, value]) => b.get(key) === value);
}

function settingsKey(settings: {
  readonly trunks: Uint8Array | null;
  readonly cvlans: Uint8Array | null;
}): unknown {
  return {
    ...settings,
    trunks: settings.trunks === null ? null : [...settings.trunks],
    cvlans: settings.cvlans === null ? null : [...settings.cvlans],
  };
}

function checkPatch(config: InterfaceConfig): void {
  const peer = config.options.get('peer');
  if (peer === undefined || peer === '') {
    throw new WeftError('patch-without-peer', `${config.name}: patch type requires valid 'peer' argument`);
  }
  if (peer === config.name) {
    throw new WeftError('patch-to-itself', `${config.name}: patch peer must not be self`);
  }
}

function numberText(port: number): string {
  return port === OFPP_LOCAL ? '65534' : String(port);
}

/** Patch ports and tunnels have no device; a locally administered address of their own, stable by number. */
function virtualMac(port: number): Uint8Array {
  return Uint8Array.of(0x02, 0x77, 0x65, 0x66, (port >> 8) & 0xff, port & 0xff);
}

export function parseMac(text: string): Uint8Array | null {
  if (!/^[0-9a-f]{1,2}(:[0-9a-f]{1,2}){5}$/i.test(text)) return null;
  const bytes = Uint8Array.from(text.split(':'), (part) => Number.parseInt(part, 16));
  return (bytes[0] & 1) !== 0 || bytes.every((byte) => byte === 0) ? null : bytes;
}
