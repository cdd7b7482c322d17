/** `weft controller`: the network hypervisor. */
import type { CommandIo } from '../../cli/command.ts';
import { launch } from '../daemon/launch.ts';
import { makeDirectories } from '../daemon/make-directories.ts';
import { CONTROLLER_OPTIONS } from './options.ts';

export async function run(args: readonly string[], _io: CommandIo): Promise<number> {
  makeDirectories(args, CONTROLLER_OPTIONS, 'store');
  await launch('weft-controller', () => import('./controller_daemon.ts'), args);
  return typeof process.exitCode === 'number' ? process.exitCode : 0;
}
