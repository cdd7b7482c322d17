/**
 * Netlink messages (RFC 3549; netlink(7)): a 16-byte header, a family's fixed part, and attributes of type,
 * length and value, each padded to 4 bytes, in the machine's byte order (little-endian wherever Weft runs).
 * Pure bytes: no socket here.
 */
import { WeftError } from '../../base/errors.ts';

export const HEADER_SIZE = 16;
const ATTRIBUTE_HEADER = 4;
const NESTED = 0x8000;
const TYPE_MASK = 0x3fff;
const align = (n: number): number => (n + 3) & ~3;

export const NLM_F_REQUEST = 0x1;
export const NLM_F_ACK = 0x4;
export const NLM_F_DUMP_INTR = 0x10;
export const NLM_F_ACK_TLVS = 0x200;
export const NLM_F_DUMP = 0x300;
export const NLM_F_REPLACE = 0x100;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;
export const NLM_F_APPEND = 0x800;

export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;

/** One received message. */
export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  /** What follows the header. Shares the buffer it was received in. */
  readonly payload: Uint8Array;
}

const bad = (what: string): WeftError => new WeftError('bad-netlink', `malformed netlink message: ${what}`);
const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Cuts one datagram into its messages. */
export function parseMessages(datagram: Uint8Array): NetlinkMessage[] {
  const messages: NetlinkMessage[] = [];
  const view = viewOf(datagram);
  for (let at = 0; at + HEADER_SIZE <= datagram.length; ) {
    const length = view.getUint32(at, true);
    if (length < HEADER_SIZE || at + length > datagram.length)
      throw bad(`length ${length} at ${at} of ${datagram.length}`);
    messages.push({
      type: view.getUint16(at + 4, true),
      flags: view.getUint16(at + 6, true),
      sequence: view.getUint32(at + 8, true),
      payload: datagram.subarray(at + HEADER_SIZE, at + length),
    });
    at += align(length);
  }
  return messages;
}

/** The attributes of a message behind its fixed part, by type; of a type that comes twice, the last. */
export class Attributes {
  private readonly values = new Map<number, Uint8Array>();

  constructor(bytes: Uint8Array, start = 0) {
    const view = viewOf(bytes);
    for (let at = start; at + ATTRIBUTE_HEADER <= bytes.length; ) {
      const length = view.getUint16(at, true);
      if (length < ATTRIBUTE_HEADER || at + length > bytes.length)
        throw bad(`attribute of ${length} bytes at ${at} of ${bytes.length}`);
      this.values.set(
        view.getUint16(at + 2, true) & TYPE_MASK,
        bytes.subarray(at + ATTRIBUTE_HEADER, at + length),
      );
      at += align(length);
    }
  }

  bytes(type: number): Uint8Array | undefined {
    return this.values.get(type);
  }

  u8(type: number): number | undefined {
    return this.values.get(type)?.[0];
  }

  u32(type: number): number | undefined {
    const value = this.values.get(type);
    return value === undefined || value.length < 4 ? undefined : viewOf(value).getUint32(0, true);
  }

  /** A text, up to its terminating zero. */
  text(type: number): string | undefined {
    const value = this.values.get(type);
    if (value === undefined) return undefined;
    const end = value.indexOf(0);
    return new TextDecoder().decode(end < 0 ? value : value.subarray(0, end));
  }

  nested(type: number): Attributes | undefined {
    const value = this.values.get(type);
    return value === undefined ? undefined : new Attributes(value);
  }
}

/** Puts a message's payload together. */
export class PayloadBuilder {
  private bytes = new Uint8Array(256);
  private size = 0;

  private room(size: number): number {
    const at = this.size;
    this.size = align(at + size);
    if (this.size > this.bytes.length) {
      const larger = new Uint8Array(Math.max(this.bytes.length * 2, this.size));
      larger.set(this.bytes);
      this.bytes = larger;
    }
    return at;
  }

  /** Appends bytes as they are: the fixed part of a family, or of a nested structure. */
  raw(bytes: Uint8Array): this {
    this.bytes.set(bytes, this.room(bytes.length));
    return this;
  }

  attribute(type: number, value: Uint8Array): this {
    const at = this.room(ATTRIBUTE_HEADER + value.length);
    const view = viewOf(this.bytes);
    view.setUint16(at, ATTRIBUTE_HEADER + value.length, true);
    view.setUint16(at + 2, type, true);
    this.bytes.set(value, at + ATTRIBUTE_HEADER);
    return this;
  }

  u8(type: number, value: number): this {
    return this.attribute(type, Uint8Array.of(value));
  }

  u32(type: number, value: number): this {
    return this.attribute(type, new Uint8Array(Uint32Array.of(value).buffer));
  }

  text(type: number, value: string): this {
    return this.attribute(type, new TextEncoder().encode(`${value}\0`));
  }

  /** Appends an attribute that holds what `fill` puts into it. */
  nested(type: number, fill: (inner: PayloadBuilder) => void): this {
    const at = this.room(ATTRIBUTE_HEADER);
    fill(this);
    const view = viewOf(this.bytes);
    view.setUint16(at, this.size - at, true);
    view.setUint16(at + 2, type | NESTED, true);
    return this;
  }

  /** The payload; valid until the builder is used again. */
  finish(): Uint8Array {
    return this.bytes.subarray(0, this.size);
  }
}

/** A whole message. */
export function encodeMessage(
  type: number,
  flags: number,
  sequence: number,
  payload: Uint8Array,
): Uint8Array {
  const bytes = new Uint8Array(HEADER_SIZE + payload.length);
  const view = viewOf(bytes);
  view.setUint32(0, bytes.length, true);
  view.setUint16(4, type, true);
  view.setUint16(6, flags, true);
  view.setUint32(8, sequence, true);
  bytes.set(payload, HEADER_SIZE);
  return bytes;
}
