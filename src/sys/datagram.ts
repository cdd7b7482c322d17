/**
 * Datagrams over IPv4 and IPv6 with what stands in their IP header: UDP (udp(7)) and raw sockets (raw(7)) of
 * which each datagram's addresses, TOS and TTL are read and chosen by control messages (cmsg(3)). The host's
 * kernel routes, resolves, fragments and reassembles.
 *
 * Addresses are words: an IPv4 address the first of four, an IPv6 address all of them.
 */
import { constants } from 'node:os';
import { bind, check, close, fn, lastErrno, SystemError, setsockopt, socket } from './libc.ts';
import { MemoryMap } from './memory-map.ts';
import { enlargeBuffer } from './socket-buffer.ts';

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_DGRAM = 2;
const SOCK_RAW = 3;
const CLOEXEC_NONBLOCK = 0o2000000 | 0o4000;
const SOL_SOCKET = 1;
const SO_RCVBUF = 8;
const SO_NO_CHECK = 11;
const SO_MARK = 36;
const SO_RXQ_OVFL = 40;
const SOL_IP = 0;
const IP_TOS = 1;
const IP_TTL = 2;
const IP_PKTINFO = 8;
const IP_MTU_DISCOVER = 10;
const IP_RECVTTL = 12;
const IP_RECVTOS = 13;
const SOL_IPV6 = 41;
const IPV6_MTU_DISCOVER = 23;
const IPV6_V6ONLY = 26;
const IPV6_RECVPKTINFO = 49;
const IPV6_PKTINFO = 50;
const IPV6_RECVHOPLIMIT = 51;
const IPV6_HOPLIMIT = 52;
const IPV6_DONTFRAG = 62;
const IPV6_RECVTCLASS = 66;
const IPV6_TCLASS = 67;
const SOL_UDP = 17;
const UDP_SEGMENT = 103;
const UDP_GRO = 104;
const PMTUDISC_DONT = 0;
const PMTUDISC_DO = 2;
const MSG_DONTWAIT = 0x40;
const MSG_TRUNC = 0x20;
export const IPPROTO_GRE = 47;

const RECEIVE_BUFFER = 8 << 20;
const SEND_BUFFER = 4 << 20;

const recvmmsg = fn<[number, number, number, number, number], number>(
  'int recvmmsg(int, uintptr_t, unsigned int, int, uintptr_t)',
);
const sendmsg = fn<[number, number, number], number>('int64_t sendmsg(int, uintptr_t, int)');

function set(fd: number, level: number, option: number, value: number, what: string): void {
  check(setsockopt(fd, level, option, new Uint8Array(Uint32Array.of(value).buffer), 4), what);
}

/** Has the kernel tell source, destination, TOS and TTL of what is received. */
function tellHeaders(fd: number, family: 4 | 6): void {
  set(fd, SOL_IP, IP_RECVTOS, 1, 'IP_RECVTOS');
  set(fd, SOL_IP, IP_RECVTTL, 1, 'IP_RECVTTL');
  if (family === 4) {
    set(fd, SOL_IP, IP_PKTINFO, 1, 'IP_PKTINFO');
    return;
  }
  set(fd, SOL_IPV6, IPV6_RECVPKTINFO, 1, 'IPV6_RECVPKTINFO');
  set(fd, SOL_IPV6, IPV6_RECVTCLASS, 1, 'IPV6_RECVTCLASS');
  set(fd, SOL_IPV6, IPV6_RECVHOPLIMIT, 1, 'IPV6_RECVHOPLIMIT');
}

function withSocket(fd: number, prepare: (fd: number) => void): number {
  try {
    prepare(fd);
  } catch (error) {
    close(fd);
    throw error;
  }
  return fd;
}

/**
 * A socket that takes what comes to a UDP port, of both families where the host has IPv6. Several datagrams
 * of a sender may come as one (`Datagram.segment`).
 */
