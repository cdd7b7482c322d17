import type { JsonObject } from '../json.ts';
import type { DatabaseSchema } from '../schema/schema.ts';
import { Table } from './table.ts';
import type { CommittedChange } from './transaction.ts';

/** Where committed transactions go. The file is one such place; a database may have none. */
export interface Journal {
  /**
   * Writes a transaction so that it will be found after this process ends. Throws `OvsdbError` ("I/O
   * error") if that is not possible; then nothing is written.
   */
  append(record: JsonObject): void;
  /** Resolves when everything appended so far survives a power failure; rejects with `OvsdbError`. */
  sync(): Promise<void>;
}

/** What wants to know of each commit: monitors, the `_Server` database, the switch in this process. */
export interface CommitListener {
  onCommit(changes: readonly CommittedChange[]): void;
}

/**
 * One database: a schema, its tables and the listeners of its commits. Everything here is synchronous;
 * one transaction is executed at a time.
 */
export class Database {
  readonly schema: DatabaseSchema;
  readonly tables: ReadonlyMap<string, Table>;
  readonly newUuid: () => string;
  journal: Journal | null;
  readonly listeners = new Set<CommitListener>();
  /** Number of atoms in all rows. */
  atoms = 0;
  /** Counts commits that changed something. */
  revision = 0;

  constructor(schema: DatabaseSchema, options: { newUuid: () => string; journal?: Journal }) {
    this.schema = schema;
    this.tables = new Map([...schema.tables.values()].map((t) => [t.name, new Table(t)]));
    this.newUuid = options.newUuid;
    this.journal = options.journal ?? null;
  }

  get name(): string {
    return this.schema.name;
  }

  /** A table that the caller knows to exist, because the schema says so. */
  table(name: string): Table {
    const table = this.tables.get(name);
    if (table === undefined) throw new RangeError(`database ${this.name} has no table ${name}`);
    return table;
  }
}
