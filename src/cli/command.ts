/** The commands of `weft`: what one is, how one is found by name, how its errors are told. */
import { WeftError } from '../base/errors.ts';

/** What a command works with instead of the process's own streams. */
export interface CommandIo {
  out(text: string): void;
  err(text: string): void;
}

/** What the module of a command exports. */
export interface CommandModule {
  /** Runs it with the words behind its name; the result is the process's exit code. */
  run(args: readonly string[], io: CommandIo): Promise<number>;
}

/** One row of the command table; the module is loaded when the command is called. */
export interface CommandEntry {
  readonly name: string;
  /** One line for `weft --help`. */
  readonly summary: string;
  load(): Promise<CommandModule>;
}

/** Exit codes of `weft`. */
export const EXIT = { ok: 0, failed: 1, usage: 2, bug: 70 } as const;

/** How many letters must be added, removed, replaced or swapped with their neighbour to make `b` of `a`. */
export function editDistance(a: string, b: string): number {
  const rows = Array.from({ length: a.length + 1 }, (_, i) => [i, ...new Array<number>(b.length).fill(0)]);
  for (let j = 0; j <= b.length; j++) rows[0][j] = j;
  for (let i = 1; i <= a.length; i++) {
    for (let j = 1; j <= b.length; j++) {
      const replace = rows[i - 1][j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      rows[i][j] = Math.min(replace, rows[i - 1][j] + 1, rows[i][j - 1] + 1);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        rows[i][j] = Math.min(rows[i][j], rows[i - 2][j - 2] + 1);
      }
    }
  }
  return rows[a.length][b.length];
}

/** The name that somebody who typed `word` most likely meant; undefined if none is near. */
export function nearest(word: string, names: readonly string[]): string | undefined {
  // Words of any length reach here; beyond a few dozen letters nothing is near.
  if (word.length > 40) return undefined;
  let best: string | undefined;
  let least = Math.max(2, Math.floor(word.length / 3)) + 1;
  for (const name of names) {
    const distance = name.startsWith(word) && word !== '' ? 0 : editDistance(word, name);
    if (distance < least) {
      least = distance;
      best = name;
    }
  }
  return best;
}

/** The text of `weft --help`. */
export function helpText(commands: readonly CommandEntry[]): string {
  const width = Math.max(...commands.map((c) => c.name.length), 'version'.length);
  const row = (name: string, summary: string): string => `  ${name.padEnd(width)}  ${summary}\n`;
  return (
    'usage: weft COMMAND [ARGUMENTS...]\n\n' +
    'Weft is a virtual switch and network virtualization platform.\n\nCommands:\n' +
    commands.map((c) => row(c.name, c.summary)).join('') +
    row('version', 'print the version of Weft and of what it runs on') +
    '\n"weft COMMAND --help" tells more about a command.\n'
  );
}

/** Runs `weft` with the words behind it. Never rejects. */
export async function runCommand(
  commands: readonly CommandEntry[],
  args: readonly string[],
  io: CommandIo,
  version: (json: boolean) => string,
): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined || name === '--help' || name === '-h' || (name === 'help' && rest.length === 0)) {
    (name === undefined ? io.err : io.out)(helpText(commands));
    return name === undefined ? EXIT.usage : EXIT.ok;
  }
  if (name === 'help') return runCommand(commands, [rest[0], '--help'], io, version);
  if (name === 'version' || name === '--version' || name === '-V') {
    io.out(version(rest.includes('--json')));
    return EXIT.ok;
  }
  const entry = commands.find((c) => c.name === name);
  if (entry === undefined) {
    const near = nearest(name, [...commands.map((c) => c.name), 'help', 'version']);
    io.err(`weft: no command "${name}"${near === undefined ? '' : `; did you mean "${near}"?`}\n`);
    io.err('weft: "weft --help" lists the commands\n');
    return EXIT.usage;
  }
  try {
    return await (await entry.load()).run(rest, io);
  } catch (error) {
    if (!(error instanceof WeftError)) {
      io.err(
        `weft ${name}: unexpected error, this is a bug: ${error instanceof Error ? error.stack : String(error)}\n`,
      );
      return EXIT.bug;
    }
    io.err(`weft ${name}: ${error.message}\n`);
    if (error.remedy !== '') io.err(`weft ${name}: ${error.remedy}\n`);
    return error.code === 'bad-option' ? EXIT.usage : EXIT.failed;
  }
}
