/**
 * Pidfiles as the Open vSwitch programs use them: a file with the process's number that the process holds an
 * `fcntl` lock on for as long as it lives. A pidfile that nobody locks is stale, whatever it says.
 */
import {
  closeSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { WeftError } from '../../base/errors.ts';
import type { ModuleLog } from '../../base/log.ts';
import { lockHolder, tryLock } from '../../sys/file-lock.ts';
import { reasonOf } from './vlog-sinks.ts';

const failure = (message: string, cause?: unknown): WeftError => new WeftError('pidfile', message, { cause });

/**
 * Removes `path` if it is stale. Throws if a living process holds it. Must not be called on a
 * pidfile of this very process: opening and closing it would drop the lock.
 */
function checkNotRunning(path: string, log: ModuleLog): void {
  let fd: number;
  try {
    fd = openSync(path, 'r+');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw failure(`${path}: pidfile check failed (${reasonOf(error)}), aborting`, error);
  }
  try {
    const holder = lockHolder(fd);
    if (holder === undefined) {
      // Locking it first makes sure that only one process removes it, and only while it still has that name.
      const mine = fstatSync(fd);
      const there = tryLock(fd) ? statSync(path, { throwIfNoEntry: false }) : undefined;
      if (there?.ino !== mine.ino || there.dev !== mine.dev)
        throw failure(`${path}: pidfile check failed (lost race to delete it), aborting`);
      rmSync(path);
      log.dbg(`${path}: deleted stale pidfile`);
      return;
    }
    const text = Buffer.alloc(32);
    const written = Number.parseInt(text.toString('latin1', 0, readSync(fd, text, 0, text.length, 0)), 10);
    if (written !== holder)
      throw failure(
        `${path}: pidfile check failed (stale pidfile for pid ${written} being deleted by pid ${holder}), aborting`,
      );
    throw failure(`${path}: already running as pid ${holder}, aborting`);
  } finally {
    closeSync(fd);
  }
}

/**
 * Writes this process's number to `path` and holds the lock until the process ends. Throws "already
 * running" if a living process holds the pidfile, unless `overwrite`.
 */
export function createPidfile(path: string, overwrite: boolean, log: ModuleLog): void {
  // Without --overwrite everybody shares one temporary name: its lock lets one starter at a time past.
  const temporary = overwrite ? `${path}.tmp${process.pid}` : `${path}.tmp`;
  let fd: number;
  try {
    fd = openSync(temporary, 'a+', 0o644);
  } catch (error) {
    throw failure(`${temporary}: create failed (${reasonOf(error)})`, error);
  }
  if (!tryLock(fd)) throw failure(`${temporary}: fcntl(F_SETLK) failed (Resource temporarily unavailable)`);
  try {
    if (!overwrite) checkNotRunning(path, log);
    ftruncateSync(fd, 0);
    writeSync(fd, `${process.pid}\n`);
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error instanceof WeftError
      ? error
      : new WeftError('pidfile', `${path}: ${reasonOf(error)}`, { cause: error });
  }
  // `fd` stays open for the life of the process: closing it would drop the lock.
}
