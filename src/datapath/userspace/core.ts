import {
  type Flow,
  N_REGS,
  newFlow,
  W_ACTSET_OUTPUT,
  W_CONJ_ID,
  W_CT_IPV6_DST,
  W_CT_LABEL,
  W_CT_MARK,
  W_CT_NW_SRC,
  W_CT_STATE,
  W_CT_TP,
  W_DP_HASH,
  W_IN_PORT,
  W_METADATA,
  W_PACKET_TYPE,
  W_RECIRC_ID,
  W_REG,
  W_TCP_FLAGS,
} from '../../flow/layout.ts';
import type { CtOp } from '../conntrack/action.ts';
import { isFragment } from '../conntrack/packet-tuple.ts';
import { applyEdit, applySetToFlow, sendLength, truncate } from '../packet/edit.ts';
import { DIRTY_ALL, extractFlow, extractReused } from '../packet/extract.ts';
import { datapathHash } from '../packet/hash.ts';
import { ABSENT, DEFAULT_HEADROOM, Packet, RECALLED } from '../packet/packet.ts';
import type { DpAction, ExecuteRequest, PacketOffload, UserspaceCookie } from '../types.ts';
import { type Counters, type DropReason, MAX_PORTS } from './counters.ts';
import { MegaflowTable } from './megaflow-table.ts';
import { MicroflowCaches } from './microflow-shapes.ts';
import * as P from './program.ts';

/** Where packets go out. */
export interface OutputPort {
  /**
   * Sends the first `length` bytes of a packet: it has sent or copied them when it returns. The metadata
   * in `key` (tunnel, marks) are right; its headers may be those that the packet came with.
   */
  transmit(packet: Packet, length: number, key: Flow): void;
}

/** What the core asks of who runs it. */
export interface CoreHost {
  /** Milliseconds, as in `FlowStats.used`. Asked once per packet: cheap. */
  now(): number;
  /**
   * A packet goes to the slow path, for want of a megaflow (no cookie) or by action. What is given is
   * valid during the call only. Returns false if there is no room: the packet is lost.
   */
  upcall(packet: Packet, key: Flow, cookie: UserspaceCookie | null): boolean;
}

/** What is left to do with a fragment that waits: a program, from some op on. */
export interface FragmentRest {
  readonly program: P.Program;
  readonly next: number;
}

/** Connection tracking, where the datapath has it. */
export interface Conntrack {
  /** Tracks the packet and writes the ct_* words of its key; may rewrite the packet (NAT). False: drop it. */
  track(packet: Packet, key: Flow, op: CtOp, now: number): boolean;
  /**
   * The same for a fragment: 'tracked'; 'kept' until others are there; or, if it was the last that was missing, all fragments
   * of its packet, each to go on with.
   */
  trackFragment(
    packet: Packet,
    key: Flow,
    op: CtOp,
    now: number,
    site: number,
    rest: FragmentRest,
  ):
    | readonly { readonly packet: Packet; readonly key: Flow; readonly rest: FragmentRest }[]
    | 'kept'
    | 'tracked';
}

/** Rate limits. */
export interface Meters {
  /** False: the packet is over the limit and to be dropped. */
  admit(meter: number, packet: Packet, now: number): boolean;
}

export interface CoreOptions {
  readonly host: CoreHost;
  readonly counters: Counters;
  readonly maxFlows: number;
  readonly maxMasks: number;
  /** Number in [0, 1), for `sample` and to seed the hashes. */
  readonly random: () => number;
  readonly conntrack?: Conntrack;
  readonly meters?: Meters;
}

/** How often a packet recirculates, one inside the other. Open vSwitch's number. */
export const MAX_RECIRCULATIONS = 6;
/** Recirculations that one packet from a port can lead to in all, with its copies. */
const MAX_LOOKUPS = 4096;
/** Packets that one packet may be copied into at a time by clone, sample, check_pkt_len, recirc. */
const MAX_NESTING = 16;

