import { Reader, roundUp } from '../bytes.ts';
import { decodeErrorBody, encodeErrorBody, type OfErrorName, type OfErrorNumbers } from '../errors.ts';
import { type Codec, codec, head, kindOf } from '../family.ts';
import type { Header } from '../header.ts';

/** Opens a connection. Its header's version is the highest that the sender speaks. */
export interface Hello extends Omit<Header, 'version'> {
  readonly kind: 'hello';
  /** Any number: a peer may be newer than all versions known here. */
  readonly version: number;
  /** Bit v set: version v is spoken. As from a bitmap element, or else all up to the header's version. */
  readonly versions: number;
}

export interface ErrorMessage extends Header {
  readonly kind: 'error';
  /** null: numbers that we do not know, which only a decoded message has. */
  readonly error: OfErrorName | null;
  /** As received; ignored when encoding an error that has a name. */
  readonly numbers?: OfErrorNumbers;
  /** At least the first 64 bytes of the message at fault; a text for a failed hello. */
  readonly data: Uint8Array;
}

export interface Echo extends Header {
  readonly kind: 'echo_request' | 'echo_reply';
  readonly data: Uint8Array;
}

const HELLO_ELEMENT_VERSIONBITMAP = 1;
const ECHO_KINDS = ['echo_request', 'echo_reply'] as const;

/** Bits of all versions up to `version`. */
function versionsUpTo(version: number): number {
  return version >= 31 ? 0xfffffffe : ((2 ** (version + 1) - 1) & ~1) >>> 0;
}

/** Number of the highest bit set; 0 if none is. */
export function highestVersion(versions: number): number {
  return versions === 0 ? 0 : 31 - Math.clz32(versions);
}

/** `0x01, 0x04`: how texts of hellos list versions. */
export function versionList(versions: number): string {
  const list: string[] = [];
  for (let v = 0; v < 32; v++) {
    if (((versions >>> v) & 1) === 1) list.push(versionHex(v));
  }
  return list.join(', ');
}

function versionHex(version: number): string {
  return `0x${version.toString(16).padStart(2, '0')}`;
}

/** `version 0x04`, `version 0x06 and earlier`, `versions 0x01, 0x04`: how logs and failed hellos name them. */
export function versionsText(versions: number): string {
  const highest = highestVersion(versions);
  if (versions === 0) return 'no versions';
  if (versions >>> 0 === 2 ** highest) return `version ${versionHex(highest)}`;
  if (versions >>> 0 === versionsUpTo(highest)) return `version ${versionHex(highest)} and earlier`;
  return `versions ${versionList(versions)}`;
}

/** The highest version that both sides speak; null if there is none. */
export function negotiateVersion(ours: number, theirs: number): number | null {
  return highestVersion((ours & theirs) >>> 0) || null;
}

/** The text that tells a peer why its hello failed (data of OFPHFC_INCOMPATIBLE). */
export function helloFailureText(ours: number, theirs: number): string {
  return `We support ${versionsText(ours)}, you support ${versionsText(theirs)}, no common versions.`;
}

/**
 * Reads the versions out of a hello's elements. Elements that are not known, and bitmaps that make no
 * sense, are passed over: a hello must get through between any two versions.
 */
function readHelloVersions(r: Reader, version: number): number {
  let versions = versionsUpTo(version);
  while (r.left >= 4) {
    const start = r.pos;
    const type = r.u16();
    const length = r.u16();
    if (length < 4 || roundUp(length, 8) > r.end - start) break;
    if (type === HELLO_ELEMENT_VERSIONBITMAP && length > 4 && length % 4 === 0) {
      const bitmap = new Reader(r.bytes, undefined, r.pos, r.end).u32() & ~1;
      if (bitmap !== 0) versions = bitmap >>> 0;
    }
    r.pos = start + roundUp(length, 8);
  }
  return versions;
}

const hello = codec(
  ['hello'],
  (r, c) => {
    const { version } = c.header;
    return { ...head(c, 'hello'), versions: readHelloVersions(r, version) };
  },
  ({ versions }, { w }) => {
    // The header says the highest version; a bitmap is only of use where not all before it are spoken.
    if (versions >>> 0 === versionsUpTo(highestVersion(versions))) return;
    w.u16(HELLO_ELEMENT_VERSIONBITMAP);
    w.u16(8);
    w.u32(versions);
  },
);

const error = codec(
  ['error'],
  (r, c) => {
    const { name, numbers, data } = decodeErrorBody(c.version, r.rest());
    return { ...head(c, 'error'), error: name, numbers, data };
  },
  ({ error, numbers, data }, { w, version }) => {
    if (error !== null) {
      w.put(encodeErrorBody(version, error, data));
      return;
    }
    w.u16(numbers?.type ?? 0);
    w.u16(numbers?.code ?? 0);
    w.put(data);
  },
);

const echo = codec(
  ECHO_KINDS,
  (r, c) => ({ ...head(c, kindOf(c, ECHO_KINDS)), data: r.rest() }),
  ({ data }, { w }) => w.put(data),
);

export const symmetricCodecs: readonly Codec[] = [hello, error, echo];
