import { Database } from '../engine/database.ts';
import { OvsdbError } from '../error.ts';
import type { JsonObject } from '../json.ts';
import { parseSchema, schemaToJson } from '../schema/schema.ts';
import { type FileAccess, Log } from './log.ts';
import { CompactionPolicy, type DatabaseStorage, type OpenOptions } from './policy.ts';
import { applyRecord, snapshotOf } from './record.ts';

/** The file of one standalone database. */
export class DatabaseFile implements DatabaseStorage {
  readonly model = 'standalone';
  readonly #log: Log;
  readonly #policy: CompactionPolicy;
  #syncing: Promise<void> | undefined;
  #syncNext: Promise<void> | undefined;

  private constructor(log: Log, now: number) {
    this.#log = log;
    this.#policy = new CompactionPolicy(now);
  }

  static open(access: FileAccess, options: OpenOptions): { db: Database; file: DatabaseFile } {
    const log = new Log(access);
    if (log.identify() !== 'JSON')
      throw new OvsdbError('ovsdb error', `${log.name}: this is a clustered database`);
    return DatabaseFile.load(log, options);
  }

  /** Reads a log whose magic was "JSON". */
  static load(log: Log, options: OpenOptions): { db: Database; file: DatabaseFile } {
    const schemaJson = log.read();
    if (schemaJson === null) throw new OvsdbError('ovsdb error', `${log.name}: file holds no schema`);
    const db = new Database(parseSchema(schemaJson), { newUuid: options.newUuid });
    const file = new DatabaseFile(log, options.now);
    try {
      for (let record = log.read(); record !== null; record = log.read()) {
        try {
          applyRecord(db, record);
        } catch (error) {
          log.unread();
          throw error;
        }
        file.#policy.onRecord(log.size);
      }
    } catch (error) {
      if (!(error instanceof OvsdbError)) throw error;
      options.log.err(error.message);
    }
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
    this.#policy.onRecord(this.#log.size);
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

  shouldCompact(now: number): boolean {
    return this.#policy.isDue(now, this.#log.size);
  }

  compact(db: Database, now: number, wall: number): void {
    this.#policy.started(now);
    this.replaceDatabase(db, 'compacting database online', wall);
  }

  replaceDatabase(db: Database, comment: string, wall: number): void {
    this.#log.replace([schemaToJson(db.schema), snapshotOf(db, { comment, date: wall, diffs: true })]);
    this.#policy.compacted(this.#log.size);
  }

  close(): void {
    this.#log.close();
  }
}
