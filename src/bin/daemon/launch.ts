/**
 * How a daemon's process comes to be. Node cannot fork, so `--detach` and `--monitor` start the same
 * program again in another role, named by an environment variable:
 *
 *     launcher   waits for one byte that says "ready" on the child's descriptor 3, then exits 0; if the
 *                child ends first, exits as it did, so that start-up errors reach whoever called
 *     monitor    with --monitor: starts the daemon, and again whenever it crashes
 *     daemon     the program itself
 *
 * Without those options the first process is the daemon. The launcher and the monitor load only this
 * file; the program's own modules are imported by the daemon alone, so a detached start costs one bare
 * start of Node more than a plain one.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, writeSync } from 'node:fs';
import { flushCompileCache } from 'node:module';
import { constants } from 'node:os';
import type { Readable } from 'node:stream';
import type { DaemonDefinition } from './daemon.ts';

const ROLE = 'WEFT_DAEMON_ROLE';
const CRASH = 'WEFT_DAEMON_CRASH';
const READY_FD = 3;
/** What a daemon exits with after a bug of its own; the monitor starts it again. */
export const EXIT_CRASHED = 70;
/** Ends that are crashes (ovs-vswitchd(8), "--monitor"); SIGTRAP is how V8 ends when it must. */
const CRASH_SIGNALS: ReadonlySet<NodeJS.Signals> = new Set<NodeJS.Signals>([
  'SIGABRT',
  'SIGALRM',
  'SIGBUS',
  'SIGFPE',
  'SIGILL',
  'SIGPIPE',
  'SIGSEGV',
  'SIGTRAP',
  'SIGXCPU',
  'SIGXFSZ',
]);
/** Restarts come at most this often. */
const RESTART_INTERVAL_MS = 10_000;

interface End {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

const describe = ({ code, signal }: End): string =>
  signal === null ? `exit status ${code}` : `killed (${signal})`;

/** Whether an option was given, possibly abbreviated to `least` letters or more. */
function given(argv: readonly string[], option: string, least: number): boolean {
  const end = argv.indexOf('--');
  const words = end < 0 ? argv : argv.slice(0, end);
  return words.some((w) => w.startsWith('--') && w.length >= least + 2 && `--${option}`.startsWith(w));
}

function start(
  role: 'monitor' | 'daemon',
  detached: boolean,
  extra: Record<string, string> = {},
): ChildProcess {
  return spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
    detached,
    stdio: ['inherit', 'inherit', 'inherit', 'pipe'],
    env: { ...process.env, ...extra, [ROLE]: role },
  });
}

/** Resolves to "ready", or to how the child ended before it was. */
function readiness(child: ChildProcess): Promise<'ready' | End> {
  return new Promise((resolve) => {
    const pipe = child.stdio[READY_FD] as Readable;
    pipe.on('data', () => resolve('ready'));
    pipe.on('error', () => {});
    child.on('error', () => resolve({ code: 1, signal: null }));
    // "close" comes after the pipe was read to its end: no ready byte is overtaken by the exit.
    child.on('close', (code, signal) => resolve({ code, signal }));
  });
}

async function detach(program: string, role: 'monitor' | 'daemon'): Promise<never> {
  const child = start(role, true);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal));
  const state = await readiness(child);
  if (state === 'ready') process.exit(0);
  if (state.code !== null) process.exit(state.code);
  process.stderr.write(
    `${program}: could not detach from foreground session: the daemon died, ${describe(state)}\n`,
  );
  process.exit(1);
}

function signalReady(): void {
  try {
    writeSync(READY_FD, '\0');
    closeSync(READY_FD);
  } catch {
    // The launcher went away; the daemon does not mind.
  }
}

/** Starts the daemon again and again until it ends on purpose. `launched`: a launcher waits for us. */
async function monitor(program: string, launched: boolean): Promise<never> {
  let crashes = 0;
  let last = Number.NEGATIVE_INFINITY;
  let status = 'healthy';
  for (;;) {
    const child = start('daemon', false, crashes === 0 ? {} : { [CRASH]: status });
    process.title = `${program}: monitoring pid ${child.pid} (${status})`;
    const ended = new Promise<End>((resolve) =>
      child.on('exit', (code, signal) => resolve({ code, signal })),
    );
    const state = await readiness(child);
    if (crashes === 0) {
      if (state !== 'ready') process.exit(state.code ?? 1);
      if (launched) {
        const { closeStandardStreams } = await import('../../sys/process.ts');
        closeStandardStreams();
        signalReady();
      }
    }
    const end = await ended;
    const crashed = end.signal === null ? end.code === EXIT_CRASHED : CRASH_SIGNALS.has(end.signal);
    // A restart that fails to start is tried again; only a daemon that ended by itself is let go.
    if (!crashed && (state === 'ready' || crashes === 0)) process.exit(0);
    crashes++;
    status = `${crashes} crashes: pid ${child.pid} died, ${describe(end)}`;
    const wait = last + RESTART_INTERVAL_MS - performance.now();
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    last = performance.now();
  }
}

/**
 * What the first file of a daemon does: becomes the launcher, the monitor or the daemon. `argv` are the words
 * that the daemon itself reads: all behind the file, or, for a command of `weft`, those behind its name.
 */
export async function launch(
  program: string,
  load: () => Promise<{ daemon: DaemonDefinition }>,
  argv: readonly string[] = process.argv.slice(2),
): Promise<void> {
  const role = process.env[ROLE];
  const crash = process.env[CRASH];
  delete process.env[ROLE];
  delete process.env[CRASH];
  const monitored = given(argv, 'monitor', 3);
  if (role === undefined && given(argv, 'detach', 3))
    return detach(program, monitored ? 'monitor' : 'daemon');
  if (role !== 'daemon' && monitored) return monitor(program, role === 'monitor');
  const [{ runDaemon }, { daemon }] = await Promise.all([import('./daemon.ts'), load()]);
  await runDaemon(daemon, argv, role === undefined ? undefined : signalReady, crash);
  // What bin/ and compat/ have Node keep of compiled code; by itself it would do so only at its end.
  flushCompileCache();
}

/** The number of a signal, for the log. */
export const signalNumber = (signal: NodeJS.Signals): number => constants.signals[signal];
