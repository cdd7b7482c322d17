/**
 * IP addresses, routes and neighbours of the host (rtnetlink(7)). Addresses are bytes: 4 for IPv4, 16 for
 * IPv6.
 */
import { WeftError } from '../../base/errors.ts';
import { Attributes, type NetlinkMessage, NLM_F_CREATE, NLM_F_REPLACE, PayloadBuilder } from './message.ts';
import type { NetlinkSocket } from './socket.ts';

export const RTM_NEWADDR = 20;
export const RTM_DELADDR = 21;
const RTM_GETADDR = 22;
export const RTM_NEWROUTE = 24;
export const RTM_DELROUTE = 25;
const RTM_GETROUTE = 26;
export const RTM_NEWNEIGH = 28;
export const RTM_DELNEIGH = 29;
const RTM_GETNEIGH = 30;

const AF_INET = 2;
const AF_INET6 = 10;

const IFADDR_SIZE = 8;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;

const RTMSG_SIZE = 12;
const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_PREFSRC = 7;
const RTA_MULTIPATH = 9;
const RTA_TABLE = 15;
const RTA_MARK = 16;
const RTN_UNICAST = 1;
const RTN_LOCAL = 2;
const RT_TABLE_MAIN = 254;
const RTPROT_STATIC = 4;
const RT_SCOPE_LINK = 253;

const NDMSG_SIZE = 12;
const NDA_DST = 1;
const NDA_LLADDR = 2;
export const NUD_REACHABLE = 0x02;
export const NUD_STALE = 0x04;
export const NUD_FAILED = 0x20;
export const NUD_PERMANENT = 0x80;

/** An address of a device. */
export interface Address {
  readonly ifindex: number;
  readonly address: Uint8Array;
  readonly prefix: number;
  /** RT_SCOPE_*: 0 global, 253 link, 254 host. */
  readonly scope: number;
}

/** A route. */
export interface Route {
  readonly family: 'ipv4' | 'ipv6';
  /** Where to; all zeros with `prefix` 0 for a default route. */
  readonly destination: Uint8Array;
  readonly prefix: number;
  /** Next hop; undefined: the destination is on the link. */
  readonly gateway: Uint8Array | undefined;
  /** Device; 0: none (a blackhole, or several next hops). */
  readonly ifindex: number;
  /** The source address that the host prefers on it. */
  readonly source: Uint8Array | undefined;
  /** 254 main, 255 local. */
  readonly table: number;
  /** Lower wins. */
  readonly metric: number;
  /** Packet mark that it asks for; 0: none. */
  readonly mark: number;
  /** Whether it leads to the host itself. */
  readonly local: boolean;
}

/** What the host knows of a neighbour's Ethernet address. */
export interface Neighbour {
  readonly ifindex: number;
  readonly address: Uint8Array;
  /** Undefined while unresolved. */
  readonly mac: Uint8Array | undefined;
  /** NUD_* bits. */
  readonly state: number;
}

const familyNumber = (address: Uint8Array): number => {
  if (address.length === 4) return AF_INET;
  if (address.length === 16) return AF_INET6;
  throw new WeftError('bad-address', `IP address of ${address.length} bytes: 4 or 16 needed`);
};

const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Reads RTM_NEWADDR or RTM_DELADDR; undefined for families other than IP. */
export function parseAddress({ payload }: NetlinkMessage): Address | undefined {
  const view = viewOf(payload);
  if (payload[0] !== AF_INET && payload[0] !== AF_INET6) return undefined;
  const a = new Attributes(payload, IFADDR_SIZE);
  // On a point-to-point device IFA_ADDRESS is the other end.
  const address = a.bytes(IFA_LOCAL) ?? a.bytes(IFA_ADDRESS);
  if (address === undefined) return undefined;
  return {
    ifindex: view.getUint32(4, true),
    address: address.slice(),
    prefix: payload[1],
    scope: payload[3],
  };
}

/** Reads RTM_NEWROUTE or RTM_DELROUTE; undefined for families other than IP. Of several next hops, the first. */
export function parseRoute({ payload }: NetlinkMessage): Route | undefined {
  const family = payload[0];
  if (family !== AF_INET && family !== AF_INET6) return undefined;
  const a = new Attributes(payload, RTMSG_SIZE);
  let hop = a;
  let ifindex = a.u32(RTA_OIF) ?? 0;
  const several = a.bytes(RTA_MULTIPATH);
  if (several !== undefined && several.length >= 8) {
    // `struct rtnexthop`: length, flags, hops, device, then attributes.
    ifindex = viewOf(several).getUint32(4, true);
    hop = new Attributes(several.subarray(0, viewOf(several).getUint16(0, true)), 8);
  }
  return {
    family: family === AF_INET ? 'ipv4' : 'ipv6',
    destination: (a.bytes(RTA_DST) ?? new Uint8Array(family === AF_INET ? 4 : 16)).slice(),
    prefix: payload[1],
    gateway: hop.bytes(RTA_GATEWAY)?.slice(),
    ifindex,
    source: a.bytes(RTA_PREFSRC)?.slice(),
    table: a.u32(RTA_TABLE) ?? payload[4],
    metric: a.u32(RTA_PRIORITY) ?? 0,
    mark: a.u32(RTA_MARK) ?? 0,
    local: payload[7] === RTN_LOCAL,
  };
}

