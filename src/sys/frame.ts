/**
 * Ethernet frames on their way between a device and us, with what a device with checksum and segmentation
 * offload leaves undone: the `virtio_net_hdr` of the virtio specification (5.1.6), ten bytes in front of each
 * frame, little-endian: flags, gso_type, hdr_len, gso_size, csum_start, csum_offset.
 */

export const VNET_HEADER_SIZE = 10;
const VNET_NEEDS_CSUM = 1;

/** Values of `gsoType`. */
export const GSO_NONE = 0;
export const GSO_TCPV4 = 1;
export const GSO_UDP = 3;
export const GSO_TCPV6 = 4;
export const GSO_UDP_L4 = 5;
/** Bit on top of a TCP type: the segments carry ECN. */
export const GSO_ECN = 0x80;

/** What the sender must still do on a frame. */
export interface Offload {
  /** Sum the bytes from here to the end of the frame (-1: the checksum is complete)... */
  csumStart: number;
  /** ...and store the complement so many bytes further. */
  csumOffset: number;
  /** How to cut the payload into segments of `gsoSize` bytes; GSO_NONE: not at all. */
  gsoType: number;
  gsoSize: number;
}

export const NO_OFFLOAD: Readonly<Offload> = { csumStart: -1, csumOffset: 0, gsoType: GSO_NONE, gsoSize: 0 };

/**
 * One received frame. The object is filled again and again; its bytes are the device's own until
 * `release()` gives them back.
 */
export class RxFrame implements Offload {
  bytes: Uint8Array = new Uint8Array(0);
  /** The frame is `bytes[start..end)`. */
  start = 0;
  end = 0;
  /** Bytes in front of `start` that may be overwritten. */
  headroom = 0;
  csumStart = -1;
  csumOffset = 0;
  gsoType = 0;
  gsoSize = 0;
}

/** A device's receiving side. */
export interface FrameSource {
  /** Poll it for POLLIN. */
  readonly fd: number;
  /** Fills `frame` with the next frame, or returns false: nothing there. */
  receive(frame: RxFrame): boolean;
  /** Gives the frame of the last successful `receive` back. Call once, before the next `receive`. */
  release(): void;
}

/** A device's sending side. */
export interface FrameSink {
  /** Poll it for POLLOUT when `send` returned false. */
  readonly txFd: number;
  /** Takes a copy of `bytes[start..end)` for sending; false: no room, try after `flush` or later. */
  send(bytes: Uint8Array, start: number, end: number, offload: Readonly<Offload>): boolean;
  /** Sends what `send` has taken. */
  flush(): void;
}

/** Reads the header at `at` into `frame`. */
export function readVnetHeader(bytes: Uint8Array, at: number, frame: Offload): void {
  if ((bytes[at] & VNET_NEEDS_CSUM) !== 0) {
    frame.csumStart = bytes[at + 6] | (bytes[at + 7] << 8);
    frame.csumOffset = bytes[at + 8] | (bytes[at + 9] << 8);
  } else {
    frame.csumStart = -1;
    frame.csumOffset = 0;
  }
  frame.gsoType = bytes[at + 1];
  frame.gsoSize = frame.gsoType === 0 ? 0 : bytes[at + 4] | (bytes[at + 5] << 8);
}

/**
 * Writes the header of a frame at `at`. `hdr_len` is the least the kernel wants linear: up to the checksum's
 * end; the kernel parses the headers itself beyond that.
 */
export function writeVnetHeader(bytes: Uint8Array, at: number, offload: Readonly<Offload>): void {
  const { csumStart, csumOffset, gsoType, gsoSize } = offload;
  if (csumStart < 0 && gsoType === 0) {
    for (let i = 0; i < VNET_HEADER_SIZE; i++) bytes[at + i] = 0;
    return;
  }
  const start = Math.max(csumStart, 0);
  const linear = csumStart < 0 ? 0 : start + csumOffset + 2;
  bytes[at] = csumStart < 0 ? 0 : VNET_NEEDS_CSUM;
  bytes[at + 1] = gsoType;
  bytes[at + 2] = linear;
  bytes[at + 3] = linear >> 8;
  bytes[at + 4] = gsoSize;
  bytes[at + 5] = gsoSize >> 8;
  bytes[at + 6] = start;
  bytes[at + 7] = start >> 8;
  bytes[at + 8] = csumOffset;
  bytes[at + 9] = csumOffset >> 8;
}
