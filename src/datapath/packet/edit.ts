import {
  FLOW_WORDS,
  type Flow,
  PT_ETH,
  VLAN_CFI,
  W_ARP_HA,
  W_ETH,
  W_IGMP_GROUP,
  W_IPV6_DST,
  W_IPV6_LABEL,
  W_IPV6_SRC,
  W_METADATA,
  W_MPLS,
  W_ND_OPTIONS,
  W_ND_TARGET,
  W_NSH,
  W_NSH_CONTEXT,
  W_NSH_PATH,
  W_NW,
  W_NW_DST,
  W_NW_SRC,
  W_TP,
  W_TUN_ID,
  W_TUN_METADATA_PRESENT,
} from '../../flow/layout.ts';
import { get16, get32, put16, put32, putBig } from '../../wire/bytes.ts';
import { update16, update32, updatePartial32 } from '../../wire/checksum.ts';
import { crc32c, sctpChecksumWord } from '../../wire/crc32c.ts';
import type { DpAction, SetGroup, SetWord } from '../types.ts';
import { ABSENT, type Packet } from './packet.ts';

/**
 * Header changes, in place. Each works on a packet whose layer offsets `extractFlow` has set, keeps
 * these right, and brings checksums up to date by the difference, so that a checksum that was wrong
 * stays wrong by as much (RFC 1624). A change to a header that the packet does not have does nothing.
 *
 * L4 checksums cover the addresses too, except
 * - over UDP where the field is 0 (none; RFC 768): it stays 0;
 * - in fragments but the first: what looks like an L4 header there is payload;
 * - the IPv6 destination under a routing header with segments left: the checksum is over the last one.
 * An unfinished checksum (offload) covers the pseudo header only, uncomplemented.
 */

/**
 * Does what `action` says to the packet's bytes.
 * @returns false for an action that is not about bytes (output, recirc, metadata, ...)
 */
export function applyEdit(packet: Packet, action: DpAction): boolean {
  switch (action.type) {
    case 'set':
      return applySet(packet, action.group, action.words);
    case 'push_vlan':
      pushVlan(packet, action.tpid, action.tci);
      return true;
    case 'pop_vlan':
      popVlan(packet);
      return true;
    case 'push_mpls':
      pushMpls(packet, action.ethertype, action.lse);
      return true;
    case 'pop_mpls':
      popMpls(packet, action.ethertype);
      return true;
    case 'push_eth':
      pushEth(packet, action.dst, action.src);
      return true;
    case 'pop_eth':
      popEth(packet);
      return true;
    case 'trunc':
      truncate(packet, action.maxLen);
      return true;
    default:
      return false;
  }
}

/**
 * Sets bits of a key: how a `set` acts on metadata, and on a key that shall follow the packet. A tunnel is
 * replaced as a whole: words of it that the set doesn't name become 0.
 */
export function applySetToFlow(flow: Flow, group: SetGroup, words: readonly SetWord[]): void {
  if (group === 'tunnel') {
    flow.fill(0, W_TUN_ID, W_METADATA);
    flow.fill(0, W_TUN_METADATA_PRESENT, FLOW_WORDS);
  }
  for (let i = 0; i < words.length; i++) {
    const { word, value, mask } = words[i];
    flow[word] = (flow[word] & ~mask) | (value & mask);
  }
}

/**
 * Writes the set's words into the header that `group` names.
 * @returns false for groups that are metadata: see `applySetToFlow`
 */
export function applySet(packet: Packet, group: SetGroup, words: readonly SetWord[]): boolean {
  switch (group) {
    case 'eth':
      if (packet.packetType === PT_ETH && packet.l3 >= 14) setEth(packet, words);
      return true;
    case 'ipv4':
      if (packet.l4 !== ABSENT && ipVersion(packet) === 4) setIpv4(packet, words);
      return true;
    case 'ipv6':
      if (packet.l4 !== ABSENT && ipVersion(packet) === 6) setIpv6(packet, words);
      return true;
    case 'tcp':
      if (l4Size(packet) >= 20) setPorts(packet, words, 16);
      return true;
    case 'udp':
      if (l4Size(packet) >= 8) setPorts(packet, words, 6);
      return true;
    case 'sctp':
      if (l4Size(packet) >= 12) setSctp(packet, words);
      return true;
    case 'icmp':
    case 'icmpv6':
      if (l4Size(packet) >= 4) setIcmp(packet, words);
      return true;
    case 'nd':
    case 'nd_ext':
      if (l4Size(packet) >= 24) setNd(packet, words);
      return true;
    case 'arp':
      if (packet.l3 !== ABSENT && packet.length - packet.l3 >= 28) setArp(packet, words);
      return true;
    case 'mpls':
      if (packet.l25 !== ABSENT && packet.length - packet.l25 >= 4) {
        for (const { word, value, mask } of words) {
          if (word === W_MPLS) putMasked(packet.buffer, packet.start + packet.l25, value, mask);
        }
      }
      return true;
    case 'nsh':
      if (packet.l3 !== ABSENT && packet.length - packet.l3 >= 8) setNsh(packet, words);
      return true;
    default:
      return false;
  }
}

