/** Packets for the connection tracker, drawn at random around a few hosts, so that they meet. */
import { addBytes, checksum, finish, pseudoHeader } from '../../../src/wire/checksum.ts';

export interface Draw {
  /** Below `n`. */
  int(n: number): number;
  chance(probability: number): boolean;
}

/** mulberry32. */
export function draws(seed: number): Draw {
  let state = seed | 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return { int: (n) => Math.floor(next() * n), chance: (p) => next() < p };
}

export const pick = <T>(draw: Draw, of: readonly T[]): T => of[draw.int(of.length)];
export const half = (n: number): number[] => [(n >>> 8) & 255, n & 255];
export const word = (n: number): number[] => [...half(n >>> 16), ...half(n)];

/** The last byte of an address: hosts 1 and 2 are clients, behind port 1; 3 and 4 servers, behind port 2. */
export type Host = number;

export function address(host: Host, v6: boolean): number[] {
  return v6 ? [0xfd, ...new Array<number>(14).fill(0), host] : [10, 1, 1, host];
}

export function ip(
  src: readonly number[],
  dst: readonly number[],
  protocol: number,
  payload: readonly number[],
): number[] {
  if (src.length === 16) {
    return [0x60, 0, 0, 0, ...half(payload.length), protocol, 64, ...src, ...dst, ...payload];
  }
  const header = [0x45, 0, ...half(20 + payload.length), 0, 1, 0, 0, 64, protocol, 0, 0, ...src, ...dst];
  const sum = checksum(Uint8Array.from(header), 0, 20);
  header[10] = sum >>> 8;
  header[11] = sum & 255;
  return [...header, ...payload];
}

/** Puts the L4 checksum, which covers the pseudo header, at offset `at` of what follows the IP header. */
export function sealed(packet: number[], v6: boolean, protocol: number, at: number, pseudo = true): number[] {
  const b = Uint8Array.from(packet);
  const l4 = v6 ? 40 : 20;
  const start = pseudo ? pseudoHeader(b, 0, protocol, b.length - l4) : 0;
  const sum = finish(addBytes(start, b, l4, b.length));
  const field = protocol === 17 && sum === 0 ? 0xffff : sum;
  b[l4 + at] = field >>> 8;
  b[l4 + at + 1] = field & 255;
  return [...b];
}

export function frame(packet: readonly number[], v6: boolean): Uint8Array {
  const bytes = [2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 8, ...(v6 ? [0x86, 0xdd] : [8, 0]), ...packet];
  return Uint8Array.from(bytes);
}

interface Peer {
  seq: number;
}

/** A packet in fragments of `size` bytes, their order kept. */
function cut(packet: readonly number[], v6: boolean, id: number, size: number): number[][] {
  const header = packet.slice(0, v6 ? 40 : 20);
  const body = packet.slice(header.length);
  const parts: number[][] = [];
  for (let at = 0; at < body.length; at += size) {
    const data = body.slice(at, at + size);
    const more = at + size < body.length ? 1 : 0;
    if (v6) {
      const part = [...header, header[6], 0, ...half(at | more), ...word(id), ...data];
      part[6] = 44;
      part.splice(4, 2, ...half(8 + data.length));
      parts.push(part);
      continue;
    }
    const part = [...header, ...data];
    part.splice(2, 6, ...half(20 + data.length), ...half(id), ...half((at >> 3) | (more << 13)));
    part.splice(10, 2, 0, 0);
    part.splice(10, 2, ...half(checksum(Uint8Array.from(part), 0, 20)));
    parts.push(part);
  }
  return parts;
}

/** What the generator remembers, so that numbers mostly fit. */
export class Traffic {
  readonly #draw: Draw;
  readonly #peers = new Map<string, Peer>();
  readonly #queue: { port: 1 | 2; packet: Uint8Array }[] = [];
  /** IP packets that came out, for ICMP errors to quote: of each port. */
  readonly quotable: [number[][], number[][]] = [[], []];
  /** Addresses that answers may be sent to beside the hosts': those of NAT. */
  readonly aliases: readonly Host[];

