import { ARP_LENGTH, type Arp, emitArp, parseArp } from './arp.ts';
import { BFD_PORT, type Bfd, bfdLength, emitBfd, parseBfd } from './bfd.ts';
import { put16, put32 } from './bytes.ts';
import { addBytes, checksum, finish, pseudoHeader } from './checksum.ts';
import { crc32c, sctpChecksumWord } from './crc32c.ts';
import { DHCP_CLIENT_PORT, DHCP_SERVER_PORT, type Dhcp, dhcpLength, emitDhcp, parseDhcp } from './dhcp.ts';
import {
  ETHERNET_HEADER,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  ETHERTYPE_MIN,
  ETHERTYPE_MPLS,
  ETHERTYPE_MPLS_MULTICAST,
  ETHERTYPE_RARP,
  ETHERTYPE_TEB,
  ETHERTYPE_VLAN,
  type Ethernet,
  emitEthernet,
  parseEthernet,
} from './ethernet.ts';
import { emitGeneve, GENEVE_PORT, type Geneve, geneveLength, parseGeneve } from './geneve.ts';
import { emitGre, type Gre, greLength, parseGre } from './gre.ts';
import { emitIcmp, ICMP_CHECKSUM, ICMP_HEADER, type Icmp, parseIcmp } from './icmp.ts';
import { emitIgmp, IGMP_CHECKSUM, IGMP_HEADER, type Igmp, parseIgmp } from './igmp.ts';
import {
  emitIpv4,
  type Ipv4,
  ipv4HasL4,
  ipv4Length,
  PROTO_GRE,
  PROTO_ICMP,
  PROTO_ICMPV6,
  PROTO_IGMP,
  PROTO_SCTP,
  PROTO_TCP,
  PROTO_UDP,
  parseIpv4,
} from './ipv4.ts';
import {
  emitIpv6,
  emitIpv6Extension,
  emitIpv6Fragment,
  IPV6_FRAGMENT_HEADER,
  IPV6_HEADER,
  type Ipv6,
  type Ipv6Extension,
  type Ipv6Fragment,
  ipv6ExtensionLength,
  isIpv6Extension,
  NEXT_FRAGMENT,
  NEXT_NONE,
  parseIpv6,
  parseIpv6Extension,
  parseIpv6Fragment,
} from './ipv6.ts';
import {
  emitLlc,
  emitSnap,
  LLC_SAP_SNAP,
  type Llc,
  llcLength,
  parseLlc,
  parseSnap,
  SNAP_HEADER,
  type Snap,
} from './llc.ts';
import { Malformed, type Parsed } from './malformed.ts';
import { emitMpls, MPLS_HEADER, type Mpls, parseMpls } from './mpls.ts';
import { emitNd, type Nd, ndBodyLength, ndLength, parseNd } from './nd.ts';
import { emitSctp, parseSctp, SCTP_CHECKSUM, SCTP_HEADER, type Sctp } from './sctp.ts';
import { emitTcp, parseTcp, TCP_CHECKSUM, type Tcp, tcpLength } from './tcp.ts';
import { emitUdp, parseUdp, UDP_CHECKSUM, UDP_HEADER, type Udp } from './udp.ts';
import { emitVlan, isVlanType, parseVlan, VLAN_HEADER, type Vlan } from './vlan.ts';
import { emitVxlan, parseVxlan, VXLAN_HEADER, VXLAN_PORT, type Vxlan } from './vxlan.ts';

/**
 * Whole packets: a list of headers to bytes and back. For tests, tools and whatever makes packets of
 * its own; the datapath has its own parser (datapath/packet/extract.ts).
 */
export type Layer =
  | Ethernet
  | Llc
  | Snap
  | Vlan
  | Mpls
  | Arp
  | Ipv4
  | Ipv6
  | Ipv6Extension
  | Ipv6Fragment
  | Tcp
  | Udp
  | Sctp
  | Icmp
  | Nd
  | Igmp
  | Gre
  | Vxlan
  | Geneve
  | Dhcp
  | Bfd;

