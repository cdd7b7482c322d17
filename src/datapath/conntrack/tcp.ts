import { get16, get32 } from '../../wire/bytes.ts';
import type { Packet } from '../packet/packet.ts';
import type { TimeoutName } from './timeouts.ts';

/*
 * TCP: which segments belong to a connection.
 *
 * The rules are those of Guido van Rooij, "Real Stateful TCP Packet Filtering in IP Filter" (2000), in the shape that BSD's
 * pf and after it Open vSwitch's userspace datapath gave them, so that controllers see the same verdicts. For each peer we
 * know the highest sequence number that it has sent (`lo`), the highest that it may send, as the other has acknowledged it
 * and offered a window (`hi`), and the largest window that it has offered. A segment belongs to the connection if its end
 * lies below its sender's `hi`, its start not further back than the other's window, and its acknowledgement near what the
 * other has sent. A RST must hit the expected number, or anybody could end a connection that he only guesses.
 *
 * States are kept for each peer. They tell timeouts, and when a SYN may begin anew.
 */

/** States, in Open vSwitch's numbers, since they are shown. */
export const CLOSED = 0;
export const SYN_SENT = 2;
export const ESTABLISHED = 4;
export const CLOSING = 7;
export const FIN_WAIT_2 = 9;
export const TIME_WAIT = 10;

/** What a packet means to its connection. */
export const INVALID = 0;
export const VALID = 1;
/** It begins another connection of the same name: the one at hand is over. */
export const REOPENS = 2;
/** Valid, and nobody has answered so far. */
export const STILL_NEW = 3;

const FIN = 0x01;
const SYN = 0x02;
const RST = 0x04;
const PSH = 0x08;
const ACK = 0x10;
const URG = 0x20;

/** A peer's words: sequence numbers, then window (16) | scale (8) | state (8) from the lowest bit. */
const LO = 0;
const HI = 1;
const REST = 2;
const PEER = 3;

const MAX_SCALE = 14;
/** In a peer's scale: it has offered one; nobody saw the handshake. */
export const SCALE_KNOWN = 0x80;
export const SCALE_UNKNOWN = 0x40;
export const SCALE = 0x0f;

/** How far an acknowledgement may be off: the largest unscaled window, and a segment more. */
const MAX_ACK_WINDOW = 0xffff + 1500;

export const stateOf = (w: Uint32Array, peer: number): number => w[peer + REST] >>> 24;
export const scaleOf = (w: Uint32Array, peer: number): number => (w[peer + REST] >>> 16) & 0xff;
const windowOf = (w: Uint32Array, peer: number): number => w[peer + REST] & 0xffff;

function setState(w: Uint32Array, peer: number, state: number): void {
  w[peer + REST] = (w[peer + REST] & 0xffffff) | (state << 24);
}
function setScale(w: Uint32Array, peer: number, scale: number): void {
  w[peer + REST] = (w[peer + REST] & 0xff00ffff) | (scale << 16);
}
function setWindow(w: Uint32Array, peer: number, window: number): void {
  w[peer + REST] = (w[peer + REST] & 0xffff0000) | (window & 0xffff);
}
/** Numbers are compared on a circle (RFC 9293, section 3.4). */
const atLeast = (a: number, b: number): boolean => ((a - b) | 0) >= 0;

/** What of a segment matters. */
interface Segment {
  flags: number;
  seq: number;
  ack: number;
  window: number;
  payload: number;
  /** Value of the window scale option with SCALE_KNOWN; 0: it has none. */
  scale: number;
}

/** True for flags that no segment has. */
function impossible(flags: number): boolean {
  if ((flags & SYN) !== 0 && (flags & (RST | FIN)) !== 0) return true;
  if ((flags & SYN) === 0 && (flags & (ACK | RST)) === 0) return true;
  return (flags & ACK) === 0 && (flags & (FIN | PSH | URG)) !== 0;
}

/** Follows the segments of all connections; it has no state but the words that it is given. */
export class TcpTracker {
  /** False: sequence numbers aren't checked. */
  checksSequence = true;
  readonly #segment: Segment = { flags: 0, seq: 0, ack: 0, window: 0, payload: 0, scale: 0 };

