import { deserialize, serialize } from 'node:v8';
import { FLOW_WORDS, type Flow } from '../../flow/layout.ts';
import { ANSWER_BYTES as CONNTRACK_ANSWER_BYTES, type ConntrackRequest } from '../conntrack/control.ts';
import type { Packet } from '../packet/packet.ts';
import type {
  DpAction,
  ExecuteRequest,
  MeterConfig,
  PacketOffload,
  PortSpec,
  UserspaceCookie,
} from '../types.ts';
import type { Ring } from './ring.ts';

/**
 * What the switch's thread and the forwarding thread say to each other: the records of two rings, one
 * each way. Numbers, keys and packets are plain words and bytes; only action lists, cookies and port
 * specifications, which are trees, go through V8's serializer.
 */

/** Records of the command ring; the number is the record's first word. */
export const CMD_PORT_ADD = 1;
export const CMD_PORT_DELETE = 2;
export const CMD_FLOW_PUT = 3;
export const CMD_FLOW_ACTIONS = 4;
export const CMD_FLOW_DELETE = 5;
export const CMD_EXECUTE = 6;
export const CMD_SYNC = 7;
export const CMD_STOP = 8;
export const CMD_METER_SET = 9;
export const CMD_METER_DELETE = 10;
export const CMD_CONNTRACK = 11;

/** Words of the control block. */
export const CTL_WORKER_SLEEPS = 0;
export const CTL_MAIN_SLEEPS = 1;
/** Commands that have taken effect, modulo 2^32. */
export const CTL_PROCESSED = 2;
/** Main waits for CTL_PROCESSED to move. */
export const CTL_MAIN_WAITS = 3;
/** Length of the answer to the last command that has one. */
export const CTL_ANSWER_LENGTH = 4;
export const CTL_WORDS = 16;
export const ANSWER_BYTES = CONNTRACK_ANSWER_BYTES;

/** What the forwarding thread is started with. */
export interface WorkerSetup {
  readonly control: SharedArrayBuffer;
  readonly answer: SharedArrayBuffer;
  readonly counters: SharedArrayBuffer;
  /** Of the meters; grows. */
  readonly meters: SharedArrayBuffer;
  readonly commands: SharedArrayBuffer;
  readonly upcalls: SharedArrayBuffer;
  /** eventfd that wakes it from poll. */
  readonly wakeFd: number;
  readonly maxFlows: number;
  readonly maxMasks: number;
  readonly spinMicroseconds: number;
  readonly seed: number;
}

/** What it tells by message, where no ring record is worth it. */
export type WorkerMessage =
  | { readonly type: 'upcalls' }
  | { readonly type: 'synced'; readonly id: number }
  | { readonly type: 'fault'; readonly what: string; readonly reason: string }
  | { readonly type: 'port-failed'; readonly name: string; readonly reason: string };

/** Answer to CMD_PORT_ADD. */
export type Answer =
  | { readonly ok: true }
  | { readonly ok: false; readonly code: string; readonly message: string; readonly remedy: string };

/** Writes one record. Returns false, having written nothing, if there is no room now. */
export type Writer = (ring: Ring) => boolean;

function record(ring: Ring, words: readonly number[], parts: readonly Uint8Array[]): boolean {
  let length = words.length * 4;
  for (const part of parts) length += part.length;
  const at = ring.reserve(length);
  if (at < 0) return false;
  const w = at >> 2;
  for (let i = 0; i < words.length; i++) ring.words[w + i] = words[i];
  let offset = at + words.length * 4;
  for (const part of parts) {
    ring.bytes.set(part, offset);
    offset += part.length;
  }
  ring.commit();
  return true;
}

const bytesOf = (flow: Flow): Uint8Array => new Uint8Array(flow.buffer, flow.byteOffset, flow.byteLength);

