import type { ModuleLog } from '../../base/log.ts';
import type { Database, Journal } from '../engine/database.ts';
import type { History } from '../engine/history.ts';

/** Compaction at the earliest this long after the last one, and then only if the file grew a lot. */
const COMPACT_MIN_MS = 10 * 60 * 1000;
/** Compaction at the latest this long after the last one, if anything was written. */
const COMPACT_MAX_MS = 24 * 60 * 60 * 1000;
const COMPACT_MIN_BYTES = 10 * 1024 * 1024;
const COMPACT_MIN_RECORDS = 100;

export interface OpenOptions {
  readonly newUuid: () => string;
  /** Told of damage in the file. */
  readonly log: ModuleLog;
  /** Monotonic time in milliseconds. */
  readonly now: number;
}

/** The file of a served database, of whatever sort. */
export interface DatabaseStorage extends Journal {
  readonly model: 'standalone' | 'clustered';
  /** The name under which the user gave it. */
  readonly name: string;
  /** Transactions so far, where the file gives them ids that last. */
  readonly history?: History;
  /** Place in a cluster. */
  readonly position?: { readonly cid: string; readonly sid: string; readonly index: number };
  /** The reply of `cluster/status`. */
  readonly status?: string;
  /** Whether the file has grown or aged enough to be worth compacting. */
  shouldCompact(now: number): boolean;
  /** Rewrites the file so that it holds the current rows only. */
  compact(db: Database, now: number, wall: number): void;
  /** Replaces schema and rows. `comment` goes to the file. */
  replaceDatabase(db: Database, comment: string, wall: number): void;
  close(): void;
}

/** When a file is worth compacting. */
export class CompactionPolicy {
  #records = 1;
  #base = 0;
  #last: number;

  constructor(now: number) {
    this.#last = now;
  }

  /** Notes that there is one record more; the size up to the first one is the base. */
  onRecord(size: number): void {
    if (++this.#records === 2) this.#base = size;
  }

  isDue(now: number, size: number): boolean {
    const age = now - this.#last;
    if (age < COMPACT_MIN_MS) return false;
    if (age >= COMPACT_MAX_MS) return this.#records > 2;
    return this.#records >= COMPACT_MIN_RECORDS && size > COMPACT_MIN_BYTES && size / 2 > this.#base;
  }

  started(now: number): void {
    this.#last = now;
  }

  compacted(size: number): void {
    this.#records = 2;
    this.#base = size;
  }
}