  /** Whether some packets come in fragments. */
  readonly fragments: boolean;

  constructor(draw: Draw, aliases: readonly Host[], fragments: boolean) {
    this.#draw = draw;
    this.fragments = fragments;
    this.aliases = aliases;
  }

  /** Fragments are under way: time should not pass. */
  get underway(): boolean {
    return this.#queue.length > 0;
  }

  /** A packet for port 1 or 2. */
  next(): { port: 1 | 2; packet: Uint8Array } {
    const draw = this.#draw;
    if (this.#queue.length > 0 && draw.chance(0.7))
      return this.#queue.splice(draw.int(this.#queue.length), 1)[0];
    const port = draw.chance(0.55) ? 1 : 2;
    const v6 = draw.chance(0.25);
    const near = port === 1 ? [1, 2] : [3, 4];
    const far = port === 1 ? [3, 4] : [1, 2];
    const src = pick(draw, near);
    const dst = pick(draw, draw.chance(0.3) ? this.aliases.concat(far) : far);
    const kind = draw.int(10);
    const [s, d] = [address(src, v6), address(dst, v6)];
    let packet: number[];
    if (kind < 5) packet = this.#tcp(port, src, dst, v6);
    else if (kind < 7) packet = this.#udp(s, d, port, v6);
    else if (kind < 8) packet = this.#icmp(s, d, v6);
    else if (kind < 9) packet = this.#error(s, port, v6) ?? this.#udp(s, d, port, v6);
    else packet = ip(s, d, pick(draw, [132, 47, 2]), [0, 7, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 9]);
    if (this.fragments && this.#queue.length === 0 && draw.chance(0.05)) {
      packet = this.#long(s, d, port, v6);
      for (const part of cut(
        packet,
        v6,
        draw.int(65536),
        (v6 ? [1240, 1400, 1440] : [1208, 1400, 1480])[draw.int(3)],
      )) {
        this.#queue.push({ port, packet: frame(part, v6) });
      }
      return this.#queue.splice(draw.int(this.#queue.length), 1)[0];
    }
    if (draw.chance(0.02)) packet[packet.length - 1] ^= 0x55;
    if (draw.chance(0.01)) packet = packet.slice(0, -3);
    return { port, packet: frame(packet, v6) };
  }

  #ports(port: 1 | 2): [number, number] {
    const draw = this.#draw;
    const client = draw.chance(0.02) ? 0 : 1000 + draw.int(2);
    const server = 80 + draw.int(2);
    return port === 1 ? [client, server] : [server, client];
  }

