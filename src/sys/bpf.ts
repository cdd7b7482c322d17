/**
 * The bpf(2) system call: maps, programs, links, pins. Programs come as bytecode (8 bytes an instruction); this
 * file neither makes nor understands it. Every descriptor returned is the caller's to close.
 */
import { constants } from 'node:os';
import { addressOf, check, fn, lastErrno, SystemError } from './libc.ts';

/** The number of bpf(2); of -1 the kernel says ENOSYS. */
const BPF = { x64: 321, arm64: 280 }[process.arch as string] ?? -1;
const syscall = fn<[number, number, Uint8Array, number], number>('long syscall(long, long, void *, long)');
const syscallAt = fn<[number, number, number, number], number>('long syscall(long, long, uintptr_t, long)');

const MAP_CREATE = 0;
const PROG_LOAD = 5;
const OBJ_PIN = 6;
const OBJ_GET = 7;
const TEST_RUN = 10;
const OBJ_GET_INFO_BY_FD = 15;
const BTF_LOAD = 18;
const LINK_CREATE = 28;
const LINK_UPDATE = 29;
const LINK_DETACH = 34;
/** LINK_UPDATE: only if the link still runs the program given as the old one. */
const F_REPLACE = 4;

/** Types of maps that Weft uses (enum bpf_map_type). */
export const MAP_TYPE = {
  hash: 1,
  array: 2,
  programArray: 3,
  percpuHash: 5,
  percpuArray: 6,
  lruHash: 9,
  lruPercpuHash: 10,
  lpmTrie: 11,
  arrayOfMaps: 12,
  hashOfMaps: 13,
  devmap: 14,
  devmapHash: 25,
  ringBuffer: 27,
} as const;
/** Flags of maps (BPF_F_*). */
export const MAP_FLAG = { noPrealloc: 1, noCommonLru: 2, mmapable: 1 << 10, innerMap: 1 << 12 } as const;
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
  return check(Number(syscall(BPF, command, attr, attr.length)), what);
}

/** The same for attributes at an address, without a check: negative if `lastErrno()` says why. */
export const bpfAt = (command: number, address: number, size: number): number =>
  Number(syscallAt(BPF, command, address, size));

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
  /** Bits of `MAP_FLAG`. */
  readonly flags?: number;
  /** A map of the kind that a map of maps will hold. */
  readonly innerMapFd?: number;
  /** Types of keys and values, for the kernel's own fields in them (timers, locks) and for `bpftool`. */
  readonly btf?: { readonly fd: number; readonly keyType: number; readonly valueType: number };
}

export function createMap(options: MapOptions): number {
  const { bytes, view } = attribute(72);
  const { type, keySize, valueSize, maxEntries, flags = 0 } = options;
  [type, keySize, valueSize, maxEntries, flags].forEach(
    (value, i) => void view.setUint32(i * 4, value, true),
  );
  view.setUint32(20, options.innerMapFd ?? 0, true);
  bytes.set(encodeName(options.name), 28);
  view.setUint32(48, options.btf?.fd ?? 0, true);
  view.setUint32(52, options.btf?.keyType ?? 0, true);
  view.setUint32(56, options.btf?.valueType ?? 0, true);
  return bpf(MAP_CREATE, bytes, `create map ${options.name}`);
}

export interface ProgramOptions {
  readonly type: number;
  readonly name: string;
  readonly instructions: Uint8Array;
  /** Helpers that need it refuse programs under another licence than "GPL". */
  readonly license?: string;
  readonly expectedAttachType?: number;
  /** What the program's functions and lines are called: a BTF object, and records that refer to it. */
  readonly debug?: ProgramDebugInfo;
  /** Called with the verifier's log of a program that it accepted; level 1 tells paths, 2 all, 4 sums. */
  readonly log?: { readonly level: number; readonly take: (log: string) => void };
}

export interface ProgramDebugInfo {
  readonly btfFd: number;
  /** `struct bpf_func_info`: 8 bytes a function. */
  readonly functions: Uint8Array;
  /** `struct bpf_line_info`: 16 bytes a line. */
  readonly lines: Uint8Array;
}

const LOG_SIZE = 1 << 20;
const LOAD_TRIES = 10;
const FUNCTION_RECORD = 8;
const LINE_RECORD = 16;

