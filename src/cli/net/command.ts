/** `weft net`: tenants' networks, through the API of the controller. Add a command by adding a row. */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline/promises';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { KIND_NAMES, KINDS, type KindName } from '../../api-schema/kinds.ts';
import { WeftError } from '../../base/errors.ts';
import { type CommandIo, EXIT, nearest } from '../command.ts';
import { apply } from './apply.ts';
import { parseNet, type Wanted } from './arguments.ts';
import { ApiError } from './client.ts';
import { type CompletedCommand, complete, completion } from './complete.ts';
import { NetContext, type NetWorld } from './context.ts';
import { trace, why } from './diagnose.ts';
import { formOf, kindOf, optionsOf } from './kind-options.ts';
import { create, list, remove, set, show } from './objects.ts';
import { status } from './status.ts';
import { token } from './tokens.ts';
import { watch } from './watch.ts';

interface NetCommand extends CompletedCommand {
  /** Behind the name, for help. */
  readonly usage: string;
  readonly summary: string;
  readonly run: (context: NetContext, kind: KindName) => Promise<number>;
}

/** As shells have it of a program that SIGINT ended. */
const INTERRUPTED = 130;

const WAIT: Wanted = { flags: ['wait'] };

export const NET_COMMANDS: readonly NetCommand[] = [
  {
    name: 'create',
    usage: 'KIND [NAME] [--MEMBER VALUE]... [--wait]',
    summary: 'make an object',
    ofKind: true,
    wanted: WAIT,
    run: create,
  },
  {
    name: 'list',
    usage: 'KIND [--MEMBER VALUE]... [--filter MEMBER=VALUE]...',
    summary: 'list the objects of a kind',
    ofKind: true,
    wanted: { values: ['filter'] },
    run: list,
  },
  {
    name: 'show',
    usage: 'KIND NAME [--wait]',
    summary: 'show an object, and whether it is live',
    ofKind: true,
    wanted: WAIT,
    names: 'kind',
    run: show,
  },
  {
    name: 'set',
    usage: 'KIND NAME [--MEMBER VALUE]... [--unset MEMBER]... [--wait]',
    summary: 'change members of an object',
    ofKind: true,
    wanted: { flags: ['wait'], values: ['unset'] },
    names: 'kind',
    run: set,
  },
  {
    name: 'delete',
    usage: 'KIND NAME... [--cascade] [--wait]',
    summary: 'delete objects, with --cascade also what lives in them',
    ofKind: true,
    wanted: { flags: ['wait', 'cascade'] },
    names: 'kind',
    run: remove,
  },
  {
    name: 'apply',
    usage: '-f FILE [--dry-run] [--yes] [--prune] [--wait]',
    summary: 'bring about what a file says, after showing what that changes',
    wanted: { values: ['file'], flags: ['dry-run', 'yes', 'prune', 'wait'] },
    run: apply,
  },
  {
    name: 'status',
    usage: '',
    summary: 'show hosts, and what is not live',
    run: status,
  },
  {
    name: 'trace',
    usage: "PORT PORT ['FLOW'] [--verbose]",
    summary: 'follow a packet from one port to another, over all hosts',
    wanted: { flags: ['verbose'] },
    names: 'logical-port',
    run: trace,
  },
  {
    name: 'why',
    usage: "KIND NAME | --node HOST 'FLOW'",
    summary: 'say what an object has become, or where a flow of a host comes from',
    wanted: { values: ['node'] },
    run: why,
  },
  {
    name: 'watch',
    usage: '[--kind KIND]... [--since REVISION] [--count N]',
    summary: 'show changes as they are made',
    wanted: { values: ['kind', 'since', 'count'] },
    run: watch,
  },
  {
    name: 'token',
    usage: 'make (--tenant NAME | --node SYSTEM-ID | --operator) [--description TEXT] | list | revoke ID...',
    summary: 'make, list and revoke tokens',
    wanted: { values: ['node', 'description'], flags: ['operator'] },
    run: token,
  },
  {
    name: 'completion',
    usage: 'bash | zsh | fish',
    summary: 'print what has a shell complete words of "weft net"',
    run: completion,
  },
];

const COMMON_HELP = `Options of every command:
  --api URL        the controller's API; else WEFT_API, else the file, else http://127.0.0.1:6680
  --token TOKEN    who you are; @FILE reads it from a file; else WEFT_TOKEN, else the file
  --ca PEM         the authority of the API's certificate; @FILE reads it from a file; else WEFT_CA, else the file
  --tenant TENANT  look up names among this tenant's objects; make objects of this tenant
  --timeout S      seconds to wait at most, default 30
  --json           print JSON
The file is ~/.config/weft/config.yaml, or what WEFT_CONFIG names: "api: URL", "token: TOKEN", "ca: PEM".
Objects are named by name, by a path of names such as red/web/vm1, or by UUID.
`;