export function portAddCommand(port: number, spec: PortSpec): Writer {
  const tree = serialize(spec);
  return (ring) => record(ring, [CMD_PORT_ADD, port], [tree]);
}
export function portDeleteCommand(port: number): Writer {
  return (ring) => record(ring, [CMD_PORT_DELETE, port], []);
}
export function flowPutCommand(slot: number, key: Flow, mask: Flow, actions: readonly DpAction[]): Writer {
  const tree = serialize(actions);
  return (ring) => record(ring, [CMD_FLOW_PUT, slot], [bytesOf(key), bytesOf(mask), tree]);
}
export function flowActionsCommand(slot: number, actions: readonly DpAction[]): Writer {
  const tree = serialize(actions);
  return (ring) => record(ring, [CMD_FLOW_ACTIONS, slot], [tree]);
}
export function flowDeleteCommand(slots: readonly number[]): Writer {
  return (ring) => record(ring, [CMD_FLOW_DELETE, ...slots], []);
}
export function executeCommand(request: ExecuteRequest): Writer {
  const tree = serialize(request.actions);
  const o = request.offload;
  const words = [
    CMD_EXECUTE,
    o?.csumStart ?? -1,
    o?.csumOffset ?? 0,
    o?.gsoType ?? 0,
    o?.gsoSize ?? 0,
    request.packet.length,
  ];
  return (ring) => record(ring, words, [bytesOf(request.flow), request.packet, tree]);
}
export function meterSetCommand(meter: number, config: MeterConfig): Writer {
  const tree = serialize(config);
  return (ring) => record(ring, [CMD_METER_SET, meter], [tree]);
}
export function meterDeleteCommand(meter: number): Writer {
  return (ring) => record(ring, [CMD_METER_DELETE, meter], []);
}
export function conntrackCommand(request: ConntrackRequest): Writer {
  const tree = serialize(request);
  return (ring) => record(ring, [CMD_CONNTRACK], [tree]);
}
export function syncCommand(id: number): Writer {
  return (ring) => record(ring, [CMD_SYNC, id], []);
}
export const stopCommand: Writer = (ring) => record(ring, [CMD_STOP], []);

/** What to do for each command. Keys, masks and packets are the ring's memory: valid during the call. */
export interface CommandHandler {
  portAdd(port: number, spec: PortSpec): void;
  portDelete(port: number): void;
  flowPut(slot: number, key: Flow, mask: Flow, actions: readonly DpAction[]): void;
  flowActions(slot: number, actions: readonly DpAction[]): void;
  flowDelete(slot: number): void;
  meterSet(meter: number, config: MeterConfig): void;
  meterDelete(meter: number): void;
  conntrack(request: ConntrackRequest): void;
  execute(request: ExecuteRequest): void;
  sync(id: number): void;
  stop(): void;
}

/** Reads the oldest command, if there is one, and has it done; it is gone from the ring even if that throws. */
export function takeCommand(ring: Ring, handler: CommandHandler): boolean {
  const at = ring.next();
  if (at < 0) return false;
  const w = at >> 2;
  const end = at + ring.length;
  const { words } = ring;
  const flow = (offset: number): Flow =>
    new Uint32Array(ring.memory, ring.bytes.byteOffset + offset, FLOW_WORDS);
  const tree = (offset: number): unknown => deserialize(ring.bytes.slice(offset, end));
  try {
    switch (words[w]) {
      case CMD_PORT_ADD:
        handler.portAdd(words[w + 1], tree(at + 8) as PortSpec);
        break;
      case CMD_PORT_DELETE:
        handler.portDelete(words[w + 1]);
        break;
      case CMD_FLOW_PUT: {
        const mask = at + 8 + FLOW_WORDS * 4;
        const actions = tree(mask + FLOW_WORDS * 4) as DpAction[];
        handler.flowPut(words[w + 1], flow(at + 8), flow(mask), actions);
        break;
      }
      case CMD_FLOW_ACTIONS:
        handler.flowActions(words[w + 1], tree(at + 8) as DpAction[]);
        break;
      case CMD_FLOW_DELETE:
        for (let i = w + 1; i < end >> 2; i++) handler.flowDelete(words[i]);
        break;
      case CMD_EXECUTE: {
        const packet = at + 24 + FLOW_WORDS * 4;
        const packetEnd = packet + words[w + 5];
        handler.execute({
          packet: ring.bytes.subarray(packet, packetEnd),
          flow: flow(at + 24),
          actions: tree(packetEnd) as DpAction[],
          offload: readOffload(words, w + 1),
        });
        break;
      }
      case CMD_METER_SET:
        handler.meterSet(words[w + 1], tree(at + 8) as MeterConfig);
        break;
      case CMD_METER_DELETE:
        handler.meterDelete(words[w + 1]);
        break;
      case CMD_CONNTRACK:
        handler.conntrack(tree(at + 4) as ConntrackRequest);
        break;
      case CMD_SYNC:
        handler.sync(words[w + 1]);
        break;
      case CMD_STOP:
        handler.stop();
        break;
    }
  } finally {
    ring.release();
  }
  return true;
}

