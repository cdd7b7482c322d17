/** Text form of one field's value and mask: `10.0.0.0/8`, `0x1/0xf`, `+syn-ack`, `LOCAL`, `later`. */
import { WeftError } from '../base/errors.ts';
import {
  formatEthernetMasked,
  formatIpv4Masked,
  formatIpv6Masked,
  parseEthernet,
  parseIpv4Masked,
  parseIpv6Masked,
} from './address-text.ts';
import type { Field } from './field.ts';
import { isMaskValid, ones } from './field-access.ts';
import {
  CT_STATE_NAMES,
  type FlagNames,
  formatFlagsMasked,
  hex,
  parseFlags,
  TCP_FLAG_NAMES,
  TUN_FLAG_NAMES,
} from './flag-text.ts';
import { FRAG_ANY, FRAG_LATER, PT_ETH } from './layout.ts';
import { formatPort, type PortNames, parsePort } from './port-text.ts';

/** A value and which of its bits matter; `mask` is `field.bytes` wide, all ones for an exact match. */
export interface MaskedValue {
  readonly value: bigint;
  readonly mask: bigint;
}

function bad(message: string): WeftError {
  return new WeftError('field-value', message, { remedy: 'see ovs-fields(7) for how values are written' });
}

/**
 * Reads an integer as C's strtoull with base 0 does, but hexadecimal ones of any length. Null if
 * there is none at the start of the text.
 */
function scanInteger(text: string): { value: bigint; rest: string } | null {
  const hexadecimal = /^0[xX]([0-9a-fA-F \t\r\n]*)/.exec(text);
  if (hexadecimal !== null) {
    const digits = hexadecimal[1].replace(/\s+/g, '');
    return { value: BigInt(`0x${digits === '' ? '0' : digits}`), rest: text.slice(hexadecimal[0].length) };
  }
  const m = /^\s*\+?(0[0-7]*|[1-9]\d*)/.exec(text);
  if (m === null) return null;
  const digits = m[1];
  const value = digits.length > 1 && digits.startsWith('0') ? BigInt(`0o${digits.slice(1)}`) : BigInt(digits);
  return { value, rest: text.slice(m[0].length) };
}

/**
 * Reads an integer that is all of `text` and fits in `bytes` bytes (`0x` hexadecimal, `0` octal, else
 * decimal); null if it isn't one.
 */
export function parseInteger(text: string, bytes: number): bigint | null {
  const scanned = scanInteger(text);
  return scanned === null || scanned.rest !== '' || scanned.value > ones(bytes * 8) ? null : scanned.value;
}

function parseIntegerMasked(field: Field, text: string): MaskedValue {
  const all = ones(field.bytes * 8);
  const part = (s: string, what: string, ends: RegExp): { value: bigint; rest: string } => {
    const scanned = scanInteger(s);
    const tooLarge = scanned !== null && scanned.value > all;
    if (tooLarge) throw bad(`${text}: ${what} too large for ${field.bytes}-byte field ${field.name}`);
    if (scanned === null || !ends.test(scanned.rest))
      throw bad(`${text}: bad syntax for ${field.name} ${what}`);
    return scanned;
  };
  const { value, rest } = part(text, 'value', /^(\/|$)/);
  if (rest === '') return { value, mask: all };
  return { value, mask: part(rest.slice(1), 'mask', /^$/).value };
}

function parsePacketType(text: string): MaskedValue {
  const fail = (what: string) => bad(`${text}: bad syntax for packet type ${what}`);
  if (!text.startsWith('(')) throw fail("missing '('");
  const ns = scanInteger(text.slice(1));
  if (ns === null || ns.value > 0xffffn) throw fail('ns');
  if (!ns.rest.startsWith(',')) throw fail("missing ','");
  const type = scanInteger(ns.rest.slice(1));
  if (type === null || type.value > 0xffffn) throw fail('ns_type');
  if (!type.rest.startsWith(')')) throw fail("missing ')'");
  return { value: (ns.value << 16n) | type.value, mask: 0xffffffffn };
}

const FRAGS: readonly { readonly name: string; readonly mask: number; readonly value: number }[] = [
  { name: 'no', mask: FRAG_ANY | FRAG_LATER, value: 0 },
  { name: 'first', mask: FRAG_ANY | FRAG_LATER, value: FRAG_ANY },
  { name: 'later', mask: FRAG_ANY | FRAG_LATER, value: FRAG_ANY | FRAG_LATER },
  { name: 'no', mask: FRAG_ANY, value: 0 },
  { name: 'yes', mask: FRAG_ANY, value: FRAG_ANY },
  { name: 'not_later', mask: FRAG_LATER, value: 0 },
  { name: 'later', mask: FRAG_LATER, value: FRAG_LATER },
];

function parseFrag(text: string): MaskedValue {
  const frag = FRAGS.find((f) => f.name === text.toLowerCase());
  if (frag === undefined) {
    throw bad(`${text}: unknown fragment type (valid types are "no", "yes", "first", "later", "not_later"`);
  }
  // The bits above the field's own are set, so that "both bits" reads as all ones.
  return { value: BigInt(frag.value), mask: BigInt(frag.mask | 0xfc) };
}