/** Reads RTM_NEWNEIGH or RTM_DELNEIGH; undefined for families other than IP. */
export function parseNeighbour({ payload }: NetlinkMessage): Neighbour | undefined {
  if (payload[0] !== AF_INET && payload[0] !== AF_INET6) return undefined;
  const view = viewOf(payload);
  const a = new Attributes(payload, NDMSG_SIZE);
  const address = a.bytes(NDA_DST);
  if (address === undefined) return undefined;
  return {
    ifindex: view.getInt32(4, true),
    address: address.slice(),
    mac: a.bytes(NDA_LLADDR)?.slice(),
    state: view.getUint16(8, true),
  };
}

const present = <T>(value: T | undefined): value is T => value !== undefined;

/** Addresses, routes and neighbours of the namespace in which the socket was opened. */
export class IpConfiguration {
  private readonly netlink: NetlinkSocket;

  constructor(netlink: NetlinkSocket) {
    this.netlink = netlink;
  }

  addresses(): Address[] {
    return this.netlink
      .dump(RTM_GETADDR, new Uint8Array(IFADDR_SIZE), 'list addresses')
      .map(parseAddress)
      .filter(present);
  }

  /** Gives a device an address; one that it has already gets the new prefix. */
  addAddress(ifindex: number, address: Uint8Array, prefix: number): void {
    this.changeAddress(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, ifindex, address, prefix, 'add');
  }

  removeAddress(ifindex: number, address: Uint8Array, prefix: number): void {
    this.changeAddress(RTM_DELADDR, 0, ifindex, address, prefix, 'remove');
  }

  private changeAddress(
    type: number,
    flags: number,
    ifindex: number,
    address: Uint8Array,
    prefix: number,
    verb: string,
  ): void {
    const head = new Uint8Array(IFADDR_SIZE);
    head[0] = familyNumber(address);
    head[1] = prefix;
    viewOf(head).setUint32(4, ifindex, true);
    const payload = new PayloadBuilder()
      .raw(head)
      .attribute(IFA_LOCAL, address)
      .attribute(IFA_ADDRESS, address);
    this.netlink.request(type, flags, payload.finish(), `${verb} address of link ${ifindex}`);
  }

  routes(): Route[] {
    return [AF_INET, AF_INET6].flatMap((family) => {
      const head = new Uint8Array(RTMSG_SIZE);
      head[0] = family;
      return this.netlink.dump(RTM_GETROUTE, head, 'list routes').map(parseRoute).filter(present);
    });
  }

  /** Adds a static route to the main table, or replaces the one to the same destination with the same metric. */
  addRoute(
    destination: Uint8Array,
    prefix: number,
    to: { ifindex?: number; gateway?: Uint8Array; metric?: number },
  ): void {
    const payload = this.routeHead(destination, prefix, to.gateway === undefined);
    if (to.ifindex !== undefined) payload.u32(RTA_OIF, to.ifindex);
    if (to.gateway !== undefined) payload.attribute(RTA_GATEWAY, to.gateway);
    if (to.metric !== undefined) payload.u32(RTA_PRIORITY, to.metric);
    this.netlink.request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, payload.finish(), 'add route');
  }

  removeRoute(destination: Uint8Array, prefix: number): void {
    const payload = this.routeHead(destination, prefix, true);
    this.netlink.request(RTM_DELROUTE, 0, payload.finish(), 'remove route');
  }

  private routeHead(destination: Uint8Array, prefix: number, onLink: boolean): PayloadBuilder {
    const family = familyNumber(destination);
    const scope = onLink && family === AF_INET ? RT_SCOPE_LINK : 0;
    const head = Uint8Array.of(
      family,
      prefix,
      0,
      0,
      RT_TABLE_MAIN,
      RTPROT_STATIC,
      scope,
      RTN_UNICAST,
      0,
      0,
      0,
      0,
    );
    return new PayloadBuilder().raw(head).attribute(RTA_DST, destination);
  }

  neighbours(): Neighbour[] {
    return this.netlink
      .dump(RTM_GETNEIGH, new Uint8Array(NDMSG_SIZE), 'list neighbours')
      .map(parseNeighbour)
      .filter(present);
  }

  /** Tells the host a neighbour's Ethernet address, for good unless `state` says otherwise. */
  addNeighbour(ifindex: number, address: Uint8Array, mac: Uint8Array, state: number = NUD_PERMANENT): void {
    const payload = this.neighbourHead(ifindex, address, state).attribute(NDA_LLADDR, mac);
    this.netlink.request(
      RTM_NEWNEIGH,
      NLM_F_CREATE | NLM_F_REPLACE,
      payload.finish(),
      `add neighbour on link ${ifindex}`,
    );
  }

  removeNeighbour(ifindex: number, address: Uint8Array): void {
    const payload = this.neighbourHead(ifindex, address, 0).finish();
    this.netlink.request(RTM_DELNEIGH, 0, payload, `remove neighbour on link ${ifindex}`);
  }

  private neighbourHead(ifindex: number, address: Uint8Array, state: number): PayloadBuilder {
    const head = new Uint8Array(NDMSG_SIZE);
    const view = viewOf(head);
    head[0] = familyNumber(address);
    view.setInt32(4, ifindex, true);
    view.setUint16(8, state, true);
    return new PayloadBuilder().raw(head).attribute(NDA_DST, address);
  }
}