export interface Dissection {
  readonly layers: readonly Layer[];
  /** What no layer claimed. */
  readonly payload: Uint8Array;
  /** What ended the parse early; null: all is well. */
  readonly malformed: Malformed | null;
}

/** Protocol number of a payload of bytes (RFC 3692: experiments). */
const PROTO_EXPERIMENT = 253;
/** EtherType of a payload of bytes (IEEE 802: local experiments). */
export const ETHERTYPE_EXPERIMENT = 0x88b5;
/** Deeper packets are cut off, so that hostile ones cost no more. */
const MAX_LAYERS = 32;

type Kind = Layer['layer'] | 'payload';

// --- Bytes to layers ---------------------------------------------------------------------------------

/** Which parser is next, and what it needs to know of the layer in front. */
interface Next {
  readonly kind: Kind;
  readonly hint: number;
}
const PAYLOAD: Next = { kind: 'payload', hint: 0 };

function byEtherType(type: number): Next {
  if (isVlanType(type)) return { kind: 'vlan', hint: type };
  switch (type) {
    case ETHERTYPE_IPV4:
      return { kind: 'ipv4', hint: 0 };
    case ETHERTYPE_IPV6:
      return { kind: 'ipv6', hint: 0 };
    case ETHERTYPE_ARP:
    case ETHERTYPE_RARP:
      return { kind: 'arp', hint: 0 };
    case ETHERTYPE_MPLS:
    case ETHERTYPE_MPLS_MULTICAST:
      return { kind: 'mpls', hint: 0 };
    case ETHERTYPE_TEB:
      return { kind: 'eth', hint: 0 };
    default:
      return type < ETHERTYPE_MIN ? { kind: 'llc', hint: 0 } : PAYLOAD;
  }
}

function byProtocol(protocol: number): Next {
  if (isIpv6Extension(protocol)) return { kind: 'ipv6ext', hint: protocol };
  switch (protocol) {
    case PROTO_ICMP:
      return { kind: 'icmp', hint: 0 };
    case PROTO_IGMP:
      return { kind: 'igmp', hint: 0 };
    case PROTO_TCP:
      return { kind: 'tcp', hint: 0 };
    case PROTO_UDP:
      return { kind: 'udp', hint: 0 };
    case PROTO_SCTP:
      return { kind: 'sctp', hint: 0 };
    case PROTO_ICMPV6:
      return { kind: 'icmpv6', hint: 0 };
    case PROTO_GRE:
      return { kind: 'gre', hint: 0 };
    case NEXT_FRAGMENT:
      return { kind: 'ipv6frag', hint: 0 };
    default:
      return PAYLOAD;
  }
}

function byUdpPort(udp: Udp): Next {
  if (udp.dstPort === VXLAN_PORT) return { kind: 'vxlan', hint: 0 };
  if (udp.dstPort === GENEVE_PORT) return { kind: 'geneve', hint: 0 };
  if (udp.dstPort === BFD_PORT) return { kind: 'bfd', hint: 0 };
  const dhcp = [DHCP_SERVER_PORT, DHCP_CLIENT_PORT];
  if (dhcp.includes(udp.dstPort) && dhcp.includes(udp.srcPort)) return { kind: 'dhcp', hint: 0 };
  return PAYLOAD;
}

