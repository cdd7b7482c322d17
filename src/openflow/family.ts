/**
 * What each family of messages (messages/*.ts) provides: for every kind of message how to read and
 * write its body, in all versions and variants. The registry in codec.ts puts them together.
 */
import type { Reader } from './bytes.ts';
import { Writer } from './bytes.ts';
import { OfError } from './errors.ts';
import type { Header, Variant } from './header.ts';
import type { CodecOptions, OfKind, OfMessage, OfMessageOf } from './message.ts';
import {
  headersLength,
  isMultipart,
  MAX_MESSAGE,
  MULTIPART_FLAGS_OFFSET,
  putHeaders,
  type RawMessage,
} from './raw.ts';
import type { OfVersion } from './version.ts';

/** What a body's decoder knows of its message. */
export interface DecodeContext {
  readonly version: OfVersion;
  readonly variant: Variant;
  readonly header: Required<Header>;
  readonly raw: RawMessage;
  /** Of multipart messages: more follow. */
  readonly more: boolean;
  readonly options: CodecOptions;
  /** Decodes a whole message inside this one, which must be of one of `kinds`. */
  nested<K extends OfKind>(bytes: Uint8Array, kinds: readonly K[]): OfMessageOf<K>;
}

/**
 * Collects a message's body, and the further messages that a multipart body overflows into.
 */
export class MessageWriter {
  readonly version: OfVersion;
  readonly variant: Variant;
  readonly raw: RawMessage;
  readonly options: CodecOptions;
  readonly w = new Writer();
  private readonly xid: number;
  private readonly done: Uint8Array[] = [];

  /** Encodes a whole message to stand inside this one. */
  readonly nested: (message: OfMessage) => Uint8Array;

  constructor(
    raw: RawMessage,
    version: OfVersion,
    xid: number,
    options: CodecOptions,
    nested: (message: OfMessage) => Uint8Array,
  ) {
    this.nested = nested;
    this.raw = raw;
    this.version = version;
    this.variant = raw.variant;
    this.xid = xid;
    this.options = options;
    this.start();
  }

  private start(): void {
    const headers = new Uint8Array(headersLength(this.raw, this.version));
    putHeaders(headers, this.raw, this.version, this.xid);
    this.w.put(headers);
  }

  private close(more: boolean): void {
    const { w } = this;
    if (w.length > MAX_MESSAGE) {
      throw new OfError('OFPBRC_BAD_LEN', `${this.raw.name} of ${w.length} bytes, at most ${MAX_MESSAGE}`);
    }
    w.setU16(2, w.length);
    if (more) w.setU16(MULTIPART_FLAGS_OFFSET, 1);
    this.done.push(w.slice());
    w.truncate(0);
  }

  /**
   * Writes one entry of a multipart body, which goes into a further message if it does not fit. One that would fit
   * into none throws OFPBRC_BAD_LEN; or is left out, and that is what `oversized` hears.
   */
  entry(body: (w: Writer) => void, oversized?: () => void): void {
    const { w } = this;
    const at = w.length;
    body(w);
    if (oversized !== undefined && w.length - at > MAX_MESSAGE - headersLength(this.raw, this.version)) {
      w.truncate(at);
      oversized();
      return;
    }
    if (w.length <= MAX_MESSAGE || at === headersLength(this.raw, this.version)) return;
    const overflow = w.slice(at);
    w.truncate(at);
    this.close(true);
    this.start();
    w.put(overflow);
  }

  /** The finished messages. */
  finish(more: boolean): Uint8Array[] {
    this.close(more && isMultipart(this.raw));
    return this.done;
  }
}

/** How to read and write the bodies of some kinds of messages. */
export interface Codec {
  readonly kinds: readonly OfKind[];
  decode(r: Reader, context: DecodeContext): OfMessage;
  encode(message: OfMessage, out: MessageWriter): void;
}

/** A codec of one or several kinds, typed by them. Its encoder sees only messages of these kinds. */
export function codec<K extends OfKind>(
  kinds: readonly K[],
  decode: (r: Reader, context: DecodeContext) => OfMessageOf<K>,
  encode: (message: OfMessageOf<K>, out: MessageWriter) => void,
): Codec {
  return {
    kinds,
    decode,
    encode: (message, out) => encode(message as OfMessageOf<K>, out),
  };
}

/** Header fields of a decoded message of that kind. */
export function head<K extends OfKind>(
  context: DecodeContext,
  kind: K,
): Required<Header> & { readonly kind: K } {
  return { ...context.header, kind };
}

/** {@link head} for multipart messages. */
export function multipartHead<K extends OfKind>(
  context: DecodeContext,
  kind: K,
): Required<Header> & { readonly kind: K; readonly more: boolean } {
  return { ...context.header, kind, more: context.more };
}

/** The kind of a message, as one of those that its codec handles. */
export function kindOf<K extends OfKind>(context: DecodeContext, kinds: readonly K[]): K {
  const kind = kinds.find((k) => k === context.raw.kind);
  if (kind === undefined) throw new TypeError(`codec does not handle ${context.raw.kind}`);
  return kind;
}

/** Throws the error for a value that none of `what` has. */
export function reject(error: ConstructorParameters<typeof OfError>[0], message: string): never {
  throw new OfError(error, message);
}

/** Index of a name in a list of names that are numbered from 0; throws TypeError if it is not there. */
export function indexIn<T>(names: readonly T[], name: T): number {
  const i = names.indexOf(name);
  if (i < 0) throw new TypeError(`${String(name)} is none of ${names.join(', ')}`);
  return i;
}
