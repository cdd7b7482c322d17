/**
 * Frames straight from and to a network device: AF_PACKET sockets with memory-mapped rings (packet(7), and
 * the kernel's packet_mmap.rst), TPACKET_V2.
 *
 * Two sockets a device. One has the receive ring; the other the transmit ring, whose frames leave when
 * `flush` kicks it, many by one system call. Slots are small (2 kB by default): a frame that exceeds a slot
 * (a 64 kB segmentation-offload packet) is marked COPY in its slot, and waits whole in the socket's queue,
 * from where `receive` fetches it; such a frame is also sent by an ordinary `send`. That keeps a port at a
 * few megabytes, where slots for the largest frame would take hundreds.
 *
 * V2 wakes a poller with every frame; V3's blocks hold an idle flow's frame back for a block timeout.
 *
 * The device's VLAN tag is not in the frame: the kernel keeps it aside, and `receive` puts it back, into
 * headroom that the ring reserves. Ours is a copy: the host's own stack sees the frame as well, unless the
 * device has no address there.
 */
import { constants } from 'node:os';
import { WeftError } from '../base/errors.ts';
import {
  type FrameSink,
  type FrameSource,
  type Offload,
  type RxFrame,
  readVnetHeader,
  VNET_HEADER_SIZE,
  writeVnetHeader,
} from './frame.ts';
import { bind, check, close, fn, getsockopt, lastErrno, setsockopt, socket } from './libc.ts';
import { MemoryMap } from './memory-map.ts';
import { enlargeBuffer } from './socket-buffer.ts';

const AF_PACKET = 17;
const SOCK_RAW_CLOEXEC_NONBLOCK = 3 | 0o2000000 | 0o4000;
const SOL_SOCKET = 1;
const SO_ERROR = 4;
const SOL_PACKET = 263;
const PACKET_ADD_MEMBERSHIP = 1;
const PACKET_RX_RING = 5;
const PACKET_STATISTICS = 6;
const PACKET_COPY_THRESH = 7;
const PACKET_VERSION = 10;
const PACKET_RESERVE = 12;
const PACKET_TX_RING = 13;
const PACKET_LOSS = 14;
const PACKET_VNET_HDR = 15;
const PACKET_QDISC_BYPASS = 20;
const PACKET_IGNORE_OUTGOING = 23;
const PACKET_MR_PROMISC = 1;
const TPACKET_V2 = 1;
const MSG_DONTWAIT = 0x40;
const ETH_P_ALL = 3;

/** Words of `struct tpacket2_hdr`, in units of their own size. */
const STATUS_W32 = 0;
const LENGTH_W32 = 1;
const CAPTURED_W32 = 2;
const MAC_W16 = 6;
const VLAN_TCI_W16 = 12;
const VLAN_TPID_W16 = 13;
/** Where a transmit slot's data starts: behind the header, rounded up to 16. */
const TX_DATA = 32;

const STATUS_KERNEL = 0;
const STATUS_USER = 1;
const STATUS_COPY = 2;
const STATUS_VLAN_VALID = 0x10;
const STATUS_TPID_VALID = 0x40;
const STATUS_SEND_REQUEST = 1;

/** Room in front of each received frame, for what gets pushed. */
const RESERVE = 128;
const VLAN_SIZE = 4;
/** The largest frame there is: a segmentation-offload packet with its headers. */
const MAX_FRAME = 65536 + 256;
const BLOCK_SIZE = 1 << 16;

const sendC = fn<[number, number, number, number], number>('int64_t send(int, uintptr_t, uint64_t, int)');
const recvC = fn<[number, number, number, number], number>('int64_t recv(int, uintptr_t, uint64_t, int)');

export interface PacketPortOptions {
  /** Index of the device in the current network namespace. */
  readonly ifindex: number;
  /** For error messages. */
  readonly name: string;
  /** Slots of the receive ring, a power of two; 1024 by default. */
  readonly rxSlots?: number;
  /** Slots of the transmit ring, a power of two; 1024 by default. */
  readonly txSlots?: number;
  /** Bytes a slot, a power of two; 2048 by default, enough for an MTU of 1500. */
  readonly slotSize?: number;
  /** Receive what is addressed to others too; on by default. */
  readonly promiscuous?: boolean;
  /** Send past the device's queueing discipline; on by default. */
  readonly bypassQdisc?: boolean;
}

