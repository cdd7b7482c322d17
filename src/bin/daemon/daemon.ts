/**
 * The frame of every daemon: options, log, pidfile, control socket, signals, orderly end. A daemon states
 * what is its own in a `DaemonDefinition`; `runDaemon` does the rest in the order of the stock daemons, so
 * that scripts which start those also start these.
 */
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { hostname } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';
import { Coverage } from '../../base/coverage.ts';
import { WeftError } from '../../base/errors.ts';
import type { UsageReporter } from '../../base/usage.ts';
import { closeStandardStreams, setProcessName } from '../../sys/process.ts';
import { DaemonClock } from './clock.ts';
import { type Directories, directories } from './dirs.ts';
import { EXIT_CRASHED, signalNumber } from './launch.ts';
import { MemoryMonitor } from './memory.ts';
import {
  DAEMON_OPTIONS,
  formatOptions,
  type OptionSpec,
  type ParsedArguments,
  parseArguments,
} from './options.ts';
import { createPidfile } from './pidfile.ts';
import { Commands, UnixctlServer } from './unixctl.ts';
import { Vlog } from './vlog.ts';
import { registerLogCommands } from './vlog-commands.ts';
import { consoleSink, LogFile, syslogSink, udpSink } from './vlog-sinks.ts';

/** What one daemon is. */
export interface DaemonDefinition {
  /** Names the pidfile, the log file, the control socket and the process. */
  readonly program: string;
  /** The lines of `--version`; the first is the reply of the command `version`. */
  readonly version: readonly string[];
  /** The options beyond those that every daemon takes. */
  readonly options: readonly OptionSpec[];
  /** The usage text up to its options. */
  readonly usage: (dirs: Directories) => string;
  /** Log modules to know from the start. */
  readonly modules: readonly string[];
  /** Whether an error that ends it also says what to do. The stock programs' have one line, which others read. */
  readonly remedies?: boolean;
  /**
   * Starts the daemon's work and resolves when it is ready: then `--detach` returns. A `WeftError` that it
   * throws goes to standard error, and ends the process with exit code 1.
   */
  start(daemon: Daemon): Promise<void>;
}

/** Work at the end of a daemon, which `signal` ends, or else a command. */
export type Cleanup = (signal: NodeJS.Signals | undefined) => void | Promise<void>;

/** What a running daemon has at hand. */
export interface Daemon {
  readonly program: string;
  readonly dirs: Directories;
  readonly clock: DaemonClock;
  readonly log: Vlog;
  readonly commands: Commands;
  readonly coverage: Coverage;
  readonly args: ParsedArguments;
  /** Whether an option was given. */
  has(option: string): boolean;
  /** The last value of an option. */
  value(option: string): string | undefined;
  /** Every value of an option, in order. */
  values(option: string): string[];
  /** Has `reporter` asked by `memory/show` and by the periodic line about memory. */
  reportUsage(reporter: UsageReporter): void;
  /** Has `cleanup` run when the daemon ends; the last registered runs first. */
  onExit(cleanup: Cleanup): void;
  /** Ends the daemon after the replies that are under way have left. Safe to call more than once. */
  exit(code?: number): void;
}

/** Time that the clean-up may take before the process ends without it. */
const EXIT_GRACE_MS = 3000;
const COVERAGE_TICK_MS = 5000;
const SIGNAL_TEXT: Readonly<Record<string, string>> = {
  SIGTERM: 'Terminated',
  SIGINT: 'Interrupt',
  SIGHUP: 'Hangup',
  SIGALRM: 'Alarm clock',
};

const inDirectory = (dir: string, name: string): string => (isAbsolute(name) ? name : join(dir, name));

class RunningDaemon implements Daemon {
  readonly #definition: DaemonDefinition;
  readonly program: string;
  readonly dirs: Directories;
  readonly clock = new DaemonClock();
  readonly coverage: Coverage;
  readonly log: Vlog;
  readonly commands: Commands;
  readonly args: ParsedArguments;
  private readonly memory: MemoryMonitor;
  private readonly cleanups: Cleanup[] = [];
  /** Removed however the process ends. */
  private readonly files: string[] = [];
  private unixctl: UnixctlServer | undefined;
  private ending = false;

