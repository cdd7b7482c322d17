/**
 * PROGRAM_ACT between real devices, beside the userspace datapath: the same packet with the same actions through both, and
 * what each made of it. Devices are taps of a namespace that is gone afterwards.
 */
import { writeFileSync } from 'node:fs';
import {
  add,
  and,
  call,
  DW,
  exit,
  func,
  label,
  ldx,
  lsh,
  mov,
  R0,
  R1,
  R2,
  R3,
  R6,
  R7,
  R8,
  R9,
  st,
  stx,
  W,
} from '../../../ebpf/asm.ts';
import { tailCall } from '../../../ebpf/build.ts';
import { bytes as codecBytes, u32 } from '../../../ebpf/codec.ts';
import { TC_ACT } from '../../../ebpf/context.ts';
import { helper } from '../../../ebpf/helpers.ts';
import type { Code } from '../../../ebpf/instruction.ts';
import { attachClassifier } from '../../../ebpf/link.ts';
import { BpfMap } from '../../../ebpf/map.ts';
import { Program } from '../../../ebpf/program.ts';
import {
  type Flow,
  W_ETH,
  W_ETH_TYPE,
  W_IN_PORT,
  W_NW,
  W_TCP_FLAGS,
  W_TUN_METADATA_PRESENT,
  W_VLAN,
} from '../../../flow/layout.ts';
import { NO_OFFLOAD, RxFrame } from '../../../sys/frame.ts';
import { Links } from '../../../sys/netlink/link.ts';
import { NetlinkSocket } from '../../../sys/netlink/socket.ts';
import { inNewNetns } from '../../../sys/netns.ts';
import { TapPort } from '../../../sys/tap.ts';
import { hex } from '../../conformance/frames.ts';
import { extractFlow } from '../../packet/extract.ts';
import { ABSENT, Packet } from '../../packet/packet.ts';
import type { DpAction, PacketOffload, UserspaceCookie } from '../../types.ts';
import { Core, packetOf } from '../../userspace/core.ts';
import { Counters, DROP_REASONS } from '../../userspace/counters.ts';
import { actionProgram } from '../action-program.ts';
import { branchProgram, outProgram } from '../branches.ts';
import { arrayEntry, loadFrame } from '../code.ts';
import { type EncodedActions, encodeActions } from '../encode-actions.ts';
import * as L from '../layout.ts';
import { closeMaps, createMaps, type KernelMaps } from '../maps.ts';

/** Ports that packets can go out of; one more number is nobody's. */
export const PORTS = [1, 2, 3];
export const NO_PORT = 9;
/** A tunnel's port; what goes into the tunnel comes out of a device. */
export const TUNNEL_PORT = 8;
const ALL_PORTS = [...PORTS, TUNNEL_PORT];

/** What became of a packet, as text for comparison. */
export interface Outcome {
  /** For each port what went out of it. */
  readonly sent: string[][];
  /** Packets to the slow path: by action, with the cookie. */
  readonly upcalls: string[];
  /** The packet that was looked up again, and the metadata that it had. */
  readonly recirculated: string[];
  readonly drops: Record<string, number>;
}

export interface Input {
  readonly packet: Uint8Array;
  readonly offload: PacketOffload | null;
  /** Metadata. */
  readonly flow: Flow;
  readonly actions: readonly DpAction[];
}

/* The log that the stand-ins for other programs write, in the frame's scratch memory. */
const LOG_COUNT = L.F_SCRATCH + 64;
const LOG = LOG_COUNT + 8;
const LOG_ENTRIES = 16;
const LOOKED_UP = L.F_SCRATCH + 300;
const USED = L.F_SCRATCH + 304;
const PROGRAM_SLOT = 5;

const show = (bytes: Uint8Array, start: number, end: number, offload: PacketOffload): string =>
  `${hex(bytes.subarray(start, end))} ${offload.csumStart},${offload.csumStart < 0 ? 0 : offload.csumOffset},${offload.gsoType},${offload.gsoSize}`;

export class ActionRig {
  readonly maps: KernelMaps;
  readonly #programs: Program[] = [];
  readonly #taps: { source: TapPort; out: TapPort[]; up: TapPort; again: TapPort };
  /** Keys of the packets that were looked up again, in order. */
  readonly #log: BpfMap<number, Uint8Array>;
  readonly #rx = new RxFrame();
  readonly #cpus: number;
  readonly #core: Core;
  readonly #counters: Counters;
  readonly #close: (() => void)[] = [];
  #cookies: UserspaceCookie[] = [];
  #expected!: Outcome;

