import { get16, get32, put16, put32 } from '../../wire/bytes.ts';
import { addBytes, fillIpv4Checksum, finish, pseudoHeader } from '../../wire/checksum.ts';
import { ABSENT, type Packet } from './packet.ts';

/**
 * Segmentation offload done by us: a packet longer than a wire takes, as a guest with TSO (or UDP
 * segmentation) hands it out, becomes the packets that its device would have made of it.
 *
 * Each has the headers of the whole; lengths, IPv4 identification, TCP sequence number and checksums are its own.
 * FIN and PSH are of the last one alone, CWR of the first (RFC 3168, 6.1.2).
 */

/** Values of a packet's `gsoType` (virtio_net_hdr) that are cut here. */
const GSO_TCPV4 = 1;
const GSO_TCPV6 = 4;
const GSO_UDP_L4 = 5;
/** Bit on top of a TCP type: the segments carry ECN. */
const GSO_ECN = 0x80;

const TCP_FIN_PSH = 0x09;
const TCP_CWR = 0x80;

export interface Segments {
  readonly count: number;
  /** Bytes of all headers in front of the payload. */
  readonly headers: number;
  /** Bytes of payload in each but the last. */
  readonly size: number;
  readonly protocol: 6 | 17;
}

/**
 * How a packet is to be cut, its layer offsets being right. null: it can't be, as its headers are not what its
 * offload state says.
 */
export function planSegments(packet: Packet): Segments | null {
  const kind = packet.gsoType & ~GSO_ECN;
  const l4 = packet.csumStart !== ABSENT ? packet.csumStart : packet.l4;
  const { buffer: b, start, length, l3, gsoSize } = packet;
  if (l3 === ABSENT || l4 === ABSENT || gsoSize === 0 || l4 < l3 + 20) return null;
  const version = b[start + l3] >> 4;
  let headers: number;
  switch (kind) {
    case GSO_TCPV4:
    case GSO_TCPV6:
      if (version !== (kind === GSO_TCPV4 ? 4 : 6) || l4 + 20 > length) return null;
      headers = l4 + (b[start + l4 + 12] >> 4) * 4;
      if (headers < l4 + 20) return null;
      break;
    case GSO_UDP_L4:
      if (version !== 4 && version !== 6) return null;
      headers = l4 + 8;
      break;
    default:
      return null;
  }
  if (version === 6 && l4 < l3 + 40) return null;
  const payload = length - headers;
  if (payload <= 0) return null;
  return {
    count: Math.ceil(payload / gsoSize),
    headers,
    size: gsoSize,
    protocol: kind === GSO_UDP_L4 ? 17 : 6,
  };
}

/** Writes segment `index` of a packet at `to[at]`, checksums done; returns its length. */
export function writeSegment(
  packet: Packet,
  plan: Segments,
  index: number,
  to: Uint8Array,
  at: number,
): number {
  const { headers, size, count, protocol } = plan;
  const { buffer, start, l3 } = packet;
  const l4 = packet.csumStart !== ABSENT ? packet.csumStart : packet.l4;
  const from = start + headers + index * size;
  const payload = Math.min(size, packet.end - from);
  const length = headers + payload;
  to.set(buffer.subarray(start, start + headers), at);
  to.set(buffer.subarray(from, from + payload), at + headers);
  const ip = at + l3;
  if (to[ip] >> 4 === 4) {
    put16(to, ip + 2, length - l3);
    put16(to, ip + 4, (get16(to, ip + 4) + index) & 0xffff);
    fillIpv4Checksum(to, ip);
  } else {
    put16(to, ip + 4, length - l3 - 40);
  }
  const l4At = at + l4;
  const field = l4At + (protocol === 6 ? 16 : 6);
  if (protocol === 6) {
    put32(to, l4At + 4, (get32(to, l4At + 4) + index * size) >>> 0);
    if (index > 0) to[l4At + 13] &= ~TCP_CWR;
    if (index < count - 1) to[l4At + 13] &= ~TCP_FIN_PSH;
  } else {
    put16(to, l4At + 4, length - l4);
  }
  put16(to, field, 0);
  const sum = finish(addBytes(pseudoHeader(to, ip, protocol, length - l4), to, l4At, at + length));
  put16(to, field, sum === 0 && protocol === 17 ? 0xffff : sum);
  return length;
}
