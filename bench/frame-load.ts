/**
 * The load of the benches: XDP frames by test-run, which go out of a device as if its driver had got them, without a
 * socket or an skb on the sender's side: some 2 million a second on one core, more than any switch here takes. Runs inside
 * the sender's namespace, and ends with one line of JSON, `{"sent", "seconds"}`:
 *
 *     node bench/frame-load.ts '{"device": "eth0", "seconds": 2, "vary": "flow", "flows": 1000}'
 *
 * The other end of the pair has to take frames by NAPI (`ethtool -K pa gro on`).
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { frame } from '../src/datapath/conformance/frames.ts';
import {
  add,
  and,
  B,
  call,
  DW,
  exit,
  H,
  label,
  ldx,
  lsh,
  mod,
  mov,
  note,
  R0,
  R1,
  R2,
  R3,
  R4,
  R7,
  R10,
  rsh,
  st,
  stx,
  toBe,
  W,
  xor,
} from '../src/ebpf/asm.ts';
import { lookup, needBytes, prologue } from '../src/ebpf/build.ts';
import { u32 } from '../src/ebpf/codec.ts';
import { XDP_ACT, xdp } from '../src/ebpf/context.ts';
import { helper } from '../src/ebpf/helpers.ts';
import type { Code } from '../src/ebpf/instruction.ts';
import { BpfMap } from '../src/ebpf/map.ts';
import { Program } from '../src/ebpf/program.ts';
import { PreparedRun } from '../src/sys/bpf-run.ts';
import { Links } from '../src/sys/netlink/link.ts';
import { NetlinkSocket } from '../src/sys/netlink/socket.ts';

/** To an address that no receiver has; sinks count frames to it. */
export const LOAD_TARGET = 0x0a630063;
/** What an access list of the explosion bench allows: see `vary` "explode". */
export const ALLOWED = { nwSrc: 0x0a000001, tpSrc: 12345, tpDst: 80 } as const;

export interface Load {
  readonly device: string;
  readonly seconds: number;
  /**
   * flow: source MAC (last three bytes) and UDP source port count up to `flows`, and start over. explode: source address and
   * ports are those of `ALLOWED` with one bit of each inverted, another one in each frame: 8,192 in all.
   */
  readonly vary: 'flow' | 'explode';
  readonly flows: number;
  /** Frames a second; 0, the default: as many as can be. */
  readonly rate?: number;
  /** Last bytes of the MAC addresses, and the third of the source, which no guest has in its own; default 1 to 2, 1. */
  readonly src?: number;
  readonly dst?: number;
  readonly group?: number;
  /** The first number that frames are counted from. */
  readonly first?: number;
  /** Bytes of UDP payload; default 18, which makes the shortest frame. */
  readonly payload?: number;
  /** The time (ns of the monotonic clock) stands in the frame, for a sink that measures delays. */
  readonly stamp?: boolean;
}

const ETH_SRC = 6;
const IP_SRC = 26;
const UDP_SRC = 34;
const UDP_DST = 36;
/** Where a stamp stands: in the payload, aligned. */
export const STAMP = 44;
/** Frames a system call. */
const BURST = 8192;

/** R4 = the frame's number. */
const vary = (load: Load): Code => {
  if (load.vary === 'flow') {
    return [
      load.flows > 0 ? mod(R4, load.flows) : [],
      mov(R1, R4),
      toBe(32, R1),
      stx(H, R7, UDP_SRC, R4),
      rsh(R1, 8),
      stx(B, R7, ETH_SRC + 3, R1),
      rsh(R1, 8),
      stx(H, R7, ETH_SRC + 4, R1),
    ];
  }
  /** One bit of `value`, which one R4's bits from `shift` say, other than it was. */
  const inverted = (value: number, bits: number, shift: number, at: number): Code => [
    mov(R1, R4),
    rsh(R1, shift),
    and(R1, bits - 1),
    mov(R2, 1),
    note('bit', lsh(R2, R1)),
    xor(R2, value),
    toBe(bits as 16 | 32, R2),
    stx(bits === 32 ? W : H, R7, at, R2),
  ];
  return [
    inverted(ALLOWED.nwSrc, 32, 0, IP_SRC),
    inverted(ALLOWED.tpSrc, 16, 5, UDP_SRC),
    inverted(ALLOWED.tpDst, 16, 9, UDP_DST),
  ];
};

/** Numbers the frame, makes it another one by that, and has it sent. */
export const generator = (load: Load, counter: BpfMap<number, number>, ifindex: number): Code => [
  prologue(xdp),
  st(W, R10, -4, 0),
  lookup(counter, -4, 'none'),
  ldx(W, R4, R0, 0),
  mov(R3, R4),
  add(R3, 1),
  stx(W, R0, 0, R3),
  needBytes(60, 'none'),
  vary(load),
  load.stamp === true ? [call(helper.ktimeGetNs), stx(DW, R7, STAMP, R0)] : [],
  mov(R1, ifindex),
  mov(R2, 0),
  call(helper.redirect),
  exit(),
  label('none'),
  mov(R0, XDP_ACT.aborted),
  exit(),
];

/** The frame that the others are made from. */
export function pattern(load: Load): Uint8Array {
  const { src = 1, dst = 2, group = 1, payload = 18 } = load;
  const bytes =
    load.vary === 'flow'
      ? frame({ src, dst, nwSrc: 0x0a630001, nwDst: LOAD_TARGET, payload })
      : frame({ src, dst, ...ALLOWED, nwDst: LOAD_TARGET, payload });
  bytes[ETH_SRC + 2] = group;
  return bytes;
}

async function send(load: Load): Promise<void> {
  const link = new Links(new NetlinkSocket()).get(load.device);
  if (link === undefined) throw new Error(`no device ${load.device}`);
  using counter = BpfMap.create({ kind: 'array', name: 'weft_load', key: u32, value: u32, maxEntries: 1 });
  counter.set(0, load.first ?? 0);
  using program = Program.load({
    kind: 'xdp',
    name: 'weft_load',
    code: generator(load, counter, link.ifindex),
  });
  const bytes = pattern(load);
  const run = new PreparedRun(program.fd, 2048, xdp.size);
  run.packet.set(bytes);
  run.context.setUint32(xdp.dataEnd, bytes.length, true);
  run.context.setUint32(xdp.ingressIfindex, link.ifindex, true);
  const start = performance.now();
  const rate = load.rate ?? 0;
  let sent = 0;
  for (;;) {
    const elapsed = (performance.now() - start) / 1000;
    if (elapsed >= load.seconds) break;
    const due = rate === 0 ? BURST : Math.min(Math.floor(elapsed * rate) - sent, BURST);
    if (due > 0) {
      run.runLive(bytes.length, due);
      sent += due;
    } else await sleep(1);
  }
  console.log(JSON.stringify({ sent, seconds: (performance.now() - start) / 1000 }));
}

if (import.meta.main) await send(JSON.parse(process.argv[2]!) as Load);