/** What stands behind a layer; `first` is the byte there. */
function nextOf(value: Layer, first: number | undefined, tunnels: boolean): Next {
  switch (value.layer) {
    case 'eth':
    case 'vlan':
      return byEtherType(value.type ?? 0);
    case 'llc':
      return value.dsap === LLC_SAP_SNAP && value.ssap === LLC_SAP_SNAP && value.control === 3
        ? { kind: 'snap', hint: 0 }
        : PAYLOAD;
    case 'snap':
      return value.oui === 0 && (value.type ?? 0) >= ETHERTYPE_MIN ? byEtherType(value.type ?? 0) : PAYLOAD;
    case 'mpls':
      if (!value.bos) return { kind: 'mpls', hint: 0 };
      if (first !== undefined && first >> 4 === 4) return { kind: 'ipv4', hint: 0 };
      return first !== undefined && first >> 4 === 6 ? { kind: 'ipv6', hint: 0 } : PAYLOAD;
    case 'ipv4':
      // IPv6's extension headers are none here.
      if (!ipv4HasL4(value) || isIpv6Extension(value.protocol ?? 0) || value.protocol === NEXT_FRAGMENT)
        return PAYLOAD;
      return byProtocol(value.protocol ?? 0);
    case 'ipv6':
    case 'ipv6ext':
      return byProtocol(value.nextHeader ?? NEXT_NONE);
    case 'ipv6frag':
      return value.offset === 0 ? byProtocol(value.nextHeader ?? NEXT_NONE) : PAYLOAD;
    case 'icmpv6':
      return value.code === 0 && ndBodyLength(value.type) >= 0 ? { kind: 'nd', hint: value.type } : PAYLOAD;
    case 'udp':
      return tunnels ? byUdpPort(value) : PAYLOAD;
    case 'gre':
    case 'geneve':
      return tunnels ? byEtherType(value.protocol ?? 0) : PAYLOAD;
    case 'vxlan':
      return { kind: 'eth', hint: 0 };
    default:
      return PAYLOAD;
  }
}

function parseLayer(next: Next, b: Uint8Array, at: number, end: number): Parsed<Layer> | Malformed {
  switch (next.kind) {
    case 'eth':
      return parseEthernet(b, at, end);
    case 'llc':
      return parseLlc(b, at, end);
    case 'snap':
      return parseSnap(b, at, end);
    case 'vlan':
      return parseVlan(b, at, end, next.hint);
    case 'mpls':
      return parseMpls(b, at, end);
    case 'arp':
      return parseArp(b, at, end);
    case 'ipv4':
      return parseIpv4(b, at, end);
    case 'ipv6':
      return parseIpv6(b, at, end);
    case 'ipv6ext':
      return parseIpv6Extension(b, at, end, next.hint);
    case 'ipv6frag':
      return parseIpv6Fragment(b, at, end);
    case 'tcp':
      return parseTcp(b, at, end);
    case 'udp':
      return parseUdp(b, at, end);
    case 'sctp':
      return parseSctp(b, at, end);
    case 'icmp':
    case 'icmpv6':
      return parseIcmp(b, at, end, next.kind);
    case 'nd':
      return parseNd(b, at, end, next.hint);
    case 'igmp':
      return parseIgmp(b, at, end);
    case 'gre':
      return parseGre(b, at, end);
    case 'vxlan':
      return parseVxlan(b, at, end);
    case 'geneve':
      return parseGeneve(b, at, end);
    case 'dhcp':
      return parseDhcp(b, at, end);
    case 'bfd':
      return parseBfd(b, at, end);
    case 'payload':
      return new Malformed('payload', 'has no header', at);
  }
}

/**
 * Takes a packet apart, as far as it is well-formed. Padding behind IP and 802.3 payloads is left out.
 * @param options.first the outermost header (default: Ethernet); `tunnels`: look into UDP's payload (VXLAN,
 *   Geneve, DHCP, BFD) and into GRE's
 */
export function dissectPacket(
  b: Uint8Array,
  options: { first?: 'eth' | 'ipv4' | 'ipv6' | 'arp' | 'mpls'; tunnels?: boolean } = {},
): Dissection {
  const layers: Layer[] = [];
  let next: Next = { kind: options.first ?? 'eth', hint: 0 };
  let at = 0;
  let end = b.length;
  while (next.kind !== 'payload' && layers.length < MAX_LAYERS) {
    const parsed = parseLayer(next, b, at, end);
    if (parsed instanceof Malformed) return { layers, payload: b.slice(at, end), malformed: parsed };
    layers.push(parsed.value);
    at = parsed.next;
    end = parsed.end;
    next = nextOf(parsed.value, at < end ? b[at] : undefined, options.tunnels ?? false);
  }
  return { layers, payload: b.slice(at, end), malformed: null };
}

// --- Layers to bytes ---------------------------------------------------------------------------------

