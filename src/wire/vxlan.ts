import { get24, put24 } from './bytes.ts';
import { type Malformed, type Parsed, tooShort } from './malformed.ts';

/** VXLAN header (RFC 7348). */
export interface Vxlan {
  readonly layer: 'vxlan';
  /** 0x08: the VNI is valid. */
  readonly flags: number;
  /** 24 bits that the base specification reserves; group policy and generic extensions use them. */
  readonly reserved: number;
  readonly vni: number;
}

export const VXLAN_HEADER = 8;
export const VXLAN_PORT = 4789;
export const VXLAN_FLAG_VNI = 0x08;

export function parseVxlan(b: Uint8Array, at: number, end: number): Parsed<Vxlan> | Malformed {
  if (end - at < VXLAN_HEADER) return tooShort('VXLAN', at, end, VXLAN_HEADER);
  return {
    value: { layer: 'vxlan', flags: b[at], reserved: get24(b, at + 1), vni: get24(b, at + 4) },
    next: at + VXLAN_HEADER,
    end,
  };
}

export function emitVxlan(value: Vxlan, b: Uint8Array, at: number): void {
  b[at] = value.flags;
  put24(b, at + 1, value.reserved);
  put24(b, at + 4, value.vni);
  b[at + 7] = 0;
}
