import type { RawChange } from './changes.ts';
import { IntList } from './chunks.ts';
import type { Pieces, Relation } from './relation.ts';

/*
 * The end of a transaction, in pieces: first what changed is gathered, while everything can still be rolled
 * back; then the logs are settled.
 */

/** What a transaction has changed in one table. */
export interface Net {
  /** Rows that came or went. */
  readonly rows: number;
  /** Output tables: the rows. */
  readonly raw: RawChange | undefined;
}

/** Net changes of one table, from the lists of its rows that came and went. */
export function* net(relation: Relation, came: IntList, went: IntList): Generator<void, Net, void> {
  const rows = came.length + went.length;
  if (relation.table.kind !== 'output' || rows === 0) return { rows, raw: undefined };
  const deleted = yield* relation.copy(went);
  const inserted = yield* relation.copy(came);
  return { rows, raw: { table: relation.table, codecs: relation.codecs, inserted, deleted } };
}

export interface Gathered {
  /** Net changes of the output tables. */
  readonly raw: RawChange[];
  /** Rows of all tables that came or went. */
  rowsChanged: number;
}

/** `known`: tables whose turn has told it already; the others are asked for what their logs say. */
export function* gather(
  relations: Iterable<Relation>,
  known: ReadonlyMap<Relation, Net>,
  into: Gathered,
): Pieces {
  const came = new IntList();
  const went = new IntList();
  for (const relation of relations) {
    if (relation.state.log.length === 0) continue;
    let change = known.get(relation);
    if (change === undefined) {
      came.clear();
      went.clear();
      yield* relation.changed(false, came, went);
      change = yield* net(relation, came, went);
    }
    into.rowsChanged += change.rows;
    if (change.raw !== undefined) into.raw.push(change.raw);
  }
}

/** Gives absent rows back and forgets the logs. From its first piece on there is no way back. */
export function* settle(relations: Iterable<Relation>): Pieces {
  for (const relation of relations) if (relation.state.log.length > 0) yield* relation.commit();
}
