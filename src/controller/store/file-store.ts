/**
 * # The store in one file
 *
 * A file in the format of ovsdb(5): records with their length and SHA-1, appended, each on disk before the write
 * that made it is answered. The first record says what the file is and how many entries the snapshot has that
 * follows it; the records behind the snapshot are one commit each:
 *
 *     {"weft-config": 1, "revision": 40, "entries": 2}
 *     {"entries": [["object/tenant/...", 12, "{...}"], ["label/...", 40, "..."]]}
 *     {"revision": 41, "put": [["object/tenant/...", "{...}"]], "delete": ["label/..."]}
 *
 * A commit that was torn by a crash is cut off by the next write; it was never answered. A write that fails leaves
 * the file as it was: what was appended is cut off again, and where the disk gives no answer that can be
 * relied on (fsync failed), the whole file is written anew before the next commit.
 */
import type { Clock } from '../../base/clock.ts';
import { WeftError } from '../../base/errors.ts';
import type { ModuleLog } from '../../base/log.ts';
import { type FileAccess, Log } from '../../ovsdb/file/log.ts';
import { CompactionPolicy } from '../../ovsdb/file/policy.ts';
import type { Json, JsonObject } from '../../ovsdb/json.ts';
import type { ConfigStore, StoreOperation, StoreRecord } from './store.ts';

const FORMAT = 1;
/** Entries in one record of a snapshot: keeps each record, and the memory to read it, small. */
const CHUNK = 1000;

interface Entry {
  readonly value: string;
  readonly revision: number;
}

export interface FileStoreOptions {
  readonly log: ModuleLog;
  readonly clock: Clock;
}

export class FileStore implements ConfigStore {
  readonly #access: FileAccess;
  readonly #file: Log;
  readonly #options: FileStoreOptions;
  readonly #policy: CompactionPolicy;
  readonly #entries = new Map<string, Entry>();
  #revision = 0;
  /** The end of the queue of commits: one is written at a time. */
  #last: Promise<unknown> = Promise.resolve();
  /** What is on disk may differ from what is here: rewrite it before anything else. */
  #suspect = false;
  #closed = false;

  private constructor(access: FileAccess, options: FileStoreOptions) {
    this.#access = access;
    this.#file = new Log(access);
    this.#options = options;
    this.#policy = new CompactionPolicy(options.clock.now());
  }

  /**
   * Reads a file, or makes an empty one a store. A torn or damaged commit at its end is logged and left out. Throws
   * `store-damaged` if it is no store, or its snapshot is damaged; `store-full`, `store-failed`.
   */
  static open(access: FileAccess, options: FileStoreOptions): FileStore {
    const store = new FileStore(access, options);
    if (access.read(0, 1).length === 0) store.#rewrite();
    else store.#read();
    return store;
  }

  get revision(): number {
    return this.#revision;
  }