/**
 * The datapath proper: looks a packet up and does what its megaflow says. It owns no thread, device or
 * queue, so that the same code runs inside a test, a simulator and a forwarding thread.
 *
 * A packet's way: its key is extracted, the microflow cache and then the megaflow table name a slot,
 * the slot's program runs. A program runs on a context, a packet with its key; copies (clone and its
 * kin) get a context of the next level, so nothing is allocated per packet. A key that no longer fits
 * the changed packet is only extracted anew when somebody asks for it.
 *
 * Calls must not nest: a host that can be re-entered from `transmit` or `upcall` queues.
 */
export class Core {
  readonly table: MegaflowTable;
  readonly counters: Counters;
  readonly #host: CoreHost;
  readonly #random: () => number;
  readonly #conntrack: Conntrack | undefined;
  readonly #meters: Meters | undefined;
  readonly #programs: (P.Program | undefined)[] = [];
  readonly #generations: Int32Array;
  readonly #microflows: MicroflowCaches;
  readonly #ports: (OutputPort | undefined)[] = new Array<OutputPort | undefined>(MAX_PORTS).fill(undefined);
  readonly #contexts: Context[] = [];
  #level = 0;
  /** Recirculations that the packet at hand is in, and that the one received led to. */
  #depth = 0;
  #recirculations = 0;
  #now = 0;

  constructor(options: CoreOptions) {
    const seed = Math.floor(options.random() * 2 ** 32);
    this.#host = options.host;
    this.counters = options.counters;
    this.#random = options.random;
    this.#conntrack = options.conntrack;
    this.#meters = options.meters;
    this.table = new MegaflowTable(options, seed);
    this.#generations = new Int32Array(options.maxFlows);
    this.#microflows = new MicroflowCaches(this.#generations, seed);
  }

  setPort(port: number, output: OutputPort | undefined): void {
    this.#ports[port] = output;
  }

  /** Installs a megaflow in a slot that is free, its counters 0; or gives the one there other actions. */
  putFlow(slot: number, key: Flow, mask: Flow, actions: readonly DpAction[]): void {
    if (!this.table.has(slot)) this.table.putAt(slot, key, mask);
    this.setActions(slot, actions);
  }
  setActions(slot: number, actions: readonly DpAction[]): void {
    this.#programs[slot] = P.compile(actions);
  }
  /** Whoever removes a flow reads its counters afterwards, and clears them for the next in the slot. */
  deleteFlow(slot: number): void {
    this.table.remove(slot);
    this.#programs[slot] = undefined;
    this.#generations[slot]++;
  }

  /**
   * A packet came in. Its bytes may be changed in place.
   *
   * @param metadata words of the key that are not in the packet (tunnel, mark); none: zeros
   */
  receive(port: number, packet: Packet, metadata?: Flow): void {
    if (packet.length < 14) {
      this.counters.receiveError(port);
      return;
    }
    this.counters.received(port, packet.length);
    this.#now = this.#host.now();
    this.#recirculations = 0;
    const context = this.#context(0);
    context.packet = packet;
    context.stale = false;
    const key = context.key;
    if (metadata === undefined) {
      // This context's key has had no metadata but what this function put there, unless it is tainted.
      if (context.tainted) {
        key.fill(0);
        context.dirty = 0;
        context.tainted = false;
      }
      key[W_IN_PORT] = port;
      context.dirty = extractReused(packet, key, context.dirty, 2);
      this.#forward(context, context.dirty);
    } else {
      key.set(metadata);
      key[W_IN_PORT] = port;
      context.tainted = true;
      extractFlow(packet, key);
      this.#forward(context, DIRTY_ALL);
    }
  }

  /**
   * Goes on with a packet that another part of the datapath received and counted: looks it up. Its bytes may be changed
   * in place.
   *
   * @param flow words of its key that are not in the packet, recirc_id among them
   * @param depth recirculations behind it
   */
  resume(packet: Packet, flow: Flow, depth: number): void {
    this.#forward(this.#begin(packet, flow, depth), DIRTY_ALL);
    this.#depth = 0;
  }

