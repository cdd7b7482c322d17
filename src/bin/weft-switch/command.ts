/** `weft switch`: one host's whole switch, database and all, in one process. */
import { mkdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { WeftError } from '../../base/errors.ts';
import type { CommandIo } from '../../cli/command.ts';
import { launch } from '../daemon/launch.ts';
import { DAEMON_OPTIONS, parseArguments } from '../daemon/options.ts';
import { reasonOf } from '../daemon/vlog-sinks.ts';
import { COMBINED_OPTIONS } from './options.ts';

/** Puts everything that the stock programs keep in five directories into one. */
function useDirectory(given: string): void {
  const dir = resolve(given);
  try {
    mkdirSync(dir, { recursive: true, mode: 0o755 });
  } catch (cause) {
    throw new WeftError('bad-directory', `--dir ${given}: cannot be made: ${reasonOf(cause)}`, {
      cause,
      remedy: 'name a directory that you may write to',
    });
  }
  for (const name of ['OVS_RUNDIR', 'OVS_LOGDIR', 'OVS_DBDIR', 'OVS_SYSCONFDIR']) process.env[name] = dir;
}

export async function run(args: readonly string[], _io: CommandIo): Promise<number> {
  const { options } = parseArguments(args, [...COMBINED_OPTIONS, ...DAEMON_OPTIONS]);
  const dir = options.findLast((o) => o.name === 'dir')?.value;
  if (dir !== undefined) useDirectory(dir);
  await launch('weft-switch', () => import('./switch_daemon.ts'), args);
  return typeof process.exitCode === 'number' ? process.exitCode : 0;
}