export function openUdpReceiver(port: number): number {
  const what = `UDP port ${port}`;
  let fd = socket(AF_INET6, SOCK_DGRAM | CLOEXEC_NONBLOCK, 0);
  const family = fd < 0 ? 4 : 6;
  if (fd < 0) fd = check(socket(AF_INET, SOCK_DGRAM | CLOEXEC_NONBLOCK, 0), what);
  return withSocket(fd, () => {
    if (family === 6) set(fd, SOL_IPV6, IPV6_V6ONLY, 0, `${what}: IPV6_V6ONLY`);
    tellHeaders(fd, family);
    set(fd, SOL_SOCKET, SO_RXQ_OVFL, 1, `${what}: SO_RXQ_OVFL`);
    // Older kernels give each datagram by itself.
    setsockopt(fd, SOL_UDP, UDP_GRO, new Uint8Array(Uint32Array.of(1).buffer), 4);
    enlargeBuffer(fd, 'receive', RECEIVE_BUFFER);
    const address = new Uint8Array(family === 4 ? 16 : 28);
    new DataView(address.buffer).setUint16(0, family === 4 ? AF_INET : AF_INET6, true);
    address[2] = port >> 8;
    address[3] = port;
    check(bind(fd, address, address.length), `bind ${what}`, 'find out who has it with "ss -lup"');
  });
}

/** How a sending socket deals with all of its datagrams. */
export interface SenderOptions {
  readonly family: 4 | 6;
  /** Too long for the path: refused (EMSGSIZE) instead of fragmented. */
  readonly dontFragment: boolean;
  /** UDP over IPv4: fill in the checksum. Over IPv6 it always is. */
  readonly checksum: boolean;
}

/** A socket that only sends UDP, from a port that the kernel chooses. */
export function openUdpSender(options: SenderOptions): number {
  const { family, checksum } = options;
  const fd = socket(family === 4 ? AF_INET : AF_INET6, SOCK_DGRAM | CLOEXEC_NONBLOCK, 0);
  return withSocket(check(fd, 'UDP socket'), () => {
    if (family === 4 && !checksum) set(fd, SOL_SOCKET, SO_NO_CHECK, 1, 'SO_NO_CHECK');
    set(fd, SOL_SOCKET, SO_RCVBUF, 1, 'SO_RCVBUF');
    prepareSender(fd, options);
  });
}

/** A socket for packets of an IP protocol, to receive and send; `receive`: nothing is kept of what comes. */
export function openRaw(
  protocol: number,
  options: Omit<SenderOptions, 'checksum'>,
  receive: boolean,
): number {
  const { family } = options;
  const fd = check(
    socket(family === 4 ? AF_INET : AF_INET6, SOCK_RAW | CLOEXEC_NONBLOCK, protocol),
    `raw socket for IP protocol ${protocol}`,
    'raw sockets take root (CAP_NET_RAW)',
  );
  return withSocket(fd, () => {
    if (receive) {
      if (family === 6) tellHeaders(fd, family);
      set(fd, SOL_SOCKET, SO_RXQ_OVFL, 1, 'SO_RXQ_OVFL');
      enlargeBuffer(fd, 'receive', RECEIVE_BUFFER);
    } else {
      set(fd, SOL_SOCKET, SO_RCVBUF, 1, 'SO_RCVBUF');
    }
    prepareSender(fd, options);
  });
}

function prepareSender(fd: number, { family, dontFragment }: Omit<SenderOptions, 'checksum'>): void {
  enlargeBuffer(fd, 'send', SEND_BUFFER);
  const discover = dontFragment ? PMTUDISC_DO : PMTUDISC_DONT;
  if (family === 4) {
    set(fd, SOL_IP, IP_MTU_DISCOVER, discover, 'IP_MTU_DISCOVER');
    return;
  }
  set(fd, SOL_IPV6, IPV6_MTU_DISCOVER, discover, 'IPV6_MTU_DISCOVER');
  if (dontFragment) set(fd, SOL_IPV6, IPV6_DONTFRAG, 1, 'IPV6_DONTFRAG');
}

/** One datagram, or several of one sender and length. Filled again and again. */
export class Datagram {
  bytes: Uint8Array = new Uint8Array(0);
  /** Its payload (of a raw IPv4 socket: from the IP header on) is `bytes[start..end)`. */
  start = 0;
  end = 0;
  /** Bytes of each of several datagrams, of which the last may be shorter; 0: it is one. */
  segment = 0;
  family: 4 | 6 = 4;
  readonly source: Uint32Array = new Uint32Array(4);
  readonly destination: Uint32Array = new Uint32Array(4);
  sourcePort = 0;
  tos = 0;
  ttl = 0;
  /** The device that it came in by; 0: not known. */
  ifindex = 0;
}

