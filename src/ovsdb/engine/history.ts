import { ZERO_UUID } from '../data/atom.ts';
import type { CommitListener, Database } from './database.ts';
import type { CommittedChange } from './transaction.ts';

const MAX_TRANSACTIONS = 100;

interface Entry {
  readonly id: string;
  readonly changes: readonly CommittedChange[];
  readonly atoms: number;
}

/**
 * The last transactions of a database, so that a client that was away for a moment gets what it missed
 * rather than everything. Kept as long as that is cheaper: at most 100 transactions, and no more atoms
 * than the database has itself.
 */
export class History implements CommitListener {
  readonly #db: Database;
  readonly #newId: () => string;
  readonly #entries: Entry[] = [];
  #atoms = 0;

  /** @param newId gives the id of the transaction that was just committed */
  constructor(db: Database, newId: () => string) {
    this.#db = db;
    this.#newId = newId;
    db.listeners.add(this);
  }

  /** The id of the newest transaction, all zero if there is none. */
  get lastId(): string {
    return this.#entries.at(-1)?.id ?? ZERO_UUID;
  }

  get length(): number {
    return this.#entries.length;
  }

  get atoms(): number {
    return this.#atoms;
  }

  onCommit(changes: readonly CommittedChange[]): void {
    let atoms = 0;
    for (const { old, now } of changes) {
      for (const fields of [old, now]) {
        for (const datum of fields ?? []) atoms += datum.n * (datum.values === null ? 1 : 2);
      }
    }
    this.#entries.push({ id: this.#newId(), changes, atoms });
    this.#atoms += atoms;
    while (
      this.#entries.length > 1 &&
      (this.#entries.length > MAX_TRANSACTIONS || this.#atoms > this.#db.atoms)
    ) {
      this.#atoms -= (this.#entries.shift() as Entry).atoms;
    }
  }

  /** All transactions after the one with this id, oldest first; undefined if that one is not known. */
  since(id: string): (readonly CommittedChange[])[] | undefined {
    const at = this.#entries.findIndex((e) => e.id === id);
    return at < 0 ? undefined : this.#entries.slice(at + 1).map((e) => e.changes);
  }
}
