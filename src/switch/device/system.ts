import { WeftError } from '../../base/errors.ts';
import type { PortStats } from '../../datapath/types.ts';
import { driverInfo, linkSettings } from '../../sys/ethtool.ts';
import { type Link, Links } from '../../sys/netlink/link.ts';
import { RouteFollower } from '../../sys/netlink/route.ts';
import { NetlinkSocket } from '../../sys/netlink/socket.ts';
import type { DeviceProvider, DeviceSpec, Egress, NetDevice } from './device.ts';

/** A device of the kernel, seen through netlink. What it says is kept until `refresh`. */
class SystemDevice implements NetDevice {
  readonly name: string;
  readonly #links: Links;
  readonly #onClose: () => void;
  readonly status: ReadonlyMap<string, string>;
  #link: Link;
  readonly #firstChanges: number;
  readonly speed: number;
  readonly fullDuplex: boolean;

  constructor(link: Link, links: Links, onClose: () => void) {
    this.name = link.name;
    this.#links = links;
    this.#link = link;
    this.#firstChanges = link.carrierChanges;
    this.#onClose = onClose;
    const driver = driverInfo(link.name);
    this.status = new Map(
      driver === undefined
        ? []
        : [
            ['driver_name', driver.driver],
            ['driver_version', driver.version],
            ['firmware_version', driver.firmware],
          ],
    );
    const settings = linkSettings(link.name);
    this.speed = (settings?.speedMbps ?? 0) * 1_000_000;
    this.fullDuplex = settings?.duplex !== 'half';
  }

  get mac(): Uint8Array {
    return this.#link.mac.length === 6 ? this.#link.mac : new Uint8Array(6);
  }

  get mtu(): number {
    return this.#link.mtu;
  }

  get adminUp(): boolean {
    return this.#link.up;
  }

  get carrier(): boolean {
    return this.#link.carrier;
  }

  get linkResets(): number {
    return this.#link.carrierChanges - this.#firstChanges;
  }

  get ifindex(): number {
    return this.#link.ifindex;
  }

  get gone(): boolean {
    return this.#links.get(this.#link.ifindex)?.name !== this.name;
  }

  refresh(): boolean {
    const link = this.#links.get(this.name);
    if (link === undefined || link.ifindex !== this.#link.ifindex) return false;
    this.#link = link;
    return true;
  }

  stats(): PortStats | null {
    const s = this.#links.get(this.name)?.statistics;
    if (s === undefined) return null;
    // What the device sends us it counts as sent: seen from the switch it is received.
    return {
      rxPackets: Number(s.rxPackets),
      rxBytes: Number(s.rxBytes),
      rxErrors: Number(s.rxErrors),
      rxDropped: Number(s.rxDropped),
      txPackets: Number(s.txPackets),
      txBytes: Number(s.txBytes),
      txErrors: Number(s.txErrors),
      txDropped: Number(s.txDropped),
    };
  }

  setMac(mac: Uint8Array): void {
    if (this.mac.every((byte, i) => byte === mac[i])) return;
    this.#links.set(this.#link.ifindex, { mac });
    this.refresh();
  }

  setMtu(mtu: number): void {
    this.#links.set(this.#link.ifindex, { mtu });
    this.refresh();
  }

  setAdminUp(up: boolean): void {
    if (this.#link.up === up) return;
    this.#links.set(this.#link.ifindex, { up });
    this.refresh();
  }

  close(): void {
    this.#onClose();
  }
}

/**
 * Devices of the host. A "system" interface must be there already; "internal" and "tap" ones are made by
 * the datapath when the port is added, so the device is looked at only after that.
 */
export class SystemDevices implements DeviceProvider {
  readonly #links: Links;
  readonly #netlink: NetlinkSocket;
  readonly #devices = new Set<SystemDevice>();
  readonly #listeners: (() => void)[] = [];
  /** Made when somebody asks for a way. */
  #routes: RouteFollower | null = null;
  readonly #onClose: () => void;

  /** `onClose`: it is of no use any more. */
  constructor(onClose: () => void) {
    this.#onClose = onClose;
    this.#netlink = new NetlinkSocket();
    this.#links = new Links(this.#netlink);
  }

  open(spec: DeviceSpec): NetDevice {
    const link = this.#links.get(spec.name);
    if (link === undefined) throw new WeftError('no-such-device', `${spec.name}: No such device`);
    if (link.loopback) {
      throw new WeftError(
        'loopback-device',
        `${spec.name}: network device ${spec.name} is a loopback device (Invalid argument)`,
      );
    }
    const device: SystemDevice = new SystemDevice(link, this.#links, () => this.#devices.delete(device));
    this.#devices.add(device);
    return device;
  }

  /** Whether the device is still the one that was opened. */
  isGone(device: NetDevice): boolean {
    return device instanceof SystemDevice && device.gone;
  }

  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** Looks at all devices again; called when netlink says that something changed. */
  refresh(): void {
    for (const device of this.#devices) device.refresh();
    this.#changed();
  }

  egress(destination: Uint8Array, mark: number): Egress | null {
    this.#routes ??= new RouteFollower(this.#netlink, () => this.#changed());
    const path = this.#routes.path(destination, mark);
    const link = path === null ? undefined : this.#links.get(path.ifindex);
    return link === undefined ? null : { name: link.name, carrier: link.carrier };
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }

  async close(): Promise<void> {
    this.#onClose();
    await this.#routes?.close();
    this.#netlink.close();
  }
}
