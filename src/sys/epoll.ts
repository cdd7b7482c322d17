/** A set of descriptors to wait for that is itself a descriptor, readable when one of them is (epoll(7)). */
import { check, close, fn } from './libc.ts';

const epollCreate = fn<[number], number>('int epoll_create1(int)');
const epollCtl = fn<[number, number, number, Uint8Array], number>('int epoll_ctl(int, int, int, void *)');
const EPOLL_CLOEXEC = 0o2000000;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLLIN = 1;
/** `struct epoll_event`: 12 bytes on x86-64, where it is packed, 16 elsewhere: zeros behind do no harm. */
const EVENT_SIZE = 16;

export class EpollSet {
  readonly fd: number = check(epollCreate(EPOLL_CLOEXEC), 'epoll_create1');

  /** Waits for something to read at `fd`, from now on. */
  add(fd: number): void {
    const event = new Uint8Array(EVENT_SIZE);
    event[0] = EPOLLIN;
    check(epollCtl(this.fd, EPOLL_CTL_ADD, fd, event), `epoll_ctl: add descriptor ${fd}`);
  }

  /** To be called before the descriptor is closed. */
  remove(fd: number): void {
    check(
      epollCtl(this.fd, EPOLL_CTL_DEL, fd, new Uint8Array(EVENT_SIZE)),
      `epoll_ctl: remove descriptor ${fd}`,
    );
  }

  close(): void {
    close(this.fd);
  }
}
