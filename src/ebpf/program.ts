/** Programs in the kernel: assembling, loading, running on a packet of ours, pinning. */
import { unlinkSync } from 'node:fs';
import { WeftError } from '../base/errors.ts';
import {
  BpfLoadError,
  loadProgram,
  openPinned,
  PROGRAM_TYPE,
  type ProgramDebugInfo,
  pin,
  programInfo,
  runProgram,
  type TestRunOptions,
  type TestRunResult,
} from '../sys/bpf.ts';
import { close } from '../sys/libc.ts';
import { type Assembly, assemble, type Symbols } from './assemble.ts';
import { BtfBuilder, describeProgram } from './btf.ts';
import type { Code } from './instruction.ts';
import { summarizeLog, type VerifierSummary } from './verifier-log.ts';

/** What runs the program: a device's traffic control, or its driver. */
export type ProgramKind = 'classifier' | 'xdp';
const TYPES: Readonly<Record<ProgramKind, number>> = {
  classifier: PROGRAM_TYPE.schedCls,
  xdp: PROGRAM_TYPE.xdp,
};

export interface LoadOptions {
  readonly kind: ProgramKind;
  /** The kernel keeps 15 bytes of it. */
  readonly name: string;
  readonly code: Code;
  /** What the names in `code` stand for. */
  readonly symbols?: Omit<Symbols, 'name'>;
  /**
   * Gives the kernel the names of functions and our notes: they appear in `bpftool prog dump xlated` and in the
   * verifier's log. Callbacks (bpf_loop, timers) need it. Costs one more system call. Default false.
   */
  readonly describe?: boolean;
  /** Takes the verifier's log of a program that it accepted: level 1 tells paths, 2 more, 4 sums only. */
  readonly log?: { readonly level: number; readonly take: (log: string) => void };
}

/**
 * A program that the kernel did not take. The message names our own instruction, with the notes around it and
 * the file and line that wrote it, and has the verifier's complaint; the remedy says what to do about it.
 */
export class ProgramRefused extends WeftError {
  readonly program: Assembly;
  readonly summary: VerifierSummary;
  /** All that the verifier told, as far as it fitted. */
  readonly verifierLog: string;
  /** The system call's error number. */
  readonly errno: number;

  constructor(name: string, program: Assembly, cause: BpfLoadError) {
    const summary = summarizeLog(cause.verifierLog);
    const where = summary.slot === undefined ? '' : ` at ${program.describe(summary.slot)}`;
    const state = summary.registers === '' ? '' : `; registers: ${summary.registers}`;
    const why = summary.reason === '' ? cause.message : `${summary.reason} (${cause.errnoName})${state}`;
    super('program-refused', `the kernel refused program ${name}${where}: ${why}`, {
      remedy: summary.advice !== '' ? summary.advice : adviceFor(cause, summary),
      cause,
    });
    this.name = 'ProgramRefused';
    this.program = program;
    this.summary = summary;
    this.verifierLog = cause.verifierLog;
    this.errno = cause.errno;
  }

  /** The instructions that the verifier followed last, one a line, as we wrote them. */
  trail(): string {
    return this.summary.trail.map((slot) => this.program.describe(slot)).join('\n');
  }
}

function adviceFor(cause: BpfLoadError, summary: VerifierSummary): string {
  if (summary.reason !== '') return '';
  if (cause.errnoName === 'EPERM') return 'loading programs takes root (CAP_BPF and CAP_NET_ADMIN)';
  if (cause.errnoName === 'ENOSYS') return 'the kernel lacks CONFIG_BPF_SYSCALL';
  return '';
}

/** A program in the kernel. It lives until closed, unless a link, a map or a pin holds it. */
export class Program {
  readonly fd: number;
  readonly name: string;
  /** What it was made from; undefined if it was opened from a pin. */
  readonly assembly: Assembly | undefined;
  private open = true;

  private constructor(fd: number, name: string, assembly: Assembly | undefined) {
    this.fd = fd;
    this.name = name;
    this.assembly = assembly;
  }

  /** Throws `ProgramRefused`, or `WeftError` "bad-program" if it cannot be assembled. */
  static load(options: LoadOptions): Program {
    const { kind, name, code, symbols, log } = options;
    const assembly = assemble(code, { ...symbols, name });
    const debug = options.describe === true ? loadDescription(assembly) : undefined;
    try {
      const fd = loadProgram({ type: TYPES[kind], name, instructions: assembly.bytes, debug, log });
      return new Program(fd, name, assembly);
    } catch (error) {
      if (error instanceof BpfLoadError) throw new ProgramRefused(name, assembly, error);
      throw error;
    } finally {
      if (debug !== undefined) close(debug.btfFd);
    }
  }

  /** Opens a pinned program. */
  static open(path: string): Program {
    const fd = openPinned(path);
    return new Program(fd, programInfo(fd).name, undefined);
  }

  /** The kernel's number for it. */
  get id(): number {
    return programInfo(this.fd).id;
  }

  /** Runs it on a packet, without any device. */
  run(options: TestRunOptions): TestRunResult {
    return runProgram(this.fd, options);
  }

  /** Gives it a name in a bpf file system, so that it outlives the process. */
  pin(path: string): void {
    pin(this.fd, path);
  }

  close(): void {
    if (!this.open) return;
    this.open = false;
    close(this.fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function loadDescription(assembly: Assembly): ProgramDebugInfo {
  const btf = new BtfBuilder();
  const records = describeProgram(btf, assembly);
  return { btfFd: btf.load(), ...records };
}

/** Takes a pinned object's name away; it lives on as long as something else holds it. */
export function unpin(path: string): void {
  unlinkSync(path);
}
