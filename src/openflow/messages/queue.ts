import type { Reader, Writer } from '../bytes.ts';
import { OFPP_ALL, OFPP_ANY, OFPP_MAX, OFPQ_ALL, UINT32_MAX } from '../constants.ts';
import { type Codec, codec, head, multipartHead, reject } from '../family.ts';
import type { Header, Multipart } from '../header.ts';
import { portFromWire16, portFromWire32, portToWire16 } from '../ports.ts';
import { readProperties, writeU16Property } from '../properties.ts';
import { OF10, OF12, OF13, OF14 } from '../version.ts';

export interface QueueStats {
  readonly port: number;
  readonly queue: number;
  /** UINT64_MAX where unknown. */
  readonly txBytes: bigint;
  readonly txPackets: bigint;
  readonly txErrors: bigint;
  /** OpenFlow 1.3 and later; UINT32_MAX: unknown. */
  readonly durationSec: number;
  readonly durationNsec: number;
}

export interface QueueStatsRequest extends Header {
  readonly kind: 'queue_stats_request';
  /** OFPP_ANY: all. */
  readonly port: number;
  /** OFPQ_ALL: all. */
  readonly queue: number;
}

export interface QueueStatsReply extends Header, Multipart {
  readonly kind: 'queue_stats_reply';
  readonly queues: readonly QueueStats[];
}

export interface QueueConfig {
  readonly port: number;
  readonly queue: number;
  /** Tenths of a percent; above 1000: disabled; null: not given. */
  readonly minRate: number | null;
  readonly maxRate: number | null;
}

/** A message of its own up to OpenFlow 1.3, a multipart (queue desc) from 1.4 on. */
export interface QueueGetConfigRequest extends Header {
  readonly kind: 'queue_get_config_request';
  /** OFPP_ANY: all, from OpenFlow 1.4 on. */
  readonly port: number;
  /** OFPQ_ALL: all; before OpenFlow 1.4 always so. */
  readonly queue: number;
}

export interface QueueGetConfigReply extends Header, Multipart {
  readonly kind: 'queue_get_config_reply';
  /** The port asked for, which up to OpenFlow 1.3 is in the reply itself; OFPP_ANY: none. */
  readonly port: number;
  readonly queues: readonly QueueConfig[];
}

const OF14_STATS_LENGTH = 48;
const MIN_RATE = 1;
const MAX_RATE = 2;

function readPortNumber(r: Reader, version: number): number {
  return version === OF10 ? portFromWire16(r.u16()) : portFromWire32(r.u32());
}

/** Writes a port in 32 bits: in OpenFlow 1.0 16 and 16 of zeros. */
function writePortNumber(w: Writer, port: number, version: number): void {
  if (version === OF10) {
    w.u16(portToWire16(port));
    w.u16(0);
  } else {
    w.u32(port);
  }
}

const statsRequest = codec(
  ['queue_stats_request'],
  (r, c) => {
    const port = readPortNumber(r, c.version);
    if (c.version === OF10) r.skip(2);
    // OpenFlow 1.0 had no "any": it says "all" instead.
    const any = c.version === OF10 && port === OFPP_ALL;
    return { ...head(c, 'queue_stats_request'), port: any ? OFPP_ANY : port, queue: r.u32() };
  },
  ({ port, queue }, { w, version }) => {
    writePortNumber(w, version === OF10 && port === OFPP_ANY ? OFPP_ALL : port, version);
    w.u32(queue);
  },
);

function readQueueStats(r: Reader, version: number): QueueStats {
  if (version >= OF14) {
    const length = r.u16();
    if (length < OF14_STATS_LENGTH || length - 2 > r.left) {
      reject('OFPBRC_BAD_LEN', `queue stats of length ${length}, ${r.left + 2} are there`);
    }
    const entry = r.sub(length - 2);
    entry.skip(6);
    return readQueueStats(entry, OF13);
  }
  const port = readPortNumber(r, version);
  if (version === OF10) r.skip(2);
  return {
    port,
    queue: r.u32(),
    txBytes: r.u64(),
    txPackets: r.u64(),
    txErrors: r.u64(),
    durationSec: version < OF13 ? UINT32_MAX : r.u32(),
    durationNsec: version < OF13 ? UINT32_MAX : r.u32(),
  };
}

function writeQueueStats(w: Writer, s: QueueStats, version: number): void {
  if (version >= OF14) {
    w.u16(OF14_STATS_LENGTH);
    w.zeros(6);
  }
  writePortNumber(w, s.port, version);
  w.u32(s.queue);
  w.u64(s.txBytes);
  w.u64(s.txPackets);
  w.u64(s.txErrors);
  if (version < OF13) return;
  w.u32(s.durationSec);
  w.u32(s.durationSec === UINT32_MAX ? UINT32_MAX : s.durationNsec);
}

