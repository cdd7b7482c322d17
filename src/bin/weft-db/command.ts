/** `weft db`: databases as people read them. */
import { randomUUID } from 'node:crypto';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../../base/clock.ts';
import { WeftError } from '../../base/errors.ts';
import { nullLogger } from '../../base/log.ts';
import { type CommandIo, EXIT, nearest } from '../../cli/command.ts';
import { diff, log } from '../../cli/db/history.ts';
import { list, show } from '../../cli/db/list.ts';
import type { Context, Options, Source } from '../../cli/db/source.ts';
import { watch } from '../../cli/db/watch.ts';
import { directories } from '../daemon/dirs.ts';
import { type GivenOption, type OptionSpec, parseArguments } from '../daemon/options.ts';
import { SocketTransports } from '../ovsdb/socket.ts';
import { TLS_OPTIONS, tlsNamesFrom } from '../tls/options.ts';
import { ReadOnlyFile } from './read-only-file.ts';

const USAGE = `usage: weft db show
       weft db list [TABLE [ROW...]]
       weft db watch [TABLE...]
       weft db diff FILE MOMENT [MOMENT]
       weft db log FILE

show   the tree that the references of a database make
list   the tables; the rows of one; or all that some rows hold
watch  changes as they come, until Ctrl-C
diff   what differs between two moments of a database file; the second is the end if it is left out
log    the records of a database file

TABLE   a table's name, in any case, or how it begins
ROW     a row's name, or the first letters (four or more) of its uuid
MOMENT  a record's number, a time ("2026-11-28 17:30", "17:30"), how long ago ("90s", "5m", "2h", "1d"), start or end

--db=WHERE          a server (unix:FILE, tcp:HOST:PORT, ssl:HOST:PORT) or a database file; by default the server at
                    $OVS_RUNDIR/db.sock
--database=NAME     which of the server's databases; by default Open_vSwitch, or the only one
--columns=A,B,...   these columns, rather than those that matter
--all               all columns
--wide              cut nothing
--count=N           watch: end after N updates
--initial           watch: first tell what there is
--timeout=SECONDS   how long a server may take to answer (10)
--json              one JSON object a line
-p, -c, -C FILE     private key, certificate and CA certificate for ssl:

Servers and files may be Open vSwitch's own. Nothing is ever written.
`;

const COMMANDS = ['show', 'list', 'watch', 'diff', 'log'] as const;

const OPTIONS: readonly OptionSpec[] = [
  { name: 'db', value: 'required', help: 'server or file' },
  { name: 'database', value: 'required', help: "which of the server's databases" },
  { name: 'columns', value: 'required', help: 'which columns' },
  { name: 'all', value: 'none', help: 'all columns' },
  { name: 'wide', value: 'none', help: 'cut nothing' },
  { name: 'count', value: 'required', help: 'end after so many updates' },
  { name: 'initial', value: 'none', help: 'first tell what there is' },
  { name: 'timeout', value: 'required', help: 'seconds for an answer' },
  { name: 'json', value: 'none', help: 'one JSON object a line' },
  { name: 'help', short: 'h', value: 'none', help: 'print the usage' },
  ...TLS_OPTIONS,
];

/** Unlike a daemon's, its cancelled timers do not keep the process from ending. */
class CommandClock implements Clock {
  now(): number {
    return performance.now();
  }

  wall(): number {
    return Date.now();
  }

  after(ms: number, fn: () => void): { cancel(): void } {
    const timer = setTimeout(fn, ms);
    return { cancel: () => clearTimeout(timer) };
  }
}

const DEFAULT_TIMEOUT_S = 10;
const MOST_SECONDS = 86_400;

const bad = (message: string): WeftError =>
  new WeftError('bad-option', message, { remedy: '"weft db --help" shows the usage' });

type Value = (name: string) => string | undefined;

