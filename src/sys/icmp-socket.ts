/**
 * Raw ICMP over IPv4 or IPv6 (raw(7)): the kernel routes, resolves addresses and makes the IP header; the ICMP message
 * is ours, of ICMPv6 but for the checksum (RFC 3542, section 3.1). What comes in over IPv4 has its IP header in front.
 * Takes root.
 */
import { constants } from 'node:os';
import { check, close, fn, lastErrno, recv, SystemError, socket } from './libc.ts';
import { enlargeBuffer } from './socket-buffer.ts';

const sendto = fn<[number, Uint8Array, number, number, Uint8Array, number], number>(
  'int64_t sendto(int, void *, uint64_t, int, void *, uint32_t)',
);
const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_RAW_CLOEXEC_NONBLOCK = 3 | 0o2000000 | 0o4000;
const IPPROTO_ICMP = 1;
const IPPROTO_ICMPV6 = 58;
const MAX_PACKET = 65536;
/** A thousand replies a second must find room while this process waits its turn. */
const RECEIVE_BUFFER = 4 << 20;

/** A socket in the namespace in which it was opened. Never waits: poll `fd` for POLLIN. */
export class IcmpSocket {
  readonly fd: number;
  readonly #buffer = new Uint8Array(MAX_PACKET);

  constructor(family: 4 | 6 = 4) {
    const [domain, protocol] = family === 4 ? [AF_INET, IPPROTO_ICMP] : [AF_INET6, IPPROTO_ICMPV6];
    this.fd = check(
      socket(domain, SOCK_RAW_CLOEXEC_NONBLOCK, protocol),
      'raw ICMP socket',
      'raw sockets take root (CAP_NET_RAW)',
    );
    enlargeBuffer(this.fd, 'receive', RECEIVE_BUFFER);
  }

  /** Sends an ICMP message to an address of the socket's family. False: there is no way to that address now (nobody answers to it, or no route). */
  send(address: Uint8Array, message: Uint8Array): boolean {
    // `struct sockaddr_in`, or `struct sockaddr_in6` with its flow label in between.
    const v6 = address.length === 16;
    const to = new Uint8Array(v6 ? 28 : 16);
    new DataView(to.buffer).setUint16(0, v6 ? AF_INET6 : AF_INET, true);
    to.set(address, v6 ? 8 : 4);
    if (sendto(this.fd, message, message.length, 0, to, to.length) >= 0) return true;
    const errno = lastErrno();
    const { EHOSTUNREACH, ENETUNREACH, EAGAIN, ENOBUFS } = constants.errno;
    if ([EHOSTUNREACH, ENETUNREACH, EAGAIN, ENOBUFS].includes(errno)) return false;
    throw new SystemError('send ICMP', errno);
  }

  /** The next IP packet that has come, valid until the next call; undefined if there is none. */
  receive(): Uint8Array | undefined {
    const size = recv(this.fd, this.#buffer, this.#buffer.length, 0);
    if (size >= 0) return this.#buffer.subarray(0, size);
    const errno = lastErrno();
    const { EAGAIN, EINTR, EHOSTUNREACH, ENETUNREACH } = constants.errno;
    // The kernel also tells here that an earlier message found nobody.
    if ([EAGAIN, EINTR, EHOSTUNREACH, ENETUNREACH].includes(errno)) return undefined;
    throw new SystemError('receive ICMP', errno);
  }

  close(): void {
    close(this.fd);
  }
}
