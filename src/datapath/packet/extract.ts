import {
  type Flow,
  FRAG_ANY,
  FRAG_LATER,
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
  W_ND_OPTIONS,
  W_ND_TARGET,
  W_NSH,
  W_NSH_CONTEXT,
  W_NSH_PATH,
  W_NW,
  W_NW_DST,
  W_NW_SRC,
  W_PACKET_TYPE,
  W_TCP_FLAGS,
  W_TP,
  W_VLAN,
} from '../../flow/layout.ts';
import { ABSENT, type Packet } from './packet.ts';

/**
 * From a packet's bytes to its flow key.
 *
 * What a truncated or malformed packet yields is decided header by header: each either stands in the
 * key as a whole or is absent, and nothing behind a bad one is read. Lengths that the headers state are
 * believed only as far as bytes are there. Fragments but the first have no L4; an unknown EtherType or
 * an 802.3 frame without SNAP ends with the link layer. These are the semantics of Open vSwitch's flow
 * extraction (ovs-fields(7)), which OpenFlow controllers rely on.
 *
 * Hot path: this runs for each packet. It allocates nothing, and zeroes only what the packet before
 * left behind (`dirty`).
 */

/** Groups of words that few packets fill, as `extractReused` returns them. A set bit: the words may be other than 0. */
export const D_VLAN = 1;
export const D_MPLS = 2;
export const D_IPV4 = 4;
export const D_IPV6 = 8;
export const D_ND = 16;
export const D_HA = 32;
export const D_TCP = 64;
export const D_NSH = 128;
export const D_TP = 256;
export const D_IGMP = 512;

/** For `extractReused`: nothing is known of what the key holds. */
export const DIRTY_ALL = 0x3ff;

/** EtherType of frames that have none (802.3 without SNAP). */
export const DL_TYPE_NONE = 0x05ff;

/**
 * Writes what `packet` holds into the L2, L3 and L4 words of `flow` and its packet type into the
 * metadata; other metadata (in_port, tunnel, registers, conntrack) stay as the caller put them. Sets
 * the packet's layer offsets.
 *
 * @param maxVlanHeaders how many VLAN tags are looked into (at most 2); a further tag ends parsing with
 *   its TPID as EtherType
 */
export function extractFlow(packet: Packet, flow: Flow, maxVlanHeaders: number = N_VLANS): void {
  extractReused(packet, flow, DIRTY_ALL, maxVlanHeaders);
}

/**
 * `extractFlow` into a key that only this function writes to (but for metadata).
 *
 * @param dirty what the last call for this key returned; DIRTY_ALL at first, or after others wrote to it
 */
