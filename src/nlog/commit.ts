import type { RawChange } from './changes.ts';
import type { Pieces } from './evaluate.ts';
import type { Relation } from './relation.ts';
import { CHUNK_BITS, CHUNK_MASK, IntList } from './store.ts';

/*
 * The end of a transaction, in pieces: first what changed is gathered from the logs, while everything can
 * still be rolled back; then the logs are settled.
 */

/** Rows copied per piece. */
const ROWS = 1 << 13;

export interface Gathered {
  /** Net changes of the output tables. */
  readonly raw: RawChange[];
  /** Rows of all tables that came or went. */
  rowsChanged: number;
}

export function* gather(relations: Iterable<Relation>, into: Gathered): Pieces {
  const came = new IntList();
  const went = new IntList();
  for (const relation of relations) {
    if (relation.state.log.length === 0) continue;
    came.clear();
    went.clear();
    yield* relation.changed(false, came, went);
    into.rowsChanged += came.length + went.length;
    if (relation.table.kind !== 'output' || came.length + went.length === 0) continue;
    const deleted = yield* copy(relation, went);
    const inserted = yield* copy(relation, came);
    into.raw.push({ table: relation.table, codecs: relation.codecs, inserted, deleted });
  }
}

/** The rows as codes, one after the other; a row without columns takes one word. */
function* copy(relation: Relation, refs: IntList): Generator<void, Int32Array, void> {
  const { arity } = relation.layout;
  const { chunks } = relation.state;
  const codes = new Int32Array(refs.length * Math.max(1, arity));
  let n = 0;
  for (let h = 0; h < refs.chunks.length; h++) {
    const list = refs.chunks[h];
    const used = refs.used(h);
    for (let i = 0; i < used; i++) {
      const chunk = chunks[list[i] >>> CHUNK_BITS];
      const at = list[i] & CHUNK_MASK;
      for (let k = 0; k < arity; k++) codes[n++] = chunk[at + k];
      if (i % ROWS === ROWS - 1) yield;
    }
  }
  return codes;
}

/** Gives absent rows back and forgets the logs. From its first piece on there is no way back. */
export function* settle(relations: Iterable<Relation>): Pieces {
  for (const relation of relations) if (relation.state.log.length > 0) yield* relation.commit();
}
