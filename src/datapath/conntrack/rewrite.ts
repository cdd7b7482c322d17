import { get16, get32, put16, put32 } from '../../wire/bytes.ts';
import { addBytes, checksum, finish, pseudoHeader6, update32 } from '../../wire/checksum.ts';
import { checksumField, pseudoHeaderChanged } from '../packet/edit.ts';
import type { Packet } from '../packet/packet.ts';
import { quotedTransport } from './packet-tuple.ts';
import * as T from './tuple.ts';

/**
 * Gives a packet the addresses and ports that the other side of its connection expects: the tuple at `w[at..]`, turned
 * around, since that is what answers to this packet look like.
 *
 * @param source true: its source changes; false: its destination does
 * @param related the packet is an ICMP error; what it quotes is changed too, the other way
 */
export function translate(
  packet: Packet,
  w: Uint32Array,
  at: number,
  source: boolean,
  related: boolean,
): void {
  const ip = packet.start + packet.l3;
  const outer: Place = { packet, ip, l4: packet.l4, protocol: 0 };
  const v4 = packet.buffer[ip] >> 4 === 4;
  const protocol = related ? (v4 ? T.ICMP : T.ICMPV6) : w[at + T.T_REST] & 0xff;
  outer.protocol = protocol;
  setAddress(outer, source, w, at + (source ? T.T_DST : T.T_SRC));
  if (related) translateQuoted(packet, w, at, source);
  else setPorts(outer, (w[at + T.T_L4_DST] << 16) | w[at + T.T_L4_SRC]);
}

/** Headers in a packet, its own or those that an ICMP error quotes. */
interface Place {
  readonly packet: Packet;
  /** In the buffer. */
  readonly ip: number;
  /** Of the packet. */
  readonly l4: number;
  protocol: number;
}

const bytesAfter = ({ packet, l4 }: Place): number => packet.length - packet.l2Pad - l4;

function setAddress(place: Place, source: boolean, w: Uint32Array, at: number): void {
  const { packet, ip } = place;
  const b = packet.buffer;
  const field = checksumField(place.protocol, bytesAfter(place));
  if (b[ip] >> 4 === 4) {
    const where = ip + (source ? 12 : 16);
    const [old, next] = [get32(b, where), w[at]];
    if (old === next) return;
    put32(b, where, next);
    put16(b, ip + 10, update32(get16(b, ip + 10), old, next));
    if (place.protocol !== T.ICMPV6) covered(place, field, old, next);
    return;
  }
  for (let i = 0; i < 4; i++) {
    const where = ip + (source ? 8 : 24) + 4 * i;
    const [old, next] = [get32(b, where), w[at + i]];
    if (old === next) continue;
    put32(b, where, next);
    covered(place, field, old, next);
  }
}

/** Tells the L4 checksum that a word of the pseudo header changed. */
function covered(place: Place, field: number, old: number, next: number): void {
  if (field < 0) return;
  const { packet } = place;
  const l4 = packet.l4;
  packet.l4 = place.l4;
  pseudoHeaderChanged(packet, field, old, next);
  packet.l4 = l4;
}

/** Source port (16) | destination port (16) of TCP and UDP. */
function setPorts(place: Place, next: number): void {
  const { packet, protocol } = place;
  if (protocol !== T.TCP && protocol !== T.UDP) return;
  const b = packet.buffer;
  const l4 = packet.start + place.l4;
  const old = get32(b, l4);
  if (old === next >>> 0) return;
  put32(b, l4, next);
  const field = checksumField(protocol, bytesAfter(place));
  if (field < 0) return;
  // An unfinished checksum does not cover the ports yet.
  if (packet.csumStart === place.l4 && packet.csumOffset === field) return;
  const sum = get16(b, l4 + field);
  if (protocol === T.TCP) put16(b, l4 + field, update32(sum, old, next));
  else if (sum !== 0) put16(b, l4 + field, update32(sum, old, next) || 0xffff);
}

/** What an ICMP error quotes went the other way, so it is what it was translated from. Its tuple was read: it is whole. */
function translateQuoted(packet: Packet, w: Uint32Array, at: number, source: boolean): void {
  const b = packet.buffer;
  const icmp = packet.start + packet.l4;
  const end = packet.end - packet.l2Pad;
  const ip = icmp + 8;
  const v4 = b[ip] >> 4 === 4;
  const l4 = v4 ? ip + ((b[ip] & 15) << 2) : quotedTransport(b, ip, end)?.at;
  if (l4 === undefined) return;
  const inner: Place = { packet, ip, l4: l4 - packet.start, protocol: w[at + T.T_REST] & 0xff };
  setPorts(inner, (w[at + T.T_L4_SRC] << 16) | w[at + T.T_L4_DST]);
  setAddress(inner, !source, w, at + (source ? T.T_DST : T.T_SRC));
  put16(b, icmp + 2, 0);
  const outer = packet.start + packet.l3;
  const sum = v4
    ? checksum(b, icmp, end)
    : finish(addBytes(pseudoHeader6(b, outer, T.ICMPV6, end - icmp), b, icmp, end));
  put16(b, icmp + 2, sum);
}
