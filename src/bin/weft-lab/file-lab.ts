/** Labs of files: up, test, run, and what is asked of those that are up. */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { WeftError } from '../../base/errors.ts';
import { type CommandIo, EXIT } from '../../cli/command.ts';
import { loadLabFile } from '../../lab/file/load.ts';
import type { LabPlan } from '../../lab/file/plan.ts';
import { planLab } from '../../lab/file/resolve.ts';
import { SWITCH_KINDS, type SwitchKind } from '../../lab/file/schema.ts';
import { alive, directoryOf, type LabRecord, readRecords } from '../../lab/record.ts';
import { configFileOf, WeftControl } from '../../lab/run/control.ts';
import { LabRun } from '../../lab/run/lab-run.ts';
import { askLab, type LabRequest, serveLab } from '../../lab/run/remote.ts';
import { withLab } from './stay.ts';

/** What the command line says about a lab of a file. */
export interface FileLabOptions {
  readonly file: string;
  readonly kind: SwitchKind | undefined;
  readonly ours: 'kernel' | 'userspace' | undefined;
}

export function switchKind(text: string): SwitchKind {
  const kind = SWITCH_KINDS.find((k) => k === text);
  if (kind === undefined)
    throw new WeftError('bad-option', `--switch ${text}: not a kind of switch`, {
      remedy: `use ${SWITCH_KINDS.join(', ')}`,
    });
  return kind;
}

const planOf = async ({ file, kind, ours }: FileLabOptions): Promise<LabPlan> =>
  planLab(await loadLabFile(file), { uuid: randomUUID, kind, ours });

/** How much is shown of a lab. */
export interface Course {
  /** Try who reaches whom; move machines; kill the controller. */
  readonly prove: boolean;
  readonly story: boolean;
  /** Stay up until a signal. */
  readonly stay: boolean;
}

/** Runs a lab of a file from its beginning to its end. `ready` is called when it stays up. */
export async function runFileLab(
  options: FileLabOptions,
  course: Course,
  io: CommandIo,
  ready: () => void = () => {},
): Promise<number> {
  const plan = await planOf(options);
  return withLab(io, async ({ lab, services, report, signalled }) => {
    const started = performance.now();
    const control = new WeftControl(lab, services);
    const run = new LabRun({ lab, services, plan, control, report });
    try {
      await run.up();
      if (course.prove) await run.prove('Who reaches whom');
      if (course.story) await run.story();
      const ok = !course.prove || run.verdict(performance.now() - started);
      if (course.stay) {
        const server = await serveLab(run, lab.dir);
        run.whereToGo();
        ready();
        await signalled;
        server.close();
      }
      return ok;
    } finally {
      run.close();
    }
  });
}

/** Starts this very command as a process of its own, and returns when its lab stands. */
export async function detached(args: readonly string[], io: CommandIo): Promise<number> {
  const child: ChildProcess = spawn(
    process.execPath,
    [...process.execArgv, process.argv[1], 'lab', ...args],
    { detached: true, stdio: ['ignore', 'pipe', 'pipe', 'ipc'] },
  );
  child.stdout!.on('data', (text: Buffer) => io.out(text.toString()));
  child.stderr!.on('data', (text: Buffer) => io.err(text.toString()));
  const code = await new Promise<number>((resolve) => {
    child.on('message', () => resolve(EXIT.ok));
    child.on('exit', (status) => resolve(status ?? EXIT.failed));
  });
  // Its last words before it stands are on their way.
  await sleep(50);
  child.stdout!.destroy();
  child.stderr!.destroy();
  if (child.connected) child.disconnect();
  child.unref();
  return code;
}

function lastLab(): LabRecord {
  const record = readRecords().findLast(({ owner }) => alive(owner));
  if (record === undefined)
    throw new WeftError('no-lab', 'no lab is running', { remedy: 'start one: weft lab up FILE' });
  return record;
}

/** Has the lab that was started last do something. */
export const askLastLab = (request: LabRequest, io: CommandIo): Promise<number> =>
  askLab(directoryOf(lastLab().id), request, { write: (text) => io.out(text) });

/** What a shell must be told for `weft net` to find the API of the lab that was started last. */
export function printEnvironment(io: CommandIo): number {
  const file = configFileOf(directoryOf(lastLab().id));
  if (!existsSync(file))
    throw new WeftError('no-lab', 'the lab that was started last has no controller', {
      remedy: 'start one that has: weft lab up FILE',
    });
  io.out(`export WEFT_CONFIG=${file}\n`);
  return EXIT.ok;
}

const DOWN_MS = 30_000;

/** Ends the lab that was started last, and waits until it is gone. */
export async function takeDown(io: CommandIo): Promise<number> {
  const { id, owner } = lastLab();
  process.kill(owner.pid, 'SIGTERM');
  const until = performance.now() + DOWN_MS;
  while (alive(owner)) {
    if (performance.now() > until)
      throw new WeftError('lab-timeout', `${id} is not down after ${DOWN_MS / 1000} s`, {
        remedy: `kill process ${owner.pid}, then run "weft lab clean"`,
      });
    await sleep(50);
  }
  io.out(`${id}: taken down\n`);
  return EXIT.ok;
}
