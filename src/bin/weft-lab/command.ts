/** `weft lab`: hosts and networks on this one machine. */
import { WeftError } from '../../base/errors.ts';
import { type CommandIo, EXIT } from '../../cli/command.ts';
import { removeLeftOvers } from '../../datapath/kernel/pin-directory.ts';
import { runDemo } from '../../lab/demo.ts';
import { alive, cleanUp, directoryOf, readRecords } from '../../lab/record.ts';
import type { DatapathType } from '../../lab/switch-database.ts';
import { BPF_FS } from '../../sys/bpf-fs.ts';
import { type OptionSpec, parseArguments } from '../daemon/options.ts';
import { runInside } from './exec.ts';
import {
  askLastLab,
  detached,
  type FileLabOptions,
  printEnvironment,
  runFileLab,
  switchKind,
  takeDown,
} from './file-lab.ts';
import { withLab } from './stay.ts';

const USAGE = `usage: weft lab run FILE [--once] [--switch KIND] [--datapath TYPE]
       weft lab up FILE [--detach] [--switch KIND] [--datapath TYPE]
       weft lab test [FILE]
       weft lab env
       weft lab move VM HOST
       weft lab shell VM
       weft lab exec NAME COMMAND [ARGUMENT...]
       weft lab down
       weft lab list
       weft lab clean
       weft lab demo [--once] [--datapath TYPE]

  run     build the lab of a file: hosts with a switch each, a controller, the networks of tenants, machines. Prove who
          reaches whom, move machines under traffic, kill the controller; then stay up until Ctrl-C, or with --once
          take it down. Exit code 0: every expectation held
  up      the same without proofs; with --detach in the background
  test    prove who reaches whom: in the lab that is up, or in that of a file, which is taken down afterwards
  env     print what has "weft net" find the API of the lab that is up: eval "$(weft lab env)"
  move    have a machine of the lab that is up go to another host
  shell   a shell in a machine or host; exec: any command
  down    take down the lab that was started last
  list    list the labs of this machine
  clean   remove what killed labs have left behind (every new lab does so, too)
  demo    two hosts with plain switches and no controller: VLANs, tunnels, trunks

KIND is the switch of all hosts instead of the file's: "kernel" or "userspace" (ours), or "stock" (Open vSwitch's own
daemons, which must be installed). TYPE is "system" (forward in the kernel where that can be) or "netdev" (in user space).
docs/lab.md describes lab files. Labs take root. They are made of network namespaces, and touch nothing of the machine's own
network.
`;

/** Whether the user may make labs; says what to do if not. */
function mayBuild(io: CommandIo): boolean {
  if (process.geteuid?.() === 0) return true;
  io.err('weft lab: a lab is made of network namespaces, and making them takes root\n');
  io.err(
    'weft lab: run it as root ("sudo npm start"), or in a privileged container; "weft doctor" says more\n',
  );
  return false;
}

const demo = (once: boolean, datapathType: DatapathType, io: CommandIo): Promise<number> =>
  withLab(io, ({ lab, services, report, signalled }) =>
    runDemo({ lab, services, datapathType, report, ...(once ? {} : { stay: () => signalled }) }),
  );

function list(io: CommandIo): number {
  const records = readRecords();
  if (records.length === 0) io.out('There is no lab.\n');
  for (const record of records) {
    const state = alive(record.owner)
      ? `run by process ${record.owner.pid}`
      : 'left behind; "weft lab clean"';
    const names = record.namespaces.map((n) => n.slice(record.id.length + 1)).join(' ');
    io.out(`${record.id}  ${state}  ${names}  ${directoryOf(record.id)}\n`);
  }
  return EXIT.ok;
}

/** `--datapath TYPE`, for hosts whose switch is ours. */
function datapathType(given: string | undefined): DatapathType | undefined {
  if (given === undefined || given === 'system' || given === 'netdev') return given;
  throw new WeftError('bad-option', `--datapath ${given}: not a type of datapath of this lab`, {
    remedy: 'use system or netdev',
  });
}

const OPTIONS: readonly OptionSpec[] = [
  { name: 'once', value: 'none', help: 'take the lab down at the end' },
  { name: 'detach', value: 'none', help: 'go on in the background when the lab stands' },
  { name: 'datapath', value: 'required', valueName: 'TYPE', help: 'system or netdev' },
  { name: 'switch', value: 'required', valueName: 'KIND', help: 'kernel, userspace or stock' },
  { name: 'help', short: 'h', value: 'none', help: 'print the usage' },
];

/** Words that a command takes behind its name. */
const WORDS: Readonly<Record<string, readonly [number, number]>> = {
  demo: [0, 0],
  run: [1, 1],
  up: [1, 1],
  test: [0, 1],
  env: [0, 0],
  move: [2, 2],
  down: [0, 0],
  list: [0, 0],
  clean: [0, 0],
};

export async function run(args: readonly string[], io: CommandIo): Promise<number> {
  const [first, ...rest] = args;
  // What comes behind these is the business of the command that they run.
  if (first === 'exec' && rest[0] !== '--help') return mayBuild(io) ? runInside(rest) : EXIT.usage;
  const { options, positional } = parseArguments(args, OPTIONS);
  const value = (name: string): string | undefined => options.findLast((o) => o.name === name)?.value;
  const given = new Set(options.map((o) => o.name));
  if (given.has('help')) {
    io.out(USAGE);
    return EXIT.ok;
  }
  const [command = '', ...words] = positional;
  if (command === 'shell' && words.length === 1)
    return mayBuild(io) ? runInside([words[0], process.env.SHELL ?? 'sh']) : EXIT.usage;
  const bounds = Object.hasOwn(WORDS, command) ? WORDS[command] : undefined;
  if (bounds === undefined || words.length < bounds[0] || words.length > bounds[1]) {
    io.err(USAGE);
    return EXIT.usage;
  }
  if (command === 'list') return list(io);
  const type = datapathType(value('datapath'));
  const kind = value('switch') === undefined ? undefined : switchKind(value('switch') ?? '');
  if (!mayBuild(io)) return EXIT.usage;
  const once = given.has('once');
  const ours = type === undefined ? undefined : type === 'netdev' ? 'userspace' : 'kernel';
  const file: FileLabOptions = { file: words[0], kind, ours };
  if (command === 'demo') return demo(once, type ?? 'system', io);
  if (command === 'env') return printEnvironment(io);
  if (command === 'down') return takeDown(io);
  if (command === 'move') return askLastLab({ command, machine: words[0], to: words[1] }, io);
  if (command === 'clean') {
    for (const what of [...cleanUp(), ...removeLeftOvers(BPF_FS)]) io.out(`${what}: removed\n`);
    return EXIT.ok;
  }
  if (command === 'test')
    return words.length === 0
      ? askLastLab({ command }, io)
      : runFileLab(file, { prove: true, story: false, stay: false }, io);
  if (given.has('detach'))
    return detached(
      args.filter((word) => word !== '--detach'),
      io,
    );
  const all = command === 'run';
  const ready = (): void => {
    // Who started this in the background waits for the word.
    process.send?.('ready');
  };
  return runFileLab(file, { prove: all, story: all, stay: !once }, io, ready);
}
