import { get16, put16 } from './bytes.ts';
import { type Malformed, type Parsed, tooShort } from './malformed.ts';

/** Ethernet II and IEEE 802.3 frame headers (IEEE 802.3, clause 3), without preamble and FCS. */
export interface Ethernet {
  readonly layer: 'eth';
  readonly dst: Uint8Array;
  readonly src: Uint8Array;
  /** EtherType, or the length of the payload if below {@link ETHERTYPE_MIN} (802.3). */
  readonly type?: number;
}

export const ETHERNET_HEADER = 14;
/** Smaller values of the type field are lengths. */
export const ETHERTYPE_MIN = 0x0600;
/** Shortest frame without FCS; shorter payloads are padded. */
export const ETHERNET_MIN_FRAME = 60;

export const ETHERTYPE_IPV4 = 0x0800;
export const ETHERTYPE_ARP = 0x0806;
export const ETHERTYPE_TEB = 0x6558;
export const ETHERTYPE_RARP = 0x8035;
export const ETHERTYPE_VLAN = 0x8100;
export const ETHERTYPE_IPV6 = 0x86dd;
export const ETHERTYPE_LACP = 0x8809;
export const ETHERTYPE_MPLS = 0x8847;
export const ETHERTYPE_MPLS_MULTICAST = 0x8848;
export const ETHERTYPE_QINQ = 0x88a8;
export const ETHERTYPE_LLDP = 0x88cc;
export const ETHERTYPE_CFM = 0x8902;
export const ETHERTYPE_NSH = 0x894f;

const DST = 0;
const SRC = DST + 6;
const TYPE = SRC + 6;

export function parseEthernet(b: Uint8Array, at: number, end: number): Parsed<Ethernet> | Malformed {
  if (end - at < ETHERNET_HEADER) return tooShort('Ethernet', at, end, ETHERNET_HEADER);
  const type = get16(b, at + TYPE);
  const next = at + ETHERNET_HEADER;
  return {
    value: {
      layer: 'eth',
      dst: b.slice(at + DST, at + SRC),
      src: b.slice(at + SRC, at + TYPE),
      type,
    },
    next,
    end: type < ETHERTYPE_MIN ? Math.min(end, next + type) : end,
  };
}

export function emitEthernet(value: Ethernet, b: Uint8Array, at: number): void {
  b.set(value.dst, at + DST);
  b.set(value.src, at + SRC);
  put16(b, at + TYPE, value.type ?? 0);
}

/** True for a group address: multicast or broadcast. */
export function isMulticastMac(mac: Uint8Array): boolean {
  return (mac[0] & 1) !== 0;
}
