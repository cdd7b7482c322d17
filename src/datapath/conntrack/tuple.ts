/**
 * A connection's name in one direction: addresses, what L4 tells conversations apart by, protocol, zone.
 *
 * A tuple is {@link TUPLE_WORDS} words: source and destination address (IPv4 in the first of four words, the others 0),
 * an L4 word for each side, and the rest in one. The L4 word of a side is its port for TCP and UDP; (id << 16) | type for
 * ICMP and ICMPv6 queries, where the type of the destination's side is that of the answer, so that a reversed query is the
 * tuple of its answer; 0 for all other protocols. Two tuples are the same conversation only if all words are equal:
 * a hash finds them, and never decides.
 */
export type Tuple = Uint32Array;

export const T_SRC = 0;
export const T_DST = 4;
export const T_L4_SRC = 8;
export const T_L4_DST = 9;
/** zone (16) | IP version (8) | protocol (8). */
export const T_REST = 10;
export const TUPLE_WORDS = 11;

export const TCP = 6;
export const UDP = 17;
export const ICMP = 1;
export const ICMPV6 = 58;

export const newTuple = (): Tuple => new Uint32Array(TUPLE_WORDS);

/** `T_REST` of a tuple. */
export const restOf = (zone: number, version: number, protocol: number): number =>
  ((zone << 16) | (version << 8) | protocol) >>> 0;
export const zoneOf = (t: Tuple): number => t[T_REST] >>> 16;
export const versionOf = (t: Tuple): number => (t[T_REST] >>> 8) & 0xff;
export const protocolOf = (t: Tuple): number => t[T_REST] & 0xff;
export const isIcmp = (protocol: number): boolean => protocol === ICMP || protocol === ICMPV6;

/** Writes the other direction of `from` to `to`, which is another one. */
export function reverseInto(from: Tuple, to: Tuple): void {
  for (let i = 0; i < 4; i++) {
    to[T_SRC + i] = from[T_DST + i];
    to[T_DST + i] = from[T_SRC + i];
  }
  to[T_L4_SRC] = from[T_L4_DST];
  to[T_L4_DST] = from[T_L4_SRC];
  to[T_REST] = from[T_REST];
}

/** Turns a tuple around in place. */
export function reverse(t: Tuple): void {
  for (let i = 0; i < 4; i++) {
    const src = t[T_SRC + i];
    t[T_SRC + i] = t[T_DST + i];
    t[T_DST + i] = src;
  }
  const l4 = t[T_L4_SRC];
  t[T_L4_SRC] = t[T_L4_DST];
  t[T_L4_DST] = l4;
}

/** Type of the ICMP message that answers a query, or that it answers; -1: that type is neither. */
export function reverseIcmpType(type: number): number {
  switch (type) {
    case 8:
      return 0;
    case 0:
      return 8;
    case 13:
      return 14;
    case 14:
      return 13;
    case 15:
      return 16;
    case 16:
      return 15;
    default:
      return -1;
  }
}

/** The same for ICMPv6 (RFC 4443). */
export function reverseIcmp6Type(type: number): number {
  return type === 128 ? 129 : type === 129 ? 128 : -1;
}

/**
 * Hash of the tuple of words `w[at..at+10]`, the same for both directions, so that a connection whose addresses are not
 * translated is found both ways by one entry. `seed` is secret: who chooses tuples must not be able to choose buckets.
 */
export function hashTuple(w: Uint32Array, at: number, seed: number): number {
  const src = side(w, at + T_SRC, w[at + T_L4_SRC], seed);
  const dst = side(w, at + T_DST, w[at + T_L4_DST], seed);
  return finish((src ^ dst) + Math.imul(src + dst, 0x9e3779b1), w[at + T_REST]);
}

function side(w: Uint32Array, at: number, l4: number, seed: number): number {
  let h = mix(seed, w[at]);
  if ((w[at + 1] | w[at + 2] | w[at + 3]) !== 0) {
    h = mix(h, w[at + 1]);
    h = mix(h, w[at + 2]);
    h = mix(h, w[at + 3]);
  }
  return mix(h, l4);
}

/** One round of MurmurHash3's 32-bit mixing. */
function mix(h: number, word: number): number {
  let k = Math.imul(word, 0xcc9e2d51);
  k = Math.imul((k << 15) | (k >>> 17), 0x1b873593);
  const x = h ^ k;
  return (Math.imul((x << 13) | (x >>> 19), 5) + 0xe6546b64) | 0;
}

function finish(h: number, rest: number): number {
  let x = mix(h, rest);
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}
