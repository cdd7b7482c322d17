import type { FileAccess } from '../../../ovsdb/file/log.ts';

/** A file in memory whose writes, syncs and replacements can be made to fail. */
export class MemoryFile implements FileAccess {
  readonly name = 'weft.db';
  bytes: Uint8Array;
  /** Bytes that there is still room for. */
  room = Number.POSITIVE_INFINITY;
  failSync = false;
  failReplace = false;
  syncs = 0;

  constructor(bytes: Uint8Array = new Uint8Array(0)) {
    this.bytes = bytes;
  }
  read(offset: number, length: number): Uint8Array {
    return this.bytes.slice(offset, offset + length);
  }
  write(offset: number, bytes: Uint8Array): void {
    const taken = bytes.subarray(0, Math.max(0, Math.min(bytes.length, this.room)));
    const grown = new Uint8Array(Math.max(this.bytes.length, offset + taken.length));
    grown.set(this.bytes);
    grown.set(taken, offset);
    this.bytes = grown;
    this.room -= taken.length;
    if (taken.length < bytes.length) throw noSpace();
  }
  truncate(length: number): void {
    this.bytes = this.bytes.slice(0, length);
  }
  sync(): Promise<void> {
    this.syncs++;
    return this.failSync ? Promise.reject(new Error('Input/output error')) : Promise.resolve();
  }
  replace(bytes: Uint8Array): void {
    if (this.failReplace) throw new Error('Input/output error');
    if (bytes.length > this.room) throw noSpace();
    this.bytes = bytes;
  }
  close(): void {}
}

function noSpace(): Error {
  return Object.assign(new Error('No space left on device'), { code: 'ENOSPC' });
}
