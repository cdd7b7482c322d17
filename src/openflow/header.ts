import type { OfVersion } from './version.ts';

/**
 * Which of several formats of one message stands on the wire: the standard's (`std`), the Nicira
 * extension's (`nx`; `nx2` is its second packet-in and its second async config), or the Open Networking Foundation's backport to
 * OpenFlow 1.3 (`onf`). Decoders always say it; encoders take `std` unless told otherwise, or the only
 * one that the version has. A reply must have its request's.
 */
export type Variant = 'std' | 'nx' | 'nx2' | 'onf';

/** What all messages have. */
export interface Header {
  readonly version: OfVersion;
  /** Transaction id, 32 bits; a reply has its request's. */
  readonly xid: number;
  readonly variant?: Variant;
}

/** A message of kind `K` that has no body. */
export interface Empty<K extends string> extends Header {
  readonly kind: K;
}

/** A multipart message: the last of a series has `more` false. */
export interface Multipart {
  readonly more: boolean;
}
