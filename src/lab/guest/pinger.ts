import { WeftError } from '../../base/errors.ts';
import { IcmpSocket } from '../../sys/icmp-socket.ts';
import { POLLIN, PollSet } from '../../sys/poll.ts';
import { checksum, ICMP_ECHO_REPLY, ICMP_ECHO_REQUEST, parseIpv4Address, put16 } from '../../wire/index.ts';
import type { PingOutcome, PingTarget } from './protocol.ts';

const ICMP_LENGTH = 64;
const INTERVAL_MS = 200;
/** Echo requests to one target at most; each has its bit of the sequence number. */
const MAX_ECHOES = 64;
/** How long the process may be deaf to anything but replies. */
const WAIT_MS = 20;

/** The way of echo messages: the kernel's stack, or one of our own with VLAN tags. */
export interface EchoLink {
  /** Readable when something has come. */
  readonly fd: number;
  /** Sends an echo request as far as it can now. */
  request(target: PingTarget, message: Uint8Array): void;
  /** Hands every ICMP message that has come to `take`, with its source. */
  receive(take: (message: Uint8Array) => void): void;
}

/** Echo messages by way of the kernel's stack. */
export class KernelLink implements EchoLink {
  readonly #socket = new IcmpSocket();

  get fd(): number {
    return this.#socket.fd;
  }

  request({ address }: PingTarget, message: Uint8Array): void {
    this.#socket.send(addressBytes(address), message);
  }

  receive(take: (message: Uint8Array) => void): void {
    for (let packet = this.#socket.receive(); packet !== undefined; packet = this.#socket.receive()) {
      const header = (packet[0] & 15) * 4;
      if (packet.length >= header + 8) take(packet.subarray(header));
    }
  }

  close(): void {
    this.#socket.close();
  }
}

export function addressBytes(text: string): Uint8Array {
  const bytes = parseIpv4Address(text);
  if (bytes === null) throw new WeftError('bad-address', `"${text}" is not an IPv4 address`);
  return bytes;
}

/** An echo request (RFC 792) of 64 bytes. */
export function echoRequest(identifier: number, sequence: number): Uint8Array {
  const message = new Uint8Array(ICMP_LENGTH);
  message[0] = ICMP_ECHO_REQUEST;
  put16(message, 4, identifier);
  put16(message, 6, sequence);
  for (let i = 8; i < ICMP_LENGTH; i++) message[i] = i;
  put16(message, 2, checksum(message, 0, ICMP_LENGTH));
  return message;
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
    if (message[0] !== ICMP_ECHO_REPLY || ((message[4] << 8) | message[5]) !== identifier) return;
    if (checksum(message, 0, message.length) !== 0) return;
    const sequence = (message[6] << 8) | message[7];
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
          link.request(target, echoRequest(identifier, i * MAX_ECHOES + sentAt[i].length - 1));
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
