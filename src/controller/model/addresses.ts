/** Addresses and networks as objects of the API carry them: read, judged, and put in their canonical text. */
import { formatIpv4, formatIpv6, parseIpv4Address, parseIpv6Address } from '../../wire/address.ts';

export interface Ip {
  readonly family: 4 | 6;
  readonly bytes: Uint8Array;
  /** RFC 5952 for IPv6. */
  readonly text: string;
}

export interface Network {
  /** The address as it was given, host bits and all. */
  readonly address: Ip;
  readonly length: number;
  /** The address with its host bits cleared. */
  readonly base: Ip;
}

/** Undefined: no address. */
export function parseIp(text: string): Ip | undefined {
  const v4 = parseIpv4Address(text);
  if (v4 !== null) return { family: 4, bytes: v4, text: formatIpv4(v4) };
  const v6 = text.includes(':') ? parseIpv6Address(text) : null;
  return v6 === null ? undefined : { family: 6, bytes: v6, text: formatIpv6(v6) };
}

function ipOf(bytes: Uint8Array): Ip {
  return bytes.length === 4
    ? { family: 4, bytes, text: formatIpv4(bytes) }
    : { family: 6, bytes, text: formatIpv6(bytes) };
}

/** "ADDRESS/LENGTH", or an address alone, which is a network of one. Undefined: neither. */
export function parseNetwork(text: string): Network | undefined {
  const [head, tail, ...rest] = text.split('/');
  const address = parseIp(head);
  if (address === undefined || rest.length > 0) return undefined;
  const bits = address.bytes.length * 8;
  if (tail !== undefined && !/^(0|[1-9][0-9]{0,2})$/.test(tail)) return undefined;
  const length = tail === undefined ? bits : Number(tail);
  if (length > bits) return undefined;
  return { address, length, base: ipOf(masked(address.bytes, length)) };
}

function masked(bytes: Uint8Array, length: number): Uint8Array {
  return bytes.map((byte, i) => byte & (0xff << Math.max(0, Math.min(8, 8 * (i + 1) - length))));
}

/** Whether `ip` is in the network. */
export function contains(network: Network, ip: Ip): boolean {
  if (network.base.family !== ip.family) return false;
  return masked(ip.bytes, network.length).every((byte, i) => byte === network.base.bytes[i]);
}

export function overlap(a: Network, b: Network): boolean {
  return a.length <= b.length ? contains(a, b.base) : contains(b, a.base);
}

/** Why no single machine can have this address; undefined if one can. */
export function notUnicast({ family, bytes }: Ip): string | undefined {
  if (bytes.every((byte) => byte === 0)) return 'is the unspecified address';
  if (family === 4) {
    if (bytes[0] === 0) return 'is in 0.0.0.0/8, which means this network';
    if (bytes[0] === 127) return 'is a loopback address';
    if (bytes[0] >= 224 && bytes[0] < 240) return 'is a multicast address';
    if (bytes.every((byte) => byte === 255)) return 'is the broadcast address';
    return undefined;
  }
  if (bytes[0] === 0xff) return 'is a multicast address';
  if (bytes.subarray(0, 15).every((byte) => byte === 0) && bytes[15] === 1) return 'is the loopback address';
  return undefined;
}

/** Why no host of the network can have the network's address; undefined if one can. */
export function notHost({ address, length }: Network): string | undefined {
  const bad = notUnicast(address);
  if (bad !== undefined) return bad;
  const hostBits = address.bytes.length * 8 - length;
  // RFC 3021 and RFC 6164: networks of two, and of one, have no addresses of their own.
  if (hostBits < 2) return undefined;
  const low = address.bytes.map(
    (byte, i) => byte & ~masked(new Uint8Array(address.bytes.length).fill(255), length)[i],
  );
  if (low.every((byte) => byte === 0)) {
    return address.family === 4
      ? 'is the address of the network itself'
      : 'is the Subnet-Router anycast address (RFC 4291, section 2.6.1)';
  }
  if (address.family === 6) return undefined;
  const ones = masked(new Uint8Array(4).fill(255), length).map((byte) => ~byte & 255);
  return low.every((byte, i) => byte === ones[i]) ? 'is the broadcast address of its network' : undefined;
}

/** Why no machine can have this MAC address (in lower case); undefined if one can. */
export function notUnicastMac(mac: string): string | undefined {
  if (mac === '00:00:00:00:00:00') return 'is the zero address';
  if (mac === 'ff:ff:ff:ff:ff:ff') return 'is the broadcast address';
  return (Number.parseInt(mac.slice(0, 2), 16) & 1) === 1 ? 'is a multicast address' : undefined;
}
