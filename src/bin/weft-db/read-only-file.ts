import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { WeftError } from '../../base/errors.ts';
import type { FileAccess } from '../../ovsdb/file/log.ts';
import { reasonOf } from '../daemon/vlog-sinks.ts';

/** A database file that is looked at, while a server may be writing to it: no lock is needed, and nothing is written. */
export class ReadOnlyFile implements FileAccess {
  readonly name: string;
  readonly #fd: number;
  /** What is appended after we opened it does not count. */
  readonly #size: number;

  /** Throws `WeftError` "no-file". */
  constructor(name: string) {
    this.name = name;
    let fd: number | undefined;
    try {
      fd = openSync(name, 'r');
      const stat = fstatSync(fd);
      if (!stat.isFile()) throw Object.assign(new Error('not a regular file'), { code: 'EINVAL' });
      this.#size = stat.size;
      this.#fd = fd;
    } catch (cause) {
      if (fd !== undefined) closeSync(fd);
      throw new WeftError('no-file', `cannot read "${name}": ${reasonOf(cause)}`, { cause });
    }
  }

  read(offset: number, length: number): Uint8Array {
    const bytes = new Uint8Array(Math.max(0, Math.min(length, this.#size - offset)));
    let n = 0;
    while (n < bytes.length) {
      const got = readSync(this.#fd, bytes, n, bytes.length - n, offset + n);
      if (got === 0) break;
      n += got;
    }
    return bytes.subarray(0, n);
  }

  #refuse(): never {
    throw new WeftError('read-only-file', `${this.name}: opened to be looked at only`);
  }

  write(): void {
    this.#refuse();
  }

  truncate(): void {
    this.#refuse();
  }

  sync(): Promise<void> {
    this.#refuse();
  }

  replace(): void {
    this.#refuse();
  }

  close(): void {
    closeSync(this.#fd);
  }
}
