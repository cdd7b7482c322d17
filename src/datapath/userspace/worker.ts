/** Entry point of the forwarding thread: started by `createWorkerDatapath` with a `WorkerSetup`. */
import { parentPort, workerData } from 'node:worker_threads';
import { Forwarder } from './forwarder.ts';
import type { WorkerMessage, WorkerSetup } from './messages.ts';

new Forwarder(workerData as WorkerSetup, (message: WorkerMessage) => parentPort?.postMessage(message)).run();