  constructor() {
    this.maps = createMaps({ maxFlows: 16, rings: 1, ringBytes: 4096 });
    this.#close.push(() => closeMaps(this.maps));
    this.#log = BpfMap.create({
      kind: 'array',
      name: 'weft_log',
      key: u32,
      value: codecBytes(L.FRAME_KEY_SIZE),
      maxEntries: LOG_ENTRIES,
    });
    this.#close.push(() => this.#log.close());
    this.#cpus = this.maps.frame.get(0)!.length;
    this.#counters = new Counters(1);
    this.#core = this.#makeCore();
    const { maps } = this;
    this.#taps = inNewNetns(() => {
      writeFileSync('/proc/sys/net/ipv6/conf/all/disable_ipv6', '1');
      writeFileSync('/proc/sys/net/ipv6/conf/default/disable_ipv6', '1');
      const netlink = new NetlinkSocket();
      try {
        const links = new Links(netlink);
        const tap = (name: string): TapPort & { ifindex: number } => {
          const port = new TapPort({ name });
          this.#close.push(() => port.close());
          const { ifindex } = links.get(name)!;
          links.set(ifindex, { up: true });
          return Object.assign(port, { ifindex });
        };
        const source = tap('weft_in');
        const out = ALL_PORTS.map((port) => tap(`weft_o${port}`));
        const up = tap('weft_up');
        const again = tap('weft_again');
        PORTS.forEach((port, i) => void maps.ports.set(port, portEntry(out[i].ifindex, L.PORT_THERE, port)));
        maps.ports.set(TUNNEL_PORT, portEntry(0, L.PORT_THERE | L.PORT_TUNNEL, 0));
        const act = this.#load('weft_act', actionProgram({ maps, upcall: standInUpcall(up.ifindex) }));
        maps.programs.set(L.PROGRAM_ACT, act.fd);
        maps.programs.set(
          L.PROGRAM_LOOKUP,
          this.#load('weft_again', [
            mov(R6, R1),
            loadFrame(maps),
            logKey(this.#log),
            mov(R1, again.ifindex),
            mov(R2, 0),
            call(helper.redirect),
            exit(),
          ]).fd,
        );
        const send = (ifindex: number): Code => [mov(R1, ifindex), mov(R2, 0), call(helper.redirect), exit()];
        const tunnel = this.#load('weft_tunnel', send(out[PORTS.length].ifindex));
        maps.programs.set(L.PROGRAM_ENCAP, tunnel.fd);
        maps.programs.set(L.PROGRAM_OUT, this.#load('weft_out', outProgram(maps)).fd);
        const branch = this.#load('weft_branch', branchProgram(maps));
        const branches = attachClassifier(branch, L.LOOPBACK_IFINDEX, 'egress');
        this.#close.push(() => branches.close());
        const entry = this.#load('weft_entry', [
          mov(R6, R1),
          loadFrame(maps),
          st(W, R9, USED, 1),
          tailCall(maps.programs, L.PROGRAM_ACT),
          mov(R0, TC_ACT.shot),
          exit(),
        ]);
        const attachment = attachClassifier(entry, source.ifindex, 'ingress');
        this.#close.push(() => attachment.close());
        return { source, out, up, again };
      } finally {
        netlink.close();
      }
    });
  }

  #load(name: string, code: Code): Program {
    const program = Program.load({ kind: 'classifier', name, code, describe: true });
    this.#programs.push(program);
    this.#close.push(() => program.close());
    return program;
  }

  /** The program under test, for runs of its own: it wants its packet's frame in place (`prepare`). */
  get program(): Program {
    return this.#programs[0];
  }

  encode(actions: readonly DpAction[]): EncodedActions {
    this.#cookies = [];
    return encodeActions(actions, {
      cookie: (cookie) => this.#cookies.push(cookie) - 1,
      isTunnel: (port) => port === TUNNEL_PORT,
      branches: true,
    });
  }

  /** What the userspace datapath makes of it. */
  reference(input: Input): Outcome {
    this.#expected = { sent: ALL_PORTS.map(() => []), upcalls: [], recirculated: [], drops: {} };
    const before = this.#dropped();
    this.#core.execute(packetOf(input), input.flow, input.actions);
    return { ...this.#expected, drops: difference(before, this.#dropped()) };
  }

  #dropped(): Record<string, number> {
    return this.#counters.drops();
  }

  #makeCore(): Core {
    const core = new Core({
      host: {
        now: () => 0,
        upcall: (packet, key, cookie) => {
          if (cookie === null) this.#expected.recirculated.push(this.#again(packet, key));
          else this.#expected.upcalls.push(`${JSON.stringify(cookie)} ${this.#whole(packet)}`);
          return true;
        },
      },
      counters: this.#counters,
      maxFlows: 1,
      maxMasks: 1,
      random: () => 0.5,
    });
    ALL_PORTS.forEach((port, i) => {
      core.setPort(port, {
        transmit: (packet, length) => {
          const copy = packet.clone();
          copy.end = copy.start + length;
          this.#expected.sent[i].push(this.#whole(copy));
        },
      });
    });
    return core;
  }

  /**
   * A packet with its checksum finished, as the slow path gets it, if the device would not have segmented it. For
   * comparison that is done to what goes out, too: an upcall has the userspace datapath finish it for good.
   */
  #whole(packet: Packet): string {
    if (packet.gsoType === 0) packet.finishChecksum();
    return show(packet.buffer, packet.start, packet.end, packet);
  }

  #again(packet: Packet, key: Flow): string {
    const metadata = Array.from(key, (v, w) => (v === 0 || !isMetadata(w) ? '' : `${w}=${v}`));
    return `${metadata.filter((t) => t !== '').join(' ')} ${this.#whole(packet)}`;
  }

  /** Puts the packet's frame and the program in place. False: it is no program, or Linux would not pass the packet on. */
  prepare(input: Input, encoded: EncodedActions): boolean {
    if (encoded.kind !== 'program') return false;
    const slot = new Uint8Array(L.ACTION_SLOT_SIZE);
    slot.set(encoded.bytes);
    this.maps.actions.set(PROGRAM_SLOT, slot);
    const bytes = frameOf(input);
    this.maps.frame.set(
      0,
      Array.from({ length: this.#cpus }, () => bytes),
    );
    return true;
  }

  /** What eBPF makes of it; undefined: the device did not take the packet. */
  run(input: Input, encoded: EncodedActions): Outcome | undefined {
    if (!this.prepare(input, encoded)) return undefined;
    const { source, out, up, again } = this.#taps;
    const before = this.#kernelDrops();
    const errors = source.txErrors;
    source.send(input.packet, 0, input.packet.length, input.offload ?? NO_OFFLOAD);
    const frame = this.#usedFrame();
    const sent = out.map((tap) => this.#drain(tap).map((packet) => this.#whole(packet)));
    const raised = this.#drain(up);
    const recirculated = this.#drain(again);
    if (source.txErrors !== errors || frame === undefined) return undefined;
    const log = new DataView(frame.buffer, frame.byteOffset);
    const upcalls = raised.map((packet, i) => {
      const kind = log.getUint32(LOG + 8 * i, true);
      const cookie = this.#cookies[log.getUint32(LOG + 8 * i + 4, true)];
      const what = kind === L.UPCALL_ACTION ? JSON.stringify(cookie) : `kind ${kind}`;
      return `${what} ${this.#whole(packet)}`;
    });
    return {
      sent,
      upcalls,
      recirculated: recirculated.map((packet, i) => {
        const entry = this.#log.get(i)!;
        return this.#again(packet, new Uint32Array(entry.slice().buffer));
      }),
      drops: difference(before, this.#kernelDrops()),
    };
  }

  #usedFrame(): Uint8Array | undefined {
    return this.maps.frame
      .get(0)!
      .find((f) => new DataView(f.buffer, f.byteOffset).getUint32(USED, true) === 1);
  }

  #drain(tap: TapPort): Packet[] {
    const packets: Packet[] = [];
    const { rx } = { rx: this.#rx };
    while (tap.receive(rx)) {
      const packet = Packet.copyOf(rx.bytes.subarray(rx.start, rx.end));
      packet.csumStart = rx.csumStart < 0 ? ABSENT : rx.csumStart;
      packet.csumOffset = rx.csumOffset;
      packet.gsoType = rx.gsoType;
      packet.gsoSize = rx.gsoSize;
      packets.push(packet);
      tap.release();
    }
    return packets;
  }

  #kernelDrops(): Record<string, number> {
    const totals = this.maps.totals.get(0)!.map((t) => new DataView(t.buffer, t.byteOffset));
    return Object.fromEntries(
      DROP_REASONS.map((reason, i) => [
        reason,
        totals.reduce((sum, t) => sum + Number(t.getBigUint64(L.T_DROPS + 8 * i, true)), 0),
      ]),
    );
  }

  close(): void {
    for (const close of this.#close.reverse()) close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

const difference = (from: Record<string, number>, to: Record<string, number>): Record<string, number> =>
  Object.fromEntries(
    Object.entries(to)
      .map(([reason, n]) => [reason, n - (from[reason] ?? 0)] as const)
      .filter(([, n]) => n !== 0),
  );

export function portEntry(ifindex: number, flags: number, stats: number): Uint8Array {
  const entry = new Uint8Array(L.PORT_SIZE);
  const view = new DataView(entry.buffer);
  view.setUint32(L.P_IFINDEX, ifindex, true);
  view.setUint32(L.P_FLAGS, flags, true);
  view.setUint32(L.P_STATS, stats, true);
  return entry;
}

/** Whether a key word says something that is not in the packet. */
const isMetadata = (word: number): boolean => word < W_ETH || word >= W_TUN_METADATA_PRESENT;

/** The frame as the parser leaves it, of a packet whose outermost tag is beside its bytes. */
export function frameOf(input: Input): Uint8Array {
  const frame = new Uint8Array(L.FRAME_SIZE);
  const view = new DataView(frame.buffer);
  const packet = packetOf(input);
  const key = input.flow.slice();
  extractFlow(packet, key);
  // The parser fills only words that some mask wants, but for these; programs must not need others.
  const parsed = new Set([W_ETH_TYPE, W_NW, W_TCP_FLAGS]);
  key.forEach((word, w) => {
    view.setUint32(L.frameWord(w), isMetadata(w) || parsed.has(w) ? word : 0xdeadbeef, true);
  });
  const out = key[W_VLAN] !== 0 ? 4 : 0;
  const layer = (at: number, offset: number): void =>
    view.setUint32(at, offset === ABSENT ? L.LAYER_ABSENT : offset - out, true);
  layer(L.F_L25, packet.l25);
  layer(L.F_L3, packet.l3);
  layer(L.F_L4, packet.l4);
  view.setUint32(L.F_L2_PAD, packet.l2Pad, true);
  view.setUint32(L.F_TUNNEL, 1, true);
  view.setUint32(L.F_PROGRAM, PROGRAM_SLOT, true);
  view.setUint32(L.F_FLOW, key[W_IN_PORT], true);
  return frame;
}

/** Notes the key. */
const logKey = (log: BpfMap<number, Uint8Array>): Code => [
  ldx(W, R1, R9, LOOKED_UP),
  mov(R2, R1),
  add(R2, 1),
  stx(W, R9, LOOKED_UP, R2),
  arrayEntry(log, R1, 'full'),
  Array.from({ length: L.FRAME_KEY_SIZE / 8 }, (_, i) => [ldx(DW, R1, R9, 8 * i), stx(DW, R0, 8 * i, R1)]),
  label('full'),
];

/** Notes kind and cookie, and sends a copy of the packet out of a device where the test finds it. */
const standInUpcall = (ifindex: number): Code =>
  func(
    'upcall',
    mov(R6, R1),
    mov(R7, R2),
    ldx(W, R1, R7, LOG_COUNT),
    and(R1, LOG_ENTRIES - 1),
    mov(R2, R1),
    add(R2, 1),
    stx(W, R7, LOG_COUNT, R2),
    lsh(R1, 3),
    mov(R8, R7),
    add(R8, R1),
    stx(W, R8, LOG, R3),
    ldx(W, R1, R7, L.F_COOKIE),
    stx(W, R8, LOG + 4, R1),
    mov(R1, R6),
    mov(R2, ifindex),
    mov(R3, 0),
    call(helper.cloneRedirect),
    mov(R0, 0),
    exit(),
  );