export function extractReused(packet: Packet, flow: Flow, dirty: number, maxVlanHeaders: number): number {
  const b = packet.buffer;
  const start = packet.start;
  const end = packet.end;
  let now = 0;
  let at = start;
  let type = 0;
  packet.l25 = ABSENT;
  packet.l3 = ABSENT;
  packet.l4 = ABSENT;
  packet.l2Pad = 0;
  flow[W_PACKET_TYPE] = packet.packetType;

  if (packet.packetType !== PT_ETH) {
    type = packet.packetType & 0xffff;
    flow[W_ETH] = 0;
    flow[W_ETH + 1] = 0;
    flow[W_ETH + 2] = 0;
  } else if (end - at >= 14) {
    flow[W_ETH] = (b[at] << 24) | (b[at + 1] << 16) | (b[at + 2] << 8) | b[at + 3];
    flow[W_ETH + 1] = (b[at + 4] << 24) | (b[at + 5] << 16) | (b[at + 6] << 8) | b[at + 7];
    flow[W_ETH + 2] = (b[at + 8] << 24) | (b[at + 9] << 16) | (b[at + 10] << 8) | b[at + 11];
    at += 12;
    type = (b[at] << 8) | b[at + 1];
    if (type === 0x8100 || type === 0x88a8) {
      let n = 0;
      do {
        if (n >= maxVlanHeaders || end - at < 6) break;
        flow[W_VLAN + n] = (type << 16) | (b[at + 2] << 8) | b[at + 3] | VLAN_CFI;
        n++;
        at += 4;
        type = (b[at] << 8) | b[at + 1];
      } while (type === 0x8100 || type === 0x88a8);
      if (n === 1) flow[W_VLAN + 1] = 0;
      if (n > 0) now |= D_VLAN;
    }
    at += 2;
    if (type < 0x0600) {
      if (
        end - at >= 8 &&
        b[at] === 0xaa &&
        b[at + 1] === 0xaa &&
        b[at + 2] === 3 &&
        b[at + 3] === 0 &&
        b[at + 4] === 0 &&
        b[at + 5] === 0
      ) {
        type = (b[at + 6] << 8) | b[at + 7];
        at += 8;
        if (type < 0x0600) type = DL_TYPE_NONE;
      } else {
        type = DL_TYPE_NONE;
      }
    }
  } else {
    flow[W_ETH] = 0;
    flow[W_ETH + 1] = 0;
    flow[W_ETH + 2] = 0;
    flow[W_ETH_TYPE] = 0;
    flow[W_NW] = 0;
    if (dirty !== 0) clear(flow, dirty);
    return 0;
  }
  flow[W_ETH_TYPE] = type << 16;
  packet.l3 = at - start;

  let nw = 0;
  if (type === 0x0800) {
    let size = end - at;
    if (size >= 20) {
      const headerLength = (b[at] & 15) << 2;
      const total = (b[at + 2] << 8) | b[at + 3];
      if (headerLength >= 20 && total <= size && headerLength <= total && size - total <= 0xffff) {
        packet.l2Pad = size - total;
        flow[W_NW_SRC] = (b[at + 12] << 24) | (b[at + 13] << 16) | (b[at + 14] << 8) | b[at + 15];
        flow[W_NW_DST] = (b[at + 16] << 24) | (b[at + 17] << 16) | (b[at + 18] << 8) | b[at + 19];
        now |= D_IPV4;
        const fragment = ((b[at + 6] << 8) | b[at + 7]) & 0x3fff;
        const protocol = b[at + 9];
        nw = (b[at + 1] << 16) | (b[at + 8] << 8) | protocol;
        if (fragment !== 0) {
          nw |= ((fragment & 0x1fff) !== 0 ? FRAG_ANY | FRAG_LATER : FRAG_ANY) << 24;
        }
        at += headerLength;
        size = total - headerLength;
        packet.l4 = at - start;
        if ((fragment & 0x1fff) === 0) {
          if (protocol === 6) {
            if (size >= 20) {
              const tcpLength = (b[at + 12] >> 4) << 2;
              if (tcpLength >= 20 && size >= tcpLength) {
                flow[W_TCP_FLAGS] = (((b[at + 12] & 15) << 8) | b[at + 13]) << 16;
                flow[W_TP] = (b[at] << 24) | (b[at + 1] << 16) | (b[at + 2] << 8) | b[at + 3];
                now |= D_TCP | D_TP;
              }
            }
          } else if (protocol === 17) {
            if (size >= 8) {
              flow[W_TP] = (b[at] << 24) | (b[at + 1] << 16) | (b[at + 2] << 8) | b[at + 3];
              now |= D_TP;
            }
          } else {
            now |= otherL4(b, at, size, protocol, flow);
          }
        }
      }
    }
  } else if (type === 0x86dd) {
    const size = end - at;
    if (size >= 40) {
      const payload = (b[at + 4] << 8) | b[at + 5];
      if (payload + 40 <= size && size - payload - 40 <= 0xffff) {
        now |= D_IPV6;
        packet.l2Pad = size - 40 - payload;
        for (let i = 0; i < 4; i++) {
          const p = at + 8 + 4 * i;
          flow[W_IPV6_SRC + i] = (b[p] << 24) | (b[p + 1] << 16) | (b[p + 2] << 8) | b[p + 3];
          flow[W_IPV6_DST + i] = (b[p + 16] << 24) | (b[p + 17] << 16) | (b[p + 18] << 8) | b[p + 19];
        }
        nw = ((b[at] & 15) << 20) | ((b[at + 1] >> 4) << 16) | (b[at + 7] << 8);
        const label = ((b[at + 1] & 15) << 16) | (b[at + 2] << 8) | b[at + 3];
        let next = b[at + 6];
        let fragment = 0;
        at += 40;
        const stop = at + payload;
        // Extension headers, up to one that isn't: hop-by-hop, routing, destination options, AH, fragment.
        while (next === 0 || next === 43 || next === 60 || next === 51 || next === 44) {
          const rest = stop - at;
          const length =
            rest < 8 ? 8 : next === 44 ? 8 : next === 51 ? (b[at + 1] + 2) * 4 : (b[at + 1] + 1) * 8;
          if (rest < length) {
            next = -1;
            break;
          }
          if (next === 44) {
            const offlg = (b[at + 2] << 8) | b[at + 3];
            if (offlg !== 0) {
              fragment = FRAG_ANY;
              if ((offlg & 0xfff8) !== 0) {
                fragment |= FRAG_LATER;
                at += 8;
                break;
              }
            }
          }
          next = b[at];
          at += length;
        }
        if (next === -1) {
          nw = 0;
          flow[W_IPV6_LABEL] = 0;
        } else {
          flow[W_IPV6_LABEL] = label;
          nw |= (fragment << 24) | next;
          packet.l4 = at - start;
          if ((fragment & FRAG_LATER) === 0) now |= anyL4(b, at, stop - at, next, flow);
        }
      }
    }
  } else {
    if (type === 0x0806 || type === 0x8035) {
      if (
        end - at >= 28 &&
        b[at] === 0 &&
        b[at + 1] === 1 &&
        b[at + 2] === 8 &&
        b[at + 3] === 0 &&
        b[at + 4] === 6 &&
        b[at + 5] === 4
      ) {
        // The key has eight bits for the opcode.
        if (b[at + 6] === 0) nw = b[at + 7];
        flow[W_NW_SRC] = (b[at + 14] << 24) | (b[at + 15] << 16) | (b[at + 16] << 8) | b[at + 17];
        flow[W_NW_DST] = (b[at + 24] << 24) | (b[at + 25] << 16) | (b[at + 26] << 8) | b[at + 27];
        flow[W_ARP_HA] = (b[at + 8] << 24) | (b[at + 9] << 16) | (b[at + 10] << 8) | b[at + 11];
        flow[W_ARP_HA + 1] = (b[at + 12] << 24) | (b[at + 13] << 16) | (b[at + 18] << 8) | b[at + 19];
        flow[W_ARP_HA + 2] = (b[at + 20] << 24) | (b[at + 21] << 16) | (b[at + 22] << 8) | b[at + 23];
        now |= D_IPV4 | D_HA;
      }
    } else if (type === 0x8847 || type === 0x8848) {
      let n = 0;
      packet.l25 = at - start;
      while (end - at >= 4) {
        const bottom = b[at + 2] & 1;
        if (n < 3) flow[W_MPLS + n] = (b[at] << 24) | (b[at + 1] << 16) | (b[at + 2] << 8) | b[at + 3];
        n++;
        at += 4;
        if (bottom !== 0) break;
      }
      for (; n < 3; n++) flow[W_MPLS + n] = 0;
      now |= D_MPLS;
      packet.l3 = at - start;
    } else if (type === 0x894f) {
      now |= nsh(b, at, end - at, flow);
    }
  }
  flow[W_NW] = nw;
  const stale = dirty & ~now;
  if (stale !== 0) clear(flow, stale);
  return now;
}

