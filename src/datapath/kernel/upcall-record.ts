/** Records of upcalls, as `upcall.ts` has programs write them, read where they lie. */
import type { BpfMap } from '../../ebpf/map.ts';
import { type Flow, newFlow, W_TUN_METADATA_PRESENT } from '../../flow/layout.ts';
import type { MemoryMap } from '../../sys/memory-map.ts';
import * as L from './layout.ts';

/** One record. The object and all that it shows are good until the next is read. */
export interface UpcallRecord {
  /** UPCALL_*: why it came up. */
  readonly kind: number;
  /** The packet from its Ethernet header on, with all of its tags. */
  readonly packet: Uint8Array;
  /** The metadata of its key: tunnel, skb_priority, mark, dp_hash, in_port, recirc_id, conntrack; other words are 0. */
  readonly flow: Flow;
  /** What the action gave along. */
  readonly cookie: number;
  /** Index of the megaflow that the packet met; NO_FLOW: none. */
  readonly flowIndex: number;
  /** Bytes of payload in a segment of a packet that is yet to be segmented; 0: it is not. */
  readonly gsoSize: number;
  readonly gsoSegs: number;
  /** Bytes by which `trunc` wants the packet shorter. */
  readonly cut: number;
  /** Recirculations and decapsulations behind it. */
  readonly depth: number;
}

/**
 * Reads records, and tells programs how far: what a port has waiting bounds what more it may send, so every record of a
 * datapath's rings must go through its one reader. `read` fits `RingBuffer.drain`.
 */
export class UpcallReader {
  readonly #queues: Uint32Array;
  readonly #memory: MemoryMap;
  readonly #rings = new WeakMap<ArrayBufferLike, Uint32Array>();
  readonly #flow = newFlow();
  /** Whether the last record's packet came by tunnel: its options are in the key. */
  #options = false;

  constructor(maps: { readonly queues: BpfMap<number, Uint8Array> }) {
    this.#memory = maps.queues.mmap();
    this.#queues = new Uint32Array(this.#memory.buffer);
  }

  /** The record at bytes `start` to `start + length`, as the ring gives it. */
  read(bytes: Uint8Array, start: number, length: number): UpcallRecord {
    const words = this.#wordsOf(bytes.buffer);
    const at = (bytes.byteOffset + start) / 4;
    const field = (offset: number): number => words[at + offset / 4]!;
    const queue = (field(L.U_QUEUE) * L.QUEUE_SIZE + L.QUEUE_READ) / 4;
    this.#queues[queue] = this.#queues[queue]! + length;
    const data = field(L.U_DATA);
    this.#readFlow(words, at, data >= L.U_TUNNEL_HEADER_SIZE);
    return {
      kind: field(L.U_KIND),
      packet: bytes.subarray(start + data, start + data + field(L.U_LENGTH)),
      flow: this.#flow,
      cookie: field(L.U_COOKIE),
      flowIndex: field(L.U_FLOW),
      gsoSize: field(L.U_GSO_SIZE),
      gsoSegs: field(L.U_GSO_SEGS),
      cut: field(L.U_CUT),
      depth: field(L.U_DEPTH),
    };
  }

  /** A ring's memory as words: records start at multiples of 8. */
  #wordsOf(memory: ArrayBufferLike): Uint32Array {
    const known = this.#rings.get(memory);
    if (known !== undefined) return known;
    const words = new Uint32Array(memory);
    this.#rings.set(memory, words);
    return words;
  }

  #readFlow(words: Uint32Array, at: number, options: boolean): void {
    const flow = this.#flow;
    const from = at + L.U_WORDS / 4;
    for (let i = 0; i < L.UPCALL_WORDS.length; i++) flow[L.UPCALL_WORDS[i]!] = words[from + i]!;
    if (options) {
      const first = at + L.U_HEADER_SIZE / 4;
      flow.set(words.subarray(first, at + L.U_TUNNEL_HEADER_SIZE / 4), W_TUN_METADATA_PRESENT);
    } else if (this.#options) {
      flow.fill(0, W_TUN_METADATA_PRESENT);
    }
    this.#options = options;
  }

  /** Ends the reader, not the rings. */
  close(): void {
    this.#memory.unmap();
  }
}
