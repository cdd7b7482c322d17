import { type Flow, FRAG_LATER, W_ETH_TYPE, W_NW } from '../../flow/layout.ts';
import { GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4 } from '../../sys/frame.ts';
import { get16 } from '../../wire/bytes.ts';
import { fold, pseudoHeader4, pseudoHeader6 } from '../../wire/checksum.ts';
import { ABSENT, type Packet } from '../packet/packet.ts';

const TCP = 6;
const UDP = 17;

/**
 * Finds out what the sender of a packet left to do, which programs can't be told: an L4 checksum is unfinished if its
 * field holds the sum of the pseudo header. (A finished one that happens to be that number comes out the same when it
 * is finished again.)
 *
 * @param packet with the layer offsets that `extractFlow` found, with `flow`
 * @param gsoSize bytes a segment; 0: nothing to segment
 */
export function restoreOffload(packet: Packet, flow: Flow, gsoSize: number): void {
  const protocol = flow[W_NW] & 0xff;
  const ipv6 = flow[W_ETH_TYPE] >>> 16 === 0x86dd;
  packet.csumStart = ABSENT;
  packet.csumOffset = 0;
  packet.gsoType = 0;
  packet.gsoSize = 0;
  if (packet.l4 === ABSENT || (protocol !== TCP && protocol !== UDP)) return;
  if (((flow[W_NW] >>> 24) & FRAG_LATER) !== 0) return;
  const offset = protocol === TCP ? 16 : 6;
  const l4 = packet.start + packet.l4;
  const size = packet.end - packet.l2Pad - l4;
  if (size < (protocol === TCP ? 20 : 8)) return;
  const ip = packet.start + packet.l3;
  const pseudo = ipv6 ? pseudoHeader6 : pseudoHeader4;
  // Folded, not complemented.
  const sum = fold(pseudo(packet.buffer, ip, protocol, size));
  if (gsoSize === 0 && get16(packet.buffer, l4 + offset) !== sum) return;
  packet.csumStart = packet.l4;
  packet.csumOffset = offset;
  if (gsoSize === 0) return;
  packet.gsoSize = gsoSize;
  packet.gsoType = protocol === UDP ? GSO_UDP_L4 : ipv6 ? GSO_TCPV6 : GSO_TCPV4;
}
