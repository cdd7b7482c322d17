import {
  type Flow,
  FRAG_ANY,
  FRAG_LATER,
  N_MPLS,
  N_VLANS,
  PT_ETH,
  VLAN_CFI,
  W_ARP_HA,
  W_ETH,
  W_ETH_TYPE,
  W_IGMP_GROUP,
  W_IPV6_DST,
  W_IPV6_LABEL,
  W_IPV6_SRC,
  W_MPLS,
  W_ND_TARGET,
  W_NW,
  W_NW_DST,
  W_NW_SRC,
  W_PACKET_TYPE,
  W_TCP_FLAGS,
  W_TP,
  W_VLAN,
} from '../../flow/layout.ts';
import { put16, put32 } from '../../wire/bytes.ts';
import {
  addBytes,
  checksum,
  fillIpv4Checksum,
  finish,
  pseudoHeader4,
  pseudoHeader6,
} from '../../wire/checksum.ts';
import { DL_TYPE_NONE } from './extract.ts';

/**
 * From a flow key to a packet that `extractFlow` reads as that key: what `netdev-dummy/receive` and
 * `ofproto/trace --generate` make of a flow text. What the key does not say (identification, sequence
 * numbers, windows, SCTP's checksum) is 0; lengths and checksums are right.
 */
export interface ComposeOptions {
  /**
   * L7 bytes, or how many to make up (0, 1, 2, ...), for TCP without SYN, FIN, RST, for UDP and for
   * echo messages. Default: 64.
   */
  readonly payload?: Uint8Array | number;
  /**
   * Length that the frame shall have, filled up with zeros (in place of `payload`).
   */
  readonly length?: number;
}

/** Longest payload that is made up. */
const MAX_PAYLOAD = 64000;

/**
 * The packet's bytes; null where `length` is given and the headers alone take more.
 */
export function composePacket(flow: Flow, options: ComposeOptions = {}): Uint8Array | null {
  const payload = options.length === undefined ? payloadOf(options.payload ?? 64) : new Uint8Array(0);
  const writer = new Writer();
  const headers = composeHeaders(writer, flow, payload);
  if (options.length !== undefined) {
    if (writer.length > options.length) return null;
    writer.zeros(options.length - writer.length);
  }
  finishLengths(writer, flow, headers, options.length !== undefined);
  return writer.bytes();
}

function payloadOf(payload: Uint8Array | number): Uint8Array {
  if (typeof payload !== 'number') return payload;
  const bytes = new Uint8Array(Math.min(Math.max(0, payload), MAX_PAYLOAD));
  for (let i = 0; i < bytes.length; i++) bytes[i] = i;
  return bytes;
}

/** Bytes that grow at the end. */
class Writer {
  buffer = new Uint8Array(256);
  length = 0;

  /** Appends `size` zero bytes and returns where they are. */
  zeros(size: number): number {
    const at = this.length;
    if (at + size > this.buffer.length) {
      const bigger = new Uint8Array(Math.max(2 * this.buffer.length, at + size));
      bigger.set(this.buffer.subarray(0, at));
      this.buffer = bigger;
    }
    this.length = at + size;
    return at;
  }

  word(value: number): void {
    const at = this.zeros(4);
    put32(this.buffer, at, value);
  }

  half(value: number): void {
    const at = this.zeros(2);
    put16(this.buffer, at, value);
  }

  append(bytes: Uint8Array): void {
    const at = this.zeros(bytes.length);
    this.buffer.set(bytes, at);
  }

  bytes(): Uint8Array {
    return this.buffer.slice(0, this.length);
  }
}

/** Where the headers are; -1: there is none. */
interface Headers {
  etherType: number;
  l3: number;
  l4: number;
  protocol: number;
}