  constructor(definition: DaemonDefinition, args: ParsedArguments, dirs: Directories) {
    this.#definition = definition;
    this.program = definition.program;
    this.dirs = dirs;
    this.args = args;
    const syslog = this.value('syslog-method') ?? (process.env.OVS_SYSLOG_METHOD || 'libc');
    this.log = new Vlog({
      program: this.program,
      clock: this.clock,
      pid: process.pid,
      host: hostname(),
      console: consoleSink,
      syslog: syslogSink(syslog, this.program, this.clock),
      file: new LogFile(),
      modules: definition.modules,
    });
    this.coverage = new Coverage(this.clock);
    this.commands = new Commands(this.log);
    this.memory = new MemoryMonitor(this.clock, this.log);
    const { commands } = this;
    commands.register('version', '', 0, 0, () => definition.version[0]);
    registerLogCommands(this.log, commands);
    commands.register('coverage/show', '', 0, 0, () => this.coverage.show());
    commands.register('coverage/read-counter', 'COUNTER', 1, 1, ([name]) => {
      const total = this.coverage.read(name);
      if (total === undefined) throw new WeftError('no-counter', 'No such counter');
      return `${total}\n`;
    });
    commands.register('memory/show', '', 0, 0, () => this.memory.show());
  }

  has(option: string): boolean {
    return this.args.options.some((o) => o.name === option);
  }

  value(option: string): string | undefined {
    return this.args.options.findLast((o) => o.name === option)?.value;
  }

  values(option: string): string[] {
    return this.args.options.flatMap((o) => (o.name === option && o.value !== undefined ? [o.value] : []));
  }

  reportUsage(reporter: UsageReporter): void {
    this.memory.add(reporter);
  }

  onExit(cleanup: Cleanup): void {
    this.cleanups.push(cleanup);
  }

  /** Obeys the logging options in the order given, as the lines that they cause depend on it. */
  configureLog(): void {
    const leaves = this.has('detach') && !this.has('no-chdir');
    for (const { name, value } of this.args.options) {
      if (name === 'verbose') {
        try {
          this.log.set(value);
        } catch (error) {
          throw new WeftError('bad-option', `processing "${value}": ${(error as Error).message}`, {
            cause: error,
          });
        }
      } else if (name === 'log-file') {
        const path = value ?? join(this.dirs.log, `${this.program}.log`);
        try {
          this.log.openFile(leaves ? resolve(path) : path);
        } catch {
          // Already told; a daemon that cannot write its log still does its work, as the stock ones do.
        }
      } else if (name === 'syslog-target') {
        const line = (text: string): string => text;
        this.log.setSyslogTarget(udpSink(value!, '--syslog-target', line, 'none'));
      }
    }
  }

  /** `--user USER[:GROUP]`: gives up root for good. */
  changeUser(): void {
    const spec = this.value('user');
    if (spec === undefined) return;
    if (process.getuid!() !== 0) throw new WeftError('bad-option', 'only root can use --user option');
    const [user, group] = spec.split(':');
    try {
      const primary = user
        ? Number(execFileSync('id', ['-g', user], { encoding: 'utf8', stdio: 'pipe' }))
        : process.getgid!();
      process.setgid!(group || primary);
      process.setgroups!([process.getgid!()]);
      if (user) process.setuid!(user);
    } catch (error) {
      throw new WeftError('bad-option', `--user ${spec}: ${(error as Error).message.trim()}`, {
        cause: error,
      });
    }
  }

  claimPidfile(): void {
    if (!this.has('pidfile')) return;
    const path = inDirectory(this.dirs.run, this.value('pidfile') ?? `${this.program}.pid`);
    createPidfile(path, this.has('overwrite-pidfile'), this.log.module('daemon_unix'));
    this.files.push(path);
  }

  async listen(): Promise<void> {
    const name = this.value('unixctl') ?? `${this.program}.${process.pid}.ctl`;
    if (name === 'none') return;
    const path = inDirectory(this.dirs.run, name);
    this.unixctl = await UnixctlServer.listen(path, this.commands, this.log, this.coverage);
    this.files.push(path);
  }

  /** Starts what runs beside the daemon's own work for as long as it lives. */
  housekeep(): void {
    const tick = (): void => {
      this.coverage.tick();
      this.clock.after(COVERAGE_TICK_MS, tick);
    };
    this.clock.after(COVERAGE_TICK_MS, tick);
    this.memory.start();
  }