const u32 = (...values: number[]): Uint8Array => new Uint8Array(Uint32Array.from(values).buffer);

function set(fd: number, option: number, value: Uint8Array, what: string): void {
  check(setsockopt(fd, SOL_PACKET, option, value, value.length), what);
}

/** `struct sockaddr_ll`: family, protocol (network order), device. */
function linkAddress(ifindex: number, protocol: number): Uint8Array {
  const bytes = new Uint8Array(20);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF_PACKET, true);
  view.setUint16(2, protocol);
  view.setInt32(4, ifindex, true);
  return bytes;
}

function openSocket(
  name: string,
  slotSize: number,
  slots: number,
  option: number,
): { fd: number; ring: MemoryMap } {
  const fd = check(
    socket(AF_PACKET, SOCK_RAW_CLOEXEC_NONBLOCK, 0),
    `packet socket for ${name}`,
    'packet sockets take root',
  );
  try {
    set(fd, PACKET_VERSION, u32(TPACKET_V2), `${name}: TPACKET_V2`);
    set(fd, PACKET_VNET_HDR, u32(1), `${name}: PACKET_VNET_HDR`);
    if (option === PACKET_RX_RING) {
      set(fd, PACKET_RESERVE, u32(RESERVE), `${name}: PACKET_RESERVE`);
      set(fd, PACKET_COPY_THRESH, u32(1), `${name}: PACKET_COPY_THRESH`);
      set(fd, PACKET_IGNORE_OUTGOING, u32(1), `${name}: PACKET_IGNORE_OUTGOING`);
    } else set(fd, PACKET_LOSS, u32(1), `${name}: PACKET_LOSS`);
    const bytes = slotSize * slots;
    const block = Math.min(Math.max(BLOCK_SIZE, slotSize), bytes);
    set(
      fd,
      option,
      u32(block, bytes / block, slotSize, slots),
      `${name}: ring of ${slots} slots of ${slotSize} bytes`,
    );
    return { fd, ring: MemoryMap.ofFile(fd, bytes, 0, `ring of ${name}`) };
  } catch (error) {
    close(fd);
    throw error;
  }
}

const powerOfTwo = (n: number): boolean => Number.isInteger(n) && n > 0 && (n & (n - 1)) === 0;

/** Both sides of one device. Used by one thread. */
export class PacketPort implements FrameSource, FrameSink {
  readonly name: string;
  readonly fd: number;
  readonly txFd: number;
  /** Frames sent past the ring, because they exceed a slot. */
  largeSent = 0;
  /** Frames that the kernel did not take; they are lost. */
  txErrors = 0;
  /** Received frames that exceed a slot and did not fit into the socket's queue; they are lost. */
  rxCut = 0;
  private readonly slotSize: number;

  private readonly rx: MemoryMap;
  private readonly rx32: Int32Array;
  private readonly rx16: Uint16Array;
  private readonly rxMask: number;
  private rxSlot = 0;
  /** Whole frames fetched from the socket's queue, with the vnet header in front of the frame. */
  private readonly large: MemoryMap;
  /** Where frames are put together that exceed a transmit slot. */
  private readonly largeTx: MemoryMap;

  private readonly tx: MemoryMap;
  private readonly tx32: Int32Array;
  private readonly txMask: number;
  private txSlot = 0;
  private txPending = 0;

