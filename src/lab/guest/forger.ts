import { setTimeout as sleep } from 'node:timers/promises';
import { NO_OFFLOAD } from '../../sys/frame.ts';
import { Links } from '../../sys/netlink/link.ts';
import { NetlinkSocket } from '../../sys/netlink/socket.ts';
import { PacketSender } from '../../sys/packet-sender.ts';

/** So many at once, then a pause: a switch that has to look at each must not be overrun. */
const BURST = 32;
const PAUSE_MS = 10;

/** Sends frames as they are; how many the device took. */
export async function sendRaw(device: string, frames: readonly Uint8Array[]): Promise<number> {
  const netlink = new NetlinkSocket();
  const sender = new PacketSender();
  let sent = 0;
  try {
    const { ifindex } = new Links(netlink).get(device)!;
    for (const [i, frame] of frames.entries()) {
      if (sender.send(ifindex, frame, 0, frame.length, NO_OFFLOAD) === 'sent') sent++;
      if (i % BURST === BURST - 1) await sleep(PAUSE_MS);
    }
  } finally {
    sender.close();
    netlink.close();
  }
  return sent;
}
