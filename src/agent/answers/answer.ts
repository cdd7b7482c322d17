/**
 * Packets that answer others: resets of TCP connections (RFC 9293, 3.10.7.1) and ICMP errors (RFC 792, RFC 4443). The kinds
 * are those of `src/logical/flow-words.ts`.
 *
 * What must not be answered is not (RFC 1122, 3.2.2; RFC 4443, 2.4): ICMP errors, resets, fragments but the first, and
 * what has a group or no proper address at either end.
 */
import type { AnswerKind } from '../../logical/flow-words.ts';
import {
  buildPacket,
  dissectPacket,
  ETHERNET_HEADER,
  type Ethernet,
  get16,
  ICMP_REDIRECT,
  ICMP_TIME_EXCEEDED,
  ICMP_UNREACHABLE,
  ICMPV6_TIME_EXCEEDED,
  ICMPV6_UNREACHABLE,
  type Ipv4,
  type Ipv6,
  type Layer,
  TCP_ACK,
  TCP_FIN,
  TCP_RST,
  TCP_SYN,
  type Tcp,
  type Vlan,
} from '../../wire/index.ts';

/** The router's own addresses; undefined or zeros: it has none. */
export interface RouterAddresses {
  readonly ipv4: Uint8Array | undefined;
  readonly ipv6: Uint8Array | undefined;
}

interface IcmpError {
  readonly type: number;
  readonly code: number;
}

const REJECT_TTL = 255;
const ERROR_TTL = 64;
/** RFC 1812, 4.3.2.3; RFC 4443, 2.4 (c): an error is no longer than this. */
const MAX_ERROR4 = 576;
const MAX_ERROR6 = 1280;
const IPV4_HEADER = 20;
const IPV6_HEADER = 40;
const ICMP_HEADER = 8;
const ICMP_SOURCE_QUENCH = 4;
const ICMP_PARAMETER_PROBLEM = 12;
/** ICMPv6 types below are errors. */
const ICMPV6_FIRST_INFORMATION = 128;

const ERRORS4: Readonly<Record<AnswerKind, IcmpError>> = {
  reject: { type: ICMP_UNREACHABLE, code: 10 },
  'ttl-exceeded': { type: ICMP_TIME_EXCEEDED, code: 0 },
  'no-route': { type: ICMP_UNREACHABLE, code: 0 },
  'no-neighbor': { type: ICMP_UNREACHABLE, code: 1 },
};
const ERRORS6: Readonly<Record<AnswerKind, IcmpError>> = {
  reject: { type: ICMPV6_UNREACHABLE, code: 1 },
  'ttl-exceeded': { type: ICMPV6_TIME_EXCEEDED, code: 0 },
  'no-route': { type: ICMPV6_UNREACHABLE, code: 0 },
  'no-neighbor': { type: ICMPV6_UNREACHABLE, code: 3 },
};
const ICMP_ERROR_TYPES: ReadonlySet<number> = new Set([
  ICMP_UNREACHABLE,
  ICMP_SOURCE_QUENCH,
  ICMP_REDIRECT,
  ICMP_TIME_EXCEEDED,
  ICMP_PARAMETER_PROBLEM,
]);

const isZero = (b: Uint8Array): boolean => b.every((byte) => byte === 0);
const isGroupMac = (mac: Uint8Array): boolean => (mac[0] & 1) !== 0;

/** Whether an address is one host's. */
function isHost(address: Uint8Array): boolean {
  if (isZero(address)) return false;
  if (address.length === 4) return address[0] < 224 && address[0] !== 127 && address[0] !== 0;
  return address[0] !== 0xff;
}

/** A packet, as far as an answer needs it. */
interface Question {
  readonly link: readonly (Ethernet | Vlan)[];
  readonly ip: Ipv4 | Ipv6;
  /** Where the IP header begins, and where the packet ends. */
  readonly start: number;
  readonly end: number;
  readonly inner: Layer | undefined;
  /** Bytes behind the transport header. */
  readonly payload: Uint8Array;
}

