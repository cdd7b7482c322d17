import { WeftError } from '../../base/errors.ts';
import type { PortDetails } from '../ofproto/port.ts';
import type { DeviceProvider, DeviceSpec, NetDevice } from './device.ts';

const NO_STATUS: ReadonlyMap<string, string> = new Map();

/** One queue that counts nothing, and counters that stay 0: something to show where there is nothing. */
const DETAILS: PortDetails = {
  queues: [{ queue: 0, minRate: null, maxRate: null, txBytes: null, txPackets: null, txErrors: null }],
  customStats: [
    'rx_custom_packets_1',
    'rx_custom_packets_2',
    'rx_q0_bytes',
    'rx_q0_packets',
    'tx_q0_bytes',
    'tx_q0_packets',
  ].map((name) => ({ name, value: 0n })),
  countsErrors: false,
};

/** A device that is nothing but its description. */
export class DummyDevice implements NetDevice {
  readonly name: string;
  readonly type: string;
  mac: Uint8Array;
  mtu = 1500;
  adminUp = true;
  #carrier = true;
  linkResets = 0;
  ifindex: number;
  readonly speed = 0;
  readonly fullDuplex = true;
  readonly status = NO_STATUS;
  readonly details = DETAILS;
  /** Addresses given by netdev-dummy/ip4addr and ip6addr. */
  readonly addresses: { readonly address: string; readonly prefix: number }[] = [];
  readonly #changed: () => void;
  readonly #configured: (device: DummyDevice, options: ReadonlyMap<string, string>) => void;
  #onClose: (() => void) | null;

  constructor(spec: {
    name: string;
    type: string;
    mac: Uint8Array;
    ifindex: number;
    changed: () => void;
    configured: (device: DummyDevice, options: ReadonlyMap<string, string>) => void;
    onClose: () => void;
  }) {
    this.name = spec.name;
    this.type = spec.type;
    this.mac = spec.mac;
    this.ifindex = spec.ifindex;
    this.#changed = spec.changed;
    this.#configured = spec.configured;
    this.#onClose = spec.onClose;
  }

  get carrier(): boolean {
    return this.#carrier && this.adminUp;
  }

  setCarrier(on: boolean): void {
    if (this.#carrier === on) return;
    this.#carrier = on;
    this.linkResets++;
    this.#changed();
  }

  stats(): null {
    return null;
  }

  setMac(mac: Uint8Array): void {
    if (this.mac.every((byte, i) => byte === mac[i])) return;
    this.mac = mac;
    this.#changed();
  }

  setMtu(mtu: number): void {
    if (mtu === this.mtu) return;
    this.mtu = mtu;
    this.#changed();
  }

  setAdminUp(up: boolean): void {
    if (this.adminUp === up) return;
    this.adminUp = up;
    this.#changed();
  }

  configure(options: ReadonlyMap<string, string>): void {
    this.ifindex = ifindexOf(options.get('ifindex'));
    this.#configured(this, options);
  }

  close(): void {
    this.#onClose?.();
    this.#onClose = null;
  }
}

/** What connects dummy devices with the world, by their options. */
export interface DummyWires {
  configure(device: DummyDevice, options: ReadonlyMap<string, string>): void;
  close(device: DummyDevice): void;
}

/**
 * Devices of `datapath_type=dummy`. Their MAC addresses count up from aa:55:aa:55:00:00 in the order in
 * which they are opened, so that tests know them.
 */
export class DummyDevices implements DeviceProvider {
  readonly #devices = new Map<string, DummyDevice>();
  readonly #listeners: (() => void)[] = [];
  #next = 0;
  readonly #wires: DummyWires;

  constructor(wires: DummyWires = { configure: () => {}, close: () => {} }) {
    this.#wires = wires;
  }

  open(spec: DeviceSpec): NetDevice {
    if (this.#devices.has(spec.name)) {
      throw new WeftError('device-busy', `${spec.name}: device is in use already`);
    }
    const n = this.#next++;
    const device: DummyDevice = new DummyDevice({
      name: spec.name,
      type: spec.type,
      mac: Uint8Array.of(0xaa, 0x55, 0xaa, 0x55, (n >> 8) & 0xff, n & 0xff),
      ifindex: ifindexOf(spec.options.get('ifindex')),
      changed: () => this.#notify(),
      configured: (which, options) => this.#wires.configure(which, options),
      onClose: () => {
        this.#wires.close(device);
        this.#devices.delete(spec.name);
      },
    });
    this.#devices.set(spec.name, device);
    return device;
  }

  get(name: string): DummyDevice | undefined {
    return this.#devices.get(name);
  }

  all(): IterableIterator<DummyDevice> {
    return this.#devices.values();
  }

  isGone(): boolean {
    return false;
  }

  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  #notify(): void {
    for (const listener of this.#listeners) listener();
  }
}

function ifindexOf(option: string | undefined): number {
  const n = Number(option ?? 0);
  return Number.isInteger(n) && n > 0 ? n : 0;
}