  load(): Promise<readonly StoreRecord[]> {
    const records = [...this.#entries].map(([key, { value, revision }]) => ({ key, value, revision }));
    return Promise.resolve(records.sort((a, b) => (a.key < b.key ? -1 : 1)));
  }

  commit(expected: number, operations: readonly StoreOperation[]): Promise<number> {
    const turn = this.#last.then(() => this.#commit(expected, operations));
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  async close(): Promise<void> {
    await this.#last;
    if (this.#closed) return;
    this.#closed = true;
    this.#file.close();
  }

  async #commit(expected: number, operations: readonly StoreOperation[]): Promise<number> {
    if (this.#closed) throw new WeftError('store-failed', `${this.#access.name}: the store is closed`);
    if (expected !== this.#revision) {
      throw new WeftError(
        'store-conflict',
        `${this.#access.name}: the store is at revision ${this.#revision}, not ${expected}`,
        { remedy: 'read again, and write what still holds' },
      );
    }
    if (this.#suspect) this.#rewrite();
    const revision = this.#revision + 1;
    try {
      this.#file.append(commitRecord(revision, operations));
    } catch (error) {
      this.#cut();
      throw failure(this.#access.name, error);
    }
    try {
      await this.#file.sync();
    } catch (error) {
      this.#suspect = true;
      try {
        this.#rewrite();
      } catch (again) {
        this.#options.log.err(`could not take back a failed write: ${(again as Error).message}`);
      }
      throw failure(this.#access.name, error);
    }
    this.#apply(revision, operations);
    this.#policy.onRecord(this.#file.size);
    this.#compactIfDue();
    return revision;
  }

  /** Cuts off what a failed append left. Where that fails too, reading will stop there: it is not whole. */
  #cut(): void {
    try {
      this.#access.truncate(this.#file.size);
    } catch (error) {
      this.#options.log.warn(`${this.#access.name}: cannot be cut: ${(error as Error).message}`);
    }
  }

  #apply(revision: number, operations: readonly StoreOperation[]): void {
    for (const operation of operations) {
      if (operation.op === 'put') this.#entries.set(operation.key, { value: operation.value, revision });
      else this.#entries.delete(operation.key);
    }
    this.#revision = revision;
  }

  #compactIfDue(): void {
    const now = this.#options.clock.now();
    if (!this.#policy.isDue(now, this.#file.size)) return;
    this.#policy.started(now);
    try {
      this.#rewrite();
    } catch (error) {
      // The commit itself is on disk; the file is merely longer than it need be.
      this.#options.log.warn(`compaction failed: ${(error as Error).message}`);
    }
  }

  #rewrite(): void {
    const records: JsonObject[] = [
      { 'weft-config': FORMAT, revision: this.#revision, entries: this.#entries.size },
    ];
    let chunk: Json[] = [];
    for (const [key, { value, revision }] of this.#entries) {
      chunk.push([key, revision, value]);
      if (chunk.length < CHUNK) continue;
      records.push({ entries: chunk });
      chunk = [];
    }
    if (chunk.length > 0) records.push({ entries: chunk });
    try {
      this.#file.replace(records);
    } catch (error) {
      throw failure(this.#access.name, error);
    }
    this.#suspect = false;
    this.#policy.compacted(this.#file.size);
  }

  #read(): void {
    let header: JsonObject | null;
    try {
      this.#file.identify();
      header = this.#file.read();
    } catch (cause) {
      throw damaged(this.#access.name, (cause as Error).message, cause);
    }
    if (header?.['weft-config'] !== FORMAT) {
      throw damaged(this.#access.name, `its first record is no configuration of format ${FORMAT}`);
    }
    this.#readSnapshot(Number(header.entries), Number(header.revision));
    this.#policy.onRecord(this.#file.size);
    try {
      for (let record = this.#file.read(); record !== null; record = this.#file.read()) {
        const operations = parseCommit(record, this.#revision + 1);
        if (operations === undefined) {
          this.#file.unread();
          throw new Error(
            `${this.#access.name}: a record is not the commit of revision ${this.#revision + 1}`,
          );
        }
        this.#apply(this.#revision + 1, operations);
        this.#policy.onRecord(this.#file.size);
      }
    } catch (error) {
      this.#options.log.err(
        `${(error as Error).message}; what follows revision ${this.#revision} is cut off by the next write`,
      );
    }
  }

  #readSnapshot(count: number, revision: number): void {
    while (this.#entries.size < count) {
      let record: JsonObject | null;
      try {
        record = this.#file.read();
      } catch (cause) {
        throw damaged(this.#access.name, (cause as Error).message, cause);
      }
      const entries = record?.entries;
      if (!Array.isArray(entries) || entries.length === 0) {
        throw damaged(this.#access.name, `its snapshot has ${this.#entries.size} of ${count} entries`);
      }
      for (const entry of entries as Json[]) {
        const [key, at, value] = Array.isArray(entry) ? (entry as Json[]) : [];
        if (typeof key !== 'string' || typeof at !== 'number' || typeof value !== 'string') {
          throw damaged(this.#access.name, `an entry of its snapshot is ${JSON.stringify(entry)}`);
        }
        this.#entries.set(key, { value, revision: at });
      }
    }
    if (!Number.isSafeInteger(revision)) throw damaged(this.#access.name, `its revision is ${revision}`);
    this.#revision = revision;
  }
}

function commitRecord(revision: number, operations: readonly StoreOperation[]): JsonObject {
  const put: Json[] = [];
  const gone: Json[] = [];
  // The last operation on a key is the one that counts, as in #apply.
  const last = new Map(operations.map((operation) => [operation.key, operation]));
  for (const operation of last.values()) {
    if (operation.op === 'put') put.push([operation.key, operation.value]);
    else gone.push(operation.key);
  }
  return { revision, put, delete: gone };
}

/** Undefined if the record is no commit of this revision. */
function parseCommit(record: JsonObject, revision: number): StoreOperation[] | undefined {
  const { put, delete: gone } = record;
  if (record.revision !== revision || !Array.isArray(put) || !Array.isArray(gone)) return undefined;
  const operations: StoreOperation[] = [];
  for (const pair of put as Json[]) {
    const [key, value] = Array.isArray(pair) ? (pair as Json[]) : [];
    if (typeof key !== 'string' || typeof value !== 'string') return undefined;
    operations.push({ op: 'put', key, value });
  }
  for (const key of gone as Json[]) {
    if (typeof key !== 'string') return undefined;
    operations.push({ op: 'delete', key });
  }
  return operations;
}

function damaged(name: string, why: string, cause?: unknown): WeftError {
  return new WeftError('store-damaged', `${name}: cannot be read: ${why}`, {
    remedy: 'name the file of this controller, or restore it from a copy',
    cause,
  });
}

/** Whether the operating system said that there is no room. */
function isFull(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) {
    const code = 'code' in at ? at.code : undefined;
    if (code === 'ENOSPC' || code === 'EDQUOT') return true;
  }
  return false;
}

function failure(name: string, cause: unknown): WeftError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return isFull(cause)
    ? new WeftError('store-full', `${name}: the disk is full, nothing was changed: ${why}`, {
        remedy: 'make room on the disk, then repeat the request',
        cause,
      })
    : new WeftError('store-failed', `${name}: could not be written, nothing was changed: ${why}`, {
        remedy: 'see the log of the controller, and check the disk',
        cause,
      });
}
