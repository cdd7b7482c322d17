/** Devices and frames for probes, in namespaces that end with them. */
import { closeSync, openSync } from 'node:fs';
import { WeftError } from '../../base/errors.ts';
import { NO_OFFLOAD, RxFrame } from '../../sys/frame.ts';
import { Links } from '../../sys/netlink/link.ts';
import { NetlinkSocket } from '../../sys/netlink/socket.ts';
import { inNetns, inNewNetns, OWN_NAMESPACE } from '../../sys/netns.ts';
import { PacketPort } from '../../sys/packet-port.ts';
import { POLLIN, PollSet } from '../../sys/poll.ts';

const WAITS = 20;
const WAIT_MS = 50;

function withLinks<T>(work: (links: Links) => T): T {
  const netlink = new NetlinkSocket();
  try {
    return work(new Links(netlink));
  } finally {
    netlink.close();
  }
}

const indexOf = (links: Links, name: string): number => {
  const link = links.get(name);
  if (link === undefined) throw new WeftError('no-such-device', `${name}: was made, and is not there`);
  return link.ifindex;
};

/** Runs `work` in a namespace of its own with a pair of veth devices that are up: weft0 and weft1. */
export function withVeth<T>(work: (links: Links, ifindexes: [number, number]) => T): T {
  return inNewNetns(() =>
    withLinks((links) => {
      links.createVeth('weft0', 'weft1', { up: true }, { up: true });
      return work(links, [indexOf(links, 'weft0'), indexOf(links, 'weft1')]);
    }),
  );
}

/** Two guests at a switch: `near` and `far` are their ends of veth pairs, `nearPort` and `farPort` the switch's. */
export interface TwoGuests {
  readonly near: PacketPort;
  readonly far: PacketPort;
  readonly nearPort: number;
  readonly farPort: number;
}

/** Runs `work` in a namespace of its own with two pairs; `far` alone is in another one. */
export function withTwoGuests<T>(work: (guests: TwoGuests) => T): T {
  const elsewhere = inNewNetns(() => openSync(OWN_NAMESPACE, 'r'));
  try {
    return withVeth((links, [near, nearPort]) => {
      links.createVeth('weft2', 'weft3', { up: true }, { netnsFd: elsewhere });
      const farPort = indexOf(links, 'weft2');
      const far = inNetns(`/proc/self/fd/${elsewhere}`, () =>
        withLinks((there) => {
          const ifindex = indexOf(there, 'weft3');
          there.set(ifindex, { up: true });
          return open('weft3', ifindex);
        }),
      );
      const here = open('weft0', near);
      try {
        return work({ near: here, far, nearPort, farPort });
      } finally {
        here.close();
        far.close();
      }
    });
  } finally {
    closeSync(elsewhere);
  }
}

export const open = (name: string, ifindex: number): PacketPort =>
  new PacketPort({ name, ifindex, rxSlots: 64, txSlots: 64 });

/** Sends a frame at one device and waits until it comes at another. @throws WeftError `no-frame` */
export function passFrame(from: PacketPort, to: PacketPort): void {
  // An experimental EtherType (IEEE 802), so that no other frame is taken for ours.
  const sent = new Uint8Array(60).fill(0x5a).fill(0xff, 0, 6);
  sent.set([0x88, 0xb5], 12);
  const poll = new PollSet(1);
  try {
    from.send(sent, 0, sent.length, NO_OFFLOAD);
    from.flush();
    poll.set(0, to.fd, POLLIN);
    const frame = new RxFrame();
    for (let tries = 0; tries < WAITS; tries++) {
      while (to.receive(frame)) {
        const same = sent.every((byte, i) => byte === frame.bytes[frame.start + i]);
        to.release();
        if (same) return;
      }
      poll.wait(WAIT_MS);
    }
    throw new WeftError('no-frame', 'the frame that was sent never came');
  } finally {
    poll.close();
  }
}
