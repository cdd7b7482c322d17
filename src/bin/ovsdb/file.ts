/** Database files on disk: reading, writing, locking and replacing them. */
import {
  closeSync,
  existsSync,
  fdatasync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readSync,
  realpathSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { OvsdbError } from '../../ovsdb/error.ts';
import type { FileAccess } from '../../ovsdb/file/log.ts';
import { tryLock } from '../../sys/file-lock.ts';
import { reasonOf } from '../daemon/vlog-sinks.ts';

function failure(name: string, what: string, error: unknown): OvsdbError {
  return new OvsdbError('I/O error', `${name}: ${what}`, { io: reasonOf(error), cause: error });
}

/** The message of the operating system, in place of Node's. */
function plainly<T>(action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw new Error(reasonOf(error), { cause: error });
  }
}

/**
 * An open, locked database file. The lock is on `.NAME.~lock~` beside it, which the stock programs lock
 * as well, so that no two programs ever write to one file.
 */
export class DiskFile implements FileAccess {
  readonly name: string;
  /** Where the file really is, whatever links lead to it. */
  readonly path: string;
  #fd: number;
  readonly #lockFd: number;
  #syncs = 0;
  /** Descriptors of files that were replaced, to be closed when nothing is under way on them. */
  #retired: number[] = [];

  private constructor(name: string, path: string, fd: number, lockFd: number) {
    this.name = name;
    this.path = path;
    this.#fd = fd;
    this.#lockFd = lockFd;
  }

  /** Opens a file that exists. Throws `OvsdbError` ("I/O error"). */
  static open(name: string): DiskFile {
    const path = existsSync(name) ? realpathSync(name) : name;
    let lockFd: number;
    try {
      lockFd = lock(path);
    } catch (error) {
      if (!existsSync(dirname(path))) throw failure(name, 'open failed', error);
      throw failure(name, 'failed to lock lockfile', error);
    }
    try {
      return new DiskFile(name, path, openSync(path, 'r+'), lockFd);
    } catch (error) {
      closeSync(lockFd);
      throw failure(name, 'open failed', error);
    }
  }

  /** Creates a file that does not exist, empty. */
  static create(name: string): DiskFile {
    const lockFd = lock(name);
    try {
      return new DiskFile(name, name, openSync(name, 'wx+', 0o660), lockFd);
    } catch (error) {
      closeSync(lockFd);
      throw failure(name, 'create failed', error);
    }
  }

  read(offset: number, length: number): Uint8Array {
    return plainly(() => {
      const wanted = Math.max(0, Math.min(length, fstatSync(this.#fd).size - offset));
      const bytes = new Uint8Array(wanted);
      let n = 0;
      while (n < wanted) {
        const got = readSync(this.#fd, bytes, n, wanted - n, offset + n);
        if (got === 0) break;
        n += got;
      }
      return bytes.subarray(0, n);
    });
  }

  write(offset: number, bytes: Uint8Array): void {
    plainly(() => writeAll(this.#fd, offset, bytes));
  }

  truncate(length: number): void {
    plainly(() => ftruncateSync(this.#fd, length));
  }

  sync(): Promise<void> {
    this.#syncs++;
    return new Promise((resolve, reject) => {
      fdatasync(this.#fd, (error) => {
        if (--this.#syncs === 0) for (const fd of this.#retired.splice(0)) closeSync(fd);
        if (error === null) resolve();
        else reject(new Error(reasonOf(error)));
      });
    });
  }

  replace(bytes: Uint8Array): void {
    const temporary = `${this.path}.tmp`;
    plainly(() => {
      rmSync(temporary, { force: true });
      const fd = openSync(temporary, 'wx+', fstatSync(this.#fd).mode & 0o777);
      try {
        writeAll(fd, 0, bytes);
        fsyncSync(fd);
        renameSync(temporary, this.path);
      } catch (error) {
        closeSync(fd);
        rmSync(temporary, { force: true });
        throw error;
      }
      if (this.#syncs > 0) this.#retired.push(this.#fd);
      else closeSync(this.#fd);
      this.#fd = fd;
      syncDirectory(dirname(this.path));
    });
  }

  close(): void {
    closeSync(this.#fd);
    closeSync(this.#lockFd);
  }
}

function writeAll(fd: number, offset: number, bytes: Uint8Array): void {
  let n = 0;
  while (n < bytes.length) n += writeSync(fd, bytes, n, bytes.length - n, offset + n);
}

function syncDirectory(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function lock(path: string): number {
  const fd = openSync(join(dirname(path), `.${basename(path)}.~lock~`), 'a', 0o600);
  let locked = false;
  try {
    locked = tryLock(fd);
  } finally {
    if (!locked) closeSync(fd);
  }
  if (!locked) throw Object.assign(new Error('Resource temporarily unavailable'), { code: 'EAGAIN' });
  return fd;
}
