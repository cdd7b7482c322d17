/**
 * Where the configuration is kept. One implementation is a log file beside the controller
 * (`file-store.ts`); a cluster's will be etcd's key-value interface, whose revisions, compare-and-put transactions and
 * watches this interface follows.
 */

/** One stored record: a key such as `object/logical-switch/UUID` or `label/UUID`, and JSON text. */
export interface StoreRecord {
  readonly key: string;
  readonly value: string;
  /** The revision that last wrote it. */
  readonly revision: number;
}

export type StoreOperation =
  | { readonly op: 'put'; readonly key: string; readonly value: string }
  | { readonly op: 'delete'; readonly key: string };

export interface ConfigStore {
  /** The last revision that is durable; 0 for an empty store. */
  readonly revision: number;
  /** Everything there is, in the order of keys. Once, at the start. */
  load(): Promise<readonly StoreRecord[]>;
  /**
   * Writes all operations or none, as the revision after `expected`, and resolves when they are durable.
   * Rejects with `store-conflict` if somebody else has written since `expected`, with `store-full` or `store-failed` if they
   * could not be written: then nothing has changed, neither here nor on disk.
   */
  commit(expected: number, operations: readonly StoreOperation[]): Promise<number>;
  close(): Promise<void>;
}
