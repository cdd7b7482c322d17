/**
 * The load of `bench/l2.ts`: sends one 64-byte UDP frame (60 bytes and the checksum that a wire would
 * add) over and over, as fast as the device takes it. Runs inside the sender's namespace:
 *
 *     node bench/l2-sender.ts DEVICE SECONDS
 *
 * Prints how many frames a second it sent.
 */
import { frame } from '../src/datapath/conformance/frames.ts';
import { NO_OFFLOAD } from '../src/sys/frame.ts';
import { Links } from '../src/sys/netlink/link.ts';
import { NetlinkSocket } from '../src/sys/netlink/socket.ts';
import { PacketPort } from '../src/sys/packet-port.ts';

const [device, seconds] = [process.argv[2], Number(process.argv[3])];
const link = new Links(new NetlinkSocket()).get(device);
if (link === undefined) throw new Error(`no device ${device}`);
const port = new PacketPort({ ifindex: link.ifindex, name: device, rxSlots: 32 });
// To an address that the receiver does not have: its stack drops the packet at once.
const bytes = frame({ nwSrc: 0x0a630001, nwDst: 0x0a630063, payload: 18 });
const start = performance.now();
const end = start + seconds * 1000;
let sent = 0;
while (performance.now() < end) {
  for (let n = 0; n < 1024 && port.send(bytes, 0, bytes.length, NO_OFFLOAD); n++) sent++;
  port.flush();
}
console.log(Math.round(sent / ((performance.now() - start) / 1000)));
port.close();
