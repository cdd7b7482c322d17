/** What the benches that send frames have in common: guests, receivers that count, processor time, medians. */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Clock } from '../src/base/clock.ts';
import {
  atomicAdd,
  call,
  DW,
  exit,
  H,
  jlt,
  jne,
  label,
  ldx,
  mov,
  mov32,
  R0,
  R1,
  R7,
  R10,
  rsh,
  st,
  stx,
  sub,
  W,
} from '../src/ebpf/asm.ts';
import { lookup, needBytes, prologue } from '../src/ebpf/build.ts';
import { u32, u64 } from '../src/ebpf/codec.ts';
import { TC_ACT } from '../src/ebpf/context.ts';
import { helper } from '../src/ebpf/helpers.ts';
import type { Code } from '../src/ebpf/instruction.ts';
import { type Attachment, attachClassifier } from '../src/ebpf/link.ts';
import { BpfMap } from '../src/ebpf/map.ts';
import { Program } from '../src/ebpf/program.ts';
import { Links } from '../src/sys/netlink/link.ts';
import { NetlinkSocket } from '../src/sys/netlink/socket.ts';
import { inNetns } from '../src/sys/netns.ts';
import { type Network, saysOnStdout } from '../test/network.ts';
import { LOAD_TARGET, type Load, STAMP } from './frame-load.ts';

const LOAD = fileURLToPath(new URL('./frame-load.ts', import.meta.url));

export const clock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after: (ms, fn) => {
    const timer = setTimeout(fn, ms);
    return { cancel: () => clearTimeout(timer) };
  },
};

export function median(list: readonly number[]): number {
  return [...list].sort((x, y) => x - y)[list.length >> 1] ?? 0;
}

export const round2 = (x: number): number => Math.round(x * 100) / 100;

/** Number of a device in a namespace. */
export function ifindexOf(network: Network, namespace: string, device: string): number {
  return inNetns(network.path(namespace), () => {
    const netlink = new NetlinkSocket();
    try {
      const link = new Links(netlink).get(device);
      if (link === undefined) throw new Error(`no device ${device} in ${namespace}`);
      return link.ifindex;
    } finally {
      netlink.close();
    }
  });
}

const IP_DST = 30;

/** Delays are counted in classes of 4,096 ns, the last of which has all that are longer: 67 ms. */
const DELAY_SHIFT = 12;
const DELAY_CLASSES = 16384;

type Counters = BpfMap<number, bigint>;

const count = (counters: Counters): Code => [
  lookup(counters, -4, 'other'),
  mov(R1, 1),
  atomicAdd(DW, R0, 0, R1),
];

/** Counts the delay of a frame that is stamped. */
const countDelay = (delays: Counters): Code => [
  needBytes(STAMP + 8, 'other'),
  call(helper.ktimeGetNs),
  ldx(DW, R1, R7, STAMP),
  sub(R0, R1),
  rsh(R0, DELAY_SHIFT),
  jlt(R0, DELAY_CLASSES, 'short'),
  mov(R0, DELAY_CLASSES - 1),
  label('short'),
  stx(W, R10, -4, R0),
  count(delays),
];

/** Drops and counts frames of the load, so that what a receiver's stack would do with them is not measured. */
const sinkProgram = (counter: Counters, delays: Counters | null): Code => [
  prologue(),
  needBytes(IP_DST + 4, 'other'),
  ldx(H, R1, R7, 12),
  jne(R1, 0x0008, 'other'),
  ldx(W, R1, R7, IP_DST),
  jne(R1, Buffer.from(Uint32Array.of(LOAD_TARGET).buffer).readInt32BE(), 'other'),
  st(W, R10, -4, 0),
  count(counter),
  delays === null ? [] : countDelay(delays),
  mov32(R0, TC_ACT.shot),
  exit(),
  label('other'),
  mov32(R0, TC_ACT.unspec),
  exit(),
];

const counters = (name: string, maxEntries: number): Counters =>
  BpfMap.create({ kind: 'array', name, key: u32, value: u64, maxEntries });

/** Counts the load's frames at a guest's device, and ends them there. */
export class Sink {
  readonly #counter: Counters;
  readonly #delays: Counters | null;
  readonly #attachment: Attachment;

