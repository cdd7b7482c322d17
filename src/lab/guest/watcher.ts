import { RxFrame } from '../../sys/frame.ts';
import { Links } from '../../sys/netlink/link.ts';
import { NetlinkSocket } from '../../sys/netlink/socket.ts';
import { PacketPort } from '../../sys/packet-port.ts';
import { formatMac } from '../../wire/index.ts';

/** Notes the source of every frame that arrives at a device, as a packet capture would. */
export class Watcher {
  readonly #port: PacketPort;

  constructor(device: string) {
    const netlink = new NetlinkSocket();
    try {
      const { ifindex } = new Links(netlink).get(device)!;
      this.#port = new PacketPort({ name: device, ifindex, rxSlots: 4096, txSlots: 64 });
    } finally {
      netlink.close();
    }
  }

  /** Frames by source since the start; ends the watch. */
  finish(): Record<string, number> {
    const counts: Record<string, number> = {};
    const frame = new RxFrame();
    while (this.#port.receive(frame)) {
      const source = formatMac(frame.bytes, frame.start + 6);
      counts[source] = (counts[source] ?? 0) + 1;
      this.#port.release();
    }
    this.#port.close();
    return counts;
  }
}
