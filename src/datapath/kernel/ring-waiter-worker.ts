/** The thread behind `RingWaiter`. */
import { parentPort, workerData } from 'node:worker_threads';
import { POLLIN, PollSet } from '../../sys/poll.ts';
import type { WaiterSetup } from './ring-waiter.ts';

const { fd, stop, armed } = workerData as WaiterSetup;
const state = new Int32Array(armed);
const poll = new PollSet(2);
poll.set(0, fd, POLLIN);
poll.set(1, stop, POLLIN);

for (;;) {
  Atomics.wait(state, 0, 0);
  poll.wait(-1);
  if (poll.happened(1) !== 0) break;
  Atomics.store(state, 0, 0);
  parentPort?.postMessage(0);
}
