import type { Flow } from '../../flow/layout.ts';
import { get16, get32, put16 } from '../../wire/bytes.ts';
import { fillIpv4Checksum } from '../../wire/checksum.ts';
import { ABSENT, Packet } from '../packet/packet.ts';

/*
 * Fragments of IP packets (RFC 791, RFC 8200 section 4.5), kept until all are there.
 *
 * Only the first fragment has ports, so no other can be tracked by itself. `ct` keeps fragments back; with the last that was
 * missing, the whole packet is tracked, and each fragment goes its way with the verdict, and with what translation made of
 * its bytes. Nobody downstream sees that they waited.
 *
 * Bounds: MOST fragments in all, MOST_OF_ONE of a packet, for LIFETIME. Those that overlap are thrown away with their packet
 * (RFC 5722), as are small ones that have others behind them: they serve to hide headers.
 */

const MOST = 1000;
const MOST_OF_ONE = 64;
/** Milliseconds. */
const LIFETIME = 15_000;
/** Bytes of an IP packet that has others behind it, at least. */
const LEAST_V4 = 1200;
const LEAST_V6 = 1280;

/** A fragment that waits, with what its datapath needs to go on with it. */
export interface Fragment<Rest> {
  readonly packet: Packet;
  readonly key: Flow;
  readonly rest: Rest;
  /** Place of its bytes in the whole's. */
  readonly offset: number;
  /** Where in the packet they begin, and how many there are. */
  readonly at: number;
  readonly length: number;
}

/** All fragments of a packet, in their order, and the packet. */
export interface Gathered<Rest> {
  readonly whole: Packet;
  /** Where in the whole the first fragment's bytes begin. */
  readonly at: number;
  readonly fragments: readonly Fragment<Rest>[];
}

interface Waiting<Rest> {
  readonly until: number;
  readonly fragments: Fragment<Rest>[];
  /** Bytes of the whole; -1: the last is missing. */
  total: number;
}

/** Where a fragment stands in its packet. */
interface Place {
  readonly name: string;
  readonly offset: number;
  readonly more: boolean;
  /** Of its bytes, and of what follows them, in the packet. */
  readonly at: number;
  readonly end: number;
}

export class Fragments<Rest> {
  readonly #packets = new Map<string, Waiting<Rest>>();
  /** Packets that were whole, the oldest first, with their connections. */
  readonly #done = new Map<string, Packet>();
  #count = 0;

  /** Fragments that wait. */
  get count(): number {
    return this.#count;
  }

  /**
   * Takes a fragment, whose layer offsets are as extracted.
   *
   * @param site zone and place where it waits: there it meets the others
   * @returns all fragments of its packet, where it was the last that was missing; 'kept': others are; 'unfit': it is none
   * that may wait
   */
  take(packet: Packet, key: Flow, site: string, now: number, rest: Rest): Gathered<Rest> | 'kept' | 'unfit' {
    this.#expire(now);
    const place = placeOf(packet, site);
    if (place === null) return 'unfit';
    const length = place.end - place.at;
    let waiting = this.#packets.get(place.name);
    if (this.#count >= MOST || (waiting?.fragments.length ?? 0) >= MOST_OF_ONE) return 'unfit';
    if (waiting === undefined) {
      waiting = { until: now + LIFETIME, fragments: [], total: -1 };
      this.#packets.set(place.name, waiting);
    }
    const { fragments } = waiting;
    const { offset } = place;
    const index = fragments.findIndex((each) => each.offset > offset);
    const next = index < 0 ? fragments.length : index;
    const before = fragments[next - 1];
    const after = fragments[next];
    if (before !== undefined && before.offset === offset && before.length === length) return 'kept';
    const overlaps =
      (before !== undefined && before.offset + before.length > offset) ||
      (after !== undefined && offset + length > after.offset) ||
      (waiting.total >= 0 && offset + length > waiting.total) ||
      (!place.more && (waiting.total >= 0 || after !== undefined));
    if (overlaps) {
      this.#forget(place.name, waiting);
      return 'unfit';
    }
    fragments.splice(next, 0, {
      packet: packet.clone(),
      key: key.slice(),
      rest,
      offset,
      at: place.at,
      length,
    });
    this.#count++;
    if (!place.more) waiting.total = offset + length;
    if (!complete(waiting)) return 'kept';
    this.#forget(place.name, waiting);
    return put(fragments, waiting.total);
  }

  /** Keeps in mind what connection the packet of a fragment was found to belong to. */
  remember(fragment: Packet, zone: number, whole: Packet): void {
    const name = placeOf(fragment, String(zone))?.name;
    if (name === undefined) return;
    this.#done.delete(name);
    const kept = new Packet(new Uint8Array(0));
    kept.copyConnection(whole);
    this.#done.set(name, kept);
    if (this.#done.size > MOST) this.#done.delete(this.#done.keys().next().value ?? '');
  }

  /** A fragment that has lost its connection on its way through the slow path gets it back. */
  recall(fragment: Packet, zone: number): void {
    const place = placeOf(fragment, String(zone));
    const known = place === null ? undefined : this.#done.get(place.name);
    if (known !== undefined) fragment.copyConnection(known);
  }

  #forget(name: string, waiting: Waiting<Rest>): void {
    this.#packets.delete(name);
    this.#count -= waiting.fragments.length;
  }

  /** In the order in which they came, packets end. */
  #expire(now: number): void {
    for (const [name, waiting] of this.#packets) {
      if (waiting.until > now) return;
      this.#forget(name, waiting);
    }
  }
}

