/** `weft nlog`: checks nlog programs, runs them over rows given as text, and says why rows are there or not. */
import { readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { WeftError } from '../base/errors.ts';
import {
  type Changes,
  check,
  checkAll,
  Engine,
  type EngineOptions,
  explain,
  formatDerivation,
  formatDiagnostic,
  formatProfile,
  formatWhyNot,
  type HostFunction,
  type Loader,
  NlogProgramError,
  type OpaqueType,
  type Program,
  parseChanges,
  parsePattern,
  profile,
  Report,
  type Source,
  whyNot,
} from '../nlog/index.ts';
import { type CommandIo, EXIT, nearest } from './command.ts';

const USAGE = `usage: weft nlog check PROGRAM...
       weft nlog run PROGRAM [ROWS...] [--host MODULE] [--json]
       weft nlog explain PROGRAM ROWS... 'table(value, _, ...)' [--host MODULE] [--json]
       weft nlog profile PROGRAM [ROWS...] [--host MODULE] [--json]

check    tells what is wrong with programs, and warns of what is probably not meant
run      feeds rows to a program, transaction by transaction, and prints what changes in its outputs
explain  says why rows that fit a pattern are there, or why none is
profile  feeds rows, and tells what each rule did and what each table takes

PROGRAM  a file in the language of docs/nlog.md
ROWS     a file of rows: table(value, ...); comes, -table(value, ...); goes, commit; ends a transaction; - is the input
MODULE   a module that exports "types" and "functions", which the program declares
--json   prints one JSON object a line
`;

interface Options {
  readonly words: readonly string[];
  readonly host: string | undefined;
  readonly json: boolean;
}

interface Host {
  readonly types?: readonly OpaqueType[];
  readonly functions?: readonly HostFunction[];
}

const COMMANDS = ['check', 'run', 'explain', 'profile'] as const;

export async function run(args: readonly string[], io: CommandIo): Promise<number> {
  const [name, ...rest] = args;
  if (name === '--help' || name === '-h') {
    io.out(USAGE);
    return EXIT.ok;
  }
  if (name === undefined || !(COMMANDS as readonly string[]).includes(name)) {
    const near = nearest(name ?? '', COMMANDS);
    io.err(
      name === undefined
        ? USAGE
        : `weft nlog: no command "${name}"; ${near === undefined ? `there are ${COMMANDS.join(', ')}` : `did you mean "${near}"?`}\n`,
    );
    return EXIT.usage;
  }
  if (rest.includes('--help')) {
    io.out(USAGE);
    return EXIT.ok;
  }
  const options = parseOptions(rest);
  if (options.words.length === 0) throw badOption(`weft nlog ${name} needs a program`);
  try {
    if (name === 'check') return checkCommand(options, io);
    if (name === 'run') return await runCommand(options, io);
    if (name === 'explain') return await explainCommand(options, io);
    return await profileCommand(options, io);
  } catch (error) {
    if (!(error instanceof NlogProgramError)) throw error;
    io.err(`${error.message}\n`);
    return EXIT.failed;
  }
}

function badOption(message: string): WeftError {
  return new WeftError('bad-option', message, { remedy: '"weft nlog --help" shows the usage' });
}

function parseOptions(args: readonly string[]): Options {
  const words: string[] = [];
  let host: string | undefined;
  let json = false;
  for (let i = 0; i < args.length; i++) {
    if (args[i] === '--json') json = true;
    else if (args[i] === '--host') {
      host = args[++i];
      if (host === undefined) throw badOption('--host needs a module');
    } else if (args[i].startsWith('--host=')) host = args[i].slice('--host='.length);
    else if (args[i].startsWith('--')) throw badOption(`unknown option "${args[i]}"`);
    else words.push(args[i]);
  }
  return { words, host, json };
}

function read(file: string): Source {
  try {
    return { name: file, text: readFileSync(file === '-' ? 0 : file, 'utf8') };
  } catch (cause) {
    throw new WeftError(
      'no-file',
      `cannot read "${file}": ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    );
  }
}

/** Reads included files relative to the file that names them. */
const load: Loader = (path, from) => {
  try {
    return read(join(dirname(from), path));
  } catch {
    return undefined;
  }
};

function checkCommand(options: Options, io: CommandIo): number {
  let failed = false;
  for (const file of options.words) {
    const { program, report } = checkAll(read(file), load);
    for (const d of report.diagnostics)
      if (options.json)
        io.out(
          `${JSON.stringify({ severity: d.severity, code: d.code, message: d.message, advice: d.advice, text: formatDiagnostic(d) })}\n`,
        );
      else (d.severity === 'error' ? io.err : io.out)(`${formatDiagnostic(d)}\n`);
    if (program === undefined) failed = true;
    else if (!options.json) io.out(`${file}: ${summary(program)}\n`);
  }
  return failed ? EXIT.failed : EXIT.ok;
}

const some = (n: number, what: string): string => `${n} ${what}${n === 1 ? '' : 's'}`;

function summary(program: Program): string {
  const count = (kind: string): number => program.tables.filter((t) => t.kind === kind).length;
  const recursive = program.strata.filter((s) => s.recursive).length;
  return `${count('input')} input, ${count('table')} internal and ${count('output')} output tables, ${some(program.rules.length, 'rule')}, ${program.strata.length} strata, ${recursive} of them recursive`;
}

async function makeEngine(options: Options, more: EngineOptions = {}): Promise<Engine> {
  const host: Host =
    options.host === undefined ? {} : ((await import(pathToFileURL(resolve(options.host)).href)) as Host);
  return new Engine(check(read(options.words[0]), load), { ...host, ...more });
}

/** Feeds files of rows; calls `each` with what every transaction changed. */
function feed(
  engine: Engine,
  files: readonly string[],
  each: (changes: Changes, number: number) => void,
): void {
  let number = 0;
  for (const file of files) {
    const report = new Report();
    const transactions = parseChanges(read(file), engine.program, report);
    report.throwIfFailed();
    for (const changes of transactions)
      each(
        engine.transaction((tx) => {
          for (const { table, row, insert } of changes) tx[insert ? 'insert' : 'delete'](table, row);
        }),
        ++number,
      );
  }
}

/** JSON has no bigint: those are written as text. */
const toJson = (value: unknown): string =>
  JSON.stringify(value, (_, v: unknown) => (typeof v === 'bigint' ? String(v) : v));

async function runCommand(options: Options, io: CommandIo): Promise<number> {
  const engine = await makeEngine(options);
  const print = (changes: Changes, number: number): void => {
    if (options.json) {
      io.out(`${toJson({ transaction: number, changes: [...changes], work: changes.work })}\n`);
      return;
    }
    io.out(
      `transaction ${number}: ${changes.size} changed, ${changes.work.rowsIn} rows read, ${changes.work.derivations} derivations\n`,
    );
    for (const { table, inserted, deleted } of changes) {
      for (const row of deleted) io.out(`-${engine.format(table, row)}\n`);
      for (const row of inserted) io.out(`+${engine.format(table, row)}\n`);
    }
  };
  if (!engine.initialChanges.empty) print(engine.initialChanges, 0);
  feed(engine, options.words.slice(1), print);
  return EXIT.ok;
}

async function explainCommand(options: Options, io: CommandIo): Promise<number> {
  const engine = await makeEngine(options);
  const text = options.words.at(-1)!;
  // Files of rows are easily given without a row to ask for.
  if (options.words.length < 2 || !text.includes('('))
    throw badOption('weft nlog explain needs a row at its end: "table(value, _, ...)"');
  const report = new Report();
  const asked = parsePattern({ name: 'pattern', text }, engine.program, report);
  report.throwIfFailed();
  feed(engine, options.words.slice(1, -1), () => {});
  const { table, pattern } = asked!;
  const rows = engine.rows(table, pattern);
  if (rows.length === 0) {
    const why = whyNot(engine, table, pattern);
    io.out(options.json ? `${toJson(why)}\n` : `${formatWhyNot(why)}\n`);
    return EXIT.failed;
  }
  for (const row of rows) {
    const why = explain(engine, table, row);
    io.out(options.json ? `${toJson(why)}\n` : `${formatDerivation(why)}\n`);
  }
  return EXIT.ok;
}

async function profileCommand(options: Options, io: CommandIo): Promise<number> {
  const engine = await makeEngine(options, { clock: performance });
  feed(engine, options.words.slice(1), () => {});
  const found = profile(engine);
  io.out(options.json ? `${toJson(found)}\n` : `${formatProfile(found)}\n`);
  return EXIT.ok;
}
