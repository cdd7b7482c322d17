import { parseIpv4Address, parseIpv6Address } from '../../wire/address.ts';
import { get32 } from '../../wire/bytes.ts';

/*
 * FTP's control connection tells of a data connection that is to come (RFC 959, 2428): the client where it waits for the
 * server (PORT, EPRT), or the server, asked for that, where it waits for the client (227 answers PASV, 229 EPSV).
 *
 * Read is what a single segment begins with, as Open vSwitch does it: who cuts a command up gets no data connection.
 */

/** Characters of a segment that are looked at. */
export const MESSAGE = 127;

export interface Announcement {
  /** The server waits. */
  readonly passive: boolean;
  readonly port: number;
  /** Address as in a tuple; null: none is said. */
  readonly address: Uint32Array | null;
  /** Where the address stands in the text, and its length. */
  readonly at: number;
  readonly size: number;
  /** What stands between the bytes of an IPv4 address. */
  readonly separator: ',' | '.';
}

/** The announcement that a text is; null: it is something else; 'malformed': it was to be one. */
export function readAnnouncement(text: string, v6: boolean): Announcement | 'malformed' | null {
  if (/^EPRT/i.test(text)) return readEprt(text, v6);
  if (v6) return /EXTENDED PASSIVE/i.test(text) ? readEpsv(text) : null;
  if (/^229/.test(text)) return readEpsv(text);
  if (/^PORT/i.test(text)) return readPort(text, 4, false);
  return /^227/.test(text) ? readPort(text, 3, true) : null;
}

/** Address and port of IPv4 in six numbers, which begin with the first digit after the first space behind `from`. */
function readPort(text: string, from: number, passive: boolean): Announcement | 'malformed' {
  const space = text.indexOf(' ', from);
  if (space < 0) return 'malformed';
  const at = digitFrom(text, space);
  const found = /^(\d{1,3},\d{1,3},\d{1,3},\d{1,3}),(\d{1,4}),(\d{1,9})/.exec(text.slice(at));
  if (found === null) return 'malformed';
  const [, written, high, low] = found;
  const address = addressWords(parseIpv4Address(written.replaceAll(',', '.')));
  if (address === null || Number(high) > 255 || Number(low) > 255) return 'malformed';
  const port = Number(high) * 256 + Number(low);
  return { passive, port, address, at, size: written.length, separator: ',' };
}

/** Protocol (1: IPv4, 2: IPv6), address and port, each between two of the same character (RFC 2428, section 2). */
function readEprt(text: string, v6: boolean): Announcement | 'malformed' {
  const first = digitFrom(text, 4);
  if (text[first] !== (v6 ? '2' : '1')) return 'malformed';
  const found = /^([^0-9])([0-9a-f:.]+)\1(\d{1,6})/i.exec(text.slice(first + 1));
  if (found === null) return 'malformed';
  const [, , written, digits] = found;
  const address = addressWords(v6 ? parseIpv6Address(written) : parseIpv4Address(written));
  const port = Number(digits);
  if (address === null || port > 65535) return 'malformed';
  return { passive: false, port, address, at: first + 2, size: written.length, separator: '.' };
}

/** A port in parentheses (RFC 2428, section 3). */
function readEpsv(text: string): Announcement | 'malformed' {
  const open = text.indexOf('(');
  const found = open < 0 ? null : /^\d{1,6}/.exec(text.slice(digitFrom(text, open)));
  const port = found === null ? 65536 : Number(found[0]);
  if (port > 65535) return 'malformed';
  return { passive: true, port, address: null, at: 0, size: 0, separator: '.' };
}

/** Where the first digit from `from` on stands; the end: there is none. */
function digitFrom(text: string, from: number): number {
  const found = text.slice(from).search(/\d/);
  return found < 0 ? text.length : from + found;
}

/** As in a tuple. */
function addressWords(bytes: Uint8Array | null): Uint32Array | null {
  if (bytes === null) return null;
  const words = new Uint32Array(4);
  for (let i = 0; i < bytes.length; i += 4) words[i >> 2] = get32(bytes, i);
  return words;
}
