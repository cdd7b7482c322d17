/**
 * Running a program again and again on packets of ours: how a packet is sent out by a program, without a socket. The
 * call's attributes, the packet and the context stand in memory with known addresses, so that a run allocates nothing.
 */

import { bpfAt } from './bpf.ts';
import { addressOf, lastErrno, SystemError } from './libc.ts';

const TEST_RUN = 10;
const ATTR_SIZE = 80;
const LIVE_FRAMES = 2;

/** A program with room for a packet and its context. Put both in place, then `run`. */
export class PreparedRun {
  /** The packet's first bytes go here. */
  readonly packet: Uint8Array;
  /** The program's context (`struct __sk_buff`); what the kernel does not let us set must stay zero. */
  readonly context: DataView;
  private readonly memory: Uint8Array;
  private readonly words: Uint32Array;
  private readonly address: number;

  /** `capacity`: the longest packet; the kernel takes a page less what it needs itself, some 3,500 bytes. */
  constructor(program: number, capacity: number, contextSize: number) {
    const contextAt = 128;
    const packetAt = contextAt + ((contextSize + 7) & ~7);
    this.memory = new Uint8Array(packetAt + capacity);
    this.packet = this.memory.subarray(packetAt);
    this.context = new DataView(this.memory.buffer, contextAt, contextSize);
    this.words = new Uint32Array(this.memory.buffer, 0, ATTR_SIZE / 4);
    this.address = Number(addressOf(this.memory));
    this.words[0] = program;
    this.point(4, packetAt);
    this.words[8] = 1;
    this.words[10] = contextSize;
    if (contextSize > 0) this.point(12, contextAt);
  }

  private point(word: number, offset: number): void {
    const address = this.address + offset;
    this.words[word] = address;
    this.words[word + 1] = address / 0x1_0000_0000;
  }

  /** Runs it once on the packet's first `length` bytes; returns its verdict. Throws what the kernel refuses. */
  run(length: number): number {
    this.words[1] = 0;
    this.words[2] = length;
    this.words[3] = 0;
    if (bpfAt(TEST_RUN, this.address, ATTR_SIZE) < 0)
      throw new SystemError(`run program on ${length} bytes`, lastErrno());
    return this.words[1]!;
  }

  /**
   * An XDP program's verdicts carried out, on `count` copies of the packet: XDP_TX and redirects send frames. What the
   * context says is the device that they come from. For generators of traffic.
   */
  runLive(length: number, count: number, batch = 64): void {
    this.words[2] = length;
    this.words[3] = 0;
    this.words[8] = count;
    this.words[16] = LIVE_FRAMES;
    this.words[18] = batch;
    try {
      if (bpfAt(TEST_RUN, this.address, ATTR_SIZE) < 0)
        throw new SystemError(`run program live on ${length} bytes`, lastErrno());
    } finally {
      this.words[8] = 1;
      this.words[16] = 0;
      this.words[18] = 0;
    }
  }
}
