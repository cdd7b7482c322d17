/** What a process does to itself and Node has no call for. */
import { closeSync, openSync, writeFileSync } from 'node:fs';
import { check, dup2 } from './libc.ts';

/** Sets the name that `ps` and `/proc/PID/comm` show; the kernel keeps 15 bytes. */
export function setProcessName(name: string): void {
  writeFileSync('/proc/self/comm', name.slice(0, 15));
}

/** Points standard input, output and error at `/dev/null`, as a daemon does when it leaves its terminal. */
export function closeStandardStreams(): void {
  const fd = openSync('/dev/null', 'r+');
  for (const standard of [0, 1, 2]) check(dup2(fd, standard), `dup2 to ${standard}`);
  if (fd > 2) closeSync(fd);
}
