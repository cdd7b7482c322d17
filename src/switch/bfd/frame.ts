import { BFD_PORT, type Bfd } from '../../wire/bfd.ts';
import { put32 } from '../../wire/bytes.ts';
import { buildPacket, dissectPacket } from '../../wire/packet.ts';

/** What goes around a control packet. Addresses of Ethernet are six bytes, of IPv4 numbers. */
export interface BfdAddresses {
  readonly srcMac: Uint8Array;
  readonly dstMac: Uint8Array;
  readonly srcIp: number;
  readonly dstIp: number;
  /** 49152 to 65535, one a session (RFC 5881 4). */
  readonly srcPort: number;
}

/** TOS of network control traffic (RFC 791: precedence 6). */
const TOS_INTERNETWORK_CONTROL = 0xc0;
/** RFC 5881 5: tells the receiver that no router was on the way. */
const TTL = 255;

/** A control packet as it goes over a single hop (RFC 5881): Ethernet, IPv4, UDP without checksum. */
export function buildFrame(packet: Bfd, addresses: BfdAddresses): Uint8Array {
  return buildPacket([
    { layer: 'eth', src: addresses.srcMac, dst: addresses.dstMac },
    {
      layer: 'ipv4',
      tos: TOS_INTERNETWORK_CONTROL,
      id: 0,
      dontFragment: false,
      moreFragments: false,
      fragmentOffset: 0,
      ttl: TTL,
      src: ipv4Bytes(addresses.srcIp),
      dst: ipv4Bytes(addresses.dstIp),
      options: new Uint8Array(),
    },
    { layer: 'udp', srcPort: addresses.srcPort, dstPort: BFD_PORT, checksum: 0 },
    packet,
  ]);
}

/** What a packet carries behind its outermost UDP header; null: it has none. */
export function udpPayload(frame: Uint8Array): Uint8Array | null {
  const { layers, payload } = dissectPacket(frame);
  return layers.at(-1)?.layer === 'udp' ? payload : null;
}

function ipv4Bytes(address: number): Uint8Array {
  const bytes = new Uint8Array(4);
  put32(bytes, 0, address);
  return bytes;
}
