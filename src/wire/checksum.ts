import { get16, get32, put16 } from './bytes.ts';

/**
 * The Internet checksum (RFC 1071), its incremental update (RFC 1624) and the pseudo headers of IPv4
 * (RFC 793) and IPv6 (RFC 8200, section 8.1).
 *
 * A *sum* here is a number below 2^48 that still has to be folded; `finish` folds it and takes the
 * complement, which is what stands in a header.
 */

/** Adds the 16-bit words of `b[from..to-1]` to `sum`; an odd last byte counts as a high byte. */
export function addBytes(sum: number, b: Uint8Array, from: number, to: number): number {
  let acc = sum;
  let i = from;
  // 16-bit words stay far below 2^31 within a chunk; between chunks the carries are folded.
  while (to - i > 1) {
    const stop = Math.min(i + 0x4000, to - 1);
    let part = 0;
    for (; i < stop; i += 2) part += (b[i] << 8) | b[i + 1];
    acc += part;
  }
  if (i < to) acc += b[i] << 8;
  return acc;
}

/** Adds both halves of a 32-bit word to `sum`. */
export function addWord(sum: number, word: number): number {
  return sum + (word >>> 16) + (word & 0xffff);
}

/** The 16 bits of a sum, carries added back in. */
export function fold(sum: number): number {
  let s = sum;
  while (s > 0xffff) s = (s % 0x10000) + Math.floor(s / 0x10000);
  return s;
}

/** Folds and complements: the value for a checksum field. */
export function finish(sum: number): number {
  return ~fold(sum) & 0xffff;
}

/** Checksum of `b[from..to-1]`. Over data that hold a right checksum it is 0. */
export function checksum(b: Uint8Array, from: number, to: number): number {
  return finish(addBytes(0, b, from, to));
}

/** Sum of the pseudo header of an IPv4 packet whose header is at `ip`, for `length` bytes of `protocol`. */
export function pseudoHeader4(b: Uint8Array, ip: number, protocol: number, length: number): number {
  return addWord(addWord(protocol + length, get32(b, ip + 12)), get32(b, ip + 16));
}

/** Sum of the pseudo header of an IPv6 packet whose header is at `ip`, for `length` bytes of `protocol`. */
export function pseudoHeader6(b: Uint8Array, ip: number, protocol: number, length: number): number {
  return addBytes(addWord(protocol, length), b, ip + 8, ip + 40);
}

/** The checksum `old` after a 16-bit word that it covers went from `from` to `to` (RFC 1624, eqn. 3). */
export function update16(old: number, from: number, to: number): number {
  return finish((~old & 0xffff) + (~from & 0xffff) + to);
}

/** The same for a 32-bit word on an even offset. */
export function update32(old: number, from: number, to: number): number {
  return finish((~old & 0xffff) + (~(from >>> 16) & 0xffff) + (~from & 0xffff) + (to >>> 16) + (to & 0xffff));
}

/**
 * An unfinished checksum (the folded sum of the pseudo header alone, as checksum offload leaves it in
 * the field) after a 32-bit word of the pseudo header went from `from` to `to`.
 */
export function updatePartial32(old: number, from: number, to: number): number {
  return fold(old + (~(from >>> 16) & 0xffff) + (~from & 0xffff) + (to >>> 16) + (to & 0xffff));
}

/** Stores the checksum of the IPv4 header at `ip` (RFC 791) whose length its IHL tells. */
export function fillIpv4Checksum(b: Uint8Array, ip: number): void {
  put16(b, ip + 10, 0);
  put16(b, ip + 10, checksum(b, ip, ip + (b[ip] & 15) * 4));
}

/** Sum of the pseudo header of the IP packet at `ip`, its version taken from its first nibble. */
export function pseudoHeader(b: Uint8Array, ip: number, protocol: number, length: number): number {
  return b[ip] >> 4 === 6 ? pseudoHeader6(b, ip, protocol, length) : pseudoHeader4(b, ip, protocol, length);
}

/** True where the IPv4 header at `ip` has a right checksum. */
export function ipv4ChecksumOk(b: Uint8Array, ip: number): boolean {
  return checksum(b, ip, ip + (b[ip] & 15) * 4) === 0 && get16(b, ip) !== 0;
}
