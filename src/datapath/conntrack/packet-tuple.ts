import { type Flow, FRAG_ANY, W_ETH_TYPE, W_NW } from '../../flow/layout.ts';
import { get16, get32 } from '../../wire/bytes.ts';
import { addBytes, checksum, finish, pseudoHeader } from '../../wire/checksum.ts';
import { ABSENT, type Packet } from '../packet/packet.ts';
import * as T from './tuple.ts';

/** What `readTuple` found. */
export const NO_TUPLE = 0;
export const OWN_TUPLE = 1;
/** The packet is an ICMP error; the tuple is that of the connection that it tells of, in the error's direction. */
export const RELATED_TUPLE = 2;

const TCP_HEADER = 20;
const UDP_HEADER = 8;
const ICMP_HEADER = 8;
/** What an ICMP error holds of L4 at least (RFC 792). */
const QUOTED_L4 = 8;

/**
 * Reads a packet's tuple into `t`. A packet that can't be tracked has none: it isn't whole (a fragment, too short), a
 * checksum is wrong, it has port 0, or is an ICMP message that belongs to no connection.
 *
 * @param key the packet's key, and its layer offsets, as extracted
 */
export function readTuple(packet: Packet, key: Flow, zone: number, t: T.Tuple): number {
  const type = key[W_ETH_TYPE] >>> 16;
  if (packet.l3 === ABSENT || packet.l4 === ABSENT || key[W_NW] >>> 24 !== 0) return NO_TUPLE;
  const b = packet.buffer;
  const ip = packet.start + packet.l3;
  const l4 = packet.start + packet.l4;
  const end = packet.end - packet.l2Pad;
  const protocol = key[W_NW] & 0xff;
  if (type === 0x0800) {
    // A device that leaves checksums to its driver has looked at the header's.
    if (packet.csumStart === ABSENT && checksum(b, ip, l4) !== 0) return NO_TUPLE;
    readAddresses4(b, ip, t);
    t[T.T_REST] = T.restOf(zone, 4, protocol);
  } else if (type === 0x86dd) {
    readAddresses6(b, ip, t);
    t[T.T_REST] = T.restOf(zone, 6, protocol);
  } else {
    return NO_TUPLE;
  }
  t[T.T_L4_SRC] = 0;
  t[T.T_L4_DST] = 0;
  switch (protocol) {
    case T.TCP: {
      if (end - l4 < TCP_HEADER) return NO_TUPLE;
      const header = (b[l4 + 12] >> 4) << 2;
      if (header < TCP_HEADER || header > end - l4) return NO_TUPLE;
      return l4ChecksumOk(packet, protocol, ip, l4, end) && readPorts(b, l4, t) ? OWN_TUPLE : NO_TUPLE;
    }
    case T.UDP: {
      if (end - l4 < UDP_HEADER) return NO_TUPLE;
      const length = get16(b, l4 + 4);
      if (length < UDP_HEADER || length > end - l4) return NO_TUPLE;
      const unchecked = type === 0x0800 && get16(b, l4 + 6) === 0;
      if (!unchecked && !l4ChecksumOk(packet, protocol, ip, l4, end)) return NO_TUPLE;
      return readPorts(b, l4, t) ? OWN_TUPLE : NO_TUPLE;
    }
    case T.ICMP:
      if (type !== 0x0800) return OWN_TUPLE;
      if (end - l4 < ICMP_HEADER || checksum(b, l4, end) !== 0) return NO_TUPLE;
      return isIcmpError(b[l4])
        ? readQuoted4(b, l4 + ICMP_HEADER, end, t)
        : readQuery(b, l4, T.reverseIcmpType, t);
    case T.ICMPV6:
      if (type !== 0x86dd) return OWN_TUPLE;
      if (end - l4 < ICMP_HEADER || !l4ChecksumOk(packet, protocol, ip, l4, end)) return NO_TUPLE;
      return isIcmp6Error(b[l4])
        ? readQuoted6(b, l4 + ICMP_HEADER, end, t)
        : readQuery(b, l4, T.reverseIcmp6Type, t);
    default:
      return OWN_TUPLE;
  }
}

/** Destination unreachable, source quench, redirect, time exceeded, parameter problem. */
const isIcmpError = (type: number): boolean =>
  type === 3 || type === 4 || type === 5 || type === 11 || type === 12;
/** Destination unreachable, packet too big, time exceeded, parameter problem. */
const isIcmp6Error = (type: number): boolean => type >= 1 && type <= 4;

function readAddresses4(b: Uint8Array, ip: number, t: T.Tuple): void {
  t[T.T_SRC] = get32(b, ip + 12);
  t[T.T_DST] = get32(b, ip + 16);
  for (let i = 1; i < 4; i++) {
    t[T.T_SRC + i] = 0;
    t[T.T_DST + i] = 0;
  }
}

