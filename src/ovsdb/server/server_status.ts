import { EMPTY, scalar } from '../data/datum.ts';
import type { Database } from '../engine/database.ts';
import type { Row } from '../engine/table.ts';
import { Transaction } from '../engine/transaction.ts';
import type { Column } from '../schema/schema.ts';

export interface DatabaseStatus {
  readonly name: string;
  readonly model: 'standalone' | 'clustered' | 'relay';
  /** Place in a cluster. */
  readonly position?: { readonly cid: string; readonly sid: string; readonly index: number };
  readonly connected: boolean;
  /** The schema as JSON text; null while a relay does not know it. */
  readonly schema: string | null;
}

/** Keeps the `Database` table of `_Server` true. */
export class ServerStatus {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  update(databases: readonly DatabaseStatus[], commit: (transaction: Transaction) => void): void {
    const table = this.#db.table('Database');
    const column = (name: string): Column => table.schema.columns.get(name) as Column;
    const transaction = new Transaction(this.#db);
    const wanted = new Map(databases.map((d) => [d.name, d]));
    const assign = ({ fields }: Row, status: DatabaseStatus): void => {
      fields[column('name').index] = scalar(status.name);
      fields[column('model').index] = scalar(status.model);
      fields[column('connected').index] = scalar(status.connected);
      fields[column('leader').index] = scalar(status.model !== 'relay');
      fields[column('schema').index] = status.schema === null ? EMPTY : scalar(status.schema);
      for (const name of ['cid', 'sid', 'index'] as const) {
        const value = status.position?.[name];
        fields[column(name).index] = value === undefined ? EMPTY : scalar(value);
      }
    };
    for (const row of table.rows.values()) {
      const name = row.fields[column('name').index].keys[0] as string;
      const status = wanted.get(name);
      if (status === undefined) transaction.delete(row);
      else assign(transaction.modify(row), status);
      wanted.delete(name);
    }
    for (const status of wanted.values()) {
      const row = table.newRow(this.#db.newUuid(), this.#db.newUuid());
      assign(row, status);
      transaction.insert(row);
    }
    commit(transaction);
  }
}
