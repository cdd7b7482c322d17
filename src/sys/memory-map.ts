/** Mapped memory: rings that the kernel writes, and small fixed buffers whose address calls can be given. */
import { check, fn, lastErrno, SystemError, viewMemory } from './libc.ts';

const PROT_READ = 1;
const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;
const MAP_PRIVATE_ANONYMOUS = 0x22;
const MAP_FAILED = 0xffff_ffff_ffff_ffffn;

const mmap = fn<[number, number, number, number, number, number], number | bigint>(
  'uintptr_t mmap(uintptr_t, uint64_t, int, int, int, int64_t)',
);
const munmap = fn<[number, number], number>('int munmap(uintptr_t, uint64_t)');

const sysconf = fn<[number], number>('long sysconf(int)');
const SC_PAGESIZE = 30;

/** Bytes of a page of memory: 4096, on some arm64 kernels more. */
export const pageSize = (): number => Number(sysconf(SC_PAGESIZE));

/** A region of memory outside JavaScript's heap. After `unmap()` touching `bytes` crashes the process. */
export class MemoryMap {
  /** Address of the first byte; user space ends far below 2^53. */
  readonly address: number;
  readonly buffer: ArrayBuffer;
  readonly bytes: Uint8Array;
  private mapped = true;

  private constructor(address: number, length: number) {
    this.address = address;
    this.buffer = viewMemory(BigInt(address), length);
    this.bytes = new Uint8Array(this.buffer);
  }

  private static map(
    length: number,
    flags: number,
    fd: number,
    offset: number,
    what: string,
    protection = PROT_READ_WRITE,
  ): MemoryMap {
    const address = mmap(0, length, protection, flags, fd, offset);
    if (BigInt(address) === MAP_FAILED) throw new SystemError(`mmap ${what}`, lastErrno());
    return new MemoryMap(Number(address), length);
  }

  /** Maps `length` bytes of an open file or socket, shared with whoever else maps them. */
  static ofFile(fd: number, length: number, offset = 0, what = `descriptor ${fd}`): MemoryMap {
    return MemoryMap.map(length, MAP_SHARED, fd, offset, what);
  }

  /** The same, only to be read: writing to `bytes` crashes the process. */
  static ofFileReadOnly(fd: number, length: number, offset = 0, what = `descriptor ${fd}`): MemoryMap {
    return MemoryMap.map(length, MAP_SHARED, fd, offset, what, PROT_READ);
  }

  /** Zeroed memory of our own, page-aligned. */
  static anonymous(length: number): MemoryMap {
    return MemoryMap.map(length, MAP_PRIVATE_ANONYMOUS, -1, 0, `${length} bytes`);
  }

  /** Gives the memory back. Every view of it becomes unusable. */
  unmap(): void {
    if (!this.mapped) return;
    this.mapped = false;
    check(munmap(this.address, this.buffer.byteLength), 'munmap');
  }
}
