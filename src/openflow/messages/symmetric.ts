import type { OfErrorName, OfErrorNumbers } from '../errors.ts';
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

/** An experimenter message that nobody here knows; decoding gives an error instead. Only to send. */
export interface Experimenter extends Header {
  readonly kind: 'experimenter';
  readonly experimenter: number;
  readonly subtype: number;
  readonly data: Uint8Array;
}
