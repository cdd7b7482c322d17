import type { ZoneLimit } from './limits.ts';
import * as C from './table.ts';
import type { TimeoutPolicy } from './timeouts.ts';
import type { ConnectionTracker } from './tracker.ts';
import { TUPLE_WORDS, type Tuple } from './tuple.ts';

/**
 * What may be asked of a tracker, as plain trees: the same goes by a call in this thread, and by a ring to the forwarding
 * thread. `connections.ts` is the other end.
 */
export type ConntrackRequest =
  /** Connections of a zone (null: of all), from a slot on, as many as go into an answer. */
  | { readonly kind: 'dump'; readonly from: number; readonly zone: number | null }
  | { readonly kind: 'flush'; readonly zone: number | null }
  /** Forgets the connection of that original tuple. */
  | { readonly kind: 'forget'; readonly tuple: Tuple }
  | { readonly kind: 'state' }
  | { readonly kind: 'set-max-connections'; readonly value: number }
  | { readonly kind: 'set-tcp-sequence-check'; readonly value: boolean }
  | { readonly kind: 'set-limit'; readonly zone: number | null; readonly limit: number }
  | { readonly kind: 'delete-limit'; readonly zone: number | null }
  | { readonly kind: 'limits' }
  | { readonly kind: 'set-timeouts'; readonly name: string; readonly policy: TimeoutPolicy }
  | { readonly kind: 'delete-timeouts'; readonly name: string };

export interface ConntrackState {
  readonly connections: number;
  readonly maxConnections: number;
  readonly checksTcpSequence: boolean;
}

/** Records one after the other, RECORD_WORDS each; `next`: slot to ask for next, -1: that was all. */
export interface DumpAnswer {
  readonly records: Uint32Array;
  readonly next: number;
}

export type ConntrackAnswer = null | boolean | ConntrackState | DumpAnswer | readonly ZoneLimit[];

/** A record: the connection's words, the milliseconds left, its parent's tuple (zeros: it has none). */
export const R_LEFT = C.C_WORDS;
export const R_PARENT = R_LEFT + 1;
export const RECORD_WORDS = R_PARENT + TUPLE_WORDS;

/** Connections in an answer, and slots looked at for one: neither memory nor time is without bound. */
const MOST_RECORDS = 1000;
const MOST_SLOTS = 50_000;

/** Bytes that an answer takes at most. */
export const ANSWER_BYTES = MOST_RECORDS * RECORD_WORDS * 4 + 4096;

/** Limits of which an answer tells. */
const MOST_LIMITS = 4000;

export function answer(tracker: ConnectionTracker, request: ConntrackRequest, now: number): ConntrackAnswer {
  const { table, limits, timeouts, states } = tracker;
  switch (request.kind) {
    case 'dump':
      return dump(tracker, request.from, request.zone, now);
    case 'flush':
      flush(table, request.zone);
      return null;
    case 'forget': {
      const found = table.find(request.tuple, now);
      if (found < 0 || (found & 1) === 1) return false;
      table.remove(found >> 1);
      return true;
    }
    case 'state':
      return {
        connections: table.count,
        maxConnections: tracker.maxConnections,
        checksTcpSequence: states.tcp.checksSequence,
      };
    case 'set-max-connections':
      tracker.maxConnections = request.value;
      return null;
    case 'set-tcp-sequence-check':
      states.tcp.checksSequence = request.value;
      return null;
    case 'set-limit':
      limits.set(request.zone, request.limit);
      return null;
    case 'delete-limit':
      return limits.delete(request.zone);
    case 'limits':
      return limits
        .list()
        .slice(0, MOST_LIMITS)
        .map(({ zone, limit, count }) => ({ zone, limit, count }));
    case 'set-timeouts':
      timeouts.set(request.name, request.policy);
      return null;
    case 'delete-timeouts':
      timeouts.delete(request.name);
      return null;
  }
}

function flush(table: C.ConnectionTable, zone: number | null): void {
  for (let slot = 0; slot < table.slots; slot++) {
    if (!table.used(slot)) continue;
    table.at(slot);
    if (zone === null || table.words[table.base + C.C_KEY + TUPLE_WORDS - 1] >>> 16 === zone)
      table.remove(slot);
  }
}

function dump(tracker: ConnectionTracker, from: number, zone: number | null, now: number): DumpAnswer {
  const { table } = tracker;
  const stop = Math.min(table.slots, from + MOST_SLOTS);
  const records = new Uint32Array(MOST_RECORDS * RECORD_WORDS);
  let count = 0;
  let slot = from;
  for (; slot < stop && count < MOST_RECORDS; slot++) {
    if (!table.used(slot) || table.deadline(slot) <= now) continue;
    table.at(slot);
    const { words, base } = table;
    if (zone !== null && words[base + C.C_KEY + TUPLE_WORDS - 1] >>> 16 !== zone) continue;
    const at = count++ * RECORD_WORDS;
    records.set(words.subarray(base, base + C.C_WORDS), at);
    records[at + R_LEFT] = table.deadline(slot) - now;
    const parent = tracker.parentOf(slot);
    if (parent !== undefined) records.set(parent, at + R_PARENT);
  }
  return { records: records.slice(0, count * RECORD_WORDS), next: slot < table.slots ? slot : -1 };
}
