import { WeftError } from '../../base/errors.ts';
import { formatIpv4, parseIpv4 as parseIpv4OrNull } from '../../flow/address-text.ts';
import { splitKeyValues } from '../../flow/match-parse.ts';
import { formatPort, type PortNames, parsePort, quoteName, unquoteName } from '../../flow/port-text.ts';
import { OFPP_MAX } from '../constants.ts';

/**
 * The lexical half of action texts: numbers, names and addresses. Numbers follow C's strtol family (base
 * by prefix, leading blanks and signs), because texts that scripts have fed to ovs-ofctl for years rely
 * on it.
 */

/** An action text that cannot be understood; `message` is worded as ovs-ofctl words it. */
export class ActionSyntaxError extends WeftError {
  constructor(message: string) {
    super('bad-action-text', message);
    this.name = 'ActionSyntaxError';
  }
}

export function syntaxError(message: string): never {
  throw new ActionSyntaxError(message);
}

/** Names of a bridge's ports or tables. */
export type NameMap = PortNames;

/** Takes `a,b:c,d(e,f),g=h` apart. */
export { formatIpv4, formatPort, parsePort, splitKeyValues as keyValues };

// --- Numbers ------------------------------------------------------------------------------------------

export interface ScannedInteger {
  readonly value: bigint;
  /** Where the number ends; 0 if there is none. */
  readonly end: number;
}

/** Digits of an integer that are read; more than 64 bits need in any base. */
const MAX_DIGITS = 80;
const BEYOND = 1n << 256n;
const INTEGER = /^[ \t\n\v\f\r]*([+-]?)(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)/;
const DECIMAL = /^[ \t\n\v\f\r]*([+-]?)([0-9]+)/;

/** The integer at the start of `text`, as strtol reads it: of base 10, or of the base that its prefix says. */
export function scanInteger(text: string, base: 0 | 10 = 0): ScannedInteger {
  const m = (base === 10 ? DECIMAL : INTEGER).exec(text);
  if (m === null) return { value: 0n, end: 0 };
  const digits = m[2];
  // So many digits are out of any range that callers accept; what number they make is not worth knowing.
  if (digits.length > MAX_DIGITS) return { value: m[1] === '-' ? -BEYOND : BEYOND, end: m[0].length };
  const octal = base === 0 && digits.length > 1 && digits[0] === '0' && /^[0-7]+$/.test(digits);
  const magnitude = BigInt(octal ? `0o${digits.slice(1)}` : digits.replace(/^0+(?=[0-9])/, ''));
  return { value: m[1] === '-' ? -magnitude : magnitude, end: m[0].length };
}

/** The whole of `text` as an integer, or null. */
export function wholeInteger(text: string, base: 0 | 10 = 0): bigint | null {
  const { value, end } = scanInteger(text, base);
  return end === 0 || end !== text.length ? null : value;
}

/** C's atoi: a decimal prefix, else 0; truncated to `bits`. */
export function looseDecimal(text: string, bits: number): number {
  return Number(BigInt.asUintN(bits, scanInteger(text, 10).value));
}

function parseUnsigned(text: string, what: string, max: bigint): number {
  const value = wholeInteger(text);
  if (value === null || value < 0n || value > max) syntaxError(`invalid ${what} "${text}"`);
  return Number(value);
}

export function parseU8(text: string, what: string): number {
  return parseUnsigned(text, what, 0xffn);
}

export function parseU16(text: string, what: string): number {
  return parseUnsigned(text, what, 0xffffn);
}

function parseWrapping(text: string, bits: number): bigint {
  if (text === '') syntaxError('missing required numeric argument');
  const value = wholeInteger(text);
  // Like strtoul on a 64-bit machine: 64 bits are taken, negative ones too, and then cut to size.
  if (value === null || value > 0xffffffffffffffffn || value < -0xffffffffffffffffn) {
    syntaxError(`invalid numeric format ${text}`);
  }
  return BigInt.asUintN(bits, value);
}

export function parseU32(text: string): number {
  return Number(parseWrapping(text, 32));
}

export function parseU64(text: string): bigint {
  return parseWrapping(text, 64);
}

export interface FieldInteger {
  readonly value: bigint;
  readonly tail: string;
}

/**
 * An integer of up to `bytes` bytes at the start of `text`. Hexadecimal ones may be of any length and
 * may have blanks between digits. Null: no integer there; 'range': too large.
 */
