/**
 * Sends frames out of a device of its namespace, 50 at a time with a pause between, of as many flows (UDP source ports from
 * 1 up) as it is told. Ends when its input does, and prints how many it sent:
 *
 *     node steady-sender.ts DEVICE FLOWS
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { frame } from '../../../src/datapath/conformance/frames.ts';
import { NO_OFFLOAD } from '../../../src/sys/frame.ts';
import { Links } from '../../../src/sys/netlink/link.ts';
import { NetlinkSocket } from '../../../src/sys/netlink/socket.ts';
import { PacketSender } from '../../../src/sys/packet-sender.ts';

const AT_ONCE = 50;
const PAUSE_MS = 2;

const [device, flows] = [process.argv[2]!, Number(process.argv[3])];
const link = new Links(new NetlinkSocket()).get(device);
if (link === undefined) throw new Error(`no device ${device}`);
const sender = new PacketSender();
const frames = Array.from({ length: flows }, (_, i) => frame({ nwDst: 0x0a630063, tpSrc: i + 1 }));
let ended = false;
process.stdin.resume().on('end', () => {
  ended = true;
});
console.log('sending');
let sent = 0;
while (!ended) {
  for (let n = 0; n < AT_ONCE; n++) {
    const bytes = frames[sent % flows]!;
    if (sender.send(link.ifindex, bytes, 0, bytes.length, NO_OFFLOAD) === 'sent') sent++;
  }
  await sleep(PAUSE_MS);
}
console.log(`sent ${sent}`);
process.exit(0);
