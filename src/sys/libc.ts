/**
 * The C library, called directly. Nothing above `sys` sees a pointer or an errno: each wrapper of this
 * layer turns a failing call into a `SystemError` that says which call failed on what.
 *
 * A call costs about 40 ns plus the kernel's own time. `koffi.errno()` is valid right after a call and
 * is kept per thread, so every wrapper reads it before anything else runs.
 */
import { constants } from 'node:os';
import koffi from 'koffi';
import { WeftError } from '../base/errors.ts';

const libc = koffi.load('libc.so.6');

/** A declared C function; the declaration is in its name: `fn('int close(int)')`. */
export function fn<A extends unknown[], R>(declaration: string): (...args: A) => R {
  return libc.func(declaration) as unknown as (...args: A) => R;
}

const strerrorC = fn<[number], string>('const char *strerror(int)');

const NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(constants.errno).map(([name, number]) => [number, name]),
);

/** The symbolic name of an errno number, "ENOENT"; an unknown number gives "E<number>". */
export function errnoName(errno: number): string {
  return NAMES.get(errno) ?? `E${errno}`;
}

/** What the C library says of an errno number: "No such file or directory". */
export function strerror(errno: number): string {
  return strerrorC(errno);
}

/** The error number of the last failed call on this thread. */
export function lastErrno(): number {
  return koffi.errno();
}

/** A system call that failed: `code` is "system-call", `errno` and `errnoName` say why. */
export class SystemError extends WeftError {
  readonly errno: number;
  readonly errnoName: string;
  /** The call and what it was called on, "bind eth0". */
  readonly call: string;

  constructor(call: string, errno: number, remedy = '') {
    super('system-call', `${call}: ${strerror(errno)} (${errnoName(errno)})`, { remedy });
    this.name = 'SystemError';
    this.call = call;
    this.errno = errno;
    this.errnoName = errnoName(errno);
  }
}

/** Passes a result through unless it is negative: then throws what `errno` says. */
export function check(result: number, call: string, remedy?: string): number {
  if (result < 0) throw new SystemError(call, lastErrno(), remedy);
  return result;
}

/** Calls again as long as a signal interrupts the call. */
export function retryOnSignal(call: () => number): number {
  for (;;) {
    const result = call();
    if (result >= 0 || lastErrno() !== constants.errno.EINTR) return result;
  }
}

/**
 * A window on memory that something else owns (a mapping): no copy. The caller keeps the memory
 * mapped for as long as the buffer is in use; touching it later crashes the process.
 */
export function viewMemory(address: bigint, length: number): ArrayBuffer {
  return koffi.view(address, length) as ArrayBuffer;
}

/** The address of a buffer's first byte, for structures that hold pointers. The caller keeps it alive. */
export function addressOf(bytes: Uint8Array): bigint {
  return BigInt(koffi.address(bytes));
}

export const close = fn<[number], number>('int close(int)');
export const ioctl = fn<[number, number, Uint8Array], number>('int ioctl(int, unsigned long, void *)');
export const fcntl = fn<[number, number, Uint8Array], number>('int fcntl(int, int, void *)');
export const dup2 = fn<[number, number], number>('int dup2(int, int)');
export const socket = fn<[number, number, number], number>('int socket(int, int, int)');
export const bind = fn<[number, Uint8Array, number], number>('int bind(int, void *, uint32_t)');
export const connect = fn<[number, Uint8Array, number], number>('int connect(int, void *, uint32_t)');
export const setsockopt = fn<[number, number, number, Uint8Array, number], number>(
  'int setsockopt(int, int, int, void *, uint32_t)',
);
export const getsockopt = fn<[number, number, number, Uint8Array, Uint8Array], number>(
  'int getsockopt(int, int, int, void *, void *)',
);
export const send = fn<[number, Uint8Array, number, number], number>(
  'int64_t send(int, void *, uint64_t, int)',
);
export const recv = fn<[number, Uint8Array, number, number], number>(
  'int64_t recv(int, void *, uint64_t, int)',
);
