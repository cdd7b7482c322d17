import { WeftError } from '../base/errors.ts';
import { CHUNK_BITS, CHUNK_MASK, IntList } from './chunks.ts';
import { type Net, net } from './commit.ts';
import { entryOf } from './maps.ts';
import type { Stratum, Table } from './program.ts';
import type { Pieces, Relation } from './relation.ts';
import { type Consumers, hasRealKey, type Occurrence, type Schedule } from './schedule.ts';
import { BATCH, COUNT_SHIFT, Scratch, VISIBLE } from './store.ts';

/*
 * Bringing all tables in line with changed inputs.
 *
 * A table that does not depend on itself gets one turn. Its rows carry the number of their derivations:
 * a row is present while it has any. Rows that go are worked through first, then rows that come.
 *
 * Tables that depend on each other (a recursive stratum) cannot go by that number: two rows may derive
 * each other and nothing else them. So each row also has a *rank*, the number of the batch in which
 * it came, and counts as *support* only those derivations whose rows of the stratum all have a lower
 * rank. Ranks fall along support, so whatever has support stands, in the end, on the tables
 * below; and a row that came in some batch was derived from rows of earlier batches, so it had support then.
 *
 * 1. Rows that lost their last support go, and with them the derivations they took part in, which may
 *    cost other rows their support, and so on.
 * 2. Rows that have a derivation left (or a new one) but are absent come, in batches of a new rank, and
 *    with them what they derive, until nothing new comes.
 *
 * Both counts are exact at every moment, no row goes more than once or comes more than once, and a row
 * that goes in 1 though something else still derives it comes again in 2. Unlike with plain
 * "delete and rederive", rows that keep a derivation of lower rank never go at all: in a mesh the loss
 * of a link costs about what it changes.
 *
 * Everything runs as a generator that yields after each bounded piece of work: whoever drives it may
 * do something else in between.
 */

/** Changed rows per piece of work, when work is sliced. */
export const SLICE = 256;
/** So many broken keys are looked at for the message. */
const MAX_CONFLICTS = 2000;
/** Ranks are renumbered before they reach 32 bits. */
const MAX_RANK = 0x7fffffff - 2 ** 24;

export class Evaluator {
  readonly #schedule: Schedule;
  readonly #now: (() => number) | undefined;
  readonly #check: () => void;
  /** Next rank of each recursive stratum. */
  readonly #ranks = new Map<Stratum, number>();
  #slice = IntList.CHUNK;
  /** The rows that come and go at one table's turn; kept, so that small transactions allocate little. */
  readonly #came = new IntList();
  readonly #went = new IntList();
  rowsIn = 0;
  derivations = 0;
  /** What the tables that had their turn have changed by; the members of recursive strata are not among them. */
  readonly changes = new Map<Relation, Net>();

  /** `check` runs after each piece and may throw to end the transaction. */
  constructor(schedule: Schedule, now: (() => number) | undefined, check: () => void) {
    this.#schedule = schedule;
    this.#now = now;
    this.#check = check;
  }