  constructor(options: PacketPortOptions) {
    const { name, ifindex, rxSlots = 1024, txSlots = 1024, slotSize = 2048 } = options;
    if (![rxSlots, txSlots, slotSize].every(powerOfTwo) || slotSize < 1024) {
      throw new WeftError(
        'bad-ring',
        `${name}: ${rxSlots} and ${txSlots} slots of ${slotSize} bytes: powers of two needed, slots of 1024 bytes at least`,
      );
    }
    this.name = name;
    this.slotSize = slotSize;
    this.rxMask = rxSlots - 1;
    this.txMask = txSlots - 1;
    const opened: (() => void)[] = [];
    try {
      const rx = openSocket(name, slotSize, rxSlots, PACKET_RX_RING);
      opened.push(
        () => close(rx.fd),
        () => rx.ring.unmap(),
      );
      const tx = openSocket(name, slotSize, txSlots, PACKET_TX_RING);
      opened.push(
        () => close(tx.fd),
        () => tx.ring.unmap(),
      );
      // Large frames wait in the receiving socket's queue: room for a few dozen.
      enlargeBuffer(rx.fd, 'receive', 4 << 20);
      for (const { fd } of [rx, tx]) enlargeBuffer(fd, 'send', 4 << 20);
      if (options.bypassQdisc ?? true) {
        for (const { fd } of [rx, tx]) set(fd, PACKET_QDISC_BYPASS, u32(1), `${name}: PACKET_QDISC_BYPASS`);
      }
      if (options.promiscuous ?? true) {
        const membership = u32(ifindex, PACKET_MR_PROMISC, 0, 0);
        set(rx.fd, PACKET_ADD_MEMBERSHIP, membership, `${name}: promiscuous mode`);
      }
      // Protocol 0: this socket only sends.
      check(bind(tx.fd, linkAddress(ifindex, 0), 20), `bind ${name}`);
      check(bind(rx.fd, linkAddress(ifindex, ETH_P_ALL), 20), `bind ${name}`);
      this.fd = rx.fd;
      this.txFd = tx.fd;
      this.rx = rx.ring;
      this.tx = tx.ring;
      this.large = MemoryMap.anonymous(RESERVE + MAX_FRAME);
      this.largeTx = MemoryMap.anonymous(VNET_HEADER_SIZE + MAX_FRAME);
    } catch (error) {
      for (const undo of opened.reverse()) undo();
      throw error;
    }
    this.rx32 = new Int32Array(this.rx.buffer);
    this.rx16 = new Uint16Array(this.rx.buffer);
    this.tx32 = new Int32Array(this.tx.buffer);
  }

  receive(frame: RxFrame): boolean {
    for (;;) {
      const base = this.rxSlot * this.slotSize;
      const w32 = base >> 2;
      const w16 = base >> 1;
      // The kernel writes the status last; an atomic load keeps ours first.
      const status = Atomics.load(this.rx32, w32 + STATUS_W32);
      if ((status & STATUS_USER) === 0) return false;
      const captured = this.rx32[w32 + CAPTURED_W32];
      let whole = captured === this.rx32[w32 + LENGTH_W32];
      if (whole) {
        const start = base + this.rx16[w16 + MAC_W16];
        frame.bytes = this.rx.bytes;
        frame.start = start;
        frame.end = start + captured;
        frame.headroom = RESERVE;
        readVnetHeader(this.rx.bytes, start - VNET_HEADER_SIZE, frame);
      } else if ((status & STATUS_COPY) !== 0) whole = this.fetchLarge(frame);
      if (whole) {
        this.restoreVlan(frame, status, w16);
        return true;
      }
      this.rxCut++;
      this.release();
    }
  }

  private fetchLarge(frame: RxFrame): boolean {
    const at = RESERVE - VNET_HEADER_SIZE;
    const size = recvC(this.fd, this.large.address + at, this.large.bytes.length - at, MSG_DONTWAIT);
    if (size <= VNET_HEADER_SIZE) return false;
    frame.bytes = this.large.bytes;
    frame.start = RESERVE;
    frame.end = at + size;
    frame.headroom = RESERVE;
    readVnetHeader(this.large.bytes, at, frame);
    return true;
  }

  private restoreVlan(frame: RxFrame, status: number, w16: number): void {
    if ((status & STATUS_VLAN_VALID) === 0) return;
    const tpid = (status & STATUS_TPID_VALID) === 0 ? 0x8100 : this.rx16[w16 + VLAN_TPID_W16];
    const tci = this.rx16[w16 + VLAN_TCI_W16];
    const { bytes } = frame;
    const start = frame.start - VLAN_SIZE;
    bytes.copyWithin(start, frame.start, frame.start + 12);
    bytes[start + 12] = tpid >> 8;
    bytes[start + 13] = tpid;
    bytes[start + 14] = tci >> 8;
    bytes[start + 15] = tci;
    frame.start = start;
    frame.headroom -= VLAN_SIZE;
    if (frame.csumStart >= 0) frame.csumStart += VLAN_SIZE;
  }

