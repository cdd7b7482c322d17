/**
 * What the network needs of the model: the objects there are, each change of them, and a place for records of its
 * own that are written in the same transactions as the objects.
 */
import type { Stored } from '../../api-schema/kinds.ts';
import type { StoreOperation, StoreRecord } from '../store/store.ts';

/** An object that came (no `before`), changed, or went (no `after`). Never neither. */
export interface ObjectChange {
  readonly before?: Stored;
  readonly after?: Stored;
}

/** One committed transaction. An object stands in it at most once: its state before, and after all of it. */
export interface ChangeEvent {
  readonly revision: number;
  readonly changes: readonly ObjectChange[];
}

/** The model, as its followers see it. */
export interface ObjectSource {
  /** The last revision that is durable and was told to the listeners. */
  readonly revision: number;
  /** All objects, in no particular order. */
  objects(): Iterable<Stored>;
  /**
   * Calls `listener` after each transaction, once it is durable, in the order of revisions.
   *
   * @returns ends the subscription
   */
  subscribe(listener: (event: ChangeEvent) => void): () => void;
}

/** Keeps records beside the objects. The model calls it within its own transactions. */
export interface Companion {
  /** Once, before anything else: the records of the store that are not the model's own. */
  load(records: readonly StoreRecord[]): void;
  /**
   * Called when the changes are known to be valid, before they are written; `Stored.revision` may not be final yet.
   *
   * @throws WeftError refuses the whole transaction
   */
  prepare(changes: readonly ObjectChange[]): Prepared;
}

export interface Prepared {
  /** To be written in the same `ConfigStore.commit` as the objects. */
  readonly operations: readonly StoreOperation[];
  /** Once, when it is known whether they were written; before the listeners hear of the changes. */
  settle(written: boolean): void;
}
