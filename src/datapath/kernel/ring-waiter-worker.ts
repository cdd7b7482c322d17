/** The thread behind `RingWaiter`. */
import { parentPort, workerData } from 'node:worker_threads';
import { POLLIN, PollSet } from '../../sys/poll.ts';
import type { WaiterSetup } from './ring-waiter.ts';

const { fds, stop, armed } = workerData as WaiterSetup;
const state = new Int32Array(armed);
const poll = new PollSet(fds.length + 1);
fds.forEach((fd, i) => void poll.set(i, fd, POLLIN));
poll.set(fds.length, stop, POLLIN);

for (;;) {
  Atomics.wait(state, 0, 0);
  poll.wait(-1);
  if (poll.happened(fds.length) !== 0) break;
  Atomics.store(state, 0, 0);
  parentPort?.postMessage(0);
}