function headerLength(value: Layer): number {
  switch (value.layer) {
    case 'eth':
      return ETHERNET_HEADER;
    case 'llc':
      return llcLength(value);
    case 'snap':
      return SNAP_HEADER;
    case 'vlan':
      return VLAN_HEADER;
    case 'mpls':
      return MPLS_HEADER;
    case 'arp':
      return ARP_LENGTH;
    case 'ipv4':
      return ipv4Length(value);
    case 'ipv6':
      return IPV6_HEADER;
    case 'ipv6ext':
      return ipv6ExtensionLength(value);
    case 'ipv6frag':
      return IPV6_FRAGMENT_HEADER;
    case 'tcp':
      return tcpLength(value);
    case 'udp':
      return UDP_HEADER;
    case 'sctp':
      return SCTP_HEADER;
    case 'icmp':
    case 'icmpv6':
      return ICMP_HEADER;
    case 'nd':
      return ndLength(value);
    case 'igmp':
      return IGMP_HEADER;
    case 'gre':
      return greLength(value);
    case 'vxlan':
      return VXLAN_HEADER;
    case 'geneve':
      return geneveLength(value);
    case 'dhcp':
      return dhcpLength(value);
    case 'bfd':
      return bfdLength(value);
  }
}

function etherTypeOf(next: Layer | undefined): number {
  switch (next?.layer) {
    case 'vlan':
      return next.tpid ?? ETHERTYPE_VLAN;
    case 'mpls':
      return ETHERTYPE_MPLS;
    case 'arp':
      return ETHERTYPE_ARP;
    case 'ipv4':
      return ETHERTYPE_IPV4;
    case 'ipv6':
      return ETHERTYPE_IPV6;
    case 'eth':
      return ETHERTYPE_TEB;
    default:
      return ETHERTYPE_EXPERIMENT;
  }
}

function protocolOf(next: Layer | undefined): number {
  switch (next?.layer) {
    case 'ipv6ext':
      return next.kind;
    case 'ipv6frag':
      return NEXT_FRAGMENT;
    case 'tcp':
      return PROTO_TCP;
    case 'udp':
      return PROTO_UDP;
    case 'sctp':
      return PROTO_SCTP;
    case 'icmp':
      return PROTO_ICMP;
    case 'icmpv6':
      return PROTO_ICMPV6;
    case 'igmp':
      return PROTO_IGMP;
    case 'gre':
      return PROTO_GRE;
    default:
      return PROTO_EXPERIMENT;
  }
}

/**
 * Writes one header with all that it leaves open filled in but the checksum.
 * @param end of the packet
 */
function emitLayer(value: Layer, next: Layer | undefined, b: Uint8Array, at: number, end: number): void {
  switch (value.layer) {
    case 'eth':
    case 'vlan': {
      const length = end - at - headerLength(value);
      const type = value.type ?? (next?.layer === 'llc' ? length : etherTypeOf(next));
      if (value.layer === 'eth') emitEthernet({ ...value, type }, b, at);
      else emitVlan({ ...value, type }, b, at);
      return;
    }
    case 'llc':
      emitLlc(value, b, at);
      return;
    case 'snap':
      emitSnap({ ...value, type: value.type ?? etherTypeOf(next) }, b, at);
      return;
    case 'mpls':
      emitMpls({ ...value, bos: value.bos ?? next?.layer !== 'mpls' }, b, at);
      return;
    case 'arp':
      emitArp(value, b, at);
      return;
    case 'ipv4':
      emitIpv4(
        {
          ...value,
          totalLength: value.totalLength ?? end - at,
          protocol: value.protocol ?? protocolOf(next),
        },
        b,
        at,
      );
      return;
    case 'ipv6': {
      const payloadLength = value.payloadLength ?? end - at - IPV6_HEADER;
      emitIpv6({ ...value, payloadLength, nextHeader: value.nextHeader ?? protocolOf(next) }, b, at);
      return;
    }
    case 'ipv6ext':
      emitIpv6Extension({ ...value, nextHeader: value.nextHeader ?? protocolOf(next) }, b, at);
      return;
    case 'ipv6frag':
      emitIpv6Fragment({ ...value, nextHeader: value.nextHeader ?? protocolOf(next) }, b, at);
      return;
    case 'tcp':
      emitTcp(value, b, at);
      return;
    case 'udp':
      emitUdp({ ...value, length: value.length ?? end - at }, b, at);
      return;
    case 'sctp':
      emitSctp(value, b, at);
      return;
    case 'icmp':
    case 'icmpv6':
      emitIcmp(value, b, at);
      return;
    case 'nd':
      emitNd(value, b, at);
      return;
    case 'igmp':
      emitIgmp(value, b, at);
      return;
    case 'gre':
      emitGre({ ...value, protocol: value.protocol ?? etherTypeOf(next) }, b, at);
      return;
    case 'vxlan':
      emitVxlan(value, b, at);
      return;
    case 'geneve':
      emitGeneve({ ...value, protocol: value.protocol ?? etherTypeOf(next) }, b, at);
      return;
    case 'dhcp':
      emitDhcp(value, b, at);
      return;
    case 'bfd':
      emitBfd(value, b, at);
      return;
  }
}

