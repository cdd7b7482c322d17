import { PT_ETH } from '../../flow/layout.ts';
import { put16 } from '../../wire/bytes.ts';
import { addBytes, finish } from '../../wire/checksum.ts';

/** Room in front of a packet for what gets pushed: a few tags, labels, or a tunnel header. */
export const DEFAULT_HEADROOM = 128;

/** Value of a layer offset or checksum start that is not there. */
export const ABSENT = -1;

/** A packet's connection: it had one, before the packet went through the slow path, which did not keep it. */
export const RECALLED = -2;

/**
 * One packet in a buffer with headroom, so that pushing a header moves only the few bytes in front of
 * it. Layer offsets are relative to `start` and are kept right by every edit; `extractFlow` sets them.
 *
 * A packet that comes from a device with checksum offload may carry an unfinished L4 checksum: the
 * field holds the folded sum of the pseudo header, and whoever sends it out must sum the bytes from
 * `csumStart` to the end and store the complement at `csumStart + csumOffset` (virtio_net_hdr's
 * NEEDS_CSUM). `csumStart` moves with pushed and popped headers like the layer offsets do.
 *
 * Objects are meant to be reused: `attach` points one at other bytes.
 */
export class Packet {
  buffer: Uint8Array;
  start: number;
  end: number;
  /** First byte of `buffer` that a pushed header may take: what stands before is another's. */
  floor = 0;
  /** PT_ETH, or (namespace << 16) | type for a packet without an Ethernet header. */
  packetType: number = PT_ETH;
  /** First MPLS label stack entry. */
  l25: number = ABSENT;
  /** First byte after the link layer and any MPLS label stack. */
  l3: number = ABSENT;
  /** First byte after the IP header and its extension headers. */
  l4: number = ABSENT;
  /** Bytes after the end of the IP packet: Ethernet's padding. */
  l2Pad = 0;
  /** Unfinished checksum: first byte that it covers; ABSENT: none. */
  csumStart: number = ABSENT;
  csumOffset = 0;
  /** virtio_net_hdr's gso_type (0: none), and bytes a segment. */
  gsoType = 0;
  gsoSize = 0;
  /** What `trunc` asked for: bytes by which the next output is shorter. */
  cutLength = 0;
  /** Connection that it was last found to belong to (conntrack/table.ts): slot and serial number; ABSENT: none. */
  connection: number = ABSENT;
  connectionSerial = 0;
  /** It goes in the direction of answers; it is an ICMP error about the connection. */
  connectionReply = false;
  connectionRelated = false;

  constructor(buffer: Uint8Array, start = 0, end = buffer.length) {
    this.buffer = buffer;
    this.start = start;
    this.end = end;
  }

  /** A packet of its own bytes, with headroom in front. */
  static copyOf(bytes: Uint8Array, headroom = DEFAULT_HEADROOM): Packet {
    const buffer = new Uint8Array(headroom + bytes.length);
    buffer.set(bytes, headroom);
    return new Packet(buffer, headroom);
  }

  get length(): number {
    return this.end - this.start;
  }

  /** The bytes, shared with the buffer: valid until the next edit. */
  bytes(): Uint8Array {
    return this.buffer.subarray(this.start, this.end);
  }

  /** Points this object at other bytes; all that was known of the former is forgotten. */
  attach(buffer: Uint8Array, start: number, end: number, floor = 0): void {
    this.buffer = buffer;
    this.start = start;
    this.end = end;
    this.floor = floor;
    this.packetType = PT_ETH;
    this.resetLayers();
    this.csumStart = ABSENT;
    this.csumOffset = 0;
    this.gsoType = 0;
    this.gsoSize = 0;
    this.cutLength = 0;
    this.connection = ABSENT;
  }

  copyConnection(from: Packet): void {
    this.connection = from.connection;
    this.connectionSerial = from.connectionSerial;
    this.connectionReply = from.connectionReply;
    this.connectionRelated = from.connectionRelated;
  }

  resetLayers(): void {
    this.l25 = ABSENT;
    this.l3 = ABSENT;
    this.l4 = ABSENT;
    this.l2Pad = 0;
  }

  /** A copy with its own bytes. */
  clone(headroom = DEFAULT_HEADROOM): Packet {
    const copy = Packet.copyOf(this.bytes(), headroom);
    copy.packetType = this.packetType;
    copy.l25 = this.l25;
    copy.l3 = this.l3;
    copy.l4 = this.l4;
    copy.l2Pad = this.l2Pad;
    copy.csumStart = this.csumStart;
    copy.csumOffset = this.csumOffset;
    copy.gsoType = this.gsoType;
    copy.gsoSize = this.gsoSize;
    copy.cutLength = this.cutLength;
    copy.copyConnection(this);
    return copy;
  }

  /**
   * Opens a gap of `size` bytes at offset `at`, moving the bytes in front of it (not those behind).
   * Offsets at or behind `at` move with what they point at. Without enough headroom the packet moves
   * to a new buffer. Returns the gap's place in `buffer`; its bytes are undefined.
   */
  openGap(at: number, size: number): number {
    if (this.start - this.floor < size) {
      const buffer = new Uint8Array(DEFAULT_HEADROOM + size + this.length);
      buffer.set(this.bytes(), DEFAULT_HEADROOM + size);
      this.buffer = buffer;
      this.start = DEFAULT_HEADROOM + size;
      this.end = buffer.length;
      this.floor = 0;
    }
    const from = this.start;
    this.start = from - size;
    if (at > 0) this.buffer.copyWithin(this.start, from, from + at);
    this.shift(at, size);
    return this.start + at;
  }

  /**
   * Removes `size` bytes at offset `at`, moving the bytes in front of them. Offsets behind them move
   * along; one that points into them stays.
   */
  closeGap(at: number, size: number): void {
    if (at > 0) this.buffer.copyWithin(this.start + size, this.start, this.start + at);
    this.start += size;
    this.shift(at + size, -size);
  }

  private shift(at: number, by: number): void {
    if (this.l25 >= at) this.l25 += by;
    if (this.l3 >= at) this.l3 += by;
    if (this.l4 >= at) this.l4 += by;
    if (this.csumStart >= at) this.csumStart += by;
  }

  /** True where the L4 checksum is left to the sender, and `field` (offset in L4) is where it goes. */
  hasPartialChecksum(field: number): boolean {
    return this.csumStart !== ABSENT && this.csumStart === this.l4 && this.csumOffset === field;
  }

  /**
   * Computes an unfinished checksum, for whoever can't be left to do it (a file, an upcall, a peer
   * without offload). A place outside of the packet is left alone.
   */
  finishChecksum(): void {
    if (this.csumStart === ABSENT) return;
    const from = this.start + this.csumStart;
    const field = from + this.csumOffset;
    if (from >= this.start && field + 2 <= this.end) {
      const sum = finish(addBytes(0, this.buffer, from, this.end));
      // Over UDP, 0 would mean "no checksum".
      put16(this.buffer, field, sum === 0 && this.csumOffset === 6 ? 0xffff : sum);
    }
    this.csumStart = ABSENT;
  }
}
