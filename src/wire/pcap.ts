import { WeftError } from '../base/errors.ts';

/**
 * The pcap file format (draft-ietf-opsawg-pcap): a 24-byte header, then packets, each behind 16 bytes
 * of time and lengths. Written little-endian with microseconds; both byte orders and nanoseconds are
 * read. No I/O here: bytes in, bytes out.
 */

export const LINKTYPE_ETHERNET = 1;
/** IP without a link layer. */
export const LINKTYPE_RAW = 101;

const MAGIC_MICROSECONDS = 0xa1b2c3d4;
const MAGIC_NANOSECONDS = 0xa1b23c4d;
const FILE_HEADER = 24;
const PACKET_HEADER = 16;
/** Longer packets are taken for damage. */
const MAX_PACKET = 0x40000;

export interface PcapPacket {
  /** Seconds since the Unix epoch, and the fraction in microseconds. */
  readonly seconds: number;
  readonly micros: number;
  readonly bytes: Uint8Array;
  /** Length on the wire, if more than was captured. */
  readonly wireLength: number;
}

/** What a file begins with. */
export function pcapHeader(linkType: number = LINKTYPE_ETHERNET): Uint8Array {
  const out = new Uint8Array(FILE_HEADER);
  const view = new DataView(out.buffer);
  view.setUint32(0, MAGIC_MICROSECONDS, true);
  view.setUint16(4, 2, true);
  view.setUint16(6, 4, true);
  view.setUint32(16, 0xffff, true);
  view.setUint32(20, linkType, true);
  return out;
}

/**
 * One packet as it is appended to a file.
 * @param wall milliseconds since the Unix epoch
 */
export function pcapRecord(bytes: Uint8Array, wall = 0): Uint8Array {
  const out = new Uint8Array(PACKET_HEADER + bytes.length);
  const view = new DataView(out.buffer);
  const seconds = Math.floor(wall / 1000);
  view.setUint32(0, seconds, true);
  view.setUint32(4, Math.floor((wall - seconds * 1000) * 1000), true);
  view.setUint32(8, bytes.length, true);
  view.setUint32(12, bytes.length, true);
  out.set(bytes, PACKET_HEADER);
  return out;
}

/** A whole file. */
export function writePcap(packets: Iterable<Uint8Array>, linkType: number = LINKTYPE_ETHERNET): Uint8Array {
  const parts = [pcapHeader(linkType)];
  for (const bytes of packets) parts.push(pcapRecord(bytes));
  let length = 0;
  for (const part of parts) length += part.length;
  const out = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/**
 * Reads a pcap stream piece by piece, as from a pipe or a file that grows. A packet that is not whole
 * yet waits for the next piece.
 */
export class PcapReader {
  private rest: Uint8Array = new Uint8Array(0);
  private little: boolean | null = null;
  private nanos = false;
  /** LINKTYPE_* of the file; -1 until its header was read. */
  linkType = -1;

  /** @throws WeftError `bad-pcap` for what isn't a pcap file or has an impossible length */
  push(bytes: Uint8Array): PcapPacket[] {
    const data = new Uint8Array(this.rest.length + bytes.length);
    data.set(this.rest);
    data.set(bytes, this.rest.length);
    const view = new DataView(data.buffer);
    let at = 0;
    if (this.little === null) {
      if (data.length < FILE_HEADER) {
        this.rest = data;
        return [];
      }
      this.readHeader(view);
      at = FILE_HEADER;
    }
    const little = this.little === true;
    const packets: PcapPacket[] = [];
    while (data.length - at >= PACKET_HEADER) {
      const length = view.getUint32(at + 8, little);
      if (length > MAX_PACKET) {
        throw new WeftError('bad-pcap', `pcap packet of ${length} bytes: more than ${MAX_PACKET}`, {
          remedy: 'the file is damaged here; cut it off before this packet',
        });
      }
      if (data.length - at - PACKET_HEADER < length) break;
      const fraction = view.getUint32(at + 4, little);
      packets.push({
        seconds: view.getUint32(at, little),
        micros: this.nanos ? Math.floor(fraction / 1000) : fraction,
        bytes: data.slice(at + PACKET_HEADER, at + PACKET_HEADER + length),
        wireLength: view.getUint32(at + 12, little),
      });
      at += PACKET_HEADER + length;
    }
    this.rest = data.slice(at);
    return packets;
  }

  /** Bytes of a packet that is not whole. */
  get pending(): number {
    return this.rest.length;
  }

  private readHeader(view: DataView): void {
    for (const little of [true, false]) {
      const magic = view.getUint32(0, little);
      if (magic !== MAGIC_MICROSECONDS && magic !== MAGIC_NANOSECONDS) continue;
      this.little = little;
      this.nanos = magic === MAGIC_NANOSECONDS;
      this.linkType = view.getUint32(20, little) & 0xffff;
      return;
    }
    throw new WeftError('bad-pcap', `not a pcap file: begins with 0x${view.getUint32(0).toString(16)}`, {
      remedy: 'pcapng files can be converted: editcap -F pcap IN OUT',
    });
  }
}

/** All packets of a whole file. @throws WeftError `bad-pcap`, also where the last packet is cut short */
export function readPcap(bytes: Uint8Array): PcapPacket[] {
  const reader = new PcapReader();
  const packets = reader.push(bytes);
  if (reader.linkType === -1 || reader.pending > 0) {
    throw new WeftError(
      'bad-pcap',
      `pcap file ends in the middle of a packet: ${reader.pending} bytes left over`,
    );
  }
  return packets;
}
