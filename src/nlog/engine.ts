import { WeftError } from '../base/errors.ts';
import { Changes, type RawChange } from './changes.ts';
import { type Gathered, gather, settle } from './commit.ts';
import { didYouMean } from './diagnostics.ts';
import { Evaluator, SLICE } from './evaluate.ts';
import { Functions } from './functions.ts';
import { entryOf } from './maps.ts';
import type { Program } from './program.ts';
import type { Relation } from './relation.ts';
import { hasRealKey, type Schedule, schedule } from './schedule.ts';
import { candidates } from './solve.ts';
import type { HostFunction, OpaqueType, Row, Value } from './types.ts';
import { NO_CODE, Values } from './values.ts';

export interface EngineOptions {
  /** The types that the program declares with `type`. */
  readonly types?: Iterable<OpaqueType>;
  /** The functions that the program declares with `function`. */
  readonly functions?: Iterable<HostFunction>;
  /** Most memory that tables and values may take; a transaction that would take more fails. Default 4 GiB. */
  readonly maxBytes?: number;
  /** Milliseconds; only for the times in `profile`. The engine itself reads no clock. */
  readonly clock?: { now(): number };
}

/** What changes inputs inside a transaction. */
export interface Transaction {
  /** Makes the row present. A row that is there already stays. */
  insert(table: string, row: Row): void;
  /** Makes the row absent. A row that is not there stays so. */
  delete(table: string, row: Row): void;
  /** Makes the row present in place of the one with the same key. Only for tables with a key. */
  put(table: string, row: Row): void;
}

export type Listener = (changes: Changes) => void;

/** A transaction that runs in pieces, so that a server can answer in between. */
export interface SlicedTransaction {
  /**
   * Works until about `rows` changed rows were given to rules (at least one piece). Returns the changes
   * when done, else `undefined`: call again. Throws as `transaction` does; nothing has changed then.
   */
  step(rows: number): Changes | undefined;
  /** Puts everything back as it was. Throws `nlog-done` in the last steps, when there is no way back. */
  cancel(): void;
}

const DEFAULT_MAX_BYTES = 2 ** 32;

/**
 * An incremental Datalog engine: a program, the rows of its input tables, and everything that follows from
 * them, kept up to date. See `docs/nlog-engine.md` for how.
 */
export class Engine {
  readonly program: Program;
  /** What follows from the program alone: the output rows of facts. */
  readonly initialChanges: Changes;
  readonly #values: Values;
  readonly #functions: Functions;
  readonly #schedule: Schedule;
  readonly #evaluator: Evaluator;
  readonly #byName = new Map<string, Relation>();
  readonly #listeners: { table: string | undefined; listener: Listener }[] = [];
  readonly #undelivered: Changes[] = [];
  readonly #maxBytes: number;
  #delivering = false;
  #running = false;
  /** The transaction has its result and cannot be undone. */
  #settling = false;
  /** Bytes of records and hashes; the rest of the memory is summed up when asked. */
  #reserved = 0;
  #sweptAt = 0;
  #mostRows = 0;

