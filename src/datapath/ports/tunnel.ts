import { constants } from 'node:os';
import { WeftError } from '../../base/errors.ts';
import {
  type Flow,
  newFlow,
  PT_ETH,
  TUN_F_CSUM,
  TUN_F_DF,
  W_ETH_TYPE,
  W_PKT_MARK,
  W_TUN_DST,
  W_TUN_FLAGS,
  W_TUN_IPV6_DST,
  W_TUN_IPV6_SRC,
  W_TUN_SRC,
  W_TUN_TP,
} from '../../flow/layout.ts';
import {
  Datagram,
  DatagramReader,
  DatagramWriter,
  IPPROTO_GRE,
  openRaw,
  openUdpReceiver,
  openUdpSender,
  type Sending,
} from '../../sys/datagram.ts';
import { close } from '../../sys/libc.ts';
import { inNetns } from '../../sys/netns.ts';
import { put16 } from '../../wire/bytes.ts';
import { addBytes, finish } from '../../wire/checksum.ts';
import { hash5Tuple, hashSymmetricL2 } from '../packet/hash.ts';
import { inferOffload } from '../packet/infer-offload.ts';
import { ABSENT, type Packet } from '../packet/packet.ts';
import { planSegments, type Segments, writeSegment } from '../packet/segment.ts';
import {
  finishGre,
  readTunnelHeader,
  type TunnelProtocol,
  writeTunnelHeader,
} from '../packet/tunnel-header.ts';
import type { PortSpec } from '../types.ts';
import type { Counters } from '../userspace/counters.ts';
import { type ForwardingPort, type Next, NOTHING, PACKET, SKIPPED } from './source.ts';

/** Port types that are tunnels. */
export const TUNNEL_TYPES: ReadonlySet<string> = new Set<TunnelProtocol>(['vxlan', 'geneve', 'gre']);

/**
 * Source ports that a tunnel sends from, so that the underlay can tell flows apart and spread them (RFC 7348,
 * 5: a hash of the inner packet, in the range of dynamic ports).
 */
const SOURCE_PORTS = 32;
/** Longest payload of a UDP datagram over IPv4. */
const LONGEST_DATAGRAM = 65507;
/** Datagrams that the kernel cuts one buffer into at most. */
const MOST_SEGMENTS = 64;

/** The UDP port that the spec's `dst_port` names. */
function udpPort({ name, options }: PortSpec): number {
  const port = Number(options?.get('dst_port'));
  if (!Number.isInteger(port) || port < 1 || port > 65535) {
    throw new WeftError(
      'bad-port-type',
      `tunnel port "${name}": dst_port=${options?.get('dst_port')} is no UDP port`,
    );
  }
  return port;
}

/** What a datagram's IP header says, and how long each of several is. */
class Outer implements Sending {
  family: 4 | 6 = 4;
  readonly destination: Uint32Array = new Uint32Array(4);
  readonly source: Uint32Array = new Uint32Array(4);
  port = 0;
  tos = 0;
  ttl = 0;
  mark = 0;
  segment = 0;
}

/**
 * A datapath port of tunnels, over sockets: the host's kernel does the IP of the underlay. VXLAN and Geneve are
 * received by a UDP socket on the tunnel's port and sent from sockets of which each has a source port of its
 * own; GRE is received and sent by raw sockets, one a family.
 */
export class TunnelPort implements ForwardingPort {
  readonly number: number;
  readonly name: string;
  readonly askFirst = true;
  ready = true;
  failed = false;
  readonly metadata: Flow = newFlow();
  readonly #protocol: TunnelProtocol;
  readonly #gbp: boolean;
  readonly #port: number;
  readonly #netns: string | undefined;
  readonly #counters: Counters;
  readonly #isOurs: (ifindex: number) => boolean;
  readonly #readers: DatagramReader[] = [];
  readonly #writer = new DatagramWriter();
  readonly #datagram = new Datagram();
  readonly #outer = new Outer();
  /** Sockets to send by, by what they do to their datagrams. */
  readonly #senders = new Map<number, number>();
  #current = 0;
  /** What is left of a datagram that was several. */
  #restAt = 0;
  #restEnd = 0;

