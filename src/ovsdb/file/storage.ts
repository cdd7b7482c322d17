import type { ModuleLog } from '../../base/log.ts';
import { Database, type Journal } from '../engine/database.ts';
import { OvsdbError } from '../error.ts';
import type { JsonObject } from '../json.ts';
import { parseSchema, schemaToJson } from '../schema/schema.ts';
import type { FileAccess } from './log.ts';
import { Log } from './log.ts';
import { applyRecord, snapshotOf } from './record.ts';

/** Compaction at the earliest this long after the last one, and then only if the file grew a lot. */
const COMPACT_MIN_MS = 10 * 60 * 1000;
/** Compaction at the latest this long after the last one, if anything was written. */
const COMPACT_MAX_MS = 24 * 60 * 60 * 1000;
const COMPACT_MIN_BYTES = 10 * 1024 * 1024;
const COMPACT_MIN_RECORDS = 100;

/** The file of one database: what its transactions are written to, and how it is compacted. */
export class DatabaseFile implements Journal {
  readonly #log: Log;
  #records: number;
  #baseSize: number;
  #lastCompaction: number;
  #syncing: Promise<void> | undefined;
  #syncNext: Promise<void> | undefined;

  private constructor(log: Log, records: number, baseSize: number, now: number) {
    this.#log = log;
    this.#records = records;
    this.#baseSize = baseSize;
    this.#lastCompaction = now;
  }

  /**
   * Reads a file into a new database. Damage behind the schema is logged, and what is good up to there
   * is served. Throws `OvsdbError` if there is no schema at all.
   */
  static open(
    access: FileAccess,
    options: { newUuid: () => string; log: ModuleLog; now: number },
  ): { db: Database; file: DatabaseFile } {
    const log = new Log(access);
    log.identify();
    const schemaJson = log.read();
    if (schemaJson === null) throw new OvsdbError('ovsdb error', `${log.name}: file holds no schema`);
    const db = new Database(parseSchema(schemaJson), { newUuid: options.newUuid });
    let records = 1;
    let baseSize = log.size;
    try {
      for (let record = log.read(); record !== null; record = log.read()) {
        try {
          applyRecord(db, record);
        } catch (error) {
          log.unread();
          throw error;
        }
        if (++records === 2) baseSize = log.size;
      }
    } catch (error) {
      if (!(error instanceof OvsdbError)) throw error;
      options.log.err(error.message);
    }
    const file = new DatabaseFile(log, records, baseSize, options.now);
    db.journal = file;
    return { db, file };
  }

  /** Creates the content of a new, empty file. */
  static create(access: FileAccess, schema: JsonObject): void {
    new Log(access).replace([schemaToJson(parseSchema(schema))]);
  }

  get name(): string {
    return this.#log.name;
  }

  append(record: JsonObject): void {
    this.#log.append(record);
    this.#records++;
  }

  /**
   * One call to the disk serves everybody who asked before it began; who asks while it runs shares the
   * next one.
   */
  sync(): Promise<void> {
    if (this.#syncing === undefined) {
      this.#syncing = this.#log.sync().finally(() => {
        this.#syncing = undefined;
      });
      return this.#syncing;
    }
    this.#syncNext ??= this.#syncing
      .catch(() => {})
      .then(() => {
        this.#syncNext = undefined;
        return this.sync();
      });
    return this.#syncNext;
  }

  /** Whether the file has grown or aged enough to be worth compacting. */
  shouldCompact(now: number): boolean {
    const age = now - this.#lastCompaction;
    if (age < COMPACT_MIN_MS) return false;
    if (age >= COMPACT_MAX_MS) return this.#records > 2;
    const size = this.#log.size;
    return this.#records >= COMPACT_MIN_RECORDS && size > COMPACT_MIN_BYTES && size / 2 > this.#baseSize;
  }

  /** Rewrites the file so that it holds the current rows only. */
  compact(db: Database, now: number, wall: number): void {
    this.#lastCompaction = now;
    this.replaceDatabase(db, 'compacting database online', wall);
  }

  replaceDatabase(db: Database, comment: string, wall: number): void {
    this.#log.replace([schemaToJson(db.schema), snapshotOf(db, { comment, date: wall, diffs: true })]);
    this.#records = 2;
    this.#baseSize = this.#log.size;
  }

  close(): void {
    this.#log.close();
  }
}
