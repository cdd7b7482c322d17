/*
 * Directories of pins, each as a whole: whose they are, and whether they mean anything any more.
 *
 *     ROOT/weftLAYOUT-DATAPATH-NAMESPACE      NAMESPACE: inode number of a network namespace
 *
 * A process holds a lock on the directory that it uses. One that nobody holds is left over: of a process that shall have
 * a successor, as long as one of its links is at a device; else of a namespace that is gone, as its devices are. The number
 * of such a namespace may become another's.
 */
import {
  closeSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmdirSync,
  statSync,
  unlinkSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { WeftError } from '../../base/errors.ts';
import { BpfLink } from '../../ebpf/link.ts';
import { tryFlock } from '../../sys/file-lock.ts';
import { namespaceNumber, OWN_NAMESPACE } from '../../sys/netns.ts';

/** Version of what is kept; part of the directory's name, so that one process never reads another's meaning. */
const LAYOUT = 1;
export const LINKS = 'links';
const DIRECTORY = /^weft\d+-.*-(\d+)$/;
const VERSION = /^weft\d+-/;
/** Whoever looks for left-overs holds a lock for a moment, and so do the threads of a process that was killed. */
const LOCK_TRIES = 100;
const LOCK_PAUSE_MS = 10;

function pause(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LOCK_PAUSE_MS);
}

/** Where a datapath of the thread's network namespace pins. */
export function directoryFor(root: string, datapath: string): string {
  return join(root, `weft${LAYOUT}-${datapath}-${namespaceNumber(OWN_NAMESPACE)}`);
}

/** Makes a directory if need be, and locks it; the lock ends with the descriptor. */
export function takeDirectory(directory: string): number {
  for (let tries = 0; tries < LOCK_TRIES; tries++) {
    if (tries > 0) pause();
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const fd = openSync(directory, 'r');
    if (tryFlock(fd) && isStill(fd, directory)) return fd;
    closeSync(fd);
  }
  throw new WeftError('pins-busy', `${directory}: in use by another process`, {
    remedy:
      'One switch at a time can have the kernel datapath of a network namespace: end the other, or enter another.',
  });
}

/** Whether a path still leads to the directory that was opened there. */
function isStill(fd: number, path: string): boolean {
  try {
    return fstatSync(fd).ino === statSync(path).ino;
  } catch {
    return false;
  }
}

/** Removes what processes have left that nothing runs any more and nobody will take over; returns the directories. */
export function removeLeftOvers(root: string): string[] {
  return directories(root).filter((directory) => removeUnlocked(directory, 1, isDead));
}

/** Removes what is pinned for a network namespace, unless a process uses it and goes on to. */
export function removePinsOf(root: string, namespace: number): string[] {
  const its = directories(root).filter(
    (path) => DIRECTORY.exec(path.slice(root.length + 1))?.[1] === String(namespace),
  );
  return its.filter((directory) => removeUnlocked(directory, LOCK_TRIES, () => true));
}

/**
 * Removes what versions with other layouts have left for the same datapath and namespace: their programs would
 * go on forwarding, before those of today.
 */
export function removeOtherLayouts(directory: string): string[] {
  const root = dirname(directory);
  const whose = basename(directory).replace(VERSION, '');
  const others = directories(root).filter(
    (path) => path !== directory && basename(path).replace(VERSION, '') === whose,
  );
  return others.filter((path) => removeUnlocked(path, LOCK_TRIES, () => true));
}

function directories(root: string): string[] {
  return readNames(root)
    .filter((name) => DIRECTORY.test(name))
    .map((name) => join(root, name));
}

function removeUnlocked(
  directory: string,
  tries: number,
  condition: (directory: string) => boolean,
): boolean {
  let fd: number;
  try {
    fd = openSync(directory, 'r');
  } catch {
    return false;
  }
  try {
    for (let i = 1; !tryFlock(fd); i++) {
      if (i >= tries) return false;
      pause();
    }
    if (!condition(directory)) return false;
    removeAll(directory);
    return true;
  } catch {
    // Of another layout, or with something in it that is not ours.
    return false;
  } finally {
    closeSync(fd);
  }
}

/** Whether there are links, and none is at a device. */
function isDead(directory: string): boolean {
  const links = readNames(join(directory, LINKS));
  return links.length > 0 && links.every((name) => !isAttached(join(directory, LINKS, name)));
}

function isAttached(path: string): boolean {
  const link = BpfLink.open(path);
  try {
    return link.attached;
  } finally {
    link.close();
  }
}

/** A directory of directories of pins. */
function removeAll(directory: string): void {
  for (const name of readNames(directory)) removeFiles(join(directory, name));
  rmdirSync(directory);
}

/** Removes a directory of pins. */
export function removeFiles(directory: string): void {
  for (const name of readNames(directory)) removeFile(join(directory, name));
  rmdirSync(directory);
}

export function readNames(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

export function removeFile(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}