  /** `delays`: frames are stamped. */
  constructor(network: Network, guest: string, delays = false) {
    this.#counter = counters('weft_sink', 1);
    this.#delays = delays ? counters('weft_delays', DELAY_CLASSES) : null;
    const code = sinkProgram(this.#counter, this.#delays);
    using program = Program.load({ kind: 'classifier', name: 'weft_sink', code });
    const ifindex = ifindexOf(network, guest, 'eth0');
    this.#attachment = inNetns(network.path(guest), () => attachClassifier(program, ifindex, 'ingress'));
  }

  get frames(): number {
    return Number(this.#counter.get(0));
  }

  /** Milliseconds that a share of the frames since the last call of `forgetDelays` took at the most. */
  delay(share: number): number {
    const all = Array.from({ length: DELAY_CLASSES }, (_, i) => Number(this.#delays?.get(i) ?? 0));
    const limit = share * all.reduce((sum, n) => sum + n, 0);
    let seen = 0;
    const found = all.findIndex((n) => {
      seen += n;
      return seen >= limit;
    });
    return ((found + 1) * 2 ** DELAY_SHIFT) / 1e6;
  }

  forgetDelays(): void {
    for (let i = 0; i < DELAY_CLASSES; i++) this.#delays?.set(i, 0n);
  }

  close(): void {
    this.#attachment.close();
    this.#counter.close();
    this.#delays?.close();
  }
}

const TICK_SECONDS = 0.01;

/** Processor seconds of a process so far, in all of its threads. */
export function processSeconds(pid: number | 'self'): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK_SECONDS;
}

/** Processes in which the kernel does network work that no process could be charged for. */
export function kernelWorkers(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^[0-9]+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        return /^(ksoftirqd|napi)\//.test(readFileSync(`/proc/${pid}/comm`, 'utf8'));
      } catch {
        return false;
      }
    });
}

export interface Rate {
  /** Frames a second that arrived. */
  readonly pps: number;
  /** Microseconds of processor a frame that arrived: generator, switch and receiver. */
  readonly cpu: number;
}

/** Sends a load from `guest` to its end; how many frames it were. */
export async function sendLoad(network: Network, guest: string, load: Omit<Load, 'device'>): Promise<number> {
  const args = [LOAD, JSON.stringify({ device: 'eth0', ...load })];
  const { status, stdout, stderr } = await network.run(guest, process.execPath, args, { NODE_OPTIONS: '' });
  if (status !== 0) throw new Error(`the generator failed: ${stderr}`);
  return (JSON.parse(stdout) as { sent: number }).sent;
}

/** Longer than any load is wanted. */
const MOST_SECONDS = 60;

/** Sends a load from `guest`, and looks at a sink for `seconds` of it. `pids`: who else works for it. */
export async function frameRate(
  network: Network,
  guest: string,
  sink: Sink,
  load: Omit<Load, 'device' | 'seconds'>,
  seconds: number,
  pids: readonly (number | 'self')[],
): Promise<Rate> {
  const whole: Load = { ...load, device: 'eth0', seconds: MOST_SECONDS };
  const child = network.start(guest, process.execPath, [LOAD, JSON.stringify(whole)]);
  let stderr = '';
  child.stderr?.on('data', (data: Buffer) => {
    stderr += data.toString();
  });
  const ended = new Promise((resolve) => child.once('close', resolve));
  const first = sink.frames;
  for (let waited = 0; sink.frames === first && waited < 5000 && child.exitCode === null; waited += 20)
    await sleep(20);
  if (sink.frames === first && child.exitCode !== null) throw new Error(`the generator failed: ${stderr}`);
  await sleep(200);
  const workers: (number | 'self')[] = [...kernelWorkers(), ...pids, child.pid!];
  const busy = (): number => workers.reduce<number>((sum, pid) => sum + processSeconds(pid), 0);
  const [frames, start, cpu] = [sink.frames, performance.now(), busy()];
  await sleep(seconds * 1000);
  const [arrived, elapsed, used] = [sink.frames - frames, performance.now() - start, busy() - cpu];
  if (child.exitCode !== null) throw new Error(`the generator failed: ${stderr}`);
  child.kill();
  await ended;
  return { pps: (arrived * 1000) / elapsed, cpu: arrived === 0 ? Number.NaN : (used * 1e6) / arrived };
}

/** One TCP stream between two guests, in Mbit/s. */
export async function tcp(
  network: Network,
  from: string,
  to: string,
  address: string,
  seconds: number,
): Promise<number> {
  const server = network.start(to, 'iperf3', ['-s', '-1', '--forceflush']);
  await saysOnStdout(server, 'Server listening');
  const args = `-c ${address} -t ${seconds} -J -C cubic --connect-timeout 3000`.split(' ');
  const { stdout } = await network.run(from, 'iperf3', args);
  const report = JSON.parse(stdout) as {
    error?: string;
    end: { sum_received?: { bits_per_second: number } };
  };
  if (report.error !== undefined) throw new Error(`TCP: ${report.error}`);
  return (report.end.sum_received?.bits_per_second ?? 0) / 1e6;
}

/** A table: the first column to the left, the others to the right. */
export function printTable(head: readonly string[], rows: readonly (readonly string[])[]): void {
  const widths = head.map((h, i) => Math.max(h.length, ...rows.map((row) => row[i]!.length)) + 2);
  for (const row of [head, ...rows])
    console.log(
      row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join(''),
    );
}
