import { IcmpSocket } from '../../sys/icmp-socket.ts';
import { POLLIN, PollSet } from '../../sys/poll.ts';
import {
  checksum,
  ICMP_ECHO_REPLY,
  ICMP_ECHO_REQUEST,
  ICMPV6_ECHO_REPLY,
  ICMPV6_ECHO_REQUEST,
  make,
  put16,
} from '../../wire/index.ts';
import type { PingOutcome, PingTarget } from './protocol.ts';

const ICMP_LENGTH = 64;
const ICMP_PAYLOAD = 8;
const INTERVAL_MS = 200;
/** Echo requests to one target at most; each has its bit of the sequence number. */
const MAX_ECHOES = 64;
/** How long the process may be deaf to anything but replies. */
const WAIT_MS = 20;

export type Family = 4 | 6;
export const familyOf = (address: string): Family => (address.includes(':') ? 6 : 4);

/** The way of echo messages: the kernel's stack, or one of our own with VLAN tags. */
export interface EchoLink {
  readonly family: Family;
  /** Readable when something has come. */
  readonly fd: number;
  /** Sends an echo request as far as it can now. */
  request(target: PingTarget, message: Uint8Array): void;
  /** Hands every ICMP message that has come to `take`. */
  receive(take: (message: Uint8Array) => void): void;
}

/** Echo messages by way of the kernel's stack. */
export class KernelLink implements EchoLink {
  readonly family: Family;
  readonly #socket: IcmpSocket;

  constructor(family: Family = 4) {
    this.family = family;
    this.#socket = new IcmpSocket(family);
  }

  get fd(): number {
    return this.#socket.fd;
  }

  request({ address }: PingTarget, message: Uint8Array): void {
    this.#socket.send(make.ip(address), message);
  }

  receive(take: (message: Uint8Array) => void): void {
    for (let packet = this.#socket.receive(); packet !== undefined; packet = this.#socket.receive()) {
      const header = this.family === 4 ? (packet[0] & 15) * 4 : 0;
      if (packet.length >= header + 8) take(packet.subarray(header));
    }
  }

  close(): void {
    this.#socket.close();
  }
}

/** An echo request (RFC 792, RFC 4443) of 64 bytes, with `mark` at the head of its payload. */
export function echoRequest(
  family: Family,
  identifier: number,
  sequence: number,
  mark: Uint8Array = new Uint8Array(0),
): Uint8Array {
  const message = new Uint8Array(ICMP_LENGTH);
  message[0] = family === 4 ? ICMP_ECHO_REQUEST : ICMPV6_ECHO_REQUEST;
  put16(message, 4, identifier);
  put16(message, 6, sequence);
  for (let i = ICMP_PAYLOAD; i < ICMP_LENGTH; i++) message[i] = i;
  message.set(mark, ICMP_PAYLOAD);
  // Over IPv6 the sum is also over the addresses, and the kernel's affair.
  if (family === 4) put16(message, 2, checksum(message, 0, ICMP_LENGTH));
  return message;
}

/** The sequence number of an echo reply to us; undefined for anything else. */
export function replySequence(family: Family, identifier: number, message: Uint8Array): number | undefined {
  if (message[0] !== (family === 4 ? ICMP_ECHO_REPLY : ICMPV6_ECHO_REPLY)) return undefined;
  if (((message[4] << 8) | message[5]) !== identifier) return undefined;
  if (family === 4 && checksum(message, 0, message.length) !== 0) return undefined;
  return (message[6] << 8) | message[7];
}

/**
 * Pings all targets at once. Lasts `minimumMs` in any case, which is the chance that unwanted answers get,
 * and goes on until every expected one has come, up to `limitMs`.
 */
export async function ping(
  link: EchoLink,
  targets: readonly PingTarget[],
  minimumMs: number,
  limitMs: number,
  mark?: Uint8Array,
): Promise<PingOutcome[]> {
  const identifier = process.pid & 0xffff;
  const sentAt = targets.map(() => [] as number[]);
  const received = targets.map(() => new Set<number>());
  const fastest = targets.map(() => Number.POSITIVE_INFINITY);
  const poll = new PollSet(1);
  poll.set(0, link.fd, POLLIN);
  const started = performance.now();
  let nextRound = started;
  const take = (message: Uint8Array): void => {
    const sequence = replySequence(link.family, identifier, message);
    if (sequence === undefined) return;
    const target = Math.floor(sequence / MAX_ECHOES);
    const at = sentAt[target]?.[sequence % MAX_ECHOES];
    if (at === undefined) return;
    received[target].add(sequence);
    fastest[target] = Math.min(fastest[target], performance.now() - at);
  };
  try {
    for (;;) {
      const now = performance.now();
      const complete = targets.every((t, i) => !t.expected || received[i].size > 0);
      if (now - started >= limitMs || (complete && now - started >= minimumMs)) break;
      if (now >= nextRound) {
        nextRound = now + INTERVAL_MS;
        targets.forEach((target, i) => {
          if (sentAt[i].length >= MAX_ECHOES) return;
          sentAt[i].push(performance.now());
          const sequence = i * MAX_ECHOES + sentAt[i].length - 1;
          link.request(target, echoRequest(link.family, identifier, sequence, mark));
        });
      }
      if (poll.wait(WAIT_MS) > 0) link.receive(take);
      await new Promise((resolve) => setImmediate(resolve));
    }
  } finally {
    poll.close();
  }
  return targets.map((_, i) => ({
    sent: sentAt[i].length,
    received: received[i].size,
    ...(received[i].size > 0 ? { rttMs: fastest[i] } : {}),
  }));
}