  /** @throws WeftError when a type or function that the program declares is missing or does not fit */
  constructor(program: Program, options: EngineOptions = {}) {
    this.program = program;
    this.#maxBytes = options.maxBytes ?? DEFAULT_MAX_BYTES;
    this.#values = new Values(options.types);
    for (const type of program.opaqueTypes) this.#values.codec(type);
    this.#functions = new Functions(this.#values, options.functions ?? []);
    this.#schedule = schedule(program, this.#values, this.#functions, {
      reserve: (bytes) => this.#reserve(bytes),
      note: (bytes) => {
        this.#reserved += bytes;
      },
    });
    const { clock } = options;
    this.#evaluator = new Evaluator(this.#schedule, clock === undefined ? undefined : () => clock.now(), () =>
      this.#checkMemory(),
    );
    for (const [table, relation] of this.#schedule.relations) this.#byName.set(table.name, relation);
    this.initialChanges = this.#drive(() => this.#evaluator.initial());
  }

  /**
   * Changes inputs and brings everything that follows from them up to date.
   *
   * @returns the net changes of the output tables
   * @throws WeftError, and whatever `fn` throws; then nothing has changed
   */
  transaction(fn: (tx: Transaction) => void): Changes {
    const changes = this.#drive(() => this.#fill(fn));
    this.#deliver(changes);
    return changes;
  }

  /** As `transaction`, but in pieces. Until it is done or cancelled, the engine takes no other call. */
  begin(fn: (tx: Transaction) => void): SlicedTransaction {
    this.#enter();
    let pieces: Generator<void, Changes, void> | undefined;
    const attempt = <T>(work: () => T): T => {
      try {
        return work();
      } catch (error) {
        this.#rollback();
        pieces = undefined;
        throw error;
      }
    };
    attempt(() => this.#fill(fn));
    pieces = this.#finish(true);
    return {
      step: (rows) => {
        if (pieces === undefined)
          throw new WeftError('nlog-done', 'the transaction is over', { remedy: 'begin another' });
        const running = pieces;
        const changes = attempt(() => {
          const until = this.#evaluator.rowsIn + rows;
          // Pieces that run no rule count by the piece.
          for (let n = 0; n === 0 || (this.#evaluator.rowsIn < until && n * SLICE < rows); n++) {
            const next = running.next();
            if (next.done === true) return next.value;
          }
          return undefined;
        });
        if (changes === undefined) return undefined;
        pieces = undefined;
        this.#deliver(changes);
        return changes;
      },
      cancel: () => {
        if (pieces === undefined) return;
        if (this.#settling)
          throw new WeftError('nlog-done', 'the transaction is being completed', {
            remedy: 'call step() until it is done',
          });
        pieces = undefined;
        this.#rollback();
      },
    };
  }

  /**
   * Calls `listener` after each transaction that changed an output table (this one, if `table` is given).
   * Listeners are called in the order in which they subscribed. They may start transactions; what those
   * change is delivered afterwards, so every listener sees all changes in the same order.
   *
   * @returns ends the subscription
   */
  subscribe(listener: Listener, table?: string): () => void {
    if (table !== undefined && this.#relation(table).table.kind !== 'output')
      throw new WeftError('nlog-table', `"${table}" is no output table`, {
        remedy: 'subscribe to an output table, or declare it as output',
      });
    const entry = { table, listener };
    this.#listeners.push(entry);
    return () => {
      const at = this.#listeners.indexOf(entry);
      if (at >= 0) this.#listeners.splice(at, 1);
    };
  }

  /** Number of rows. */
  size(table: string): number {
    this.#idle();
    return this.#relation(table).visible;
  }

  has(table: string, row: Row): boolean {
    this.#idle();
    const relation = this.#relation(table);
    const codes = relation.encode(row, false);
    return codes !== undefined && relation.code.vis(...codes) !== 0;
  }

  /** All rows, or those that agree with `pattern` where it is not `undefined`; ordered by value. */
  rows(table: string, pattern: readonly (Value | undefined)[] = []): Row[] {
    this.#idle();
    const relation = this.#relation(table);
    const known = relation.codecs.flatMap((_, i) => (pattern[i] === undefined ? [] : [i]));
    const codes = relation.codecs.map((c, i) => (pattern[i] === undefined ? NO_CODE : c.find(pattern[i])));
    return candidates(relation, known, codes).map((ref) => relation.decode(relation.codesOf(ref)));
  }

  /** A row as programs write it. */
  format(table: string, row: Row): string {
    this.#idle();
    const relation = this.#relation(table);
    const codes = relation.encode(row, true)!;
    return `${table}(${relation.codecs.map((c, i) => c.format(codes[i])).join(', ')})`;
  }

  /** Bytes that tables, indexes and values take. */
  get bytes(): number {
    let sum = this.#values.bytes;
    for (const r of this.#schedule.relations.values()) sum += r.bytes;
    for (const a of this.#schedule.aggregates) sum += a.bytes;
    return sum;
  }

  /** Rows of all tables together, helper tables included. */
  get totalRows(): number {
    let sum = 0;
    for (const r of this.#schedule.relations.values()) sum += r.visible;
    return sum;
  }

  /** For `explain`, `profile` and `snapshot`: the parts, to be read only. */
  get parts(): {
    readonly schedule: Schedule;
    readonly values: Values;
    readonly functions: Functions;
    relation(table: string): Relation;
  } {
    this.#idle();
    return {
      schedule: this.#schedule,
      values: this.#values,
      functions: this.#functions,
      relation: (t) => this.#relation(t),
    };
  }

  /**
   * Runs `fn` with a function that makes rows of input tables present or absent by their codes; for
   * whoever has them interned already, such as the loader of snapshots.
   */
  transactionByCode(
    fn: (set: (relation: Relation, codes: readonly number[], present: boolean) => void) => void,
  ): Changes {
    const changes = this.#drive(() => fn((relation, codes, present) => relation.setInput(codes, present)));
    this.#deliver(changes);
    return changes;
  }

  #relation(name: string): Relation {
    const relation = this.#byName.get(name);
    if (relation === undefined || relation.table.kind === 'helper')
      throw new WeftError('nlog-table', `there is no table "${name}"`, {
        remedy: didYouMean(
          name,
          this.program.tables.filter((t) => t.kind !== 'helper').map((t) => t.name),
          'name a table that the program declares',
        ),
      });
    return relation;
  }

  #idle(): void {
    if (this.#running)
      throw new WeftError('nlog-busy', 'a transaction is running', {
        remedy: 'finish it with step(), or cancel() it, before you ask',
      });
  }

  #enter(): void {
    this.#idle();
    this.#running = true;
  }

  #fill(fn: (tx: Transaction) => void): void {
    let open = true;
    let last: Relation | undefined;
    const input = (name: string): Relation => {
      if (open && last !== undefined && last.table.name === name) return last;
      if (!open)
        throw new WeftError('nlog-done', 'the transaction is over', {
          remedy: 'change inputs inside the function given to transaction()',
        });
      const relation = this.#relation(name);
      if (relation.table.kind !== 'input')
        throw new WeftError('nlog-table', `"${name}" is no input table`, {
          remedy: 'change the inputs that its rows are derived from',
        });
      last = relation;
      return relation;
    };
    // Rows that came in this transaction are not yet in the index on the key: `put` must know them too.
    const fresh = new Map<Relation, Map<string, number[]>>();
    const keyText = (relation: Relation, codes: ArrayLike<number>): string =>
      relation.table.key.map((c) => codes[c]).join();
    const freshOf = (relation: Relation): Map<string, number[]> =>
      entryOf(fresh, relation, () => {
        const byKey = new Map<string, number[]>();
        relation.forEachTouched((ref) => {
          if (relation.derivations(ref) === 0 || relation.isVisible(ref)) return;
          const codes = [...relation.codesOf(ref)];
          byKey.set(keyText(relation, codes), codes);
        });
        return byKey;
      });
    const remember = (relation: Relation, codes: number[]): void => {
      fresh.get(relation)?.set(keyText(relation, codes), codes);
    };
    const result: unknown = fn({
      insert: (name, row) => {
        const relation = input(name);
        relation.setInputRow(row, true);
        if (fresh.size > 0) remember(relation, relation.encode(row, true)!);
      },
      delete: (name, row) => {
        input(name).setInputRow(row, false);
      },
      put: (name, row) => {
        const relation = input(name);
        const { table, layout, code } = relation;
        if (table.key.length === 0)
          throw new WeftError('nlog-table', `"${name}" has no key`, {
            remedy: 'declare one, or delete and insert',
          });
        const codes = relation.encode(row, true)!;
        if (hasRealKey(table)) {
          const key = table.key.map((c) => codes[c]);
          const index = layout.indexes.findIndex((c) => c.join() === table.key.join());
          const old = code.indexes[index].first(...key);
          if (old !== 0) relation.setInput([...relation.codesOf(old)], false);
          const pending = freshOf(relation).get(key.join());
          if (pending !== undefined) relation.setInput(pending, false);
        }
        relation.setInput(codes, true);
        remember(relation, codes);
      },
    });
    open = false;
    if (result instanceof Promise) {
      result.catch(() => {});
      throw new WeftError('nlog-async', 'the function given to transaction() is asynchronous', {
        remedy: 'collect what to change first, then change it in one go',
      });
    }
  }

  /** One whole transaction. */
  #drive(fill: () => void): Changes {
    this.#enter();
    try {
      fill();
      const pieces = this.#finish(false);
      for (let next = pieces.next(); ; next = pieces.next()) if (next.done === true) return next.value;
    } catch (error) {
      this.#rollback();
      throw error;
    }
  }

  /** Everything after the inputs have changed. */
  *#finish(sliced: boolean): Generator<void, Changes, void> {
    yield* this.#evaluator.run(sliced);
    const gathered: Gathered = { raw: [], rowsChanged: 0 };
    yield* gather(this.#schedule.relations.values(), this.#evaluator.changes, gathered);
    this.#evaluator.changes.clear();
    this.#settling = true;
    yield* settle(this.#schedule.relations.values());
    for (const a of this.#schedule.aggregates) a.commit();
    const frozen = new Map<string, RawChange['codecs'][number]>();
    const codec = (type: string): RawChange['codecs'][number] =>
      entryOf(frozen, type, () => this.#values.codec(type).frozen());
    const { rowsIn, derivations } = this.#evaluator;
    const changes = new Changes(
      gathered.raw.map((r) => ({ ...r, codecs: r.table.columns.map((c) => codec(c.type)) })),
      { rowsIn, derivations, rowsChanged: gathered.rowsChanged },
    );
    for (const relation of this.#schedule.relations.values()) {
      if (!relation.wasteful) continue;
      this.#compact(relation);
      yield;
    }
    this.#maybeSweep();
    this.#settling = false;
    this.#running = false;
    return changes;
  }

  #rollback(): void {
    for (const relation of this.#schedule.relations.values()) relation.rollback();
    for (const a of this.#schedule.aggregates) a.rollback();
    for (const relation of this.#schedule.relations.values()) if (relation.wasteful) this.#compact(relation);
    this.#maybeSweep();
    this.#running = false;
  }

  #compact(relation: Relation): void {
    // Moving rows together takes less than there is: it must not fail at the limit.
    const records = relation.state.chunks.reduce((sum, c) => sum + c.byteLength, 0);
    this.#reserved -= records + this.#maxBytes;
    relation.compact();
    this.#reserved += this.#maxBytes;
  }

  #reserve(bytes: number): void {
    if (this.#reserved + bytes > this.#maxBytes) this.#full();
    this.#reserved += bytes;
  }

  #full(): never {
    throw new WeftError(
      'nlog-size-limit',
      `the transaction needs more memory than the limit of ${this.#maxBytes} bytes`,
      {
        remedy:
          'raise maxBytes, or look with `profile` for a rule that derives more than it should; nothing has changed',
      },
    );
  }

  #checkMemory(): void {
    if (this.#reserved + this.#values.bytes > this.#maxBytes) this.#full();
  }

  /** Frees values that no row holds, when enough may have gathered to pay for looking. */
  #maybeSweep(): void {
    const { pooled } = this.#values;
    const rows = this.totalRows;
    this.#mostRows = Math.max(this.#mostRows, rows);
    const grown = pooled - this.#sweptAt > Math.max(4096, this.#sweptAt, rows / 4);
    const shrunk = pooled > 4096 && rows < this.#mostRows / 2;
    if (grown || shrunk) this.sweep();
  }

  /** Frees the values that no row holds any more. Happens by itself; call it when there is time. */
  sweep(): void {
    this.#values.sweep((use) => {
      for (const relation of this.#schedule.relations.values()) {
        const columns = relation.table.columns.flatMap((c, i) =>
          this.#values.isPooled(c.type) ? [[c.type, i] as const] : [],
        );
        if (columns.length > 0)
          relation.forEach((ref) => {
            for (const [type, i] of columns) use(type, relation.word(ref, i));
          });
      }
    });
    for (const relation of this.#schedule.relations.values()) relation.forgetValues();
    this.#functions.forget();
    for (const a of this.#schedule.aggregates) a.forget();
    this.#sweptAt = this.#values.pooled;
    this.#mostRows = this.totalRows;
  }

  #deliver(changes: Changes): void {
    if (changes.empty || this.#listeners.length === 0) return;
    this.#undelivered.push(changes);
    if (this.#delivering) return;
    this.#delivering = true;
    try {
      for (let next = this.#undelivered.shift(); next !== undefined; next = this.#undelivered.shift())
        for (const { table, listener } of [...this.#listeners])
          if (table === undefined || next.tables.includes(table)) listener(next);
    } finally {
      this.#delivering = false;
    }
  }
}
