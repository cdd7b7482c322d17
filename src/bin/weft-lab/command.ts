/** `weft lab`: hosts and networks on this one machine. */
import { WeftError } from '../../base/errors.ts';
import { nullLogger } from '../../base/log.ts';
import { type CommandIo, EXIT } from '../../cli/command.ts';
import { removeLeftOvers } from '../../datapath/kernel/pin-directory.ts';
import { runDemo } from '../../lab/demo.ts';
import { Lab } from '../../lab/lab.ts';
import { alive, cleanUp, directoryOf, readRecords } from '../../lab/record.ts';
import type { DatapathType } from '../../lab/switch-database.ts';
import type { LabServices } from '../../lab/switch-process.ts';
import { BPF_FS } from '../../sys/bpf-fs.ts';
import { DaemonClock } from '../daemon/clock.ts';
import { parseArguments } from '../daemon/options.ts';
import { SocketTransports } from '../ovsdb/socket.ts';
import { runInside } from './exec.ts';

const USAGE = `usage: weft lab demo [--once] [--datapath TYPE]
       weft lab exec NAME COMMAND [ARGUMENT...]
       weft lab list
       weft lab clean

  demo    build two hosts with virtual machines of two networks that reach over both by tunnels, prove who may
          talk to whom, and stay up until Ctrl-C; with --once, take it down instead. TYPE is "system" (forward in
          the kernel where that can be; the default) or "netdev" (in user space). Exit code 0: every expectation held
  exec    run a command in a namespace of the running lab: host1, host2, vm1 ... vm4, trunk
  list    list the labs of this machine
  clean   remove what killed labs have left behind (every demo does so, too)

Labs take root. They are made of network namespaces, and touch nothing of the machine's own network.
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

function services(lab: Lab): LabServices {
  const transports = new SocketTransports(lab.dir, nullLogger.module('lab'));
  return {
    clock: new DaemonClock(),
    weft: [process.execPath, ...process.execArgv, process.argv[1]],
    connector: (target) => transports.connector(target),
  };
}

async function demo(once: boolean, datapathType: DatapathType, io: CommandIo): Promise<number> {
  const cleaned = cleanUp();
  if (cleaned.length > 0) io.out(`Cleaned up after ${cleaned.join(', ')}.\n`);
  const lab = new Lab();
  let interrupt: () => void = () => {};
  let interrupted = false;
  const signalled = new Promise<void>((resolve) => {
    interrupt = resolve;
  });
  const onSignal = (): void => {
    interrupted = true;
    interrupt();
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, onSignal);
  const lastResort = (): void => lab.closeNow();
  process.on('exit', lastResort);
  try {
    const work = runDemo({
      lab,
      services: services(lab),
      datapathType,
      report: { write: (text) => void (interrupted || io.out(text)) },
      ...(once ? {} : { stay: () => signalled }),
    });
    // Taken down under its hands, the demonstration fails somewhere: nobody is interested where.
    work.catch(() => {});
    const ok = await Promise.race([work, signalled.then(() => undefined)]);
    if (interrupted) io.out('\nTaking the lab down.\n');
    if (ok === undefined && !interrupted) return EXIT.failed;
    return (ok ?? (await finished(work))) ? EXIT.ok : EXIT.failed;
  } finally {
    await lab.close();
    for (const signal of signals) process.removeListener(signal, onSignal);
    process.removeListener('exit', lastResort);
  }
}

/** What the demonstration found, if it had come to its end when it was interrupted. */
function finished(work: Promise<boolean>): Promise<boolean> {
  const notYet = new Promise<boolean>((resolve) => setTimeout(() => resolve(false), 50));
  return Promise.race([work.catch(() => false), notYet]);
}

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

export async function run(args: readonly string[], io: CommandIo): Promise<number> {
  const [command, ...rest] = args;
  if (command === 'exec' && rest[0] !== '--help') {
    return mayBuild(io) ? runInside(rest) : EXIT.usage;
  }
  const { options, positional } = parseArguments(args, [
    { name: 'once', value: 'none', help: 'take the lab down at the end' },
    { name: 'datapath', value: 'required', valueName: 'TYPE', help: 'system or netdev' },
    { name: 'help', short: 'h', value: 'none', help: 'print the usage' },
  ]);
  const given = new Set(options.map((o) => o.name));
  if (given.has('help')) {
    io.out(USAGE);
    return EXIT.ok;
  }
  if (positional.length === 1) {
    if (positional[0] === 'list') return list(io);
    if (positional[0] === 'demo') {
      const type = options.findLast((o) => o.name === 'datapath')?.value ?? 'system';
      if (type !== 'system' && type !== 'netdev')
        throw new WeftError('bad-option', `--datapath ${type}: not a type of datapath of this lab`, {
          remedy: 'use system or netdev',
        });
      return mayBuild(io) ? demo(given.has('once'), type, io) : EXIT.usage;
    }
    if (positional[0] === 'clean') {
      if (!mayBuild(io)) return EXIT.usage;
      for (const what of [...cleanUp(), ...removeLeftOvers(BPF_FS)]) io.out(`${what}: removed\n`);
      return EXIT.ok;
    }
  }
  io.err(USAGE);
  return EXIT.usage;
}
