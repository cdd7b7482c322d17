/** The rules of the logical networks, running: input rows in, changes of the output tables out. */
import {
  type Changes,
  Engine,
  type HostFunction,
  type OpaqueType,
  type Program,
  type Row,
} from '../../nlog/index.ts';
import type { InputRow } from './input-rows.ts';

/** The output tables that agents are told of. */
export const OUTPUTS = ['flow', 'needs', 'placement', 'tunnel', 'rate'] as const;
export type OutputTable = (typeof OUTPUTS)[number];

/** `rules/main.nlog`, checked, with what it calls. */
export interface RuleProgram {
  readonly program: Program;
  readonly functions: readonly HostFunction[];
  readonly types?: readonly OpaqueType[];
}

/** Changes of the output tables, of one transaction or worked out by comparing. */
export type OutputChanges = Pick<Changes, 'of'>;

export interface RowsChange {
  readonly inserted: Iterable<InputRow>;
  readonly deleted: Iterable<InputRow>;
}

/** What a computation from scratch gives. */
export interface Recomputed {
  /** From what the engine has to what it should have. */
  readonly changes: OutputChanges;
  /** Rows that only one of both has. */
  readonly different: number;
  readonly compared: number;
  /** Puts the fresh engine in place of the other. */
  adopt(): void;
}

export class RuleEngine {
  readonly #program: RuleProgram;
  readonly #maxBytes: number | undefined;
  #engine: Engine;

  constructor(program: RuleProgram, maxBytes?: number) {
    this.#program = program;
    this.#maxBytes = maxBytes;
    this.#engine = this.#fresh();
  }

  get engine(): Engine {
    return this.#engine;
  }

  /** @throws WeftError then nothing has changed */
  apply({ inserted, deleted }: RowsChange): Changes {
    return this.#engine.transaction((tx) => {
      for (const { table, row } of deleted) tx.delete(table, row);
      for (const { table, row } of inserted) tx.insert(table, row);
    });
  }

  /** Every output row of a computation from scratch over these inputs, beside what the engine has. */
  recompute(inputs: Iterable<InputRow>): Recomputed {
    const pieces = this.recomputeInPieces(inputs, Number.POSITIVE_INFINITY);
    for (;;) {
      const { done, value } = pieces.next();
      if (done === true) return value;
    }
  }

  /**
   * The same in pieces of about `rows` rows, so that other work comes in between. The result means something only if the
   * engine and the inputs have stayed as they were.
   */
  *recomputeInPieces(inputs: Iterable<InputRow>, rows: number): Generator<void, Recomputed, void> {
    const engine = this.#fresh();
    const running = engine.begin((tx) => {
      for (const { table, row } of inputs) tx.insert(table, row);
    });
    while (running.step(rows) === undefined) yield;
    const tables = new Map<string, { table: string; inserted: Row[]; deleted: Row[] }>();
    let different = 0;
    let compared = 0;
    for (const table of OUTPUTS) {
      yield;
      const there = engine.rows(table);
      const inserted = there.filter((row) => !this.#engine.has(table, row));
      // As many rows, and none that only one has: none that only the other has.
      const deleted =
        inserted.length === 0 && there.length === this.#engine.size(table)
          ? []
          : this.#engine.rows(table).filter((row) => !engine.has(table, row));
      different += inserted.length + deleted.length;
      compared += there.length;
      tables.set(table, { table, inserted, deleted });
    }
    return {
      changes: { of: (table) => tables.get(table) ?? { table, inserted: [], deleted: [] } },
      different,
      compared,
      adopt: () => {
        this.#engine = engine;
      },
    };
  }

  #fresh(): Engine {
    const { program, functions, types } = this.#program;
    return new Engine(program, {
      functions,
      ...(types === undefined ? {} : { types }),
      ...(this.#maxBytes === undefined ? {} : { maxBytes: this.#maxBytes }),
    });
  }
}
