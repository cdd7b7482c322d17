/**
 * A ring buffer (BPF_MAP_TYPE_RINGBUF): programs write records, we read them where they lie.
 *
 * The kernel maps it as three parts: a page with the consumer's position, which we write; a page with the
 * producer's; and the data, twice in a row, so that a record that wraps still lies in one piece. Positions count bytes for
 * ever. A record has a header of 8 bytes: its length with two flags, and a page number; records start at multiples
 * of 8. A program that has reserved a record and not yet submitted it has its flag BUSY set: the reader stops there,
 * whatever is finished behind it, so that the order is that of reservation.
 *
 * Waking: the kernel makes the descriptor readable when a record is submitted that the consumer's position has just
 * reached; a reader that stops earlier (because it did what it may do in one turn) is not woken for what it left. `drain`
 * says by `pending` that it has to be called again without waiting.
 *
 * A bound on what is read in one turn is not optional: programs write faster than JavaScript reads, and a drain without an
 * end stops everything else that the process does.
 */
import { WeftError } from '../base/errors.ts';
import { createMap, MAP_TYPE, mapInfo, openPinned, pin } from '../sys/bpf.ts';
import { close } from '../sys/libc.ts';
import { MemoryMap, pageSize } from '../sys/memory-map.ts';
import { POLLIN, PollSet, pollReadable } from '../sys/poll.ts';

const HEADER = 8;
const BUSY = 0x8000_0000 | 0;
const DISCARDED = 0x4000_0000;
const LENGTH = 0x3fff_ffff;

/** Gets a record: bytes `start` to `start + length` of `bytes`. They are only good until it returns. */
export type RecordVisitor = (bytes: Uint8Array, start: number, length: number) => void;

/** Reading the three parts of a ring, wherever they are mapped. */
export class RingReader {
  private readonly consumer: BigUint64Array;
  /** The lower half of the producer's position; the ring is smaller than 4 GB, so that it tells enough. */
  private readonly producer: Int32Array;
  private readonly headers: Int32Array;
  private readonly data: Uint8Array;
  private readonly mask: number;
  /** The consumer's position. */
  private position: number;
  /** Whether the last `drain` left records that no wake-up will be sent for. */
  pending = false;

  /** `consumer`: the page with our position. `produced`: the page with the producer's, then the data twice. */
  constructor(consumer: ArrayBuffer, produced: ArrayBuffer, page: number, size: number) {
    this.mask = size - 1;
    this.consumer = new BigUint64Array(consumer, 0, 1);
    this.producer = new Int32Array(produced, 0, 1);
    this.headers = new Int32Array(produced, page, size / 2);
    this.data = new Uint8Array(produced, page, size * 2);
    this.position = Number(Atomics.load(this.consumer, 0));
  }

  /**
   * Gives `visit` the records that are there, at most `limit` of them, and returns how many it were. If
   * `visit` throws, its record counts as read.
   */
  drain(visit: RecordVisitor, limit: number): number {
    const { data, mask } = this;
    let { position } = this;
    let count = 0;
    // Discarded records are work too.
    let left = limit;
    try {
      while (left > 0) {
        const header = this.headerAt(position);
        if (header === undefined) break;
        const at = position & mask;
        const length = header & LENGTH;
        position += (length + HEADER + 7) & ~7;
        left--;
        if ((header & DISCARDED) !== 0) continue;
        count++;
        visit(data, at + HEADER, length);
      }
    } finally {
      this.position = position;
      Atomics.store(this.consumer, 0, BigInt(position));
      // Looked at after the position is told: a record submitted before that sent no wake-up.
      this.pending = this.headerAt(position) !== undefined;
    }
    return count;
  }

  /** The header of the record at a position; undefined: there is none yet, or it is not finished. */
  private headerAt(position: number): number | undefined {
    if (((Atomics.load(this.producer, 0) - position) | 0) <= 0) return undefined;
    const header = Atomics.load(this.headers, (position & this.mask) >>> 2);
    return (header & BUSY) !== 0 ? undefined : header;
  }

  /** Bytes between what is read and what is reserved: how full the ring is. */
  get backlog(): number {
    return (Atomics.load(this.producer, 0) - this.position) >>> 0;
  }
}

/** A ring in the kernel, mapped and read here. */
export class RingBuffer {
  readonly fd: number;
  readonly name: string;
  /** Bytes for records and their headers; a power of two. */
  readonly size: number;
  private readonly consumerMap: MemoryMap;
  private readonly producerMap: MemoryMap;
  private readonly reader: RingReader;
  private poll: PollSet | undefined;
  private open = true;

  private constructor(fd: number, name: string, size: number) {
    this.fd = fd;
    this.name = name;
    this.size = size;
    const page = pageSize();
    this.consumerMap = MemoryMap.ofFile(fd, page, 0, `ring ${name}`);
    try {
      this.producerMap = MemoryMap.ofFileReadOnly(fd, page + 2 * size, page, `ring ${name}`);
    } catch (error) {
      this.consumerMap.unmap();
      throw error;
    }
    this.reader = new RingReader(this.consumerMap.buffer, this.producerMap.buffer, page, size);
  }

  /** Makes one with room for `size` bytes: a power of two, of a page at least. */
  static create(name: string, size: number): RingBuffer {
    if (!Number.isInteger(Math.log2(size)) || size < pageSize() || size > 2 ** 30)
      throw new WeftError('bad-map', `ring buffer ${name} of ${size} bytes`, {
        remedy: `give it a power of two from ${pageSize()} to 2^30`,
      });
    const fd = createMap({ type: MAP_TYPE.ringBuffer, name, keySize: 0, valueSize: 0, maxEntries: size });
    return RingBuffer.mapped(fd, name, size);
  }

  /** Opens a pinned one, and reads on where its last reader stopped. There must be one reader at a time. */
  static open(path: string): RingBuffer {
    const fd = openPinned(path);
    const info = mapInfo(fd);
    if (info.type === MAP_TYPE.ringBuffer) return RingBuffer.mapped(fd, info.name, info.maxEntries);
    close(fd);
    throw new WeftError('bad-map', `pinned map ${path} is of type ${info.type}, not a ring buffer`);
  }

  private static mapped(fd: number, name: string, size: number): RingBuffer {
    try {
      return new RingBuffer(fd, name, size);
    } catch (error) {
      close(fd);
      throw error;
    }
  }

  /** See `RingReader`: at most `limit` records, and `pending` says whether to come back at once. */
  drain(visit: RecordVisitor, limit: number): number {
    return this.reader.drain(visit, limit);
  }

  get pending(): boolean {
    return this.reader.pending;
  }

  /** Bytes between what is read and what is reserved: how full the ring is. */
  get backlog(): number {
    return this.reader.backlog;
  }

  /** Blocks the thread until there is something, or `timeoutMs` passed: for worker threads. */
  wait(timeoutMs: number): boolean {
    if (this.pending) return true;
    if (this.poll === undefined) {
      this.poll = new PollSet(1);
      this.poll.set(0, this.fd, POLLIN);
    }
    return this.poll.wait(timeoutMs) > 0;
  }

  /** The same without blocking the thread; holds the process for as long as it waits. */
  async readable(timeoutMs: number): Promise<boolean> {
    return this.pending || (await pollReadable(this.fd, timeoutMs));
  }

  pin(path: string): void {
    pin(this.fd, path);
  }

  /** Closes and unmaps it; a visitor must not call it. */
  close(): void {
    if (!this.open) return;
    this.open = false;
    this.poll?.close();
    this.consumerMap.unmap();
    this.producerMap.unmap();
    close(this.fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
