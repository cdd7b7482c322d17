import { WeftError } from '../../base/errors.ts';
import { PT_ETH } from '../../flow/layout.ts';
import { type FrameSink, type FrameSource, NO_OFFLOAD, RxFrame } from '../../sys/frame.ts';
import { type Link, Links } from '../../sys/netlink/link.ts';
import { NetlinkSocket } from '../../sys/netlink/socket.ts';
import { inNetns } from '../../sys/netns.ts';
import { PacketPort } from '../../sys/packet-port.ts';
import { TapPort } from '../../sys/tap.ts';
import { parseMacAddress } from '../../wire/address.ts';
import type { Packet } from '../packet/packet.ts';
import type { PortSpec } from '../types.ts';
import type { Counters } from '../userspace/counters.ts';
import { type ForwardingPort, type Next, NOTHING, PACKET } from './source.ts';

/** The two sides of an open device. */
export interface Device {
  readonly source: FrameSource;
  readonly sink: FrameSink;
  /** A device whose frames the host's own stack gets too, as a copy. */
  readonly copiedFrom?: number;
  /** Asking costs a system call: ask only when poll says that something is there. */
  readonly askFirst: boolean;
  /** The error that poll reported, as an errno; 0: none. Throws if the device is gone for good. */
  takeError(): number;
  /** Frames lost since the last call: received ones that found no room, sent ones that the device refused. */
  takeLosses(): { received: number; sent: number };
  close(): void;
}

/** Ring slots of a port, 2 kB each. Frames wait for us on the way in; on the way out for one burst at most. */
const RX_SLOTS = 1024;
const TX_SLOTS = 256;

/** Port types that `openDevice` knows. */
export const DEVICE_TYPES: ReadonlySet<string> = new Set(['system', 'tap', 'internal']);

/**
 * Opens what a port stands on, in the namespace that it names. To be called by the thread that will use
 * it.
 * @throws WeftError `no-such-device`, `bad-port-type`, `system-call`, `no-netns`
 */
export function openDevice(spec: PortSpec): Device {
  const open = (): Device => {
    if (spec.type === 'system') return openPacketDevice(spec.name);
    if (spec.type === 'tap' || spec.type === 'internal') return openTap(spec);
    throw new WeftError(
      'bad-port-type',
      `port "${spec.name}": the userspace datapath has no type "${spec.type}"`,
      {
        remedy: `Use one of ${[...DEVICE_TYPES].join(', ')}.`,
      },
    );
  };
  return spec.netns === undefined ? open() : inNetns(spec.netns, open);
}

function macOf(name: string, text: string): Uint8Array {
  const mac = parseMacAddress(text);
  if (mac === null) throw new WeftError('bad-mac', `port "${name}": "${text}" is not an Ethernet address`);
  return mac;
}

function withLinks<T>(work: (links: Links) => T): T {
  const netlink = new NetlinkSocket();
  try {
    return work(new Links(netlink));
  } finally {
    netlink.close();
  }
}

function openPacketDevice(name: string): Device {
  const link = withLinks((links) => links.get(name));
  if (link === undefined) {
    throw new WeftError('no-such-device', `could not open network device ${name} (No such device)`, {
      remedy: 'Create the device; the port opens when it appears.',
    });
  }
  const port = new PacketPort({ ifindex: link.ifindex, name, rxSlots: RX_SLOTS, txSlots: TX_SLOTS });
  return {
    source: port,
    sink: port,
    copiedFrom: link.ifindex,
    askFirst: false,
    takeError: () => port.takeError(),
    takeLosses: () => ({ received: port.takeStatistics().dropped, sent: takeSendErrors(port) }),
    close: () => port.close(),
  };
}

/** `options`: "mac" ("00:11:22:33:44:55") and "mtu", for the device that is made. */
function openTap({ name, options }: PortSpec): Device {
  const port = new TapPort({ name });
  const mac = options?.get('mac');
  const mtu = options?.get('mtu');
  try {
    if (mac !== undefined || mtu !== undefined) {
      withLinks((links) => {
        const { ifindex } = links.get(name) as Link;
        if (mac !== undefined) links.set(ifindex, { mac: macOf(name, mac) });
        if (mtu !== undefined) links.set(ifindex, { mtu: Number(mtu) });
      });
    }
  } catch (error) {
    port.close();
    throw error;
  }
  return {
    source: port,
    sink: port,
    askFirst: true,
    takeError: () => {
      throw new WeftError('no-such-device', `tap device ${name} was removed`);
    },
    takeLosses: () => ({ received: 0, sent: takeSendErrors(port) }),
    close: () => port.close(),
  };
}

function takeSendErrors(port: { txErrors: number }): number {
  const errors = port.txErrors;
  port.txErrors = 0;
  return errors;
}

/** A datapath port on a device. */
export class DevicePort implements ForwardingPort {
  readonly number: number;
  readonly name: string;
  readonly fds: readonly number[];
  readonly askFirst: boolean;
  ready = true;
  failed = false;
  readonly metadata = undefined;
  readonly #device: Device;
  readonly #frame = new RxFrame();
  readonly #counters: Counters;
  /** Ports with frames to flush. */
  readonly #pending: ForwardingPort[];
  #isPending = false;

  constructor(number: number, name: string, device: Device, counters: Counters, pending: ForwardingPort[]) {
    this.number = number;
    this.name = name;
    this.#device = device;
    this.fds = [device.source.fd];
    this.askFirst = device.askFirst;
    this.#counters = counters;
    this.#pending = pending;
  }

  transmit(packet: Packet, length: number): void {
    const { sink } = this.#device;
    const { start } = packet;
    // A frame without Ethernet header has no business on such a device.
    if (packet.packetType !== PT_ETH) {
      this.#counters.sendError(this.number);
      return;
    }
    // What was cut off was part of the checksum and of the segments.
    const offload = length === packet.length ? packet : NO_OFFLOAD;
    if (!sink.send(packet.buffer, start, start + length, offload)) {
      sink.flush();
      if (!sink.send(packet.buffer, start, start + length, offload)) {
        this.#counters.sendDropped(this.number);
        return;
      }
    }
    this.#counters.sent(this.number, length);
    if (!this.#isPending) {
      this.#isPending = true;
      this.#pending.push(this);
    }
  }

  flush(): void {
    this.#isPending = false;
    this.#device.sink.flush();
  }

  next(packet: Packet): Next {
    const frame = this.#frame;
    if (!this.#device.source.receive(frame)) {
      if (this.askFirst) this.ready = false;
      return NOTHING;
    }
    packet.attach(frame.bytes, frame.start, frame.end, frame.start - frame.headroom);
    packet.csumStart = frame.csumStart;
    packet.csumOffset = frame.csumOffset;
    packet.gsoType = frame.gsoType;
    packet.gsoSize = frame.gsoSize;
    return PACKET;
  }

  release(): void {
    this.#device.source.release();
  }

  takeError(): number {
    return this.#device.takeError();
  }

  takeLosses(): { received: number; sent: number } {
    return this.#device.takeLosses();
  }

  close(): void {
    this.#device.close();
  }
}
