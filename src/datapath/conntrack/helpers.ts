import { formatIpv4Word, formatIpv6 } from '../../wire/address.ts';
import { get16, get32, put16, put32 } from '../../wire/bytes.ts';
import { addBytes, finish, fold, pseudoHeader, update16 } from '../../wire/checksum.ts';
import { ABSENT, type Packet } from '../packet/packet.ts';
import { Expectations } from './expectations.ts';
import { type Announcement, MESSAGE, readAnnouncement } from './ftp.ts';
import * as C from './table.ts';
import * as T from './tuple.ts';

const FTP_PORT = 21;
const TFTP_PORT = 69;
const TCP_SEQ = 4;
const TCP_ACK = 8;

/**
 * Helpers for FTP and TFTP: what a control connection says makes another one expected (expectations.ts).
 *
 * Where the control connection is translated, the address that FTP says is replaced by the one that the listener will see. Its
 * text may be of another length; then all that follows in that direction has other numbers, and what the other side
 * acknowledges has to be put back. C_SKEW holds the difference, F_SKEW_REPLY its direction. Only one direction can have
 * one, as a connection has one end translated; what would ask for another is not replaced, and invalid.
 */
export class Helpers {
  readonly expectations = new Expectations();
  readonly #table: C.ConnectionTable;
  readonly #tuple = T.newTuple();

  constructor(table: C.ConnectionTable) {
    this.#table = table;
  }

  /** Flag of the helper that a new connection gets: on the other's well-known port there is none. */
  flagOf(helper: number, t: T.Tuple): number {
    const protocol = T.protocolOf(t);
    const [src, dst] = [t[T.T_L4_SRC], t[T.T_L4_DST]];
    if (helper === C.F_FTP && protocol === T.UDP && dst === TFTP_PORT) return 0;
    if (helper === C.F_TFTP && protocol === T.TCP && (src === FTP_PORT || dst === FTP_PORT)) return 0;
    return helper;
  }

  /** Whether a packet may be one that a helper has to see each time. It is no fragment, and its headers are whole. */
  sees(packet: Packet, protocol: number, helper: number): boolean {
    if (packet.l4 === ABSENT) return false;
    const l4 = packet.start + packet.l4;
    const b = packet.buffer;
    if (protocol === T.TCP)
      return helper === C.F_FTP || get16(b, l4) === FTP_PORT || get16(b, l4 + 2) === FTP_PORT;
    return protocol === T.UDP && (helper === C.F_TFTP || get16(b, l4 + 2) === TFTP_PORT);
  }

  /**
   * Whether the numbers of a segment of the connection at hand have to be changed, apart from those of an announcement, which
   * `control` changes.
   */
  shifts(packet: Packet): boolean {
    const { words, base } = this.#table;
    return words[base + C.C_SKEW] !== 0 && announcement(packet, versionAt(words, base)) === null;
  }

  /** Whether it is the acknowledgements that change. */
  acknowledges(reply: boolean): boolean {
    const { words, base } = this.#table;
    return reply !== ((words[base + C.C_FLAGS] & C.F_SKEW_REPLY) !== 0);
  }

  /** Changes the sequence number of a segment of the connection at hand, or what it acknowledges. */
  shift(packet: Packet, reply: boolean): void {
    const { words, base } = this.#table;
    const skew = words[base + C.C_SKEW] | 0;
    if (skew === 0) return;
    const acknowledges = this.acknowledges(reply);
    const b = packet.buffer;
    const at = packet.start + packet.l4 + (acknowledges ? TCP_ACK : TCP_SEQ);
    put32(b, at, get32(b, at) + (acknowledges ? -skew : skew));
    sealTcp(packet);
  }

  /** Whether the connection at hand has a helper. */
  controls(): boolean {
    const { words, base } = this.#table;
    return (words[base + C.C_FLAGS] & (C.F_FTP | C.F_TFTP)) !== 0;
  }

  /**
   * Looks at what a packet of the connection at hand, in `slot`, says, and expects what it asks for. False: it says
   * something that is wrong, or that can't be translated.
   */
  control(packet: Packet, slot: number, { helper, reply, answers, translates, fixed }: Situation): boolean {
    const { words, base } = this.#table;
    const flags = words[base + C.C_FLAGS];
    const protocol = words[base + T.T_REST] & 0xff;
    if ((flags & C.F_TFTP) !== 0 && protocol === T.UDP) {
      if (this.sees(packet, protocol, helper)) this.#expect(slot, words[base + T.T_L4_SRC], answers);
      return true;
    }
    if ((flags & C.F_FTP) === 0 || protocol !== T.TCP) return true;
    const version = versionAt(words, base);
    const said = announcement(packet, version);
    if (said === null) return true;
    if (said === 'malformed') return false;
    // Who waits: its address as the other side sees it, and as it is itself.
    const shown = base + (said.passive ? C.C_KEY + T.T_DST : C.C_REV + T.T_DST);
    const own = base + (said.passive ? C.C_REV + T.T_SRC : C.C_KEY + T.T_SRC);
    const { address } = said;
    // Else a stranger could have connections to third parties expected.
    if (address !== null && !sameAddress(address, words, shown) && !sameAddress(address, words, own))
      return false;
    this.#expect(slot, said.port, answers);
    if (!translates) return true;
    const text = address === null ? '' : addressText(words, shown, version, said.separator);
    const longer = text.length - said.size;
    const before = words[base + C.C_SKEW] | 0;
    if (longer !== 0) {
      if (fixed || (before !== 0 && this.acknowledges(reply))) return false;
      if (!resize(packet, payloadOf(packet) - packet.start + said.at + said.size, longer)) return false;
    }
    const at = payloadOf(packet) + said.at;
    for (let i = 0; i < text.length; i++) packet.buffer[at + i] = text.charCodeAt(i);
    this.shift(packet, reply);
    sealTcp(packet);
    if (longer === 0) return true;
    words[base + C.C_SKEW] = before + longer;
    words[base + C.C_FLAGS] = reply ? flags | C.F_SKEW_REPLY : flags & ~C.F_SKEW_REPLY;
    return true;
  }

