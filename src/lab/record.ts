/**
 * What a lab has made, written down before it is made, so that the next lab can clean up after one that was
 * killed: its namespaces by name, its processes by number and start time. Nothing that is not written
 * down here is ever touched, but what is pinned for one of these namespaces.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { removePinsOf } from '../datapath/kernel/pin-directory.ts';
import { BPF_FS } from '../sys/bpf-fs.ts';
import { namespaceNumber, removeNetns } from '../sys/netns.ts';

/** A process; a number alone may belong to another one by now. */
export interface ProcessId {
  readonly pid: number;
  /** When it started, in ticks since the machine did (proc(5), /proc/PID/stat field 22). */
  readonly started: string;
}

/** The content of a lab's `lab.json`. */
export interface LabRecord {
  /** Prefix of all names: "weft" and a random part. */
  readonly id: string;
  readonly owner: ProcessId;
  /** Names of network namespaces. */
  readonly namespaces: string[];
  readonly processes: ProcessId[];
}

/** Where labs are kept; WEFT_LAB_DIR keeps some apart from the machine's others. */
export const LAB_DIRECTORY = process.env.WEFT_LAB_DIR ?? '/run/weft/lab';
const FILE = 'lab.json';

/** Identifies a running process; undefined if there is none of that number (or only its remains). */
export function identify(pid: number): ProcessId | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return undefined;
  }
  // The second field is the name in parentheses, and may hold anything.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const state = fields[0];
  const started = fields[19];
  return state === 'Z' || state === 'X' || started === undefined ? undefined : { pid, started };
}

/** Whether that very process still runs. */
export function alive({ pid, started }: ProcessId): boolean {
  return identify(pid)?.started === started;
}

const pause = (ms: number): void => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
};

/** Kills processes and waits until they are gone, for three seconds at most. */
export function killAll(processes: readonly ProcessId[]): void {
  const living = processes.filter(alive);
  for (const { pid } of living) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It ended by itself just now.
    }
  }
  for (let tries = 0; tries < 300 && living.some(alive); tries++) pause(10);
}

export function directoryOf(id: string, labs = LAB_DIRECTORY): string {
  return join(labs, id);
}

export function writeRecord(record: LabRecord, labs = LAB_DIRECTORY): void {
  const dir = directoryOf(record.id, labs);
  mkdirSync(dir, { recursive: true, mode: 0o755 });
  const temporary = join(dir, `${FILE}.tmp`);
  writeFileSync(temporary, `${JSON.stringify(record, null, 2)}\n`);
  renameSync(temporary, join(dir, FILE));
}

function isProcessId(value: unknown): value is ProcessId {
  const { pid, started } = (value ?? {}) as Partial<ProcessId>;
  return Number.isInteger(pid) && pid! > 1 && typeof started === 'string';
}

/** Reads a record; undefined for what is none, or names what a lab does not make. */
export function parseRecord(id: string, text: string): LabRecord | undefined {
  let value: Partial<LabRecord> | null;
  try {
    value = JSON.parse(text) as Partial<LabRecord> | null;
  } catch {
    return undefined;
  }
  const { owner, namespaces, processes } = value ?? {};
  const ours = (name: unknown): boolean =>
    typeof name === 'string' && name.startsWith(`${id}-`) && !name.includes('/');
  return value?.id === id &&
    /^weft[0-9a-z]+$/.test(id) &&
    isProcessId(owner) &&
    Array.isArray(namespaces) &&
    namespaces.every(ours) &&
    Array.isArray(processes) &&
    processes.every(isProcessId)
    ? { id, owner, namespaces, processes }
    : undefined;
}

/** The labs of this machine, running or not, oldest first. */
export function readRecords(labs = LAB_DIRECTORY): LabRecord[] {
  let ids: string[];
  try {
    ids = readdirSync(labs);
  } catch {
    return [];
  }
  const records = ids.flatMap((id) => {
    try {
      return parseRecord(id, readFileSync(join(labs, id, FILE), 'utf8')) ?? [];
    } catch {
      return [];
    }
  });
  return records.sort((a, b) => Number(a.owner.started) - Number(b.owner.started));
}

/** Removes all that a lab made, and what its switches left pinned. */
export function removeLab(record: LabRecord, labs = LAB_DIRECTORY, pinRoot = BPF_FS): void {
  killAll(record.processes);
  for (const name of record.namespaces) {
    const number = namespaceNumber(name);
    if (number !== null) removePinsOf(pinRoot, number);
    removeNetns(name);
  }
  rmSync(directoryOf(record.id, labs), { recursive: true, force: true });
}

/** Removes what labs left behind whose process is gone; returns their names. */
export function cleanUp(labs = LAB_DIRECTORY): string[] {
  const dead = readRecords(labs).filter(({ owner }) => !alive(owner));
  for (const record of dead) removeLab(record, labs);
  return dead.map(({ id }) => id);
}
