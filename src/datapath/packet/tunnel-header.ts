import {
  type Flow,
  TUN_F_CSUM,
  TUN_F_KEY,
  TUN_F_OAM,
  W_TUN_FLAGS,
  W_TUN_GBP,
  W_TUN_ID,
  W_TUN_METADATA,
  W_TUN_METADATA_PRESENT,
} from '../../flow/layout.ts';
import { get16, get24, get32, put16, put24, put32 } from '../../wire/bytes.ts';
import { checksum } from '../../wire/checksum.ts';
import { GENEVE_MIN_HEADER } from '../../wire/geneve.ts';
import { VXLAN_FLAG_VNI, VXLAN_HEADER } from '../../wire/vxlan.ts';
import { TUN_F_RAW_OPTIONS } from '../text/tunnel.ts';

/**
 * Tunnel headers (VXLAN, Geneve, GRE) to and from the tunnel words of a key, without anything in between: this
 * is done for each packet. `src/wire` has the same headers as values.
 */

export type TunnelProtocol = 'vxlan' | 'geneve' | 'gre';

/** Longest header that `writeTunnelHeader` writes. */
export const MAX_TUNNEL_HEADER = 8 + 252;

const ETHERTYPE_TEB = 0x6558;
/** VXLAN group policy (draft-smith-vxlan-group-policy): the G bit, and the bits D and A beside it. */
const VXLAN_FLAG_GBP = 0x80;
const GBP_BITS = 0x48;

const GRE_CHECKSUM = 0x8000;
const GRE_KEY = 0x2000;
const GRE_SEQUENCE = 0x1000;
/** Flags of GRE that are taken; others are routing, and versions that are not GRE. */
const GRE_KNOWN = GRE_CHECKSUM | GRE_KEY | GRE_SEQUENCE;

/**
 * Reads the header at `at` into the key's tunnel id, flags, group policy and options; addresses, ports, TOS and TTL
 * are the caller's.
 *
 * @param gbp VXLAN with group policies
 * @returns where the Ethernet frame inside begins; -1: it is no such packet
 */
export function readTunnelHeader(
  protocol: TunnelProtocol,
  b: Uint8Array,
  at: number,
  end: number,
  key: Flow,
  gbp: boolean,
): number {
  key[W_TUN_ID] = 0;
  key[W_TUN_GBP] = 0;
  key[W_TUN_FLAGS] &= 0xffff;
  clearOptions(key);
  switch (protocol) {
    case 'vxlan':
      return readVxlan(b, at, end, key, gbp);
    case 'geneve':
      return readGeneve(b, at, end, key);
    case 'gre':
      return readGre(b, at, end, key);
  }
}

function clearOptions(key: Flow): void {
  const length = key[W_TUN_METADATA_PRESENT + 1];
  if (length === 0) return;
  key[W_TUN_METADATA_PRESENT + 1] = 0;
  key.fill(0, W_TUN_METADATA, W_TUN_METADATA + length / 4);
}

function readVxlan(b: Uint8Array, at: number, end: number, key: Flow, gbp: boolean): number {
  if (end - at < VXLAN_HEADER) return -1;
  const flags = b[at];
  // Other flags change what follows, so that what does not know them must not take the packet.
  if (
    (flags & VXLAN_FLAG_VNI) === 0 ||
    (flags & ~(gbp ? VXLAN_FLAG_VNI | VXLAN_FLAG_GBP : VXLAN_FLAG_VNI)) !== 0
  ) {
    return -1;
  }
  if ((flags & VXLAN_FLAG_GBP) !== 0)
    key[W_TUN_GBP] = ((get16(b, at + 2) << 16) | ((b[at + 1] & GBP_BITS) << 8)) >>> 0;
  key[W_TUN_ID + 1] = get24(b, at + 4);
  key[W_TUN_FLAGS] |= TUN_F_KEY << 16;
  return at + VXLAN_HEADER;
}

function readGeneve(b: Uint8Array, at: number, end: number, key: Flow): number {
  if (end - at < GENEVE_MIN_HEADER || b[at] >> 6 !== 0 || get16(b, at + 2) !== ETHERTYPE_TEB) return -1;
  const options = (b[at] & 63) * 4;
  const inner = at + GENEVE_MIN_HEADER + options;
  if (inner > end) return -1;
  key[W_TUN_ID + 1] = get24(b, at + 4);
  let flags = TUN_F_KEY | ((b[at + 1] & 0x80) !== 0 ? TUN_F_OAM : 0);
  if (options > 0) {
    flags |= TUN_F_RAW_OPTIONS;
    key[W_TUN_METADATA_PRESENT + 1] = options;
    for (let i = 0; i < options / 4; i++) key[W_TUN_METADATA + i] = get32(b, at + GENEVE_MIN_HEADER + 4 * i);
  }
  key[W_TUN_FLAGS] |= flags << 16;
  return inner;
}

