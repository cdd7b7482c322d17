import {
  formatIpv4Word,
  formatIpv6,
  formatMac,
  parseIpv4Address,
  parseIpv6Address,
  parseMacAddress,
} from '../../wire/address.ts';
import { getBig, putBig } from '../../wire/bytes.ts';
import { type FieldKind, type KeyField, ones } from './attributes.ts';
import { hexOf, type Scanner } from './scanner.ts';

/** Values of fields as text. Values are right-aligned integers. */

export function bytesOf(value: bigint, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  putBig(bytes, 0, length, value);
  return bytes;
}

const FRAGMENTS = ['no', 'first', 'later'] as const;

function formatValue(kind: FieldKind, value: bigint): string {
  switch (kind) {
    case 'eth':
      return formatMac(bytesOf(value, 6));
    case 'ipv4':
      return formatIpv4Word(Number(value));
    case 'ipv6':
      return formatIpv6(bytesOf(value, 16));
    case 'hex':
      return hexOf(value);
    case 'frag':
      return FRAGMENTS[value === 0n ? 0 : (value & 2n) === 0n ? 1 : 2];
    default:
      return value.toString();
  }
}

/**
 * `name=value`, `name=value/mask`, or nothing for a field that the mask leaves out (unless `verbose`).
 * @param mask null: exact
 */
export function formatField(f: KeyField, value: bigint, mask: bigint | null, verbose: boolean): string {
  if (f.kind === 'frag') {
    // Not a set of bits for the datapath: matched as a whole or not at all.
    return mask === null || (mask & 1n) !== 0n ? `${f.name}=${formatValue('frag', value)}` : '';
  }
  if (mask === 0n && !verbose) return '';
  const text = `${f.name}=${formatValue(f.kind, value)}`;
  if (mask === null || mask === ones(f.bits)) return text;
  switch (f.kind) {
    case 'eth':
    case 'ipv4':
    case 'ipv6':
      return `${text}/${formatValue(f.kind, mask)}`;
    default:
      return `${text}/${hexOf(mask)}`;
  }
}

export interface Masked {
  readonly value: bigint;
  readonly mask: bigint;
}

function scanValue(s: Scanner, kind: FieldKind, bits: number): bigint | null {
  const start = s.at;
  let bytes: Uint8Array | null = null;
  switch (kind) {
    case 'eth': {
      const found = s.match(/[0-9a-fA-F]{1,2}(?::[0-9a-fA-F]{1,2}){5}/y);
      bytes = found === null ? null : parseMacAddress(found[0]);
      break;
    }
    case 'ipv4': {
      const found = s.match(/\d{1,3}(?:\.\d{1,3}){3}/y);
      bytes = found === null ? null : parseIpv4Address(found[0]);
      break;
    }
    case 'ipv6': {
      const found = s.match(/[0-9a-fA-F:.]+/y);
      bytes = found === null ? null : parseIpv6Address(found[0]);
      break;
    }
    case 'frag': {
      const found = s.match(/[a-z]{1,7}/y);
      const index = found === null ? -1 : (FRAGMENTS as readonly string[]).indexOf(found[0]);
      return index < 0 ? null : [0n, 1n, 3n][index];
    }
    case 'arp-op':
      return s.big(16);
    default:
      return s.big(bits);
  }
  if (bytes !== null) return getBig(bytes, 0, bytes.length);
  s.at = start;
  return null;
}

/** A field's value, and its mask if `masks` and there is one. Null: syntax error. */
export function scanField(s: Scanner, f: KeyField, masks: boolean): Masked | null {
  const full = f.kind === 'arp-op' ? 0xffffn : ones(f.bits);
  const isLabel = f.kind === 'hex' && f.bits === 20;
  const value = scanValue(s, f.kind, isLabel ? 32 : f.bits);
  if (value === null || value > full) return null;
  if (f.kind === 'frag') return { value, mask: 3n };
  const start = s.at;
  if (masks && s.literal('/')) {
    const mask = scanValue(s, f.kind, isLabel ? 32 : f.bits);
    if (mask !== null && mask <= full) return { value, mask };
    s.at = start;
  }
  return { value, mask: full };
}

/** A number of `bits` bits with an optional mask. */
export function scanNumber(s: Scanner, bits: number, masks: boolean): Masked | null {
  const value = s.big(bits);
  if (value === null) return null;
  const start = s.at;
  if (masks && s.literal('/')) {
    const mask = s.big(bits);
    if (mask !== null) return { value, mask };
    s.at = start;
  }
  return { value, mask: ones(bits) };
}
