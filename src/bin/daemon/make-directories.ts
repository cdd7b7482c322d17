/** The directories of a daemon of `weft`, made where nobody else makes them. */
import { mkdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { WeftError } from '../../base/errors.ts';
import { directories } from './dirs.ts';
import { DAEMON_OPTIONS, type OptionSpec, parseArguments } from './options.ts';
import { reasonOf } from './vlog-sinks.ts';

function make(what: string, dir: string): void {
  try {
    mkdirSync(dir, { recursive: true, mode: 0o755 });
  } catch (cause) {
    throw new WeftError('bad-directory', `${what} ${dir}: cannot be made: ${reasonOf(cause)}`, {
      cause,
      remedy: 'name a directory that you may write to with --dir',
    });
  }
}

/**
 * Makes the directories that a daemon with these arguments will use. `--dir`, one of its options, puts everything that the
 * stock programs keep in five directories into one: for this process and those that it starts.
 *
 * @param kept what lies in the database directory: "database", "store"
 */
export function makeDirectories(args: readonly string[], own: readonly OptionSpec[], kept: string): void {
  const { options } = parseArguments(args, [...own, ...DAEMON_OPTIONS]);
  const given = new Set(options.map((o) => o.name));
  if (given.has('help') || given.has('version')) return;
  const dir = options.findLast((o) => o.name === 'dir')?.value;
  if (dir !== undefined) {
    make('--dir', resolve(dir));
    for (const name of ['OVS_RUNDIR', 'OVS_LOGDIR', 'OVS_DBDIR', 'OVS_SYSCONFDIR'])
      process.env[name] = resolve(dir);
  }
  const { run, db, log } = directories(process.env);
  make('run directory', run);
  make(`${kept} directory`, db);
  if (given.has('log-file')) make('log directory', log);
}
