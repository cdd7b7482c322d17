import type { Database } from '../engine/database.ts';
import { ClusterFile } from './cluster.ts';
import { type FileAccess, Log } from './log.ts';
import type { DatabaseStorage, OpenOptions } from './policy.ts';
import { DatabaseFile } from './storage.ts';

/**
 * Opens a database file of either sort. Damage behind the schema is logged, and what is good up to
 * there is served. Throws `OvsdbError` if there is no schema at all.
 */
export function openDatabase(
  access: FileAccess,
  options: OpenOptions,
): { db: Database; file: DatabaseStorage } {
  const log = new Log(access);
  return log.identify() === 'CLUSTER' ? ClusterFile.open(log, options) : DatabaseFile.load(log, options);
}
