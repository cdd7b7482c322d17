import { get16, put16 } from './bytes.ts';
import { ETHERTYPE_QINQ, ETHERTYPE_VLAN } from './ethernet.ts';
import { type Malformed, type Parsed, tooShort } from './malformed.ts';

/**
 * A VLAN tag (IEEE 802.1Q; QinQ is two of them). The value counts from the TPID that announces it, in
 * the place of an EtherType, which the header in front holds: four bytes from the tag control
 * information on belong to it.
 */
export interface Vlan {
  readonly layer: 'vlan';
  /** 0x8100, or 0x88a8 for a service tag. Default: 0x8100. */
  readonly tpid?: number;
  readonly pcp: number;
  /** Drop eligible (formerly CFI). */
  readonly dei: boolean;
  readonly vid: number;
  readonly type?: number;
}

export const VLAN_HEADER = 4;
export const VLAN_VID_MASK = 0x0fff;

export function isVlanType(type: number): boolean {
  return type === ETHERTYPE_VLAN || type === ETHERTYPE_QINQ;
}

/** @param tpid the type field in front of the tag */
export function parseVlan(b: Uint8Array, at: number, end: number, tpid: number): Parsed<Vlan> | Malformed {
  if (end - at < VLAN_HEADER) return tooShort('VLAN', at, end, VLAN_HEADER);
  const tci = get16(b, at);
  return {
    value: {
      layer: 'vlan',
      tpid,
      pcp: tci >> 13,
      dei: (tci & 0x1000) !== 0,
      vid: tci & VLAN_VID_MASK,
      type: get16(b, at + 2),
    },
    next: at + VLAN_HEADER,
    end,
  };
}

export function emitVlan(value: Vlan, b: Uint8Array, at: number): void {
  put16(b, at, (value.pcp << 13) | (value.dei ? 0x1000 : 0) | value.vid);
  put16(b, at + 2, value.type ?? 0);
}