  release(): void {
    Atomics.store(this.rx32, (this.rxSlot * this.slotSize) >> 2, STATUS_KERNEL);
    this.rxSlot = (this.rxSlot + 1) & this.rxMask;
  }

  send(bytes: Uint8Array, start: number, end: number, offload: Readonly<Offload>): boolean {
    const length = end - start;
    const whole = length + VNET_HEADER_SIZE;
    if (whole > this.slotSize - TX_DATA) return this.sendLarge(bytes, start, end, offload);
    const base = this.txSlot * this.slotSize;
    const w32 = base >> 2;
    // Any other value: the kernel still has the slot's last frame.
    if (Atomics.load(this.tx32, w32 + STATUS_W32) !== 0) return false;
    const { bytes: ring } = this.tx;
    const at = base + TX_DATA;
    writeVnetHeader(ring, at, offload);
    // hdr_len: the whole frame linear. Else the kernel sends all but the first bytes as pages of this ring,
    // and copies each of these to a page of its own where the frame crosses a veth (a quarter of the speed).
    ring[at + 2] = length;
    ring[at + 3] = length >> 8;
    copy(bytes, start, end, ring, at + VNET_HEADER_SIZE);
    this.tx32[w32 + LENGTH_W32] = whole;
    Atomics.store(this.tx32, w32 + STATUS_W32, STATUS_SEND_REQUEST);
    this.txSlot = (this.txSlot + 1) & this.txMask;
    this.txPending++;
    return true;
  }

  private sendLarge(bytes: Uint8Array, start: number, end: number, offload: Readonly<Offload>): boolean {
    // What was taken before leaves before.
    this.flush();
    const { bytes: buffer, address } = this.largeTx;
    const length = end - start;
    if (length > MAX_FRAME) {
      this.txErrors++;
      return true;
    }
    writeVnetHeader(buffer, 0, offload);
    buffer.set(bytes.subarray(start, end), VNET_HEADER_SIZE);
    if (sendC(this.fd, address, VNET_HEADER_SIZE + length, MSG_DONTWAIT) < 0) {
      const errno = lastErrno();
      if (errno === constants.errno.EAGAIN || errno === constants.errno.ENOBUFS) return false;
      this.txErrors++;
      return true;
    }
    this.largeSent++;
    return true;
  }

  flush(): void {
    if (this.txPending === 0) return;
    this.txPending = 0;
    if (sendC(this.txFd, 0, 0, MSG_DONTWAIT) < 0) {
      const errno = lastErrno();
      // EAGAIN: the kernel goes on with the rest at the next kick.
      if (errno === constants.errno.EAGAIN || errno === constants.errno.ENOBUFS) this.txPending = 1;
      else this.txErrors++;
    }
  }

  /** Frames that came to the receive ring, and that found it full, since the last call. */
  takeStatistics(): { received: number; dropped: number } {
    const value = new Uint8Array(8);
    check(getsockopt(this.fd, SOL_PACKET, PACKET_STATISTICS, value, u32(8)), `${this.name}: statistics`);
    const view = new DataView(value.buffer);
    return { received: view.getUint32(0, true), dropped: view.getUint32(4, true) };
  }

  /** The pending error that made `poll` report POLLERR (ENETDOWN: the device went down), 0 if none; clears it. */
  takeError(): number {
    const value = new Uint8Array(4);
    check(getsockopt(this.fd, SOL_SOCKET, SO_ERROR, value, u32(4)), `${this.name}: SO_ERROR`);
    return new DataView(value.buffer).getInt32(0, true);
  }

  /** Closes both sockets. No frame of this port may be touched afterwards. */
  close(): void {
    this.rx.unmap();
    this.tx.unmap();
    this.large.unmap();
    this.largeTx.unmap();
    close(this.fd);
    close(this.txFd);
  }
}

/** Copies a frame; byte by byte while that is faster than making two views. */
function copy(from: Uint8Array, start: number, end: number, to: Uint8Array, at: number): void {
  if (end - start <= 96) for (let i = start, j = at; i < end; i++, j++) to[j] = from[i];
  else to.set(from.subarray(start, end), at);
}
