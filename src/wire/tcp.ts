import { get16, get32, put16, put32 } from './bytes.ts';
import { Malformed, type Parsed, tooShort } from './malformed.ts';

/** TCP header (RFC 9293). */
export interface Tcp {
  readonly layer: 'tcp';
  readonly srcPort: number;
  readonly dstPort: number;
  readonly seq: number;
  readonly ack: number;
  /** 12 bits: TCP_FIN ... TCP_NS, and three reserved ones. */
  readonly flags: number;
  readonly window: number;
  readonly checksum?: number;
  readonly urgent: number;
  /** As they stand, padded to a multiple of 4; at most 40 bytes. See `parseTcpOptions`. */
  readonly options: Uint8Array;
}

export const TCP_MIN_HEADER = 20;
export const TCP_FIN = 0x001;
export const TCP_SYN = 0x002;
export const TCP_RST = 0x004;
export const TCP_PSH = 0x008;
export const TCP_ACK = 0x010;
export const TCP_URG = 0x020;
export const TCP_ECE = 0x040;
export const TCP_CWR = 0x080;
export const TCP_NS = 0x100;

const SEQ = 4;
const ACK = 8;
const CONTROL = 12;
const WINDOW = 14;
export const TCP_CHECKSUM = 16;
const URGENT = 18;

export function tcpLength(value: Tcp): number {
  return TCP_MIN_HEADER + value.options.length;
}

export function parseTcp(b: Uint8Array, at: number, end: number): Parsed<Tcp> | Malformed {
  if (end - at < TCP_MIN_HEADER) return tooShort('TCP', at, end, TCP_MIN_HEADER);
  const control = get16(b, at + CONTROL);
  const header = (control >> 12) * 4;
  if (header < TCP_MIN_HEADER) return new Malformed('TCP', `header length ${header} is below 20`, at);
  if (end - at < header) return tooShort('TCP', at, end, header);
  return {
    value: {
      layer: 'tcp',
      srcPort: get16(b, at),
      dstPort: get16(b, at + 2),
      seq: get32(b, at + SEQ),
      ack: get32(b, at + ACK),
      flags: control & 0xfff,
      window: get16(b, at + WINDOW),
      checksum: get16(b, at + TCP_CHECKSUM),
      urgent: get16(b, at + URGENT),
      options: b.slice(at + TCP_MIN_HEADER, at + header),
    },
    next: at + header,
    end,
  };
}

export function emitTcp(value: Tcp, b: Uint8Array, at: number): void {
  put16(b, at, value.srcPort);
  put16(b, at + 2, value.dstPort);
  put32(b, at + SEQ, value.seq);
  put32(b, at + ACK, value.ack);
  put16(b, at + CONTROL, ((tcpLength(value) / 4) << 12) | (value.flags & 0xfff));
  put16(b, at + WINDOW, value.window);
  put16(b, at + TCP_CHECKSUM, value.checksum ?? 0);
  put16(b, at + URGENT, value.urgent);
  b.set(value.options, at + TCP_MIN_HEADER);
}

export interface TcpOption {
  /** 2 maximum segment size, 3 window scale, 4 SACK permitted, 5 SACK, 8 timestamps. */
  readonly kind: number;
  readonly data: Uint8Array;
}

/** The options, without no-operations and padding. Null: a length that cannot be. */
export function parseTcpOptions(options: Uint8Array): TcpOption[] | null {
  const found: TcpOption[] = [];
  for (let at = 0; at < options.length; ) {
    const kind = options[at];
    if (kind === 0) break;
    if (kind === 1) {
      at++;
      continue;
    }
    const length = at + 1 < options.length ? options[at + 1] : 0;
    if (length < 2 || at + length > options.length) return null;
    found.push({ kind, data: options.slice(at + 2, at + length) });
    at += length;
  }
  return found;
}

/** The bytes for `Tcp.options`, padded with end-of-options. */
export function emitTcpOptions(options: readonly TcpOption[]): Uint8Array {
  let length = 0;
  for (const option of options) length += 2 + option.data.length;
  const out = new Uint8Array((length + 3) & ~3);
  let at = 0;
  for (const option of options) {
    out[at] = option.kind;
    out[at + 1] = 2 + option.data.length;
    out.set(option.data, at + 2);
    at += 2 + option.data.length;
  }
  return out;
}
