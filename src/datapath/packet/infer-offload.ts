import { get16 } from '../../wire/bytes.ts';
import { fold, pseudoHeader } from '../../wire/checksum.ts';
import type { Packet } from './packet.ts';

/*
 * What a tunnel brings may have come from a guest on this very machine, past no wire: then its checksum may be
 * unfinished and it may be longer than a wire takes, and nothing outside of it says so. But an unfinished checksum
 * shows: the field has the sum of the pseudo header alone, which a finished one has once in 65,536 packets. (Finished
 * again it stays what it was.)
 */

/** An IP packet with an unfinished checksum that exceeds this was never meant for a wire as it is. */
const LONGEST = 1500;
/** Its segments fit any overlay: nothing tells what size its sender had in mind. */
const SEGMENT_IP_LENGTH = 1400;

const GSO_TCPV4 = 1;
const GSO_TCPV6 = 4;

/** Sets the packet's offload state to what its bytes tell. */
export function inferOffload(packet: Packet): void {
  const { buffer: b, start, end } = packet;
  let at = start + 12;
  let type = get16(b, at);
  for (let tags = 0; tags < 2 && (type === 0x8100 || type === 0x88a8); tags++) {
    at += 4;
    type = get16(b, at);
  }
  const ip = at + 2;
  let l4: number;
  let protocol: number;
  let l4End: number;
  if (type === 0x0800 && ip + 20 <= end && b[ip] >> 4 === 4) {
    // Fragments have no checksum of their own.
    if ((get16(b, ip + 6) & 0x3fff) !== 0) return;
    l4 = ip + (b[ip] & 15) * 4;
    protocol = b[ip + 9];
    l4End = ip + get16(b, ip + 2);
  } else if (type === 0x86dd && ip + 40 <= end && b[ip] >> 4 === 6) {
    l4 = ip + 40;
    protocol = b[ip + 6];
    l4End = l4 + get16(b, ip + 4);
  } else {
    return;
  }
  const field = protocol === 6 ? 16 : protocol === 17 ? 6 : -1;
  if (field < 0 || l4End > end || l4 < ip + 20 || l4 + (protocol === 6 ? 20 : 8) > l4End) return;
  if (get16(b, l4 + field) !== fold(pseudoHeader(b, ip, protocol, l4End - l4))) return;
  packet.csumStart = l4 - start;
  packet.csumOffset = field;
  if (protocol !== 6 || l4End - ip <= LONGEST) return;
  const headers = l4 - ip + (b[l4 + 12] >> 4) * 4;
  packet.gsoType = b[ip] >> 4 === 4 ? GSO_TCPV4 : GSO_TCPV6;
  packet.gsoSize = SEGMENT_IP_LENGTH - headers;
}