  /** Runs the actions of a megaflow that another part of the datapath found for the packet, and counted; see `resume`. */
  perform(slot: number, packet: Packet, flow: Flow, depth: number): void {
    const program = this.#programs[slot];
    if (program === undefined) return;
    this.#run(program, this.#begin(packet, flow, depth));
    this.#depth = 0;
  }

  /** Sends a packet out of a port as it is, with the metadata that are given. */
  send(port: number, packet: Packet, flow: Flow): void {
    this.#output(this.#begin(packet, flow, 0), port);
    this.#depth = 0;
  }

  #begin(packet: Packet, flow: Flow, depth: number): Context {
    this.#now = this.#host.now();
    this.#recirculations = depth;
    this.#depth = depth;
    const context = this.#context(0);
    context.packet = packet;
    context.stale = false;
    context.tainted = true;
    context.key.set(flow);
    extractFlow(packet, context.key);
    return context;
  }

  /** Runs actions on a packet that the slow path hands in. The packet must be the caller's own copy. */
  execute(packet: Packet, flow: Flow, actions: readonly DpAction[]): void {
    this.#now = this.#host.now();
    this.#recirculations = 0;
    const context = this.#context(0);
    context.packet = packet;
    context.stale = false;
    context.tainted = true;
    const key = context.key;
    key.set(flow);
    // What only the slow path's pipeline knows is not part of a datapath's keys.
    key.fill(0, W_METADATA, W_REG + N_REGS);
    key[W_CONJ_ID] = 0;
    key[W_ACTSET_OUTPUT] = 0;
    packet.packetType = flow[W_PACKET_TYPE];
    if (flow[W_CT_STATE] !== 0) packet.connection = RECALLED;
    extractFlow(packet, key);
    this.#run(P.compile(actions), context);
  }

  /** Looks the packet up by its key and runs what is found. `filled` says which words may be set. */
  #forward(context: Context, filled: number): void {
    const { counters } = this;
    const key = context.key;
    const cache = this.#microflows.for(filled);
    let slot = cache.find(key);
    if (slot >= 0) {
      counters.microflowHit();
    } else {
      slot = this.table.lookup(key);
      counters.masksSearched(this.table.masksSearched);
      if (slot < 0) {
        counters.missed();
        context.packet.cutLength = 0;
        this.#upcall(context, null);
        return;
      }
      cache.insert(key, slot);
    }
    counters.hit();
    counters.flowHit(slot, context.packet.length, this.#now, (key[W_TCP_FLAGS] >>> 16) & 0xfff);
    this.#run(this.#programs[slot] as P.Program, context);
  }

  #run(program: P.Program, context: Context, first = 0): void {
    const { ops } = program;
    const last = ops.length - 1;
    for (let i = first; i <= last; i++) {
      const op = ops[i];
      switch (op.code) {
        case P.OP_OUTPUT:
          this.#output(context, op.number);
          break;
        case P.OP_EDIT:
          applyEdit(context.packet, op.action);
          context.stale = true;
          break;
        case P.OP_SET_METADATA:
          if (op.action.type === 'set') applySetToFlow(context.key, op.action.group, op.action.words);
          context.tainted = true;
          break;
        case P.OP_USERSPACE:
          this.#refresh(context);
          if (op.action.type === 'userspace') this.#upcall(context, op.action.cookie);
          context.packet.cutLength = 0;
          break;
        case P.OP_RECIRC:
          this.#recirculate(context, op.number, i === last);
          break;
        case P.OP_HASH:
          this.#refresh(context);
          if (op.action.type === 'hash') {
            context.key[W_DP_HASH] = datapathHash(context.key, op.action.algorithm, op.action.basis);
            context.tainted = true;
          }
          break;
        case P.OP_TRUNC:
          truncate(context.packet, op.number);
          break;
        case P.OP_SAMPLE:
          if (op.number === 0xffffffff || this.#random() * 2 ** 32 < op.number) {
            this.#branch(op.nested as P.Program, context, i === last);
          }
          break;
        case P.OP_CLONE:
          this.#branch(op.nested as P.Program, context, i === last);
          break;
        case P.OP_CHECK_LENGTH:
          this.#branch(
            (wireLength(context.packet) > op.number ? op.nested : op.otherwise) as P.Program,
            context,
            i === last,
          );
          break;
        case P.OP_METER:
          if (this.#meters?.admit(op.number, context.packet, this.#now) === false) {
            this.#drop('meter');
            return;
          }
          break;
        case P.OP_CT:
          if (op.ct !== null && !this.#track(context, op.ct, program, i + 1)) return;
          break;
        case P.OP_CT_CLEAR:
          clearConntrack(context.key);
          context.packet.connection = ABSENT;
          break;
        case P.OP_DROP:
          this.#drop('explicit');
          return;
        default:
          this.#drop('unsupported-action');
          return;
      }
    }
  }

  #output(context: Context, port: number): void {
    const { packet } = context;
    const output = this.#ports[port];
    const length = sendLength(packet);
    packet.cutLength = 0;
    if (output === undefined) this.#drop('no-such-port');
    else output.transmit(packet, length, context.key);
  }

  #upcall(context: Context, cookie: UserspaceCookie | null): void {
    const { packet } = context;
    // The slow path and its controllers want a packet as it would be on a wire. One that still has to
    // be segmented cannot be; it travels with its offload state.
    if (packet.csumStart !== ABSENT && packet.gsoType === 0) {
      packet.finishChecksum();
    }
    if (!this.#host.upcall(packet, context.key, cookie)) this.counters.lost();
  }

  /** False: the packet goes no further here. */
  #track(context: Context, op: CtOp, program: P.Program, next: number): boolean {
    if (this.#conntrack === undefined) {
      this.#drop('conntrack-absent');
      return false;
    }
    this.#refresh(context);
    context.tainted = true;
    if (isFragment(context.key)) {
      const rest = { program, next };
      const site = context.key[W_RECIRC_ID] * 2 ** 16 + next;
      const done = this.#conntrack.trackFragment(context.packet, context.key, op, this.#now, site, rest);
      if (done === 'kept') return false;
      if (done !== 'tracked') {
        for (const each of done) this.#goOn(each.packet, each.key, each.rest);
        return false;
      }
      context.stale = op.nat !== null;
      return true;
    }
    if (!this.#conntrack.track(context.packet, context.key, op, this.#now)) {
      this.#drop('conntrack');
      return false;
    }
    context.stale = op.nat !== null;
    return true;
  }

  /** Goes on with a fragment that waited. */
  #goOn(packet: Packet, key: Flow, { program, next }: FragmentRest): void {
    if (this.#level + 1 >= MAX_NESTING) {
      this.#drop('nesting-depth');
      return;
    }
    this.#level++;
    const context = this.#context(this.#level);
    context.packet = packet;
    context.key.set(key);
    context.stale = true;
    context.tainted = true;
    this.#run(program, context, next);
    this.#level--;
  }

  #recirculate(context: Context, id: number, last: boolean): void {
    if (this.#depth >= MAX_RECIRCULATIONS || this.#recirculations >= MAX_LOOKUPS) {
      this.#drop('recirculation-depth');
      return;
    }
    const target = last ? context : this.#copy(context);
    if (target === undefined) return;
    this.#depth++;
    this.#recirculations++;
    target.tainted = true;
    target.key[W_RECIRC_ID] = id;
    extractFlow(target.packet, target.key);
    target.stale = false;
    this.#forward(target, DIRTY_ALL);
    this.#depth--;
    if (!last) this.#level--;
  }

  /** Runs a branch on a copy of the packet, or on itself where nobody can tell the difference. */
  #branch(program: P.Program, context: Context, last: boolean): void {
    if (last || !program.mutates) {
      const cut = context.packet.cutLength;
      this.#run(program, context);
      context.packet.cutLength = cut;
      return;
    }
    const copy = this.#copy(context);
    if (copy === undefined) return;
    this.#run(program, copy);
    this.#level--;
  }

  /** A context of the next level with a copy of packet and key; the caller gives the level back. */
  #copy(from: Context): Context | undefined {
    if (this.#level + 1 >= MAX_NESTING) {
      this.#drop('nesting-depth');
      return undefined;
    }
    this.#level++;
    const to = this.#context(this.#level);
    copyPacket(from.packet, to.own);
    to.packet = to.own;
    to.key.set(from.key);
    to.stale = from.stale;
    to.tainted = true;
    return to;
  }

  #context(level: number): Context {
    let context = this.#contexts[level];
    if (context === undefined) {
      const own = new Packet(new Uint8Array(0));
      context = {
        packet: own,
        own,
        key: newFlow(),
        dirty: DIRTY_ALL,
        stale: false,
        tainted: false,
      };
      this.#contexts[level] = context;
    }
    return context;
  }

  #refresh(context: Context): void {
    if (!context.stale) return;
    extractFlow(context.packet, context.key);
    context.dirty = DIRTY_ALL;
    context.stale = false;
  }

  #drop(reason: DropReason): void {
    this.counters.drop(reason);
  }
}