export function scanFieldInteger(text: string, bytes: number): FieldInteger | null | 'range' {
  if (/^0[xX]/.test(text)) {
    let at = 2;
    let digits = '';
    for (; at < text.length; at++) {
      const c = text[at];
      if (/[0-9a-fA-F]/.test(c)) digits += c;
      else if (!' \t\r\n'.includes(c)) break;
    }
    digits = digits.replace(/^0+/, '');
    if ((digits.length + 1) >> 1 > bytes) return 'range';
    return { value: digits === '' ? 0n : BigInt(`0x${digits}`), tail: text.slice(at) };
  }
  const { value, end } = scanInteger(text);
  if (end === 0) return null;
  if (value > 0xffffffffffffffffn || value < -0xffffffffffffffffn) return 'range';
  const unsigned = BigInt.asUintN(64, value);
  if (bytes < 8 && unsigned >> BigInt(8 * bytes) !== 0n) return 'range';
  return { value: unsigned, tail: text.slice(end) };
}

/** `0x1f`, and `0` for zero: C's %#x. */
export function hex(value: number | bigint): string {
  const digits = value.toString(16);
  return digits === '0' ? '0' : `0x${digits}`;
}

export function hexBytes(bytes: Uint8Array, separator: string): string {
  let s = '';
  for (let i = 0; i < bytes.length; i++) {
    if (i > 0) s += separator;
    s += bytes[i].toString(16).padStart(2, '0');
  }
  return s;
}

/** Bytes as pairs of hexadecimal digits, with dots and blanks between pairs; null if the text holds else. */
export function parseHexBytes(text: string): Uint8Array | null {
  const bytes: number[] = [];
  let at = 0;
  for (;;) {
    while (at < text.length && ' .\t\r\n'.includes(text[at])) at++;
    if (at >= text.length) return Uint8Array.from(bytes);
    const pair = text.slice(at, at + 2);
    if (!/^[0-9a-fA-F]{2}$/.test(pair)) return null;
    bytes.push(Number.parseInt(pair, 16));
    at += 2;
  }
}

/** C's strtok over all of `text`, with a set of delimiters for each token in turn, the last repeated. */
export class Tokens {
  private readonly text: string;
  private at = 0;

  constructor(text: string) {
    this.text = text;
  }

  next(delimiters: string): string | null {
    while (this.at < this.text.length && delimiters.includes(this.text[this.at])) this.at++;
    if (this.at >= this.text.length) return null;
    const start = this.at;
    while (this.at < this.text.length && !delimiters.includes(this.text[this.at])) this.at++;
    const token = this.text.slice(start, this.at);
    this.at++;
    return token;
  }

  /** All that is left, past one delimiter; null if nothing is. */
  rest(): string | null {
    return this.at < this.text.length ? this.text.slice(this.at) : null;
  }
}

// --- Ports and tables -----------------------------------------------------------------------------------

/** Port number of OpenFlow 1.0, widened. */
export function portFrom16(port: number): number {
  return port >= 0xff00 ? port + 0xffff0000 : port;
}

/** A port as OpenFlow 1.0 and Nicira's extensions number it. */
export function portTo16(port: number): number {
  return port & 0xffff;
}

/** Whether a 32-bit number is a port at all: switch ports have 16 bits, reserved ones the top 256 numbers. */
export function isPortNumber(port: number): boolean {
  return port < 0xff00 || port >= OFPP_MAX;
}

/** A table by number or name; null: none such. */
export function parseTable(text: string, tables: NameMap | null): number | null {
  if (text.startsWith('-')) return null;
  const number = wholeInteger(text, 10);
  if (number !== null && number >= 0n && number <= 0xffffffffn) return number > 255n ? null : Number(number);
  const name = unquoteName(text);
  const table = name === null || tables === null ? null : tables.numberOf(name);
  return table === 255 ? null : table;
}

export function formatTable(table: number, tables: NameMap | null): string {
  const name = tables?.nameOf(table) ?? null;
  return name === null ? String(table) : quoteName(name);
}

// --- Addresses --------------------------------------------------------------------------------------------

const MAC =
  /^[ \t]*([0-9a-fA-F]+):([0-9a-fA-F]+):([0-9a-fA-F]+):([0-9a-fA-F]+):([0-9a-fA-F]+):([0-9a-fA-F]+)/;

export function parseMac(text: string): bigint {
  const m = MAC.exec(text);
  if (m === null) syntaxError(`invalid mac address ${text}`);
  let mac = 0n;
  for (let i = 1; i <= 6; i++) mac = (mac << 8n) | (BigInt(`0x${m[i]}`) & 0xffn);
  return mac;
}

export function formatMac(mac: bigint): string {
  return mac
    .toString(16)
    .padStart(12, '0')
    .replace(/..(?=.)/g, '$&:');
}

export function parseIpv4(text: string): number {
  return parseIpv4OrNull(text) ?? syntaxError(`${text}: could not convert to IP address`);
}

/** Takes `->` apart: what stands before it, and after. */
export function splitArrow(text: string): { before: string; after: string } {
  const at = text.indexOf('->');
  if (at < 0) syntaxError(`${text}: missing \`->'`);
  if (at + 2 >= text.length) syntaxError(`${text}: missing field name following \`->'`);
  return { before: text.slice(0, at), after: text.slice(at + 2) };
}
