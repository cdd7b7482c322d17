import { get16, get24, put16, put24 } from './bytes.ts';
import { type Malformed, type Parsed, tooShort } from './malformed.ts';

/** IEEE 802.2 logical link control: what follows an 802.3 length. */
export interface Llc {
  readonly layer: 'llc';
  readonly dsap: number;
  readonly ssap: number;
  /** One byte in unnumbered frames (low bits 11), two else. */
  readonly control: number;
}

/** Subnetwork access protocol (IEEE 802, clause 10.5): after LLC aa aa 03. */
export interface Snap {
  readonly layer: 'snap';
  readonly oui: number;
  /** EtherType where the OUI is 0. */
  readonly type?: number;
}

export const LLC_SAP_SNAP = 0xaa;
export const LLC_SAP_STP = 0x42;
export const LLC_UNNUMBERED = 0x03;
export const SNAP_HEADER = 5;

export function llcLength(value: Llc): number {
  return (value.control & 3) === 3 && value.control < 0x100 ? 3 : 4;
}

export function parseLlc(b: Uint8Array, at: number, end: number): Parsed<Llc> | Malformed {
  if (end - at < 3) return tooShort('LLC', at, end, 3);
  const length = (b[at + 2] & 3) === 3 ? 3 : 4;
  if (end - at < length) return tooShort('LLC', at, end, length);
  const control = length === 3 ? b[at + 2] : get16(b, at + 2);
  return { value: { layer: 'llc', dsap: b[at], ssap: b[at + 1], control }, next: at + length, end };
}

export function emitLlc(value: Llc, b: Uint8Array, at: number): void {
  b[at] = value.dsap;
  b[at + 1] = value.ssap;
  if (llcLength(value) === 3) b[at + 2] = value.control;
  else put16(b, at + 2, value.control);
}

export function parseSnap(b: Uint8Array, at: number, end: number): Parsed<Snap> | Malformed {
  if (end - at < SNAP_HEADER) return tooShort('SNAP', at, end, SNAP_HEADER);
  return { value: { layer: 'snap', oui: get24(b, at), type: get16(b, at + 3) }, next: at + SNAP_HEADER, end };
}

export function emitSnap(value: Snap, b: Uint8Array, at: number): void {
  put24(b, at, value.oui);
  put16(b, at + 3, value.type ?? 0);
}
