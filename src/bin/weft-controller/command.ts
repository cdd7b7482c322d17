/** `weft controller`: the network hypervisor. */
import { mkdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { WeftError } from '../../base/errors.ts';
import type { CommandIo } from '../../cli/command.ts';
import { directories } from '../daemon/dirs.ts';
import { launch } from '../daemon/launch.ts';
import { DAEMON_OPTIONS, parseArguments } from '../daemon/options.ts';
import { reasonOf } from '../daemon/vlog-sinks.ts';
import { CONTROLLER_OPTIONS } from './options.ts';

function makeDirectory(what: string, dir: string): void {
  try {
    mkdirSync(dir, { recursive: true, mode: 0o755 });
  } catch (cause) {
    throw new WeftError('bad-directory', `${what} ${dir}: cannot be made: ${reasonOf(cause)}`, {
      cause,
      remedy: 'name a directory that you may write to with --dir',
    });
  }
}

export async function run(args: readonly string[], _io: CommandIo): Promise<number> {
  const { options } = parseArguments(args, [...CONTROLLER_OPTIONS, ...DAEMON_OPTIONS]);
  const dir = options.findLast((o) => o.name === 'dir')?.value;
  const given = new Set(options.map((o) => o.name));
  if (!given.has('help') && !given.has('version')) {
    if (dir !== undefined) {
      makeDirectory('--dir', resolve(dir));
      for (const name of ['OVS_RUNDIR', 'OVS_LOGDIR', 'OVS_DBDIR', 'OVS_SYSCONFDIR'])
        process.env[name] = resolve(dir);
    }
    const { run: runDir, db, log } = directories(process.env);
    makeDirectory('run directory', runDir);
    makeDirectory('store directory', db);
    if (given.has('log-file')) makeDirectory('log directory', log);
  }
  await launch('weft-controller', () => import('./controller_daemon.ts'), args);
  return typeof process.exitCode === 'number' ? process.exitCode : 0;
}