  #tcp(port: 1 | 2, src: Host, dst: Host, v6: boolean): number[] {
    const draw = this.#draw;
    const [sport, dport] = this.#ports(port);
    const client = port === 1 ? sport : dport;
    const mine = this.#peer(`${port} ${client} ${v6}`);
    const theirs = this.#peer(`${3 - port} ${client} ${v6}`);
    const wild = draw.chance(0.12);
    const usual =
      port === 1 ? [0x02, 0x02, 0x10, 0x10, 0x18, 0x11, 0x04] : [0x12, 0x12, 0x10, 0x10, 0x18, 0x11, 0x14];
    // What ends a translated connection leaves its translation with stock, for a while, and it is nobody else's.
    const flags = (wild ? draw.int(64) : pick(draw, usual)) & (this.aliases.length > 0 ? ~5 : ~0);
    const length = draw.chance(0.5) ? 0 : draw.int(40);
    const off = draw.chance(0.1) ? pick(draw, [-1, 1, 70_000, -70_000, 2 ** 31, 5_000_000]) : 0;
    const ackOff = draw.chance(0.1) ? pick(draw, [-1, 1, 70_000, -70_000, 2 ** 30]) : 0;
    const ack = draw.chance(0.05) ? 0 : theirs.seq + ackOff;
    const window = pick(draw, [0, 1, 500, 29_200, 65_535]);
    const options = (flags & 2) !== 0 && draw.chance(0.6) ? [1, 3, 3, draw.int(16), 2, 4, 5, 0xb4] : [];
    const header = [
      ...half(sport),
      ...half(dport),
      ...word(mine.seq + off),
      ...word((flags & 0x10) !== 0 ? ack : 0),
      ((20 + options.length) / 4) << 4,
      flags,
      ...half(window),
      0,
      0,
      0,
      0,
      ...options,
    ];
    if (off === 0) mine.seq += length + ((flags & 3) !== 0 ? 1 : 0);
    const packet = ip(address(src, v6), address(dst, v6), 6, [
      ...header,
      ...new Array<number>(length).fill(0x41),
    ]);
    return sealed(packet, v6, 6, 16);
  }

  #peer(name: string): Peer {
    let peer = this.#peers.get(name);
    if (peer === undefined || this.#draw.chance(0.03)) {
      peer = { seq: this.#draw.int(2 ** 32) };
      this.#peers.set(name, peer);
    }
    return peer;
  }

  #udp(src: number[], dst: number[], port: 1 | 2, v6: boolean): number[] {
    const draw = this.#draw;
    const [sport, dport] = this.#ports(port);
    const length = draw.int(20);
    const stated = draw.chance(0.03) ? draw.int(60) : 8 + length;
    const packet = ip(src, dst, 17, [
      ...half(sport),
      ...half(dport),
      ...half(stated),
      0,
      0,
      ...new Array<number>(length).fill(0x42),
    ]);
    return draw.chance(0.1) ? packet : sealed(packet, v6, 17, 6);
  }

  /** UDP or ICMP that no wire takes whole. */
  #long(src: number[], dst: number[], port: 1 | 2, v6: boolean): number[] {
    const draw = this.#draw;
    const data = Array.from({ length: 1500 + draw.int(3000) }, () => draw.int(256));
    if (draw.chance(0.4)) {
      const body = [v6 ? 128 : 8, 0, 0, 0, 0, draw.int(2), 0, 1, ...data];
      return sealed(ip(src, dst, v6 ? 58 : 1, body), v6, 58, 2, v6);
    }
    const [sport, dport] = this.#ports(port);
    const body = [...half(sport), ...half(dport), ...half(8 + data.length), 0, 0, ...data];
    return sealed(ip(src, dst, 17, body), v6, 17, 6);
  }

  #icmp(src: number[], dst: number[], v6: boolean): number[] {
    const draw = this.#draw;
    const type = v6 ? pick(draw, [128, 128, 129, 135, 1]) : pick(draw, [8, 8, 0, 13, 14, 15, 16, 17]);
    const code = draw.chance(0.05) ? 1 : 0;
    const body = [type, code, 0, 0, ...half(draw.int(2)), 0, 1, ...new Array<number>(draw.int(30)).fill(7)];
    return sealed(ip(src, dst, v6 ? 58 : 1, body), v6, 58, 2, v6);
  }

  /** An error about a packet that came out of the port where it goes in; null: there was none. */
  #error(src: number[], port: 1 | 2, v6: boolean): number[] | null {
    const draw = this.#draw;
    // Stock puts a TCP checksum into what the ICMPv6 error quotes, when it translates its addresses.
    if (v6 && this.aliases.length > 0) return null;
    const seen = this.quotable[port - 1].filter((each) => each[0] >> 4 === (v6 ? 6 : 4));
    if (seen.length === 0) return null;
    const quoted = pick(draw, seen.slice(-20)).slice(0, 600);
    const cut = draw.chance(0.2) ? quoted.slice(0, v6 ? 60 : 28 - (draw.chance(0.3) ? 1 : 0)) : quoted;
    const to = v6 ? quoted.slice(8, 24) : quoted.slice(12, 16);
    const type = v6 ? pick(draw, [1, 2, 3, 4]) : pick(draw, [3, 11, 12, 5]);
    const dst = draw.chance(0.1) ? address(4, v6) : to;
    return sealed(ip(src, dst, v6 ? 58 : 1, [type, 1, 0, 0, 0, 0, 0, 0, ...cut]), v6, 58, 2, v6);
  }
}