/** Bytes from the L4 header to the end of the IP packet; negative without L4. */
function l4Size(packet: Packet): number {
  return packet.l4 === ABSENT ? ABSENT : packet.length - packet.l2Pad - packet.l4;
}

function ipVersion(packet: Packet): number {
  return packet.buffer[packet.start + packet.l3] >> 4;
}

function putMasked(b: Uint8Array, at: number, value: number, mask: number): void {
  put32(b, at, (get32(b, at) & ~mask) | (value & mask));
}

function setEth(packet: Packet, words: readonly SetWord[]): void {
  for (let i = 0; i < words.length; i++) {
    const { word, value, mask } = words[i];
    if (word >= W_ETH && word < W_ETH + 3) {
      putMasked(packet.buffer, packet.start + (word - W_ETH) * 4, value, mask);
    }
  }
}

/** Offset in L4 of the checksum that covers the pseudo header, or ABSENT if there is none (or too few bytes). */
export function checksumField(protocol: number, size: number): number {
  if (protocol === 6) return size >= 20 ? 16 : ABSENT;
  if (protocol === 17) return size >= 8 ? 6 : ABSENT;
  if (protocol === 58) return size >= 4 ? 2 : ABSENT;
  return ABSENT;
}

/** Tells the L4 checksum at `field` that a word of the pseudo header changed. */
export function pseudoHeaderChanged(packet: Packet, field: number, from: number, to: number): void {
  const b = packet.buffer;
  const at = packet.start + packet.l4 + field;
  const old = get16(b, at);
  if (packet.hasPartialChecksum(field)) {
    put16(b, at, updatePartial32(old, from, to));
  } else if (field === 6) {
    if (old !== 0) put16(b, at, update32(old, from, to) || 0xffff);
  } else {
    put16(b, at, update32(old, from, to));
  }
}

function setIpv4(packet: Packet, words: readonly SetWord[]): void {
  const b = packet.buffer;
  const ip = packet.start + packet.l3;
  const later = (get16(b, ip + 6) & 0x1fff) !== 0;
  const protocol = b[ip + 9];
  const field = later || protocol === 58 ? ABSENT : checksumField(protocol, l4Size(packet));
  let sum = get16(b, ip + 10);
  for (let i = 0; i < words.length; i++) {
    const { word, value, mask } = words[i];
    if (word === W_NW_SRC || word === W_NW_DST) {
      const at = word === W_NW_SRC ? ip + 12 : ip + 16;
      const old = get32(b, at);
      const next = ((old & ~mask) | (value & mask)) >>> 0;
      if (next === old) continue;
      put32(b, at, next);
      sum = update32(sum, old, next);
      if (field !== ABSENT) pseudoHeaderChanged(packet, field, old, next);
    } else if (word === W_NW) {
      const tos = get16(b, ip);
      const newTos = (tos & ~((mask >>> 16) & 0xff)) | (((value & mask) >>> 16) & 0xff);
      if (newTos !== tos) {
        put16(b, ip, newTos);
        sum = update16(sum, tos, newTos);
      }
      const ttl = get16(b, ip + 8);
      const newTtl = (ttl & ~(mask & 0xff00)) | (value & mask & 0xff00);
      if (newTtl !== ttl) {
        put16(b, ip + 8, newTtl);
        sum = update16(sum, ttl, newTtl);
      }
    }
  }
  put16(b, ip + 10, sum);
}

/** In the low byte the transport protocol; above it what forbids touching its checksum. */
const LATER_FRAGMENT = 0x100;
const SEGMENTS_LEFT = 0x200;

