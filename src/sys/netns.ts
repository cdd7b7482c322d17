/**
 * Network namespaces. A descriptor (packet socket, tap, netlink) belongs for ever to the namespace in which
 * it was opened; so a process serves devices of many namespaces by going in, opening, and coming back.
 */
import { closeSync, mkdirSync, openSync, rmSync, statfsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { WeftError } from '../base/errors.ts';
import { check, fn } from './libc.ts';

const setnsC = fn<[number, number], number>('int setns(int, int)');
const unshareC = fn<[number], number>('int unshare(int)');
const CLONE_NEWNET = 0x4000_0000;
/** The namespace that the thread is in. */
export const OWN_NAMESPACE = '/proc/thread-self/ns/net';

/** Where `ip netns` keeps the namespace `name`; a path is taken as it stands. */
export function netnsPath(name: string): string {
  return name.includes('/') ? name : `/run/netns/${name}`;
}

/** Magic number of the file system of namespaces (statfs(2)). */
const NSFS_MAGIC = 0x6e73_6673;

/** The inode number of the namespace `name`, which is its own as long as it lives; null: there is none. */
export function namespaceNumber(name: string): number | null {
  const path = netnsPath(name);
  try {
    // Without its mount the file is one of the directory's file system, whose numbers mean nothing here.
    return statfsSync(path).type === NSFS_MAGIC ? statSync(path).ino : null;
  } catch {
    return null;
  }
}

function openNamespace(path: string): number {
  try {
    return openSync(path, 'r');
  } catch (cause) {
    throw new WeftError(
      'no-netns',
      `network namespace ${path} cannot be opened: ${(cause as Error).message}`,
      {
        cause,
        remedy: 'list the namespaces with "ip netns"; opening one takes root',
      },
    );
  }
}

/**
 * Runs `work` with this thread inside the namespace `name` (of `ip netns`, or a path such as
 * /proc/PID/ns/net), and returns to the former one. `work` must be synchronous: what it leaves for later runs
 * outside.
 */
export function inNetns<T>(name: string, work: () => T): T {
  const home = openNamespace(OWN_NAMESPACE);
  try {
    const there = openNamespace(netnsPath(name));
    try {
      check(setnsC(there, CLONE_NEWNET), `setns ${name}`, 'entering a network namespace takes root');
    } finally {
      closeSync(there);
    }
    try {
      return work();
    } finally {
      // A thread that cannot come home must not go on: it would act in the wrong namespace.
      check(setnsC(home, CLONE_NEWNET), 'setns back');
    }
  } finally {
    closeSync(home);
  }
}

/** Runs `work` in a new, empty network namespace, which disappears when nothing holds it any more. */
export function inNewNetns<T>(work: () => T): T {
  const home = openNamespace(OWN_NAMESPACE);
  try {
    check(unshareC(CLONE_NEWNET), 'unshare(CLONE_NEWNET)', 'making a network namespace takes root');
    try {
      return work();
    } finally {
      check(setnsC(home, CLONE_NEWNET), 'setns back');
    }
  } finally {
    closeSync(home);
  }
}

const mountC = fn<[string, string, string, bigint, null], number>(
  'int mount(const char *, const char *, const char *, unsigned long, void *)',
);
const umount2 = fn<[string, number], number>('int umount2(const char *, int)');
const MS_BIND = 0x1000n;
const MNT_DETACH = 2;

/**
 * Makes a network namespace that stays until `removeNetns`, under the name that `ip netns` would give it. Fails
 * if the name is taken.
 */
export function createNetns(name: string): void {
  const path = netnsPath(name);
  mkdirSync(dirname(path), { recursive: true });
  closeSync(openSync(path, 'wx', 0o444));
  try {
    inNewNetns(() => {
      check(
        mountC(OWN_NAMESPACE, path, 'none', MS_BIND, null),
        `mount ${path}`,
        'mounting takes root (CAP_SYS_ADMIN)',
      );
    });
  } catch (error) {
    removeNetns(name);
    throw error;
  }
}

/**
 * Takes the name of a namespace away: it ends as soon as no process and no socket is in it. One that is not
 * there is no error.
 */
export function removeNetns(name: string): void {
  const path = netnsPath(name);
  // Not a mount (EINVAL): only the file is left, of a creation that was cut short.
  umount2(path, MNT_DETACH);
  rmSync(path, { force: true });
}