const textOf = (bytes: Uint8Array): string => {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
};

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
  if (options.debug !== undefined) {
    const { btfFd, functions, lines } = options.debug;
    view.setUint32(72, btfFd, true);
    view.setUint32(76, FUNCTION_RECORD, true);
    view.setBigUint64(80, addressOf(functions), true);
    view.setUint32(88, functions.length / FUNCTION_RECORD, true);
    view.setUint32(92, LINE_RECORD, true);
    view.setBigUint64(96, addressOf(lines), true);
    view.setUint32(104, lines.length / LINE_RECORD, true);
  }
  const what = `load program ${options.name}`;
  const load = (): number => {
    for (let tries = 1; ; tries++) {
      const result = Number(syscall(BPF, PROG_LOAD, bytes, bytes.length));
      // The verifier gives up when a signal arrives, whoever it is for.
      if (result >= 0 || tries === LOAD_TRIES || lastErrno() !== constants.errno.EAGAIN) return result;
    }
  };
  const log = options.log === undefined ? undefined : logInto(view, options.log.level);
  const fd = load();
  if (fd >= 0) {
    if (log !== undefined) options.log!.take(textOf(log));
    return fd;
  }
  const errno = lastErrno();
  if (log !== undefined) throw new BpfLoadError(what, errno, textOf(log));
  // Once more, for the log: a load without one is faster. A log that does not fit keeps its end, and
  // the call's error is then ENOSPC: the first one counts.
  const later = logInto(view, 1);
  const again = load();
  if (again >= 0) return again;
  throw new BpfLoadError(what, errno, textOf(later));
}

function logInto(view: DataView, level: number): Uint8Array {
  const log = new Uint8Array(LOG_SIZE);
  view.setUint32(24, level, true);
  view.setUint32(28, log.length, true);
  view.setBigUint64(32, addressOf(log), true);
  return log;
}

/** Loads type information (BTF). Throws `BpfLoadError` with the kernel's complaint if it is malformed. */
export function loadBtf(data: Uint8Array): number {
  const { bytes, view } = attribute(40);
  const log = new Uint8Array(1 << 16);
  view.setBigUint64(0, addressOf(data), true);
  view.setBigUint64(8, addressOf(log), true);
  view.setUint32(16, data.length, true);
  view.setUint32(20, log.length, true);
  view.setUint32(24, 1, true);
  const fd = Number(syscall(BPF, BTF_LOAD, bytes, bytes.length));
  if (fd < 0) throw new BpfLoadError('load BTF', lastErrno(), textOf(log));
  return fd;
}

/** Attaches a program to a device; closing the descriptor detaches it, unless the link is pinned. */
export function createLink(program: number, ifindex: number, attachType: number, flags = 0): number {
  const { bytes, view } = attribute(48);
  view.setUint32(0, program, true);
  view.setUint32(4, ifindex, true);
  view.setUint32(8, attachType, true);
  view.setUint32(12, flags, true);
  return bpf(LINK_CREATE, bytes, `attach program to device ${ifindex}`);
}

/**
 * Has a link run another program, from one packet to the next. With `old` only if that is the program which
 * it runs: else EPERM.
 */
export function updateLink(link: number, program: number, old?: number): void {
  const { bytes, view } = attribute(16);
  view.setUint32(0, link, true);
  view.setUint32(4, program, true);
  if (old !== undefined) {
    view.setUint32(8, F_REPLACE, true);
    view.setUint32(12, old, true);
  }
  bpf(LINK_UPDATE, bytes, 'replace the program of a link');
}

/** Takes the program off the device, also if the link is pinned or others hold it. */
export function detachLink(link: number): void {
  const { bytes, view } = attribute(4);
  view.setUint32(0, link, true);
  bpf(LINK_DETACH, bytes, 'detach link');
}

/** What a program is run on without a device. */
export interface TestRunOptions {
  readonly packet: Uint8Array;
  /** The program's context (`struct __sk_buff`, `struct xdp_md`), where it is not to be all zero. */
  readonly context?: Uint8Array;
  /** How often; the packet of each run is what the last one left. Default 1. */
  readonly repeat?: number;
  /** Room for what the packet has become; default: 512 bytes more than it has. */
  readonly outputSize?: number;
}