/** Walks the extension headers between the IPv6 header and L4. */
function ipv6Transport(b: Uint8Array, ip: number, l4: number): number {
  let next = b[ip + 6];
  let flags = 0;
  for (let at = ip + 40; at + 8 <= l4; ) {
    if (next === 44) {
      if ((get16(b, at + 2) & 0xfff8) !== 0) return flags | LATER_FRAGMENT;
      next = b[at];
      at += 8;
    } else if (next === 51) {
      next = b[at];
      at += (b[at + 1] + 2) * 4;
    } else if (next === 0 || next === 43 || next === 60) {
      if (next === 43 && b[at + 3] > 0) flags |= SEGMENTS_LEFT;
      next = b[at];
      at += (b[at + 1] + 1) * 8;
    } else {
      break;
    }
  }
  return flags | next;
}

function setIpv6(packet: Packet, words: readonly SetWord[]): void {
  const b = packet.buffer;
  const ip = packet.start + packet.l3;
  const transport = ipv6Transport(b, ip, packet.start + packet.l4);
  const field = (transport & LATER_FRAGMENT) !== 0 ? ABSENT : checksumField(transport & 0xff, l4Size(packet));
  for (let i = 0; i < words.length; i++) {
    const { word, value, mask } = words[i];
    if (word >= W_IPV6_SRC && word < W_IPV6_DST + 4) {
      const at = ip + 8 + (word - W_IPV6_SRC) * 4;
      const old = get32(b, at);
      const next = ((old & ~mask) | (value & mask)) >>> 0;
      if (next === old) continue;
      put32(b, at, next);
      if (field === ABSENT) continue;
      if (word < W_IPV6_DST || (transport & SEGMENTS_LEFT) === 0) {
        pseudoHeaderChanged(packet, field, old, next);
      }
    } else if (word === W_IPV6_LABEL) {
      putMasked(b, ip, value, mask & 0xfffff);
    } else if (word === W_NW) {
      // The traffic class stands in bits 20 to 27 of the first word, the hop limit in byte 7.
      putMasked(b, ip, ((value >>> 16) & 0xff) << 20, ((mask >>> 16) & 0xff) << 20);
      b[ip + 7] = (b[ip + 7] & ~(mask >>> 8)) | ((value & mask) >>> 8);
    }
  }
}

/** TCP and UDP ports, their checksum at `field`. */
function setPorts(packet: Packet, words: readonly SetWord[], field: number): void {
  const b = packet.buffer;
  const l4 = packet.start + packet.l4;
  for (let i = 0; i < words.length; i++) {
    const { word, value, mask } = words[i];
    if (word !== W_TP) continue;
    const old = get32(b, l4);
    const next = ((old & ~mask) | (value & mask)) >>> 0;
    if (next === old) continue;
    put32(b, l4, next);
    // An unfinished checksum does not cover the ports yet.
    if (packet.hasPartialChecksum(field)) continue;
    const sum = get16(b, l4 + field);
    if (field !== 6) put16(b, l4 + field, update32(sum, old, next));
    else if (sum !== 0) put16(b, l4 + field, update32(sum, old, next) || 0xffff);
  }
}

/** SCTP's CRC has no cheap update; what it was wrong by stays (the CRC is linear). */
function setSctp(packet: Packet, words: readonly SetWord[]): void {
  const b = packet.buffer;
  const l4 = packet.start + packet.l4;
  const end = packet.end - packet.l2Pad;
  for (let i = 0; i < words.length; i++) {
    const { word, value, mask } = words[i];
    if (word !== W_TP) continue;
    const old = get32(b, l4);
    const next = ((old & ~mask) | (value & mask)) >>> 0;
    if (next === old) continue;
    const stored = get32(b, l4 + 8);
    put32(b, l4 + 8, 0);
    const before = sctpChecksumWord(crc32c(b, l4, end));
    put32(b, l4, next);
    const after = sctpChecksumWord(crc32c(b, l4, end));
    put32(b, l4 + 8, stored ^ before ^ after);
  }
}

/** Writes a 32-bit word that an ICMP or ICMPv6 checksum covers. */
function putIcmpWord(packet: Packet, at: number, next: number): void {
  const b = packet.buffer;
  const old = get32(b, at);
  if (old === next >>> 0) return;
  put32(b, at, next);
  if (packet.hasPartialChecksum(2)) return;
  const field = packet.start + packet.l4 + 2;
  put16(b, field, update32(get16(b, field), old, next >>> 0));
}