  /** The side that speaks waits at a port. */
  #expect(slot: number, port: number, answers: boolean): void {
    const { words, base } = this.#table;
    const t = this.#tuple;
    const from = base + (answers ? C.C_KEY : C.C_REV);
    for (let i = 0; i < 8; i++) t[T.T_SRC + i] = words[from + T.T_SRC + i];
    t[T.T_L4_SRC] = 0;
    t[T.T_L4_DST] = port;
    t[T.T_REST] = words[base + T.T_REST];
    const dnat = (words[base + C.C_FLAGS] & C.F_DNAT) !== 0;
    // The new one is translated like its parent: the same side stays hidden.
    const address = answers
      ? base + C.C_REV + (dnat ? T.T_SRC : T.T_DST)
      : base + C.C_KEY + (dnat ? T.T_DST : T.T_SRC);
    this.expectations.add(t, slot, {
      parent: words.slice(base + C.C_KEY, base + C.C_KEY + T.TUPLE_WORDS),
      mark: words[base + C.C_MARK],
      label: words.slice(base + C.C_LABEL, base + C.C_LABEL + 4),
      source: answers !== dnat,
      address: words.slice(address, address + 4),
    });
  }
}

/** What is known of a packet of a control connection. */
interface Situation {
  /** Of the action. */
  readonly helper: number;
  /** Direction in which it was found; whether it is known for an answer, which an invalid packet isn't. */
  readonly reply: boolean;
  readonly answers: boolean;
  /** What it says may be replaced; but by what is as long. */
  readonly translates: boolean;
  readonly fixed: boolean;
}

const versionAt = (words: Uint32Array, base: number): number => (words[base + T.T_REST] >>> 8) & 0xff;

function sameAddress(a: Uint32Array, w: Uint32Array, at: number): boolean {
  return a[0] === w[at] && a[1] === w[at + 1] && a[2] === w[at + 2] && a[3] === w[at + 3];
}

function addressText(w: Uint32Array, at: number, version: number, separator: string): string {
  if (version === 4) return formatIpv4Word(w[at]).replaceAll('.', separator);
  const bytes = new Uint8Array(16);
  for (let i = 0; i < 4; i++) put32(bytes, 4 * i, w[at + i]);
  return formatIpv6(bytes);
}

/** Place in the buffer. */
function payloadOf(packet: Packet): number {
  const l4 = packet.start + packet.l4;
  return l4 + ((packet.buffer[l4 + 12] >> 4) << 2);
}

/** What a segment announces. Its last byte, the end of a line, isn't looked at. */
function announcement(packet: Packet, version: number): Announcement | 'malformed' | null {
  const from = payloadOf(packet);
  const length = packet.end - packet.l2Pad - from;
  let text = '';
  for (let i = 0; i < Math.min(MESSAGE, length - 1); i++) {
    const c = packet.buffer[from + i];
    if (c === 0) break;
    text += String.fromCharCode(c);
  }
  return readAnnouncement(text, version === 6);
}

/** Makes room at an offset, or (`by` < 0) takes what stands before it away. False: the packet would be too long for IP. */
function resize(packet: Packet, at: number, by: number): boolean {
  const v4 = packet.buffer[packet.start + packet.l3] >> 4 === 4;
  const field = packet.l3 + (v4 ? 2 : 4);
  const old = get16(packet.buffer, packet.start + field);
  if (old + by > 0xffff) return false;
  if (by > 0) packet.openGap(at, by);
  else packet.closeGap(at + by, -by);
  const b = packet.buffer;
  put16(b, packet.start + field, old + by);
  const sum = packet.start + packet.l3 + 10;
  if (v4) put16(b, sum, update16(get16(b, sum), old, old + by));
  return true;
}

/** Computes the checksum anew; of one that is left to the device, what it covers beside the bytes. */
function sealTcp(packet: Packet): void {
  const b = packet.buffer;
  const ip = packet.start + packet.l3;
  const l4 = packet.start + packet.l4;
  const end = packet.end - packet.l2Pad;
  const pseudo = pseudoHeader(b, ip, T.TCP, end - l4);
  if (packet.hasPartialChecksum(16)) {
    put16(b, l4 + 16, fold(pseudo));
    return;
  }
  put16(b, l4 + 16, 0);
  put16(b, l4 + 16, finish(addBytes(pseudo, b, l4, end)));
}