  /** Works through everything that the logs of the tables call for. */
  *run(sliced: boolean): Pieces {
    this.#slice = sliced ? SLICE : IntList.CHUNK;
    this.rowsIn = 0;
    this.derivations = 0;
    this.changes.clear();
    for (const relation of this.#schedule.relations.values()) relation.flush();
    for (const stratum of this.#schedule.strata) {
      const active = stratum.tables.some((t) => this.#relation(t).state.log.length > 0);
      if (!active) continue;
      if (stratum.recursive) yield* this.#fixpoint(stratum);
      else yield* this.#turn(stratum.tables[0]);
      for (const t of stratum.tables) if (hasRealKey(t)) this.#checkKey(this.#relation(t));
    }
  }

  /** Runs the rules that need no rows: facts and the like. Only on empty tables. */
  initial(): void {
    for (const o of this.#schedule.initial) {
      o.stats.rowsIn++;
      o.stats.derivations += o.run(new Int32Array(0), 0, 0, 1);
    }
  }

  #relation(t: Table): Relation {
    return this.#schedule.relations.get(t)!;
  }

  *#turn(table: Table): Pieces {
    const relation = this.#relation(table);
    const consumers = this.#schedule.consumers.get(table)!;
    const [came, went] = [this.#came, this.#went];
    came.clear();
    went.clear();
    yield* relation.changed(true, came, went);
    yield* this.#batch(relation, consumers, went, -1);
    yield* this.#batch(relation, consumers, came, 1);
    this.changes.set(relation, yield* net(relation, came, went));
    came.clear();
    went.clear();
    for (const a of consumers.aggregates) a.flush();
  }

  /** Hides (or shows) rows and runs the rules that read them, each place with the view it must have. */
  *#batch(relation: Relation, consumers: Consumers, refs: IntList, weight: 1 | -1): Pieces {
    if (refs.length === 0) return;
    const between = weight < 0 ? consumers.goingBetween : consumers.comingBetween;
    const marked = between.length > 0 && !relation.layout.recursive;
    if (marked) mark(relation, refs, true);
    for (const o of consumers.before) yield* this.#rule(o, refs, weight);
    if (weight < 0) for (const o of between) yield* this.#rule(o, refs, weight);
    for (const [chunk, from, to] of this.#pieces(refs)) {
      if (weight < 0) relation.hide(chunk, from, to);
      else relation.show(chunk, from, to);
      this.#check();
      yield;
    }
    if (weight > 0) for (const o of between) yield* this.#rule(o, refs, weight);
    for (const o of consumers.after) yield* this.#rule(o, refs, weight);
    if (marked) mark(relation, refs, false);
    for (const a of consumers.aggregates)
      for (const [chunk, from, to] of this.#pieces(refs)) {
        a.feed(chunk, from, to, weight);
        yield;
      }
  }

  *#rule(o: Occurrence, refs: IntList, weight: number): Pieces {
    if (o.partners.some((p) => p.visible === 0)) {
      o.stats.rowsIn += refs.length;
      this.rowsIn += refs.length;
      return;
    }
    const now = this.#now;
    for (const [chunk, from, to] of this.#pieces(refs)) {
      const started = now === undefined ? 0 : now();
      let n = 0;
      for (let at = from; at < to; at += Scratch.ROWS)
        n += o.run(chunk, at, Math.min(to, at + Scratch.ROWS), weight);
      if (now !== undefined) o.stats.time += now() - started;
      o.stats.rowsIn += to - from;
      o.stats.derivations += n;
      this.rowsIn += to - from;
      this.derivations += n;
      this.#check();
      yield;
    }
  }

  *#pieces(refs: IntList): Generator<[Int32Array, number, number], void, void> {
    for (let i = 0; i < refs.chunks.length; i++) {
      const used = refs.used(i);
      for (let from = 0; from < used; from += this.#slice) {
        const to = Math.min(used, from + this.#slice);
        yield [refs.chunks[i], from, to];
      }
    }
  }

  *#fixpoint(stratum: Stratum): Pieces {
    const members = stratum.tables.map((t) => ({
      relation: this.#relation(t),
      consumers: this.#schedule.consumers.get(t)!,
    }));
    let rank = this.#ranks.get(stratum) ?? 0;
    if (rank > MAX_RANK) rank = renumber(members.map((m) => m.relation));
    const gone = new Map<Relation, IntList>();
    for (let again = true; again; ) {
      again = false;
      for (const { relation, consumers } of members) {
        const refs = takeUnsupported(relation);
        if (refs.length === 0) continue;
        again = true;
        yield* this.#batch(relation, consumers, refs, -1);
        mark(relation, refs, false);
        const list = entryOf(gone, relation, () => new IntList());
        forEach(refs, (r) => list.push(r));
      }
    }
    for (const [relation, refs] of gone)
      forEach(refs, (r) => {
        if (relation.derivations(r) > 0) relation.state.derived.push(r);
      });
    for (let again = true; again; ) {
      again = false;
      for (const { relation, consumers } of members) {
        const refs = takeDerived(relation, rank + 1);
        if (refs.length === 0) continue;
        rank++;
        // Kept at once: a transaction that fails must not lead to a rank being used twice.
        this.#ranks.set(stratum, rank);
        again = true;
        yield* this.#batch(relation, consumers, refs, 1);
        mark(relation, refs, false);
      }
    }
    this.#ranks.set(stratum, rank);
    for (const { relation, consumers } of members) {
      if (consumers.deferred.length === 0) continue;
      const [came, went] = [new IntList(), new IntList()];
      yield* relation.changed(false, came, went);
      for (const o of consumers.deferred) {
        yield* this.#rule(o, went, -1);
        yield* this.#rule(o, came, 1);
      }
    }
  }

  /**
   * Rows go before rows come, so two rows that met under one key stay: the key is broken. The message
   * names the pair that is first by value, whatever the order of events.
   */
  #checkKey(relation: Relation): void {
    const { table } = relation;
    const { conflicts } = relation.state;
    if (conflicts.length === 0) return;
    const text = (ref: number): string =>
      `(${relation.codecs.map((c, k) => c.format(relation.word(ref, k))).join(', ')})`;
    const pairs: string[] = [];
    for (let i = 0; i < Math.min(conflicts.length, MAX_CONFLICTS); i += 2)
      pairs.push([text(conflicts.get(i)), text(conflicts.get(i + 1))].sort().join(' and '));
    throw new WeftError(
      'nlog-key',
      `"${table.name}" would have two rows with the key (${table.key.map((c) => table.columns[c].name).join(', ')}): ${pairs.sort()[0]}`,
      {
        remedy:
          table.kind === 'input'
            ? 'delete the old row in the same transaction, or use put'
            : 'correct the rules, or the key of the table',
      },
    );
  }
}