function parseFlagField(field: Field, names: FlagNames, text: string): MaskedValue {
  const flags = parseFlags(names, text);
  if (typeof flags === 'string') throw bad(flags);
  return {
    value: BigInt(flags.value),
    mask: flags.mask === null ? ones(field.bytes * 8) : BigInt(flags.mask),
  };
}

function orThrow(result: MaskedValue | string): MaskedValue {
  if (typeof result === 'string') throw bad(result);
  return result;
}

function parseByFormat(field: Field, text: string, ports: PortNames | null): MaskedValue {
  switch (field.format) {
    case 'decimal':
    case 'hexadecimal':
      return parseIntegerMasked(field, text);
    case 'ethernet':
      return orThrow(parseEthernet(text) ?? `${text}: invalid Ethernet address`);
    case 'ipv4':
      return orThrow(parseIpv4Masked(text));
    case 'ipv6':
      return orThrow(parseIpv6Masked(text));
    case 'of10-port':
    case 'of11-port': {
      const port = parsePort(text, ports);
      const what = field.format === 'of10-port' ? 'invalid or unknown port' : 'port value out of range';
      if (port === null) throw bad(`${text}: ${what} for ${field.name}`);
      const all = ones(field.bytes * 8);
      return { value: BigInt(port) & all, mask: all };
    }
    case 'frag':
      return parseFrag(text);
    case 'tunnel-flags':
      return parseFlagField(field, TUN_FLAG_NAMES, text);
    case 'tcp-flags':
      return parseFlagField(field, TCP_FLAG_NAMES, text);
    case 'ct-state':
      return parseFlagField(field, CT_STATE_NAMES, text);
    case 'packet-type':
      return parsePacketType(text);
  }
}

/**
 * Reads a field's value and mask; `*` is a mask of 0.
 * @throws WeftError `field-value`, in the words of ovs-ofctl.
 */
export function parseFieldText(field: Field, text: string, ports: PortNames | null = null): MaskedValue {
  if (text === '*') return { value: 0n, mask: 0n };
  const parsed = parseByFormat(field, text, ports);
  if (!isMaskValid(field, parsed.mask)) throw bad(`${text}: invalid mask for field ${field.name}`);
  return parsed;
}

/**
 * Reads a field's value without a mask, as `set_field` takes it.
 * @throws WeftError `field-value`, in the words of ovs-ofctl.
 */
export function parseFieldValue(field: Field, text: string, ports: PortNames | null = null): bigint {
  const { value, mask } = parseFieldText(field, text, ports);
  if (mask !== ones(field.bytes * 8)) throw bad(`${text}: wildcards not allowed here`);
  return value;
}

/** `eth`, or `packet_type=(ns,type)`, with `*` and `/mask` as a mask asks for. */
export function formatPacketType(value: number, mask: number): string {
  if (value === PT_ETH && mask >>> 0 === 0xffffffff) return 'eth';
  const half = (v: number, m: number): string => {
    if (m === 0) return '*';
    return (v > 9 ? hex(v) : String(v)) + (m === 0xffff ? '' : `/${hex(m)}`);
  };
  return `packet_type=(${half(value >>> 16, mask >>> 16)},${half(value & 0xffff, mask & 0xffff)})`;
}

/** Writes a field's value and mask (as wide as {@link MaskedValue} has it; default: exact). */
export function formatFieldText(
  field: Field,
  value: bigint,
  mask: bigint = ones(field.bytes * 8),
  ports: PortNames | null = null,
): string {
  if (mask === 0n) return 'ANY';
  const exact = mask === ones(field.bytes * 8);
  const [v, m] = [Number(value & 0xffffffffn), Number(mask & 0xffffffffn)];
  switch (field.format) {
    case 'of10-port':
    case 'of11-port':
      if (exact) {
        const wide = field.format === 'of10-port' && v >= 0xff00 ? (v | 0xffff0000) >>> 0 : v;
        return formatPort(wide, ports);
      }
      return `${value}/${hex(mask)}`;
    case 'decimal':
      return exact ? String(value) : `${value}/${hex(mask)}`;
    case 'hexadecimal':
      return exact ? hex(value) : `${hex(value)}/${hex(mask)}`;
    case 'ethernet':
      return formatEthernetMasked(value, mask);
    case 'ipv4':
      return formatIpv4Masked(v, m);
    case 'ipv6':
      return formatIpv6Masked(value, mask);
    case 'frag':
      return FRAGS.find((f) => f.mask === (m & 3) && f.value === (v & m & 3))?.name ?? '<error>';
    case 'tunnel-flags':
      return formatFlagsMasked(TUN_FLAG_NAMES, v, m & TUN_FLAG_NAMES.allowed, TUN_FLAG_NAMES.allowed);
    case 'tcp-flags':
      return formatFlagsMasked(TCP_FLAG_NAMES, v, m & 0xfff, 0xfff);
    case 'ct-state':
      // A full mask is 32 bits wide, of which a state has 16 at most: it is written as a mask.
      return formatFlagsMasked(CT_STATE_NAMES, v, m, 0xffff);
    case 'packet-type':
      return formatPacketType(v, m);
  }
}