/** `struct mmsghdr` on 64-bit machines, in 32-bit words. */
const MMSG_WORDS = 16;
const MMSG_FLAGS = 12;
const MMSG_LENGTH = 14;
const NAME_SIZE = 32;
const CONTROL_SIZE = 256;
/** Bytes in front of each datagram that may be overwritten. */
const HEADROOM = 128;
const LARGEST = 65536;

/** Writes a pointer at word `at`. */
function putPointer(words: Uint32Array, at: number, address: number): void {
  words[at] = address % 2 ** 32;
  words[at + 1] = Math.floor(address / 2 ** 32);
}

/** Reads datagrams, many by one system call. Their bytes are valid until the batch they came in is used up. */
export class DatagramReader {
  readonly fd: number;
  readonly #memory: MemoryMap;
  readonly #words: Uint32Array;
  readonly #count: number;
  readonly #nameAt: number;
  readonly #controlAt: number;
  readonly #dataAt: number;
  #next = 0;
  #filled = 0;
  /** The kernel's counter of what found the socket full. */
  #overflow = 0;
  #reported = 0;

  /** @param count datagrams a system call */
  constructor(fd: number, count = 32) {
    this.fd = fd;
    this.#count = count;
    const iovAt = count * MMSG_WORDS * 4;
    this.#nameAt = iovAt + count * 16;
    this.#controlAt = this.#nameAt + count * NAME_SIZE;
    this.#dataAt = (this.#controlAt + count * CONTROL_SIZE + 4095) & ~4095;
    this.#memory = MemoryMap.anonymous(this.#dataAt + count * (HEADROOM + LARGEST));
    const words = new Uint32Array(this.#memory.buffer);
    this.#words = words;
    const { address } = this.#memory;
    for (let i = 0; i < count; i++) {
      const w = i * MMSG_WORDS;
      putPointer(words, w, address + this.#nameAt + i * NAME_SIZE);
      putPointer(words, w + 4, address + iovAt + i * 16);
      words[w + 6] = 1;
      putPointer(words, w + 8, address + this.#controlAt + i * CONTROL_SIZE);
      const iov = iovAt / 4 + i * 4;
      putPointer(words, iov, address + this.#dataAt + i * (HEADROOM + LARGEST) + HEADROOM);
      words[iov + 2] = LARGEST;
    }
  }

  /** Fills `datagram` with the next one, or returns false: nothing there. */
  next(datagram: Datagram): boolean {
    if (this.#next >= this.#filled && !this.#fill()) return false;
    const i = this.#next++;
    const words = this.#words;
    const w = i * MMSG_WORDS;
    datagram.bytes = this.#memory.bytes;
    datagram.start = this.#dataAt + i * (HEADROOM + LARGEST) + HEADROOM;
    datagram.end = datagram.start + words[w + MMSG_LENGTH];
    datagram.segment = 0;
    datagram.tos = 0;
    datagram.ttl = 0;
    datagram.ifindex = 0;
    this.#readName(datagram, this.#nameAt + i * NAME_SIZE);
    const at = this.#controlAt + i * CONTROL_SIZE;
    this.#readControl(datagram, at, at + Math.min(words[w + 10], CONTROL_SIZE));
    // What was cut off is of no use to anybody.
    if ((words[w + MMSG_FLAGS] & MSG_TRUNC) !== 0) datagram.end = datagram.start;
    return true;
  }

  /** Whether the next one is there already: asking for it makes no system call. */
  get buffered(): boolean {
    return this.#next < this.#filled;
  }

  /** Datagrams lost for want of room since the last call. */
  takeDrops(): number {
    const drops = (this.#overflow - this.#reported) >>> 0;
    this.#reported = this.#overflow;
    return drops;
  }

  #fill(): boolean {
    const words = this.#words;
    for (let i = 0; i < this.#filled; i++) this.#rearm(i);
    if (this.#filled === 0) for (let i = 0; i < this.#count; i++) this.#rearm(i);
    this.#next = 0;
    this.#filled = 0;
    const n = recvmmsg(this.fd, this.#memory.address, this.#count, MSG_DONTWAIT, 0);
    if (n > 0) {
      this.#filled = n;
      return true;
    }
    for (let i = 0; i < this.#count; i++) words[i * MMSG_WORDS + MMSG_LENGTH] = 0;
    if (n === 0) return false;
    const errno = lastErrno();
    // An error of something sent earlier (ICMP) is no fault of the socket.
    if (HARMLESS.has(errno)) return false;
    throw new SystemError('receive datagrams', errno);
  }

  /** The kernel wrote how much of name and control it used. */
  #rearm(i: number): void {
    const w = i * MMSG_WORDS;
    this.#words[w + 2] = NAME_SIZE;
    this.#words[w + 10] = CONTROL_SIZE;
  }

  #readName(datagram: Datagram, at: number): void {
    const b = this.#memory.bytes;
    const family = b[at] | (b[at + 1] << 8);
    datagram.sourcePort = (b[at + 2] << 8) | b[at + 3];
    if (family === AF_INET) {
      datagram.family = 4;
      datagram.source[0] = word(b, at + 4);
      return;
    }
    datagram.family = readAddress(b, at + 8, datagram.source);
  }

  #readControl(datagram: Datagram, start: number, end: number): void {
    const b = this.#memory.bytes;
    const w = this.#words;
    for (let at = start; at + 16 <= end; ) {
      const length = w[at >> 2];
      if (length < 16 || at + length > end) return;
      const level = w[(at >> 2) + 2];
      const type = w[(at >> 2) + 3];
      const data = at + 16;
      const value = w[data >> 2];
      if (level === SOL_IPV6) {
        if (type === IPV6_PKTINFO) {
          readAddress(b, data, datagram.destination);
          datagram.ifindex = w[(data + 16) >> 2];
        } else if (type === IPV6_TCLASS) datagram.tos = value & 0xff;
        else if (type === IPV6_HOPLIMIT) datagram.ttl = value & 0xff;
      } else if (level === SOL_IP) {
        if (type === IP_TOS) datagram.tos = b[data];
        else if (type === IP_TTL) datagram.ttl = value & 0xff;
        else if (type === IP_PKTINFO) {
          datagram.ifindex = value;
          datagram.destination[0] = word(b, data + 8);
        }
      } else if (level === SOL_UDP && type === UDP_GRO) {
        datagram.segment = value & 0xffff;
      } else if (level === SOL_SOCKET && type === SO_RXQ_OVFL) {
        this.#overflow = value;
      }
      at += (length + 7) & ~7;
    }
  }

  /** Gives the memory back; the descriptor stays open. */
  close(): void {
    this.#memory.unmap();
  }
}

const { EAGAIN, EINTR, ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, EMSGSIZE, EPROTO } = constants.errno;
const HARMLESS: ReadonlySet<number> = new Set([
  EAGAIN,
  EINTR,
  ECONNREFUSED,
  EHOSTUNREACH,
  ENETUNREACH,
  EMSGSIZE,
  EPROTO,
]);

function word(b: Uint8Array, at: number): number {
  return ((b[at] << 24) | (b[at + 1] << 16) | (b[at + 2] << 8) | b[at + 3]) >>> 0;
}

/** Reads 16 bytes, an IPv4 address perhaps (::ffff:a.b.c.d); returns whose family it is. */
function readAddress(b: Uint8Array, at: number, to: Uint32Array): 4 | 6 {
  for (let i = 0; i < 4; i++) to[i] = word(b, at + 4 * i);
  if (to[0] !== 0 || to[1] !== 0 || to[2] !== 0xffff) return 6;
  to[0] = to[3];
  to.fill(0, 1);
  return 4;
}

/** Where a datagram goes and what its IP header says. */
export interface Sending {
  readonly family: 4 | 6;
  readonly destination: Uint32Array;
  /** All zeros: the kernel chooses. */
  readonly source: Uint32Array;
  /** UDP port; 0 for raw sockets. */
  readonly port: number;
  readonly tos: number;
  readonly ttl: number;
  /** Mark for the host's policies; 0: none. */
  readonly mark: number;
  /** UDP: bytes of each of several datagrams, all but the last; 0: it is one. */
  readonly segment: number;
}

/** Sends datagrams out of a buffer of its own, each at once. */
export class DatagramWriter {
  readonly #memory: MemoryMap;
  readonly #words: Uint32Array;
  /** What is to be sent is put here first. */
  readonly bytes: Uint8Array;

  constructor() {
    this.#memory = MemoryMap.anonymous(DATA_AT + LARGEST + 4096);
    const { address, bytes } = this.#memory;
    const words = new Uint32Array(this.#memory.buffer);
    this.#words = words;
    this.bytes = bytes.subarray(DATA_AT);
    putPointer(words, 0, address + SEND_NAME_AT);
    putPointer(words, 4, address + SEND_IOV_AT);
    words[6] = 1;
    putPointer(words, 8, address + SEND_CONTROL_AT);
    putPointer(words, SEND_IOV_AT / 4, address + DATA_AT);
  }

  /** Sends the first `length` bytes of `bytes`. Returns 0, or the errno. */
  send(fd: number, length: number, sending: Sending): number {
    const words = this.#words;
    words[2] = this.#writeName(sending);
    words[10] = this.#writeControl(sending);
    words[SEND_IOV_AT / 4 + 2] = length;
    return sendmsg(fd, this.#memory.address, MSG_DONTWAIT) < 0 ? lastErrno() : 0;
  }

  #writeName({ family, destination, port }: Sending): number {
    const b = this.#memory.bytes;
    b[SEND_NAME_AT] = family === 4 ? AF_INET : AF_INET6;
    b[SEND_NAME_AT + 2] = port >> 8;
    b[SEND_NAME_AT + 3] = port;
    if (family === 4) {
      putWord(b, SEND_NAME_AT + 4, destination[0]);
      return 16;
    }
    for (let i = 0; i < 4; i++) putWord(b, SEND_NAME_AT + 8 + 4 * i, destination[i]);
    return 28;
  }

  #writeControl(sending: Sending): number {
    const { family, source, tos, ttl, mark, segment } = sending;
    const b = this.#memory.bytes;
    const w = this.#words;
    let at = SEND_CONTROL_AT;
    const head = (level: number, type: number, size: number): number => {
      const data = at + 16;
      w[at >> 2] = 16 + size;
      w[(at >> 2) + 1] = 0;
      w[(at >> 2) + 2] = level;
      w[(at >> 2) + 3] = type;
      at += 16 + ((size + 7) & ~7);
      return data;
    };
    if (family === 4) {
      w[head(SOL_IP, IP_TOS, 4) >> 2] = tos;
      // The kernel takes no TTL of 0.
      if (ttl !== 0) w[head(SOL_IP, IP_TTL, 4) >> 2] = ttl;
      if (source[0] !== 0) {
        const data = head(SOL_IP, IP_PKTINFO, 12);
        w[data >> 2] = 0;
        putWord(b, data + 4, source[0]);
        w[(data >> 2) + 2] = 0;
      }
    } else {
      w[head(SOL_IPV6, IPV6_TCLASS, 4) >> 2] = tos;
      w[head(SOL_IPV6, IPV6_HOPLIMIT, 4) >> 2] = ttl;
      if ((source[0] | source[1] | source[2] | source[3]) !== 0) {
        const data = head(SOL_IPV6, IPV6_PKTINFO, 20);
        for (let i = 0; i < 4; i++) putWord(b, data + 4 * i, source[i]);
        w[(data >> 2) + 4] = 0;
      }
    }
    if (mark !== 0) w[head(SOL_SOCKET, SO_MARK, 4) >> 2] = mark;
    if (segment !== 0) w[head(SOL_UDP, UDP_SEGMENT, 2) >> 2] = segment;
    return at - SEND_CONTROL_AT;
  }

  close(): void {
    this.#memory.unmap();
  }
}

const SEND_IOV_AT = 64;
const SEND_NAME_AT = 96;
const SEND_CONTROL_AT = 128;
const DATA_AT = 512;

function putWord(b: Uint8Array, at: number, value: number): void {
  b[at] = value >>> 24;
  b[at + 1] = value >>> 16;
  b[at + 2] = value >>> 8;
  b[at + 3] = value;
}