function forEach(refs: IntList, fn: (ref: number) => void): void {
  for (let i = 0; i < refs.chunks.length; i++) for (let j = 0; j < refs.used(i); j++) fn(refs.chunks[i][j]);
}

function mark(relation: Relation, refs: IntList, on: boolean): void {
  const { chunks } = relation.state;
  const { state } = relation.layout;
  forEach(refs, (r) => {
    const at = (r & CHUNK_MASK) + state;
    if (on) chunks[r >>> CHUNK_BITS][at] |= BATCH;
    else chunks[r >>> CHUNK_BITS][at] &= ~BATCH;
  });
}

/** The rows that are visible without support, marked as the batch at hand. */
function takeUnsupported(relation: Relation): IntList {
  const refs = new IntList();
  const { unsupported } = relation.state;
  const { state, support } = relation.layout;
  forEach(unsupported, (r) => {
    const word = relation.word(r, state);
    if ((word & VISIBLE) === 0 || (word & BATCH) !== 0 || relation.word(r, support) > 0) return;
    relation.setWord(r, state, word | BATCH);
    refs.push(r);
  });
  unsupported.clear();
  return refs;
}

/** The rows that are derived but not visible, marked as the batch at hand and given their rank. */
function takeDerived(relation: Relation, rank: number): IntList {
  const refs = new IntList();
  const { derived } = relation.state;
  const { layout } = relation;
  forEach(derived, (r) => {
    const word = relation.word(r, layout.state);
    if ((word & VISIBLE) !== 0 || (word & BATCH) !== 0 || word >> COUNT_SHIFT === 0) return;
    relation.setWord(r, layout.state, word | BATCH);
    // All rows that derive it are of earlier batches: each derivation is a support.
    relation.setWord(r, layout.support, word >> COUNT_SHIFT);
    relation.setWord(r, layout.rank, rank);
    refs.push(r);
  });
  derived.clear();
  return refs;
}

/** Maps the ranks in use to 1, 2, ... in their order; returns the last. */
function renumber(relations: readonly Relation[]): number {
  const used = new Set<number>();
  for (const r of relations)
    r.forEach((ref) => {
      used.add(r.word(ref, r.layout.rank));
    });
  const order = new Map([...used].sort((a, b) => a - b).map((rank, i) => [rank, i + 1]));
  for (const r of relations)
    r.forEach((ref) => {
      r.setWord(ref, r.layout.rank, order.get(r.word(ref, r.layout.rank))!);
    });
  return order.size;
}