export interface TestRunResult {
  readonly verdict: number;
  /** The packet after the last run. */
  readonly packet: Uint8Array;
  /** The context after the last run; empty where none was given. */
  readonly context: Uint8Array;
  /** Mean duration of a run in nanoseconds. */
  readonly nanoseconds: number;
}

/** Runs a program on a packet of the caller's, and tells what came of it. ENOSPC: the packet outgrew its room. */
export function runProgram(program: number, options: TestRunOptions): TestRunResult {
  const { packet, context, repeat = 1 } = options;
  const { bytes, view } = attribute(80);
  const output = new Uint8Array(options.outputSize ?? packet.length + 512);
  const contextOut = new Uint8Array(context?.length ?? 0);
  view.setUint32(0, program, true);
  view.setUint32(8, packet.length, true);
  view.setUint32(12, output.length, true);
  view.setBigUint64(16, addressOf(packet), true);
  view.setBigUint64(24, addressOf(output), true);
  view.setUint32(32, repeat, true);
  if (context !== undefined) {
    view.setUint32(40, context.length, true);
    view.setUint32(44, contextOut.length, true);
    view.setBigUint64(48, addressOf(context), true);
    view.setBigUint64(56, addressOf(contextOut), true);
  }
  bpf(TEST_RUN, bytes, 'run program');
  return {
    verdict: view.getUint32(4, true),
    packet: output.subarray(0, view.getUint32(12, true)),
    context: contextOut.subarray(0, view.getUint32(44, true)),
    nanoseconds: view.getUint32(36, true),
  };
}

/** Runs a program on `packet` and returns its verdict. */
export function testRun(program: number, packet: Uint8Array): number {
  return runProgram(program, { packet }).verdict;
}

/** Gives a map, program or link a name in the bpf file system, under which it outlives the process. */
export function pin(fd: number, path: string): void {
  const { bytes, view } = attribute(16);
  const name = new TextEncoder().encode(`${path}\0`);
  view.setBigUint64(0, addressOf(name), true);
  view.setUint32(8, fd, true);
  bpf(OBJ_PIN, bytes, `pin ${path}`);
}

/** Opens what is pinned under a path: a descriptor of its own, ENOENT if there is nothing. */
export function openPinned(path: string): number {
  const { bytes, view } = attribute(16);
  const name = new TextEncoder().encode(`${path}\0`);
  view.setBigUint64(0, addressOf(name), true);
  return bpf(OBJ_GET, bytes, `open pinned ${path}`);
}

/** The kernel's description (`struct bpf_map_info`, `bpf_prog_info`, `bpf_link_info`) of a descriptor. */
function info(fd: number, size: number, what: string): DataView {
  const { bytes, view } = attribute(16);
  const out = new Uint8Array(size);
  view.setUint32(0, fd, true);
  view.setUint32(4, size, true);
  view.setBigUint64(8, addressOf(out), true);
  bpf(OBJ_GET_INFO_BY_FD, bytes, what);
  return new DataView(out.buffer);
}

export interface MapInfo {
  readonly type: number;
  readonly id: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags: number;
  readonly name: string;
}

export function mapInfo(fd: number): MapInfo {
  const view = info(fd, 88, 'describe map');
  const word = (i: number): number => view.getUint32(i * 4, true);
  return {
    type: word(0),
    id: word(1),
    keySize: word(2),
    valueSize: word(3),
    maxEntries: word(4),
    flags: word(5),
    name: textOf(new Uint8Array(view.buffer, 24, 16)),
  };
}

/** Type, number and name of a program. */
export function programInfo(fd: number): { type: number; id: number; name: string } {
  const view = info(fd, 80, 'describe program');
  return {
    type: view.getUint32(0, true),
    id: view.getUint32(4, true),
    name: textOf(new Uint8Array(view.buffer, 64, 16)),
  };
}

/** What a link attaches where; `ifindex` is 0 once the device or the attachment is gone. */
export function linkInfo(fd: number): { type: number; id: number; programId: number; ifindex: number } {
  const view = info(fd, 32, 'describe link');
  return {
    type: view.getUint32(0, true),
    id: view.getUint32(4, true),
    programId: view.getUint32(8, true),
    ifindex: view.getUint32(16, true),
  };
}