function complete<Rest>({ fragments, total }: Waiting<Rest>): boolean {
  if (total < 0) return false;
  let have = 0;
  for (const each of fragments) {
    if (each.offset !== have) return false;
    have += each.length;
  }
  return have === total;
}

function placeOf(packet: Packet, site: string): Place | null {
  const b = packet.buffer;
  const ip = packet.start + packet.l3;
  if (packet.l3 === ABSENT || packet.csumStart !== ABSENT) return null;
  const end = packet.length - packet.l2Pad;
  const v4 = b[ip] >> 4 === 4;
  const fragment = v4 ? packet.l3 + ((b[ip] & 15) << 2) : fragmentHeader(packet, end);
  if (fragment < 0) return null;
  const word = v4 ? get16(b, ip + 6) : get16(b, packet.start + fragment + 2);
  const offset = v4 ? (word & 0x1fff) << 3 : word & 0xfff8;
  const more = v4 ? (word & 0x2000) !== 0 : (word & 1) !== 0;
  const at = v4 ? fragment : fragment + 8;
  const length = end - at;
  if (length <= 0 || offset + length > 0xffff - 40) return null;
  if (more && (length % 8 !== 0 || end - packet.l3 < (v4 ? LEAST_V4 : LEAST_V6))) return null;
  const id = v4 ? get16(b, ip + 4) : get32(b, packet.start + fragment + 4);
  const addresses = v4 ? b.subarray(ip + 12, ip + 20) : b.subarray(ip + 8, ip + 40);
  const name = `${site} ${id} ${v4 ? b[ip + 9] : 'v6'} ${addresses.join()}`;
  return { name, offset, more, at, end };
}

/** Where in an IPv6 packet the fragment header is; -1: nowhere. */
function fragmentHeader(packet: Packet, end: number): number {
  const b = packet.buffer;
  let next = b[packet.start + packet.l3 + 6];
  let at = packet.l3 + 40;
  while (next !== 44) {
    if ((next !== 0 && next !== 43 && next !== 60) || end - at < 8) return -1;
    const here = packet.start + at;
    next = b[here];
    at += (b[here + 1] + 1) * 8;
  }
  return end - at < 8 ? -1 : at;
}

/** Puts the packet together, out of the first fragment's headers and the bytes of all. */
function put<Rest>(fragments: readonly Fragment<Rest>[], total: number): Gathered<Rest> {
  const { packet: first, at: from } = fragments[0];
  const v4 = first.buffer[first.start + first.l3] >> 4 === 4;
  const at = v4 ? from : from - 8;
  const whole = Packet.copyOf(new Uint8Array(at + total));
  const b = whole.buffer;
  b.set(first.buffer.subarray(first.start, first.start + at), whole.start);
  for (const { packet, at: begin, offset, length } of fragments) {
    const start = packet.start + begin;
    b.set(packet.buffer.subarray(start, start + length), whole.start + at + offset);
  }
  whole.packetType = first.packetType;
  const ip = whole.start + first.l3;
  if (v4) {
    put16(b, ip + 2, at - first.l3 + total);
    put16(b, ip + 6, get16(b, ip + 6) & 0x4000);
    fillIpv4Checksum(b, ip);
  } else {
    put16(b, ip + 4, at - first.l3 - 40 + total);
    // What named the fragment header names what stood behind it.
    let field = ip + 6;
    for (let header = ip + 40; b[field] !== 44; header += (b[header + 1] + 1) * 8) field = header;
    b[field] = first.buffer[first.start + at];
  }
  return { whole, at, fragments };
}

/** Gives fragments the addresses and bytes that their packet has now, of the same lengths. */
export function takeApart<Rest>({ whole, at, fragments }: Gathered<Rest>): void {
  for (const { packet, at: begin, offset, length } of fragments) {
    const b = packet.buffer;
    const ip = packet.start + packet.l3;
    const now = whole.start + whole.l3;
    const v4 = b[ip] >> 4 === 4;
    b.set(whole.buffer.subarray(now + (v4 ? 12 : 8), now + (v4 ? 20 : 40)), ip + (v4 ? 12 : 8));
    if (v4) fillIpv4Checksum(b, ip);
    const from = whole.start + at + offset;
    b.set(whole.buffer.subarray(from, from + length), packet.start + begin);
  }
}