  #read(packet: Packet): Segment {
    const b = packet.buffer;
    const l4 = packet.start + packet.l4;
    const header = (b[l4 + 12] >> 4) << 2;
    const s = this.#segment;
    s.flags = b[l4 + 13];
    s.seq = get32(b, l4 + 4);
    s.ack = get32(b, l4 + 8);
    s.window = get16(b, l4 + 14);
    s.payload = packet.end - packet.l2Pad - l4 - header;
    s.scale = (s.flags & SYN) !== 0 && header > 20 ? readScale(b, l4 + 20, l4 + header) : 0;
    return s;
  }

  /** Whether a segment may begin a connection: a SYN, or one in the middle of one that nobody saw begin. */
  mayBegin(packet: Packet): boolean {
    const flags = packet.buffer[packet.start + packet.l4 + 13];
    return !impossible(flags) && (flags & (SYN | ACK)) !== (SYN | ACK);
  }

  /** Fills in the peers of a connection that a segment begins; returns its timeout. */
  begin(packet: Packet, w: Uint32Array, peers: number): TimeoutName {
    const s = this.#read(packet);
    const src = peers;
    const dst = peers + PEER;
    w[src + LO] = s.seq;
    w[src + HI] = s.seq + s.payload + 1 + ((s.flags & SYN) !== 0 ? 1 : 0) + ((s.flags & FIN) !== 0 ? 1 : 0);
    const scale = (s.flags & SYN) !== 0 ? s.scale : SCALE_UNKNOWN;
    // The window of a SYN is not scaled (RFC 7323): it counts in units of what follows.
    const window = Math.ceil(Math.max(s.window, 1) / (1 << (scale & SCALE)));
    w[src + REST] = (SYN_SENT << 24) | (scale << 16) | window;
    w[dst + LO] = 0;
    w[dst + HI] = 1;
    w[dst + REST] = (CLOSED << 24) | ((scale === SCALE_UNKNOWN ? SCALE_UNKNOWN : 0) << 16) | 1;
    return 'tcp_syn_sent';
  }

  /** Timeout that the last segment asked for; null: the one before stays. */
  timeout: TimeoutName | null = null;

  /** Takes a segment of a connection in; `timeout` says what becomes of its deadline. */
  update(packet: Packet, w: Uint32Array, peers: number, reply: boolean): number {
    const s = this.#read(packet);
    const src = reply ? peers + PEER : peers;
    const dst = reply ? peers : peers + PEER;
    this.timeout = null;
    const { flags } = s;
    if (impossible(flags)) return INVALID;
    if ((flags & (SYN | ACK)) === SYN) {
      if (stateOf(w, dst) >= FIN_WAIT_2 && stateOf(w, src) >= FIN_WAIT_2) {
        setState(w, src, CLOSED);
        setState(w, dst, CLOSED);
        return REOPENS;
      }
      if (stateOf(w, src) <= SYN_SENT) {
        setState(w, src, SYN_SENT);
        this.timeout = 'tcp_syn_sent';
        return STILL_NEW;
      }
    }
    let srcScale = 0;
    let dstScale = 0;
    if ((flags & SYN) === 0) {
      const both = scaleOf(w, src) & scaleOf(w, dst);
      if ((both & SCALE_KNOWN) !== 0) {
        srcScale = scaleOf(w, src) & SCALE;
        dstScale = scaleOf(w, dst) & SCALE;
      } else if ((both & SCALE_UNKNOWN) !== 0) {
        srcScale = MAX_SCALE;
        dstScale = MAX_SCALE;
      }
    }
    let { window } = s;
    let end = (s.seq + s.payload + ((flags & SYN) !== 0 ? 1 : 0) + ((flags & FIN) !== 0 ? 1 : 0)) >>> 0;
    let checksAck = true;
    if (stateOf(w, src) < SYN_SENT) {
      // The first from this end.
      if ((flags & SYN) !== 0 && (scaleOf(w, dst) & SCALE_KNOWN) !== 0) {
        setScale(w, src, s.scale);
        if ((s.scale & SCALE_KNOWN) !== 0) {
          srcScale = s.scale & SCALE;
          dstScale = scaleOf(w, dst) & SCALE;
          window = Math.ceil(window / (1 << srcScale));
        } else {
          // Scaling is for both or for none.
          setWindow(w, dst, windowOf(w, dst) << (scaleOf(w, dst) & SCALE));
          setScale(w, dst, 0);
        }
      }
      w[src + LO] = s.seq;
      setState(w, src, SYN_SENT);
      const most = (end + Math.max(1, windowOf(w, dst) * (1 << dstScale))) >>> 0;
      if (w[src + HI] === 1 || atLeast(most, w[src + HI])) {
        w[src + HI] = most;
        checksAck = false;
      }
      if (window > windowOf(w, src)) setWindow(w, src, window);
    }
    let { ack } = s;
    // Stacks that send a RST for want of a connection have nothing to acknowledge.
    if ((flags & ACK) === 0 || (ack === 0 && (flags & RST) !== 0)) ack = w[dst + LO];
    let { seq } = s;
    if (seq === end) {
      // A segment without data says nothing by its number.
      seq = w[src + LO];
      end = seq;
    }
    const skew = checksAck ? (w[dst + LO] - ack) | 0 : 0;
    const offered = window * (1 << srcScale);
    const expected =
      atLeast(w[src + HI], end) &&
      atLeast(seq, w[src + LO] - windowOf(w, dst) * (1 << dstScale)) &&
      skew >= -MAX_ACK_WINDOW &&
      skew <= MAX_ACK_WINDOW * (1 << srcScale) &&
      ((flags & RST) === 0 || Math.abs((s.seq - w[src + LO]) | 0) <= 1);
    if (expected || !this.checksSequence) {
      advance(w, src, dst, window, offered, end, ack);
      if ((flags & FIN) !== 0 && stateOf(w, src) < CLOSING) setState(w, src, CLOSING);
      if ((flags & ACK) !== 0) {
        if (stateOf(w, dst) === SYN_SENT) setState(w, dst, ESTABLISHED);
        else if (stateOf(w, dst) === CLOSING) setState(w, dst, FIN_WAIT_2);
      }
      if ((flags & RST) !== 0) end2(w, src, dst);
      this.timeout = timeoutOf(stateOf(w, src), stateOf(w, dst));
      return VALID;
    }
    const loose =
      stateOf(w, dst) < SYN_SENT || stateOf(w, dst) >= FIN_WAIT_2 || stateOf(w, src) >= FIN_WAIT_2;
    if (!loose) return INVALID;
    if (!atLeast(w[src + HI] + MAX_ACK_WINDOW, end) || !atLeast(seq, w[src + LO] - MAX_ACK_WINDOW))
      return INVALID;
    // A connection that begins or ends, or was taken up in its middle, may be a window off. The deadline stays: such a
    // segment is no proof of life.
    advance(w, src, dst, window, offered, end, ack);
    if ((flags & FIN) !== 0 && stateOf(w, src) < CLOSING) setState(w, src, CLOSING);
    if ((flags & RST) !== 0) end2(w, src, dst);
    return VALID;
  }
}

