import { FLOW_WORDS, type Flow, newFlow, W_IN_PORT, W_RECIRC_ID } from '../../flow/layout.ts';
import { checksum } from '../../wire/checksum.ts';
import { extractFlow } from '../packet/extract.ts';
import { Packet } from '../packet/packet.ts';

/** Fields of a test frame that differ from the usual ones. */
export interface FrameFields {
  readonly src?: number;
  readonly dst?: number;
  /** Tags, outermost first: [tpid, tci]. */
  readonly tags?: readonly (readonly [number, number])[];
  readonly nwSrc?: number;
  readonly nwDst?: number;
  readonly tpSrc?: number;
  readonly tpDst?: number;
  readonly ttl?: number;
  readonly payload?: number;
  /** TCP with these flags instead of UDP. */
  readonly tcpFlags?: number;
}

const half = (n: number): [number, number] => [(n >>> 8) & 255, n & 255];
const word = (n: number): [number, number, number, number] => [
  n >>> 24,
  (n >>> 16) & 255,
  (n >>> 8) & 255,
  n & 255,
];

/** An Ethernet frame with IPv4 and UDP or TCP. `src` and `dst` are the last bytes of the MAC addresses. */
export function frame(fields: FrameFields = {}): Uint8Array {
  const payload = fields.payload ?? 18;
  const tcp = fields.tcpFlags !== undefined;
  const l4 = tcp ? 20 : 8;
  const ip = [
    0x45,
    0,
    ...half(20 + l4 + payload),
    0,
    1,
    0,
    0,
    fields.ttl ?? 64,
    tcp ? 6 : 17,
    0,
    0,
    ...word(fields.nwSrc ?? 0x0a000001),
    ...word(fields.nwDst ?? 0x0a000002),
  ];
  const header = Uint8Array.from(ip);
  const sum = checksum(header, 0, 20);
  header.set(half(sum), 10);
  const ports = [...half(fields.tpSrc ?? 1000), ...half(fields.tpDst ?? 2000)];
  const transport = tcp
    ? [...ports, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, fields.tcpFlags as number, 0x10, 0, 0, 0, 0, 0]
    : [...ports, ...half(8 + payload), 0, 0];
  const tags = (fields.tags ?? []).flatMap(([tpid, tci]) => [...half(tpid), ...half(tci)]);
  const bytes = [
    2,
    0,
    0,
    0,
    0,
    fields.dst ?? 2,
    2,
    0,
    0,
    0,
    0,
    fields.src ?? 1,
    ...tags,
    8,
    0,
    ...header,
    ...transport,
  ];
  return Uint8Array.from([...bytes, ...Array.from({ length: payload }, (_, i) => i & 255)]);
}

/** The key of a frame as it comes in. */
export function keyOf(port: number, bytes: Uint8Array, recircId = 0): Flow {
  const key = newFlow();
  key[W_IN_PORT] = port;
  key[W_RECIRC_ID] = recircId;
  extractFlow(new Packet(bytes), key);
  return key;
}

/** A mask of whole words. */
export function maskOf(...words: readonly number[]): Flow {
  const mask = newFlow();
  for (const w of words) mask[w] = 0xffffffff;
  return mask;
}

/** A mask of every bit. */
export function exactMask(): Flow {
  return new Uint32Array(FLOW_WORDS).fill(0xffffffff);
}

/** `key` without the bits that `mask` does not have. */
export function masked(key: Flow, mask: Flow): Flow {
  return key.map((v, w) => v & mask[w]);
}

/** Bytes as a test failure shows them best. */
export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('');
}