/** Fills in a checksum that the value leaves open. All behind it has been written. `ip`: place of the IP header, or -1. */
function fillChecksum(value: Layer, b: Uint8Array, at: number, end: number, ip: number): void {
  const overPseudoHeader = (protocol: number): number => {
    const sum = ip < 0 ? 0 : pseudoHeader(b, ip, protocol, end - at);
    return finish(addBytes(sum, b, at, end));
  };
  switch (value.layer) {
    case 'ipv4':
      if (value.checksum === undefined) put16(b, at + 10, checksum(b, at, at + ipv4Length(value)));
      return;
    case 'tcp':
      if (value.checksum === undefined) put16(b, at + TCP_CHECKSUM, overPseudoHeader(PROTO_TCP));
      return;
    case 'udp':
      if (value.checksum === undefined) put16(b, at + UDP_CHECKSUM, overPseudoHeader(PROTO_UDP) || 0xffff);
      return;
    case 'icmpv6':
      if (value.checksum === undefined) put16(b, at + ICMP_CHECKSUM, overPseudoHeader(PROTO_ICMPV6));
      return;
    case 'icmp':
      if (value.checksum === undefined) put16(b, at + ICMP_CHECKSUM, checksum(b, at, end));
      return;
    case 'igmp':
      if (value.checksum === undefined) put16(b, at + IGMP_CHECKSUM, checksum(b, at, end));
      return;
    case 'sctp':
      if (value.checksum === undefined) put32(b, at + SCTP_CHECKSUM, sctpChecksumWord(crc32c(b, at, end)));
      return;
    case 'gre':
      if (value.checksum === 0) put16(b, at + 4, checksum(b, at, end));
  }
}

/**
 * Puts a packet together: headers outermost first, then the payload. Lengths, checksums, EtherTypes,
 * protocol numbers and MPLS bottom-of-stack bits that the headers leave out are filled in; those that
 * they give are written as they are, right or wrong.
 */
export function buildPacket(layers: readonly Layer[], payload: Uint8Array = new Uint8Array(0)): Uint8Array {
  const places: number[] = [];
  let length = 0;
  for (const layer of layers) {
    places.push(length);
    length += headerLength(layer);
  }
  const end = length + payload.length;
  const b = new Uint8Array(end);
  b.set(payload, length);
  for (let i = layers.length - 1; i >= 0; i--) {
    let ip = i - 1;
    while (ip >= 0 && layers[ip].layer !== 'ipv4' && layers[ip].layer !== 'ipv6') ip--;
    emitLayer(layers[i], layers[i + 1], b, places[i], end);
    // The pseudo header comes from addresses that stand further out: write these first.
    if (ip >= 0) emitLayer(layers[ip], layers[ip + 1], b, places[ip], end);
    fillChecksum(layers[i], b, places[i], end, ip >= 0 ? places[ip] : -1);
  }
  return b;
}

/** Pads a frame with zeros to Ethernet's minimum of 60 bytes (without FCS). */
export function padFrame(frame: Uint8Array, minimum = 60): Uint8Array {
  if (frame.length >= minimum) return frame;
  const out = new Uint8Array(minimum);
  out.set(frame);
  return out;
}