const statsReply = codec(
  ['queue_stats_reply'],
  (r, c) => {
    const queues: QueueStats[] = [];
    while (r.left > 0) queues.push(readQueueStats(r, c.version));
    return { ...multipartHead(c, 'queue_stats_reply'), queues };
  },
  ({ queues }, out) => {
    for (const queue of queues) out.entry((w) => writeQueueStats(w, queue, out.version));
  },
);

const configRequest = codec(
  ['queue_get_config_request'],
  (r, c) => {
    const port = readPortNumber(r, c.version);
    if (c.version < OF14 && port >= OFPP_MAX && (port !== OFPP_ANY || c.version === OF10)) {
      reject('OFPQOFC_BAD_PORT', `queue config of reserved port 0x${port.toString(16)}`);
    }
    const queue = c.version < OF14 ? OFPQ_ALL : r.u32();
    return { ...head(c, 'queue_get_config_request'), port, queue };
  },
  ({ port, queue }, { w, version }) => {
    writePortNumber(w, port, version);
    if (version >= OF14) w.u32(queue);
    else if (version > OF10) w.u32(0);
  },
);

function rateOf(rate: number): number | null {
  return rate === 0xffff ? null : rate;
}

/** Reads a queue's properties before OpenFlow 1.4, which have a form of their own. */
function readOf10QueueProperties(r: Reader): { minRate: number | null; maxRate: number | null } {
  const rates: { minRate: number | null; maxRate: number | null } = { minRate: null, maxRate: null };
  while (r.left > 0) {
    const property = r.u16();
    const length = r.u16();
    if (length < 8 || length - 4 > r.left || length % 8 !== 0) {
      reject('OFPBRC_BAD_LEN', `queue property ${property} of length ${length}, ${r.left + 4} are there`);
    }
    const payload = r.sub(length - 4);
    if (property !== MIN_RATE && property !== MAX_RATE) continue;
    if (length !== 16) reject('OFPBRC_BAD_LEN', `queue rate of length ${length}, must be 16`);
    payload.skip(4);
    rates[property === MIN_RATE ? 'minRate' : 'maxRate'] = rateOf(payload.u16());
  }
  return rates;
}

function readQueueConfig(r: Reader, version: number, replyPort: number): QueueConfig {
  const start = r.pos;
  let port = replyPort;
  let queue: number;
  if (version >= OF14) {
    port = portFromWire32(r.u32());
    queue = r.u32();
  } else {
    queue = r.u32();
    if (version >= OF12) r.skip(4);
  }
  const length = r.u16();
  r.skip(version < OF12 ? 2 : 6);
  const headLength = r.pos - start;
  if (length < headLength || length - headLength > r.left || length % 8 !== 0) {
    reject('OFPBRC_BAD_LEN', `queue description of length ${length}, ${r.left + headLength} are there`);
  }
  const properties = r.sub(length - headLength);
  if (version < OF14) return { port, queue, ...readOf10QueueProperties(properties) };
  let minRate: number | null = null;
  let maxRate: number | null = null;
  for (const { type, experimenter, payload } of readProperties(properties)) {
    if (experimenter === 0 && type === MIN_RATE) minRate = rateOf(payload.u16());
    if (experimenter === 0 && type === MAX_RATE) maxRate = rateOf(payload.u16());
  }
  return { port, queue, minRate, maxRate };
}

function writeQueueConfig(w: Writer, q: QueueConfig, version: number): void {
  const start = w.length;
  let lengthAt: number;
  if (version >= OF14) {
    w.u32(q.port);
    w.u32(q.queue);
    lengthAt = w.zeros(8);
  } else {
    w.u32(q.queue);
    if (version >= OF12) w.u32(q.port);
    lengthAt = w.zeros(version < OF12 ? 4 : 8);
  }
  const rate = (type: number, value: number | null): void => {
    if (value === null) return;
    if (version >= OF14) {
      writeU16Property(w, type, value);
      return;
    }
    w.u16(type);
    w.u16(16);
    w.u32(0);
    w.u16(value);
    w.zeros(6);
  };
  const propertiesAt = w.length;
  rate(MIN_RATE, q.minRate);
  rate(MAX_RATE, q.maxRate);
  if (version >= OF14) w.pad(8, propertiesAt);
  w.setU16(lengthAt, w.length - start);
}

const configReply = codec(
  ['queue_get_config_reply'],
  (r, c) => {
    let port = OFPP_ANY;
    if (c.version < OF14) {
      port = readPortNumber(r, c.version);
      r.skip(c.version === OF10 ? 6 : 4);
    }
    const queues: QueueConfig[] = [];
    while (r.left > 0) queues.push(readQueueConfig(r, c.version, port));
    return { ...multipartHead(c, 'queue_get_config_reply'), port, queues };
  },
  ({ port, queues }, out) => {
    if (out.version < OF14) {
      writePortNumber(out.w, port, out.version);
      out.w.u32(0);
    }
    for (const queue of queues) out.entry((w) => writeQueueConfig(w, queue, out.version));
  },
);

export const queueCodecs: readonly Codec[] = [statsRequest, statsReply, configRequest, configReply];