function setIcmp(packet: Packet, words: readonly SetWord[]): void {
  const b = packet.buffer;
  const l4 = packet.start + packet.l4;
  for (let i = 0; i < words.length; i++) {
    const { word, value, mask } = words[i];
    if (word !== W_TP) continue;
    const toHeader = (w: number): number => ((w >>> 8) & 0xff00) | (w & 0xff);
    const old = get16(b, l4);
    const next = (old & ~toHeader(mask)) | toHeader(value & mask);
    if (next === old) continue;
    put16(b, l4, next);
    if (!packet.hasPartialChecksum(2)) put16(b, l4 + 2, update16(get16(b, l4 + 2), old, next));
  }
}

/** The masked `value` over the word at `at`. */
function merged(b: Uint8Array, at: number, value: number, mask: number): number {
  return (get32(b, at) & ~mask) | (value & mask);
}

/** Neighbor discovery: target, link-layer address options, reserved bits, type of the first option. */
function setNd(packet: Packet, words: readonly SetWord[]): void {
  const b = packet.buffer;
  const l4 = packet.start + packet.l4;
  const end = packet.end - packet.l2Pad;
  const value = [0, 0, 0];
  const mask = [0, 0, 0];
  for (let i = 0; i < words.length; i++) {
    const w = words[i];
    if (w.word >= W_ND_TARGET && w.word < W_ND_TARGET + 4) {
      const at = l4 + 8 + (w.word - W_ND_TARGET) * 4;
      putIcmpWord(packet, at, merged(b, at, w.value, w.mask));
    } else if (w.word >= W_ARP_HA && w.word < W_ARP_HA + 3) {
      value[w.word - W_ARP_HA] = w.value;
      mask[w.word - W_ARP_HA] = w.mask;
    } else if (w.word === W_IGMP_GROUP) {
      putIcmpWord(packet, l4 + 4, merged(b, l4 + 4, w.value, w.mask));
    } else if (w.word === W_ND_OPTIONS && end - l4 >= 28) {
      putIcmpWord(packet, l4 + 24, merged(b, l4 + 24, w.value, w.mask & 0xff000000));
    }
  }
  for (let at = l4 + 24; end - at >= 8 && b[at + 1] !== 0; at += b[at + 1] * 8) {
    if (b[at + 1] !== 1) continue;
    if (b[at] === 1) {
      putIcmpWord(packet, at, merged(b, at, value[0] >>> 16, mask[0] >>> 16));
      const low = (value[0] << 16) | (value[1] >>> 16);
      putIcmpWord(packet, at + 4, merged(b, at + 4, low, (mask[0] << 16) | (mask[1] >>> 16)));
    } else if (b[at] === 2) {
      putIcmpWord(packet, at, merged(b, at, value[1] & 0xffff, mask[1] & 0xffff));
      putIcmpWord(packet, at + 4, merged(b, at + 4, value[2], mask[2]));
    }
  }
}

function setArp(packet: Packet, words: readonly SetWord[]): void {
  const b = packet.buffer;
  const arp = packet.start + packet.l3;
  for (let i = 0; i < words.length; i++) {
    const { word, value, mask } = words[i];
    if (word === W_NW) {
      // The whole 16-bit opcode, where its eight bits of the key are set as a whole.
      const wide = (mask & 0xff) === 0xff ? 0xffff : mask & 0xff;
      put16(b, arp + 6, (get16(b, arp + 6) & ~wide) | (value & mask & 0xff));
    } else if (word === W_NW_SRC) {
      putMasked(b, arp + 14, value, mask);
    } else if (word === W_NW_DST) {
      putMasked(b, arp + 24, value, mask);
    } else if (word >= W_ARP_HA && word < W_ARP_HA + 3) {
      // Sender's address at 8, target's at 18; the key has them back to back.
      for (let byte = 0; byte < 4; byte++) {
        const index = (word - W_ARP_HA) * 4 + byte;
        const at = arp + (index < 6 ? 8 + index : 12 + index);
        const m = (mask >>> (24 - 8 * byte)) & 0xff;
        b[at] = (b[at] & ~m) | ((value >>> (24 - 8 * byte)) & m);
      }
    }
  }
}