/** L4 of IPv6, where TCP and UDP are as likely as others. */
function anyL4(b: Uint8Array, at: number, size: number, protocol: number, flow: Flow): number {
  if (protocol === 6) {
    if (size < 20) return 0;
    const length = (b[at + 12] >> 4) << 2;
    if (length < 20 || size < length) return 0;
    flow[W_TCP_FLAGS] = (((b[at + 12] & 15) << 8) | b[at + 13]) << 16;
    flow[W_TP] = (b[at] << 24) | (b[at + 1] << 16) | (b[at + 2] << 8) | b[at + 3];
    return D_TCP | D_TP;
  }
  if (protocol === 17) {
    if (size < 8) return 0;
    flow[W_TP] = (b[at] << 24) | (b[at + 1] << 16) | (b[at + 2] << 8) | b[at + 3];
    return D_TP;
  }
  return otherL4(b, at, size, protocol, flow);
}

/** SCTP, ICMP, IGMP, ICMPv6; whichever IP carries them. */
function otherL4(b: Uint8Array, at: number, size: number, protocol: number, flow: Flow): number {
  switch (protocol) {
    case 132:
      if (size < 12) return 0;
      flow[W_TP] = (b[at] << 24) | (b[at + 1] << 16) | (b[at + 2] << 8) | b[at + 3];
      return D_TP;
    case 1:
      if (size < 8) return 0;
      flow[W_TP] = (b[at] << 16) | b[at + 1];
      return D_TP;
    case 2:
      if (size < 8) return 0;
      flow[W_TP] = (b[at] << 16) | b[at + 1];
      flow[W_IGMP_GROUP] = (b[at + 4] << 24) | (b[at + 5] << 16) | (b[at + 6] << 8) | b[at + 7];
      flow[W_ND_OPTIONS] = 0;
      return D_TP | D_IGMP;
    case 58: {
      if (size < 8) return 0;
      const type = b[at];
      flow[W_TP] = (type << 16) | b[at + 1];
      if ((type === 135 || type === 136) && b[at + 1] === 0) return D_TP | neighbor(b, at, size, flow);
      return D_TP;
    }
    default:
      return 0;
  }
}

