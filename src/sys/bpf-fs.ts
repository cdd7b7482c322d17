/** The bpf file system: where maps, programs and links are pinned, so that they outlive the process. */
import { mkdirSync, statfsSync } from 'node:fs';
import { check, fn } from './libc.ts';

const mountC = fn<[string, string, string, number, string], number>(
  'int mount(const char *, const char *, const char *, unsigned long, const char *)',
);
const umount2 = fn<[string, number], number>('int umount2(const char *, int)');
const MAGIC = 0xcafe_4a11;
const MS_NOSUID_NODEV_NOEXEC = 2 | 4 | 8;
const MNT_DETACH = 2;

/** Where distributions mount it. */
export const BPF_FS = '/sys/fs/bpf';

/** Whether a directory is in a bpf file system. */
export function isBpfFs(directory: string): boolean {
  try {
    return statfsSync(directory).type === MAGIC;
  } catch {
    return false;
  }
}

/** Mounts one at a directory, which is made if it is missing; true: there was none before. Takes root. */
export function mountBpfFs(directory: string = BPF_FS): boolean {
  if (isBpfFs(directory)) return false;
  if (directory !== BPF_FS) mkdirSync(directory, { recursive: true });
  const result = mountC('bpf', directory, 'bpf', MS_NOSUID_NODEV_NOEXEC, 'mode=0700');
  check(result, `mount the bpf file system at ${directory}`, 'mounting takes root');
  return true;
}

/** Takes it away, with all that is pinned there and held by nothing else. */
export function unmountBpfFs(directory: string): void {
  check(umount2(directory, MNT_DETACH), `unmount ${directory}`);
}
