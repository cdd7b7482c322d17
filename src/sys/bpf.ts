/**
 * The bpf(2) system call: maps, programs, links, pins. Programs come as bytecode (8 bytes an instruction); this
 * file neither makes nor understands it. Every descriptor returned is the caller's to close.
 */
import { addressOf, check, fn, lastErrno, SystemError } from './libc.ts';

const NUMBER: Readonly<Record<string, number>> = { x64: 321, arm64: 280 };
const syscall = fn<[number, number, Uint8Array, number], number>('long syscall(long, long, void *, long)');

const MAP_CREATE = 0;
const PROG_LOAD = 5;
const OBJ_PIN = 6;
const TEST_RUN = 10;
const LINK_CREATE = 28;

/** Types of maps that Weft uses (enum bpf_map_type). */
export const MAP_TYPE = {
  hash: 1,
  array: 2,
  percpuArray: 6,
  lruHash: 9,
  lpmTrie: 11,
  ringBuffer: 27,
} as const;
/** Types of programs (enum bpf_prog_type). */
export const PROGRAM_TYPE = { schedCls: 3, xdp: 6 } as const;
/** Where a link attaches (enum bpf_attach_type). */
export const ATTACH = { xdp: 37, tcxIngress: 46, tcxEgress: 47 } as const;

/** A program that the kernel's verifier refused. */
export class BpfLoadError extends SystemError {
  /** The verifier's log, as far as it fitted. */
  readonly verifierLog: string;

  constructor(call: string, errno: number, verifierLog: string) {
    const last = verifierLog.trimEnd().split('\n').at(-1) ?? '';
    super(last === '' ? call : `${call} (${last})`, errno);
    this.name = 'BpfLoadError';
    this.verifierLog = verifierLog;
  }
}

/** Makes one call; `attr` is the command's part of `union bpf_attr`. Returns its result, often a descriptor. */
export function bpf(command: number, attr: Uint8Array, what: string): number {
  const number = NUMBER[process.arch];
  if (number === undefined) throw new SystemError(`bpf on ${process.arch}`, 38);
  return check(Number(syscall(number, command, attr, attr.length)), what);
}

function attribute(size: number): { bytes: Uint8Array; view: DataView } {
  const bytes = new Uint8Array(size);
  return { bytes, view: new DataView(bytes.buffer) };
}

const encodeName = (name: string): Uint8Array => new TextEncoder().encode(name.slice(0, 15));

export interface MapOptions {
  readonly type: number;
  readonly name: string;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags?: number;
}

export function createMap(options: MapOptions): number {
  const { bytes, view } = attribute(72);
  const { type, keySize, valueSize, maxEntries, flags = 0 } = options;
  [type, keySize, valueSize, maxEntries, flags].forEach(
    (value, i) => void view.setUint32(i * 4, value, true),
  );
  bytes.set(encodeName(options.name), 28);
  return bpf(MAP_CREATE, bytes, `create map ${options.name}`);
}

export interface ProgramOptions {
  readonly type: number;
  readonly name: string;
  readonly instructions: Uint8Array;
  /** Helpers that need it refuse programs under another licence than "GPL". */
  readonly license?: string;
  readonly expectedAttachType?: number;
}

/** Loads a program. Throws `BpfLoadError` with the verifier's log if it is refused. */
export function loadProgram(options: ProgramOptions): number {
  const { bytes, view } = attribute(152);
  const license = new TextEncoder().encode(`${options.license ?? 'GPL'}\0`);
  view.setUint32(0, options.type, true);
  view.setUint32(4, options.instructions.length / 8, true);
  view.setBigUint64(8, addressOf(options.instructions), true);
  view.setBigUint64(16, addressOf(license), true);
  bytes.set(encodeName(options.name), 48);
  view.setUint32(68, options.expectedAttachType ?? 0, true);
  const what = `load program ${options.name}`;
  try {
    return bpf(PROG_LOAD, bytes, what);
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    // Once more, for the log: a load without one is faster.
    const log = new Uint8Array(1 << 20);
    view.setUint32(24, 1, true);
    view.setUint32(28, log.length, true);
    view.setBigUint64(32, addressOf(log), true);
    const again = Number(syscall(NUMBER[process.arch], PROG_LOAD, bytes, bytes.length));
    if (again >= 0) return again;
    const errno = lastErrno();
    const end = log.indexOf(0);
    throw new BpfLoadError(
      what,
      errno,
      new TextDecoder().decode(log.subarray(0, end < 0 ? log.length : end)),
    );
  }
}

/** Attaches a program to a device; closing the descriptor detaches it, unless the link is pinned. */
export function createLink(program: number, ifindex: number, attachType: number): number {
  const { bytes, view } = attribute(48);
  view.setUint32(0, program, true);
  view.setUint32(4, ifindex, true);
  view.setUint32(8, attachType, true);
  return bpf(LINK_CREATE, bytes, `attach program to device ${ifindex}`);
}

/** Runs a program on `packet` and returns its verdict. */
export function testRun(program: number, packet: Uint8Array): number {
  const { bytes, view } = attribute(80);
  view.setUint32(0, program, true);
  view.setUint32(8, packet.length, true);
  view.setBigUint64(16, addressOf(packet), true);
  view.setUint32(32, 1, true);
  bpf(TEST_RUN, bytes, 'run program');
  return view.getUint32(4, true);
}

/** Gives a map, program or link a name in the bpf file system, under which it outlives the process. */
export function pin(fd: number, path: string): void {
  const { bytes, view } = attribute(16);
  const name = new TextEncoder().encode(`${path}\0`);
  view.setBigUint64(0, addressOf(name), true);
  view.setUint32(8, fd, true);
  bpf(OBJ_PIN, bytes, `pin ${path}`);
}
