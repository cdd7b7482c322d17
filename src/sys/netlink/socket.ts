/** A netlink socket (netlink(7)) for requests to the kernel, which answers before the request returns. */
import { constants } from 'node:os';
import { WeftError } from '../../base/errors.ts';
import { bind, check, close, lastErrno, recv, SystemError, send, setsockopt, socket } from '../libc.ts';
import {
  Attributes,
  encodeMessage,
  HEADER_SIZE,
  type NetlinkMessage,
  NLM_F_ACK,
  NLM_F_ACK_TLVS,
  NLM_F_DUMP,
  NLM_F_DUMP_INTR,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
  parseMessages,
} from './message.ts';

const AF_NETLINK = 16;
const SOCK_RAW_CLOEXEC = 3 | 0o2000000;
const SOL_SOCKET = 1;
const SO_RCVTIMEO = 20;
const SO_RCVBUFFORCE = 33;
const SOL_NETLINK = 270;
const NETLINK_EXT_ACK = 11;
const NETLINK_GET_STRICT_CHK = 12;
const MSG_TRUNC = 0x20;
const NLMSGERR_ATTR_MSG = 1;
/** The kernel never sends more in one datagram of a dump. */
const BUFFER_SIZE = 1 << 16;
const DUMP_TRIES = 5;

export const NETLINK_ROUTE = 0;
export const NETLINK_NETFILTER = 12;
export const NETLINK_GENERIC = 16;

/** The kernel's answer to a request that it did not carry out. */
export class NetlinkError extends SystemError {
  /** What the kernel says beyond the errno; often empty. */
  readonly detail: string;

  constructor(what: string, errno: number, detail: string) {
    super(detail === '' ? what : `${what} (${detail})`, errno);
    this.name = 'NetlinkError';
    this.detail = detail;
  }
}

/** Opens a bound socket. `groups`: bit mask of the notifications to receive. */
export function openNetlink(protocol: number, groups = 0): number {
  const fd = check(socket(AF_NETLINK, SOCK_RAW_CLOEXEC, protocol), 'netlink socket');
  try {
    const on = new Uint8Array(Uint32Array.of(1).buffer);
    check(setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, on, 4), 'NETLINK_EXT_ACK');
    check(setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, on, 4), 'NETLINK_GET_STRICT_CHK');
    // Without the right to force it the default stays, which is enough for requests.
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, new Uint8Array(Uint32Array.of(1 << 20).buffer), 4);
    const address = new Uint8Array(12);
    const view = new DataView(address.buffer);
    view.setUint16(0, AF_NETLINK, true);
    view.setUint32(8, groups, true);
    check(bind(fd, address, 12), 'bind netlink socket');
  } catch (error) {
    close(fd);
    throw error;
  }
  return fd;
}

/** A socket for requests, one after the other. Belongs to the network namespace in which it was opened. */
export class NetlinkSocket {
  private readonly fd: number;
  private readonly buffer = new Uint8Array(BUFFER_SIZE);
  private sequence = 0;

  constructor(protocol: number = NETLINK_ROUTE) {
    this.fd = openNetlink(protocol);
    // An answer that never comes (it always does) must not stop the process: two seconds.
    check(
      setsockopt(this.fd, SOL_SOCKET, SO_RCVTIMEO, new Uint8Array(BigInt64Array.of(2n, 0n).buffer), 16),
      'SO_RCVTIMEO',
    );
  }

  /** Has the kernel do something; `what` names it in the error if it does not. Returns what it tells. */
  request(type: number, flags: number, payload: Uint8Array, what: string): NetlinkMessage[] {
    return this.exchange(type, NLM_F_REQUEST | NLM_F_ACK | flags, payload, what).messages;
  }

  /** Asks for all of a kind. A list that changed while the kernel gave it is asked for again. */
  dump(type: number, payload: Uint8Array, what: string): NetlinkMessage[] {
    for (let i = 0; i < DUMP_TRIES; i++) {
      const { messages, interrupted } = this.exchange(type, NLM_F_REQUEST | NLM_F_DUMP, payload, what);
      if (!interrupted || i === DUMP_TRIES - 1) return messages;
    }
    return [];
  }

  private exchange(
    type: number,
    flags: number,
    payload: Uint8Array,
    what: string,
  ): { messages: NetlinkMessage[]; interrupted: boolean } {
    this.sequence = (this.sequence + 1) >>> 0;
    const request = encodeMessage(type, flags, this.sequence, payload);
    check(send(this.fd, request, request.length, 0), what);
    const messages: NetlinkMessage[] = [];
    let interrupted = false;
    for (;;) {
      const size = recv(this.fd, this.buffer, this.buffer.length, MSG_TRUNC);
      if (size < 0) {
        const errno = lastErrno();
        if (errno === constants.errno.EINTR) continue;
        throw new SystemError(what, errno);
      }
      if (size > this.buffer.length) throw new WeftError('bad-netlink', `${what}: datagram of ${size} bytes`);
      for (const message of parseMessages(this.buffer.slice(0, size))) {
        // What is left of a request that timed out.
        if (message.sequence !== this.sequence) continue;
        if ((message.flags & NLM_F_DUMP_INTR) !== 0) interrupted = true;
        if (message.type === NLMSG_ERROR || message.type === NLMSG_DONE) {
          this.finish(message, what);
          return { messages, interrupted };
        }
        messages.push(message);
      }
    }
  }

  /** Throws if an acknowledgement, or the end of a dump, carries an error. */
  private finish(message: NetlinkMessage, what: string): void {
    const { payload } = message;
    if (payload.length < 4) return;
    const error = -new DataView(payload.buffer, payload.byteOffset).getInt32(0, true);
    if (error <= 0) return;
    let detail = '';
    if ((message.flags & NLM_F_ACK_TLVS) !== 0 && message.type === NLMSG_ERROR) {
      // Behind the error number stands the request's header alone, or (without NLM_F_CAPPED) all of it.
      const capped = (message.flags & 0x100) !== 0;
      const requestLength = new DataView(payload.buffer, payload.byteOffset).getUint32(4, true);
      const start = 4 + (capped ? HEADER_SIZE : (requestLength + 3) & ~3);
      if (start <= payload.length) detail = new Attributes(payload, start).text(NLMSGERR_ATTR_MSG) ?? '';
    }
    throw new NetlinkError(what, error, detail);
  }

  close(): void {
    close(this.fd);
  }
}