/** Neighbor solicitation or advertisement (RFC 4861): reserved bits, target, link-layer addresses. */
function neighbor(b: Uint8Array, icmp: number, size: number, flow: Flow): number {
  flow[W_IGMP_GROUP] = (b[icmp + 4] << 24) | (b[icmp + 5] << 16) | (b[icmp + 6] << 8) | b[icmp + 7];
  flow[W_ND_OPTIONS] = 0;
  if (size < 24) return D_IGMP;
  for (let i = 0; i < 4; i++) {
    const p = icmp + 8 + 4 * i;
    flow[W_ND_TARGET + i] = (b[p] << 24) | (b[p + 1] << 16) | (b[p + 2] << 8) | b[p + 3];
  }
  flow[W_ARP_HA] = 0;
  flow[W_ARP_HA + 1] = 0;
  flow[W_ARP_HA + 2] = 0;
  const end = icmp + size;
  let at = icmp + 24;
  let firstType = 0;
  while (end - at >= 8) {
    const type = b[at];
    const length = b[at + 1] * 8;
    if (length === 0 || length > end - at) break;
    if (length === 8 && (type === 1 || type === 2)) {
      const high = (b[at + 2] << 8) | b[at + 3];
      const low = (b[at + 4] << 24) | (b[at + 5] << 16) | (b[at + 6] << 8) | b[at + 7];
      const taken =
        type === 1
          ? flow[W_ARP_HA] !== 0 || flow[W_ARP_HA + 1] >>> 16 !== 0
          : (flow[W_ARP_HA + 1] & 0xffff) !== 0 || flow[W_ARP_HA + 2] !== 0;
      if (taken) {
        // The same option twice is an error: neither target nor addresses count.
        for (let i = 0; i < 4; i++) flow[W_ND_TARGET + i] = 0;
        flow[W_ARP_HA] = 0;
        flow[W_ARP_HA + 1] = 0;
        flow[W_ARP_HA + 2] = 0;
        break;
      }
      if (type === 1) {
        flow[W_ARP_HA] = (high << 16) | (low >>> 16);
        flow[W_ARP_HA + 1] = (low << 16) | (flow[W_ARP_HA + 1] & 0xffff);
      } else {
        flow[W_ARP_HA + 1] = (flow[W_ARP_HA + 1] & 0xffff0000) | high;
        flow[W_ARP_HA + 2] = low;
      }
      if (firstType === 0) firstType = type;
    }
    at += length;
  }
  flow[W_ND_OPTIONS] = firstType << 24;
  return D_ND | D_HA | D_IGMP;
}

/** Network service header (RFC 8300). */
function nsh(b: Uint8Array, at: number, size: number, flow: Flow): number {
  if (size < 8) return 0;
  const first = (b[at] << 8) | b[at + 1];
  const length = (first & 63) * 4;
  const mdType = b[at + 2];
  if (length > size || first >> 14 !== 0) return 0;
  if (mdType === 1 ? length !== 24 : mdType === 2 && length < 8) return 0;
  flow[W_NSH] = (((first >> 12) & 3) << 24) | (mdType << 16) | (b[at + 3] << 8) | ((first >> 6) & 63);
  flow[W_NSH_PATH] = (b[at + 4] << 24) | (b[at + 5] << 16) | (b[at + 6] << 8) | b[at + 7];
  for (let i = 0; i < 4; i++) {
    const p = at + 8 + 4 * i;
    flow[W_NSH_CONTEXT + i] = mdType === 1 ? (b[p] << 24) | (b[p + 1] << 16) | (b[p + 2] << 8) | b[p + 3] : 0;
  }
  return D_NSH;
}

function clear(flow: Flow, groups: number): void {
  if (groups & D_VLAN) {
    flow[W_VLAN] = 0;
    flow[W_VLAN + 1] = 0;
  }
  if (groups & D_MPLS) {
    flow[W_MPLS] = 0;
    flow[W_MPLS + 1] = 0;
    flow[W_MPLS + 2] = 0;
  }
  if (groups & D_IPV4) {
    flow[W_NW_SRC] = 0;
    flow[W_NW_DST] = 0;
  }
  if (groups & D_IPV6) for (let i = W_IPV6_SRC; i <= W_IPV6_LABEL; i++) flow[i] = 0;
  if (groups & D_ND) for (let i = 0; i < 4; i++) flow[W_ND_TARGET + i] = 0;
  if (groups & D_HA) {
    flow[W_ARP_HA] = 0;
    flow[W_ARP_HA + 1] = 0;
    flow[W_ARP_HA + 2] = 0;
  }
  if (groups & D_TCP) flow[W_TCP_FLAGS] = 0;
  if (groups & D_NSH) for (let i = W_NSH; i < W_NSH_CONTEXT + 4; i++) flow[i] = 0;
  if (groups & D_TP) flow[W_TP] = 0;
  if (groups & D_IGMP) {
    flow[W_IGMP_GROUP] = 0;
    flow[W_ND_OPTIONS] = 0;
  }
}
