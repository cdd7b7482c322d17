/**
 * Sending frames out of any device by one packet socket (packet(7)), each with its `virtio_net_hdr`, so that what the
 * sender of a frame left to do (checksum, segmentation) is done by the device it leaves by, or by the kernel.
 */
import { constants } from 'node:os';
import { type Offload, VNET_HEADER_SIZE, writeVnetHeader } from './frame.ts';
import { check, close, fn, lastErrno, setsockopt, socket } from './libc.ts';
import { MemoryMap } from './memory-map.ts';
import { enlargeBuffer } from './socket-buffer.ts';

const AF_PACKET = 17;
const SOCK_RAW_CLOEXEC_NONBLOCK = 3 | 0o2000000 | 0o4000;
const SOL_PACKET = 263;
const PACKET_ADD_MEMBERSHIP = 1;
const PACKET_DROP_MEMBERSHIP = 2;
const PACKET_VNET_HDR = 15;
const PACKET_MR_PROMISC = 1;
const MSG_DONTWAIT = 0x40;
/** `struct sockaddr_ll`. */
const ADDRESS_SIZE = 20;
/** The largest frame there is: a segmentation-offload packet with its headers. */
const MAX_FRAME = 65536 + 256;
const FRAME_AT = 32;
const SEND_BUFFER = 8 << 20;

const sendtoC = fn<[number, number, number, number, number, number], number>(
  'int64_t sendto(int, uintptr_t, uint64_t, int, uintptr_t, uint32_t)',
);

const u32 = (...values: number[]): Uint8Array => new Uint8Array(Uint32Array.from(values).buffer);

/** What became of a frame. */
export type Sent = 'sent' | 'dropped' | 'failed';

/** Sends out of the devices of the network namespace in which it was made. */
export class PacketSender {
  readonly #fd: number;
  readonly #memory: MemoryMap;
  readonly #view: DataView;

  constructor() {
    this.#fd = check(
      socket(AF_PACKET, SOCK_RAW_CLOEXEC_NONBLOCK, 0),
      'packet socket',
      'packet sockets take root',
    );
    try {
      check(setsockopt(this.#fd, SOL_PACKET, PACKET_VNET_HDR, u32(1), 4), 'PACKET_VNET_HDR');
      enlargeBuffer(this.#fd, 'send', SEND_BUFFER);
      this.#memory = MemoryMap.anonymous(FRAME_AT + VNET_HEADER_SIZE + MAX_FRAME);
    } catch (error) {
      close(this.#fd);
      throw error;
    }
    this.#view = new DataView(this.#memory.buffer);
    this.#view.setUint16(0, AF_PACKET, true);
  }

  /** Sends `bytes[start..end)`; 'dropped': its queue is full, 'failed': the device does not take it. */
  send(ifindex: number, bytes: Uint8Array, start: number, end: number, offload: Readonly<Offload>): Sent {
    const length = end - start;
    if (length > MAX_FRAME) return 'failed';
    this.#view.setInt32(4, ifindex, true);
    const memory = this.#memory.bytes;
    writeVnetHeader(memory, FRAME_AT, offload);
    memory.set(bytes.subarray(start, end), FRAME_AT + VNET_HEADER_SIZE);
    const { address } = this.#memory;
    const size = VNET_HEADER_SIZE + length;
    if (sendtoC(this.#fd, address + FRAME_AT, size, MSG_DONTWAIT, address, ADDRESS_SIZE) >= 0) return 'sent';
    const errno = lastErrno();
    return errno === constants.errno.EAGAIN || errno === constants.errno.ENOBUFS ? 'dropped' : 'failed';
  }

  /** Has the device take frames for all addresses, until told otherwise or closed. */
  setPromiscuous(ifindex: number, on: boolean): void {
    const option = on ? PACKET_ADD_MEMBERSHIP : PACKET_DROP_MEMBERSHIP;
    const membership = u32(ifindex, PACKET_MR_PROMISC, 0, 0);
    check(
      setsockopt(this.#fd, SOL_PACKET, option, membership, membership.length),
      `promiscuous mode of device ${ifindex}`,
    );
  }

  close(): void {
    this.#memory.unmap();
    close(this.#fd);
  }
}
