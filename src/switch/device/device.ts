import type { PortStats } from '../../datapath/types.ts';
import type { PortDetails } from '../ofproto/port.ts';

/** What the switch knows of, and may change in, the network device behind an interface. */
export interface NetDevice {
  readonly name: string;
  /** Six bytes. */
  readonly mac: Uint8Array;
  readonly mtu: number;
  readonly adminUp: boolean;
  readonly carrier: boolean;
  /** How often the carrier changed since the device was opened. */
  readonly linkResets: number;
  /** 0 where the device has none. */
  readonly ifindex: number;
  /** Bits per second; 0: unknown. */
  readonly speed: number;
  readonly fullDuplex: boolean;
  /** What the Interface row's `status` column tells: driver name and version, and so on. */
  readonly status: ReadonlyMap<string, string>;
  /** Counters kept by the device itself; null: only the datapath has some. */
  stats(): PortStats | null;
  setMac(mac: Uint8Array): void;
  /** @throws WeftError where the device doesn't take it. */
  setMtu(mtu: number): void;
  setAdminUp(up: boolean): void;
  /** Options that a running device can take over (a dummy's wires). */
  configure?(options: ReadonlyMap<string, string>): void;
  close(): void;
  /** Queues and counters of its own, if it has any. */
  readonly details?: PortDetails;
}

/** Opens the devices of one datapath type. */
export interface DeviceProvider {
  /** @throws WeftError `no-such-device` and others, whose message users see in Interface.error. */
  open(spec: DeviceSpec): NetDevice;
  /** Whether a device that was opened has vanished since. */
  isGone(device: NetDevice): boolean;
  /** The device by which packets to an address leave the host; null: there is no way, or nobody knows. */
  egress?(destination: Uint8Array, mark: number): Egress | null;
  /** Called when a device may have come, gone or changed. */
  onChange(listener: () => void): void;
  /** Gives back what it holds; no device of it may be used afterwards. */
  close?(): Promise<void>;
}

/** What carries a tunnel's datagrams. */
export interface Egress {
  readonly name: string;
  readonly carrier: boolean;
}

export interface DeviceSpec {
  readonly name: string;
  /** "system", "internal", "tap", "patch", "dummy", ... */
  readonly type: string;
  readonly options: ReadonlyMap<string, string>;
}