function composeHeaders(w: Writer, flow: Flow, payload: Uint8Array): Headers {
  const headers: Headers = { etherType: -1, l3: -1, l4: -1, protocol: 0 };
  const type = flow[W_ETH_TYPE] >>> 16;
  const ethernet = flow[W_PACKET_TYPE] === PT_ETH;
  const etherType = ethernet ? type : flow[W_PACKET_TYPE] & 0xffff;
  if (ethernet) {
    for (let i = 0; i < 3; i++) w.word(flow[W_ETH + i]);
    for (let i = 0; i < N_VLANS; i++) {
      const tag = flow[W_VLAN + i];
      if ((tag & VLAN_CFI) === 0) continue;
      w.half(tag >>> 16 || 0x8100);
      w.half(tag & 0xffff & ~VLAN_CFI);
    }
    headers.etherType = w.length;
    w.half(etherType);
    if (etherType === DL_TYPE_NONE) {
      put16(w.buffer, headers.etherType, w.length);
      return headers;
    }
  }
  headers.l3 = w.length;
  if (etherType === 0x0800) {
    composeIpv4(w, flow, headers, payload);
  } else if (etherType === 0x86dd) {
    composeIpv6(w, flow, headers, payload);
  } else if (etherType === 0x0806 || etherType === 0x8035) {
    composeArp(w, flow);
  } else if (etherType === 0x8847 || etherType === 0x8848) {
    for (let i = 0; i < N_MPLS; i++) {
      w.word(flow[W_MPLS + i]);
      if ((flow[W_MPLS + i] & 0x100) !== 0) break;
    }
  }
  return headers;
}

function composeIpv4(w: Writer, flow: Flow, headers: Headers, payload: Uint8Array): void {
  const nw = flow[W_NW];
  const fragment = nw >>> 24;
  const at = w.zeros(20);
  const b = w.buffer;
  b[at] = 0x45;
  b[at + 1] = nw >>> 16;
  if ((fragment & FRAG_ANY) !== 0) put16(b, at + 6, 0x2000 | ((fragment & FRAG_LATER) !== 0 ? 100 : 0));
  b[at + 8] = nw >>> 8;
  b[at + 9] = nw;
  put32(b, at + 12, flow[W_NW_SRC]);
  put32(b, at + 16, flow[W_NW_DST]);
  headers.l4 = w.length;
  headers.protocol = (fragment & FRAG_LATER) !== 0 ? -1 : nw & 0xff;
  composeL4(w, flow, headers.protocol, payload);
}

function composeIpv6(w: Writer, flow: Flow, headers: Headers, payload: Uint8Array): void {
  const nw = flow[W_NW];
  const fragment = nw >>> 24;
  w.word((0x60000000 | (((nw >>> 16) & 0xff) << 20) | (flow[W_IPV6_LABEL] & 0xfffff)) >>> 0);
  const at = w.zeros(4);
  w.buffer[at + 2] = (fragment & FRAG_ANY) !== 0 ? 44 : nw;
  w.buffer[at + 3] = nw >>> 8;
  for (let i = 0; i < 4; i++) w.word(flow[W_IPV6_SRC + i]);
  for (let i = 0; i < 4; i++) w.word(flow[W_IPV6_DST + i]);
  if ((fragment & FRAG_ANY) !== 0) {
    const later = (fragment & FRAG_LATER) !== 0;
    const header = w.zeros(8);
    w.buffer[header] = later ? 59 : nw;
    put16(w.buffer, header + 2, (later ? 100 << 3 : 0) | 1);
  }
  headers.l4 = w.length;
  headers.protocol = (fragment & FRAG_LATER) !== 0 ? -1 : nw & 0xff;
  composeL4(w, flow, headers.protocol, payload);
}

