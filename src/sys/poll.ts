/**
 * Waiting for descriptors. `PollSet` blocks the calling thread: it is for worker threads, the main thread must never
 * wait this way. `pollReadable` leaves the waiting to a thread of the pool.
 */
import { constants } from 'node:os';
import { fn, lastErrno, SystemError } from './libc.ts';
import { MemoryMap } from './memory-map.ts';

export const POLLIN = 1;
export const POLLOUT = 4;
export const POLLERR = 8;
export const POLLHUP = 16;
export const POLLNVAL = 32;

const pollC = fn<[number, number, number], number>('int poll(uintptr_t, uint64_t, int)');
type AsyncPoll = (
  address: number,
  count: number,
  timeoutMs: number,
  done: (error: Error | null, ready: number) => void,
) => void;
const pollAsync = (pollC as typeof pollC & { async: AsyncPoll }).async;
/** `struct pollfd`: descriptor, events asked for, events that happened. */
const POLLFD_SIZE = 8;

/** A fixed-size table of descriptors to wait for; an entry with descriptor -1 is ignored. */
export class PollSet {
  readonly size: number;
  private readonly memory: MemoryMap;
  private readonly fds: Int32Array;
  private readonly events: Int16Array;

  constructor(size: number) {
    this.size = size;
    this.memory = MemoryMap.anonymous(Math.max(1, size) * POLLFD_SIZE);
    this.fds = new Int32Array(this.memory.buffer);
    this.events = new Int16Array(this.memory.buffer);
    for (let i = 0; i < size; i++) this.set(i, -1, 0);
  }

  /** Waits for `events` (POLLIN | POLLOUT) of `fd` at entry `index`. */
  set(index: number, fd: number, events: number): void {
    this.fds[index * 2] = fd;
    this.events[index * 4 + 2] = events;
    this.events[index * 4 + 3] = 0;
  }

  /**
   * Blocks until something happens or `timeoutMs` passed (-1: for ever, 0: not at all). Returns how many
   * entries have something; 0 also when a signal interrupted the wait.
   */
  wait(timeoutMs: number): number {
    const ready = pollC(this.memory.address, this.size, timeoutMs);
    if (ready >= 0) return ready;
    const errno = lastErrno();
    if (errno === constants.errno.EINTR) return 0;
    throw new SystemError('poll', errno);
  }

  /** Waits on a thread of the runtime's pool; the set must stay open until `done` is called. */
  start(timeoutMs: number, done: (error: Error | null, ready: number) => void): void {
    pollAsync(this.memory.address, this.size, timeoutMs, done);
  }

  /** What happened at entry `index`: POLLIN, POLLOUT, POLLERR, POLLHUP, POLLNVAL. */
  happened(index: number): number {
    return this.events[index * 4 + 3];
  }

  close(): void {
    this.memory.unmap();
  }
}

/**
 * Waits for a descriptor without blocking the calling thread; false: `timeoutMs` passed, or a signal came. Holds
 * a thread of the runtime's pool, and the process, until then: so wait in short turns.
 */
export async function pollReadable(fd: number, timeoutMs: number): Promise<boolean> {
  const set = new PollSet(1);
  try {
    set.set(0, fd, POLLIN);
    const ready = await new Promise<number>((resolve, reject) => {
      set.start(timeoutMs, (error, count) => (error === null ? resolve(count) : reject(error)));
    });
    return ready > 0;
  } finally {
    set.close();
  }
}