  /** Leaves the terminal, as `--detach` asks. */
  leaveTerminal(): void {
    if (!this.has('detach')) return;
    if (!this.has('no-chdir')) process.chdir('/');
    closeStandardStreams();
    this.log.silenceConsole();
  }

  removeFiles(): void {
    for (const file of this.files) rmSync(file, { force: true });
  }

  exit(code = 0): void {
    if (this.ending) return;
    // The command that asked for the end gets its reply first.
    setImmediate(() => void this.end().finally(() => process.exit(code)));
  }

  /** Runs the clean-ups once, in bounded time. */
  private async end(signal?: NodeJS.Signals): Promise<void> {
    if (this.ending) return;
    this.ending = true;
    const late = new Promise<void>((done) => setTimeout(done, EXIT_GRACE_MS).unref());
    await Promise.race([this.cleanUp(signal), late]);
    this.removeFiles();
  }

  private async cleanUp(signal: NodeJS.Signals | undefined): Promise<void> {
    for (const cleanup of this.cleanups.reverse()) {
      try {
        await cleanup(signal);
      } catch (error) {
        this.log
          .module('daemon')
          .err(`clean-up failed: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
    await this.unixctl?.close();
  }

  handleSignals(): void {
    const log = this.log.module('fatal_signal');
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGALRM'] as const) {
      process.on(signal, () => {
        log.warn(`terminating with signal ${signalNumber(signal)} (${SIGNAL_TEXT[signal]})`);
        const die = (): void => {
          // Dying by the same signal tells the parent the truth.
          process.removeAllListeners(signal);
          process.kill(process.pid, signal);
        };
        if (this.ending) die();
        else void this.end(signal).finally(die);
      });
    }
    process.on('exit', () => this.removeFiles());
    const crash = (error: unknown): void => {
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      this.log.module('daemon').emer(`unexpected error, this is a bug: ${text}`);
      process.exit(EXIT_CRASHED);
    };
    process.on('uncaughtException', crash);
    process.on('unhandledRejection', crash);
  }

  fail(error: WeftError): never {
    this.log.silenceConsole();
    this.log.module(this.program.replaceAll('-', '_')).emer(error.message);
    process.stderr.write(errorText(this.#definition, error));
    this.removeFiles();
    process.exit(1);
  }
}

function errorText({ program, remedies }: DaemonDefinition, { message, remedy }: WeftError): string {
  const advice = remedies === true && remedy !== '' ? `${program}: ${remedy}\n` : '';
  return `${program}: ${message}\n${advice}`;
}

function usageText(definition: DaemonDefinition, dirs: Directories): string {
  const own = definition.options.length === 0 ? '' : `\n${formatOptions(definition.options)}\n`;
  return `${definition.usage(dirs).trimEnd()}\n${own}\nDaemon options:\n${formatOptions(DAEMON_OPTIONS)}\n`;
}

/**
 * Runs a daemon in this process. `ready` tells whoever started it that it is; `crash` is what a monitor
 * says of the process before this one.
 */
export async function runDaemon(
  definition: DaemonDefinition,
  argv: readonly string[],
  ready: (() => void) | undefined,
  crash: string | undefined,
): Promise<void> {
  const { program } = definition;
  setProcessName(program);
  const dirs = directories(process.env);
  let daemon: RunningDaemon;
  try {
    const args = parseArguments(argv, [...definition.options, ...DAEMON_OPTIONS]);
    const given = new Set(args.options.map((o) => o.name));
    if (given.has('help')) return void process.stdout.write(usageText(definition, dirs));
    if (given.has('version')) return void process.stdout.write(`${definition.version.join('\n')}\n`);
    daemon = new RunningDaemon(definition, args, dirs);
  } catch (error) {
    if (!(error instanceof WeftError)) throw error;
    process.stderr.write(errorText(definition, error));
    process.exitCode = 1;
    return;
  }
  try {
    daemon.configureLog();
    if (crash !== undefined) daemon.log.thread('monitor').module('daemon_unix').err(`${crash}, restarting`);
    daemon.handleSignals();
    daemon.changeUser();
    daemon.claimPidfile();
    await daemon.listen();
    daemon.housekeep();
    await definition.start(daemon);
  } catch (error) {
    if (error instanceof WeftError) daemon.fail(error);
    throw error;
  }
  // Before whoever waits goes on: a pipe that it reads from us to the end must end.
  daemon.leaveTerminal();
  ready?.();
}
