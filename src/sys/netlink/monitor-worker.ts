/** The thread behind `HostMonitor`: waits for notifications and passes them on as they are. */
import { constants } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { lastErrno, recv, SystemError } from '../libc.ts';
import { POLLIN, PollSet } from '../poll.ts';
import type { MonitorMessage } from './monitor.ts';

const MSG_DONTWAIT = 0x40;
const { fd, stop } = workerData as { fd: number; stop: number };
const poll = new PollSet(2);
poll.set(0, fd, POLLIN);
poll.set(1, stop, POLLIN);
const buffer = new Uint8Array(1 << 16);
const tell = (message: MonitorMessage): void => parentPort!.postMessage(message);

for (;;) {
  poll.wait(-1);
  if (poll.happened(1) !== 0) break;
  const size = recv(fd, buffer, buffer.length, MSG_DONTWAIT);
  if (size > 0) {
    tell({ datagram: buffer.slice(0, size) });
    continue;
  }
  const errno = lastErrno();
  if (errno === constants.errno.ENOBUFS) tell({ lost: true });
  else if (errno !== constants.errno.EAGAIN && errno !== constants.errno.EINTR)
    throw new SystemError('netlink notifications', errno);
}