  /**
   * @param isOurs whether a device is a port of the datapath itself: its packets are for the datapath, but the host's stack
   *   gets a copy. A machine behind such a port must not be able to send as if it were another host.
   * @throws WeftError `system-call` (the UDP port is taken, no rights), `bad-port-type`
   */
  constructor(
    number: number,
    spec: PortSpec,
    counters: Counters,
    isOurs: (ifindex: number) => boolean = () => false,
  ) {
    this.number = number;
    this.#isOurs = isOurs;
    this.name = spec.name;
    this.#protocol = spec.type as TunnelProtocol;
    this.#gbp = spec.options?.get('exts') === 'gbp';
    this.#netns = spec.netns;
    this.#counters = counters;
    try {
      this.#port = this.#protocol === 'gre' ? 0 : udpPort(spec);
      this.#inside(() => this.#openReceivers());
    } catch (error) {
      this.close();
      throw error;
    }
  }

  #openReceivers(): void {
    if (this.#protocol !== 'gre') {
      this.#readers.push(new DatagramReader(openUdpReceiver(this.#port)));
      return;
    }
    const ipv4 = openRaw(IPPROTO_GRE, { family: 4, dontFragment: true }, true);
    this.#readers.push(new DatagramReader(ipv4));
    try {
      this.#readers.push(new DatagramReader(openRaw(IPPROTO_GRE, { family: 6, dontFragment: true }, true)));
    } catch {
      // A host without IPv6.
    }
  }

  get fds(): readonly number[] {
    return this.#readers.map((reader) => reader.fd);
  }

  /** In the port's network namespace. */
  #inside<T>(work: () => T): T {
    return this.#netns === undefined ? work() : inNetns(this.#netns, work);
  }

  // --- Receiving ------------------------------------------------------------------------------------

  next(packet: Packet): Next {
    if (this.#restAt >= this.#restEnd && !this.#nextDatagram()) return NOTHING;
    const { bytes, segment } = this.#datagram;
    const at = this.#restAt;
    const end = segment === 0 ? this.#restEnd : Math.min(at + segment, this.#restEnd);
    this.#restAt = end;
    const inner = readTunnelHeader(this.#protocol, bytes, at, end, this.metadata, this.#gbp);
    if (inner < 0 || end - inner < 14) {
      this.#counters.receiveError(this.number);
      return SKIPPED;
    }
    // The headers in front are read: what gets pushed may take their place.
    packet.attach(bytes, inner, end, at);
    inferOffload(packet);
    return PACKET;
  }

  #nextDatagram(): boolean {
    const datagram = this.#datagram;
    for (let tried = 0; tried < this.#readers.length; tried++) {
      const reader = this.#readers[this.#current];
      const there = reader.next(datagram);
      // Each family's batch in turn: a flood by one must not keep the other out.
      if (!reader.buffered) this.#current = (this.#current + 1) % this.#readers.length;
      if (there) {
        this.#restAt = datagram.start;
        this.#restEnd = datagram.end;
        this.#readOuter(reader);
        if (this.#isOurs(datagram.ifindex)) this.#restEnd = this.#restAt;
        // An empty one is no packet, but there may be more behind it.
        if (this.#restAt >= this.#restEnd) this.#restEnd = this.#restAt + 1;
        return true;
      }
    }
    this.ready = false;
    return false;
  }

  /** The words of the key that stand in the IP and UDP headers. */
  #readOuter(reader: DatagramReader): void {
    const { metadata } = this;
    const datagram = this.#datagram;
    const rawIpv4 = this.#protocol === 'gre' && reader === this.#readers[0];
    if (rawIpv4) this.#readRawIpv4();
    const { family, source, destination, tos, ttl } = datagram;
    const ipv4 = family === 4;
    metadata[W_TUN_SRC] = ipv4 ? source[0] : 0;
    metadata[W_TUN_DST] = ipv4 ? destination[0] : 0;
    for (let i = 0; i < 4; i++) {
      metadata[W_TUN_IPV6_SRC + i] = ipv4 ? 0 : source[i];
      metadata[W_TUN_IPV6_DST + i] = ipv4 ? 0 : destination[i];
    }
    metadata[W_TUN_FLAGS] = (tos << 8) | ttl;
    metadata[W_TUN_TP] = this.#port === 0 ? 0 : ((datagram.sourcePort << 16) | this.#port) >>> 0;
  }

  /** A raw IPv4 socket hands out the IP header too. */
  #readRawIpv4(): void {
    const datagram = this.#datagram;
    const { bytes: b, start } = datagram;
    const header = (b[start] & 15) * 4;
    datagram.family = 4;
    datagram.tos = b[start + 1];
    datagram.ttl = b[start + 8];
    for (const [words, at] of [
      [datagram.source, start + 12],
      [datagram.destination, start + 16],
    ] as const) {
      words[0] = ((b[at] << 24) | (b[at + 1] << 16) | (b[at + 2] << 8) | b[at + 3]) >>> 0;
    }
    this.#restAt = Math.min(start + header, this.#restEnd);
  }

  release(): void {}

  // --- Sending --------------------------------------------------------------------------------------

  transmit(packet: Packet, length: number, key: Flow): void {
    const outer = this.#outer;
    if (packet.packetType !== PT_ETH || !readDestination(key, outer)) {
      this.#counters.sendError(this.number);
      return;
    }
    outer.port = this.#port;
    outer.tos = (key[W_TUN_FLAGS] >>> 8) & 0xff;
    outer.ttl = key[W_TUN_FLAGS] & 0xff;
    outer.mark = key[W_PKT_MARK];
    outer.segment = 0;
    const whole = length === packet.length;
    const errno =
      whole && packet.gsoType !== 0 ? this.#sendSegments(packet, key) : this.#sendOne(packet, length, key);
    if (errno === 0) this.#counters.sent(this.number, length);
    else if (errno === EAGAIN || errno === ENOBUFS) this.#counters.sendDropped(this.number);
    else this.#counters.sendError(this.number);
  }

  #sendOne(packet: Packet, length: number, key: Flow): number {
    const { bytes } = this.#writer;
    const header = writeTunnelHeader(this.#protocol, bytes, 0, key);
    const end = header + length;
    if (end > LONGEST_DATAGRAM) return EMSGSIZE;
    bytes.set(packet.buffer.subarray(packet.start, packet.start + length), header);
    if (packet.csumStart !== ABSENT && length === packet.length) {
      const from = header + packet.csumStart;
      const sum = finish(addBytes(0, bytes, from, end));
      const field = from + packet.csumOffset;
      if (field + 2 <= end) put16(bytes, field, sum === 0 && packet.csumOffset === 6 ? 0xffff : sum);
    }
    if (this.#protocol === 'gre') finishGre(bytes, 0, end);
    return this.#send(end, this.#sender(key, false));
  }

  /** Sends the segments that a packet stands for, as many as can be by one call. */
  #sendSegments(packet: Packet, key: Flow): number {
    const plan = planSegments(packet);
    if (plan === null) {
      // UDP of any length is the kernel's to fragment.
      return this.#sendOne(packet, packet.length, key);
    }
    if (this.#protocol === 'gre') return this.#sendEach(packet, plan, 0, key);
    const { bytes } = this.#writer;
    const header = writeTunnelHeader(this.#protocol, bytes, 0, key);
    const segment = header + plan.headers + plan.size;
    for (let index = 0; index < plan.count; ) {
      const first = index;
      let at = 0;
      while (index < plan.count && index - first < MOST_SEGMENTS && at + segment <= LONGEST_DATAGRAM) {
        writeTunnelHeader(this.#protocol, bytes, at, key);
        at += header;
        at += writeSegment(packet, plan, index, bytes, at);
        index++;
      }
      if (index === first) return EMSGSIZE;
      this.#outer.segment = index - first > 1 ? segment : 0;
      const errno = this.#send(at, this.#sender(key, true));
      this.#outer.segment = 0;
      // Segments that exceed the path go one by one: the kernel fragments them, if it may.
      if (errno === EINVAL || errno === EMSGSIZE || errno === EIO)
        return this.#sendEach(packet, plan, first, key);
      if (errno !== 0) return errno;
    }
    return 0;
  }

  #sendEach(packet: Packet, plan: Segments, first: number, key: Flow): number {
    const { bytes } = this.#writer;
    const fd = this.#sender(key, false);
    for (let index = first; index < plan.count; index++) {
      const header = writeTunnelHeader(this.#protocol, bytes, 0, key);
      const end = header + writeSegment(packet, plan, index, bytes, header);
      if (this.#protocol === 'gre') finishGre(bytes, 0, end);
      const errno = this.#send(end, fd);
      if (errno !== 0) return errno;
    }
    return 0;
  }

  #send(length: number, fd: number): number {
    return this.#writer.send(fd, length, this.#outer);
  }

  /** A socket that treats its datagrams as the key asks for. `several`: the kernel cuts what it is given. */
  #sender(key: Flow, several: boolean): number {
    const flags = key[W_TUN_FLAGS] >>> 16;
    const { family } = this.#outer;
    const dontFragment = (flags & TUN_F_DF) !== 0;
    // The kernel only cuts where it makes checksums too (udp(7), UDP_SEGMENT).
    const checksum = several || (flags & TUN_F_CSUM) !== 0;
    const gre = this.#protocol === 'gre';
    const flow = gre ? 0 : flowHash(key) % SOURCE_PORTS;
    const kind = (flow << 3) | (family === 6 ? 4 : 0) | (dontFragment ? 2 : 0) | (checksum && !gre ? 1 : 0);
    let fd = this.#senders.get(kind);
    if (fd === undefined) {
      fd = this.#inside(() =>
        gre
          ? openRaw(IPPROTO_GRE, { family, dontFragment }, false)
          : openUdpSender({ family, dontFragment, checksum }),
      );
      this.#senders.set(kind, fd);
    }
    return fd;
  }

  flush(): void {}

  takeError(): number {
    return 0;
  }

  takeLosses(): { received: number; sent: number } {
    return { received: this.#readers.reduce((sum, reader) => sum + reader.takeDrops(), 0), sent: 0 };
  }

  close(): void {
    for (const reader of this.#readers) {
      close(reader.fd);
      reader.close();
    }
    for (const fd of this.#senders.values()) close(fd);
    this.#writer.close();
  }
}

const { EAGAIN, ENOBUFS, EMSGSIZE, EINVAL, EIO } = constants.errno;

/** What tells flows apart: addresses and ports of IP, MAC addresses of others. */
function flowHash(key: Flow): number {
  const type = key[W_ETH_TYPE] >>> 16;
  return type === 0x0800 || type === 0x86dd ? hash5Tuple(key, 0) : hashSymmetricL2(key, 0);
}

/** The addresses that the key's tunnel goes to and from; false: it has none. */
function readDestination(key: Flow, outer: Outer): boolean {
  if (key[W_TUN_DST] !== 0) {
    outer.family = 4;
    outer.destination[0] = key[W_TUN_DST];
    outer.source[0] = key[W_TUN_SRC];
    return true;
  }
  outer.family = 6;
  let some = 0;
  for (let i = 0; i < 4; i++) {
    outer.destination[i] = key[W_TUN_IPV6_DST + i];
    outer.source[i] = key[W_TUN_IPV6_SRC + i];
    some |= key[W_TUN_IPV6_DST + i];
  }
  return some !== 0;
}