function readGre(b: Uint8Array, at: number, end: number, key: Flow): number {
  if (end - at < 4) return -1;
  const flags = get16(b, at);
  if ((flags & ~GRE_KNOWN) !== 0 || get16(b, at + 2) !== ETHERTYPE_TEB) return -1;
  let next = at + 4;
  let tunnel = 0;
  if ((flags & GRE_CHECKSUM) !== 0) {
    next += 4;
    tunnel |= TUN_F_CSUM;
  }
  const keyAt = next;
  if ((flags & GRE_KEY) !== 0) next += 4;
  if ((flags & GRE_SEQUENCE) !== 0) next += 4;
  if (next > end) return -1;
  if ((flags & GRE_CHECKSUM) !== 0 && checksum(b, at, end) !== 0) return -1;
  key[W_TUN_ID + 1] = 0;
  if ((flags & GRE_KEY) !== 0) {
    key[W_TUN_ID + 1] = get32(b, keyAt);
    tunnel |= TUN_F_KEY;
  }
  key[W_TUN_FLAGS] |= tunnel << 16;
  return next;
}

/** Writes the header that the key asks for at `at`; returns its length. GRE's checksum: `finishGre`. */
export function writeTunnelHeader(protocol: TunnelProtocol, b: Uint8Array, at: number, key: Flow): number {
  const flags = key[W_TUN_FLAGS] >>> 16;
  switch (protocol) {
    case 'vxlan': {
      const gbp = key[W_TUN_GBP] >>> 8;
      put32(b, at, VXLAN_FLAG_VNI << 24);
      if (gbp !== 0) {
        b[at] |= VXLAN_FLAG_GBP;
        b[at + 1] = gbp & GBP_BITS;
        put16(b, at + 2, gbp >>> 8);
      }
      put24(b, at + 4, key[W_TUN_ID + 1]);
      b[at + 7] = 0;
      return VXLAN_HEADER;
    }
    case 'geneve': {
      const raw = (flags & TUN_F_RAW_OPTIONS) !== 0 ? key[W_TUN_METADATA_PRESENT + 1] : 0;
      const options = Math.min(raw, 252) & ~3;
      b[at] = options / 4;
      b[at + 1] = (flags & TUN_F_OAM) !== 0 ? 0x80 : 0;
      put16(b, at + 2, ETHERTYPE_TEB);
      put24(b, at + 4, key[W_TUN_ID + 1]);
      b[at + 7] = 0;
      for (let i = 0; i < options / 4; i++) put32(b, at + GENEVE_MIN_HEADER + 4 * i, key[W_TUN_METADATA + i]);
      if (hasCritical(b, at + GENEVE_MIN_HEADER, at + GENEVE_MIN_HEADER + options)) b[at + 1] |= 0x40;
      return GENEVE_MIN_HEADER + options;
    }
    case 'gre': {
      const hasKey = (flags & TUN_F_KEY) !== 0;
      const sums = (flags & TUN_F_CSUM) !== 0;
      put16(b, at, (hasKey ? GRE_KEY : 0) | (sums ? GRE_CHECKSUM : 0));
      put16(b, at + 2, ETHERTYPE_TEB);
      let next = at + 4;
      if (sums) {
        put32(b, next, 0);
        next += 4;
      }
      if (hasKey) {
        put32(b, next, key[W_TUN_ID + 1]);
        next += 4;
      }
      return next - at;
    }
  }
}

/** Whether one of the options has the bit that says that who doesn't know it must drop the packet. */
function hasCritical(b: Uint8Array, at: number, end: number): boolean {
  for (let p = at; p + 4 <= end; p += 4 + (b[p + 3] & 31) * 4) if ((b[p + 2] & 0x80) !== 0) return true;
  return false;
}

/** Fills in the checksum of a GRE packet, from its header on, if its header has one. */
export function finishGre(b: Uint8Array, at: number, end: number): void {
  if ((b[at] & 0x80) !== 0) put16(b, at + 4, checksum(b, at, end));
}
