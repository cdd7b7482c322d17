/**
 * Locks of two kinds. POSIX record locks on whole files (`fcntl(2)`, `F_SETLK`): what the Open vSwitch programs hold on their
 * pidfiles and databases. A process loses such a lock as soon as it closes *any* descriptor of the
 * file: keep the locked descriptor, and never open and close the file a second time. And `flock(2)`, which belongs to
 * the descriptor, and works on directories, too.
 */
import { constants } from 'node:os';
import { fcntl, fn, lastErrno, retryOnSignal, SystemError } from './libc.ts';

const flock = fn<[number, number], number>('int flock(int, int)');
const LOCK_EX_NB = 2 | 4;

const F_GETLK = 5;
const F_SETLK = 6;
const F_WRLCK = 1;
const F_UNLCK = 2;
/** `struct flock` of 64-bit Linux: type, whence, start, length, pid. */
const FLOCK_SIZE = 32;
const FLOCK_PID = 24;

function wholeFile(type: number): { bytes: Uint8Array; view: DataView } {
  const bytes = new Uint8Array(FLOCK_SIZE);
  const view = new DataView(bytes.buffer);
  view.setInt16(0, type, true);
  return { bytes, view };
}

/** Takes the write lock of an open file. Returns false if another process holds it. */
export function tryLock(fd: number): boolean {
  const { bytes } = wholeFile(F_WRLCK);
  if (retryOnSignal(() => fcntl(fd, F_SETLK, bytes)) >= 0) return true;
  const errno = lastErrno();
  if (errno === constants.errno.EAGAIN || errno === constants.errno.EACCES) return false;
  throw new SystemError('fcntl(F_SETLK)', errno);
}

/** The process that holds a lock on an open file, or undefined. Never tells of the caller's own lock. */
export function lockHolder(fd: number): number | undefined {
  const { bytes, view } = wholeFile(F_WRLCK);
  if (retryOnSignal(() => fcntl(fd, F_GETLK, bytes)) < 0)
    throw new SystemError('fcntl(F_GETLK)', lastErrno());
  return view.getInt16(0, true) === F_UNLCK ? undefined : view.getInt32(FLOCK_PID, true);
}

/** Takes the `flock` of an open file or directory, until its descriptor is closed. Returns false if another has it. */
export function tryFlock(fd: number): boolean {
  if (retryOnSignal(() => flock(fd, LOCK_EX_NB)) >= 0) return true;
  const errno = lastErrno();
  if (errno === constants.errno.EAGAIN) return false;
  throw new SystemError('flock', errno);
}
