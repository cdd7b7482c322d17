/** Parts that the texts of many messages share. */

import type { PortNames } from '../../flow/port-text.ts';
import { OFPG_ALL, OFPG_ANY, OFPQ_ALL, UINT64_MAX } from '../constants.ts';

/** Names to show, or take, for ports and tables. */
export interface TextNames {
  readonly ports?: PortNames | null;
  readonly tables?: PortNames | null;
}

/** `12.345s`: no decimals for whole seconds, three for whole milliseconds, else as many as it takes. */
export function formatDuration(sec: number, nsec: number): string {
  if (nsec === 0) return `${sec}s`;
  if (nsec % 1_000_000 === 0) return `${sec}.${String(nsec / 1_000_000).padStart(3, '0')}s`;
  return `${sec}.${String(nsec).padStart(9, '0').replace(/0+$/, '')}s`;
}

/** A counter, or `?` where it is unknown. */
export function formatCount(count: bigint): string {
  return count === UINT64_MAX ? '?' : String(count);
}

/** Names of the bits set, lowest first, then what has no name in hexadecimal; `0` for none. */
export function formatBits(bits: number, names: ReadonlyMap<number, string>, separator = ' '): string {
  if (bits === 0) return '0';
  const parts: string[] = [];
  let rest = bits >>> 0;
  for (let i = 0; i < 32; i++) {
    const bit = (1 << i) >>> 0;
    const name = (rest & bit) === 0 ? undefined : names.get(bit);
    if (name === undefined) continue;
    parts.push(name);
    rest = (rest & ~bit) >>> 0;
  }
  if (rest !== 0) parts.push(`0x${rest.toString(16)}`);
  return parts.join(separator);
}

export function formatMac(mac: Uint8Array): string {
  return Array.from(mac, (b) => b.toString(16).padStart(2, '0')).join(':');
}

export function formatGroup(group: number): string {
  return group === OFPG_ALL ? 'ALL' : group === OFPG_ANY ? 'ANY' : String(group);
}

export function formatQueue(queue: number): string {
  return queue === OFPQ_ALL ? 'ALL' : String(queue);
}

const BYTES_PER_LINE = 16;

/** Bytes in hexadecimal, 16 a line, each line with its offset and, unless `ascii` is false, as ASCII. */
export function hexDump(bytes: Uint8Array, ascii = true): string {
  let text = '';
  for (let at = 0; at < bytes.length; at += BYTES_PER_LINE) {
    const line = Array.from(bytes.subarray(at, at + BYTES_PER_LINE));
    const hex = line
      .map((b, i) => `${b.toString(16).padStart(2, '0')}${i === BYTES_PER_LINE / 2 - 1 ? '-' : ' '}`)
      .join('');
    text += `${at.toString(16).padStart(8, '0')}  `;
    if (ascii) {
      const chars = line.map((b) => (b >= 0x20 && b < 0x7f ? String.fromCharCode(b) : '.')).join('');
      text += `${hex.padEnd(3 * BYTES_PER_LINE)}|${chars.padEnd(BYTES_PER_LINE)}|\n`;
    } else {
      text += `${hex.replace(/ $/, '')}\n`;
    }
  }
  return text;
}

/** Printable ASCII as it is, but for backslashes and quotes; other bytes as `\\ooo`. */
export function escapeBytes(bytes: Uint8Array): string {
  return Array.from(bytes, (b) =>
    b >= 0x20 && b < 0x7f && b !== 0x5c && b !== 0x22
      ? String.fromCharCode(b)
      : `\\${b.toString(8).padStart(3, '0')}`,
  ).join('');
}