function readAddresses6(b: Uint8Array, ip: number, t: T.Tuple): void {
  for (let i = 0; i < 8; i++) t[T.T_SRC + i] = get32(b, ip + 8 + 4 * i);
}

/** False: a port is 0, which no connection has. */
function readPorts(b: Uint8Array, l4: number, t: T.Tuple): boolean {
  t[T.T_L4_SRC] = get16(b, l4);
  t[T.T_L4_DST] = get16(b, l4 + 2);
  return t[T.T_L4_SRC] !== 0 && t[T.T_L4_DST] !== 0;
}

/** An ICMP query or its answer: its identifier makes the connection. */
function readQuery(b: Uint8Array, l4: number, reverseType: (type: number) => number, t: T.Tuple): number {
  const answer = reverseType(b[l4]);
  if (answer < 0 || b[l4 + 1] !== 0) return NO_TUPLE;
  const id = get16(b, l4 + 4) << 16;
  t[T.T_L4_SRC] = id | b[l4];
  t[T.T_L4_DST] = id | answer;
  return OWN_TUPLE;
}

/** The packet that an ICMP error quotes: its tuple, turned around, goes to `t`, which holds the error's addresses. */
function readQuoted4(b: Uint8Array, ip: number, end: number, t: T.Tuple): number {
  if (end - ip < 20) return NO_TUPLE;
  const header = (b[ip] & 15) << 2;
  if (header < 20 || end - ip < header || (get16(b, ip + 6) & 0x3fff) !== 0) return NO_TUPLE;
  // Whoever is told of an error must be who sent what caused it.
  if (get32(b, ip + 12) !== t[T.T_DST]) return NO_TUPLE;
  readAddresses4(b, ip, t);
  return readQuotedL4(b, ip + header, end, b[ip + 9], QUOTED_L4, t);
}

function readQuoted6(b: Uint8Array, ip: number, end: number, t: T.Tuple): number {
  if (end - ip < 40) return NO_TUPLE;
  const l4 = quotedTransport(b, ip, end);
  if (l4 === null) return NO_TUPLE;
  for (let i = 0; i < 4; i++) if (get32(b, ip + 8 + 4 * i) !== t[T.T_DST + i]) return NO_TUPLE;
  readAddresses6(b, ip, t);
  return readQuotedL4(b, l4.at, end, l4.protocol, l4.protocol === T.TCP ? TCP_HEADER : ICMP_HEADER, t);
}

/** Where L4 of a quoted IPv6 packet begins, behind its extension headers; null: it is a fragment, or cut off. */
export function quotedTransport(
  b: Uint8Array,
  ip: number,
  end: number,
): { at: number; protocol: number } | null {
  let protocol = b[ip + 6];
  let at = ip + 40;
  while (protocol === 0 || protocol === 43 || protocol === 60 || protocol === 51 || protocol === 44) {
    if (end - at < 8) return null;
    if (protocol === 44 && get16(b, at + 2) !== 0) return null;
    const length = protocol === 44 ? 8 : protocol === 51 ? (b[at + 1] + 2) * 4 : (b[at + 1] + 1) * 8;
    if (end - at < length) return null;
    protocol = b[at];
    at += length;
  }
  return { at, protocol };
}

function readQuotedL4(
  b: Uint8Array,
  l4: number,
  end: number,
  protocol: number,
  least: number,
  t: T.Tuple,
): number {
  const version = T.versionOf(t);
  t[T.T_REST] = T.restOf(T.zoneOf(t), version, protocol);
  if (protocol === T.TCP || protocol === T.UDP) {
    if (end - l4 < least || !readPorts(b, l4, t)) return NO_TUPLE;
  } else if (protocol === (version === 4 ? T.ICMP : T.ICMPV6)) {
    if (end - l4 < least) return NO_TUPLE;
    const reverseType = version === 4 ? T.reverseIcmpType : T.reverseIcmp6Type;
    if (readQuery(b, l4, reverseType, t) === NO_TUPLE) return NO_TUPLE;
  }
  T.reverse(t);
  return RELATED_TUPLE;
}

function l4ChecksumOk(packet: Packet, protocol: number, ip: number, l4: number, end: number): boolean {
  // One that the sender is still to finish is right by promise.
  if (packet.csumStart !== ABSENT) return true;
  const b = packet.buffer;
  return finish(addBytes(pseudoHeader(b, ip, protocol, end - l4), b, l4, end)) === 0;
}

/** True for a packet that is one of several fragments of another. */
export const isFragment = (key: Flow): boolean => ((key[W_NW] >>> 24) & FRAG_ANY) !== 0;
