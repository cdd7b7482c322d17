import { get16, put16, toHex } from './bytes.ts';

/** "00:1b:21:0a:0b:0c" of six bytes at `at`. */
export function formatMac(b: Uint8Array, at = 0): string {
  return toHex(b.subarray(at, at + 6), ':');
}

/** Six groups of one or two hexadecimal digits. Null: not an Ethernet address. */
export function parseMacAddress(text: string): Uint8Array | null {
  const groups = text.split(':');
  if (groups.length !== 6) return null;
  const out = new Uint8Array(6);
  for (let i = 0; i < 6; i++) {
    if (!/^[0-9a-fA-F]{1,2}$/.test(groups[i])) return null;
    out[i] = Number.parseInt(groups[i], 16);
  }
  return out;
}

/** Dotted quad of four bytes at `at`. */
export function formatIpv4(b: Uint8Array, at = 0): string {
  return `${b[at]}.${b[at + 1]}.${b[at + 2]}.${b[at + 3]}`;
}

/** Dotted quad of a 32-bit word. */
export function formatIpv4Word(word: number): string {
  return `${word >>> 24}.${(word >>> 16) & 255}.${(word >>> 8) & 255}.${word & 255}`;
}

/** Four decimal groups, as inet_pton(3) takes them. Null: not an IPv4 address. */
export function parseIpv4Address(text: string): Uint8Array | null {
  const groups = text.split('.');
  if (groups.length !== 4) return null;
  const out = new Uint8Array(4);
  for (let i = 0; i < 4; i++) {
    if (!/^(0|[1-9]\d{0,2})$/.test(groups[i])) return null;
    const value = Number(groups[i]);
    if (value > 255) return null;
    out[i] = value;
  }
  return out;
}

/**
 * The text of RFC 5952 as inet_ntop(3) writes it: the longest run of two or more zero groups becomes
 * "::", the last 32 bits are dotted where the address is IPv4-mapped or IPv4-compatible (as glibc has it: "::1.2.3.4", but "::1").
 */
export function formatIpv6(b: Uint8Array, at = 0): string {
  const groups: number[] = [];
  for (let i = 0; i < 8; i++) groups.push(get16(b, at + 2 * i));
  let bestStart = -1;
  let bestLength = 1;
  for (let i = 0; i < 8; ) {
    let j = i;
    while (j < 8 && groups[j] === 0) j++;
    if (j - i > bestLength) {
      bestStart = i;
      bestLength = j - i;
    }
    i = j > i ? j : i + 1;
  }
  const dotted = bestStart === 0 && (bestLength === 6 || (bestLength === 5 && groups[5] === 0xffff));
  let text = '';
  for (let i = 0; i < 8; i++) {
    if (i === bestStart) {
      text += '::';
      i += bestLength - 1;
      continue;
    }
    if (dotted && i === 6) return text + (text.endsWith(':') ? '' : ':') + formatIpv4(b, at + 12);
    if (text !== '' && !text.endsWith(':')) text += ':';
    text += groups[i].toString(16);
  }
  return text;
}

/** As inet_pton(3) takes it. Null: not an IPv6 address. */
export function parseIpv6Address(text: string): Uint8Array | null {
  const out = new Uint8Array(16);
  const halves = text.split('::');
  if (halves.length > 2) return null;
  const read = (half: string): number[] | null => {
    if (half === '') return [];
    const groups: number[] = [];
    const parts = half.split(':');
    for (let i = 0; i < parts.length; i++) {
      if (i === parts.length - 1 && parts[i].includes('.')) {
        const v4 = parseIpv4Address(parts[i]);
        if (v4 === null) return null;
        groups.push(get16(v4, 0), get16(v4, 2));
      } else {
        if (!/^[0-9a-fA-F]{1,4}$/.test(parts[i])) return null;
        groups.push(Number.parseInt(parts[i], 16));
      }
    }
    return groups;
  };
  const head = read(halves[0]);
  const tail = halves.length === 2 ? read(halves[1]) : [];
  if (head === null || tail === null) return null;
  if (halves.length === 2 && halves[0].includes('.')) return null;
  const count = head.length + tail.length;
  if (halves.length === 1 ? count !== 8 : count > 7) return null;
  head.forEach((group, i) => {
    put16(out, 2 * i, group);
  });
  tail.forEach((group, i) => {
    put16(out, 16 - 2 * (tail.length - i), group);
  });
  return out;
}
