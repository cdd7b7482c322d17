import type { Packet } from '../packet/packet.ts';
import { STILL_NEW, TcpTracker, VALID } from './tcp.ts';
import type { TimeoutName } from './timeouts.ts';
import { ICMP, ICMPV6, TCP } from './tuple.ts';

/** States of connections that have no handshake: nobody answered, more than one packet and no answer, answered. */
const FIRST = 0;
const MULTIPLE = 1;
const ANSWERED = 2;

/**
 * What a protocol makes of a packet: TCP by its own rules, everything else by whether somebody has answered.
 *
 * Peers are the words of a connection at `peers` (table.ts).
 */
export class ProtocolStates {
  readonly tcp = new TcpTracker();
  /** What the last call asks for; null: the deadline stays. */
  timeout: TimeoutName | null = null;

  /** Whether a packet may begin a connection. */
  mayBegin(packet: Packet, protocol: number): boolean {
    const type = packet.buffer[packet.start + packet.l4];
    switch (protocol) {
      case TCP:
        return this.tcp.mayBegin(packet);
      case ICMP:
        // Echo, timestamp, information request.
        return type === 8 || type === 13 || type === 15;
      case ICMPV6:
        return type === 128;
      default:
        return true;
    }
  }

  begin(packet: Packet, protocol: number, w: Uint32Array, peers: number): TimeoutName {
    if (protocol === TCP) return this.tcp.begin(packet, w, peers);
    w[peers] = FIRST;
    return protocol === ICMP || protocol === ICMPV6 ? 'icmp_first' : 'udp_first';
  }

  /** @returns INVALID, VALID, REOPENS, STILL_NEW (tcp.ts) */
  update(packet: Packet, protocol: number, w: Uint32Array, peers: number, reply: boolean): number {
    if (protocol === TCP) {
      const verdict = this.tcp.update(packet, w, peers, reply);
      this.timeout = this.tcp.timeout;
      return verdict;
    }
    if (protocol === ICMP || protocol === ICMPV6) {
      if (reply) w[peers] = ANSWERED;
      const answered = w[peers] === ANSWERED;
      this.timeout = answered ? 'icmp_reply' : 'icmp_first';
      return answered ? VALID : STILL_NEW;
    }
    if (reply) w[peers] = ANSWERED;
    else if (w[peers] === FIRST) w[peers] = MULTIPLE;
    const answered = w[peers] === ANSWERED;
    this.timeout = answered ? 'udp_multiple' : 'udp_single';
    return answered ? VALID : STILL_NEW;
  }
}
