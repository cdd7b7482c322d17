import { WeftError } from '../base/errors.ts';
import { parseIpv4Address, parseIpv6Address, parseMacAddress } from './address.ts';
import type { Arp } from './arp.ts';
import type { Ethernet } from './ethernet.ts';
import type { Icmp } from './icmp.ts';
import type { Ipv4 } from './ipv4.ts';
import type { Ipv6 } from './ipv6.ts';
import type { Mpls } from './mpls.ts';
import type { Nd } from './nd.ts';
import type { Sctp } from './sctp.ts';
import { TCP_SYN, type Tcp } from './tcp.ts';
import type { Udp } from './udp.ts';
import type { Vlan } from './vlan.ts';

/**
 * Short ways to write headers down, with ordinary values for what does not matter:
 *
 *     buildPacket([eth('02:00:00:00:00:01', '02:00:00:00:00:02'), ipv4('10.0.0.1', '10.0.0.2'), udp(1, 2)], payload)
 */

function need(bytes: Uint8Array | null, what: string, text: string): Uint8Array {
  if (bytes === null) throw new WeftError('bad-address', `"${text}" is not ${what}`);
  return bytes;
}

/** @throws WeftError `bad-address` */
export function mac(text: string): Uint8Array {
  return need(parseMacAddress(text), 'an Ethernet address (as 02:00:00:00:00:01)', text);
}

/** 4 or 16 bytes. @throws WeftError `bad-address` */
export function ip(text: string): Uint8Array {
  return need(text.includes(':') ? parseIpv6Address(text) : parseIpv4Address(text), 'an IP address', text);
}

export function eth(src: string, dst: string, type?: number): Ethernet {
  return { layer: 'eth', src: mac(src), dst: mac(dst), type };
}

export function vlan(vid: number, more: Partial<Vlan> = {}): Vlan {
  return { layer: 'vlan', pcp: 0, dei: false, vid, ...more };
}

export function mpls(label: number, more: Partial<Mpls> = {}): Mpls {
  return { layer: 'mpls', label, tc: 0, ttl: 64, ...more };
}

export function arp(op: number, sha: string, spa: string, tha: string, tpa: string): Arp {
  return { layer: 'arp', op, sha: mac(sha), spa: ip(spa), tha: mac(tha), tpa: ip(tpa) };
}

export function ipv4(src: string, dst: string, more: Partial<Ipv4> = {}): Ipv4 {
  return {
    layer: 'ipv4',
    tos: 0,
    id: 0,
    dontFragment: false,
    moreFragments: false,
    fragmentOffset: 0,
    ttl: 64,
    src: ip(src),
    dst: ip(dst),
    options: new Uint8Array(0),
    ...more,
  };
}

export function ipv6(src: string, dst: string, more: Partial<Ipv6> = {}): Ipv6 {
  return { layer: 'ipv6', trafficClass: 0, label: 0, hopLimit: 64, src: ip(src), dst: ip(dst), ...more };
}

export function tcp(srcPort: number, dstPort: number, more: Partial<Tcp> = {}): Tcp {
  return {
    layer: 'tcp',
    srcPort,
    dstPort,
    seq: 0,
    ack: 0,
    flags: TCP_SYN,
    window: 65535,
    urgent: 0,
    options: new Uint8Array(0),
    ...more,
  };
}

export function udp(srcPort: number, dstPort: number, more: Partial<Udp> = {}): Udp {
  return { layer: 'udp', srcPort, dstPort, ...more };
}

export function sctp(srcPort: number, dstPort: number, more: Partial<Sctp> = {}): Sctp {
  return { layer: 'sctp', srcPort, dstPort, tag: 0, ...more };
}

export function icmp(type: number, code = 0, rest = 0): Icmp {
  return { layer: 'icmp', type, code, rest };
}

export function icmpv6(type: number, code = 0, rest = 0): Icmp {
  return { layer: 'icmpv6', type, code, rest };
}

/** Neighbor solicitation or advertisement body: target, and link-layer address options. */
export function nd(target: string, options: { source?: string; target?: string } = {}): Nd {
  const list = [];
  if (options.source !== undefined) list.push({ type: 1, data: mac(options.source) });
  if (options.target !== undefined) list.push({ type: 2, data: mac(options.target) });
  return { layer: 'nd', body: ip(target), options: list };
}