/** Moves the numbers on: what `src` has sent, and what `dst` may send. */
function advance(
  w: Uint32Array,
  src: number,
  dst: number,
  window: number,
  offered: number,
  end: number,
  ack: number,
): void {
  if (windowOf(w, src) < window) setWindow(w, src, window);
  if (!atLeast(w[src + LO], end)) w[src + LO] = end;
  if (atLeast(ack + offered, w[dst + HI])) w[dst + HI] = ack + Math.max(offered, 1);
}

function end2(w: Uint32Array, src: number, dst: number): void {
  setState(w, src, TIME_WAIT);
  setState(w, dst, TIME_WAIT);
}

function timeoutOf(src: number, dst: number): TimeoutName {
  const low = Math.min(src, dst);
  if (low >= FIN_WAIT_2) return 'tcp_close';
  if (low >= CLOSING) return 'tcp_time_wait';
  if (low < ESTABLISHED) return 'tcp_syn_recv';
  return Math.max(src, dst) >= CLOSING ? 'tcp_fin_wait' : 'tcp_established';
}

/** The window scale option (RFC 7323) with SCALE_KNOWN; 0: there is none. */
function readScale(b: Uint8Array, from: number, end: number): number {
  let at = from;
  let scale = 0;
  while (end - at >= 3) {
    const kind = b[at];
    if (kind === 0) return scale;
    if (kind === 1) {
      at++;
      continue;
    }
    if (kind === 3) scale = Math.min(b[at + 2], MAX_SCALE) | SCALE_KNOWN;
    at += Math.max(b[at + 1], 2);
  }
  return scale;
}