function setNsh(packet: Packet, words: readonly SetWord[]): void {
  const b = packet.buffer;
  const nsh = packet.start + packet.l3;
  for (let i = 0; i < words.length; i++) {
    const { word, value, mask } = words[i];
    if (word === W_NSH) {
      const toHeader = (w: number): number => (((w >>> 24) & 3) << 12) | ((w & 63) << 6);
      put16(b, nsh, (get16(b, nsh) & ~toHeader(mask)) | toHeader(value & mask));
    } else if (word === W_NSH_PATH) {
      putMasked(b, nsh + 4, value, mask);
    } else if (word >= W_NSH_CONTEXT && word < W_NSH_CONTEXT + 4) {
      if (b[nsh + 2] === 1 && packet.length - packet.l3 >= 24) {
        putMasked(b, nsh + 8 + (word - W_NSH_CONTEXT) * 4, value, mask);
      }
    }
  }
}

/** Inserts a tag behind the MAC addresses. The key's CFI bit ("there is a tag") does not go out. */
export function pushVlan(packet: Packet, tpid: number, tci: number): void {
  if (packet.packetType !== PT_ETH || packet.length < 14) return;
  const at = packet.openGap(12, 4);
  put16(packet.buffer, at, tpid);
  put16(packet.buffer, at + 2, tci & ~VLAN_CFI);
}

/** Removes the outermost tag, if there is one. */
export function popVlan(packet: Packet): void {
  if (packet.packetType !== PT_ETH || packet.length < 18) return;
  const tpid = get16(packet.buffer, packet.start + 12);
  if (tpid === 0x8100 || tpid === 0x88a8) packet.closeGap(12, 4);
}

/** Writes the EtherType in front of the label stack or L3. */
function setEtherType(packet: Packet, etherType: number): void {
  const after = packet.l25 !== ABSENT ? packet.l25 : packet.l3;
  if (packet.packetType === PT_ETH && after >= 14) put16(packet.buffer, packet.start + after - 2, etherType);
}

/** Pushes a label stack entry in front of the others, or of L3. */
export function pushMpls(packet: Packet, etherType: number, lse: number): void {
  if (packet.l3 === ABSENT || (etherType !== 0x8847 && etherType !== 0x8848)) return;
  setEtherType(packet, etherType);
  const at = packet.l25 !== ABSENT ? packet.l25 : packet.l3;
  put32(packet.buffer, packet.openGap(at, 4), lse);
  packet.l25 = at;
  if (packet.packetType !== PT_ETH) packet.packetType = 0x10000 | etherType;
}

/** Removes the outermost label; behind the last one (bottom-of-stack bit) comes `etherType`. */
export function popMpls(packet: Packet, etherType: number): void {
  const at = packet.l25;
  if (at === ABSENT || packet.length - at < 4) return;
  setEtherType(packet, etherType);
  const bottom = packet.buffer[packet.start + at + 2] & 1;
  packet.closeGap(at, 4);
  if (bottom) packet.l25 = ABSENT;
  if (packet.packetType !== PT_ETH) packet.packetType = etherType === 0x6558 ? PT_ETH : 0x10000 | etherType;
}

/** Gives a packet without link layer an Ethernet header. */
export function pushEth(packet: Packet, dst: bigint, src: bigint): void {
  if (packet.packetType === PT_ETH) return;
  const at = packet.openGap(0, 14);
  putBig(packet.buffer, at, 6, dst);
  putBig(packet.buffer, at + 6, 6, src);
  put16(packet.buffer, at + 12, packet.packetType & 0xffff);
  packet.packetType = PT_ETH;
}

/** Removes the Ethernet header with its tags. */
export function popEth(packet: Packet): void {
  const size = packet.l25 !== ABSENT ? packet.l25 : packet.l3;
  if (packet.packetType !== PT_ETH || size < 14) return;
  packet.packetType = 0x10000 | get16(packet.buffer, packet.start + size - 2);
  packet.closeGap(0, size);
}

/** Makes the next output no longer than `maxLength` bytes; the packet itself keeps them all. */
export function truncate(packet: Packet, maxLength: number): void {
  packet.cutLength = Math.max(0, packet.length - maxLength);
}

/** Bytes that the next output sends. */
export function sendLength(packet: Packet): number {
  return Math.max(0, packet.length - packet.cutLength);
}
