import { WeftError } from '../../base/errors.ts';
import { type Link, Links } from '../../sys/netlink/link.ts';
import { NetlinkSocket } from '../../sys/netlink/socket.ts';
import { parseMacAddress } from '../../wire/address.ts';
import type { PortSpec } from '../types.ts';

/** The device that a port of the kernel datapath stands on. */
export interface PortDevice {
  /** Where packets come in and go out. */
  readonly ifindex: number;
  readonly name: string;
  /** The datapath made it, a veth pair: `ifindex` is its hidden end, and removing that removes both. */
  readonly made: boolean;
}

/** Types of ports that stand on a device. */
export const KERNEL_DEVICE_TYPES: ReadonlySet<string> = new Set(['system', 'tap', 'internal']);

/** What the names of hidden ends start with. A name has 15 bytes at the most. */
const HIDDEN = 'weft-';

/**
 * Devices of one network namespace, by netlink.
 *
 * An internal port is a pair of veth devices: the host has the end with the port's name, the datapath the other. So it is
 * a port like any other, segmentation offload and all, and goes on forwarding while no process has it open.
 */
export class PortDevices {
  readonly #netlink = new NetlinkSocket();
  readonly #links = new Links(this.#netlink);
  readonly #shared: boolean;

  /** @param shared another process has such devices here: what is there already may be one of its */
  constructor(shared: boolean) {
    this.#shared = shared;
  }

  /** @throws WeftError `no-such-device`, `bad-port-type`, `bad-mac`, `system-call` */
  open(spec: PortSpec): PortDevice {
    if (spec.type === 'internal' || spec.type === 'tap') return this.#openInternal(spec);
    if (spec.type !== 'system') {
      throw new WeftError(
        'bad-port-type',
        `port "${spec.name}": the kernel datapath has no type "${spec.type}"`,
        { remedy: `Use one of ${[...KERNEL_DEVICE_TYPES].join(', ')}.` },
      );
    }
    const link = this.#links.get(spec.name);
    if (link === undefined) {
      throw new WeftError('no-such-device', `could not open network device ${spec.name} (No such device)`, {
        remedy: 'Create the device; the port opens when it appears.',
      });
    }
    return { ifindex: link.ifindex, name: spec.name, made: false };
  }

  get(ifindex: number): Link | undefined {
    return this.#links.get(ifindex);
  }

  /**
   * The Ethernet address of the other end, if packets may go straight there: a veth whose peer is up in another
   * namespace, and no queueing discipline to pass by.
   */
  peerAddress(ifindex: number): Uint8Array | null {
    const link = this.#links.get(ifindex);
    if (link?.kind !== 'veth' || !link.running || link.elsewhere === undefined) return null;
    if (link.qdisc !== 'noqueue' && link.qdisc !== '') return null;
    const peer = this.#links.getElsewhere(link.elsewhere.netnsId, link.elsewhere.ifindex);
    return peer?.up === true && peer.mac.length === 6 ? peer.mac : null;
  }

  remove(device: PortDevice): void {
    if (device.made && this.#links.get(device.ifindex) !== undefined) this.#links.remove(device.ifindex);
  }

  close(): void {
    this.#netlink.close();
  }

  #openInternal({ name, options }: PortSpec): PortDevice {
    const there = this.#links.get(name);
    if (there !== undefined) {
      // Left over from a process that could not clean up: same name, same pair.
      const hidden = there.kind === 'veth' && there.lower !== 0 ? this.#links.get(there.lower) : undefined;
      if (this.#shared || hidden?.name.startsWith(HIDDEN) !== true) {
        throw new WeftError(
          'device-busy',
          `port "${name}": there is a device of that name already (File exists)`,
          {
            remedy: this.#shared
              ? 'Another switch runs in this network namespace: give the bridge or port another name.'
              : 'Remove the device, or add it as a port of type "system".',
          },
        );
      }
      this.#dress(there, options);
      this.#links.set(hidden.ifindex, { up: true });
      return { ifindex: hidden.ifindex, name, made: true };
    }
    const hiddenName = this.#freeName();
    this.#links.createVeth(name, hiddenName, {}, { up: true });
    const hidden = this.#links.get(hiddenName);
    const shown = this.#links.get(name);
    if (hidden === undefined || shown === undefined)
      throw new WeftError('no-such-device', `port "${name}": its device vanished (No such device)`);
    const device = { ifindex: hidden.ifindex, name, made: true };
    try {
      this.#dress(shown, options);
    } catch (error) {
      this.remove(device);
      throw error;
    }
    return device;
  }

  /** `options`: "mac" ("00:11:22:33:44:55") and "mtu". */
  #dress(link: Link, options: ReadonlyMap<string, string> | undefined): void {
    const text = options?.get('mac');
    if (text !== undefined) {
      const mac = parseMacAddress(text);
      if (mac === null)
        throw new WeftError('bad-mac', `port "${link.name}": "${text}" is not an Ethernet address`);
      this.#links.set(link.ifindex, { mac });
    }
    const mtu = options?.get('mtu');
    if (mtu !== undefined) this.#links.set(link.ifindex, { mtu: Number(mtu) });
  }

  #freeName(): string {
    const taken = new Set(this.#links.list().map((link) => link.name));
    for (let i = 0; ; i++) if (!taken.has(`${HIDDEN}${i}`)) return `${HIDDEN}${i}`;
  }
}