interface Context {
  packet: Packet;
  /** Packet that copies for this level are made in. */
  readonly own: Packet;
  readonly key: Flow;
  /** What `extractReused` said of the key last time. */
  dirty: number;
  /** The packet has changed since its key was extracted. */
  stale: boolean;
  /** The key's metadata are more than an input port. */
  tainted: boolean;
}

/** Makes `to` a copy of `from`, in its own buffer if that is large enough. */
function copyPacket(from: Packet, to: Packet): void {
  const size = DEFAULT_HEADROOM + from.length;
  const buffer = to.buffer.length >= size ? to.buffer : new Uint8Array(Math.max(size, 2048));
  buffer.set(from.bytes(), DEFAULT_HEADROOM);
  to.attach(buffer, DEFAULT_HEADROOM, size);
  to.packetType = from.packetType;
  to.l25 = from.l25;
  to.l3 = from.l3;
  to.l4 = from.l4;
  to.l2Pad = from.l2Pad;
  to.csumStart = from.csumStart;
  to.csumOffset = from.csumOffset;
  to.gsoType = from.gsoType;
  to.gsoSize = from.gsoSize;
  to.cutLength = from.cutLength;
  to.copyConnection(from);
}

/** Bytes of the longest frame that the packet becomes on a wire. */
function wireLength(packet: Packet): number {
  if (packet.gsoType === 0 || packet.csumStart === ABSENT) return packet.length;
  const l4 = packet.csumStart;
  const isUdp = packet.csumOffset === 6;
  const header = isUdp ? 8 : (packet.buffer[packet.start + l4 + 12] >> 4) << 2;
  return Math.min(packet.length, l4 + header + packet.gsoSize);
}

/** Forgets what connection tracking said. */
function clearConntrack(key: Flow): void {
  key[W_CT_STATE] = 0;
  key[W_CT_MARK] = 0;
  key.fill(0, W_CT_LABEL, W_CT_LABEL + 4);
  key.fill(0, W_CT_NW_SRC, W_CT_IPV6_DST + 4);
  key[W_CT_TP] = 0;
}

/** The request's packet with the offload state it came with, as a copy that may be changed. */
export function packetOf(request: Pick<ExecuteRequest, 'packet' | 'offload'>): Packet {
  const packet = Packet.copyOf(request.packet);
  const offload = request.offload;
  if (offload !== undefined && offload !== null) {
    packet.csumStart = offload.csumStart;
    packet.csumOffset = offload.csumOffset;
    packet.gsoType = offload.gsoType;
    packet.gsoSize = offload.gsoSize;
  }
  return packet;
}

/** What a packet's device left to do, or null if nothing. */
export function offloadOf(packet: Packet): PacketOffload | null {
  const { csumStart, csumOffset, gsoType, gsoSize } = packet;
  return csumStart === ABSENT && gsoType === 0 ? null : { csumStart, csumOffset, gsoType, gsoSize };
}
