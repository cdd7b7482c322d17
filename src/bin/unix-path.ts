/**
 * Names of unix sockets that are longer than the 107 bytes which the kernel takes: through a descriptor of their
 * directory they have a short name too.
 */
import { closeSync, constants, openSync } from 'node:fs';
import { basename, dirname } from 'node:path';

const MAX_BYTES = 107;

/** A name for bind(2) or connect(2). */
export interface UnixPath {
  readonly path: string;
  /** Call when the socket that was bound there is closed, or the connection made. */
  release(): void;
}

/** The path itself if it is short enough; else one through its directory, which must exist. */
export function shortUnixPath(path: string): UnixPath {
  if (Buffer.byteLength(path) <= MAX_BYTES) return { path, release() {} };
  const fd = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
  return { path: `/proc/self/fd/${fd}/${basename(path)}`, release: () => closeSync(fd) };
}
