/**
 * Marks in the payload of what a guest sends: who sent it. Tenants may have the same addresses, IP and MAC, so whose packet
 * it is that turns up somewhere is told by nothing else.
 */
import { RxFrame } from '../../sys/frame.ts';
import { Links } from '../../sys/netlink/link.ts';
import { NetlinkSocket } from '../../sys/netlink/socket.ts';
import { PacketPort } from '../../sys/packet-port.ts';

export const MARK_LENGTH = 8;

/** A sender, by number, in one round of probes, by nonce: 16 bits each. */
export interface Mark {
  readonly nonce: number;
  readonly sender: number;
}

const prefix = (nonce: number): Buffer => {
  const bytes = Buffer.from('weft\0\0', 'latin1');
  bytes.writeUInt16BE(nonce, 4);
  return bytes;
};

export function markBytes({ nonce, sender }: Mark): Buffer {
  const bytes = Buffer.alloc(MARK_LENGTH);
  prefix(nonce).copy(bytes);
  bytes.writeUInt16BE(sender, 6);
  return bytes;
}

/** What came of one sender. */
export interface Marked {
  readonly frames: number;
  /** The first of them, in hex, as far as it tells what it is. */
  readonly first: string;
}

/** So much of a frame tells what it is. */
const TELLING = 160;

/** Looks for marks of one round in every frame that arrives at a device, as deep in it as it may be. */
export class MarkWatcher {
  readonly #port: PacketPort;
  readonly #prefix: Buffer;
  readonly #seen: Record<number, Marked> = {};
  readonly #frame = new RxFrame();

  constructor(device: string, nonce: number) {
    this.#prefix = prefix(nonce);
    const netlink = new NetlinkSocket();
    try {
      const { ifindex } = new Links(netlink).get(device)!;
      this.#port = new PacketPort({ name: device, ifindex, rxSlots: 4096, txSlots: 64 });
    } finally {
      netlink.close();
    }
  }

  /** Reads what has come so far. */
  #drain(): void {
    while (this.#port.receive(this.#frame)) {
      const { bytes, start, end } = this.#frame;
      const frame = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start);
      const at = frame.indexOf(this.#prefix);
      if (at >= 0 && at + MARK_LENGTH <= frame.length) {
        const sender = frame.readUInt16BE(at + 6);
        const known = this.#seen[sender];
        const first = known?.first ?? frame.toString('hex', 0, TELLING);
        this.#seen[sender] = { frames: (known?.frames ?? 0) + 1, first };
      }
      this.#port.release();
    }
  }

  /** What came since the start, by the number of its sender; ends the watch. */
  finish(): Record<number, Marked> {
    this.#drain();
    this.#port.close();
    return this.#seen;
  }
}
