import type { Coverage } from '../../base/coverage.ts';
import { WeftError } from '../../base/errors.ts';
import type { UsageReporter } from '../../base/usage.ts';
import type { DaemonClock } from '../daemon/clock.ts';
import type { Cleanup, Daemon } from '../daemon/daemon.ts';
import type { Directories } from '../daemon/dirs.ts';
import type { ParsedArguments } from '../daemon/options.ts';
import { Commands } from '../daemon/unixctl.ts';
import type { Vlog } from '../daemon/vlog.ts';
import { registerLogCommands } from '../daemon/vlog-commands.ts';

/**
 * A daemon within another one: it has its own name, arguments and management commands, and shares all else.
 * When it is told to exit, the whole process does.
 */
export class DaemonPart implements Daemon {
  readonly program: string;
  readonly args: ParsedArguments;
  readonly commands: Commands;
  readonly #whole: Daemon;

  constructor(whole: Daemon, program: string, version: string, args: ParsedArguments) {
    this.#whole = whole;
    this.program = program;
    this.args = args;
    this.commands = new Commands(whole.log);
    const { commands, coverage } = this;
    registerLogCommands(whole.log, commands);
    commands.register('version', '', 0, 0, () => version);
    commands.register('coverage/show', '', 0, 0, () => coverage.show());
    commands.register('coverage/read-counter', 'COUNTER', 1, 1, ([name]) => {
      const total = coverage.read(name);
      if (total === undefined) throw new WeftError('no-counter', 'No such counter');
      return `${total}\n`;
    });
    commands.register('memory/show', '', 0, 0, async () => {
      const { text } = await whole.commands.run('memory/show', []);
      return text;
    });
  }

  get dirs(): Directories {
    return this.#whole.dirs;
  }

  get clock(): DaemonClock {
    return this.#whole.clock;
  }

  get log(): Vlog {
    return this.#whole.log;
  }

  get coverage(): Coverage {
    return this.#whole.coverage;
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
    this.#whole.reportUsage(reporter);
  }

  onExit(cleanup: Cleanup): void {
    this.#whole.onExit(cleanup);
  }

  exit(code?: number): void {
    this.#whole.exit(code);
  }
}
