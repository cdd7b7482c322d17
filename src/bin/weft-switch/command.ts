/** `weft switch`: one host's whole switch, database and all, in one process. */
import type { CommandIo } from '../../cli/command.ts';
import { launch } from '../daemon/launch.ts';
import { makeDirectories } from '../daemon/make-directories.ts';
import { COMBINED_OPTIONS } from './options.ts';

export async function run(args: readonly string[], _io: CommandIo): Promise<number> {
  makeDirectories(args, COMBINED_OPTIONS, 'database');
  await launch('weft-switch', () => import('./switch_daemon.ts'), args);
  return typeof process.exitCode === 'number' ? process.exitCode : 0;
}
