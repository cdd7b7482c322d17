import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { WeftError } from '../../base/errors.ts';
import { alive, directoryOf, readRecords } from '../../lab/record.ts';
import { inNetns } from '../../sys/netns.ts';

const NOT_FOUND = 127;
const SIGNAL_BASE = 128;

/** `weft lab exec NAME COMMAND...`: in the lab that was started last; its exit code is the command's. */
export async function runInside([name, command, ...args]: readonly string[]): Promise<number> {
  if (name === undefined || command === undefined) {
    throw new WeftError('bad-option', 'exec takes the name of a namespace and a command', {
      remedy: 'for example: weft lab exec vm1 ping 10.0.0.2',
    });
  }
  const record = readRecords().findLast(({ owner }) => alive(owner));
  if (record === undefined) {
    throw new WeftError('no-lab', 'no lab is running', { remedy: 'start one: weft lab demo' });
  }
  const namespace = `${record.id}-${name}`;
  if (!record.namespaces.includes(namespace)) {
    const names = record.namespaces.map((n) => n.slice(record.id.length + 1)).join(', ');
    throw new WeftError('no-lab-host', `${name}: not in lab ${record.id}`, { remedy: `it has ${names}` });
  }
  // A host's switch is in a directory of its own; guests have none.
  const dir = join(directoryOf(record.id), name);
  const env = { ...process.env, OVS_RUNDIR: dir, OVS_LOGDIR: dir, OVS_DBDIR: dir, OVS_SYSCONFDIR: dir };
  // The command gets the signals of the terminal by itself; we wait for its end.
  const ignore = (): void => {};
  for (const signal of ['SIGINT', 'SIGQUIT'] as const) process.on(signal, ignore);
  const child = inNetns(namespace, () => spawn(command, args, { stdio: 'inherit', env }));
  return new Promise((resolve) => {
    child.on('error', (error) => {
      process.stderr.write(`weft lab exec: ${command}: ${error.message}\n`);
      resolve(NOT_FOUND);
    });
    child.on('exit', (code) => resolve(code ?? SIGNAL_BASE));
  });
}