function usage(): string {
  const width = Math.max(...NET_COMMANDS.map((c) => c.name.length));
  return (
    'usage: weft net COMMAND [ARGUMENTS...]\n\nCommands:\n' +
    NET_COMMANDS.map((c) => `  ${c.name.padEnd(width)}  ${c.summary}\n`).join('') +
    `\nKinds: ${KIND_NAMES.join(', ')}\n\n${COMMON_HELP}\n"weft net COMMAND --help" tells more about a command.\n`
  );
}

function commandHelp(command: NetCommand, kind: KindName | undefined): string {
  const head = `usage: weft net ${command.name} ${command.usage}\n\n${command.summary}\n\n`;
  if (command.ofKind !== true) return head + COMMON_HELP;
  if (kind === undefined)
    return `${head}Kinds: ${KIND_NAMES.join(', ')}\n"weft net ${command.name} KIND --help" lists the members of a kind.\n\n${COMMON_HELP}`;
  const rows = optionsOf(kind).map((option): [string, string] => {
    const form = option.reference === undefined ? formOf(option.node) : 'NAME';
    const flag =
      option.node.type === 'boolean'
        ? `--[no-]${option.flag}`
        : `--${option.singular ?? option.flag} ${form}`;
    return [
      flag,
      option.reference === undefined ? (option.node.description ?? '') : KINDS[option.reference].title,
    ];
  });
  const width = Math.min(40, Math.max(...rows.map(([flag]) => flag.length)));
  const members = rows.map(([flag, text]) => `  ${flag.padEnd(width)}  ${text}`.trimEnd()).join('\n');
  return `${head}Members of a ${KINDS[kind].title}:\n${members}\n\n${COMMON_HELP}`;
}

export async function runNet(args: readonly string[], world: NetWorld): Promise<number> {
  const { io } = world;
  const [name, ...rest] = args;
  if (name === '--help' || name === '-h' || name === 'help') {
    io.out(usage());
    return EXIT.ok;
  }
  if (name === undefined) {
    io.err(usage());
    return EXIT.usage;
  }
  try {
    if (name === 'complete') {
      // Asked by a shell while somebody types: within a second, or not at all.
      const parsed = parseNet(['--timeout', '1', ...rest], {});
      return await complete(new NetContext(world, parsed), NET_COMMANDS);
    }
    const command = NET_COMMANDS.find((c) => c.name === name);
    if (command === undefined) {
      const near = nearest(
        name,
        NET_COMMANDS.map((c) => c.name),
      );
      throw new WeftError('bad-option', `there is no command "${name}"`, {
        remedy: near === undefined ? '"weft net --help" lists the commands' : `did you mean "${near}"?`,
      });
    }
    return await runCommand(command, rest, world);
  } catch (error) {
    if (world.ended.aborted && !(error instanceof WeftError)) return INTERRUPTED;
    if (!args.includes('--json') || !(error instanceof WeftError)) throw error;
    const { code, message, remedy } = error;
    io.err(
      `${JSON.stringify(error instanceof ApiError ? error.problem : { code, detail: message, remedy }, null, 2)}\n`,
    );
    return code === 'bad-option' ? EXIT.usage : EXIT.failed;
  }
}

async function runCommand(command: NetCommand, args: readonly string[], world: NetWorld): Promise<number> {
  const help = args.some((arg) => arg === '--help' || arg === '-h');
  const { ofKind = false, wanted = {}, run } = command;
  const named = args[0] !== undefined && !args[0].startsWith('-');
  const kind = ofKind && (named || !help) ? kindOf(named ? args[0] : undefined) : undefined;
  if (help) {
    world.io.out(commandHelp(command, kind));
    return EXIT.ok;
  }
  const words = ofKind ? args.slice(1) : args;
  const parsed = parseNet(words, kind === undefined ? wanted : { ...wanted, kind });
  return run(new NetContext(world, parsed), kind ?? 'tenant');
}

/** The world of a process. */
export function processWorld(io: CommandIo): NetWorld {
  const ended = new AbortController();
  process.once('SIGINT', () => ended.abort());
  return {
    io,
    env: process.env,
    readFile: (path) => readFileSync(path === '-' ? 0 : path, 'utf8'),
    fetch,
    trust: (ca) => setDefaultCACertificates([...getCACertificates('default'), ca]),
    newId: randomUUID,
    async confirm(question) {
      if (!process.stdin.isTTY || !process.stderr.isTTY) return undefined;
      const terminal = createInterface({ input: process.stdin, output: process.stderr });
      try {
        return /^y(es)?$/i.test(
          (await terminal.question(`${question} [y/N] `, { signal: ended.signal })).trim(),
        );
      } finally {
        terminal.close();
      }
    },
    ended: ended.signal,
  };
}

export async function run(args: readonly string[], io: CommandIo): Promise<number> {
  return runNet(args, processWorld(io));
}
