/** A counter that one thread adds to and another waits for with `poll` (eventfd(2)). */
import { check, close, fn } from './libc.ts';

const eventfd = fn<[number, number], number>('int eventfd(unsigned int, int)');
const eventfdWrite = fn<[number, number], number>('int eventfd_write(int, uint64_t)');
const eventfdRead = fn<[number, Uint8Array], number>('int eventfd_read(int, void *)');
const EFD_CLOEXEC_NONBLOCK = 0o2004000;

/** Creates one; the number may be given to other threads of the process, which wrap it with `EventFd.of`. */
export class EventFd {
  readonly fd: number;
  private readonly value = new Uint8Array(8);

  private constructor(fd: number) {
    this.fd = fd;
  }

  static create(): EventFd {
    return new EventFd(check(eventfd(0, EFD_CLOEXEC_NONBLOCK), 'eventfd'));
  }

  static of(fd: number): EventFd {
    return new EventFd(fd);
  }

  /** Wakes whoever polls for it. */
  signal(): void {
    eventfdWrite(this.fd, 1);
  }

  /** Forgets the wake-ups so far. */
  drain(): void {
    eventfdRead(this.fd, this.value);
  }

  close(): void {
    close(this.fd);
  }
}