function readOffload(words: Int32Array, w: number): PacketOffload | null {
  if (words[w] < 0 && words[w + 2] === 0) return null;
  return { csumStart: words[w], csumOffset: words[w + 1], gsoType: words[w + 2], gsoSize: words[w + 3] };
}

/** An upcall on its way; the fields are copies. */
export interface UpcallRecord {
  readonly port: number;
  readonly bytes: number;
  readonly packet: Uint8Array;
  readonly flow: Flow;
  readonly cookie: UserspaceCookie | null;
  readonly offload: PacketOffload | null;
}

/** Words in front of an upcall's key: port, offload (4), lengths of packet and cookie, and a spare one. */
const UPCALL_WORDS = 8;

export const upcallLength = (packet: number, cookie: number): number =>
  UPCALL_WORDS * 4 + FLOW_WORDS * 4 + packet + cookie;

/** Writes an upcall; false if there is no room. */
export function putUpcall(
  ring: Ring,
  port: number,
  packet: Packet,
  length: number,
  key: Flow,
  cookie: Uint8Array,
): boolean {
  const at = ring.reserve(upcallLength(length, cookie.length));
  if (at < 0) return false;
  const w = at >> 2;
  const { words, bytes } = ring;
  words[w] = port;
  words[w + 1] = packet.csumStart;
  words[w + 2] = packet.csumOffset;
  words[w + 3] = packet.gsoType;
  words[w + 4] = packet.gsoSize;
  words[w + 5] = length;
  words[w + 6] = cookie.length;
  for (let i = 0; i < FLOW_WORDS; i++) words[w + UPCALL_WORDS + i] = key[i];
  const body = at + (UPCALL_WORDS + FLOW_WORDS) * 4;
  bytes.set(packet.buffer.subarray(packet.start, packet.start + length), body);
  bytes.set(cookie, body + length);
  ring.commit();
  return true;
}

/** Takes the oldest upcall; undefined if there is none. */
export function takeUpcall(ring: Ring): UpcallRecord | undefined {
  const at = ring.next();
  if (at < 0) return undefined;
  const w = at >> 2;
  const { words, bytes } = ring;
  const length = words[w + 5];
  const cookieLength = words[w + 6];
  const key = at + UPCALL_WORDS * 4;
  const body = key + FLOW_WORDS * 4;
  const taken: UpcallRecord = {
    port: words[w],
    bytes: ring.length,
    packet: bytes.slice(body, body + length),
    flow: new Uint32Array(bytes.slice(key, body).buffer),
    cookie:
      cookieLength === 0
        ? null
        : (deserialize(bytes.slice(body + length, body + length + cookieLength)) as UserspaceCookie),
    offload: readOffload(words, w + 1),
  };
  ring.release();
  return taken;
}