/** undefined: nothing that may be answered. */
function read(packet: Uint8Array): Question | undefined {
  const { layers, payload } = dissectPacket(packet);
  const at = layers.findIndex((l) => l.layer === 'ipv4' || l.layer === 'ipv6');
  const ip = layers[at];
  if (ip === undefined || (ip.layer !== 'ipv4' && ip.layer !== 'ipv6')) return undefined;
  const link: (Ethernet | Vlan)[] = [];
  let start = 0;
  for (const layer of layers.slice(0, at)) {
    if (layer.layer !== 'eth' && layer.layer !== 'vlan') return undefined;
    link.push(layer);
    start += layer.layer === 'eth' ? ETHERNET_HEADER : 4;
  }
  const [eth] = link;
  if (eth?.layer !== 'eth' || isGroupMac(eth.dst) || isGroupMac(eth.src)) return undefined;
  if (!isHost(ip.src) || !isHost(ip.dst)) return undefined;
  if (ip.layer === 'ipv4' && ip.fragmentOffset > 0) return undefined;
  const length = ip.layer === 'ipv4' ? get16(packet, start + 2) : IPV6_HEADER + get16(packet, start + 4);
  const rest = layers.slice(at + 1);
  if (rest.some((l) => l.layer === 'ipv6frag' && l.offset > 0)) return undefined;
  const inner = rest.find((l) => l.layer !== 'ipv6ext' && l.layer !== 'ipv6frag');
  return { link, ip, start, end: Math.min(packet.length, start + length), inner, payload };
}

function isIcmpError(inner: Layer | undefined): boolean {
  if (inner?.layer === 'icmp') return ICMP_ERROR_TYPES.has(inner.type);
  return inner?.layer === 'icmpv6' && inner.type < ICMPV6_FIRST_INFORMATION;
}

/** The link headers of an answer. */
function back(link: Question['link']): Layer[] {
  return link.map((l) =>
    l.layer === 'eth' ? { layer: 'eth', src: l.dst, dst: l.src } : { ...l, type: undefined },
  );
}

function ipBack(ip: Ipv4 | Ipv6, ttl: number, source: Uint8Array): Layer {
  if (ip.layer === 'ipv6')
    return {
      layer: 'ipv6',
      trafficClass: 0,
      label: 0,
      hopLimit: ttl,
      src: source,
      dst: ip.src,
    };
  return {
    layer: 'ipv4',
    tos: 0,
    id: 0,
    dontFragment: true,
    moreFragments: false,
    fragmentOffset: 0,
    ttl,
    src: source,
    dst: ip.src,
    options: new Uint8Array(0),
  };
}

function reset(tcp: Tcp, payload: Uint8Array): Tcp | undefined {
  if ((tcp.flags & TCP_RST) !== 0) return undefined;
  const acked = (tcp.flags & TCP_ACK) !== 0;
  const length =
    payload.length + ((tcp.flags & TCP_SYN) !== 0 ? 1 : 0) + ((tcp.flags & TCP_FIN) !== 0 ? 1 : 0);
  return {
    layer: 'tcp',
    srcPort: tcp.dstPort,
    dstPort: tcp.srcPort,
    seq: acked ? tcp.ack : 0,
    ack: acked ? 0 : (tcp.seq + length) >>> 0,
    flags: acked ? TCP_RST : TCP_RST | TCP_ACK,
    window: 0,
    urgent: 0,
    options: new Uint8Array(0),
  };
}

/** The answer to a packet; undefined: there is none. */
export function answerTo(
  kind: AnswerKind,
  packet: Uint8Array,
  router: RouterAddresses,
): Uint8Array | undefined {
  const question = read(packet);
  if (question === undefined) return undefined;
  const { link, ip, inner, payload, start, end } = question;
  if (kind === 'reject' && inner?.layer === 'tcp') {
    const tcp = reset(inner, payload);
    return tcp === undefined ? undefined : buildPacket([...back(link), ipBack(ip, REJECT_TTL, ip.dst), tcp]);
  }
  if (isIcmpError(inner)) return undefined;
  const six = ip.layer === 'ipv6';
  const source = kind === 'reject' ? ip.dst : six ? router.ipv6 : router.ipv4;
  if (source === undefined || isZero(source)) return undefined;
  const { type, code } = (six ? ERRORS6 : ERRORS4)[kind];
  const room = six ? MAX_ERROR6 - IPV6_HEADER - ICMP_HEADER : MAX_ERROR4 - IPV4_HEADER - ICMP_HEADER;
  return buildPacket(
    [
      ...back(link),
      ipBack(ip, kind === 'reject' ? REJECT_TTL : ERROR_TTL, source),
      { layer: six ? 'icmpv6' : 'icmp', type, code, rest: 0 },
    ],
    packet.subarray(start, Math.min(end, start + room)),
  );
}