function composeArp(w: Writer, flow: Flow): void {
  const at = w.zeros(28);
  const b = w.buffer;
  put16(b, at, 1);
  put16(b, at + 2, 0x0800);
  b[at + 4] = 6;
  b[at + 5] = 4;
  put16(b, at + 6, flow[W_NW] & 0xff);
  put32(b, at + 8, flow[W_ARP_HA]);
  put16(b, at + 12, flow[W_ARP_HA + 1] >>> 16);
  put32(b, at + 14, flow[W_NW_SRC]);
  put16(b, at + 18, flow[W_ARP_HA + 1] & 0xffff);
  put32(b, at + 20, flow[W_ARP_HA + 2]);
  put32(b, at + 24, flow[W_NW_DST]);
}

function composeL4(w: Writer, flow: Flow, protocol: number, payload: Uint8Array): void {
  const tp = flow[W_TP];
  switch (protocol) {
    case 6: {
      const flags = flow[W_TCP_FLAGS] >>> 16;
      w.word(tp);
      w.zeros(8);
      w.half(0x5000 | (flags & 0xfff));
      w.zeros(6);
      if ((flags & 0x7) === 0) w.append(payload);
      return;
    }
    case 17:
      w.word(tp);
      w.zeros(4);
      w.append(payload);
      return;
    case 132:
      w.word(tp);
      w.zeros(8);
      return;
    case 1:
      w.half(((tp >>> 8) & 0xff00) | (tp & 0xff));
      w.zeros(6);
      if (tp === 8 << 16 || tp === 0) w.append(payload);
      return;
    case 2:
      w.half(((tp >>> 8) & 0xff00) | (tp & 0xff));
      w.zeros(2);
      w.word(flow[W_IGMP_GROUP]);
      return;
    case 58:
      w.half(((tp >>> 8) & 0xff00) | (tp & 0xff));
      w.zeros(2);
      w.word(flow[W_IGMP_GROUP]);
      if (tp === 135 << 16 || tp === 136 << 16) composeNd(w, flow);
      else if (tp === 128 << 16 || tp === 129 << 16) w.append(payload);
  }
}

function composeNd(w: Writer, flow: Flow): void {
  for (let i = 0; i < 4; i++) w.word(flow[W_ND_TARGET + i]);
  const [high, middle, low] = flow.subarray(W_ARP_HA, W_ARP_HA + 3);
  if (high !== 0 || middle >>> 16 !== 0) {
    w.half(0x0101);
    w.word(high);
    w.half(middle >>> 16);
  }
  if ((middle & 0xffff) !== 0 || low !== 0) {
    w.half(0x0201);
    w.half(middle & 0xffff);
    w.word(low);
  }
}

/** Writes the lengths and checksums, now that all bytes are there. */
function finishLengths(w: Writer, flow: Flow, headers: Headers, expanded: boolean): void {
  const b = w.buffer;
  const { l3, l4, protocol } = headers;
  if (l4 < 0) {
    if (expanded && headers.etherType >= 0 && flow[W_ETH_TYPE] >>> 16 === DL_TYPE_NONE) {
      put16(b, headers.etherType, w.length);
    }
    return;
  }
  const size = w.length - l4;
  const version4 = b[l3] >> 4 === 4;
  if (version4) {
    put16(b, l3 + 2, w.length - l3);
    fillIpv4Checksum(b, l3);
  } else {
    put16(b, l3 + 4, w.length - l3 - 40);
  }
  if (protocol === 17 && size >= 8) put16(b, l4 + 4, size);
  const field =
    protocol === 6 ? 16 : protocol === 17 ? 6 : protocol === 58 || protocol === 1 || protocol === 2 ? 2 : -1;
  if (field < 0 || size < field + 2) return;
  if (protocol === 1 || protocol === 2) {
    put16(b, l4 + field, checksum(b, l4, w.length));
    return;
  }
  const pseudo = version4 ? pseudoHeader4(b, l3, protocol, size) : pseudoHeader6(b, l3, protocol, size);
  const sum = finish(addBytes(pseudo, b, l4, w.length));
  put16(b, l4 + field, protocol === 17 && sum === 0 ? 0xffff : sum);
}