function positive(value: Value, name: string, most: number): number | undefined {
  const text = value(name);
  if (text === undefined) return undefined;
  const number = Number(text);
  if (!(number > 0 && number <= most)) throw bad(`--${name}=${text}: not a number from 1 to ${most}`);
  return number;
}

function readOptions(given: readonly GivenOption[], value: Value): Options {
  const has = (name: string): boolean => given.some((option) => option.name === name);
  return {
    json: has('json'),
    wide: has('wide'),
    columns: {
      names: value('columns')
        ?.split(',')
        .filter((name) => name !== ''),
      all: has('all'),
    },
    database: value('database'),
    patience: (positive(value, 'timeout', MOST_SECONDS) ?? DEFAULT_TIMEOUT_S) * 1000,
    count: positive(value, 'count', Number.MAX_SAFE_INTEGER) ?? Number.POSITIVE_INFINITY,
    initial: has('initial'),
    colour: process.stdout.isTTY === true && !process.env.NO_COLOR,
  };
}

/** A server or a file, by the form of its name. */
function sourceOf(where: string | undefined, value: Value): Source {
  const { run: runDir } = directories(process.env);
  const transports = new SocketTransports(runDir, nullLogger.module('db'), () => tlsNamesFrom(value));
  const target = where ?? `unix:${join(runDir, 'db.sock')}`;
  const kind = transports.kind(target);
  if (kind === 'active') return { kind: 'server', connector: transports.connector(target) };
  if (kind === 'passive')
    throw new WeftError('bad-remote', `${target}: that is where a server listens`, {
      remedy: `connect to it with ${target.slice(1)}`,
    });
  if (statSync(target, { throwIfNoEntry: false })?.isSocket())
    return { kind: 'server', connector: transports.connector(`unix:${target}`) };
  return { kind: 'file', access: new ReadOnlyFile(target) };
}

/** A pipe whose reader has gone ends the program in peace. */
function endWithReader(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(EXIT.ok);
    throw error;
  });
}

async function dispatch(
  name: (typeof COMMANDS)[number],
  words: readonly string[],
  context: Context,
  value: Value,
): Promise<number> {
  if (name === 'diff' || name === 'log') {
    const file = value('db') ?? words[0];
    const rest = value('db') === undefined ? words.slice(1) : words;
    if (file === undefined || (name === 'log' && rest.length > 0))
      throw bad(`weft db ${name} takes a database file`);
    const access = new ReadOnlyFile(file);
    try {
      return name === 'diff' ? diff(access, rest, context) : log(access, context);
    } finally {
      access.close();
    }
  }
  if (name === 'show' && words.length > 0)
    throw bad(`weft db show takes no more words, but got "${words[0]}"`);
  const source = sourceOf(value('db'), value);
  try {
    if (name === 'show') return await show(source, context);
    return await (name === 'list' ? list(source, words, context) : watch(source, words, context));
  } finally {
    if (source.kind === 'file') source.access.close();
  }
}

export async function run(args: readonly string[], io: CommandIo): Promise<number> {
  const { options: given, positional } = parseArguments(args, OPTIONS);
  if (given.some((option) => option.name === 'help')) {
    io.out(USAGE);
    return EXIT.ok;
  }
  const [word, ...words] = positional;
  const name = COMMANDS.find((command) => command === word);
  if (word === undefined) {
    io.err(USAGE);
    return EXIT.usage;
  }
  if (name === undefined) {
    const near = nearest(word, COMMANDS);
    const hint = near === undefined ? `there are ${COMMANDS.join(', ')}` : `did you mean "${near}"?`;
    throw bad(`no command "${word}"; ${hint}`);
  }
  const value: Value = (option) => given.findLast((o) => o.name === option)?.value;
  endWithReader();
  const interrupted = new Promise<void>((resolve) => {
    if (name === 'watch') for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, resolve);
  });
  const context: Context = {
    io,
    clock: new CommandClock(),
    newUuid: randomUUID,
    options: readOptions(given, value),
    interrupted,
  };
  return dispatch(name, words, context, value);
}
